//! The `#[future_call]` attribute. Depend on `futurecall-runtime`, which re-exports it.

mod attrs;
mod errors;
mod expand;
// `expression`, `nearest` and `zone` are copies of the runtime's files, so that both accept the same values. A test
// compares them.
mod expression;
mod method;
mod model;
mod names;
mod nearest;
mod options;
mod repeated;
mod signature;
#[cfg(test)]
mod tests;
mod types;
mod validate;
mod zone;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Item;

use crate::errors::Errors;
use crate::repeated::Position;

// Documented where it is re-exported, so that its examples are compiled with the runtime:
// futurecall-runtime/src/docs/future_call.md.
#[expect(missing_docs, reason = "documented where it is re-exported")]
#[proc_macro_attribute]
pub fn future_call(
    options: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(options.into(), &item.into(), Position::of_attribute()).into()
}

/// Expands an item. The output always contains the user's item, followed by the errors.
fn expand(options: TokenStream, tokens: &TokenStream, position: Option<Position>) -> TokenStream {
    let mut errors = Errors::default();
    let item = match syn::parse2::<Item>(tokens.clone()) {
        Ok(Item::Impl(item)) => item,
        Ok(Item::Fn(function)) => {
            errors.push(function.sig.fn_token, errors::METHOD_ALONE);
            return with_errors(tokens, errors);
        }
        Ok(other) => {
            let (head, name) = head(&other);
            errors.push(head, errors::not_an_impl(name.as_deref()));
            return with_errors(tokens, errors);
        }
        Err(error) => {
            errors.syntax(error);
            return with_errors(tokens, errors);
        }
    };
    match validate::block(options, item, position, &mut errors) {
        Ok(block) => with_errors(&expand::block(&block), errors),
        Err(item) => with_errors(&item.into_token_stream(), errors),
    }
}

/// Returns `struct X` of a whole struct, for errors to underline, and its name.
fn head(item: &Item) -> (TokenStream, Option<String>) {
    let (token, name) = match item {
        Item::Struct(item) => (item.struct_token.to_token_stream(), &item.ident),
        Item::Enum(item) => (item.enum_token.to_token_stream(), &item.ident),
        Item::Union(item) => (item.union_token.to_token_stream(), &item.ident),
        Item::Trait(item) => return (quote_pair(item.trait_token, &item.ident), None),
        Item::Mod(item) => return (quote_pair(item.mod_token, &item.ident), None),
        other => return (other.to_token_stream(), None),
    };
    (quote_pair(token, name), Some(name.to_string()))
}

fn quote_pair(token: impl ToTokens, name: &syn::Ident) -> TokenStream {
    quote!(#token #name)
}

fn with_errors(item: &TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    quote!(#item #errors)
}
