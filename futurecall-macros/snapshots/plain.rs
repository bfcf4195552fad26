impl ExampleFutureCall {
    /// Does the work.
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn do_work(session: &Session) {}
    async fn helper(session: &Session) {}
}
/// Schedules the future calls of [`ExampleFutureCall`].
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
#[must_use = "nothing is scheduled until a call is chosen and awaited"]
pub struct ExampleCalls<__R = ::futurecall_runtime::schedule::FutureCallRef> {
    at: __R,
}
/// Adds [`example`](Self::example) to scheduling builders.
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
pub trait ExampleCallsExt: ::futurecall_runtime::schedule::CallTarget {
    /// The future calls of [`ExampleFutureCall`].
    fn example(self) -> ExampleCalls<Self>;
}
#[automatically_derived]
impl<__R: ::futurecall_runtime::schedule::CallTarget> ExampleCallsExt for __R {
    fn example(self) -> ExampleCalls<Self> {
        ExampleCalls { at: self }
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
impl<__R: ::futurecall_runtime::schedule::CallTarget> ExampleCalls<__R> {
    /// Does the work.
    ///
    /// Schedules [`ExampleFutureCall::do_work`], stored as `example.do_work`.
    pub fn do_work(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("example.do_work")
            .call(self.at, 0i16)
    }
}
#[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
const _: () = {
    #[automatically_derived]
    impl<__R> ::core::fmt::Debug for ExampleCalls<__R> {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            __f.write_str("ExampleCalls")
        }
    }
    #[automatically_derived]
    impl ::futurecall_runtime::FutureCall for ExampleFutureCall {
        const NAME: &'static ::core::primitive::str = "example";
        const NEEDS_INSTANCE: ::core::primitive::bool = false;
        type Calls<__R: ::futurecall_runtime::schedule::CallTarget> = ExampleCalls<__R>;
        fn __calls<__R: ::futurecall_runtime::schedule::CallTarget>(
            at: __R,
        ) -> ExampleCalls<__R> {
            ExampleCalls { at }
        }
        fn __methods(__methods: &mut ::futurecall_runtime::__private::Methods<Self>) {
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                        "example.do_work",
                        ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                            ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                <() as ::futurecall_runtime::CallOutput>::__outcome(
                                    <ExampleFutureCall>::do_work(__session).await,
                                )
                            }),
                        )),
                    ),
                );
        }
    }
    ::futurecall_runtime::__private::discover! {
        ExampleFutureCall
    }
};
