//! Compares the list of futures with the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futurecall_tests::backend::Backend;

use super::list;
use super::stage::Stage;

/// Those that are begun by a handler of the rounds.
const OF_SESSIONS: [&str; 3] = ["Session::transaction", "Session::cancelled", "CallTransaction::complete"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_public_future_is_kept_in_the_rounds() {
    let backend = Backend::sqlite();
    let stage = Stage::new(&backend).await;
    let listed = list::all(&stage).await.0.into_iter().map(|item| item.name.to_owned());
    let listed: BTreeSet<String> = listed.chain(OF_SESSIONS.map(str::to_owned)).collect();
    let mut written = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("futurecall-runtime/src");
    public_futures(&sources, &mut written);
    assert_eq!(listed, written, "left: `list` and `OF_SESSIONS`; right: what the sources have");
    for pod in [&stage.pod, &stage.side, &stage.ending] {
        pod.shutdown().await;
    }
}

/// Returns the names of all public futures in files below a folder. Stores are left out, which only pods and tests use,
/// and the hooks of simulations.
fn public_futures(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("store" | "testing.rs" | "simulated.rs" | "tests" | "tests.rs") => {}
            _ if path.is_dir() => public_futures(&path, found),
            _ if path.extension().is_some_and(|extension| extension == "rs") => {
                futures_of(&fs::read_to_string(&path).unwrap(), found);
            }
            _ => {}
        }
    }
}

fn futures_of(text: &str, found: &mut BTreeSet<String>) {
    let mut of = String::new();
    for line in text.lines() {
        if line.starts_with("impl") {
            of = type_of(line);
            if line.contains("IntoFuture for ") {
                found.insert(of.clone());
            }
        }
        let line = line.trim_start();
        let method = line.strip_prefix("pub async fn ").or_else(|| {
            let gives_a_future = ["impl Future<", "BoxFuture<"].iter().any(|future| line.contains(future));
            line.strip_prefix("pub fn ").filter(|_| gives_a_future)
        });
        if let Some(method) = method {
            let name = method.split(['(', '<']).next().unwrap();
            found.insert(format!("{of}::{name}"));
        }
    }
}

/// Parses `X` of `impl X {`, `impl<…> X<…> {` and `impl Trait for X {`.
fn type_of(line: &str) -> String {
    let mut depth = 0_usize;
    let plain: String = line
        .chars()
        .filter(|letter| {
            let opens = *letter == '<';
            let closes = *letter == '>';
            depth = (depth + usize::from(opens)).saturating_sub(usize::from(closes));
            depth == 0 && !closes
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let place = words.iter().position(|word| *word == "for").unwrap_or(0);
    words.get(place + 1).map_or_else(String::new, |word| (*word).to_owned())
}

#[test]
fn the_type_of_an_impl_is_read() {
    for line in ["impl Pod {", "impl<'s, Db: Database> Pod<'s, Db> {", "impl IntoFuture for Pod {"] {
        assert_eq!(type_of(line), "Pod");
    }
}
