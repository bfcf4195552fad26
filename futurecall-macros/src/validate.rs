//! Checks a block and builds its model. Reports all errors, not just the first.

use proc_macro2::{Ident, Span, TokenStream};
use quote::format_ident;
use syn::{ImplItem, ImplItemFn, ItemImpl, LitStr, Type, Visibility, parse_quote};

use crate::errors::{self, Errors};
use crate::model::{BlockNames, CallBlock, Method, Repeats, Stub};
use crate::options::{self, BlockOptions};
use crate::repeated::{self, Position};
use crate::signature::Context;
use crate::{attrs, method, names, types};

/// Checks a block. Returns the user's block if nothing can be generated for it; `errors` has the errors in either case.
pub(crate) fn block(
    options: TokenStream,
    mut item: ItemImpl,
    position: Option<Position>,
    errors: &mut Errors,
) -> Result<CallBlock, Box<ItemImpl>> {
    let options = options::of_block(options, errors);
    if let Some((path, _)) = &item.trait_ {
        errors.push(path, errors::TRAIT_IMPL);
        strip(&mut item);
        return Err(Box::new(item));
    }
    let Some(type_name) = types::last_name(&item.self_ty).cloned() else {
        // rustc refuses inherent blocks of all other types without a name.
        if let Type::TraitObject(_) = types::ungrouped(&item.self_ty) {
            errors.push(&item.self_ty, errors::UNNAMED_TYPE);
        }
        strip(&mut item);
        return Err(Box::new(item));
    };
    let names = block_names(&type_name, &options, errors);
    let context = Context { self_ty: (*item.self_ty).clone(), generics: item.generics.clone() };
    let mut calls = BlockBuilder {
        block: method::Block { names: &names, options: &options, context },
        methods: Vec::new(),
        stubs: Vec::new(),
        visible: Vec::new(),
    };
    for member in &mut item.items {
        match member {
            ImplItem::Fn(function) => calls.function(function, errors),
            other => not_a_method(other, errors),
        }
    }
    let BlockBuilder { methods, stubs, visible, .. } = calls;
    if methods.is_empty() && stubs.is_empty() && errors.len() == 0 {
        errors.push(&item.self_ty, errors::NO_CALLS);
    }
    stored_twice(&methods, errors);
    let repeats = repeated::earlier(position, &type_name).map(|earlier| {
        if type_name == earlier.type_name {
            errors.push(&item.self_ty, errors::second_block(&earlier.type_name, earlier.line));
            Repeats::Type
        } else {
            let (second, first) = (type_name.to_string(), &earlier.type_name);
            errors.push(
                &item.self_ty,
                errors::same_facade(&names.facade.to_string(), &second, first, earlier.line),
            );
            Repeats::Names
        }
    });
    Ok(CallBlock {
        repeats,
        runtime: options.runtime.clone().unwrap_or_else(|| parse_quote!(::futurecall_runtime)),
        vis: widest(visible),
        forwarded: attrs::of_block(&item.attrs),
        methods: methods.into_iter().map(|(method, _)| method).collect(),
        stubs,
        names,
        item,
    })
}

/// Collects the future calls of a block.
struct BlockBuilder<'a> {
    block: method::Block<'a>,
    /// With the token that determines the stored name.
    methods: Vec<(Method, TokenStream)>,
    stubs: Vec<Stub>,
    visible: Vec<Visibility>,
}

impl BlockBuilder<'_> {
    fn function(&mut self, function: &mut ImplItemFn, errors: &mut Errors) {
        let ours = attrs::take_ours(&mut function.attrs);
        for attribute in function.attrs.extract_if(.., |attribute| attrs::is_ours_conditionally(attribute)) {
            errors.push(attribute, errors::CONDITIONAL);
        }
        if matches!(function.vis, Visibility::Inherited) {
            for attribute in &ours {
                errors.push(attribute, errors::PRIVATE_METHOD);
            }
            refuse_parameter_options(function, errors);
            return;
        }
        let before = errors.len();
        let options = options::of_method(&ours, errors);
        if options.skip {
            refuse_parameter_options(function, errors);
            return;
        }
        self.visible.push(function.vis.clone());
        let stub = method::stub(function);
        match method::read(function, options, &self.block, errors) {
            Some(read) if errors.len() == before => self.methods.push(read),
            _ => self.stubs.push(stub),
        }
    }
}

fn block_names(type_name: &Ident, options: &BlockOptions, errors: &mut Errors) -> BlockNames {
    let stem = names::stem(type_name);
    let chosen = options.name.as_ref().map_or_else(|| names::snake_case(&stem), LitStr::value);
    let accessor = names::identifier(&chosen, Span::call_site());
    let fault = match &accessor {
        None => Some(errors::keyword_accessor(&chosen)),
        Some(_) if names::is_taken(&chosen) => Some(errors::reserved_accessor(&chosen)),
        Some(_) => None,
    };
    match (fault, &options.name) {
        (Some(fault), Some(name)) => errors.push(name, fault),
        (Some(fault), None) => errors.push(type_name, fault),
        (None, _) => {}
    }
    BlockNames {
        type_name: type_name.clone(),
        stored: chosen,
        accessor: accessor.unwrap_or_else(|| format_ident!("__calls")),
        aliases: options.aliases.iter().map(LitStr::value).collect(),
        facade: format_ident!("{stem}Calls", span = Span::call_site()),
        extension: format_ident!("{stem}CallsExt", span = Span::call_site()),
    }
}

/// Reports our attributes on the parameters of a method that is not a future call.
fn refuse_parameter_options(function: &mut ImplItemFn, errors: &mut Errors) {
    for input in &mut function.sig.inputs {
        let attributes = match input {
            syn::FnArg::Receiver(receiver) => &mut receiver.attrs,
            syn::FnArg::Typed(typed) => &mut typed.attrs,
        };
        for attribute in attrs::take_ours(attributes) {
            errors.push(attribute, errors::SKIPPED_PARAMETER);
        }
    }
}

fn not_a_method(item: &mut ImplItem, errors: &mut Errors) {
    let attributes = match item {
        ImplItem::Const(item) => &mut item.attrs,
        ImplItem::Type(item) => &mut item.attrs,
        ImplItem::Macro(item) => &mut item.attrs,
        _ => return,
    };
    for attribute in attrs::take_ours(attributes) {
        errors.push(attribute, errors::NOT_A_METHOD);
    }
}

/// Removes our attributes from a block for which nothing is generated.
fn strip(item: &mut ItemImpl) {
    for member in &mut item.items {
        if let ImplItem::Fn(function) = member {
            attrs::take_ours(&mut function.attrs);
            refuse_parameter_options(function, &mut Errors::default());
        }
    }
}

/// Reports stored names that two methods share, unless both are under a `#[cfg]`, where one may replace the other.
fn stored_twice(methods: &[(Method, TokenStream)], errors: &mut Errors) {
    let all = |method: &Method| {
        std::iter::once(&method.stored_name).chain(&method.aliases).cloned().collect::<Vec<String>>()
    };
    for (at, (second, token)) in methods.iter().enumerate() {
        let clash = methods[..at].iter().find_map(|(first, first_token)| {
            let twins =
                !first.signature.forwarded.cfgs.is_empty() && !second.signature.forwarded.cfgs.is_empty();
            let taken = all(first);
            let name = all(second).into_iter().find(|name| taken.contains(name))?;
            // rustc reports two methods of the same name.
            (!twins && first.signature.ident != second.signature.ident).then_some((name, first_token))
        });
        if let Some((name, first_token)) = clash {
            errors.push(token, errors::twice_stored(&name));
            errors.push(first_token, errors::first_stored(&name));
        }
    }
}

/// Returns the smallest visibility that includes all given ones.
fn widest(visible: Vec<Visibility>) -> Visibility {
    let mut widest = None;
    for vis in visible {
        widest = match (widest, vis) {
            (_, vis @ Visibility::Public(_)) | (Some(vis @ Visibility::Public(_)), _) | (None, vis) => {
                Some(vis)
            }
            (Some(known), vis) if known == vis => Some(known),
            _ => Some(parse_quote!(pub(crate))),
        };
    }
    widest.unwrap_or_else(|| Visibility::Public(syn::Token![pub](Span::call_site())))
}
