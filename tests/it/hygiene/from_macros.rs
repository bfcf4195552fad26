//! Blocks that a `macro_rules` writes, and what it passes on to them.

use futurecall_runtime::Role;
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use serde_json::json;

/// Every option's value, as a `macro_rules` passes it on: in an invisible group, and in parentheses.
pub(super) mod options {
    use futurecall_runtime::prelude::*;
    use futurecall_tests::journal::Journal;

    macro_rules! block {
        (
            $type:ident, $name:literal, $alias:expr, $cron:literal, $zone:expr, $every:expr, $attempts:literal,
            $priority:expr, $timeout:expr, $wait:literal, $longest:expr, $interrupt:literal, $key:literal,
            $number:literal, $text:literal, $function:path
        ) => {
            pub(crate) struct $type;

            #[future_call(
                name = $name,
                alias = $alias,
                priority = $priority,
                timeout = $timeout,
                on_interrupt = $interrupt,
                retry(max_attempts = $attempts, backoff = exponential($wait, max = $longest, jitter))
            )]
            impl $type {
                #[future_call(cron = $cron, time_zone = $zone, priority = -$number)]
                pub(crate) async fn nightly(_session: &Session) {}

                #[future_call(every = ($every), retry(max_attempts = ($attempts), backoff = custom($function)))]
                pub(crate) async fn often(_session: &Session) {}

                #[future_call(name = $key, retry(max_attempts = $attempts, backoff = fixed(($wait))), alias = $alias)]
                pub(crate) async fn once(
                    _session: &Session,
                    #[future_call(alias = $key)] number: u8,
                    #[future_call(default = $text)] text: String,
                    #[future_call(state)] journal: &Journal,
                ) {
                    journal.write(format!("{number} {text}"));
                }
            }
        };
    }

    fn wait(_attempt: u32) -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }

    block!(
        Passed,
        "passed",
        "older",
        "0 2 * * *",
        "Europe/Berlin",
        "1h 30min",
        5,
        -3,
        "30s",
        "1s",
        "1h",
        "rerun",
        "key",
        7,
        "kind",
        wait
    );
}

/// A block that a `macro_rules` was given: whole, or in fragments of every kind.
pub(super) mod fragments {
    use futurecall_runtime::prelude::*;

    macro_rules! whole {
        ($block:item) => {
            #[future_call]
            $block
        };
    }

    macro_rules! parts {
        (
            $(#[$attribute:meta])* $vis:vis $type:ty, $method:ident($parameter:ident: $of:ty) -> $output:ty $body:block,
            $session:ty, $default:expr
        ) => {
            #[future_call]
            impl $type {
                $(#[$attribute])*
                $vis async fn $method(_session: $session, #[future_call(default = $default)] $parameter: $of) -> $output
                $body
            }
        };
    }

    pub(crate) struct Whole;
    whole! {
        impl Whole {
            pub(crate) async fn hello(_session: &Session) {}
        }
    }

    pub(crate) struct Parts;
    parts!(
        #[future_call(priority = 3)]
        pub(crate) Parts, hello(count: u8) -> Result<(), String> { let _ = count; Ok(()) }, &Session, 1 + 1
    );
}

/// Types that a macro writes, which the attribute can not look into: one has the name of a usual type parameter, one
/// is `Self`.
pub(super) mod types {
    use futurecall_runtime::prelude::*;
    use serde::{Deserialize, Serialize};

    macro_rules! same {
        ($($type:tt)*) => { $($type)* };
    }

    #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
    pub(crate) struct R;

    #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
    pub(crate) struct Mapped;

    impl Mapped {
        const LIMIT: u64 = 3;
    }

    #[future_call]
    impl Mapped {
        pub(crate) async fn hello(
            _session: &Session,
            one: same!(R),
            many: &same!(Vec<R>),
            own: same!(Vec<(Self, u8)>),
            #[future_call(default = vec![Self::LIMIT, 2])] limits: Vec<u64>,
        ) -> same!(Result<(), String>) {
            let _ = (one, many, own, limits);
            Ok(())
        }
    }
}

#[tokio::test]
async fn values_that_a_macro_passed_on_are_those_of_the_call() {
    let journal = Journal::new();
    let builder = Backend::memory().builder().role(Role::Maintenance).without_discovery();
    let builder = builder.state(journal.clone()).register(options::Passed);
    let pod = builder.start().await.unwrap();
    let mut rules: Vec<_> = pod.inspect().schedules().await.unwrap();
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    let rules: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.effective.describe())).collect();
    let expected = [("passed.nightly", "At 02:00 (Europe/Berlin)"), ("passed.often", "every 1 h 30 min")];
    assert_eq!(rules, expected.map(|(name, rule)| (name, rule.to_owned())));

    for name in ["passed.key", "passed.older", "older.key", "older.older"] {
        let args = json!({ "key": 7 });
        pod.future_call_with_delay(name, Some(&args), std::time::Duration::ZERO).await.unwrap();
    }
    assert_eq!(pod.run_due().await.unwrap().succeeded, 4);
    assert_eq!(journal.lines(), ["7 kind"; 4]);
    pod.shutdown().await;
}
