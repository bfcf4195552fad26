//! The messages between PostgreSQL and its clients.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Prepares a statement: its name, its text, and the types of its parameters.
pub const PARSE: u8 = b'P';

/// Reads one message: its type, and all of its bytes. The first message of a client has no type; 0 stands for it.
///
/// # Errors
///
/// If the connection ends.
pub async fn read(from: &mut (impl AsyncRead + Unpin), has_type: bool) -> io::Result<(u8, Vec<u8>)> {
    let kind = if has_type { from.read_u8().await? } else { 0 };
    let length = from.read_u32().await?;
    let mut message = Vec::with_capacity(length as usize + 1);
    message.extend(has_type.then_some(kind));
    message.extend(length.to_be_bytes());
    let head = message.len();
    message.resize(head + (length as usize).saturating_sub(4), 0);
    from.read_exact(message.get_mut(head..).unwrap_or_default()).await?;
    Ok((kind, message))
}

/// Returns a message of type [`PARSE`] with another text, if `change` returns one.
pub fn with_text(message: Vec<u8>, change: impl FnOnce(&str) -> Option<String>) -> Vec<u8> {
    // The type and the length precede the body; its name and its text end with a zero each.
    let mut parts = message.get(5..).unwrap_or_default().splitn(3, |byte| *byte == 0);
    let (Some(name), Some(text), Some(types)) = (parts.next(), parts.next(), parts.next()) else {
        return message;
    };
    let Some(text) = std::str::from_utf8(text).ok().and_then(change) else { return message };
    let length = 4 + name.len() + 1 + text.len() + 1 + types.len();
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [&[PARSE], &length[..], name, &[0], text.as_bytes(), &[0], types].concat()
}

#[cfg(test)]
mod tests {
    use super::{PARSE, read, with_text};

    #[tokio::test]
    async fn a_statement_gets_another_text_and_the_message_its_length() {
        let message = b"P\0\0\0\x12s1\0SELECT 1\0\0\0".to_vec();
        let changed = with_text(message.clone(), |text| Some(text.replace("SELECT", "INSERT INTO")));
        let (kind, whole) = read(&mut &changed[..], true).await.unwrap();
        assert_eq!((kind, &whole), (PARSE, &changed));
        assert_eq!(&whole[5..], b"s1\0INSERT INTO 1\0\0\0");
        assert_eq!(with_text(message.clone(), |_| None), message);
        let startup = b"\0\0\0\x08\0\x03\0\0".to_vec();
        assert_eq!(read(&mut &startup[..], false).await.unwrap(), (0, startup));
    }
}
