//! The builder of the dashboard's router.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use futurecall_runtime::Pod;

use crate::access::{Arguments, Authorizer};
use crate::csrf::Signer;
use crate::live::Live;
use crate::serve::serve;
use crate::shared_state::{Readiness, SharedState};

/// A builder for the dashboard of a pod.
///
/// **Closed by default**: without [`authorize`](Self::authorize) or [`loopback_only`](Self::loopback_only), every page is
/// refused with a message that explains how to open it.
#[must_use = "call `into_router()` to get the router that serves the dashboard"]
pub struct Dashboard {
    pod: Pod,
    authorizer: Option<Arc<dyn Authorizer>>,
    loopback_only: bool,
    read_only: bool,
    arguments: Arguments,
    title: String,
    secret: Option<Vec<u8>>,
}

/// Returns a builder for the dashboard of a pod. See the [crate's documentation](crate) for the two ways to open it.
pub fn dashboard(pod: &Pod) -> Dashboard {
    Dashboard {
        pod: pod.clone(),
        authorizer: None,
        loopback_only: false,
        read_only: false,
        arguments: Arguments::default(),
        title: "Futurecall".to_owned(),
        secret: None,
    }
}

impl Dashboard {
    /// Sets the authorizer, which decides who may see and do what.
    pub fn authorize(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Accepts requests from this machine only. Without an [`authorizer`](Self::authorize) they have all rights, under the name
    /// `local`; with one, both must agree.
    ///
    /// It needs the address of the peer: serve the app with `into_make_service_with_connect_info::<SocketAddr>()`; otherwise
    /// every request is refused. Requests that came through a proxy are refused too (those with a header such as
    /// `X-Forwarded-For`, or a `Host` that is not a loopback name), because every client of a proxy on this machine appears
    /// as a local peer. A proxy that adds no header and rewrites `Host` cannot be detected: use an authorizer there.
    pub fn loopback_only(mut self) -> Self {
        self.loopback_only = true;
        self
    }

    /// Removes all rights that permit a change, from every user.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets which arguments are shown. Default: [`Arguments::Redacted`].
    pub fn arguments(mut self, arguments: Arguments) -> Self {
        self.arguments = arguments;
        self
    }

    /// Sets the title at the top of each page, for example the name of your service or `staging`. Default: `Futurecall`.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the secret that signs forms and notices. Default: random for each process. Instances behind one load balancer need
    /// the same secret, because a form served by one may be submitted to another. Use at least 32 random bytes; a shorter
    /// secret is ignored with a warning.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Returns the router, to be nested under any path: `.nest("/futurecalls", …)`. It holds a clone of the pod.
    pub fn into_router(self) -> Router {
        let shared = Arc::new(SharedState {
            live: Live::new(self.pod.clone()),
            pod: self.pod,
            authorizer: self.authorizer,
            loopback_only: self.loopback_only,
            read_only: self.read_only,
            arguments: self.arguments,
            title: self.title,
            signer: Signer::new(self.secret),
            ready: Readiness::default(),
        });
        Router::new().route("/", any(serve)).route("/{*path}", any(serve)).with_state(shared)
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("pod", &self.pod)
            .field("authorized", &self.authorizer.is_some())
            .field("loopback_only", &self.loopback_only)
            .field("read_only", &self.read_only)
            .field("arguments", &self.arguments)
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}
