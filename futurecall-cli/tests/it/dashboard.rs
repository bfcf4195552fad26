//! The dashboard, served by the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::run;
use crate::world::{on_a_file, on_both};

/// Sends Ctrl-C, and waits for the end.
fn interrupt(mut child: Child) -> i32 {
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is ours");
    child.wait().expect("it ends").code().expect("it ends by itself")
}

/// What is answered to one request.
fn get(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

fn basic(text: &str) -> String {
    use base64::Engine;
    let code = base64::engine::general_purpose::STANDARD.encode(text);
    format!("Authorization: Basic {code}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_served_to_who_knows_the_password_until_ctrl_c() {
    on_both(async |world| {
        let mut command = world.program();
        let words = ["dashboard", "--bind", "127.0.0.1:0", "-o", "ndjson", "--title", "Reports"];
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (url, password) = (told["url"].as_str().unwrap(), told["password"].as_str().unwrap());
        assert!(password.len() >= 32);
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');

        let answer = get(address, "/", "");
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("Basic realm"), "{answer}");
        assert!(!answer.contains("Reports"));
        for path in
            ["/calls", "/health/live/", "/health/live/../../calls", "//health/live", "/x?/health/live"]
        {
            assert!(get(address, path, "").starts_with("HTTP/1.1 401 "), "{path}");
        }
        assert!(get(address, "/", &basic("ada:wrong")).starts_with("HTTP/1.1 401 "));
        assert!(get(address, "/health/live", "").starts_with("HTTP/1.1 200 "));
        let answer = get(address, "/", &basic(&format!("ada:{password}")));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Reports"), "{answer}");
        let answer = get(address, "/calls", &basic(&format!("ada:{password}")));
        assert!(answer.contains("report.build") && !answer.contains("s3cret"), "{answer}");
        assert_eq!(interrupt(child), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_passwords_is_slowed_down_and_logged() {
    on_a_file(async |world| {
        let mut command = world.program();
        let words = ["dashboard", "--bind", "127.0.0.1:0", "-o", "ndjson"];
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let password = told["password"].as_str().unwrap().to_owned();
        let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().trim_end_matches('/');
        let right = basic(&format!("ada:{password}"));

        let answer = get(address, "/", &right);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let cookie =
            answer.lines().find_map(|line| line.strip_prefix("set-cookie: futurecall-session=")).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        let session = format!("Cookie: a=b; futurecall-session={}\r\n", cookie.split(';').next().unwrap());

        let answers = (0..300).map(|n| get(address, "/", &basic(&format!("gu3ssed:wr0ng{n}"))));
        let answers: Vec<_> = answers.collect();
        let looked_at = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 401 ")).count();
        assert!((5..=20).contains(&looked_at), "{looked_at} of 300 were looked at");
        for answer in &answers {
            assert!(
                answer.starts_with("HTTP/1.1 401 ")
                    || (answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nretry-after: ")),
                "{answer}"
            );
        }
        // The right one, too: it would be told from the others otherwise. Who had it before is not held up.
        assert!(get(address, "/", &right).starts_with("HTTP/1.1 429 "));
        assert!(get(address, "/", &format!("{right}{session}")).starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/", &format!("{}{session}", basic("ada:wrong"))).starts_with("HTTP/1.1 401 "));
        assert!(get(address, "/", "").starts_with("HTTP/1.1 401 "), "a browser asks without one first");
        assert!(get(address, "/health/live", "").starts_with("HTTP/1.1 200 "));

        let mut stderr = child.stderr.take().unwrap();
        assert_eq!(interrupt(child), 0);
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        let lines = log.lines().filter(|line| line.contains("wrong passwords for the dashboard")).count();
        assert!((1..=10).contains(&lines), "{log}");
        assert!(log.contains("WARN") && log.contains("127.0.0.1"), "{log}");
        for secret in ["wr0ng", "gu3ssed", password.as_str()] {
            assert!(!log.contains(secret), "{log}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_well_with_ctrl_c() {
    on_both(async |world| {
        let mut command = world.program();
        command.args(["watch", "--every", "100ms", "-o", "ndjson"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut looks = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..2 {
            looks.read_line(&mut String::new()).unwrap();
        }
        assert_eq!(interrupt(child), 0);
    })
    .await;
}

#[test]
fn it_is_not_open_to_others_without_a_password() {
    let said = run(&["dashboard", "--bind", "0.0.0.0:0", "--database-url", "memory:"]).ended(2);
    assert!(said.err.contains("--password-env"), "{}", said.err);
    let said =
        run(&["dashboard", "--password-env", "NO_SUCH_VARIABLE", "--database-url", "memory:"]).ended(2);
    assert!(said.err.contains("the environment variable NO_SUCH_VARIABLE is not set"), "{}", said.err);
}
