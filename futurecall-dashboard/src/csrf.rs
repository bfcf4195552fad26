//! Request checks: loopback peers, same origin, and signatures of CSRF tokens and notices.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::header::{HOST, HeaderMap, ORIGIN, REFERER};
use axum::http::request::Parts;
use axum::http::{HeaderName, Uri};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Signs texts with the dashboard's secret.
pub(crate) struct Signer {
    secret: Vec<u8>,
}

impl Signer {
    /// The shortest secret accepted, in bytes.
    const SHORTEST: usize = 32;

    pub(crate) fn new(secret: Option<Vec<u8>>) -> Self {
        // Two random UUIDs hold 244 random bits from the operating system.
        let fresh = || [Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(|id| *id.as_bytes()).collect();
        let long_enough = |secret: &Vec<u8>| {
            let enough = secret.len() >= Self::SHORTEST;
            if !enough {
                tracing::warn!(
                    bytes = secret.len(),
                    "the dashboard's secret is shorter than {} bytes; using a random one instead",
                    Self::SHORTEST,
                );
            }
            enough
        };
        Self { secret: secret.filter(long_enough).unwrap_or_else(fresh) }
    }

    /// Returns the signature of a text for one purpose.
    pub(crate) fn sign(&self, purpose: &str, text: &str) -> String {
        self.mac(purpose, text).map_or_else(String::new, |mac| {
            let code = mac.finalize().into_bytes();
            code.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        })
    }

    /// Returns whether the signature is valid, in constant time.
    pub(crate) fn verify(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let Some(code) = from_hex(signature) else { return false };
        self.mac(purpose, text).is_some_and(|mac| mac.verify_slice(&code).is_ok())
    }

    fn mac(&self, purpose: &str, text: &str) -> Option<Hmac<Sha256>> {
        // HMAC accepts a key of any length.
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

/// Checks that the peer is on this machine and that the request came through no proxy.
pub(crate) fn from_this_machine(parts: &Parts) -> Result<(), &'static str> {
    const FORWARDED: [&str; 6] =
        ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Err(
            "The dashboard only accepts requests from this machine, but does not know the client's address: serve \
                    the app with `into_make_service_with_connect_info::<SocketAddr>()`.",
        );
    };
    if !peer.ip().to_canonical().is_loopback() {
        return Err("The dashboard only accepts requests from its own machine.");
    }
    if FORWARDED.into_iter().any(|name| parts.headers.contains_key(HeaderName::from_static(name))) {
        return Err(
            "The dashboard only accepts requests from this machine, and this one came through a proxy. Use an authorizer.",
        );
    }
    // Prevents DNS rebinding: a foreign page can resolve its own name to this machine, but sends that name as the host.
    if host(parts).is_some_and(|host| names_this_machine(&host)) {
        Ok(())
    } else {
        Err(
            "The dashboard only accepts requests from this machine: use localhost or 127.0.0.1 in the address.",
        )
    }
}

fn names_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Returns whether a request was sent by a page of the same origin. Browsers send `Sec-Fetch-Site` to trustworthy addresses;
/// for plain HTTP on a network, `Origin` or `Referer` is compared with the host.
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

/// Returns the requested host: a header in HTTP/1, part of the URI in HTTP/2.
fn host(parts: &Parts) -> Option<String> {
    let header = text(&parts.headers, &HOST).map(str::to_ascii_lowercase);
    header.or_else(|| parts.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase()))
}

/// Returns the value of a header that occurs exactly once.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use super::{Signer, names_this_machine};

    #[test]
    fn a_signature_is_valid_for_its_text_and_purpose_only() {
        let signer = Signer::new(None);
        let code = signer.sign("form", "ada");
        assert!(signer.verify("form", "ada", &code));
        let other = Signer::new(None);
        for valid in [
            signer.verify("form", "bob", &code),
            signer.verify("note", "ada", &code),
            signer.verify("for", "mada", &code),
            signer.verify("form", "ada", ""),
            signer.verify("form", "ada", &code[2..]),
            signer.verify("form", "ada", &code.replace(|_: char| true, "é")),
            other.verify("form", "ada", &code),
        ] {
            assert!(!valid);
        }
        let with = |secret: &str| Signer::new(Some(secret.into()));
        let shared = "the same for all, and long enough";
        assert!(with(shared).verify("form", "ada", &with(shared).sign("form", "ada")));
        assert!(
            !with("short").verify("form", "ada", &with("short").sign("form", "ada")),
            "too short to be kept"
        );
    }

    #[test]
    fn only_loopback_names_are_accepted() {
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
