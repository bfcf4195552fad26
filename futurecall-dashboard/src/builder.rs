//! What the dashboard is told before it becomes a router.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use futurecall_runtime::Pod;

use crate::access::{Arguments, Authorizer};
use crate::csrf::Seal;
use crate::live::Live;
use crate::serve::serve;
use crate::shared_state::{Desk, Readiness};

/// The dashboard of a pod, before it becomes a router.
///
/// **Closed by default**: without [`authorize`](Self::authorize) or [`loopback_only`](Self::loopback_only), every page is
/// refused with a text that says what to do.
#[must_use = "a dashboard is served by the router that `into_router()` gives"]
pub struct Dashboard {
    pod: Pod,
    authorizer: Option<Arc<dyn Authorizer>>,
    loopback_only: bool,
    read_only: bool,
    arguments: Arguments,
    title: String,
    secret: Option<Vec<u8>>,
}

/// Begins the dashboard of a pod. See the [crate's documentation](crate) for the two ways to open it.
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
    /// Opens it to whom this lets in.
    pub fn authorize(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Answers programs on this machine alone; without an [`authorizer`](Self::authorize), whoever sits there may do
    /// everything, as `local`. With one, both must agree.
    ///
    /// It needs to know the peer: serve the app with `into_make_service_with_connect_info::<SocketAddr>()`; without that,
    /// every request is refused. So is one that came by a proxy (it has a header such as `X-Forwarded-For`, or its `Host`
    /// is none of this machine's own names), because behind a proxy on this machine all the world is a local peer. A proxy
    /// that adds no header and rewrites `Host` cannot be told from a person: use an authorizer there.
    pub fn loopback_only(mut self) -> Self {
        self.loopback_only = true;
        self
    }

    /// Lets nobody change anything, whatever their rights.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// What is shown of arguments; [`Arguments::Redacted`] unless told.
    pub fn arguments(mut self, arguments: Arguments) -> Self {
        self.arguments = arguments;
        self
    }

    /// What stands at the top of each page, `Futurecall` unless told: the name of your service, say, or `staging`.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What forms are sealed with; random for each process unless told. Instances behind one balancer need the same: a form
    /// that one of them has made may be sent to another. At least 32 random bytes that nobody
    /// else knows; a shorter one is not used, and a warning says so.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The router: `.nest("/futurecalls", …)` it under any path. It holds a clone of the pod.
    pub fn into_router(self) -> Router {
        let desk = Arc::new(Desk {
            live: Live::new(self.pod.clone()),
            pod: self.pod,
            authorizer: self.authorizer,
            loopback_only: self.loopback_only,
            read_only: self.read_only,
            arguments: self.arguments,
            title: self.title,
            seal: Seal::new(self.secret),
            ready: Readiness::default(),
        });
        Router::new().route("/", any(serve)).route("/{*path}", any(serve)).with_state(desk)
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
