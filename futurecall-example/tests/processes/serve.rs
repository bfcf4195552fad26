//! Two processes that serve from one database.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futurecall_example::mailer::letter_ids;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// A `serve` process.
struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Server {
    async fn start(database_url: &str, outbox: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_futurecall-example"))
            .args(["serve", "--listen", "127.0.0.1:0", "--day", "100ms"])
            .args(["--outbox", outbox.to_str().unwrap()])
            .env("DATABASE_URL", database_url)
            .env_remove("SMTP_URL")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("it says where it listens before it ends");
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        Self { process, lines, address }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    /// Ends it as a service manager would, and says how it went.
    async fn stop(mut self) -> (ExitStatus, String) {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let mut said = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            said += &line;
        }
        (self.process.wait().await.unwrap(), said)
    }
}

async fn two_processes_share_the_work(database_url: &str) {
    const ACCOUNTS: usize = 25;
    let folder = tempfile::tempdir().unwrap();
    let outboxes = ["one", "two"].map(|name| folder.path().join(name));
    // At once: both set the tables up.
    let (one, two) =
        tokio::join!(Server::start(database_url, &outboxes[0]), Server::start(database_url, &outboxes[1]));
    let mut ids = Vec::new();
    for number in 0..ACCOUNTS {
        let server = if number % 2 == 0 { &one } else { &two };
        let body = json!({ "name": format!("Number {number}"), "email": format!("{number}@example.org") });
        ids.push(server.post("/signup", &body).await["id"].as_i64().unwrap());
        if number == 0 {
            // Signed up through one process, unsubscribed through the other, long before the month is over.
            two.post(&format!("/unsubscribe/{}", ids[0]), &Value::Null).await;
        }
    }

    let wanted = |mails: &[String]| {
        let stayed = |id: &i64| mails.iter().filter(|mail| mail.starts_with(&format!("{id}."))).count() == 4;
        ids[1..].iter().all(stayed)
    };
    let wait = async {
        loop {
            let mails =
                outboxes.iter().filter_map(|outbox| letter_ids(outbox).ok()).collect::<Vec<_>>().concat();
            if wanted(&mails) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("all mails come");
    for server in [one, two] {
        let (status, said) = server.stop().await;
        assert!(status.success(), "{said}");
        assert!(said.contains("stopped in") && said.contains("0 were interrupted"), "{said}");
    }

    let [one, two] = outboxes.each_ref().map(|outbox| letter_ids(outbox).unwrap());
    assert!(!one.is_empty() && !two.is_empty(), "{} and {} mails", one.len(), two.len());
    let mut mails = [one, two].concat();
    mails.retain(|mail| !mail.starts_with("operator."));
    let of_first = mails.iter().filter(|mail| mail.starts_with(&format!("{}.", ids[0]))).count();
    assert!(of_first < 4, "it left: {mails:?}");
    assert_eq!(mails.len() - of_first, (ACCOUNTS - 1) * 4, "none missing, none twice");
}

#[tokio::test]
async fn two_processes_share_the_work_on_one_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    two_processes_share_the_work(&format!("sqlite:{}", folder.path().join("drip.db").display())).await;
}

#[tokio::test]
async fn two_processes_share_the_work_on_one_postgresql() {
    let database = futurecall_tests::database::postgres().await;
    two_processes_share_the_work(&database.url).await;
    database.drop().await;
}
