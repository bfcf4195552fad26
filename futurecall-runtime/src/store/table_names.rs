//! Validates schema and table-prefix names, the only user input that becomes part of SQL.

/// Maximum length of a name: with the suffixes added to it, it still fits into the 63 characters to which PostgreSQL
/// truncates names silently.
const LONGEST: usize = 48;

/// Refuses schema names that would need quoting. The error completes "`schema` … …".
pub(crate) fn check_schema(name: &str) -> Result<(), &'static str> {
    check(name)?;
    if name.starts_with("pg_") {
        return Err("begins with `pg_`, which PostgreSQL keeps to itself");
    }
    Ok(())
}

/// Refuses table prefixes that would need quoting. The error completes "`table_prefix` … …".
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    check(prefix)?;
    if prefix.starts_with("sqlite_") {
        return Err("begins with `sqlite_`, which SQLite keeps to itself");
    }
    Ok(())
}

/// Returns a migration for other table names: `rename` is applied to its lines of SQL, but not to comments.
#[cfg(any(feature = "postgres", feature = "sqlite", test))]
pub(crate) fn renamed(file: &str, rename: impl Fn(&str) -> String) -> String {
    let line = |line: &str| if line.trim_start().starts_with("--") { line.to_owned() } else { rename(line) };
    file.split_inclusive('\n').map(line).collect()
}

fn check(name: &str) -> Result<(), &'static str> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let goes_on = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts && goes_on && name.len() <= LONGEST {
        Ok(())
    } else {
        Err("is not 1 to 48 of a-z, 0-9 and _, beginning with a letter or _")
    }
}

#[cfg(test)]
mod tests {
    use super::{check_prefix, check_schema, renamed};

    #[test]
    fn a_migration_is_renamed_and_what_it_says_of_names_is_not() {
        let file = "-- replace \"a.\"\nCREATE TABLE a.b (\n  -- of a.b\n  id int -- a.b's\n);";
        assert_eq!(
            renamed(file, |line| line.replace("a.", "x.")),
            "-- replace \"a.\"\nCREATE TABLE x.b (\n  -- of a.b\n  id int -- x.b's\n);"
        );
    }

    #[test]
    fn names_pass_and_everything_that_could_end_one_does_not() {
        let longest = "x".repeat(48);
        for good in ["futurecall", "_", "a1_b2", "select", "x__", &longest] {
            assert_eq!((check_schema(good), check_prefix(good)), (Ok(()), Ok(())), "{good:?}");
        }
        let too_long = "x".repeat(49);
        let attacks = [
            "",
            " ",
            "a b",
            "a\"b",
            "a'b",
            "a`b",
            "a;b",
            "a--b",
            "a/*b",
            "a\\b",
            "a.b",
            "a$b",
            "a$$b",
            "a(b",
            "a,b",
            "a=b",
            "a%b",
            "a?b",
            "a:b",
            "a{b}",
            "1a",
            "-a",
            "A",
            "aB",
            "é",
            "ａ",
            "а",
            "a\u{301}",
            "a\0",
            "\0",
            "a\n",
            "\na",
            "a\t",
            "a\u{202e}",
            "a\u{200b}",
            "\u{feff}a",
            "public\";DROP SCHEMA public CASCADE;--",
            &too_long,
        ];
        for bad in attacks {
            assert!(check_schema(bad).is_err() && check_prefix(bad).is_err(), "{bad:?}");
        }
        assert!(check_schema("pg_catalog").is_err() && check_schema("pgx").is_ok());
        assert!(check_prefix("sqlite_").is_err() && check_prefix("sqlite").is_ok());
    }
}
