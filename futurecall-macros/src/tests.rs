//! Snapshots of expansions, pretty-printed under `snapshots/`. `UPDATE_EXPECT=1 cargo test -p futurecall-macros` rewrites
//! them; review changes like code, because they become code in every user's crate.

use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;

use super::expand;

/// Compares the expansion of a block with the file `snapshots/<name>.rs`.
fn check(name: &str, options: TokenStream, item: &TokenStream) {
    let file = syn::parse2(expand(options, item, None)).expect("an expansion is a list of items");
    let expansion = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(format!("{name}.rs"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &expansion).expect("the snapshot can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expansion == expected,
        "the expansion differs from {}; look at it with UPDATE_EXPECT=1 and `git diff`:\n{expansion}",
        path.display()
    );
}

#[test]
fn without_receiver_and_arguments() {
    check(
        "plain",
        quote!(),
        &quote! {
            impl ExampleFutureCall {
                /// Does the work.
                pub async fn do_work(session: &Session) {}
                async fn helper(session: &Session) {}
            }
        },
    );
}

#[test]
fn on_an_instance_with_arguments_of_all_kinds() {
    check(
        "arguments",
        quote!(),
        &quote! {
            impl ExampleFutureCall {
                /// Greets `name`.
                pub(crate) async fn hello(
                    &self,
                    session: &Session,
                    /// Who.
                    name: &str,
                    mut tags: Vec<(u32, Self)>,
                    bytes: &[u8],
                    report: &reports::Report,
                    #[future_call(default = 1, alias = "count")] times: u32,
                    #[future_call(default)] _unused: Option<String>,
                    #[future_call(redact, alias = "pin")] password: &str,
                    #[future_call(default = Self::LIMIT)] limit: u64,
                    #[future_call(default = "en")] language: String,
                    #[future_call(default = vec![Self::LIMIT])] limits: list!(Self),
                    #[future_call(state)] mailer: &Mailer,
                ) -> Result<(), Refused> {
                    Ok(())
                }
            }
        },
    );
}

#[test]
fn options_and_attributes() {
    check(
        "options",
        quote!(name = "jobs", alias = "work", priority = 5, crate = ::renamed),
        &quote! {
            /// Jobs.
            #[cfg(feature = "jobs")]
            #[expect(clippy::pedantic)]
            impl Work {
                #[cfg(unix)]
                #[cfg_attr(docsrs, doc = "On unix.", inline)]
                #[deprecated = "use `b`"]
                #[future_call(name = "alpha", alias = "first", alias = "old.first", priority = -1)]
                pub async fn a(&self, session: &Session) {}
                #[future_call(every = "1h 30min")]
                pub async fn b(session: &Session) {}
                #[future_call(cron = "0 2 * * *", time_zone = "Europe/Berlin")]
                pub async fn c(session: &Session) {}
                #[future_call(skip)]
                pub fn not_one() {}
            }
        },
    );
}

#[test]
fn failure_policies() {
    check(
        "failure_policy",
        quote!(retry(max_attempts = 5), timeout = "30s", on_interrupt = "keep"),
        &quote! {
            impl Mail {
                pub async fn as_the_block(session: &Session) {}
                #[future_call(retry(max_attempts = 3, backoff = exponential("1s", max = "1h", jitter)), timeout = "1min")]
                pub async fn exponential(session: &Session) {}
                #[future_call(retry(backoff = fixed("10s"), max_attempts = 2), on_interrupt = "rerun")]
                pub async fn fixed(session: &Session) {}
                #[future_call(retry(max_attempts = 4, backoff = custom(Self::wait)))]
                pub async fn custom(session: &Session) {}
                #[future_call(retry(max_attempts = 1, backoff = exponential("2h")))]
                pub async fn once(session: &Session) {}
            }
        },
    );
}

#[test]
fn raw_identifiers_and_generics() {
    check(
        "raw_generic",
        quote!(),
        &quote! {
            impl<T: Store, const N: usize> TypeFutureCall<T, N>
            where
                T: Clone,
            {
                pub async fn r#match(&self, session: &Session, r#type: u8, r: R) {}
            }
        },
    );
}

#[test]
fn mistakes_do_not_affect_other_methods() {
    check(
        "mistakes",
        quote!(),
        &quote! {
            impl ExampleFutureCall {
                pub fn new() -> Self { Self }
                pub async fn good(session: &Session) {}
                #[future_call(nme = "x")]
                pub async fn bad(session: &Session, a: Vec<&str>, b: u8, #[future_call(state)] c: Mailer) {}
            }
        },
    );
}

#[test]
fn a_chosen_crate_path_is_used_everywhere() {
    let item = quote! {
        impl Example {
            pub async fn hello(&self, session: &Session, a: u8, b: &str, c: &[u8], #[future_call(state)] d: &D) {}
            pub async fn broken(session: &Session, a: Vec<&str>) {}
        }
    };
    let expansion = expand(quote!(crate = ::renamed), &item, None).to_string();
    assert!(expansion.contains(":: renamed :: FutureCall"));
    assert!(!expansion.contains("futurecall_runtime"), "{expansion}");
}

/// No input may make the macro panic.
#[test]
fn nothing_panics() {
    for item in [
        quote!(),
        quote!(impl),
        quote!(impl SelfFutureCall { pub async fn f(s: &Session) {} }),
        quote!(impl [u8] { pub async fn f(s: &Session) {} }),
        quote!(
            impl <X as Y>::Z {
                pub async fn f(s: &Session) {}
            }
        ),
        quote!(impl X { pub async fn f(self: &Self, s: &Session, _: _, __: u8, mut a: (u8,), ref b: u8) -> _ {} }),
        quote!(impl X { pub async fn f(&self, s: &Session, a: &Self, b: [Self; 2], c: m!(), d: <Self as T>::U) {} }),
        quote!(impl X { #[future_call()] #[future_call] #[future_call(,)] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(name = "self", alias, alias(), skip(1), priority = -1_0)] pub async fn f() {} }),
        quote!(impl X { #[future_call(name = "\u{0}", every = "", cron = "", time_zone = "")] pub async fn f() {} }),
        quote!(impl X { #[future_call(retry, timeout, on_interrupt)] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(retry(), timeout = 5, on_interrupt())] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(retry(1 + 1))] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(retry(max_attempts, backoff, x))] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(retry(max_attempts = 0, backoff = exponential()))] pub async fn f(s: &Session) {} }),
        quote!(impl X { #[future_call(retry(max_attempts = 99999999999, backoff = x::fixed("")))] pub async fn f() {} }),
        quote!(impl X { m! {} const C: u8 = 1; type T = u8; pub fn g() {} fn h(#[future_call(state)] self) {} }),
        quote!(
            enum E {}
        ),
        quote!(
            fn f() {}
        ),
        quote!(
            macro_rules! m {
                () => {};
            }
        ),
    ] {
        for options in [quote!(), quote!(name = ""), quote!(name = "crate", crate = $crate::x), quote!(1 + 1)]
        {
            let expansion = expand(options, &item, None).to_string();
            assert!(item.is_empty() || !expansion.is_empty());
        }
    }
}
