//! A proxy between the pods and PostgreSQL: it cuts, stalls, drops replies, and (for mutants) changes statements.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futurecall_testbed::messages;
use futurecall_testbed::relay::Relay;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use crate::Result;
use crate::mutant::{self, Rewrite};

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everything.
    Open,
    /// Nothing, in either direction.
    Stalled,
    /// Messages to the server only. Its replies are dropped.
    Mute,
}

/// The connections of one client to the server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    relay: Relay,
    passage: Arc<watch::Sender<Passage>>,
}

#[derive(Debug)]
struct State {
    passage: Arc<watch::Sender<Passage>>,
    socket: PathBuf,
    rewrites: &'static [Rewrite],
}

impl Lane {
    /// Listens on a free port of the loopback address, for as long as the runtime lives.
    pub(crate) async fn open(socket: PathBuf, rewrites: &'static [Rewrite]) -> Result<Self> {
        let passage = Arc::new(watch::Sender::new(Passage::Open));
        let state = Arc::new(State { passage: Arc::clone(&passage), socket, rewrites });
        let relay = Relay::open(move |client| serve(client, Arc::clone(&state))).await?;
        Ok(Self { relay, passage })
    }

    /// Returns the URL of the database behind it, for that user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("postgres://{user}@{}/postgres?sslmode=disable", self.relay.address)
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.relay.cut();
    }

    /// Sets what passes from now on. After replies were dropped, no connection is usable any more: cut them.
    pub(crate) fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

impl State {
    /// Waits until anything passes, and returns what.
    async fn opening(&self) -> io::Result<Passage> {
        let mut passage = self.passage.subscribe();
        let now = passage.wait_for(|passage| *passage != Passage::Stalled).await;
        now.map(|passage| *passage).map_err(io::Error::other)
    }
}

async fn serve(client: TcpStream, state: Arc<State>) -> io::Result<()> {
    let state = &*state;
    client.set_nodelay(true)?;
    // A new connection is stalled as well.
    state.opening().await?;
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
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let now = state.opening().await?;
        if !(is_reply && now == Passage::Mute) {
            to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        }
    }
}

/// Passes on a client's messages one by one, and changes statements that it prepares as the mutant says.
async fn rewrite(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
) -> io::Result<()> {
    let mut has_type = false;
    loop {
        let (kind, mut message) = messages::read(&mut from, has_type).await?;
        has_type = true;
        if kind == messages::PARSE {
            message = messages::with_text(message, |text| mutant::rewritten(text, state.rewrites));
        }
        state.opening().await?;
        to.write_all(&message).await?;
    }
}
