//! Generates tokens from the model: one function per generated item, one per method. It makes no decisions.

mod arguments;
mod fallback;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Ident, Type};

use crate::model::{
    Backoff, CallBlock, FailurePolicy, Method, OnInterrupt, Parameter, Passing, Repeats, Retry, Rule,
    Signature,
};

/// Generates the expansion of a block.
pub(crate) fn block(block: &CallBlock) -> TokenStream {
    let item = user_block(block);
    let facade = facade(block);
    let extension = extension(block);
    let (consts, methods, registrations) = methods(block);
    let stubs = block.stubs.iter().map(fallback::facade_method);
    let facade_impl = facade_impl(block, &quote!(#(#methods)* #(#stubs)*));
    let arguments_impl = arguments::of_block(block, &quote!(#(#consts)*));
    let debug = debug(block);
    let future_call = future_call(block, &quote!(#(#registrations)*));
    let discover = discover(block);
    let (cfgs, lints) = (&block.forwarded.cfgs, &block.forwarded.lints);
    match block.repeats {
        // Leaves out the items that exist already, so that the repetition is a single error.
        Some(Repeats::Type) => return quote!(#item #facade_impl const _: () = { #arguments_impl };),
        Some(Repeats::Names) => {
            return quote! {
                #item
                const _: () = { #facade #facade_impl #arguments_impl #debug #future_call #discover };
            };
        }
        None => {}
    }
    quote! {
        #item
        #facade
        #extension
        #facade_impl
        #(#cfgs)*
        #(#lints)*
        #[allow(deprecated, non_upper_case_globals, private_interfaces, unused_variables)]
        const _: () = {
            #arguments_impl
            #debug
            #future_call
            #discover
        };
    }
}

/// Generates the user's block. Lints about the required shape of a future call are allowed.
fn user_block(block: &CallBlock) -> TokenStream {
    let mut item = block.item.clone();
    for member in &mut item.items {
        if let syn::ImplItem::Fn(function) = member
            && block.methods.iter().any(|method| method.signature.ident == function.sig.ident)
        {
            function.attrs.push(syn::parse_quote! {
                #[allow(
                    clippy::missing_errors_doc,
                    clippy::unused_async,
                    clippy::unused_self,
                    clippy::needless_pass_by_value,
                    clippy::trivially_copy_pass_by_ref,
                    clippy::ref_option,
                    reason = "required by `#[future_call]`"
                )]
            });
        }
    }
    quote!(#item)
}

// Output: pub struct ExampleCalls<R = FutureCallRef> { at: R }
fn facade(block: &CallBlock) -> TokenStream {
    let runtime = &block.runtime;
    let names = &block.names;
    let (facade, target) = (&names.facade, target());
    let (cfgs, lints, docs) = (&block.forwarded.cfgs, &block.forwarded.lints, &block.forwarded.docs);
    let title = format!(" Schedules the future calls of [`{0}`].", names.type_name.unraw());
    let gap = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    // It is in an associated type of the user's type, which may be more visible than its calls. So it is always `pub`,
    // and hidden from the docs unless its calls are public.
    let hidden = (!matches!(block.vis, syn::Visibility::Public(_))).then(|| quote!(#[doc(hidden)]));
    quote! {
        #(#cfgs)*
        #(#lints)*
        #[doc = #title]
        #gap
        #(#docs)*
        #hidden
        #[allow(dead_code, unreachable_pub, rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)]
        #[must_use = "nothing is scheduled until a call is chosen and awaited"]
        pub struct #facade<#target = #runtime::schedule::FutureCallRef> {
            at: #target,
        }
    }
}

// Output: pub trait ExampleCallsExt: CallTarget { fn example(self) -> ExampleCalls<Self>; } and its impl
fn extension(block: &CallBlock) -> TokenStream {
    let runtime = &block.runtime;
    let names = &block.names;
    let (facade, extension, accessor, target) = (&names.facade, &names.extension, &names.accessor, target());
    let vis = &block.vis;
    let cfgs = &block.forwarded.cfgs;
    let title = format!(" Adds [`{accessor}`](Self::{accessor}) to scheduling builders.");
    let doc = format!(" The future calls of [`{}`].", names.type_name.unraw());
    quote! {
        #(#cfgs)*
        #[doc = #title]
        #[allow(dead_code, unreachable_pub, rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)]
        #vis trait #extension: #runtime::schedule::CallTarget {
            #[doc = #doc]
            fn #accessor(self) -> #facade<Self>;
        }

        #(#cfgs)*
        #[automatically_derived]
        impl<#target: #runtime::schedule::CallTarget> #extension for #target {
            fn #accessor(self) -> #facade<Self> {
                #facade { at: self }
            }
        }
    }
}

/// Generates the three parts of every method.
fn methods(block: &CallBlock) -> (Vec<TokenStream>, Vec<TokenStream>, Vec<TokenStream>) {
    let mut pieces = (Vec::new(), Vec::new(), Vec::new());
    for method in &block.methods {
        let (arguments, facade, registration) = one_method(method, block);
        pieces.0.extend(arguments);
        pieces.1.push(facade);
        pieces.2.push(registration);
    }
    pieces
}

/// Generates the parts of one method: the const of its arguments, its facade method and its registration.
fn one_method(method: &Method, block: &CallBlock) -> (Option<TokenStream>, TokenStream, TokenStream) {
    let cfgs = &method.signature.forwarded.cfgs;
    let arguments = arguments::of_method(method, block).map(|arguments| quote!(#(#cfgs)* #arguments));
    let facade = facade_method(method, block);
    let registration = registration(method, block);
    (arguments, quote!(#(#cfgs)* #facade), quote!(#(#cfgs)* #registration))
}

// Output: pub fn hello(self, name: String, times: u32) -> R::Pending { ArgsWriter::new("example.hello").put(..).call(..) }
fn facade_method(method: &Method, block: &CallBlock) -> TokenStream {
    let private = private(block);
    let target = target();
    let Method { signature: Signature { ident, vis, .. }, stored_name, priority, .. } = method;
    let docs = facade_docs(method, block);
    let consts = arguments::path(method, block);
    let mut inputs = Vec::new();
    let mut puts = Vec::new();
    for (at, argument) in method.signature.arguments().enumerate() {
        let (name, ty) = (&argument.ident, &argument.ty);
        let at = syn::Index::from(at);
        let (ty, value) = match argument.passing {
            Passing::Value => (quote!(#ty), quote!(&#name)),
            Passing::Reference | Passing::Text => (quote!(&#ty), quote!(#name)),
            Passing::Slice => (quote!(&[#ty]), quote!(#name)),
        };
        inputs.push(quote!(#name: #ty));
        puts.push(quote!(.put(&#consts.#at, #value)));
    }
    quote! {
        #docs
        #vis fn #ident(self #(, #inputs)*) -> #target::Pending {
            #private::ArgsWriter::new(#stored_name) #(#puts)* .call(self.at, #priority)
        }
    }
}

/// Generates the docs of the facade method: the user's, those of the parameters, and a link to the handler.
fn facade_docs(method: &Method, block: &CallBlock) -> TokenStream {
    let user = &method.signature.forwarded.facade;
    let documented = user.iter().any(|attribute| attribute.path().is_ident("doc"));
    let gap = documented.then(|| quote!(#[doc = ""]));
    let parameters = method.signature.parameter_docs.iter().map(|(name, docs)| {
        let text = format!(" - `{name}`: {}", docs.iter().filter_map(doc_text).collect::<Vec<_>>().join(" "));
        quote!(#[doc = #text])
    });
    let parameters_gap = (!method.signature.parameter_docs.is_empty()).then(|| quote!(#[doc = ""]));
    let (type_name, name) = (block.names.type_name.unraw(), method.signature.ident.unraw());
    let about = format!(" Schedules [`{type_name}::{name}`], stored as `{}`.", method.stored_name);
    quote! {
        #(#user)*
        #gap
        #(#parameters)*
        #parameters_gap
        #[doc = #about]
    }
}

fn doc_text(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }),
            ..
        }) => Some(text.value().trim().to_owned()),
        _ => None,
    }
}

// Output: __methods.add(Method::new("example.hello", Runner::OnInstance(|__this, __session, mut __args| ..)).arguments(&[..]));
fn registration(method: &Method, block: &CallBlock) -> TokenStream {
    let private = private(block);
    let Method { stored_name, aliases, priority, .. } = method;
    let runner = runner(method, block);
    let aliases = (!aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    let count = method.signature.arguments().count();
    let arguments = (count > 0).then(|| {
        let consts = arguments::path(method, block);
        let at = (0..count).map(syn::Index::from);
        quote!(.arguments(&[#(&#consts.#at.spec),*]))
    });
    let state = method.signature.parameters.iter().filter_map(|parameter| match parameter {
        Parameter::State(state) => Some((&state.ty, &state.name)),
        Parameter::Argument(_) => None,
    });
    let state = state.map(|(ty, name)| quote!(.state(#private::state_need::<#ty>(#name))));
    let recurring = method.rule.as_ref().map(|rule| match rule {
        Rule::Every { micros } => quote!(.recurring(#private::every(#micros))),
        Rule::Cron { expression, time_zone } => {
            let zone = time_zone.as_ref().map_or_else(|| "UTC".to_owned(), syn::LitStr::value);
            quote!(.recurring(#private::cron(#expression, #zone)))
        }
    });
    let redacted: Vec<_> = method
        .signature
        .arguments()
        .filter(|argument| argument.redact)
        .flat_map(|argument| std::iter::once(&argument.key).chain(&argument.aliases))
        .collect();
    let redacted = (!redacted.is_empty()).then(|| quote!(.redacted(&[#(#redacted),*])));
    let priority = (*priority != 0).then(|| quote!(.priority(#priority)));
    let failure_policy = failure_policy(&method.failure_policy, &private);
    quote! {
        __methods.add(
            #private::Method::new(#stored_name, #runner) #aliases #arguments #redacted #(#state)* #recurring #priority #failure_policy
        );
    }
}

// Output: .retry(RetryPolicy::new(5).backoff(fixed(10000000))).timeout(30000000).on_interrupt(OnInterrupt::Rerun)
fn failure_policy(policy: &FailurePolicy, private: &TokenStream) -> TokenStream {
    let retry = policy.retry.as_ref().map(|Retry { max_attempts, backoff }| {
        let backoff = backoff.as_ref().map(|backoff| match backoff {
            Backoff::Fixed(wait) => quote!(#private::fixed(#wait)),
            Backoff::Exponential { first, max, jitter } => {
                let max = max.map_or_else(
                    || quote!(::core::option::Option::None),
                    |max| quote!(::core::option::Option::Some(#max)),
                );
                quote!(#private::exponential(#first, #max, #jitter))
            }
            Backoff::Custom(function) => quote!(#private::Backoff::Custom(#function)),
        });
        let backoff = backoff.map(|backoff| quote!(.backoff(#backoff)));
        quote!(.retry(#private::RetryPolicy::new(#max_attempts) #backoff))
    });
    let timeout = policy.timeout.map(|timeout| quote!(.timeout(#timeout)));
    let on_interrupt = policy.on_interrupt.map(|on_interrupt| match on_interrupt {
        OnInterrupt::Keep => quote!(.on_interrupt(#private::OnInterrupt::Keep)),
        OnInterrupt::Rerun => quote!(.on_interrupt(#private::OnInterrupt::Rerun)),
    });
    quote!(#retry #timeout #on_interrupt)
}

// Output: Runner::Free(|__session, mut __args| Box::pin(future_call_must_be_send(async move {
//             let __a0 = __args.take(&__args_hello.0)?;
//             <Result<(), Refused> as CallOutput>::__outcome(<Example>::hello(__session, __a0).await)
//         })))
fn runner(method: &Method, block: &CallBlock) -> TokenStream {
    let private = private(block);
    let runtime = &block.runtime;
    let self_ty = block.self_ty();
    let Signature { ident, output, .. } = &method.signature;
    let consts = arguments::path(method, block);
    let mut stored = 0..;
    let mut takes = Vec::new();
    let mut values = Vec::new();
    for (at, parameter) in method.signature.parameters.iter().enumerate() {
        let local = format_ident!("__a{at}", span = Span::mixed_site());
        match parameter {
            Parameter::Argument(argument) => {
                let at = syn::Index::from(stored.next().unwrap_or_default());
                takes.push(quote!(let #local = __args.take(&#consts.#at)?;));
                values.push(if argument.passing == Passing::Value {
                    quote!(#local)
                } else {
                    quote!(&#local)
                });
            }
            Parameter::State(state) => {
                let ty = &state.ty;
                takes.push(quote!(let #local = #private::state::<#ty>(__session)?;));
                values.push(quote!(#local));
            }
        }
    }
    let arguments = if stored.start > 0 { quote!(mut __args) } else { quote!(_) };
    let session = Ident::new("__session", method.signature.session_span.resolved_at(Span::call_site()));
    let (kind, this, receiver) = if method.signature.on_instance {
        (quote!(OnInstance), quote!(__this,), quote!(__this,))
    } else {
        (quote!(Free), quote!(), quote!())
    };
    // A future that is not `Send` is reported at the user's `async`.
    let span = method.signature.async_span.resolved_at(Span::call_site());
    let must_be_send = quote_spanned!(span=> future_call_must_be_send);
    let must_be_send = at(span, quote!(#private::#must_be_send));
    let run = quote_spanned! {span=>
        ::std::boxed::Box::pin(#must_be_send(async move {
            #(#takes)*
            <#output as #runtime::CallOutput>::__outcome(<#self_ty>::#ident(#receiver #session #(, #values)*).await)
        }))
    };
    quote!(#private::Runner::#kind(|#this __session, #arguments| #run))
}

/// Returns the tokens with spans at `place`, where errors point, but with their own name resolution.
fn at(place: Span, tokens: TokenStream) -> TokenStream {
    let moved = tokens.into_iter().map(|mut token| {
        token.set_span(token.span().located_at(place));
        token
    });
    moved.collect()
}

// Output: impl<R: CallTarget> ExampleCalls<R> { .. }
//
// It is beside the user's block and not in the `const _`, because rustc's messages about a method contain its path.
fn facade_impl(block: &CallBlock, methods: &TokenStream) -> TokenStream {
    let runtime = &block.runtime;
    let (facade, target) = (&block.names.facade, target());
    let (cfgs, lints) = (&block.forwarded.cfgs, &block.forwarded.lints);
    quote! {
        #(#cfgs)*
        #(#lints)*
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
        impl<#target: #runtime::schedule::CallTarget> #facade<#target> {
            #methods
        }
    }
}

fn debug(block: &CallBlock) -> TokenStream {
    let (facade, target) = (&block.names.facade, target());
    let name = facade.to_string();
    quote! {
        #[automatically_derived]
        impl<#target> ::core::fmt::Debug for #facade<#target> {
            fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                __f.write_str(#name)
            }
        }
    }
}

fn future_call(block: &CallBlock, registrations: &TokenStream) -> TokenStream {
    let private = private(block);
    let runtime = &block.runtime;
    let (facade, stored, target) = (&block.names.facade, &block.names.stored, target());
    let self_ty = block.self_ty();
    let mut generics = block.generics().clone();
    if !generics.params.is_empty() {
        generics.make_where_clause().predicates.push(syn::parse_quote! {
            #self_ty: ::core::marker::Send + ::core::marker::Sync + 'static
        });
    }
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let needs_instance = needs_instance(block);
    quote! {
        #[automatically_derived]
        impl #impl_generics #runtime::FutureCall for #self_ty #where_clause {
            const NAME: &'static ::core::primitive::str = #stored;
            const NEEDS_INSTANCE: ::core::primitive::bool = #needs_instance;
            type Calls<#target: #runtime::schedule::CallTarget> = #facade<#target>;

            fn __calls<#target: #runtime::schedule::CallTarget>(at: #target) -> #facade<#target> {
                #facade { at }
            }

            fn __methods(__methods: &mut #private::Methods<Self>) {
                #registrations
            }
        }
    }
}

/// Generates an expression that is `true` if any method that is not disabled by `#[cfg]` takes `&self`.
fn needs_instance(block: &CallBlock) -> TokenStream {
    let on_instance = || block.methods.iter().filter(|method| method.signature.on_instance);
    if on_instance().any(|method| method.signature.forwarded.cfgs.is_empty()) {
        return quote!(true);
    }
    let needs = on_instance().map(|method| {
        let cfgs = &method.signature.forwarded.cfgs;
        quote!(#(#cfgs)* { __needs = true; })
    });
    let needs: Vec<_> = needs.collect();
    if needs.is_empty() {
        return quote!(false);
    }
    quote!({
        #[allow(unused_mut)]
        let mut __needs = false;
        #(#needs)*
        __needs
    })
}

/// Generates the registration for discovery, for types without parameters.
fn discover(block: &CallBlock) -> Option<TokenStream> {
    let private = private(block);
    let self_ty: &Type = block.self_ty();
    block.generics().params.is_empty().then(|| quote!(#private::discover! { #self_ty }))
}

/// Returns the name of the facade's type parameter. It would shadow a type of the same name in the user's signatures,
/// hence the leading underscores.
pub(crate) fn target() -> Ident {
    Ident::new("__R", Span::call_site())
}

pub(crate) fn private(block: &CallBlock) -> TokenStream {
    let runtime = &block.runtime;
    quote!(#runtime::__private)
}
