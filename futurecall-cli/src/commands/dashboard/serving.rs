//! Accepts connections, with limits on their number and on how long each may be slow or idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long a connection may take to send a whole request header, from its beginning and from each answer on.
    header: Duration,
    /// How many are open at once; more wait to be accepted.
    connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header: Duration::from_secs(30), connections: 1_024 }
    }
}

/// Answers requests until the future is dropped, which closes every connection.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: Limits) {
    /// The wait before the next try to accept where the process has no more file descriptors.
    const PAUSE: Duration = Duration::from_millis(200);

    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let app = app.clone();
                connections.spawn(async move {
                    answer(stream, peer, app, limits).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr, app: Router, limits: Limits) {
    let service = TowerToHyperService::new(app.layer(Extension(ConnectInfo(peer))));
    let mut server = http1::Builder::new();
    // The time of the header counts while a connection is idle, too.
    server.timer(TokioTimer::new()).header_read_timeout(limits.header);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Reads until the server closes the connection.
    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it is closed").expect("it is read");
        String::from_utf8(answer).expect("text")
    }

    #[tokio::test]
    async fn connections_that_are_slow_or_idle_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
        // One at a time: the next is accepted because the one before was closed.
        let limits = Limits { header: Duration::from_millis(300), connections: 1 };
        let serving = tokio::spawn(serve(listener, Router::new().route("/", get(peer)), limits));
        for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            let answer = until_closed(&mut stream).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{sent:?}: {answer}");
        }
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let me = stream.local_addr().expect("an address").to_string();
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&me), "{answer}");
        serving.abort();
    }
}
