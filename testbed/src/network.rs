//! A network between a pod and a PostgreSQL server: every chunk of bytes is delayed in both directions.
//!
//! It uses threads, because the timers of the asynchronous runtime have a resolution of one millisecond.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// The address of a server.
#[derive(Clone, Debug)]
pub enum Server {
    /// Host and port.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

/// A slow connection to a server. Once this is dropped, it accepts no more connections; existing ones end with either
/// end.
#[derive(Debug)]
pub struct Network {
    /// The port to connect to instead.
    pub address: SocketAddr,
    is_closed: Arc<AtomicBool>,
}

impl Network {
    /// Opens a port to that server on which a reply takes that long, and as long again before a new connection's first
    /// message is sent, like the handshake of TCP.
    ///
    /// # Errors
    ///
    /// If no port is available.
    pub fn before(server: Server, round_trip: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that cannot be established ends at once.
                let _ = join(client, &server, round_trip);
            }
        });
        Ok(Self { address, is_closed })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // So that the accepting thread notices it.
        let _ = TcpStream::connect(self.address);
    }
}

/// A stream of either kind.
trait Stream: Read + Write + Send + Sized + 'static {
    /// Signals that nothing more is written.
    fn end(&self);
}

impl Stream for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// Forwards the messages between a client and the server.
fn join(client: TcpStream, server: &Server, round_trip: Duration) -> std::io::Result<()> {
    let begun = Instant::now();
    client.set_nodelay(true)?;
    let (of_client, earliest, one_way) = (client.try_clone()?, begun + round_trip, round_trip / 2);
    match server {
        Server::Tcp(address) => {
            let server = TcpStream::connect(address)?;
            server.set_nodelay(true)?;
            carry(server.try_clone()?, client, begun, one_way);
            carry(of_client, server, earliest, one_way);
        }
        Server::Unix(path) => {
            let server = UnixStream::connect(path)?;
            carry(server.try_clone()?, client, begun, one_way);
            carry(of_client, server, earliest, one_way);
        }
    }
    Ok(())
}

/// Forwards one direction. What is read counts as sent at `earliest` at the earliest.
fn carry(mut from: impl Stream, mut to: impl Stream, earliest: Instant, one_way: Duration) {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let arrives = Instant::now().max(earliest) + one_way;
            if sender.send((arrives, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((arrives, chunk)) = receiver.recv() {
            thread::sleep(arrives.saturating_duration_since(Instant::now()));
            if to.write_all(&chunk).is_err() {
                return;
            }
        }
        to.end();
    });
}
