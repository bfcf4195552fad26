//! Texts of what users give: they may be huge, have no end, or panic while they are written.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How many characters of an error are kept.
pub(crate) const LONGEST_ERROR: usize = 8_000;

/// How many sources of an error are followed: one may lead back to an earlier one.
pub(crate) const DEEPEST: usize = 64;

/// How often a text may go on although the writer refuses it, before it is stopped.
const REFUSALS: u32 = 10_000;

/// What stops a text that goes on although the writer refuses it.
struct Enough;

/// A writer that takes so many characters, and then refuses.
#[derive(Debug)]
pub(crate) struct Bounded {
    text: String,
    left: usize,
    is_cut: bool,
    refusals: u32,
}

impl Bounded {
    pub(crate) fn new(most: usize) -> Self {
        Self { text: String::new(), left: most, is_cut: false, refusals: 0 }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.is_cut {
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals > REFUSALS && cfg!(panic = "unwind") {
                // Caught by `text`; no panic hook is called.
                resume_unwind(Box::new(Enough));
            }
            return Err(fmt::Error);
        }
        let Some((end, _)) = more.char_indices().nth(self.left) else {
            self.left = self.left.saturating_sub(more.chars().count());
            self.text.push_str(more);
            return Ok(());
        };
        self.text.push_str(more.get(..end).unwrap_or_default());
        self.left = 0;
        self.is_cut = true;
        Err(fmt::Error)
    }
}

/// Returns what is written, at most so many characters. If it panics, what was written before, and that it did.
pub(crate) fn text(most: usize, write: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let mut bounded = Bounded::new(most);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| write(&mut bounded))) {
        if !panic.is::<Enough>() {
            bounded.text.push_str("… (showing it panicked)");
        }
        forget_panic(panic);
    }
    bounded.text
}

/// Returns what a value says of itself, at most so many characters. Its panics are its user's.
pub(crate) fn shown(value: &dyn fmt::Display, most: usize) -> String {
    let mut bounded = Bounded::new(most);
    // An error is the writer's, which has enough.
    let _ = write!(bounded, "{value}");
    bounded.text
}

/// Writes an error with what it comes from.
pub(crate) fn chain(f: &mut impl Write, error: &(dyn Error + 'static), most: usize) -> fmt::Result {
    let said = |error: &(dyn Error + 'static)| text(most, |f| write!(f, "{error}"));
    let mut last = (error, said(error));
    f.write_str(&last.1)?;
    let mut source = error.source();
    for _ in 0..DEEPEST {
        let Some(cause) = source else { return Ok(()) };
        let words = said(cause);
        // An error that is its own source is shown once.
        if !std::ptr::addr_eq(cause, last.0) || words != last.1 {
            write!(f, ": {words}")?;
        }
        source = cause.source();
        last = (cause, words);
    }
    if source.is_some() { f.write_str(": …") } else { Ok(()) }
}

/// Returns what a panic said, at most so many characters, and drops what it left behind.
pub(crate) fn panicked(panic: Box<dyn Any + Send>, most: usize) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let said = text(most, |f| f.write_str(words.unwrap_or("with a value that is not text")));
    drop_quietly(panic);
    said
}

/// Drops a value of the user's, whose destructor may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        forget_panic(panic);
    }
}

/// Drops what a panic left behind. What panics once more when it is dropped is left alone.
fn forget_panic(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let cut = |most, parts: &[&str]| text(most, |f| parts.iter().try_for_each(|part| f.write_str(part)));
        assert_eq!(cut(4, &["é", "é", "ab"]), "ééab");
        assert_eq!(cut(3, &["é", "é", "ab", "c"]), "ééa");
        assert_eq!(cut(0, &["", "a"]), "");
    }

    #[test]
    fn what_goes_on_for_ever_is_stopped() {
        let stubborn = text(3, |f| {
            loop {
                let _ = f.write_str("ab");
            }
        });
        assert_eq!(stubborn, "aba");
        let panicking = text(30, |f| f.write_str("so far").map(|()| panic!("no further")));
        assert_eq!(panicking, "so far… (showing it panicked)");
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let said = |panic: Box<dyn Any + Send>| panicked(panic, 4);
        assert_eq!(
            (said(Box::new("one")), said(Box::new("twice".to_owned()))),
            ("one".into(), "twic".into())
        );
        assert_eq!(panicked(Box::new(3), 100), "with a value that is not text");
    }

    #[derive(Debug)]
    struct Ring(&'static str, Option<&'static Ring>);

    static ONE: Ring = Ring("one", Some(&TWO));
    static TWO: Ring = Ring("two", Some(&ONE));

    impl fmt::Display for Ring {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Ring {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.map(|ring| ring as &(dyn Error + 'static))
        }
    }

    #[test]
    fn sources_that_go_round_are_followed_so_far() {
        let said = text(10_000, |f| chain(f, &ONE, 100));
        assert!(said.starts_with("one: two: one: two") && said.ends_with("two: one: …"), "{said}");
        assert_eq!(said.matches("one").count() + said.matches("two").count(), DEEPEST + 1);
        assert_eq!(text(5, |f| chain(f, &ONE, 100)), "one: ");
    }
}
