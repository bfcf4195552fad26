//! The patches of `scripts/mutants`: each must still apply.

use std::fs;
use std::path::{Path, PathBuf};

/// One place of a file, as it is and as the mistake has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    file: String,
    right: String,
    wrong: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The patches, by name.
fn patches() -> Vec<(String, String)> {
    let folder = fs::read_dir(root().join("mutants")).expect("a folder of mutants");
    let mut patches: Vec<_> = folder
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    patches.sort();
    patches
}

/// What a patch changes.
fn hunks(patch: &str) -> Vec<Hunk> {
    let (mut hunks, mut file) = (Vec::<Hunk>::new(), String::new());
    for line in patch.lines().skip_while(|line| line.starts_with('#')) {
        if let Some(path) = line.strip_prefix("+++ b/") {
            path.clone_into(&mut file);
        } else if line.starts_with("@@ ") {
            hunks.push(Hunk { file: file.clone(), ..Hunk::default() });
        } else if let (Some(hunk), Some((mark, text))) = (hunks.last_mut(), line.split_at_checked(1)) {
            for (side, other) in [(&mut hunk.right, "+"), (&mut hunk.wrong, "-")] {
                if mark != other {
                    side.push_str(text);
                    side.push('\n');
                }
            }
        }
    }
    hunks
}

#[test]
fn every_mutant_can_be_planted() {
    let patches = patches();
    assert!(patches.len() >= 22, "{} mutants", patches.len());
    for (name, patch) in &patches {
        let hunks = hunks(patch);
        assert!(!hunks.is_empty(), "{name} changes nothing");
        for Hunk { file, right, wrong } in hunks {
            let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
            assert!(
                text.contains(&right),
                "mutants/{name} does not fit {file} any more: make it anew\n{right}"
            );
            assert_ne!(right, wrong, "{name}");
            assert!(
                file.starts_with("futurecall-runtime/src/"),
                "{name} changes {file}, no source of the product"
            );
        }
    }
}

#[test]
fn every_mutant_says_what_it_is_and_which_proof_finds_it() {
    for (name, patch) in patches() {
        let mut lines = patch.lines();
        let what = lines.next().and_then(|line| line.strip_prefix("# what: ")).unwrap_or_default();
        let proof = lines.next().and_then(|line| line.strip_prefix("# proof: ")).unwrap_or_default();
        assert!(what.ends_with('.'), "{name} does not say what the mistake is: {what}");
        assert!(
            proof.starts_with("cargo test -p ") || proof.starts_with("cargo run -p "),
            "{name} does not say which command must fail: {proof}"
        );
        let stem = name.strip_suffix(".patch").unwrap_or_default();
        let is_kebab = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
        assert!(stem.split('-').all(is_kebab), "{name} is no kebab-case name of a patch");
    }
}

#[test]
fn a_patch_reads_as_what_is_and_what_would_be() {
    let patch = "# what: x.\n# proof: y\n--- a/f.rs\n+++ b/f.rs\n@@ -1,3 +1,3 @@\n one\n-two\n+three\n \n";
    let expected = Hunk { file: "f.rs".into(), right: "one\ntwo\n\n".into(), wrong: "one\nthree\n\n".into() };
    assert_eq!(hunks(patch), [expected]);
}
