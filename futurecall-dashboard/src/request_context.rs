//! One request that was let in, and what its page needs to know.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{COOKIE, HeaderMap, LOCATION};
use axum::response::{IntoResponse, Response};
use futurecall_runtime::Moment;
use futurecall_runtime::inspect::{CallRecord, Inspector, PodRecord};
use futurecall_runtime::operate::Operator;
use maud::{Markup, html};

use crate::access::{Access, Right};
use crate::error_page::Failure;
use crate::params::{Params, Query};
use crate::shared_state::Desk;

/// The way from a page to the dashboard's root, as links on it begin: relative, so that they hold under any path and behind
/// any proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base(String);

impl Base {
    /// From the path that was asked for, and what is left of it inside the router.
    pub(crate) fn of(original: &str, inner: &str) -> Self {
        let depth = inner.trim_start_matches('/').matches('/').count();
        if depth > 0 {
            Self("../".repeat(depth))
        } else if inner.trim_matches('/').is_empty() && !original.ends_with('/') {
            // `/futurecalls` itself: seen from there, its pages are `futurecalls/…`. What precedes keeps a folder whose name
            // looks like a scheme from being one.
            Self(format!("./{}/", original.rsplit('/').next().unwrap_or_default()))
        } else {
            Self("./".to_owned())
        }
    }

    /// A link to a page.
    pub(crate) fn to(&self, page: &str) -> String {
        format!("{}{page}", self.0)
    }
}

/// The visitor's choice between light and dark, which the script keeps in a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system says.
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let chosen = cookies
            .flat_map(|cookies| cookies.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix("futurecall-theme="));
        match chosen {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    pub(crate) const fn word(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }
}

/// A request that was let in.
pub(crate) struct Visit {
    pub(crate) desk: Arc<Desk>,
    pub(crate) access: Access,
    pub(crate) base: Base,
    pub(crate) params: Params,
    pub(crate) theme: Theme,
    pub(crate) json: bool,
    /// By the database's clock.
    pub(crate) now: Moment,
    /// All pods of the last day.
    pub(crate) pods: Vec<PodRecord>,
    /// Names that this pod does not know, and another live one does.
    elsewhere: BTreeSet<String>,
}

impl Visit {
    pub(crate) async fn begin(
        desk: &Arc<Desk>,
        access: Access,
        base: Base,
        params: Params,
        json: bool,
        theme: Theme,
    ) -> Result<Self, Failure> {
        let now = desk.pod.inspect().now().await?;
        let pods = desk.pod.inspect().pods().await?;
        let (own, others): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.id == desk.pod.id());
        let own: BTreeSet<_> = own.into_iter().flat_map(|pod| &pod.names).collect();
        let others = others.into_iter().filter(|pod| pod.live && pod.runs()).flat_map(|pod| &pod.names);
        let elsewhere = others.filter(|name| !own.contains(name)).cloned().collect();
        Ok(Self { desk: Arc::clone(desk), access, base, params, theme, json, now, pods, elsewhere })
    }

    pub(crate) fn inspect(&self) -> Inspector {
        self.desk.pod.inspect()
    }

    pub(crate) fn operate(&self) -> Operator {
        self.desk.pod.operate(self.access.actor())
    }

    pub(crate) const fn may(&self, right: Right) -> bool {
        self.access.allows(right)
    }

    /// Refuses what the visitor may not do.
    pub(crate) fn must(&self, right: Right, what: &str) -> Result<(), Failure> {
        if self.may(right) { Ok(()) } else { Err(Failure::no_right(what)) }
    }

    /// Why a call cannot run. That this pod does not know its name matters only if no other does.
    pub(crate) fn broken<'a>(&self, call: &'a CallRecord) -> Option<&'a str> {
        call.broken.as_deref().filter(|_| !self.elsewhere.contains(&call.name))
    }

    /// Names that a live pod runs.
    pub(crate) fn known(&self) -> BTreeSet<&str> {
        let live = self.pods.iter().filter(|pod| pod.live && pod.runs());
        live.flat_map(|pod| &pod.names).map(String::as_str).collect()
    }

    /// A link to a page.
    pub(crate) fn to(&self, page: &str) -> String {
        self.base.to(page)
    }

    /// What every form holds, so that it can be told from one that somebody else has made.
    pub(crate) fn token(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.desk.seal.of("form", self.access.actor())); }
    }

    /// Sends the browser on to a page that says what was done. What it says is sealed: a link cannot make it say it.
    pub(crate) fn done(&self, page: &str, notice: &str) -> Response {
        let seal = self.desk.seal.of("notice", &format!("{page} {notice}"));
        let to = Query::new().with("notice", notice).with("seal", seal);
        let page = if page.contains('?') { format!("{page}&{}", to.text()) } else { to.of(page) };
        self.see(&page)
    }

    /// Sends the browser on to a page.
    pub(crate) fn see(&self, page: &str) -> Response {
        (StatusCode::SEE_OTHER, [(LOCATION, self.to(page))]).into_response()
    }

    /// What [`done`](Self::done) had to say, if it did.
    pub(crate) fn notice(&self, page: &str) -> Option<&str> {
        let (notice, seal) = (self.params.get("notice")?, self.params.get("seal")?);
        self.desk.seal.holds("notice", &format!("{page} {notice}"), seal).then_some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::Base;

    #[test]
    fn links_lead_to_the_root_from_wherever_they_stand() {
        for (original, inner, base) in [
            ("/futurecalls", "/", "./futurecalls/"),
            ("/futurecalls/", "/", "./"),
            ("/a/b", "/", "./b/"),
            ("/", "/", "./"),
            ("/futurecalls/calls", "/calls", "./"),
            ("/a/b/calls/1", "/calls/1", "../"),
            ("/a/calls/1/act", "/calls/1/act", "../../"),
            ("/javascript:alert(1)", "/", "./javascript:alert(1)/"),
        ] {
            assert_eq!(Base::of(original, inner).to(""), base, "{original}");
        }
    }
}
