//! Begins futures, keeps them, and polls them without Tokio.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futurecall_tests::journal::PATIENCE;
use tokio::sync::Notify;

/// How long a future that is to be polled again is given to be woken: long enough to make progress.
const STEP: Duration = Duration::from_millis(3);

/// Notifies when a future asks to be polled again.
#[derive(Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future that many times at most. Returns `None` if it is still pending; it is not polled any more.
pub(crate) async fn poll_times<F: Future + ?Sized>(
    mut future: Pin<&mut F>,
    times: usize,
) -> Option<F::Output> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    for left in (0..times).rev() {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        if left > 0 {
            // How far it gets is left to chance; whether it was woken does not matter.
            let _ = tokio::time::timeout(STEP, bell.0.notified()).await;
        }
    }
    None
}

/// Awaits something with a timeout.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(elapsed) => {
            panic!("{what} does not end while futures are kept that were begun before ({elapsed})")
        }
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits a future on this thread, without Tokio.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    assert!(tokio::runtime::Handle::try_current().is_err(), "the thread belongs to a runtime");
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(std::thread::current()))));
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park();
    }
}

/// Performs something on a thread without Tokio, and waits for it.
pub(crate) async fn on_a_plain_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(tell.send(work())));
    soon("what a plain thread does", told).await.expect("the thread has panicked")
}
