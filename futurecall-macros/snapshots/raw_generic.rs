impl<T: Store, const N: usize> TypeFutureCall<T, N>
where
    T: Clone,
{
    #[allow(
        clippy::missing_errors_doc,
        clippy::unused_async,
        clippy::unused_self,
        clippy::needless_pass_by_value,
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "required by `#[future_call]`"
    )]
    pub async fn r#match(&self, session: &Session, r#type: u8, r: R) {}
}
/// Schedules the future calls of [`TypeFutureCall`].
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
#[must_use = "nothing is scheduled until a call is chosen and awaited"]
pub struct TypeCalls<__R = ::futurecall_runtime::schedule::FutureCallRef> {
    at: __R,
}
/// Adds [`r#type`](Self::r#type) to scheduling builders.
#[allow(
    dead_code,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links
)]
pub trait TypeCallsExt: ::futurecall_runtime::schedule::CallTarget {
    /// The future calls of [`TypeFutureCall`].
    fn r#type(self) -> TypeCalls<Self>;
}
#[automatically_derived]
impl<__R: ::futurecall_runtime::schedule::CallTarget> TypeCallsExt for __R {
    fn r#type(self) -> TypeCalls<Self> {
        TypeCalls { at: self }
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
impl<__R: ::futurecall_runtime::schedule::CallTarget> TypeCalls<__R> {
    /// Schedules [`TypeFutureCall::match`], stored as `type.match`.
    pub fn r#match(self, r#type: u8, r: R) -> __R::Pending {
        ::futurecall_runtime::__private::ArgsWriter::new("type.match")
            .put(&TypeCalls::<()>::__args_match.0, &r#type)
            .put(&TypeCalls::<()>::__args_match.1, &r)
            .call(self.at, 0i16)
    }
}
#[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
const _: () = {
    #[automatically_derived]
    impl TypeCalls<()> {
        const __args_match: (
            ::futurecall_runtime::__private::Arg<u8>,
            ::futurecall_runtime::__private::Arg<R>,
        ) = (
            <u8 as ::futurecall_runtime::CallArg>::__ARG.key("type"),
            <R as ::futurecall_runtime::CallArg>::__ARG.key("r"),
        );
    }
    #[automatically_derived]
    impl<__R> ::core::fmt::Debug for TypeCalls<__R> {
        fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            __f.write_str("TypeCalls")
        }
    }
    #[automatically_derived]
    impl<T: Store, const N: usize> ::futurecall_runtime::FutureCall
    for TypeFutureCall<T, N>
    where
        T: Clone,
        TypeFutureCall<T, N>: ::core::marker::Send + ::core::marker::Sync + 'static,
    {
        const NAME: &'static ::core::primitive::str = "type";
        const NEEDS_INSTANCE: ::core::primitive::bool = true;
        type Calls<__R: ::futurecall_runtime::schedule::CallTarget> = TypeCalls<__R>;
        fn __calls<__R: ::futurecall_runtime::schedule::CallTarget>(
            at: __R,
        ) -> TypeCalls<__R> {
            TypeCalls { at }
        }
        fn __methods(__methods: &mut ::futurecall_runtime::__private::Methods<Self>) {
            __methods
                .add(
                    ::futurecall_runtime::__private::Method::new(
                            "type.match",
                            ::futurecall_runtime::__private::Runner::OnInstance(|
                                __this,
                                __session,
                                mut __args|
                            ::std::boxed::Box::pin(
                                ::futurecall_runtime::__private::future_call_must_be_send(async move {
                                    let __a0 = __args.take(&TypeCalls::<()>::__args_match.0)?;
                                    let __a1 = __args.take(&TypeCalls::<()>::__args_match.1)?;
                                    <() as ::futurecall_runtime::CallOutput>::__outcome(
                                        <TypeFutureCall<
                                            T,
                                            N,
                                        >>::r#match(__this, __session, __a0, __a1)
                                            .await,
                                    )
                                }),
                            )),
                        )
                        .arguments(
                            &[
                                &TypeCalls::<()>::__args_match.0.spec,
                                &TypeCalls::<()>::__args_match.1.spec,
                            ],
                        ),
                );
        }
    }
};
