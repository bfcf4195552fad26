//! What stands between the pods and PostgreSQL: it cuts, stalls, swallows replies, and (for mutants) changes statements.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::mutant::Rewrite;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everything.
    Open,
    /// Nothing, in either direction.
    Stalled,
    /// What goes to the server. Its replies are lost.
    Mute,
}

/// One client's way to the server. Clones are the same way.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    passage: watch::Sender<Passage>,
    /// Cancelled to cut all connections; then replaced.
    cut: Mutex<CancellationToken>,
    socket: PathBuf,
    rewrites: &'static [Rewrite],
}

impl Lane {
    /// Listens on a free port of the loopback address, for as long as the runtime lives.
    pub(crate) async fn open(socket: PathBuf, rewrites: &'static [Rewrite]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (passage, _) = watch::channel(Passage::Open);
        let state = Arc::new(State { passage, cut: Mutex::default(), socket, rewrites });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// The URL of the database behind it, for that user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("postgres://{user}@{}/postgres?sslmode=disable", self.address)
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        let mut cut = self.state.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Says what passes from now on. After replies were swallowed, no connection is of use any more: cut them.
    pub(crate) fn set(&self, passage: Passage) {
        self.state.passage.send_replace(passage);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let cut = state.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Whatever ends it, the client sees an end of its connection.
            let _ = cut.run_until_cancelled(serve(client, &state)).await;
        });
    }
}

async fn serve(client: TcpStream, state: &State) -> Result {
    client.set_nodelay(true)?;
    // A new connection is stalled as well.
    state.passage.subscribe().wait_for(|passage| *passage != Passage::Stalled).await?;
    let (from_server, to_server) = UnixStream::connect(&state.socket).await?.into_split();
    let (from_client, to_client) = client.into_split();
    let asking = async {
        if state.rewrites.is_empty() {
            pass(from_client, to_server, state, false).await
        } else {
            rewrite(from_client, to_server, state).await
        }
    };
    tokio::select! {
        result = asking => result,
        result = pass(from_server, to_client, state, true) => result,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
    is_reply: bool,
) -> Result {
    let mut passage = state.passage.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let now = *passage.wait_for(|passage| *passage != Passage::Stalled).await?;
        if !(is_reply && now == Passage::Mute) {
            to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        }
    }
}

/// Passes a client's messages on one by one, with other statements where it prepares those of a mutant.
async fn rewrite(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: &State) -> Result {
    let mut passage = state.passage.subscribe();
    let mut is_startup = true;
    loop {
        // The first message has no type.
        let kind = if is_startup { None } else { Some(from.read_u8().await?) };
        is_startup = false;
        let length = from.read_u32().await?;
        let mut body = vec![0; usize::try_from(length)?.saturating_sub(4)];
        from.read_exact(&mut body).await?;
        if kind == Some(b'P') {
            body = with_rewrites(body, state.rewrites);
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend(u32::try_from(body.len() + 4)?.to_be_bytes());
        message.extend(body);
        passage.wait_for(|passage| *passage != Passage::Stalled).await?;
        to.write_all(&message).await?;
    }
}

/// A message that prepares a statement: its name, its text, and more; each of the first two ends with a zero.
fn with_rewrites(body: Vec<u8>, rewrites: &[Rewrite]) -> Vec<u8> {
    let mut parts = body.splitn(3, |byte| *byte == 0);
    let (Some(name), Some(text), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return body;
    };
    let Ok(text) = std::str::from_utf8(text) else { return body };
    let Some(changed) = crate::mutant::rewritten(text, rewrites) else { return body };
    [name, &[0], changed.as_bytes(), &[0], rest].concat()
}
