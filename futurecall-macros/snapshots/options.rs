/// Jobs.
#[cfg(feature = "jobs")]
#[expect(clippy::pedantic)]
impl Work {
    #[cfg(unix)]
    #[cfg_attr(docsrs, doc = "On unix.", inline)]
    #[deprecated = "use `b`"]
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn a(&self, session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn b(session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn c(session: &Session) {}
    pub fn not_one() {}
}
#[cfg(feature = "jobs")]
#[allow(clippy::pedantic)]
/// Schedules the future calls of [`Work`].
///
/// Jobs.
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
#[must_use = "nothing is scheduled until a call is chosen and awaited"]
pub struct WorkCalls<__R = ::renamed::schedule::FutureCallRef> {
    at: __R,
}
#[cfg(feature = "jobs")]
/// Adds [`jobs`](Self::jobs) to scheduling builders.
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
pub trait WorkCallsExt: ::renamed::schedule::CallTarget {
    /// The future calls of [`Work`].
    fn jobs(self) -> WorkCalls<Self>;
}
#[cfg(feature = "jobs")]
#[automatically_derived]
impl<__R: ::renamed::schedule::CallTarget> WorkCallsExt for __R {
    fn jobs(self) -> WorkCalls<Self> {
        WorkCalls { at: self }
    }
}
#[cfg(feature = "jobs")]
#[allow(clippy::pedantic)]
#[automatically_derived]
#[allow(
    dead_code,
    deprecated,
    non_snake_case,
    private_interfaces,
    unreachable_pub,
    unused_variables,
    clippy::missing_errors_doc,
    clippy::needless_pass_by_value,
    clippy::ref_option,
    clippy::too_many_arguments,
    clippy::trivially_copy_pass_by_ref,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
impl<__R: ::renamed::schedule::CallTarget> WorkCalls<__R> {
    #[cfg(unix)]
    #[cfg_attr(docsrs, doc = "On unix.")]
    #[deprecated = "use `b`"]
    /// Schedules [`Work::a`], stored as `jobs.alpha`.
    pub fn a(self) -> __R::Pending {
        ::renamed::__private::ArgsWriter::new("jobs.alpha").call(self.at, -1i16)
    }
    /// Schedules [`Work::b`], stored as `jobs.b`.
    pub fn b(self) -> __R::Pending {
        ::renamed::__private::ArgsWriter::new("jobs.b").call(self.at, 5i16)
    }
    /// Schedules [`Work::c`], stored as `jobs.c`.
    pub fn c(self) -> __R::Pending {
        ::renamed::__private::ArgsWriter::new("jobs.c").call(self.at, 5i16)
    }
}
#[cfg(feature = "jobs")]
#[allow(clippy::pedantic)]
#[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
const _: () = {
    #[automatically_derived]
    impl<__R> ::core::fmt::Debug for WorkCalls<__R> {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            __f.write_str("WorkCalls")
        }
    }
    #[automatically_derived]
    impl ::renamed::FutureCall for Work {
        const NAME: &'static ::core::primitive::str = "jobs";
        const NEEDS_INSTANCE: ::core::primitive::bool = {
            #[allow(unused_mut)]
            let mut __needs = false;
            #[cfg(unix)]
            {
                __needs = true;
            }
            __needs
        };
        type Calls<__R: ::renamed::schedule::CallTarget> = WorkCalls<__R>;
        fn __calls<__R: ::renamed::schedule::CallTarget>(at: __R) -> WorkCalls<__R> {
            WorkCalls { at }
        }
        fn __methods(__methods: &mut ::renamed::__private::Methods<Self>) {
            #[cfg(unix)]
            __methods
                .add(
                    ::renamed::__private::Method::new(
                            "jobs.alpha",
                            ::renamed::__private::Runner::OnInstance(|
                                __this,
                                __session,
                                _|
                            ::std::boxed::Box::pin(
                                ::renamed::__private::future_call_must_be_send(async move {
                                    <() as ::renamed::CallOutput>::__outcome(
                                        <Work>::a(__this, __session).await,
                                    )
                                }),
                            )),
                        )
                        .aliases(
                            &["work.alpha", "jobs.first", "work.first", "old.first"],
                        )
                        .priority(-1i16),
                );
            __methods
                .add(
                    ::renamed::__private::Method::new(
                            "jobs.b",
                            ::renamed::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::renamed::__private::future_call_must_be_send(async move {
                                    <() as ::renamed::CallOutput>::__outcome(
                                        <Work>::b(__session).await,
                                    )
                                }),
                            )),
                        )
                        .aliases(&["work.b"])
                        .recurring(::renamed::__private::every(5400000000u64))
                        .priority(5i16),
                );
            __methods
                .add(
                    ::renamed::__private::Method::new(
                            "jobs.c",
                            ::renamed::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::renamed::__private::future_call_must_be_send(async move {
                                    <() as ::renamed::CallOutput>::__outcome(
                                        <Work>::c(__session).await,
                                    )
                                }),
                            )),
                        )
                        .aliases(&["work.c"])
                        .recurring(
                            ::renamed::__private::cron("0 2 * * *", "Europe/Berlin"),
                        )
                        .priority(5i16),
                );
        }
    }
    ::renamed::__private::discover! {
        Work
    }
};
