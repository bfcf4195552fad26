//! The stylesheet and the script, out of the binary, under names that change with their content.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("assets/dashboard.css");
const SCRIPT: &str = include_str!("assets/dashboard.js");
const STYLE_HASH: u64 = hash(STYLE.as_bytes());
const SCRIPT_HASH: u64 = hash(SCRIPT.as_bytes());

/// FNV-1a: tells versions apart, which is all that is asked of it.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// Where the stylesheet is, from the root.
pub(crate) fn style() -> String {
    format!("assets/{STYLE_HASH:016x}/dashboard.css")
}

/// Where the script is, from the root.
pub(crate) fn script() -> String {
    format!("assets/{SCRIPT_HASH:016x}/dashboard.js")
}

/// The asset of that path. One of another hash is answered as well, and not kept: while versions are being exchanged, a page
/// of one instance asks the other.
pub(crate) fn find(path: &str) -> Option<Response> {
    let (hash, name) = path.strip_prefix("/assets/")?.split_once('/')?;
    let (own, kind, text) = match name {
        "dashboard.css" => (STYLE_HASH, "text/css; charset=utf-8", STYLE),
        "dashboard.js" => (SCRIPT_HASH, "text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let kept = hash == format!("{own:016x}");
    let cache = if kept { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    Some(response)
}
