impl Mail {
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn as_the_block(session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn exponential(session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn fixed(session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn custom(session: &Session) {}
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn once(session: &Session) {}
}
/// Schedules the future calls of [`Mail`].
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
#[must_use = "nothing is scheduled until a call is chosen and awaited"]
pub struct MailCalls<__R = ::futurecall_runtime::schedule::FutureCallRef> {
    at: __R,
}
/// Adds [`mail`](Self::mail) to scheduling builders.
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
pub trait MailCallsExt: ::futurecall_runtime::schedule::CallTarget {
    /// The future calls of [`Mail`].
    fn mail(self) -> MailCalls<Self>;
}
#[automatically_derived]
impl<__R: ::futurecall_runtime::schedule::CallTarget> MailCallsExt for __R {
    fn mail(self) -> MailCalls<Self> {
        MailCalls { at: self }
    }
}
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
impl<__R: ::futurecall_runtime::schedule::CallTarget> MailCalls<__R> {
    /// Schedules [`Mail::as_the_block`], stored as `mail.as_the_block`.
    pub fn as_the_block(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("mail.as_the_block")
            .call(self.at, 0i16)
    }
    /// Schedules [`Mail::exponential`], stored as `mail.exponential`.
    pub fn exponential(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("mail.exponential")
            .call(self.at, 0i16)
    }
    /// Schedules [`Mail::fixed`], stored as `mail.fixed`.
    pub fn fixed(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("mail.fixed")
            .call(self.at, 0i16)
    }
    /// Schedules [`Mail::custom`], stored as `mail.custom`.
    pub fn custom(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("mail.custom")
            .call(self.at, 0i16)
    }
    /// Schedules [`Mail::once`], stored as `mail.once`.
    pub fn once(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("mail.once").call(self.at, 0i16)
    }
}
#[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
const _: () = {
    #[automatically_derived]
    impl<__R> ::core::fmt::Debug for MailCalls<__R> {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            __f.write_str("MailCalls")
        }
    }
    #[automatically_derived]
    impl ::futurecall_runtime::FutureCall for Mail {
        const NAME: &'static ::core::primitive::str = "mail";
        const NEEDS_INSTANCE: ::core::primitive::bool = false;
        type Calls<__R: ::futurecall_runtime::schedule::CallTarget> = MailCalls<__R>;
        fn __calls<__R: ::futurecall_runtime::schedule::CallTarget>(
            at: __R,
        ) -> MailCalls<__R> {
            MailCalls { at }
        }
        fn __methods(__methods: &mut ::futurecall_runtime::__private::Methods<Self>) {
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "mail.as_the_block",
                            ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <Mail>::as_the_block(__session).await,
                                    )
                                }),
                            )),
                        )
                        .retry(::futurecall_runtime::__private::RetryPolicy::new(5u32))
                        .timeout(30000000u64)
                        .on_interrupt(::futurecall_runtime::__private::OnInterrupt::Keep),
                );
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "mail.exponential",
                            ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <Mail>::exponential(__session).await,
                                    )
                                }),
                            )),
                        )
                        .retry(
                            ::futurecall_runtime::__private::RetryPolicy::new(3u32)
                                .backoff(
                                    ::futurecall_runtime::__private::exponential(
                                        1000000u64,
                                        ::core::option::Option::Some(3600000000u64),
                                        true,
                                    ),
                                ),
                        )
                        .timeout(60000000u64)
                        .on_interrupt(::futurecall_runtime::__private::OnInterrupt::Keep),
                );
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "mail.fixed",
                            ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <Mail>::fixed(__session).await,
                                    )
                                }),
                            )),
                        )
                        .retry(
                            ::futurecall_runtime::__private::RetryPolicy::new(2u32)
                                .backoff(
                                    ::futurecall_runtime::__private::fixed(10000000u64),
                                ),
                        )
                        .timeout(30000000u64)
                        .on_interrupt(
                            ::futurecall_runtime::__private::OnInterrupt::Rerun,
                        ),
                );
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "mail.custom",
                            ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <Mail>::custom(__session).await,
                                    )
                                }),
                            )),
                        )
                        .retry(
                            ::futurecall_runtime::__private::RetryPolicy::new(4u32)
                                .backoff(
                                    ::futurecall_runtime::__private::Backoff::Custom(Self::wait),
                                ),
                        )
                        .timeout(30000000u64)
                        .on_interrupt(::futurecall_runtime::__private::OnInterrupt::Keep),
                );
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "mail.once",
                            ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <Mail>::once(__session).await,
                                    )
                                }),
                            )),
                        )
                        .retry(
                            ::futurecall_runtime::__private::RetryPolicy::new(1u32)
                                .backoff(
                                    ::futurecall_runtime::__private::exponential(
                                        7200000000u64,
                                        ::core::option::Option::None,
                                        false,
                                    ),
                                ),
                        )
                        .timeout(30000000u64)
                        .on_interrupt(::futurecall_runtime::__private::OnInterrupt::Keep),
                );
        }
    }
    ::futurecall_runtime::__private::discover! {
        Mail
    }
};
