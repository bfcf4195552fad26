//! Files do not import each other in circles.
//!
//! An arrow leads from a file to the file that defines an item it names, regardless of re-exports in between. A module
//! and its descendants form a group: `foo.rs` and `foo/bar.rs` may name each other, two children of `foo.rs` may not,
//! nor may `foo/bar.rs` name what needs `foo.rs`. Names of methods are ignored.
//!
//! Prints the circles: `cargo test -p futurecall-tests --test it tidy::circles -- --nocapture`

mod graph;
mod paths;
mod tree;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use self::graph::Circle;
use self::tree::{Arrow, Sources, Tree};

/// The modules of the runtime, from the ground up: one imports those of its own floor and of the floors below.
const FLOORS: &[&[&str]] = &[
    &[
        "random",
        "clock",
        "nearest",
        "id",
        "moment",
        "text",
        "words",
        "bounded",
        "shape",
        "recurring",
        "args",
        "call_target",
    ],
    &["error", "retry", "role", "state"],
    &["store"],
    &["config", "signals"],
    &["engine"],
    &["registry", "discovery"],
    &["pod"],
    &["facade", "inspector", "operator", "why"],
    &["session", "call", "by_name"],
    &["private", "testing", "lib"],
];

#[test]
fn files_import_each_other_in_one_direction() {
    let disk = Disk(super::root());
    let mut found = Vec::new();
    for (package, at_least) in [
        ("futurecall-runtime", 100),
        ("futurecall-macros", 10),
        ("futurecall-dashboard", 20),
        ("futurecall-cli", 30),
        ("futurecall-example", 2),
        ("model", 10),
        ("testbed", 6),
        ("torture", 30),
        ("bench", 30),
        ("tests", 50),
        ("tests/browser", 4),
    ] {
        let mut read = BTreeSet::new();
        for root in roots(&disk.0.join(package)) {
            let tree = Tree::read(root.strip_prefix(&disk.0).unwrap(), &disk);
            read.extend(tree.files().into_iter().map(Path::to_owned));
            found.extend(graph::circles(&tree));
        }
        assert!(read.len() >= at_least, "the walk has lost its way in {package}: {read:?}");
    }
    let mut unknown = String::new();
    for circle in &found {
        let shown = shown(circle);
        println!("{shown}");
        unknown += &shown;
    }
    assert!(unknown.is_empty(), "files must not import each other in circles:\n{unknown}");
}

#[test]
fn modules_of_the_runtime_import_no_higher_floor() {
    let tree = Tree::read(Path::new("futurecall-runtime/src/lib.rs"), &Disk(super::root()));
    let floor = |file: &Path| {
        let module = file.strip_prefix("futurecall-runtime/src").unwrap().components().next().unwrap();
        let module = Path::new(&module).file_stem().unwrap().to_str().unwrap();
        FLOORS.iter().position(|floor| floor.contains(&module)).unwrap_or_else(|| {
            panic!("`{module}` stands on no floor: put it into FLOORS, above all that it imports")
        })
    };
    let mut upward = String::new();
    for Arrow { from, to, item } in tree.arrows() {
        if floor(&from) < floor(&to) {
            writeln!(upward, "  {} names {item} of {}", from.display(), to.display()).unwrap();
        }
    }
    assert!(upward.is_empty(), "imports must not lead upward:\n{upward}");
}

fn shown(circle: &Circle) -> String {
    let mut text = format!("a circle of {} houses:\n", circle.houses.len());
    for way in circle.ways() {
        writeln!(text, "  {}", way.replace('\n', "\n  ")).expect("a String takes all");
    }
    text
}

/// The root files of a package's crates.
fn roots(package: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> =
        ["src/lib.rs", "src/main.rs", "it/main.rs"].map(|root| package.join(root)).into();
    for folder in ["src/bin", "examples", "tests"] {
        for entry in fs::read_dir(package.join(folder)).into_iter().flatten() {
            let path = entry.expect("the folder can be read").path();
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    roots.retain(|root| root.is_file() && super::has_extension(root, "rs"));
    roots
}

/// Files below a folder.
struct Disk(PathBuf);

impl Sources for Disk {
    fn text(&self, file: &Path) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }
}

impl Sources for HashMap<&str, &str> {
    fn text(&self, file: &Path) -> Option<String> {
        self.get(file.to_str()?).map(|text| (*text).to_owned())
    }
}

/// Finds the circles of a crate whose files are given.
fn circles_of(files: &[(&'static str, &'static str)]) -> Vec<String> {
    let files: HashMap<_, _> = files.iter().copied().collect();
    let tree = Tree::read(Path::new("lib.rs"), &files);
    graph::circles(&tree).iter().flat_map(Circle::ways).collect()
}

#[test]
fn a_circle_is_found_with_the_items_that_make_it() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c; pub use crate::a::A;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; impl B { fn c() { crate::c::c(); } }"),
        ("c.rs", "pub fn c() -> Option<super::A> { None }"),
    ]);
    assert_eq!(
        found,
        [
            "a.rs -> b.rs -> c.rs -> a.rs\n    a.rs names crate::b::B of b.rs\n    b.rs names crate::c::c of c.rs\n    c.rs names super::A of a.rs"
        ]
    );
}

#[test]
fn an_arrow_leads_past_re_exports_to_the_file_that_defines_the_item() {
    let stair = [
        ("lib.rs", "mod store; mod engine; pub use store::*; use engine::run;"),
        ("store/mod.rs", "mod rows; mod memory; pub use rows::{Row as Claim}; pub use self::memory::Memory;"),
        ("store/rows.rs", "pub struct Row;"),
        ("store/memory.rs", "use super::Claim; pub struct Memory(Claim);"),
        (
            "engine.rs",
            "use crate::{store::{self, Claim}, Memory}; pub fn run(_: Claim, _: Memory) { store::Memory::new() }",
        ),
    ];
    assert_eq!(circles_of(&stair), [""; 0]);
    let mut knot = stair;
    knot[2].1 =
        "pub struct Row; pub fn row() { println!(\"{}\", super::Memory::new(crate::engine::run())); }";
    let found = circles_of(&knot).join("\n");
    assert!(found.contains("engine.rs -> store/mod.rs -> engine.rs"), "{found}");
    assert!(found.contains("store/memory.rs -> store/rows.rs -> store/memory.rs"), "{found}");
    assert!(!found.contains("of store/mod.rs"), "{found}");
}

#[test]
fn a_module_may_name_its_children_and_they_it() {
    let house = [
        ("lib.rs", "mod a; mod b; pub struct Root; pub use a::A;"),
        ("a.rs", "mod x; mod y; pub struct A(x::X, y::Y); use crate::Root;"),
        ("a/x.rs", "pub struct X(Option<super::A>);"),
        ("a/y.rs", "pub struct Y(Option<super::A>); use crate::b::B;"),
        ("b.rs", "pub struct B(crate::Root);"),
    ];
    assert_eq!(circles_of(&house), [""; 0]);
    let mut rooms = house;
    rooms[2].1 = "use super::y; pub struct X(y::Y);";
    rooms[3].1 = "pub struct Y(Option<super::x::X>);";
    assert!(circles_of(&rooms).join("\n").starts_with("a/x.rs -> a/y.rs -> a/x.rs"));
    let mut houses = house;
    houses[4].1 = "pub struct B(crate::a::A);";
    assert!(
        circles_of(&houses)
            .join("\n")
            .starts_with("a.rs -> b.rs -> a.rs\n    a/y.rs names crate::b::B of b.rs")
    );
}

#[test]
fn what_only_tests_compile_does_not_count() {
    let tested = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests; #[cfg(test)] use crate::a::A;"),
    ];
    assert_eq!(circles_of(&tested), [""; 0]);
    let mut gated = tested;
    gated[2].1 = "pub struct B; #[cfg(feature = \"x\")] use crate::a::A;";
    assert_eq!(circles_of(&gated).len(), 1);
}

#[test]
fn globs_macros_and_attributes_are_looked_into() {
    for way_back in [
        "use crate::a::*; type T = A;",
        "macro_rules! m { () => { $crate::a::A } }",
        "fn f() { html! { p { (crate::a::f()) } } }",
        "#[command(value_parser = crate::a::parse)] struct C;",
        "mod inner { use super::super::a::A; }",
    ] {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; pub struct A; fn f() { b::made_by_a_macro() }"),
            ("b.rs", way_back),
        ]);
        assert_eq!(found.len(), 1, "{way_back}");
    }
}
