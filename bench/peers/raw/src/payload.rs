//! What a call carries: `{"id":7}`, as text.

use peer_work::Result;

pub(crate) fn text(number: u32) -> String {
    format!("{{\"id\":{number}}}")
}

/// What a worker makes of it, as one would for any payload.
pub(crate) fn number(text: &str) -> Result<u32> {
    let payload: serde_json::Value = serde_json::from_str(text)?;
    let number = payload.get("id").and_then(serde_json::Value::as_u64).ok_or("the payload has no number")?;
    Ok(u32::try_from(number)?)
}
