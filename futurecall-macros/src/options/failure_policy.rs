//! Parses the options for runs that do not succeed: `retry`, `timeout` and `on_interrupt`.

use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprAssign, ExprCall, ExprLit, ExprPath, Lit, LitStr, Path, Token};

use super::{Item, Value, is_computed, meant_duration, micros, ungrouped};
use crate::errors::{self, Errors};
use crate::model::{Backoff, FailurePolicy, OnInterrupt, Retry};

impl FailurePolicy {
    /// Reads an option. Returns whether it belongs to the failure policy.
    pub(crate) fn take(&mut self, item: &Item, errors: &mut Errors) -> bool {
        match item.name().as_str() {
            "retry" => self.retry = retry(item, errors),
            "timeout" => {
                let text = item.duration("30s", errors);
                self.timeout = text.and_then(|text| micros(&text, "timeout", errors));
            }
            "on_interrupt" => {
                let text = item.text("rerun", errors);
                self.on_interrupt = text.and_then(|text| on_interrupt(&text, errors));
            }
            _ => return false,
        }
        true
    }

    /// Returns the options of a method, completed by those of its block.
    pub(crate) fn or(self, block: &Self) -> Self {
        Self {
            retry: self.retry.or_else(|| block.retry.clone()),
            timeout: self.timeout.or(block.timeout),
            on_interrupt: self.on_interrupt.or(block.on_interrupt),
        }
    }
}

fn on_interrupt(text: &LitStr, errors: &mut Errors) -> Option<OnInterrupt> {
    match text.value().as_str() {
        "keep" => Some(OnInterrupt::Keep),
        "rerun" => Some(OnInterrupt::Rerun),
        _ => {
            errors.push(text, errors::BAD_ON_INTERRUPT);
            None
        }
    }
}

fn retry(item: &Item, errors: &mut Errors) -> Option<Retry> {
    let Value::Listed(listed) = &item.value else {
        return item.wrong_form("retry(max_attempts = 5)", errors);
    };
    let items = match Punctuated::<Item, Token![,]>::parse_terminated.parse2(listed.clone()) {
        Ok(items) => items,
        Err(error) => {
            errors.syntax(error);
            return None;
        }
    };
    let (mut max_attempts, mut backoff, mut has_attempts) = (None, None, false);
    let mut seen: Vec<String> = Vec::new();
    for option in items {
        let name = option.name();
        if seen.contains(&name) {
            errors.push(&option.name, errors::option_twice(&name));
            continue;
        }
        match name.as_str() {
            "max_attempts" => {
                has_attempts = true;
                max_attempts = attempts(&option, errors);
            }
            "backoff" => backoff = self::backoff(&option, errors),
            _ => {
                // It may be a misspelt `max_attempts`.
                has_attempts = true;
                errors.push(&option.name, errors::unknown_in_retry(&name));
            }
        }
        seen.push(name);
    }
    if !has_attempts {
        errors.push(&item.name, errors::RETRY_WITHOUT_ATTEMPTS);
    }
    Some(Retry { max_attempts: max_attempts?, backoff })
}

fn attempts(option: &Item, errors: &mut Errors) -> Option<u32> {
    let Value::Assigned(value) = &option.value else {
        return option.wrong_form("max_attempts = 5", errors);
    };
    let value = ungrouped(value);
    let number = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if matches!(number.suffix(), "" | "u32") => {
            number.base10_parse::<u32>().ok().filter(|number| (1..=10_000).contains(number))
        }
        _ => None,
    };
    if number.is_none() {
        if is_computed(value) {
            errors.push(value, errors::computed("`max_attempts`", "max_attempts = 5"));
        } else {
            errors.push(value, errors::BAD_ATTEMPTS);
        }
    }
    number
}

// Input:  backoff = exponential("1s", max = "1h", jitter)
fn backoff(option: &Item, errors: &mut Errors) -> Option<Backoff> {
    let Value::Assigned(value) = &option.value else {
        return option.wrong_form("backoff = fixed(\"10s\")", errors);
    };
    let value = ungrouped(value);
    let called = match value {
        Expr::Call(ExprCall { func, args, .. }) => match ungrouped(func) {
            Expr::Path(ExprPath { path, qself: None, .. }) => path.get_ident().map(|name| (name, args)),
            _ => None,
        },
        _ => None,
    };
    let Some((name, args)) = called else {
        errors.push(value, errors::BAD_BACKOFF);
        return None;
    };
    let args: Vec<&Expr> = args.iter().map(ungrouped).collect();
    match name.unraw().to_string().as_str() {
        "exponential" => exponential(value, &args, errors),
        "fixed" => match args.as_slice() {
            [wait] => wait_of(wait, errors).map(Backoff::Fixed),
            _ => refused(value, errors::BAD_FIXED, errors),
        },
        "custom" => match args.as_slice() {
            [Expr::Path(ExprPath { path, qself: None, .. })] => Some(Backoff::Custom(Path::clone(path))),
            _ => refused(value, errors::BAD_CUSTOM, errors),
        },
        _ => refused(value, errors::BAD_BACKOFF, errors),
    }
}

fn exponential(value: &Expr, args: &[&Expr], errors: &mut Errors) -> Option<Backoff> {
    let [first, rest @ ..] = args else { return refused(value, errors::BAD_EXPONENTIAL, errors) };
    if matches!(first, Expr::Assign(_)) {
        return refused(value, errors::BAD_EXPONENTIAL, errors);
    }
    let first = wait_of(first, errors);
    let (mut max, mut jitter) = (None, false);
    for arg in rest {
        match arg {
            Expr::Assign(ExprAssign { left, right, .. }) if is_word(left, "max") => {
                let wait = wait_of(right, errors)?;
                if first.is_some_and(|first| wait < first) {
                    return refused(ungrouped(right), errors::MAX_BELOW_FIRST, errors);
                }
                max = Some(wait);
            }
            word if is_word(word, "jitter") => jitter = true,
            other => return refused(other, errors::BAD_EXPONENTIAL, errors),
        }
    }
    Some(Backoff::Exponential { first: first?, max, jitter })
}

fn refused<T>(at: &Expr, text: &str, errors: &mut Errors) -> Option<T> {
    errors.push(at, text);
    None
}

/// Parses a wait of a backoff, in microseconds.
fn wait_of(value: &Expr, errors: &mut Errors) -> Option<u64> {
    let value = ungrouped(value);
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => micros(text, "wait", errors),
        _ if is_computed(value) => refused(value, &errors::computed("a wait", "\"10s\""), errors),
        _ => {
            let like = meant_duration(value).unwrap_or_else(|| "10s".to_owned());
            refused(value, &errors::wait_form(&like), errors)
        }
    }
}

fn is_word(value: &Expr, word: &str) -> bool {
    matches!(ungrouped(value), Expr::Path(ExprPath { path, qself: None, .. }) if path.is_ident(word))
}
