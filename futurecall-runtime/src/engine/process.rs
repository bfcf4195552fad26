//! The process that a pod's tasks run in: the real one, or one of a simulation that can be suspended.

/// The process that the tasks of a pod belong to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    #[cfg(feature = "testing")]
    simulated: Option<super::simulated::Process>,
}

#[cfg(not(feature = "testing"))]
impl Process {
    /// Wraps a task of this process.
    #[expect(clippy::unused_self, reason = "as the one of simulations")]
    pub(super) fn task<F: Future>(&self, future: F) -> F {
        future
    }

    /// Returns whether tasks must be used in place of threads.
    #[expect(clippy::unused_self, reason = "as the one of simulations")]
    pub(super) const fn has_no_threads(&self) -> bool {
        false
    }
}

#[cfg(feature = "testing")]
impl Process {
    /// Creates a process of a simulation.
    pub(crate) fn simulated(process: super::simulated::Process) -> Self {
        Self { simulated: Some(process) }
    }

    /// Wraps a task of this process.
    pub(super) fn task<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        use futures_util::future::Either;
        match &self.simulated {
            None => Either::Left(future),
            Some(process) => Either::Right(process.task(future)),
        }
    }

    /// Returns whether tasks must be used in place of threads.
    pub(super) const fn has_no_threads(&self) -> bool {
        self.simulated.is_some()
    }
}

/// Returns host name and process id, as the pod's label.
pub(super) fn label() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    let host = host.or_else(|| Some(std::fs::read_to_string("/etc/hostname").ok()?.trim().to_owned()));
    format!("{}:{}", host.as_deref().unwrap_or("host"), std::process::id())
}
