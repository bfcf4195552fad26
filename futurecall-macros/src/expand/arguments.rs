//! Generates the consts that define how stored arguments are encoded and decoded.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::private;
use crate::model::{Argument, CallBlock, DefaultValue, Method, Passing};
use crate::{names, types};

/// Generates the `impl` that holds the consts, which both the facade and the registration use.
pub(crate) fn of_block(block: &CallBlock, consts: &TokenStream) -> Option<TokenStream> {
    let facade = &block.names.facade;
    (!consts.is_empty()).then(|| quote!(#[automatically_derived] impl #facade<()> { #consts }))
}

// Output: const __args_hello: (Arg<String>, Arg<u32>) =
//             (<String as CallArg>::__ARG.key("name"), <u32 as CallArg>::__ARG.key("times").default(|| 1));
//
// The only place with bounds: a type that can't be stored is one error, at the user's own token.
pub(crate) fn of_method(method: &Method, block: &CallBlock) -> Option<TokenStream> {
    let private = private(block);
    let name = names::arguments_const(&method.signature.ident);
    let types = method.signature.arguments().map(|argument| {
        let ty = &argument.ty;
        match argument.passing {
            Passing::Value | Passing::Reference => quote!(#private::Arg<#ty>),
            Passing::Text => quote!(#private::Text),
            Passing::Slice => quote!(#private::Slice<#ty>),
        }
    });
    let values: Vec<_> =
        method.signature.arguments().map(|argument| argument_value(argument, block)).collect();
    (!values.is_empty()).then(|| quote!(const #name: (#(#types,)*) = (#(#values,)*);))
}

/// Returns the path of the const: `ExampleCalls::<()>::__args_hello`.
pub(crate) fn path(method: &Method, block: &CallBlock) -> TokenStream {
    let facade = &block.names.facade;
    let name = names::arguments_const(&method.signature.ident);
    quote!(#facade::<()>::#name)
}

fn argument_value(argument: &Argument, block: &CallBlock) -> TokenStream {
    let private = private(block);
    let runtime = &block.runtime;
    let Argument { key, aliases, passing, ty, default, .. } = argument;
    let value = match passing {
        Passing::Value | Passing::Reference => quote!(<#ty as #runtime::CallArg>::__ARG.key(#key)),
        Passing::Text => quote!(#private::TEXT.key(#key)),
        Passing::Slice => quote!(<#ty as #runtime::CallArg>::__SLICE.key(#key)),
    };
    let aliases = (!aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    let default = default.as_ref().map(|default| match (default, passing) {
        (DefaultValue::OfType(span), Passing::Value | Passing::Reference) => {
            quote_spanned!(*span=> .default(<#ty as ::core::default::Default>::default))
        }
        (DefaultValue::OfType(_), Passing::Text) => quote!(.default(::std::string::String::new)),
        (DefaultValue::OfType(_), Passing::Slice) => quote!(.default(::std::vec::Vec::new)),
        (DefaultValue::Expr(value), Passing::Value | Passing::Reference) if !types::is_text(value, ty) => {
            quote!(.default(|| #value))
        }
        (DefaultValue::Expr(value), _) => {
            let ty = match passing {
                Passing::Value | Passing::Reference => quote!(#ty),
                Passing::Text => quote!(::std::string::String),
                Passing::Slice => quote!(::std::vec::Vec<#ty>),
            };
            let span = value.span().resolved_at(Span::call_site());
            quote_spanned!(span=> .default(|| <_ as #private::DefaultFor<#ty>>::into_default(#value)))
        }
    });
    quote!(#value #aliases #default)
}
