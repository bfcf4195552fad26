//! What is checked before a request is let in, and again before it changes anything.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::header::{HOST, HeaderMap, ORIGIN, REFERER};
use axum::http::request::Parts;
use axum::http::{HeaderName, Uri};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Makes texts that only this dashboard can have made.
pub(crate) struct Seal {
    secret: Vec<u8>,
}

impl Seal {
    /// What is shorter could be guessed.
    const SHORTEST: usize = 32;

    pub(crate) fn new(secret: Option<Vec<u8>>) -> Self {
        // Two random UUIDs hold 244 bits of the operating system's own randomness.
        let fresh = || [Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(|id| *id.as_bytes()).collect();
        let long_enough = |secret: &Vec<u8>| {
            let enough = secret.len() >= Self::SHORTEST;
            if !enough {
                tracing::warn!(
                    bytes = secret.len(),
                    "the dashboard's secret has fewer than {} bytes: a random one is used instead",
                    Self::SHORTEST,
                );
            }
            enough
        };
        Self { secret: secret.filter(long_enough).unwrap_or_else(fresh) }
    }

    /// The seal of a text, for one use of it.
    pub(crate) fn of(&self, purpose: &str, text: &str) -> String {
        self.mac(purpose, text).map_or_else(String::new, |mac| {
            let code = mac.finalize().into_bytes();
            code.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        })
    }

    /// Whether that is the seal of the text, compared in constant time.
    pub(crate) fn holds(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let Some(code) = from_hex(seal) else { return false };
        self.mac(purpose, text).is_some_and(|mac| mac.verify_slice(&code).is_ok())
    }

    fn mac(&self, purpose: &str, text: &str) -> Option<Hmac<Sha256>> {
        // A key of any length is taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        for part in [purpose, text] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// Whether a program on this machine sends it, and no proxy stands in between; or why not.
pub(crate) fn from_this_machine(parts: &Parts) -> Result<(), &'static str> {
    const FORWARDED: [&str; 6] =
        ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Err("It is open to this machine alone, and does not know who asks: serve the app with \
                    `into_make_service_with_connect_info::<SocketAddr>()`.");
    };
    if !peer.ip().to_canonical().is_loopback() {
        return Err("It is open to programs on its own machine alone.");
    }
    if FORWARDED.into_iter().any(|name| parts.headers.contains_key(HeaderName::from_static(name))) {
        return Err(
            "It is open to this machine alone, and this request came by a proxy. Give it an authorizer.",
        );
    }
    // A page elsewhere can point its own name at this machine; its requests say that name.
    if host(parts).is_some_and(|host| names_this_machine(&host)) {
        Ok(())
    } else {
        Err("It is open to this machine alone: call it localhost or 127.0.0.1.")
    }
}

fn names_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether a request that changes something was sent by a page of this very origin. Browsers say so themselves where they
/// trust the address; where they do not (plain HTTP on a network), they name the page's origin.
pub(crate) fn from_the_same_origin(parts: &Parts) -> bool {
    if let Some(site) = parts.headers.get("sec-fetch-site") {
        return site.as_bytes() == b"same-origin";
    }
    let Some(host) = host(parts) else { return false };
    let sender = [ORIGIN, REFERER].into_iter().find_map(|name| text(&parts.headers, &name));
    sender
        .and_then(|sender| sender.parse::<Uri>().ok())
        .and_then(|sender| sender.authority().map(|authority| authority.as_str().eq_ignore_ascii_case(&host)))
        .unwrap_or(false)
}

/// The host that the request was sent to: a header in HTTP/1, part of the address in HTTP/2.
fn host(parts: &Parts) -> Option<String> {
    let header = text(&parts.headers, &HOST).map(str::to_ascii_lowercase);
    header.or_else(|| parts.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase()))
}

/// A header that stands there once, as text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use super::{Seal, names_this_machine};

    #[test]
    fn a_seal_holds_for_its_text_and_use_alone() {
        let seal = Seal::new(None);
        let code = seal.of("form", "ada");
        assert!(seal.holds("form", "ada", &code));
        let other = Seal::new(None);
        for holds in [
            seal.holds("form", "bob", &code),
            seal.holds("note", "ada", &code),
            seal.holds("for", "mada", &code),
            seal.holds("form", "ada", ""),
            seal.holds("form", "ada", &code[2..]),
            seal.holds("form", "ada", &code.replace(|_: char| true, "é")),
            other.holds("form", "ada", &code),
        ] {
            assert!(!holds);
        }
        let with = |secret: &str| Seal::new(Some(secret.into()));
        let shared = "the same for all, and long enough";
        assert!(with(shared).holds("form", "ada", &with(shared).of("form", "ada")));
        assert!(
            !with("short").holds("form", "ada", &with("short").of("form", "ada")),
            "too short to be kept"
        );
    }

    #[test]
    fn only_names_of_this_machine_are_its_names() {
        for name in ["localhost", "localhost:3000", "127.0.0.1:80", "[::1]", "[::1]:3000"] {
            assert!(names_this_machine(name), "{name}");
        }
        for name in
            ["localhost.evil.example", "evil.example:80", "localhost:evil", "::1", "", "127.0.0.1.evil:1"]
        {
            assert!(!names_this_machine(name), "{name}");
        }
    }
}
