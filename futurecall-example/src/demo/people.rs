//! The people who sign up.

use futurecall_runtime::BoxError;

/// A person who will sign up.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) email: String,
}

/// Returns the first people of `data/signups.csv`. Their addresses are in reserved domains.
pub(super) fn read(limit: usize) -> Result<Vec<Person>, BoxError> {
    let lines = include_str!("../../data/signups.csv").lines().skip(1);
    // No name holds a comma or a quote, so that this needs no reader of CSV.
    lines
        .take(limit)
        .map(|line| {
            let (name, email) = line
                .split_once(',')
                .ok_or_else(|| format!("data/signups.csv: `{line}` is not name,email"))?;
            Ok(Person { name: name.to_owned(), email: email.to_owned() })
        })
        .collect()
}
