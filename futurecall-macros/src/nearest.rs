//! "Did you mean …?": the nearest name to one that was misspelt.
//!
//! The attribute suggests names with a copy of this file (`futurecall-macros/src/nearest.rs`).

/// Returns the name within a third of `wrong`'s length in edits, and within three; the nearest, and of equals the first.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // More edits make another word: `Atlantis` is four from `Athens`.
    let limit = (wrong.chars().count() / 3).min(3);
    names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Levenshtein's distance, one row at a time (Wagner and Fischer, 1974).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let here = (diagonal + usize::from(from != *to)).min(above.saturating_add(1)).min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = here;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("exmple.do_work", ["example.do_work", "other.x"]), Some("example.do_work"));
        assert_eq!(nearest("nme", ["alias", "name"]), Some("name"));
        assert_eq!(nearest("Europe/Atlantis", ["Europe/Athens"]), None);
        assert_eq!(nearest("zzz", ["example.do_work"]), None);
    }
}
