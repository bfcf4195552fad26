impl ExampleFutureCall {
    pub fn new() -> Self {
        Self
    }
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn good(session: &Session) {}
    pub async fn bad(session: &Session, a: Vec<&str>, b: u8, c: Mailer) {}
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
    /// Schedules [`ExampleFutureCall::good`], stored as `example.good`.
    pub fn good(self) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("example.good")
            .call(self.at, 0i16)
    }
    #[doc(hidden)]
    pub fn new(self) -> __R::Pending {
        ::core::unreachable!()
    }
    #[doc(hidden)]
    pub fn bad(
        self,
        _: impl ::core::marker::Sized,
        _: impl ::core::marker::Sized,
    ) -> __R::Pending {
        ::core::unreachable!()
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
                        "example.good",
                        ::futurecall_runtime::__private::Runner::Free(|__session, _| ::std::boxed::Box::pin(
                            ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                <() as ::futurecall_runtime::CallOutput>::__outcome(
                                    <ExampleFutureCall>::good(__session).await,
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
::core::compile_error! {
    "future call `new` must be an `async fn`\nhelp: constructors and synchronous helpers belong in another `impl` block; or keep it here without `pub`, or with `#[future_call(skip)]`"
}
::core::compile_error! {
    "unknown option `nme`; on a method `#[future_call]` takes `name`, `alias`, `skip`, `priority`, `retry`, `timeout`, `on_interrupt`, `every`, `cron` and `time_zone`\nhelp: write `name`"
}
::core::compile_error! {
    "an argument of a future call can't hold a reference: it is stored now and read back when the call runs\nhelp: take `Vec<String>`"
}
::core::compile_error! {
    "a `state` parameter is borrowed from the pod: write a reference, like `mailer: &Mailer`"
}
