//! Compares the README's tour with the program's output. `UPDATE_EXPECT=1` rewrites it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::snapshot::steady;
use crate::world::{World, on_a_file};

const PROMPT: &str = "$ futurecall ";

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_tour_is_what_is_printed() {
    on_a_file(async |world| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = fs::read_to_string(&path).unwrap();
        let mut real = String::new();
        let mut commands = 0;
        for (n, block) in readme.split("```").enumerate() {
            let separator = if n > 0 { "```" } else { "" };
            let Some(session) = block.strip_prefix("text\n").filter(|session| session.starts_with(PROMPT))
            else {
                write!(real, "{separator}{block}").unwrap();
                continue;
            };
            let command = session.lines().next().unwrap();
            commands += 1;
            write!(real, "{separator}text\n{command}\n{}", printed(world, command)).unwrap();
        }
        assert!(commands >= 15, "the tour has lost its way");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &real).unwrap();
        }
        let (said, told) = (steady(&real), steady(&fs::read_to_string(&path).unwrap()));
        for (said, told) in said.split("```").zip(told.split("```")) {
            assert_eq!(said, told, "README.md differs: rewrite it with UPDATE_EXPECT=1");
        }
    })
    .await;
}

/// What one command prints, with the ids of this world for its variables.
fn printed(world: &World, command: &str) -> String {
    let words = words(command.strip_prefix(PROMPT).unwrap());
    let words: Vec<String> = words
        .into_iter()
        .map(|word| match word.as_str() {
            "$WAITING" => world.waiting.to_string(),
            "$FAILED" => world.failed.to_string(),
            "$GHOST" => world.ghost.to_string(),
            _ => word,
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = world.run(&words);
    format!("{}{}", said.out, said.err)
}

/// As a shell takes it apart, of which the tour needs single quotes alone.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('\'').enumerate();
    quoted
        .flat_map(|(n, part)| {
            if n % 2 == 1 {
                vec![part.to_owned()]
            } else {
                part.split_whitespace().map(str::to_owned).collect()
            }
        })
        .collect()
}
