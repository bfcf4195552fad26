//! Reads one function and its options into a method of the model.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{FnArg, ImplItemFn, LitStr};

use crate::attrs;
use crate::errors::{self, Errors};
use crate::model::{BlockNames, Method, Rule, Stub};
use crate::options::{self, BlockOptions, MethodOptions};
use crate::signature::{self, Context};

/// The properties of the block that its methods depend on.
pub(crate) struct Block<'a> {
    pub(crate) names: &'a BlockNames,
    pub(crate) options: &'a BlockOptions,
    pub(crate) context: Context,
}

/// Reads one public function with its options. Also returns the token that determines the stored name. It may report
/// errors in either case.
pub(crate) fn read(
    function: &mut ImplItemFn,
    options: MethodOptions,
    block: &Block<'_>,
    errors: &mut Errors,
) -> Option<(Method, TokenStream)> {
    let (stored_name, aliases, token) = stored_names(function, block.names, &options, errors);
    let signature = signature::read(function, &block.context, errors)?;
    if let Some((rule, span)) = &options.rule
        && signature.arguments().next().is_some()
    {
        let name = if matches!(rule, Rule::Every { .. }) { "every" } else { "cron" };
        errors
            .push(Ident::new(name, *span), errors::recurring_arguments(&signature.ident.unraw().to_string()));
    }
    let method = Method {
        signature,
        stored_name,
        aliases,
        priority: options.priority.or(block.options.priority).unwrap_or(0),
        rule: options.rule.map(|(rule, _)| rule),
        failure_policy: options.failure_policy.or(&block.options.failure_policy),
    };
    Some((method, token))
}

/// Returns the stub of a function with an error, which keeps its call sites free of further errors.
pub(crate) fn stub(function: &ImplItemFn) -> Stub {
    let typed = function.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let mut arguments = 0;
    for parameter in typed {
        let state = parameter.attrs.iter().any(|attribute| {
            attrs::is_ours(attribute)
                && options::of_parameter(std::slice::from_ref(attribute), &mut Errors::default()).state
        });
        if !state && !signature::looks_like_session(&parameter.ty) {
            arguments += 1;
        }
    }
    Stub {
        ident: function.sig.ident.clone(),
        cfgs: attrs::forwarded(&function.attrs).cfgs,
        vis: function.vis.clone(),
        arguments,
    }
}

// Input:  block `example`, alias `sample`; method `hello`, alias `hi` and `old.hello`
// Output: `example.hello`; `example.hi`, `sample.hello`, `sample.hi`, `old.hello`
fn stored_names(
    function: &ImplItemFn,
    block: &BlockNames,
    options: &MethodOptions,
    errors: &mut Errors,
) -> (String, Vec<String>, TokenStream) {
    let ident = &function.sig.ident;
    let last = options.name.as_ref().map_or_else(|| ident.unraw().to_string(), LitStr::value);
    let token = match &options.name {
        Some(name) => name.to_token_stream(),
        None => ident.to_token_stream(),
    };
    let stored_name = join(&block.stored, &last);
    let lasts = std::iter::once(last).chain(options.aliases.iter().map(LitStr::value));
    let firsts = || std::iter::once(&block.stored).chain(&block.aliases);
    let mut aliases: Vec<String> = Vec::new();
    for last in lasts {
        for first in firsts() {
            let alias = join(first, &last);
            if alias != stored_name && !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
    }
    if std::iter::once(&stored_name).chain(&aliases).any(|name| name.chars().count() > 255) {
        errors.push(&token, errors::bad_name("with the block's name it is longer than 255 characters"));
    }
    (stored_name, aliases, token)
}

/// Joins the name of a block and a method; a method name with a dot is used as is.
fn join(first: &str, last: &str) -> String {
    if last.contains('.') { last.to_owned() } else { format!("{first}.{last}") }
}
