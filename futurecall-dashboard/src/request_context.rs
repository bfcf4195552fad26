//! The context of an admitted request.

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
use crate::shared_state::SharedState;

/// The relative path from a page to the dashboard's root. Links are relative so that they work under any mount path and behind
/// any proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base(String);

impl Base {
    /// Derives it from the requested path and the part of it that the router sees.
    pub(crate) fn of(original: &str, inner: &str) -> Self {
        let depth = inner.trim_start_matches('/').matches('/').count();
        if depth > 0 {
            Self("../".repeat(depth))
        } else if inner.trim_matches('/').is_empty() && !original.ends_with('/') {
            // `/futurecalls` itself, whose pages are `futurecalls/…` from there. The `./` keeps a folder name such as
            // `javascript:` from being read as a scheme.
            Self(format!("./{}/", original.rsplit('/').next().unwrap_or_default()))
        } else {
            Self("./".to_owned())
        }
    }

    /// Returns a link to a page.
    pub(crate) fn to(&self, page: &str) -> String {
        format!("{}{page}", self.0)
    }
}

/// The user's colour theme, which the script keeps in a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Follows the operating system.
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let theme = cookies
            .flat_map(|cookies| cookies.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix("futurecall-theme="));
        match theme {
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

/// An admitted request.
pub(crate) struct RequestContext {
    pub(crate) shared: Arc<SharedState>,
    pub(crate) access: Access,
    pub(crate) base: Base,
    pub(crate) params: Params,
    pub(crate) theme: Theme,
    pub(crate) json: bool,
    /// The database's time.
    pub(crate) now: Moment,
    /// Pods seen within the last day.
    pub(crate) pods: Vec<PodRecord>,
    /// Names that this pod does not run, and another live pod does.
    elsewhere: BTreeSet<String>,
}

impl RequestContext {
    pub(crate) async fn begin(
        shared: &Arc<SharedState>,
        access: Access,
        base: Base,
        params: Params,
        json: bool,
        theme: Theme,
    ) -> Result<Self, Failure> {
        let now = shared.pod.inspect().now().await?;
        let pods = shared.pod.inspect().pods().await?;
        let (own, others): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pod.id == shared.pod.id());
        let own: BTreeSet<_> = own.into_iter().flat_map(|pod| &pod.names).collect();
        let others = others.into_iter().filter(|pod| pod.live && pod.runs()).flat_map(|pod| &pod.names);
        let elsewhere = others.filter(|name| !own.contains(name)).cloned().collect();
        Ok(Self { shared: Arc::clone(shared), access, base, params, theme, json, now, pods, elsewhere })
    }

    pub(crate) fn inspect(&self) -> Inspector {
        self.shared.pod.inspect()
    }

    pub(crate) fn operate(&self) -> Operator {
        self.shared.pod.operate(self.access.actor())
    }

    pub(crate) const fn may(&self, right: Right) -> bool {
        self.access.allows(right)
    }

    /// Fails unless the user has the right; `what` completes "not allowed to".
    pub(crate) fn must(&self, right: Right, what: &str) -> Result<(), Failure> {
        if self.may(right) { Ok(()) } else { Err(Failure::no_right(what)) }
    }

    /// Returns why a call cannot run. An unknown name counts only if no other live pod runs it.
    pub(crate) fn broken<'a>(&self, call: &'a CallRecord) -> Option<&'a str> {
        call.broken.as_deref().filter(|_| !self.elsewhere.contains(&call.name))
    }

    /// Returns the names that live pods run.
    pub(crate) fn known(&self) -> BTreeSet<&str> {
        let live = self.pods.iter().filter(|pod| pod.live && pod.runs());
        live.flat_map(|pod| &pod.names).map(String::as_str).collect()
    }

    /// Returns a link to a page.
    pub(crate) fn to(&self, page: &str) -> String {
        self.base.to(page)
    }

    /// Renders the CSRF token of a form.
    pub(crate) fn token(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.shared.signer.sign("form", self.access.actor())); }
    }

    /// Redirects to a page with a notice. The notice is signed, so that a forged link cannot show one.
    pub(crate) fn done(&self, page: &str, notice: &str) -> Response {
        let signature = self.shared.signer.sign("notice", &format!("{page} {notice}"));
        let to = Query::new().with("notice", notice).with("signature", signature);
        let page = if page.contains('?') { format!("{page}&{}", to.text()) } else { to.of(page) };
        self.redirect(&page)
    }

    /// Redirects the browser to a page.
    fn redirect(&self, page: &str) -> Response {
        (StatusCode::SEE_OTHER, [(LOCATION, self.to(page))]).into_response()
    }

    /// Returns the notice of [`done`](Self::done), if this request has a validly signed one.
    pub(crate) fn notice(&self, page: &str) -> Option<&str> {
        let (notice, signature) = (self.params.get("notice")?, self.params.get("signature")?);
        self.shared.signer.verify("notice", &format!("{page} {notice}"), signature).then_some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::Base;

    #[test]
    fn links_lead_to_the_root_from_any_page() {
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
