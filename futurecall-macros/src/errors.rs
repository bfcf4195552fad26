//! The error messages of this crate, and the collector that reports all errors of a block at once.
//!
//! The first line states the rule, `help:` suggests a fix; no full stop. Errors point at the user's own tokens.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::zone;

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
}

impl Errors {
    /// Reports an error at the tokens that cause it.
    pub(crate) fn push(&mut self, at: impl ToTokens, text: impl Display) {
        self.found.push(syn::Error::new_spanned(at, text));
    }

    /// Reports a syntax error of syn.
    pub(crate) fn syntax(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        self.found.into_iter().map(syn::Error::into_compile_error).collect()
    }
}

// The block.

pub(crate) fn not_an_impl(name: Option<&str>) -> String {
    let name = name.unwrap_or("X");
    format!("`#[future_call]` goes on an inherent `impl` block\nhelp: put it on `impl {name} {{ .. }}`")
}

pub(crate) const METHOD_ALONE: &str = "`#[future_call]` goes on an inherent `impl` block\n\
     help: put it on `impl X { .. }`; on a method inside such a block it takes options, like `#[future_call(skip)]`";

pub(crate) const TRAIT_IMPL: &str =
    "`#[future_call]` goes on an inherent `impl` block, not on a trait implementation";

pub(crate) const UNNAMED_TYPE: &str =
    "`#[future_call]` goes on an `impl` block of a named type: its name makes the accessor";

pub(crate) const NO_CALLS: &str = "this `impl` block has no public method, so there is nothing to schedule; make a \
     method `pub` or remove `#[future_call]`";

pub(crate) fn reserved_accessor(name: &str) -> String {
    format!(
        "the accessor `{name}` conflicts with a method of the scheduling builder\n\
         help: choose another with `#[future_call(name = \"..\")]`"
    )
}

pub(crate) fn keyword_accessor(name: &str) -> String {
    format!(
        "`{name}` can't be an accessor: it is a keyword\nhelp: choose another with `#[future_call(name = \"..\")]`"
    )
}

pub(crate) fn second_block(name: &str, line: usize) -> String {
    format!(
        "a type can have only one `#[future_call]` block; the one of `{name}` is on line {line}\n\
         help: move the future calls there, and remove `#[future_call]` from this block"
    )
}

pub(crate) fn same_facade(facade: &str, second: &str, first: &str, line: usize) -> String {
    format!(
        "the facade of `{second}` would be `{facade}`, like that of `{first}` on line {line}\n\
         help: rename one of them or move it to another module; the suffix `FutureCall` is not part of the facade's name"
    )
}

pub(crate) fn twice_stored(name: &str) -> String {
    format!("duplicate stored name `{name}`")
}

pub(crate) fn first_stored(name: &str) -> String {
    format!("`{name}` is first used here")
}

// Options.

pub(crate) fn unknown_option(name: &str, place: &str, takes: &[&str], nearest: Option<&str>) -> String {
    let takes = list(takes);
    let text = format!("unknown option `{name}`; {place} `#[future_call]` takes {takes}");
    match nearest {
        Some(nearest) => format!("{text}\nhelp: write `{nearest}`"),
        None => text,
    }
}

pub(crate) fn option_form(form: &str) -> String {
    format!("expected `{form}`")
}

/// For a constant, a macro call or an expression in place of a literal.
pub(crate) fn computed(what: &str, form: &str) -> String {
    format!(
        "{what} must be a literal, because it is checked before constants and macros are evaluated\n\
         help: write `{form}`; to share a value between blocks, let a `macro_rules!` pass it as `$value:literal`"
    )
}

pub(crate) fn wait_form(like: &str) -> String {
    format!("a wait must be a string with a unit\nhelp: write `\"{like}\"`")
}

pub(crate) fn option_flag(name: &str) -> String {
    format!("`{name}` takes no value")
}

pub(crate) fn option_twice(name: &str) -> String {
    format!("duplicate option `{name}`")
}

pub(crate) fn bad_name(reason: &str) -> String {
    format!(
        "invalid stored name: {reason}\n\
         help: stored names are letters, digits, `_` and `-`, in parts joined by `.`"
    )
}

pub(crate) fn bad_block_name(name: &str) -> String {
    format!(
        "`{name}` can't be the name of a block: it is also the accessor, so it must be an identifier\n\
         help: write it in snake_case, like `example`"
    )
}

pub(crate) const BAD_KEY: &str = "invalid argument key\nhelp: write the parameter's old name";

pub(crate) const RELATIVE_PATH: &str = "the path of the runtime crate must be absolute\n\
     help: write `crate = ::renamed` or `crate = crate::renamed`";

pub(crate) const BAD_PRIORITY: &str =
    "a priority must be a whole number from -32768 to 32767; lower numbers go first";

pub(crate) const SKIP_ALONE: &str =
    "`skip` can't be combined with other options: the method is not a future call";

pub(crate) const STATE_ALONE: &str =
    "`state` can't be combined with other options: the parameter is not stored";

pub(crate) const EVERY_AND_CRON: &str = "a call recurs by either `every` or `cron`, not both";

pub(crate) const ZONE_WITHOUT_CRON: &str =
    "`time_zone` requires `cron`: an interval is the same in all time zones";

pub(crate) fn recurring_arguments(name: &str) -> String {
    format!(
        "`{name}` takes stored arguments, so it can't recur by attribute: there are no values for them\n\
         help: declare the schedule in code with `call_recurring()`, or take a `#[future_call(state)]` parameter"
    )
}

pub(crate) fn bad_duration(what: &str, reason: &str) -> String {
    format!("invalid {what}: {reason}\nhelp: write a number and a unit, like `90s`, `15min` or `1h 30min`")
}

pub(crate) fn too_short(what: &str) -> String {
    format!("the shortest {what} is one millisecond")
}

pub(crate) fn too_long(what: &str) -> String {
    format!("the longest {what} is 36525 days (100 years)")
}

pub(crate) const RETRY_WITHOUT_ATTEMPTS: &str = "`retry` requires `max_attempts`: the total number of attempts, \
     including the first\nhelp: write `retry(max_attempts = 5)`";

pub(crate) const BAD_ATTEMPTS: &str = "`max_attempts` must be a whole number from 1 to 10000: the total number of attempts, including the first";

pub(crate) fn unknown_in_retry(name: &str) -> String {
    format!("unknown option `{name}`; `retry` takes `max_attempts` and `backoff`")
}

pub(crate) const BAD_BACKOFF: &str = "unknown backoff\n\
     help: write `exponential(\"1s\", max = \"1h\", jitter)`, `fixed(\"10s\")` or `custom(path::to::function)`";

pub(crate) const BAD_EXPONENTIAL: &str = "`exponential` takes the first wait, then optionally `max = \"..\"` and \
     `jitter`\nhelp: write `exponential(\"1s\", max = \"1h\", jitter)`";

pub(crate) const BAD_FIXED: &str = "`fixed` takes one wait\nhelp: write `fixed(\"10s\")`";

pub(crate) const BAD_CUSTOM: &str = "`custom` takes the path of a function `fn(attempt: u32) -> Duration`\n\
     help: write `custom(path::to::function)`";

pub(crate) const MAX_BELOW_FIRST: &str = "`max` is shorter than the first wait";

pub(crate) const BAD_ON_INTERRUPT: &str = "`on_interrupt` decides whether an interrupted call is kept as interrupted or run again\n\
     help: write `on_interrupt = \"keep\"` or `on_interrupt = \"rerun\"`";

pub(crate) fn bad_cron(reason: &str) -> String {
    format!("invalid cron expression: {reason}")
}

pub(crate) const CRON_NEVER: &str = "this cron expression never runs: no day of any year matches it\n\
     help: use a day that exists in the month; `L` is the last day";

pub(crate) fn bad_time_zone(name: &str) -> String {
    let nearest = zone::nearest(name);
    format!("there is no time zone `{name}`\nhelp: {}", zone::advice(name, nearest))
}

pub(crate) const CONDITIONAL: &str = "`#[future_call]` can't be used inside `#[cfg_attr]`: the options of a call \
     must be the same in every build\nhelp: write two methods under opposite `#[cfg]`";

pub(crate) const PRIVATE_METHOD: &str =
    "this method is private, so it is not a future call; make it `pub` or remove the attribute";

pub(crate) const SKIPPED_PARAMETER: &str =
    "this method is not a future call, so its parameters take no `#[future_call]`; remove the attribute";

pub(crate) const NOT_A_METHOD: &str = "only methods can be future calls; remove the attribute";

// Methods.

pub(crate) fn not_async(name: &str) -> String {
    format!(
        "future call `{name}` must be an `async fn`\n\
         help: constructors and synchronous helpers belong in another `impl` block; \
         or keep it here without `pub`, or with `#[future_call(skip)]`"
    )
}

pub(crate) const RESERVED_INVOKE: &str = "`invoke` is reserved for running stored calls\n\
     help: give the method another name; `#[future_call(name = \"..\")]` keeps the stored name";

pub(crate) const RECEIVER: &str = "a future call takes `&self` or no receiver: all concurrent runs share the \
     handler\nhelp: keep mutable state in a `Mutex`, an atomic or the database";

pub(crate) const UNSAFE: &str =
    "a future call can't be `unsafe`: it is run by the pod, which can't uphold its contract";

pub(crate) const GENERIC: &str = "a future call can't be generic: the stored call must know its argument types\n\
     help: write one method per type, and let them share a private generic helper";

pub(crate) const RETURNS: &str =
    "a future call returns nothing or `Result<(), E>`: no caller receives its value";

pub(crate) const ERROR_BOUND_TO_A_THREAD: &str = "the error of a future call must be `Send` and `Sync`: runs move between \
     threads\nhelp: write `Result<(), BoxError>`; `BoxError` is `Box<dyn Error + Send + Sync>`";

// The session.

pub(crate) fn no_session(name: &str, receiver: bool) -> String {
    let receiver = if receiver { "&self, " } else { "" };
    format!(
        "future call `{name}` is missing its session parameter\n\
         help: `async fn {name}({receiver}session: &Session)`"
    )
}

pub(crate) fn not_a_session(name: &str, receiver: bool) -> String {
    let receiver = if receiver { "&self, " } else { "" };
    format!(
        "the first parameter of a future call must be `session: &Session`\n\
         help: `async fn {name}({receiver}session: &Session, ..)`"
    )
}

pub(crate) const OWNED_SESSION: &str = "the session is borrowed: write `&Session`";

pub(crate) const MUTABLE_SESSION: &str = "the session is shared: write `&Session`";

pub(crate) const STATIC_SESSION: &str = "the session is borrowed only for the run: write `&Session`";

pub(crate) const SESSION_OPTIONS: &str =
    "the session is not stored, so it takes no options; remove the attribute";

pub(crate) const SECOND_SESSION: &str = "a future call takes one session, as its first parameter";

// Arguments.

pub(crate) const PATTERN: &str = "an argument of a future call must be a plain name, not a pattern: it is stored \
     under that name\nhelp: take it whole and destructure it in the body";

pub(crate) const UNNAMED: &str = "an argument of a future call needs a name: it is stored under that name\n\
     help: write `_name` for an unused argument";

pub(crate) fn same_key(first: &str, second: &str, key: &str) -> String {
    format!("arguments `{first}` and `{second}` are both stored as `{key}`")
}

pub(crate) fn borrowed(owned: &str) -> String {
    format!(
        "an argument of a future call can't hold a reference: it is stored now and read back when the call runs\n\
         help: take {owned}"
    )
}

pub(crate) const MUTABLE_ARGUMENT: &str = "a future call can't change its arguments: they are read back from the \
     store for each run\nhelp: take it by value, or by `&`";

pub(crate) fn static_argument(ty: &str) -> String {
    format!("arguments are borrowed only for the run: write `{ty}`")
}

pub(crate) fn no_concrete_type(written: &str) -> String {
    format!("`{written}` can't be an argument of a future call: stored arguments have one concrete type")
}

pub(crate) const STREAM: &str = "a stream can't be an argument of a future call: arguments are stored before the \
     call runs\nhelp: take a `Vec<T>`, or a key under which the call finds the data";

pub(crate) const POINTER: &str =
    "pointers can't be arguments of a future call: they mean nothing in another process";

pub(crate) fn mentions_generic(argument: &str, parameter: &str) -> String {
    format!(
        "argument `{argument}` mentions `{parameter}`, a parameter of the `impl` block that the facade \
         does not have\nhelp: take a concrete type"
    )
}

pub(crate) const CFG_PARAMETER: &str = "`#[cfg]` on a parameter is not supported: the stored arguments would \
     depend on the build\nhelp: put `#[cfg]` on the whole method";

pub(crate) const STATE_IS_BORROWED: &str =
    "a `state` parameter is borrowed from the pod: write a reference, like `mailer: &Mailer`";

pub(crate) const STATE_IS_SHARED: &str = "state is shared by all runs: write `&`, not `&mut`\n\
     help: keep mutable state in a `Mutex`, an atomic or the database";

/// Formats a list: `a`, `b` and `c`.
fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "no options".to_owned(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
