//! The crash sweep, some torture and some strangers, on each database. `scripts/prove` has more of both.

use std::process::Command;
use std::sync::{PoisonError, RwLock};

/// Held for reading by what excuses a machine that is busy, and for writing by what excuses nothing.
static MACHINE: RwLock<()> = RwLock::new(());

#[test]
fn postgres() {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    passes(&["sweep"]);
    passes(&["--seconds", "20", "--seed", "1"]);
    passes(&["strangers", "--seconds", "6", "--seed", "1"]);
}

#[test]
fn sqlite() {
    let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    passes(&["sweep", "--sqlite"]);
    passes(&["--seconds", "20", "--seed", "1", "--sqlite"]);
    passes(&["strangers", "--seconds", "6", "--seed", "1", "--sqlite"]);
}

/// Where no clock can be bent, this fails: `scripts/lib/faketime.sh` installs what it takes.
#[cfg(target_os = "linux")]
#[test]
fn sqlite_clocks() {
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    passes(&["clocks"]);
}

/// As from a shell: what is tortured are processes that this program starts of itself.
#[track_caller]
fn passes(args: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_futurecall-torture")).args(args).output().unwrap();
    let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{args:?}: {}\n{said}\n{complained}", output.status);
    assert!(said.contains("violations=0"), "{args:?}\n{said}\n{complained}");
    println!("{said}");
}
