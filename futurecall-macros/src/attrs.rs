//! Sorting the user's attributes: ours, those that travel to generated items, and the rest.

use proc_macro2::Span;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

use crate::model::{BlockAttributes, Forwarded};

/// Whether an attribute is `#[future_call]`, by whatever path.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "future_call")
}

/// Whether an attribute is `#[cfg_attr(.., future_call)]`, which would reach rustc unseen.
pub(crate) fn is_ours_conditionally(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg_attr")
        && keep_one(attribute, |path| path.is_ident("future_call")).is_some()
}

/// Takes our attributes out of a list.
pub(crate) fn take_ours(attributes: &mut Vec<Attribute>) -> Vec<Attribute> {
    let (ours, others) = std::mem::take(attributes).into_iter().partition(is_ours);
    *attributes = others;
    ours
}

/// Takes the docs out of a list: rustc forbids them on parameters.
pub(crate) fn take_docs(attributes: &mut Vec<Attribute>) -> Vec<Attribute> {
    let (docs, others) =
        std::mem::take(attributes).into_iter().partition(|attribute| attribute.path().is_ident("doc"));
    *attributes = others;
    docs
}

/// Whether an attribute decides by configuration whether something exists.
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

/// What of a block's attributes the generated items carry.
pub(crate) fn of_block(attributes: &[Attribute]) -> BlockAttributes {
    let lints = keep(attributes, |path| path.is_ident("allow") || path.is_ident("expect"));
    BlockAttributes {
        cfgs: keep(attributes, |path| path.is_ident("cfg")),
        docs: keep(attributes, |path| path.is_ident("doc")),
        lints: lints.into_iter().map(allow).collect(),
    }
}

/// The attributes that `wanted` names, also from inside `cfg_attr`, which keeps its condition.
fn keep(attributes: &[Attribute], wanted: impl Fn(&syn::Path) -> bool + Copy) -> Vec<Attribute> {
    attributes.iter().filter_map(|attribute| keep_one(attribute, wanted)).collect()
}

fn keep_one(attribute: &Attribute, wanted: impl Fn(&syn::Path) -> bool + Copy) -> Option<Attribute> {
    if wanted(attribute.path()) {
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
        .filter_map(|attribute: Attribute| keep_one(&attribute, wanted))
        .collect();
    let metas = inner.iter().map(|attribute| &attribute.meta);
    (!inner.is_empty()).then(|| parse_quote!(#[cfg_attr(#condition, #(#metas),*)]))
}

/// An `#[expect]` of the user's code is met there, or not; generated items can only be allowed the same.
fn allow(attribute: Attribute) -> Attribute {
    match attribute.meta {
        Meta::List(mut list) if list.path.is_ident("expect") => {
            list.path = syn::Ident::new("allow", Span::call_site()).into();
            Attribute { meta: Meta::List(list), ..attribute }
        }
        meta => Attribute { meta, ..attribute },
    }
}
