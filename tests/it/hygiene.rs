//! Expansions are self-contained: they work without the prelude, with a renamed runtime crate, raw identifiers, our
//! names in the user's code, and additional lints.
//!
//! Compiling the blocks is the test; they run once so that none of them is dead code.

mod from_macros;

use futurecall_runtime::Role;
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;

pub(crate) extern crate futurecall_runtime as renamed;

/// Nothing is in scope here, not even `Option`, `Some` or `vec!`.
#[no_implicit_prelude]
mod bare {
    pub(crate) struct BareFutureCall;

    #[::futurecall_runtime::future_call]
    impl BareFutureCall {
        pub(crate) async fn plain(&self, _session: &::futurecall_runtime::Session) {}

        pub(crate) async fn with_everything(
            _session: &::futurecall_runtime::Session,
            text: &str,
            slice: &[u8],
            lent: &::std::vec::Vec<u8>,
            #[future_call(default, alias = "old")] count: u32,
            #[future_call(default = "x")] word: &str,
            #[future_call(state)] journal: &::futurecall_tests::journal::Journal,
        ) -> ::std::result::Result<(), ::std::string::String> {
            journal.write(::std::format!("{text} {slice:?} {lent:?} {count} {word}"));
            ::std::result::Result::Ok(())
        }

        #[cfg(any())]
        pub(crate) async fn absent(&self, _session: &::futurecall_runtime::Session) {}

        #[future_call(every = "1h")]
        pub(crate) async fn hourly(_session: &::futurecall_runtime::Session) {}
    }
}

/// The names that an expansion would be tempted to use mean something else here.
mod shadowed {
    use futurecall_runtime::{Session as Company, future_call};
    use futurecall_tests::journal::Journal;

    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    pub(crate) struct R;
    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    pub(crate) struct Session;
    pub(crate) struct Box;
    pub(crate) struct Result;
    pub(crate) struct String;
    pub(crate) struct Vec;
    pub(crate) struct ArgsWriter;
    pub(crate) trait Send {
        fn send(&self) {}
    }
    pub(crate) trait Sized {
        fn size(&self) {}
    }
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod futurecall_runtime_private {}

    pub(crate) struct Shadowed;

    #[future_call]
    impl Shadowed {
        #[expect(clippy::too_many_arguments, reason = "one for each name")]
        pub(crate) async fn hello(
            &self,
            _session: &Company,
            r: R,
            target: &Session,
            at: u8,
            args: &str,
            #[future_call(default = "x")] text: &str,
            #[future_call(state)] journal: &Journal,
        ) {
            let _ = (Box, Result, String, Vec, ArgsWriter, self.send(), self.size());
            journal.write(format!("{r:?} {target:?} {at} {args} {text}"));
        }
    }

    impl Send for Shadowed {}
    impl Sized for Shadowed {}
}

/// `type`, `match` and `fn` as type, method and parameter.
mod raw {
    use futurecall_runtime::prelude::*;
    use futurecall_tests::journal::Journal;

    #[expect(non_camel_case_types, reason = "a raw identifier is a keyword, and keywords are small")]
    pub(crate) struct r#enum;

    #[future_call]
    impl r#enum {
        pub(crate) async fn r#match(
            &self,
            _session: &Session,
            r#fn: u8,
            #[future_call(state)] r#in: &Journal,
        ) {
            r#in.write(r#fn.to_string());
        }
    }

    pub(crate) struct TypeFutureCall;

    #[future_call]
    impl TypeFutureCall {
        pub(crate) async fn r#loop(_session: &Session) {}
    }
}

/// The runtime by another name.
mod by_another_name {
    use super::renamed::Session;

    pub(crate) struct Renamed;

    #[super::renamed::future_call(crate = crate::hygiene::renamed)]
    impl Renamed {
        pub(crate) async fn hello(_session: &Session, #[future_call(default)] _count: u8) {}
    }
}

/// A block that a `macro_rules` wrote.
mod from_a_macro {
    use futurecall_runtime::prelude::*;

    macro_rules! block {
        ($type:ident, $method:ident, $parameter:ident: $of:ty) => {
            pub(crate) struct $type;

            #[future_call]
            impl $type {
                pub(crate) async fn $method(session: &Session, $parameter: $of, more: &$of) {
                    let _ = (session, $parameter, more);
                }
            }
        };
    }

    block!(Written, by_macro, count: u8);
}

/// One name in two modules of a file, and twice in one module for two systems.
mod same_name {
    pub(crate) mod one {
        use futurecall_runtime::prelude::*;

        pub(crate) struct Same;

        #[cfg(unix)]
        #[future_call(name = "one_same")]
        impl Same {
            pub(crate) async fn hello(_session: &Session) {}
        }

        #[cfg(not(unix))]
        #[future_call(name = "one_same")]
        impl Same {
            pub(crate) async fn hello(_session: &Session) {}
        }
    }

    pub(crate) mod two {
        use futurecall_runtime::prelude::*;

        pub(crate) struct Same;

        #[future_call(name = "another_same")]
        impl Same {
            pub(crate) async fn hello(_session: &Session) {}
        }
    }
}

/// Names of primitive types.
#[expect(non_camel_case_types, reason = "primitive types are small")]
mod primitives {
    pub(crate) struct bool;
    pub(crate) struct i16;
    pub(crate) struct str;
    pub(crate) struct u64;
    pub(crate) struct usize;

    pub(crate) struct Primitive;

    #[futurecall_runtime::future_call(priority = 1, timeout = "1min")]
    impl Primitive {
        #[future_call(retry(max_attempts = 2))]
        pub(crate) async fn hello(&self, _session: &futurecall_runtime::Session, _count: u8) {
            let _ = (bool, i16, str, u64, usize);
        }
    }
}

/// Words that are keywords in this edition, or reserved: as accessors, methods and parameters.
mod keywords {
    use futurecall_runtime::prelude::*;

    pub(crate) struct Gen;

    #[future_call]
    impl Gen {
        pub(crate) async fn r#gen(_session: &Session, r#gen: u8) {
            let _ = r#gen;
        }
    }

    pub(crate) struct TryFutureCall;

    #[future_call]
    impl TryFutureCall {
        pub(crate) async fn r#yield(_session: &Session, r#become: u8) {
            let _ = r#become;
        }
    }

    pub(crate) struct Union;

    #[future_call]
    impl Union {
        pub(crate) async fn auto(_session: &Session, default: u8, raw: u8) {
            let _ = (default, raw);
        }
    }
}

/// Parameters and methods with the names of what stands in an expansion.
mod names_of_ours {
    use futurecall_runtime::prelude::*;

    pub(crate) struct Ours;

    #[future_call]
    impl Ours {
        #[expect(clippy::too_many_arguments, reason = "one for each name")]
        pub(crate) async fn call(
            &self,
            _session: &Session,
            self_: u8,
            session: u8,
            calls: u8,
            args: u8,
            __a0: u8,
            __this: u8,
            w: &str,
        ) {
            let _ = (self_, session, calls, args, __a0, __this, w);
        }

        pub(crate) async fn fmt(&self, _session: &Session) {}
        pub(crate) async fn clone(&self, _session: &Session) {}
        pub(crate) async fn drop(&self, _session: &Session) {}
        pub(crate) async fn into(&self, _session: &Session) {}
        pub(crate) async fn of(&self, _session: &Session) {}
        pub(crate) async fn __calls(&self, _session: &Session) {}
        pub(crate) async fn __methods(&self, _session: &Session) {}
    }
}

#[deny(
    elided_lifetimes_in_paths,
    let_underscore_drop,
    missing_debug_implementations,
    rust_2018_idioms,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    warnings
)]
mod under_strict_lints {
    use futurecall_runtime::prelude::*;

    #[derive(Debug)]
    pub(crate) struct Strict;

    #[future_call]
    impl Strict {
        pub(crate) async fn hello<'a>(
            &'a self,
            _session: &'a Session,
            name: &'a str,
            _count: u8,
        ) -> Result<(), BoxError> {
            if name.is_empty() { Err("no name".into()) } else { Ok(()) }
        }

        pub(crate) async fn unused(_session: &Session) {}
    }
}

#[tokio::test]
async fn expansions_work_wherever_they_stand() {
    use bare::BareCallsExt;
    use by_another_name::RenamedCallsExt;
    use from_a_macro::WrittenCallsExt;
    use from_macros::fragments::{PartsCallsExt, WholeCallsExt};
    use from_macros::options::PassedCallsExt;
    use from_macros::types::{Mapped, MappedCallsExt, R};
    use keywords::{GenCallsExt, TryCallsExt, UnionCallsExt};
    use names_of_ours::OursCallsExt;
    use primitives::PrimitiveCallsExt;
    use raw::{TypeCallsExt, enumCallsExt};
    use same_name::one::SameCallsExt as _;
    use same_name::two::SameCallsExt as _;
    use shadowed::ShadowedCallsExt;
    use under_strict_lints::StrictCallsExt;

    let journal = Journal::new();
    let pod = Backend::memory()
        .builder()
        .role(Role::Maintenance)
        .state(journal.clone())
        .register(bare::BareFutureCall)
        .register(shadowed::Shadowed)
        .register(raw::r#enum)
        .register(raw::TypeFutureCall)
        .register(by_another_name::Renamed)
        .register(from_a_macro::Written)
        .register(from_macros::options::Passed)
        .register(from_macros::fragments::Whole)
        .register(from_macros::fragments::Parts)
        .register(Mapped)
        .register(same_name::one::Same)
        .register(same_name::two::Same)
        .register(primitives::Primitive)
        .register(keywords::Gen)
        .register(keywords::TryFutureCall)
        .register(keywords::Union)
        .register(names_of_ours::Ours)
        .register(under_strict_lints::Strict)
        .start()
        .await
        .unwrap();
    let now = || pod.future_calls().call_now();
    let calls = [
        now().bare().plain(),
        now().bare().with_everything("t", &[1], &vec![2], 3, "w"),
        now().shadowed().hello(shadowed::R, &shadowed::Session, 1, "a", "b"),
        now().r#enum().r#match(7),
        now().r#type().r#loop(),
        now().renamed().hello(1),
        now().written().by_macro(1, &2),
        now().passed().once(1, "given".into()),
        now().whole().hello(),
        now().parts().hello(1),
        now().mapped().hello(R, &vec![R], vec![(Mapped, 1)], vec![]),
        now().one_same().hello(),
        now().another_same().hello(),
        now().primitive().hello(1),
        now().r#gen().r#gen(1),
        now().r#try().r#yield(1),
        now().union().auto(1, 2),
        now().ours().call(1, 2, 3, 4, 5, 6, "w"),
        now().ours().fmt(),
        now().ours().clone(),
        now().ours().drop(),
        now().ours().into(),
        now().ours().of(),
        now().ours().__calls(),
        now().ours().__methods(),
        now().strict().hello("x", 1),
    ];
    let count = calls.len();
    pod.future_calls().schedule_all(calls).await.unwrap();
    let summary = pod.run_due().await.unwrap();
    assert_eq!(summary.succeeded, u64::try_from(count).unwrap(), "{summary:?}");
    let mut lines = journal.lines();
    lines.sort();
    assert_eq!(lines, ["1 given", "7", "R Session 1 a b", "t [1] [2] 3 w"]);
    pod.shutdown().await;
}
