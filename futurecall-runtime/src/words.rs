//! `Debug` of error types, in the words of `Display`.

use std::error::Error;
use std::fmt;

/// Implements `Debug` as `Display`, followed by the sources. A program whose `main` returns an error shows its `Debug`, so
/// that is what most people see of it.
macro_rules! debug_in_words {
    ($($type:ty),* $(,)?) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::words::in_words(self, f)
            }
        }
    )*};
}

pub(crate) use debug_in_words;

/// How many sources are shown: an error of the application's may name itself as its source.
const MOST_SOURCES: usize = 16;

/// Writes an error and its sources, separated by colons. A source whose text stands in what was written before it, as
/// most of ours quote theirs, is left out.
pub(crate) fn in_words(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut said = error.to_string();
    f.write_str(&said)?;
    let mut next = error.source();
    for _ in 0..MOST_SOURCES {
        let Some(source) = next else { break };
        next = source.source();
        let text = source.to_string();
        if !said.contains(&text) {
            write!(f, ": {text}")?;
            said = text;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    struct Circle;

    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("round")
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    debug_in_words!(Circle);

    #[test]
    fn a_source_that_leads_back_to_itself_comes_to_an_end() {
        assert_eq!(format!("{Circle:?}"), "round");
    }
}
