//! The cost of `#[future_call]` for the compiler, compared with the same methods with hand-written argument structs.

mod source;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use self::source::Source;
use crate::process::processor_time_of_children;
use crate::report::{Line, Report, median};
use crate::{Result, Sizes};

/// How often each crate is checked; the figures are the medians.
const ROUNDS: usize = 3;

/// Measures processor seconds of `cargo check` of crates of some methods with three arguments each; dependencies are
/// checked before and do not count.
pub(crate) async fn measure(sizes: &Sizes, report: &mut Report) -> Result {
    let rounds = sizes.rounds.min(ROUNDS);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/compile");
    write_workspace(&folder, sizes)?;
    // Everything once: the crates' dependencies, and the crates themselves.
    check(&folder, "--workspace").await?;

    let mut nothing = Vec::new();
    for _ in 0..rounds {
        nothing.push(seconds(&folder, "empty").await?);
    }
    let line = |figure: String, unit: &str| Line::of("", "compile", figure, unit);
    report.push(
        line("cargo check of a crate that only names the runtime".to_owned(), "CPU s").rounds(&nothing),
    )?;
    for methods in sizes.methods {
        let (mut ours, mut theirs, mut structs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(seconds(&folder, &Source::Ours.name(*methods)).await?);
            theirs.push(seconds(&folder, &Source::Theirs.name(*methods)).await?);
            structs.push(seconds(&folder, &Source::Structs.name(*methods)).await?);
        }
        let figure = format!("cargo check of {methods} methods");
        report.push(line(figure.clone(), "CPU s").rounds(&ours))?;
        report.push(line(figure.clone(), "CPU s").set("hand-written serde structs").rounds(&theirs))?;
        report.push(line(figure.clone(), "CPU s").set("their structs alone").rounds(&structs))?;
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        report.push(line(figure.clone(), "× of hand-written").rounds(&ratios))?;
        // Without the cost of any crate that uses the runtime: reading it and its dependencies, and cargo itself.
        let medians = [&ours, &theirs, &nothing].map(|values| median(values));
        if let [Some(ours), Some(theirs), Some(nothing)] = medians {
            let line = line(figure, "× of hand-written").set("less the crate that only names the runtime");
            report.push(line.value((ours - nothing) / (theirs - nothing)))?;
        }
    }
    Ok(())
}

/// A separate workspace with the versions of the benchmarks.
fn write_workspace(folder: &Path, sizes: &Sizes) -> Result {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runtime = bench.join("../futurecall-runtime").canonicalize()?;
    let mut members = vec![("empty".to_owned(), "pub use futurecall_runtime::Pod;\n".to_owned())];
    for methods in sizes.methods {
        for source in [Source::Ours, Source::Theirs, Source::Structs] {
            members.push((source.name(*methods), source.write(*methods)));
        }
    }
    let names: Vec<String> = members.iter().map(|(name, _)| format!("{name:?}")).collect();
    std::fs::create_dir_all(folder)?;
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", names.join(", "));
    std::fs::write(folder.join("Cargo.toml"), workspace)?;
    std::fs::copy(bench.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    for (name, source) in members {
        let member = folder.join(&name);
        std::fs::create_dir_all(member.join("src"))?;
        let manifest = format!(
            "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
             futurecall-runtime = {{ path = {:?}{} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
             serde_json = \"1\"\n",
            runtime.display().to_string(),
            if sizes.stores {
                ""
            } else {
                ", default-features = false, features = [\"macros\", \"discovery\"]"
            }
        );
        std::fs::write(member.join("Cargo.toml"), manifest)?;
        std::fs::write(member.join("src/lib.rs"), source)?;
    }
    Ok(())
}

/// Checks one crate from scratch: returns processor seconds of cargo and of the compiler.
async fn seconds(folder: &Path, name: &str) -> Result<f64> {
    let file = std::fs::File::options().append(true).open(folder.join(name).join("src/lib.rs"))?;
    file.set_modified(std::time::SystemTime::now())?;
    let before = processor_time_of_children()?;
    check(folder, &format!("--package={name}")).await?;
    let spent = processor_time_of_children()?.saturating_sub(before);
    if spent < Duration::from_millis(20) {
        return Err(format!("{name} was not checked").into());
    }
    Ok(spent.as_secs_f64())
}

async fn check(folder: &Path, what: &str) -> Result {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    // That of the benchmarks: they share dependencies.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| bench.join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let process = Command::new(cargo)
        .args(["check", "--quiet", "--offline", what])
        .current_dir(folder)
        // Nothing of an earlier check is reused, and nothing is kept for a later one.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    let status = Group(process).0.wait().await?;
    if status.success() { Ok(()) } else { Err(format!("cargo check {what} failed: {status}").into()) }
}

/// A process with its descendants: dropping it ends them all.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // `None` once it has been waited for.
        if let Some(leader) = self.0.id() {
            let group = format!("-{leader}");
            let killed = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
            if !killed.is_ok_and(|status| status.success()) {
                eprintln!("process group {leader} could not be ended");
            }
        }
    }
}
