//! The embedded stylesheet and script, under paths that contain their hash.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("assets/dashboard.css");
const SCRIPT: &str = include_str!("assets/dashboard.js");
const STYLE_HASH: u64 = hash(STYLE.as_bytes());
const SCRIPT_HASH: u64 = hash(SCRIPT.as_bytes());

/// Computes an FNV-1a hash, which is enough to distinguish versions.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// Returns the path of the stylesheet, relative to the root.
pub(crate) fn style() -> String {
    format!("assets/{STYLE_HASH:016x}/dashboard.css")
}

/// Returns the path of the script, relative to the root.
pub(crate) fn script() -> String {
    format!("assets/{SCRIPT_HASH:016x}/dashboard.js")
}

/// Returns the asset at a path. Another hash is served too, uncached: during a rolling deploy, a page of one version may
/// request assets from an instance of the other.
pub(crate) fn find(path: &str) -> Option<Response> {
    let (hash, name) = path.strip_prefix("/assets/")?.split_once('/')?;
    let (own, kind, text) = match name {
        "dashboard.css" => (STYLE_HASH, "text/css; charset=utf-8", STYLE),
        "dashboard.js" => (SCRIPT_HASH, "text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let current = hash == format!("{own:016x}");
    let cache = if current { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    Some(response)
}
