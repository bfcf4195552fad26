//! Every message of this crate, and the collector that reports all mistakes of a block at once.
//!
//! The first line states the rule, `help:` says what to write instead; no full stop. The caret sits on the user's own
//! token.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

use crate::zone;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
}

impl Errors {
    /// Reports a mistake at the tokens that make it.
    pub(crate) fn push(&mut self, at: impl ToTokens, text: impl Display) {
        self.found.push(syn::Error::new_spanned(at, text));
    }

    /// Takes over what syn had to say about syntax.
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
     method `pub` or drop `#[future_call]`";

pub(crate) fn reserved_accessor(name: &str) -> String {
    format!(
        "the accessor `{name}` is taken by the scheduling builder\n\
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
        "move these methods into the `#[future_call]` block of `{name}` on line {line}: a type has one such block\n\
         help: what is not to be called later can stay here, without `#[future_call]`"
    )
}

pub(crate) fn same_facade(facade: &str, second: &str, first: &str, line: usize) -> String {
    format!(
        "rename `{second}` or move it to another module: its facade would be `{facade}`, which is that of `{first}` \
         on line {line}\nhelp: the ending `FutureCall` is left out of the name"
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

pub(crate) fn option_form(name: &str, form: &str) -> String {
    format!("`{name}` is written `{form}`")
}

/// `what` is a constant, a macro call or an expression where only a literal will do.
pub(crate) fn computed(what: &str, form: &str) -> String {
    format!(
        "{what} must be a literal: it is checked at compile time, before constants, `concat!` or functions have a \
         value\nhelp: write `{form}`; to share a value between blocks, let a `macro_rules!` pass it as `$value:literal`"
    )
}

pub(crate) fn wait_form(like: &str) -> String {
    format!("a wait is text with a unit\nhelp: write `\"{like}\"`")
}

pub(crate) fn option_flag(name: &str) -> String {
    format!("`{name}` takes no value")
}

pub(crate) fn option_twice(name: &str) -> String {
    format!("the option `{name}` is given twice")
}

pub(crate) fn bad_name(reason: &str) -> String {
    format!(
        "this can't be a stored name: {reason}\n\
         help: stored names are letters, digits, `_` and `-`, in parts joined by `.`"
    )
}

pub(crate) fn bad_block_name(name: &str) -> String {
    format!(
        "`{name}` can't be the name of a block: it is the accessor as well, so it must be an identifier\n\
         help: write it in snake_case, like `example`"
    )
}

pub(crate) const BAD_KEY: &str = "this can't be the key of an argument\nhelp: write the parameter's old name";

pub(crate) const RELATIVE_PATH: &str = "the path of the runtime crate must mean the same in every module\n\
     help: write an absolute path, like `crate = ::renamed` or `crate = crate::renamed`";

pub(crate) const BAD_PRIORITY: &str = "a priority is a whole number from -32768 to 32767; lower goes first";

pub(crate) const SKIP_ALONE: &str =
    "`skip` keeps the method out of the future calls, so no other option goes with it";

pub(crate) const STATE_ALONE: &str = "a `state` parameter is not stored, so no other option goes with it";

pub(crate) const EVERY_AND_CRON: &str = "a call recurs by `every` or by `cron`, not by both";

pub(crate) const ZONE_WITHOUT_CRON: &str =
    "`time_zone` goes with `cron` only: an interval is the same in all zones";

pub(crate) fn recurring_arguments(name: &str) -> String {
    format!(
        "`{name}` takes stored arguments, so it can't recur by attribute: a schedule has no values for them\n\
         help: declare it in code, with `call_recurring()`, or take what it needs as `#[future_call(state)]`"
    )
}

pub(crate) fn bad_duration(what: &str, reason: &str) -> String {
    let what = if what.starts_with('i') { format!("an {what}") } else { format!("a {what}") };
    format!(
        "this is not {what}: {reason}\nhelp: write a number and a unit, like `90s`, `15min` or `1h 30min`"
    )
}

pub(crate) fn too_short(what: &str) -> String {
    format!("the shortest {what} is one millisecond")
}

pub(crate) fn too_long(what: &str) -> String {
    format!("the longest {what} is 36525 days, which are 100 years")
}

pub(crate) const RETRY_WITHOUT_ATTEMPTS: &str = "`retry` needs to know how many attempts there are in all, the first \
     one included\nhelp: write `retry(max_attempts = 5)`";

pub(crate) const BAD_ATTEMPTS: &str =
    "`max_attempts` is a whole number from 1 to 10000: all attempts, the first one included";

pub(crate) fn unknown_in_retry(name: &str) -> String {
    format!("unknown option `{name}`; `retry` takes `max_attempts` and `backoff`")
}

pub(crate) const BAD_BACKOFF: &str = "this is not a backoff\n\
     help: write `exponential(\"1s\", max = \"1h\", jitter)`, `fixed(\"10s\")` or `custom(path::to::function)`";

pub(crate) const BAD_EXPONENTIAL: &str = "an exponential backoff takes its first wait, then `max = \"..\"` and \
     `jitter` if wanted\nhelp: write `exponential(\"1s\", max = \"1h\", jitter)`";

pub(crate) const BAD_FIXED: &str = "a fixed backoff takes its wait\nhelp: write `fixed(\"10s\")`";

pub(crate) const BAD_CUSTOM: &str = "a custom backoff takes the path of a function `fn(attempt: u32) -> Duration`\n\
     help: write `custom(path::to::function)`";

pub(crate) const MAX_BELOW_FIRST: &str = "the longest wait is shorter than the first one";

pub(crate) const BAD_ON_INTERRUPT: &str = "an interrupted run is kept as interrupted or run again\n\
     help: write `on_interrupt = \"keep\"` or `on_interrupt = \"rerun\"`";

pub(crate) fn bad_cron(reason: &str) -> String {
    format!("this cron expression can't be read: {reason}")
}

pub(crate) const CRON_NEVER: &str = "this cron expression never runs: no day of any year matches it\n\
     help: write a day that the month has; `L` is its last one";

pub(crate) fn bad_time_zone(name: &str) -> String {
    let nearest = zone::nearest(name);
    format!("there is no time zone `{name}`\nhelp: {}", zone::advice(name, nearest))
}

pub(crate) const CONDITIONAL: &str = "`#[future_call]` can't stand in `#[cfg_attr]`: a call has the same options in \
     every build\nhelp: write two methods under opposite `#[cfg]`";

pub(crate) const PRIVATE_METHOD: &str =
    "this method is private, so it is not a future call; make it `pub` or drop the attribute";

pub(crate) const SKIPPED_PARAMETER: &str =
    "this method is no future call, so its parameters take no `#[future_call]`; drop the attribute";

pub(crate) const NOT_A_METHOD: &str = "only methods can be future calls; drop the attribute";

// Methods.

pub(crate) fn not_async(name: &str) -> String {
    format!(
        "future call `{name}` must be an `async fn`\n\
         help: constructors and synchronous helpers belong in another `impl` block; \
         or keep it here without `pub`, or with `#[future_call(skip)]`"
    )
}

pub(crate) const RESERVED_INVOKE: &str = "`invoke` is reserved for running a stored call\n\
     help: give the method another name; `#[future_call(name = \"..\")]` keeps the stored name";

pub(crate) const RECEIVER: &str = "a future call takes `&self` or no receiver: one handler value serves all runs of \
     the call at once\nhelp: keep changing state in a `Mutex`, an atomic or the database";

pub(crate) const UNSAFE: &str =
    "a future call can't be `unsafe`: it is run by the pod, which can't uphold its contract";

pub(crate) const GENERIC: &str = "a future call can't be generic: the stored call must know its argument types\n\
     help: write one method per type, and let them share a private generic helper";

pub(crate) const RETURNS: &str =
    "a future call returns nothing or `Result<(), E>`: nobody waits for its value";

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
    "the session is no argument and is not stored, so it takes no options; drop the attribute";

pub(crate) const SECOND_SESSION: &str = "a future call takes one session, as its first parameter";

// Arguments.

pub(crate) const PATTERN: &str = "an argument of a future call must be a plain name, not a pattern: it is stored \
     under that name\nhelp: take it whole and destructure it in the body";

pub(crate) const UNNAMED: &str = "an argument of a future call needs a name: it is stored under that name\n\
     help: write `_name` for an argument that is not used yet";

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
        "argument `{argument}` mentions `{parameter}`, a parameter of the `impl` block: the facade has no \
         `{parameter}`\nhelp: take a concrete type"
    )
}

pub(crate) const CFG_PARAMETER: &str = "`#[cfg]` on a parameter is not supported: the stored call would change shape \
     with the build\nhelp: put `#[cfg]` on the whole method";

pub(crate) const STATE_IS_LENT: &str =
    "a `state` parameter is lent from the pod: write a reference, like `mailer: &Mailer`";

pub(crate) const STATE_IS_SHARED: &str = "state is shared by all runs: write `&`, not `&mut`\n\
     help: keep what changes in a `Mutex`, an atomic or the database";

/// `a`, `b` and `c`
fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "no options".to_owned(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
