//! The W3C form of a trace's context, which travels with a call: <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::str::FromStr;

/// Whose span scheduled a call: a W3C `traceparent`.
///
/// ```
/// use futurecall_runtime::signals::Traceparent;
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let parent: Traceparent = text.parse().unwrap();
/// assert_eq!((parent.parent_id, parent.is_sampled()), (0xb7ad_6b71_6920_3331, true));
/// assert_eq!(parent.to_string(), text);
/// assert!("00-00000000000000000000000000000000-b7ad6b7169203331-01".parse::<Traceparent>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span in it; never zero.
    pub parent_id: u64,
    /// Its flags; the lowest bit says that it is sampled.
    pub flags: u8,
}

impl Traceparent {
    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for Traceparent {
    /// As version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = ParseTraceparentError;

    /// Reads version 00; of a later version what stands where version 00 has it.
    fn from_str(text: &str) -> Result<Self, ParseTraceparentError> {
        let mut fields = text.split('-');
        let mut next =
            |digits| fields.next().and_then(|field| hex(field, digits)).ok_or(ParseTraceparentError);
        let (version, trace_id, parent_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let more = fields.next().is_some();
        if version == 0xff || (version == 0 && more) || trace_id == 0 || parent_id == 0 {
            return Err(ParseTraceparentError);
        }
        let (parent_id, flags) = (u64::try_from(parent_id), u8::try_from(flags));
        let (Ok(parent_id), Ok(flags)) = (parent_id, flags) else { return Err(ParseTraceparentError) };
        Ok(Self { trace_id, parent_id, flags })
    }
}

/// A number of exactly so many hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

/// A text that is no W3C `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a W3C traceparent: 00-, 32 hexadecimal digits, -, 16, -, 2, in lower case, and no id of zeros alone"
)]
#[non_exhaustive]
pub struct ParseTraceparentError;

crate::words::debug_in_words!(ParseTraceparentError);

#[cfg(test)]
mod tests {
    use super::Traceparent;

    #[test]
    fn only_the_form_of_the_standard_is_read() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = |text: &str| text.parse::<Traceparent>().map(|parent| parent.to_string());
        assert_eq!(read(good).as_deref(), Ok(good));
        // Of a later version, what version 00 knows.
        assert_eq!(read(&good.replacen("00", "cc", 1)).as_deref(), Ok(good));
        assert_eq!(read(&(good.replacen("00", "cc", 1) + "-what-ever")).as_deref(), Ok(good));
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-"),
            &format!("{good}0"),
            &format!(" {good}"),
            &good.to_uppercase(),
            &good.replacen("00", "ff", 1),
            &good.replace('-', "_"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good.replace("b7ad6b7169203331", &"0".repeat(16)),
            &good.replace("b7ad6b7169203331", "+7ad6b7169203331"),
            &good.replace("b7ad6b7169203331", "b7ad6b716920333é"),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
