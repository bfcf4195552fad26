//! Classifies the user's attributes: ours, those copied to generated items, and the rest.

use proc_macro2::Span;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

use crate::model::{BlockAttributes, Forwarded};

/// Returns whether an attribute is `#[future_call]`, by any path.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "future_call")
}

/// Returns whether an attribute is `#[cfg_attr(.., future_call)]`, which rustc would expand only after this macro.
pub(crate) fn is_ours_conditionally(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg_attr")
        && keep_one(attribute, |path| path.is_ident("future_call")).is_some()
}

/// Removes our attributes from a list and returns them.
pub(crate) fn take_ours(attributes: &mut Vec<Attribute>) -> Vec<Attribute> {
    let (ours, others) = std::mem::take(attributes).into_iter().partition(is_ours);
    *attributes = others;
    ours
}

/// Removes the docs from a list and returns them: rustc forbids them on parameters.
pub(crate) fn take_docs(attributes: &mut Vec<Attribute>) -> Vec<Attribute> {
    let (docs, others) =
        std::mem::take(attributes).into_iter().partition(|attribute| attribute.path().is_ident("doc"));
    *attributes = others;
    docs
}

/// Returns whether an attribute is `#[cfg]` or `#[cfg_attr]`.
pub(crate) fn is_cfg(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
}

// Input:  #[cfg(a)] #[doc = ".."] #[tracing::instrument] #[cfg_attr(b, deprecated, inline)]
// Output: cfgs: #[cfg(a)]         facade: #[doc = ".."] #[cfg_attr(b, deprecated)]
pub(crate) fn forwarded(attributes: &[Attribute]) -> Forwarded {
    Forwarded {
        cfgs: keep(attributes, |path| path.is_ident("cfg")),
        facade: keep(attributes, |path| path.is_ident("doc") || path.is_ident("deprecated")),
    }
}

/// Returns the attributes of a block that generated items carry.
pub(crate) fn of_block(attributes: &[Attribute]) -> BlockAttributes {
    let lints = keep(attributes, |path| path.is_ident("allow") || path.is_ident("expect"));
    BlockAttributes {
        cfgs: keep(attributes, |path| path.is_ident("cfg")),
        docs: keep(attributes, |path| path.is_ident("doc")),
        lints: lints.into_iter().map(allow).collect(),
    }
}

/// Returns the attributes whose path `matches` accepts, including those inside `cfg_attr`, which keep its condition.
fn keep(attributes: &[Attribute], matches: impl Fn(&syn::Path) -> bool + Copy) -> Vec<Attribute> {
    attributes.iter().filter_map(|attribute| keep_one(attribute, matches)).collect()
}

fn keep_one(attribute: &Attribute, matches: impl Fn(&syn::Path) -> bool + Copy) -> Option<Attribute> {
    if matches(attribute.path()) {
        return Some(attribute.clone());
    }
    let Meta::List(list) = &attribute.meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(list.tokens.clone()).ok()?;
    let mut metas = metas.into_iter();
    let condition = metas.next()?;
    let inner: Vec<Attribute> = metas
        .map(|meta| parse_quote!(#[#meta]))
        .filter_map(|attribute: Attribute| keep_one(&attribute, matches))
        .collect();
    let metas = inner.iter().map(|attribute| &attribute.meta);
    (!inner.is_empty()).then(|| parse_quote!(#[cfg_attr(#condition, #(#metas),*)]))
}

/// Turns `#[expect]` into `#[allow]`: the expectation is checked on the user's code, not on generated items.
fn allow(attribute: Attribute) -> Attribute {
    match attribute.meta {
        Meta::List(mut list) if list.path.is_ident("expect") => {
            list.path = syn::Ident::new("allow", Span::call_site()).into();
            Attribute { meta: Meta::List(list), ..attribute }
        }
        meta => Attribute { meta, ..attribute },
    }
}
