//! A loopback port between a client and a server, whose connections can be cut.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Accepts connections until the runtime ends. Clones are the same relay.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The address to connect to.
    pub address: SocketAddr,
    /// Cancelled to cut all connections; then replaced.
    cut: Arc<Mutex<CancellationToken>>,
}

impl Relay {
    /// Listens on a free port of the loopback address. `serve` is called with each connection, which ends with its future.
    ///
    /// # Errors
    ///
    /// If no port is available.
    pub async fn open<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let relay = Self { address: listener.local_addr()?, cut: Arc::default() };
        let cut = Arc::clone(&relay.cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let served = serve(client);
                // However it ends, the client sees the end of its connection.
                tokio::spawn(async move { cut.run_until_cancelled(served).await });
            }
        });
        Ok(relay)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner)).cancel();
    }
}
