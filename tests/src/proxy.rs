//! A proxy between a pod and PostgreSQL, which ends connections, drops replies, holds statements back and changes them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futurecall_testbed::messages;
use futurecall_testbed::relay::Relay;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::database::TestDatabase;

/// A connection to the test's server that can be shut. It ends with the runtime of its test.
#[derive(Debug)]
pub struct Proxy {
    /// The URL to connect to instead.
    pub url: String,
    relay: Relay,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: String,
    is_shut: AtomicBool,
    /// Cancelled to stall the existing connections; then replaced.
    silence: Mutex<CancellationToken>,
    refused: AtomicUsize,
    /// The reply that is to be lost.
    doomed: Mutex<Option<Doomed>>,
    lost: AtomicUsize,
    /// Every statement that was sent for execution.
    sent: Mutex<Vec<String>>,
    gate: watch::Sender<Gate>,
    /// Replacements in statements.
    changes: Mutex<Vec<(String, String)>>,
}

/// Where statements are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    /// Nowhere.
    #[default]
    Open,
    /// Before the statement of that number from now on; 1 is the next.
    Before(usize),
    /// A statement is held back.
    Holds,
}

/// A reply that is to be lost.
#[derive(Clone, Debug)]
struct Doomed {
    /// A piece of its statement.
    statement: String,
    /// A piece of the reply itself.
    reply: String,
    /// The error that the server seems to return instead, if any.
    instead: Vec<u8>,
}

impl Proxy {
    /// Opens a proxy to the database.
    ///
    /// # Panics
    ///
    /// If no port is available.
    pub async fn before(database: &TestDatabase) -> Self {
        let state = Arc::new(State {
            server: split(&database.url).1.to_owned(),
            is_shut: AtomicBool::new(false),
            silence: Mutex::default(),
            refused: AtomicUsize::new(0),
            doomed: Mutex::default(),
            lost: AtomicUsize::new(0),
            gate: watch::Sender::default(),
            changes: Mutex::default(),
            sent: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let relay =
            Relay::open(move |client| serve(client, Arc::clone(&serving))).await.expect("a free port");
        let (url, _) = redirected(&database.url, relay.address);
        Self { url, relay, state }
    }

    /// Ends all connections, and every new one as soon as it is made.
    pub fn shut(&self) {
        self.state.is_shut.store(true, Ordering::SeqCst);
        self.relay.cut();
    }

    /// Stalls the existing connections, and leaves them open, like a network that has forgotten them. New ones work.
    pub fn silence(&self) {
        std::mem::take(&mut *self.state.silence.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.state.is_shut.store(false, Ordering::SeqCst);
    }

    /// Returns how many connections were ended as soon as they were made.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// Executes and commits the next statement that contains this text, and ends its connection without a reply.
    pub fn lose_the_reply_to(&self, statement: &str) {
        self.lose_a_reply_to(statement, "");
    }

    /// Does the same with the next one outside of a transaction whose reply contains that text.
    pub fn lose_a_reply_to(&self, statement: &str, reply: &str) {
        self.doom(statement, reply, Vec::new());
    }

    /// Executes and commits the next statement that contains this text, and replies with that error, with which its
    /// connection ends.
    pub fn answer_with_an_error(&self, statement: &str, severity: &str, code: &str) {
        self.doom(statement, "", error(severity, code));
    }

    /// Returns how many statements that contain this text were sent for execution.
    pub fn sent(&self, statement: &str) -> usize {
        let sent = self.state.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().filter(|text| text.contains(statement)).count()
    }

    fn doom(&self, statement: &str, reply: &str, instead: Vec<u8>) {
        let doomed = Doomed { statement: statement.to_owned(), reply: reply.to_owned(), instead };
        *self.state.doomed.lock().unwrap_or_else(PoisonError::into_inner) = Some(doomed);
    }

    /// From now on replaces the first text by the other one in statements that are prepared: a mistake in the SQL of
    /// the build under test.
    pub fn change(&self, statement: &str, instead: &str) {
        let change = (statement.to_owned(), instead.to_owned());
        self.state.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Holds the statement of that number from now on back (1 is the next), until [`go_on`](Self::go_on). Statements of
    /// all connections count, including BEGIN and COMMIT, but not what a store sends outside of its work:
    /// notifications, and the ROLLBACK of a transaction that was dropped.
    pub fn hold_back(&self, statement: usize) {
        self.state.gate.send_replace(Gate::Before(statement));
    }

    /// Waits until a statement is held back.
    pub async fn holds(&self) {
        // The sender lives as long as the proxy does.
        let _ = self.state.gate.subscribe().wait_for(|gate| *gate == Gate::Holds).await;
    }

    /// Sends what was held back, and holds nothing back any more.
    pub fn go_on(&self) {
        self.state.gate.send_replace(Gate::Open);
    }

    /// Returns how many replies were lost this way.
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl State {
    /// Returns the text of a statement with the requested changes, if there are any.
    fn changed(&self, text: &str) -> Option<String> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = changes.iter().any(|(from, _)| text.contains(from));
        is_meant.then(|| changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
    }

    /// Waits if this statement is to be held back.
    async fn pass(&self, text: &str) {
        if text.starts_with("SELECT pg_notify(") || text.starts_with("ROLLBACK") {
            return;
        }
        let mut is_held = false;
        self.gate.send_if_modified(|gate| {
            let Gate::Before(statement) = *gate else { return false };
            is_held = statement <= 1;
            *gate = if is_held { Gate::Holds } else { Gate::Before(statement - 1) };
            true
        });
        if is_held {
            let _ = self.gate.subscribe().wait_for(|gate| *gate != Gate::Holds).await;
        }
    }
}

/// Returns the URL with another host and port, and the host and port that it had.
///
/// # Panics
///
/// If the URL names no user or no database.
pub fn redirected(url: &str, address: SocketAddr) -> (String, String) {
    let (before, server, path) = split(url);
    let separator = if path.contains('?') { '&' } else { '?' };
    (format!("{before}@{address}/{path}{separator}sslmode=disable"), server.to_owned())
}

/// Splits a URL: the part before its host, its host and port, and the rest.
fn split(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.split_once('@').expect("the URL names a user");
    let (server, path) = rest.split_once('/').expect("the URL names a database");
    (before, server, path)
}

async fn serve(client: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    if state.is_shut.load(Ordering::SeqCst) {
        state.refused.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    }
    let state = &*state;
    let server = TcpStream::connect(&state.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let losing = Mutex::default();
    let silence = state.silence.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // They live on while the connection is silent, so that nobody sees its end.
    let asking = std::pin::pin!(ask(from_client, to_server, state, &losing));
    let answering = std::pin::pin!(answer(from_server, to_client, state, &losing));
    tokio::select! {
        biased;
        () = silence.cancelled() => std::future::pending().await,
        result = asking => result,
        result = answering => result,
    }
}

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    losing: &Mutex<Option<Doomed>>,
) -> std::io::Result<()> {
    let mut statements = HashMap::<Vec<u8>, String>::new();
    // The doomed statement is on its way; and whether it stands in a transaction.
    let (mut sent, mut in_transaction) = (None, false);
    let mut has_type = false;
    loop {
        let (kind, mut message) = messages::read(&mut from, has_type).await?;
        has_type = true;
        if kind == messages::PARSE {
            message = messages::with_text(message, |text| state.changed(text));
        }
        let mut words = message.get(5..).unwrap_or_default().split(|byte| *byte == 0);
        let mut word = || words.next().unwrap_or_default();
        match kind {
            // Prepares a statement: its name and its text.
            messages::PARSE => {
                let (name, text) = (word().to_vec(), String::from_utf8_lossy(word()).into_owned());
                statements.insert(name, text);
            }
            // Binds a portal to a statement: both by name.
            b'B' => {
                let _portal = word();
                let text = statements.get(word()).map_or("", String::as_str);
                state.pass(text).await;
                state.sent.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
                let mut doomed = state.doomed.lock().unwrap_or_else(PoisonError::into_inner);
                if doomed.as_ref().is_some_and(|doomed| text.contains(&doomed.statement)) {
                    sent = doomed.take();
                }
            }
            // A whole statement.
            b'Q' => {
                let text = word();
                state.pass(&String::from_utf8_lossy(text)).await;
                in_transaction = text.starts_with(b"BEGIN");
                if sent.is_some() && text.starts_with(b"COMMIT") {
                    *losing.lock().unwrap_or_else(PoisonError::into_inner) = sent.take();
                }
            }
            // Asks for the answer.
            b'S' if sent.is_some() && !in_transaction => {
                *losing.lock().unwrap_or_else(PoisonError::into_inner) = sent.take();
            }
            _ => {}
        }
        to.write_all(&message).await?;
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    losing: &Mutex<Option<Doomed>>,
) -> std::io::Result<()> {
    let mut held_back = Vec::new();
    loop {
        let (kind, message) = messages::read(&mut from, true).await?;
        let doomed = losing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(doomed) = doomed else {
            to.write_all(&message).await?;
            continue;
        };
        held_back.extend(message);
        if kind != b'Z' {
            continue;
        }
        // The server is done.
        if holds(&held_back, doomed.reply.as_bytes()) {
            to.write_all(&doomed.instead).await?;
            state.lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        // It was another one's.
        *losing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *state.doomed.lock().unwrap_or_else(PoisonError::into_inner) = Some(doomed);
        to.write_all(&std::mem::take(&mut held_back)).await?;
    }
}

/// Returns a server's error message.
fn error(severity: &str, code: &str) -> Vec<u8> {
    let fields = [('S', severity), ('V', severity), ('C', code), ('M', "it is short of something")];
    let mut body: Vec<u8> =
        fields.iter().flat_map(|(kind, text)| format!("{kind}{text}\0").into_bytes()).collect();
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("it is short");
    [&b"E"[..], &length.to_be_bytes(), &body].concat()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}
