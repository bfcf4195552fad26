//! Mails that go out by SMTP.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::demo::{demo, passed, rows};

/// The `Message-ID` lines of what was received.
type Received = Arc<Mutex<Vec<String>>>;

/// As much of an SMTP server as a mail needs.
async fn receive(mut stream: TcpStream, received: Received) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 ready\r\n").await?;
    let mut in_mail = false;
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split(' ').next().unwrap_or_default() {
            "." if in_mail => {
                in_mail = false;
                "250 taken\r\n"
            }
            "Message-ID:" => {
                received.lock().unwrap().push(line);
                continue;
            }
            _ if in_mail => continue,
            "DATA" => {
                in_mail = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_demonstration_sends_by_smtp_where_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let server = tokio::spawn({
        let received = Arc::clone(&received);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, Arc::clone(&received)));
            }
        }
    });
    let (output, text) = demo(&["demo", "--day", "50ms", "--accounts", "20", "--smtp-url", &url]).await;
    server.abort();
    passed(&output, &text, "20");
    assert!(text.contains("sent by SMTP"), "{text}");
    let sent: usize = rows(&text)[1..].iter().map(|row| row[3].parse::<usize>().unwrap()).sum();
    let mut received = received.lock().unwrap().clone();
    assert_eq!(received.len(), sent, "{text}");
    received.sort();
    received.dedup();
    assert_eq!(received.len(), sent, "none twice");
}

#[tokio::test]
async fn an_smtp_url_that_would_need_tls_or_a_password_is_refused() {
    for url in ["smtps://mail.example.org", "smtp://me:secret@mail.example.org", "mail.example.org"] {
        let (output, _) = demo(&["--smtp-url", url]).await;
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("smtp://host[:port]") && !said.contains("secret"), "{said}");
    }
}
