//! Running the program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes UTF-8");
        Self {
            code: output.status.code().expect("it ends by itself"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// As JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// The program with nothing of this process's environment but where programs are.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_futurecall"));
    command.env_clear();
    // Coverage and sanitizers want theirs.
    command.envs(
        std::env::vars().filter(|(name, _)| ["PATH", "HOME", "LLVM_PROFILE_FILE"].contains(&name.as_str())),
    );
    command.env("FUTURECALL_ACTOR", "ada");
    command.stdin(Stdio::null());
    command
}

/// Runs it without a database.
pub(crate) fn run(args: &[&str]) -> Said {
    Said::of(&program().args(args).output().expect("the program starts"))
}

/// Runs it with something to read.
pub(crate) fn fed(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("it was asked for").write_all(input.as_bytes()).expect("it reads");
    Said::of(&child.wait_with_output().expect("it ends"))
}
