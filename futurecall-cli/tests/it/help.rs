//! The help of every command, as it reads.

use crate::program::run;
use crate::snapshot::expect_exactly;

#[test]
fn every_command_has_help_that_reads_well() {
    let mut text = String::new();
    walk(&[], &mut text);
    expect_exactly("help.txt", &text);
}

fn walk(path: &[&str], text: &mut String) {
    let help = run(&[path, &["--help"]].concat()).ended(0).out;
    // What all have in common is shown once.
    let own = if path.is_empty() { help.as_str() } else { help.split("Global options:").next().unwrap() };
    let command = [path, &["--help"]].concat().join(" ");
    text.extend(["$ futurecall ", &command, "\n", own, "\n"]);
    let Some(commands) = help.split("Commands:\n").nth(1) else { return };
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        // The continuation of a summary stands further to the right.
        let name = line.trim_start().split(' ').next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            walk(&[path, &[name]].concat(), text);
        }
    }
}

#[test]
fn the_version_is_told() {
    let said = run(&["--version"]).ended(0);
    assert_eq!(said.out, format!("futurecall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(&["completions", shell]).ended(0);
        assert!(said.out.contains("run-again") && said.err.is_empty(), "{shell}");
    }
}
