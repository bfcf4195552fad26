//! The seed corpus of the fuzz targets, as plain tests.

use std::fs;
use std::path::{Path, PathBuf};

use futurecall_tests::fuzzed::{TARGETS, run};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn every_seed_of(target: &str) {
    let folder = fuzz().join("corpus").join(target);
    let mut seeds = 0;
    for seed in fs::read_dir(&folder).expect("a corpus") {
        let path = seed.expect("a seed").path();
        // Said before it is tried: a failure shows the last one.
        println!("{}", path.display());
        run(target, &fs::read(&path).expect("a seed can be read"));
        seeds += 1;
    }
    assert!(seeds >= 10, "{} holds only {seeds} seeds", folder.display());
}

#[test]
fn cron() {
    every_seed_of("cron");
}

#[test]
fn durations() {
    every_seed_of("durations");
}

#[test]
fn names() {
    every_seed_of("names");
}

#[test]
fn arguments() {
    every_seed_of("arguments");
}

#[test]
fn rows() {
    every_seed_of("rows");
}

#[test]
fn traceparents() {
    every_seed_of("traceparents");
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for place in ["corpus", "fuzz_targets"] {
        let mut found: Vec<_> = fs::read_dir(fuzz().join(place))
            .expect("a folder")
            .map(|entry| {
                entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
            })
            .collect();
        found.sort();
        let mut wanted = names.clone();
        wanted.sort();
        assert_eq!(found, wanted, "{place}");
    }
}
