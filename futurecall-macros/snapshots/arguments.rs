impl ExampleFutureCall {
    /// Greets `name`.
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub(crate) async fn hello(
        &self,
        session: &Session,
        name: &str,
        mut tags: Vec<(u32, Self)>,
        bytes: &[u8],
        report: &reports::Report,
        times: u32,
        _unused: Option<String>,
        password: &str,
        limit: u64,
        language: String,
        limits: list!(Self),
        mailer: &Mailer,
    ) -> Result<(), Refused> {
        Ok(())
    }
}
/// Schedules the future calls of [`ExampleFutureCall`].
#[doc(hidden)]
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
pub(crate) trait ExampleCallsExt: ::futurecall_runtime::schedule::CallTarget {
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
    /// Greets `name`.
    ///
    /// - `name`: Who.
    ///
    /// Schedules [`ExampleFutureCall::hello`], stored as `example.hello`.
    pub(crate) fn hello(
        self,
        name: &str,
        tags: Vec<(u32, ExampleFutureCall)>,
        bytes: &[u8],
        report: &reports::Report,
        times: u32,
        _unused: Option<String>,
        password: &str,
        limit: u64,
        language: String,
        limits: list!(ExampleFutureCall),
    ) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("example.hello")
            .put(&ExampleCalls::<()>::__args_hello.0, name)
            .put(&ExampleCalls::<()>::__args_hello.1, &tags)
            .put(&ExampleCalls::<()>::__args_hello.2, bytes)
            .put(&ExampleCalls::<()>::__args_hello.3, report)
            .put(&ExampleCalls::<()>::__args_hello.4, &times)
            .put(&ExampleCalls::<()>::__args_hello.5, &_unused)
            .put(&ExampleCalls::<()>::__args_hello.6, password)
            .put(&ExampleCalls::<()>::__args_hello.7, &limit)
            .put(&ExampleCalls::<()>::__args_hello.8, &language)
            .put(&ExampleCalls::<()>::__args_hello.9, &limits)
            .call(self.at, 0i16)
    }
}
#[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
const _: () = {
    #[automatically_derived]
    impl ExampleCalls<()> {
        const __args_hello: (
            ::futurecall_runtime::__private::Text,
            ::futurecall_runtime::__private::Arg<Vec<(u32, ExampleFutureCall)>>,
            ::futurecall_runtime::__private::Slice<u8>,
            ::futurecall_runtime::__private::Arg<reports::Report>,
            ::futurecall_runtime::__private::Arg<u32>,
            ::futurecall_runtime::__private::Arg<Option<String>>,
            ::futurecall_runtime::__private::Text,
            ::futurecall_runtime::__private::Arg<u64>,
            ::futurecall_runtime::__private::Arg<String>,
            ::futurecall_runtime::__private::Arg<list!(ExampleFutureCall)>,
        ) = (
            ::futurecall_runtime::__private::TEXT.key("name"),
            <Vec<(u32, ExampleFutureCall)> as ::futurecall_runtime::CallArg>::__ARG
                .key("tags"),
            <u8 as ::futurecall_runtime::CallArg>::__SLICE.key("bytes"),
            <reports::Report as ::futurecall_runtime::CallArg>::__ARG.key("report"),
            <u32 as ::futurecall_runtime::CallArg>::__ARG
                .key("times")
                .aliases(&["count"])
                .default(|| 1),
            <Option<String> as ::futurecall_runtime::CallArg>::__ARG
                .key("unused")
                .default(<Option<String> as ::core::default::Default>::default),
            ::futurecall_runtime::__private::TEXT.key("password").aliases(&["pin"]),
            <u64 as ::futurecall_runtime::CallArg>::__ARG
                .key("limit")
                .default(|| <ExampleFutureCall>::LIMIT),
            <String as ::futurecall_runtime::CallArg>::__ARG
                .key("language")
                .default(|| <_ as ::futurecall_runtime::__private::DefaultFor<
                    String,
                >>::into_default("en")),
            <list!(ExampleFutureCall) as ::futurecall_runtime::CallArg>::__ARG
                .key("limits")
                .default(|| vec![< ExampleFutureCall > ::LIMIT]),
        );
    }
    #[automatically_derived]
    impl<__R> ::core::fmt::Debug for ExampleCalls<__R> {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            __f.write_str("ExampleCalls")
        }
    }
    #[automatically_derived]
    impl ::futurecall_runtime::FutureCall for ExampleFutureCall {
        const NAME: &'static ::core::primitive::str = "example";
        const NEEDS_INSTANCE: ::core::primitive::bool = true;
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
                            "example.hello",
                            ::futurecall_runtime::__private::Runner::OnInstance(|
                                __this,
                                __session,
                                mut __args|
                            ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    let __a0 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.0)?;
                                    let __a1 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.1)?;
                                    let __a2 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.2)?;
                                    let __a3 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.3)?;
                                    let __a4 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.4)?;
                                    let __a5 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.5)?;
                                    let __a6 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.6)?;
                                    let __a7 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.7)?;
                                    let __a8 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.8)?;
                                    let __a9 = __args
                                        .take(&ExampleCalls::<()>::__args_hello.9)?;
                                    let __a10 = ::futurecall_runtime::__private::state::<
                                        Mailer,
                                    >(__session)?;
                                    <Result<
                                        (),
                                        Refused,
                                    > as ::futurecall_runtime::CallOutput>::__outcome(
                                        <ExampleFutureCall>::hello(
                                                __this,
                                                __session,
                                                &__a0,
                                                __a1,
                                                &__a2,
                                                &__a3,
                                                __a4,
                                                __a5,
                                                &__a6,
                                                __a7,
                                                __a8,
                                                __a9,
                                                __a10,
                                            )
                                            .await,
                                    )
                                }),
                            )),
                        )
                        .arguments(
                            &[
                                &ExampleCalls::<()>::__args_hello.0.spec,
                                &ExampleCalls::<()>::__args_hello.1.spec,
                                &ExampleCalls::<()>::__args_hello.2.spec,
                                &ExampleCalls::<()>::__args_hello.3.spec,
                                &ExampleCalls::<()>::__args_hello.4.spec,
                                &ExampleCalls::<()>::__args_hello.5.spec,
                                &ExampleCalls::<()>::__args_hello.6.spec,
                                &ExampleCalls::<()>::__args_hello.7.spec,
                                &ExampleCalls::<()>::__args_hello.8.spec,
                                &ExampleCalls::<()>::__args_hello.9.spec,
                            ],
                        )
                        .redacted(&["password", "pin"])
                        .state(
                            ::futurecall_runtime::__private::state_need::<
                                Mailer,
                            >("mailer"),
                        ),
                );
        }
    }
    ::futurecall_runtime::__private::discover! {
        ExampleFutureCall
    }
};
