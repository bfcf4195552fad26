//! The rules of this repository that no lint can check. `clippy.toml` and the manifests have the others.

mod circles;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 500;

#[test]
fn files_are_short_enough_to_be_read() {
    let mut broken = Vec::new();
    for file in sources() {
        let lines = read(&file).lines().count();
        if lines > LONGEST_FILE {
            broken.push(format!("{}: {lines} lines", shown(&file)));
        }
    }
    report(&format!("a source file has at most {LONGEST_FILE} lines: split it by what it is about"), &broken);
}

/// Clippy holds this rule for the features it is run with; this holds it for every line.
#[test]
fn the_runtime_reads_the_time_in_one_file() {
    let readings = ["SystemTime::now", "Instant::now", "Utc::now", "Local::now", ".elapsed()"];
    let mut broken = Vec::new();
    for file in runtime_sources() {
        if !file.ends_with("src/clock.rs") {
            broken.extend(code_lines_with(&file, &readings));
        }
    }
    report(
        "only futurecall-runtime/src/clock.rs reads the time: take it from crate::clock, or as an argument",
        &broken,
    );
}

/// What is shown ends up in logs: `store/debug_without_arguments.rs` writes `Debug` for rows with arguments.
#[test]
fn nothing_that_holds_arguments_derives_debug() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for file in runtime_sources() {
        let text = read(&file);
        let mut derives_debug = false;
        for (number, line) in text.lines().enumerate() {
            match line.trim() {
                derive if derive.starts_with("#[derive(") => derives_debug = derive.contains("Debug"),
                "}" => derives_debug = false,
                field if field.contains("args: ") && field.contains("String") && field.ends_with(',') => {
                    seen += 1;
                    if derives_debug && !field.contains('"') {
                        broken.push(format!("{}:{}: {field}", shown(&file), number + 1));
                    }
                }
                _ => {}
            }
        }
    }
    assert!(seen >= 5, "the walk has lost its way");
    report("a type that holds arguments does not derive Debug: show their size (crate::args::Size)", &broken);
}

#[test]
fn sql_stands_in_the_stores() {
    let statements = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "];
    let mut broken = Vec::new();
    for file in runtime_sources() {
        let inside = file.strip_prefix(root().join("futurecall-runtime/src")).unwrap().to_owned();
        let first = inside.iter().next().unwrap().to_string_lossy().into_owned();
        if first != "store" && !first.starts_with("migrate") {
            broken.extend(code_lines_with(&file, &statements));
        }
    }
    report("the engine knows no SQL: it belongs under futurecall-runtime/src/store", &broken);
}

#[test]
fn every_compile_error_is_reviewed() {
    let ui = root().join("tests/ui");
    let mut broken = Vec::new();
    assert!(!files_below(&ui).is_empty(), "there is no compile-fail test in {}", ui.display());
    // The crate's own two files stand beside the folders of cases.
    for file in files_below(&ui).into_iter().filter(|file| file.parent() != Some(&ui)) {
        let passes = file.starts_with(ui.join("pass"));
        let kind = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        if kind == "rs" && !passes && !file.with_extension("stderr").exists() {
            broken.push(format!("{}: its .stderr is missing", shown(&file)));
        }
        if kind == "stderr" && (passes || !file.with_extension("rs").exists()) {
            broken.push(format!("{}: belongs to no compile-fail test", shown(&file)));
        }
    }
    report(
        "a file under tests/ui fails with the errors in its .stderr; a file under tests/ui/pass compiles",
        &broken,
    );
}

/// The compiler shows lines of the standard library's source where rustup's component `rust-src` is installed, and a
/// place alone where it is not: such a text is right on some machines only.
#[test]
fn no_compile_error_quotes_the_standard_library() {
    let mut broken = Vec::new();
    for file in files_below(&root().join("tests/ui")) {
        if has_extension(&file, "stderr") {
            broken.extend(lines_with(&file, &["$RUST"]));
        }
    }
    report("an error of a compile-fail test must not lead into the standard library", &broken);
}

/// A method of a builder hides an accessor of its name: the attribute must know them all, to say so.
#[test]
fn the_attribute_knows_the_methods_of_the_scheduling_builders() {
    let names = read(&root().join("futurecall-macros/src/names.rs"));
    let list = names.split("const BUILDERS: &[&str] =").nth(1).and_then(|rest| rest.split(';').next());
    let known: BTreeSet<&str> = list.expect("names.rs has the list").split('"').skip(1).step_by(2).collect();
    let facade = root().join("futurecall-runtime/src/facade");
    let (one_shot, recurring) = (read(&facade.with_extension("rs")), read(&facade.join("recurring.rs")));
    let call = read(&root().join("futurecall-runtime/src/call.rs"));
    let mut methods = BTreeSet::new();
    for (text, head) in [
        (&one_shot, "impl FutureCallRef {"),
        (&call, "impl FutureCallRef {"),
        (&call, "impl RecurringCallRef {"),
        (&recurring, "macro_rules! options {"),
    ] {
        let found = methods_of(text, head);
        assert!(!found.is_empty(), "nothing follows `{head}`");
        methods.extend(found);
    }
    let broken: Vec<_> = known.symmetric_difference(&methods).collect();
    assert!(
        broken.is_empty(),
        "BUILDERS in futurecall-macros/src/names.rs lists the public methods of FutureCallRef and RecurringCallRef: {broken:?}"
    );
}

/// The attribute checks with the runtime's code, and neither package depends on the other for it.
#[test]
fn the_attribute_has_copies_of_what_it_checks_with() {
    let [runtime, macros] = ["futurecall-runtime/src", "futurecall-macros/src"].map(|src| root().join(src));
    let mut broken = Vec::new();
    for file in ["nearest.rs", "recurring/expression.rs", "recurring/zone.rs"] {
        let (original, copy) = (runtime.join(file), macros.join(Path::new(file).file_name().unwrap()));
        if fs::symlink_metadata(&copy).unwrap().is_symlink() {
            broken.push(format!("{} is a link, which a checkout on Windows does not follow", shown(&copy)));
        } else if read(&original) != read(&copy) {
            broken.push(format!("cp {} {}", shown(&original), shown(&copy)));
        }
    }
    report("the attribute checks with copies of the runtime's files: change both", &broken);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let [postgres, sqlite] = ["postgres", "sqlite"].map(|database| {
        let folder = root().join("migrations").join(database);
        let names: BTreeSet<String> = files_below(&folder).iter().map(|file| name_of(file)).collect();
        assert!(!names.is_empty(), "there is no migration in {}", folder.display());
        names
    });
    let mut broken: Vec<String> =
        postgres.symmetric_difference(&sqlite).map(|name| format!("{name} is there for one only")).collect();
    for (number, name) in (1..).zip(&postgres) {
        if !name.starts_with(&format!("{number:04}_")) || !has_extension(Path::new(name), "sql") {
            broken.push(format!("{name}: expected {number:04}_….sql"));
        }
    }
    report(
        "migrations are named NNNN_what.sql, numbered from 0001 without a gap, the same for both databases",
        &broken,
    );
}

/// Where packages come from is set up on the machine (mirrors, caches without a network), never in a repository.
#[test]
fn no_registry_host_is_named() {
    let hosts = [
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("deb.", "debian.org"),
        concat!("registry.", "npmjs.org"),
        concat!("pypi", ".org"),
        concat!("proxy.", "golang.org"),
    ];
    let mut broken = Vec::new();
    for file in files_below(&root()) {
        if name_of(&file) != "Cargo.lock" {
            broken.extend(lines_with(&file, &hosts));
        }
    }
    report("the hosts of package registries are no business of this repository", &broken);
}

#[test]
fn no_test_is_switched_off() {
    let mut broken = Vec::new();
    for file in sources() {
        broken.extend(code_lines_with(&file, &[concat!("#[", "ignore")]));
    }
    report("a test runs, or it is deleted", &broken);
}

/// The public methods in the item that begins with `head` and ends with the next line that is a brace alone.
fn methods_of<'a>(text: &'a str, head: &str) -> BTreeSet<&'a str> {
    let lines = text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| *line != "}");
    let signatures = lines.filter_map(|line| line.trim_start().strip_prefix("pub fn "));
    signatures.filter_map(|signature| signature.split(['(', '<']).next()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the workspace")
        .to_owned()
}

/// Every Rust file of every crate, but for what the compile-fail tests feed to the compiler.
fn sources() -> Vec<PathBuf> {
    let ui = root().join("tests/ui");
    let mut files = files_below(&root());
    files.retain(|file| has_extension(file, "rs") && !file.starts_with(&ui));
    assert!(files.contains(&root().join("tests/it/tidy.rs")), "the walk has lost its way");
    files
}

fn runtime_sources() -> Vec<PathBuf> {
    let folder = root().join("futurecall-runtime/src");
    let mut files = files_below(&folder);
    files.retain(|file| has_extension(file, "rs"));
    assert!(files.contains(&folder.join("lib.rs")), "the walk has lost its way");
    files
}

/// What a registry or docs.rs shows of a package has none of the repository's files beside it: a relative link or picture is
/// dead there.
#[test]
fn what_docs_rs_shows_has_no_relative_links() {
    let mut files = files_below(&root());
    files.retain(|file| {
        let ours = ["futurecall-runtime", "futurecall-macros", "futurecall-dashboard", "futurecall-cli"];
        let package = ours.iter().any(|name| file.starts_with(root().join(name)));
        *file == root().join("README.md")
            || package && has_extension(file, "md")
            || package
                && has_extension(file, "rs")
                && !file.components().any(|part| part.as_os_str() == "tests")
    });
    assert!(files.len() > 100, "the walk has lost its way");
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let documentation = !has_extension(file, "rs");
            matching_lines(file, |line| {
                let text = line.trim_start();
                (documentation || text.starts_with("///") || text.starts_with("//!"))
                    && targets(text).any(is_relative)
            })
        })
        .collect();
    assert!(wrong.is_empty(), "these links lead nowhere on docs.rs and in a registry:\n{}", wrong.join("\n"));
    for dead in ["![x](docs/x.png)", "see [it](ARCHITECTURE.md)", "<img src=\"a/b.png\">", "[it]: ../LICENSE"]
    {
        assert!(targets(dead).any(is_relative), "{dead}");
    }
    for alive in
        ["[x](https://docs.rs/x)", "[`Pod`](crate::Pod)", "[y](#errors)", "[z](Self::z)", "[w](super::w)"]
    {
        assert!(!targets(alive).any(is_relative), "{alive}");
    }
}

/// Where the links and pictures of a line of Markdown lead.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    ["](", "]: ", "src=\"", "href=\""].into_iter().flat_map(move |start| {
        line.split(start).skip(1).filter_map(|rest| rest.split([')', '"', ' ', '>']).next())
    })
}

/// Whether a target is a file: neither an address, nor a place on the same page, nor the path of an item.
fn is_relative(target: &str) -> bool {
    let is_file = target.contains('/')
        || target.rsplit_once('.').is_some_and(|(_, extension)| {
            ["md", "png", "svg", "html", "sql", "json", "rs", "toml"].contains(&extension)
        });
    is_file && !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:")
}

/// Every file below a folder, in order, without what is built, what is hidden (except CI), and links.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let entry = entry.expect("the folder can be read");
        let kind = entry.file_type().expect("the folder can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            if name != "target" && (!name.starts_with('.') || name == ".ci") {
                found.extend(files_below(&entry.path()));
            }
        } else if kind.is_file() && !name.starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The lines of a file that hold one of the texts, comments aside: examples in the documentation may do what code may not.
fn code_lines_with(file: &Path, texts: &[&str]) -> Vec<String> {
    matching_lines(file, |line| {
        !line.trim_start().starts_with("//") && texts.iter().any(|text| line.contains(text))
    })
}

fn lines_with(file: &Path, texts: &[&str]) -> Vec<String> {
    matching_lines(file, |line| texts.iter().any(|text| line.contains(text)))
}

fn matching_lines(file: &Path, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let text = read(file);
    let found = text.lines().enumerate().filter(|(_, line)| matches(line));
    found.map(|(number, line)| format!("{}:{}: {}", shown(file), number + 1, line.trim())).collect()
}

/// The text of a file; what is not text (a database, an image) breaks no rule.
fn read(file: &Path) -> String {
    String::from_utf8(fs::read(file).expect("the file can be read")).unwrap_or_default()
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}\n  {}\n", broken.join("\n  "));
}
