//! Questions, on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use futurecall_runtime::CallState;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::world::{World, on_both};

/// Runs the program with a terminal for stdin and stderr, answers its question, and gives its code and what the terminal saw.
fn answered(world: &World, args: &[&str], answer: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&ours).expect("it is ours");
    unlockpt(&ours).expect("it is ours");
    let name = ptsname(&ours, Vec::new()).expect("it has a name");
    let theirs =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it can be opened");
    let mut ours = File::from(ours);
    let mut command = world.program();
    command.args(args).stdout(Stdio::null());
    command.stdin(theirs.try_clone().expect("it can be shared")).stderr(theirs);
    let mut child = command.spawn().expect("the program starts");
    // The command holds their end open until it goes.
    drop(command);
    let mut seen = Vec::new();
    let mut asked = false;
    let mut bytes = [0; 1024];
    // At the end of the program, reading fails: nobody holds the other side.
    while let Ok(count @ 1..) = ours.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
        if !asked && String::from_utf8_lossy(&seen).contains("[y/N] ") {
            asked = true;
            ours.write_all(answer.as_bytes()).expect("it reads");
        }
    }
    let code = child.wait().expect("it ends").code().expect("it ends by itself");
    (code, String::from_utf8_lossy(&seen).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_and_may_say_no() {
    on_both(async |world| {
        let state = async || world.pod.future_calls().status(world.waiting).await.unwrap();
        let words = ["cancel", "--identifier", "user:1"];
        for answer in ["n\n", "\n", "maybe\n", "\u{4}"] {
            let (code, seen) = answered(world, &words, answer);
            assert!(seen.contains("Cancel 1 scheduled call? [y/N] "), "{seen}");
            assert!(seen.contains("nothing was done"), "{seen}");
            assert_eq!(code, 5, "{seen}");
            assert_eq!(state().await, Some(CallState::Scheduled));
        }
        let (code, seen) = answered(world, &words, "y\n");
        assert_eq!(code, 0, "{seen}");
        assert_eq!(state().await, Some(CallState::Cancelled));
    })
    .await;
}
