//! Parses the options of `#[future_call(..)]` on a block, a method or a parameter.
//!
//! A new option needs a name in one of the lists below, a field, and a match arm.

mod failure_policy;

use chrono_tz::Tz;
use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, ExprPath, ExprUnary, Lit, LitStr, Meta, Path, Token, UnOp};

use crate::errors::{self, Errors};
use crate::expression::{self, Refusal};
use crate::model::{DefaultValue, FailurePolicy, Rule};
use crate::names;
use crate::nearest::nearest;

const ON_BLOCK: &[&str] = &["name", "alias", "priority", "retry", "timeout", "on_interrupt", "crate"];
const ON_METHOD: &[&str] =
    &["name", "alias", "skip", "priority", "retry", "timeout", "on_interrupt", "every", "cron", "time_zone"];
const ON_PARAMETER: &[&str] = &["default", "alias", "redact", "state"];

/// The options of a block.
#[derive(Default)]
pub(crate) struct BlockOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) priority: Option<i16>,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) runtime: Option<Path>,
}

/// The options of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: bool,
    pub(crate) priority: Option<i16>,
    pub(crate) failure_policy: FailurePolicy,
    /// With the span of the option's name.
    pub(crate) rule: Option<(Rule, Span)>,
}

/// The options of a parameter.
#[derive(Default)]
pub(crate) struct ParameterOptions {
    pub(crate) default: Option<DefaultValue>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) redact: bool,
    pub(crate) state: bool,
}

/// Parses the options of the block's attribute.
pub(crate) fn of_block(tokens: TokenStream, errors: &mut Errors) -> BlockOptions {
    let mut options = BlockOptions::default();
    for item in parse_list(tokens, "on an `impl` block", ON_BLOCK, errors) {
        match item.name().as_str() {
            "name" => options.name = item.text("jobs", errors).filter(|name| is_block_name(name, errors)),
            "alias" => {
                let alias = item.text("old_name", errors);
                options.aliases.extend(alias.filter(|name| is_stored_name(name, errors)));
            }
            "priority" => options.priority = item.priority(errors),
            "crate" => options.runtime = item.path(errors),
            _ => {
                options.failure_policy.take(&item, errors);
            }
        }
    }
    options
}

/// Parses the options of a method's attributes.
pub(crate) fn of_method(attributes: &[Attribute], errors: &mut Errors) -> MethodOptions {
    let mut options = MethodOptions::default();
    let (mut every, mut cron, mut time_zone) = (None, None, None);
    let items = parse_attributes(attributes, "on a method", ON_METHOD, errors);
    let only = items.len() == 1;
    let mentions_cron = items.iter().any(|item| item.name() == "cron");
    for item in items {
        let span = item.name.span();
        match item.name().as_str() {
            "name" => options.name = item.text("send", errors).filter(|name| is_stored_name(name, errors)),
            "alias" => {
                let alias = item.text("old_name", errors);
                options.aliases.extend(alias.filter(|name| is_stored_name(name, errors)));
            }
            "priority" => options.priority = item.priority(errors),
            "every" => {
                let text = item.duration("1h 30min", errors);
                every = text.and_then(|text| interval(&text, errors)).map(|rule| (rule, span));
            }
            "cron" => {
                let text = item.text("0 2 * * *", errors);
                cron = text.filter(|text| is_cron(text, errors)).map(|text| (text, span));
            }
            "time_zone" => {
                let text = item.text("Europe/Berlin", errors);
                time_zone = Some((text.filter(|text| is_zone(text, errors)), item.name));
            }
            "skip" => {
                options.skip = item.flag(errors);
                if !only {
                    errors.push(&item.name, errors::SKIP_ALONE);
                }
            }
            _ => {
                options.failure_policy.take(&item, errors);
            }
        }
    }
    if let (Some(_), Some((_, span))) = (&every, &cron) {
        errors.push(Ident::new("cron", *span), errors::EVERY_AND_CRON);
    }
    if let (None, Some((_, name))) = (&cron, &time_zone)
        && !mentions_cron
    {
        errors.push(name, errors::ZONE_WITHOUT_CRON);
    }
    let time_zone = time_zone.and_then(|(zone, _)| zone);
    options.rule = every.or(cron.map(|(expression, span)| (Rule::Cron { expression, time_zone }, span)));
    options
}

/// Parses the options of a parameter's attributes.
pub(crate) fn of_parameter(attributes: &[Attribute], errors: &mut Errors) -> ParameterOptions {
    let mut options = ParameterOptions::default();
    let items = parse_attributes(attributes, "on a parameter", ON_PARAMETER, errors);
    let only = items.len() == 1;
    for item in items {
        match item.name().as_str() {
            "default" => options.default = item.default_value(errors),
            "alias" => {
                options.aliases.extend(item.text("old_name", errors).filter(|key| is_key(key, errors)));
            }
            "redact" => options.redact = item.flag(errors),
            "state" => {
                options.state = item.flag(errors);
                if !only {
                    errors.push(&item.name, errors::STATE_ALONE);
                }
            }
            _ => {}
        }
    }
    options
}

/// One option: `name`, `name = value` or `name(..)`.
pub(crate) struct Item {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    None,
    Assigned(Expr),
    Listed(TokenStream),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Assigned(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            let listed;
            syn::parenthesized!(listed in input);
            Value::Listed(listed.parse()?)
        } else {
            Value::None
        };
        Ok(Self { name, value })
    }
}

impl Item {
    pub(crate) fn name(&self) -> String {
        self.name.unraw().to_string()
    }

    /// Returns the text of `name = ".."`. `like` is the value suggested in an error.
    pub(crate) fn text(&self, like: &str, errors: &mut Errors) -> Option<LitStr> {
        let name = self.name();
        let form = |like: &str| format!("{name} = \"{like}\"");
        let Some(value) = self.assigned() else { return self.wrong_form(&form(like), errors) };
        if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value {
            return Some(text.clone());
        }
        let text = match unquoted(value) {
            Some(word) => errors::option_form(&form(&word)),
            None if is_computed(value) => errors::computed(&format!("`{name}`"), &form(like)),
            None => errors::option_form(&form(like)),
        };
        errors.push(value, text);
        None
    }

    /// As [`text`](Self::text), for a duration. For a number without quotes, the error suggests the probable duration.
    pub(crate) fn duration(&self, like: &str, errors: &mut Errors) -> Option<LitStr> {
        match self.assigned().and_then(meant_duration) {
            Some(like) => self.text(&like, errors),
            None => self.text(like, errors),
        }
    }

    /// Returns the value of `name = value`, without the groups around it.
    fn assigned(&self) -> Option<&Expr> {
        match &self.value {
            Value::Assigned(value) => Some(ungrouped(value)),
            _ => None,
        }
    }

    /// Always returns true: a flag with a value is an error, but still set.
    fn flag(&self, errors: &mut Errors) -> bool {
        match &self.value {
            Value::None => {}
            Value::Assigned(value) => errors.push(value, errors::option_flag(&self.name())),
            Value::Listed(_) => errors.push(&self.name, errors::option_flag(&self.name())),
        }
        true
    }

    fn priority(&self, errors: &mut Errors) -> Option<i16> {
        let Some(value) = self.assigned() else {
            return self.wrong_form("priority = 10", errors);
        };
        let (sign, literal) = match value {
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => ("-", ungrouped(expr)),
            other => ("", other),
        };
        let number = match literal {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if matches!(number.suffix(), "" | "i16") => {
                format!("{sign}{}", number.base10_digits()).parse().ok()
            }
            _ => None,
        };
        if number.is_none() {
            if is_computed(literal) {
                errors.push(value, errors::computed("`priority`", "priority = 10"));
            } else {
                errors.push(value, errors::BAD_PRIORITY);
            }
        }
        number
    }

    fn path(&self, errors: &mut Errors) -> Option<Path> {
        let Some(Expr::Path(ExprPath { path, qself: None, .. })) = self.assigned() else {
            return self.wrong_form("crate = ::path", errors);
        };
        let root = path.segments.first()?.ident.to_string();
        if path.leading_colon.is_some() || matches!(root.as_str(), "crate" | "$crate") {
            Some(path.clone())
        } else {
            errors.push(path, errors::RELATIVE_PATH);
            None
        }
    }

    fn default_value(&self, errors: &mut Errors) -> Option<DefaultValue> {
        match &self.value {
            Value::None => Some(DefaultValue::OfType(self.name.span())),
            Value::Assigned(value) => Some(DefaultValue::Expr(Box::new(value.clone()))),
            Value::Listed(_) => self.wrong_form("default = value", errors),
        }
    }

    pub(crate) fn wrong_form<T>(&self, form: &str, errors: &mut Errors) -> Option<T> {
        match &self.value {
            Value::Assigned(value) => errors.push(value, errors::option_form(form)),
            Value::Listed(listed) if !listed.is_empty() => {
                errors.push(listed, errors::option_form(form));
            }
            _ => errors.push(&self.name, errors::option_form(form)),
        }
        None
    }
}

/// Parses the options of all our attributes on one item. Only `alias` may be repeated.
fn parse_attributes(attributes: &[Attribute], place: &str, known: &[&str], errors: &mut Errors) -> Vec<Item> {
    let mut tokens = TokenStream::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::Path(_) => {}
            Meta::List(list) => {
                list.tokens.to_tokens(&mut tokens);
                <Token![,]>::default().to_tokens(&mut tokens);
            }
            Meta::NameValue(meta) => {
                errors.push(&meta.value, errors::option_form("#[future_call(option = value)]"));
            }
        }
    }
    // An attribute that ends with a comma now has two.
    parse_list(without_double_commas(tokens), place, known, errors)
}

fn without_double_commas(tokens: TokenStream) -> TokenStream {
    let mut after_comma = false;
    tokens
        .into_iter()
        .filter(|token| {
            let comma = matches!(token, proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ',');
            let keep = !(comma && after_comma);
            after_comma = comma;
            keep
        })
        .collect()
}

fn parse_list(tokens: TokenStream, place: &str, known: &[&str], errors: &mut Errors) -> Vec<Item> {
    let items = match Punctuated::<Item, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(items) => items,
        Err(error) => {
            errors.syntax(error);
            return Vec::new();
        }
    };
    let mut seen: Vec<String> = Vec::new();
    let mut accepted = Vec::new();
    for item in items {
        let name = item.name();
        if !known.contains(&name.as_str()) {
            let nearest = nearest(&name, known.iter().copied());
            errors.push(&item.name, errors::unknown_option(&name, place, known, nearest));
        } else if name != "alias" && seen.contains(&name) {
            errors.push(&item.name, errors::option_twice(&name));
        } else {
            seen.push(name);
            accepted.push(item);
        }
    }
    accepted
}

/// Returns a value without parentheses and the invisible groups of `macro_rules!`.
pub(crate) fn ungrouped(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        Expr::Paren(paren) => ungrouped(&paren.expr),
        other => other,
    }
}

/// Returns whether a value needs evaluation: a constant, `concat!(..)`, a function's result.
pub(crate) fn is_computed(value: &Expr) -> bool {
    match ungrouped(value) {
        Expr::Lit(_) => false,
        Expr::Unary(unary) => is_computed(&unary.expr),
        _ => true,
    }
}

/// Returns a lowercase word, which was probably meant to be a string: constants are in capitals.
fn unquoted(value: &Expr) -> Option<String> {
    let Expr::Path(ExprPath { path, qself: None, .. }) = value else { return None };
    let word = path.get_ident()?.unraw().to_string();
    word.starts_with(char::is_lowercase).then_some(word)
}

/// Returns the duration that was probably meant by a number: `30s` for `30`, `5min` for `5min`.
pub(crate) fn meant_duration(value: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = ungrouped(value) else { return None };
    let written = format!("{}{}", number.base10_digits(), number.suffix());
    let is_duration = !number.suffix().is_empty() && humantime::parse_duration(&written).is_ok();
    Some(if is_duration { written } else { format!("{}s", number.base10_digits()) })
}

fn is_block_name(name: &LitStr, errors: &mut Errors) -> bool {
    let good = names::identifier(&name.value(), name.span()).is_some();
    if !good {
        errors.push(name, errors::bad_block_name(&name.value()));
    }
    good
}

fn is_stored_name(name: &LitStr, errors: &mut Errors) -> bool {
    match names::name_fault(&name.value()) {
        Some(fault) => {
            errors.push(name, errors::bad_name(fault));
            false
        }
        None => true,
    }
}

fn is_key(key: &LitStr, errors: &mut Errors) -> bool {
    let good = names::identifier(&key.value(), key.span()).is_some();
    if !good {
        errors.push(key, errors::BAD_KEY);
    }
    good
}

fn interval(text: &LitStr, errors: &mut Errors) -> Option<Rule> {
    micros(text, "interval", errors).map(|micros| Rule::Every { micros })
}

/// Parses a duration in microseconds, the unit of the stores; fractions round up, as they do for times.
pub(crate) fn micros(text: &LitStr, what: &str, errors: &mut Errors) -> Option<u64> {
    let duration = match humantime::parse_duration(&text.value()) {
        Ok(duration) => duration,
        Err(error) => {
            errors.push(text, errors::bad_duration(what, &error.to_string()));
            return None;
        }
    };
    match u64::try_from(duration.as_nanos().div_ceil(1_000)) {
        Ok(..SHORTEST) => errors.push(text, errors::too_short(what)),
        Ok(micros @ ..=LONGEST) => return Some(micros),
        _ => errors.push(text, errors::too_long(what)),
    }
    None
}

/// The range of the runtime, in microseconds: a millisecond to a hundred years.
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 36_525 * 24 * 60 * 60 * 1_000_000;

fn is_cron(text: &LitStr, errors: &mut Errors) -> bool {
    match expression::parse(&text.value()) {
        Ok(_) => return true,
        Err(Refusal::Unreadable(reason)) => errors.push(text, errors::bad_cron(&reason)),
        Err(Refusal::NeverRuns) => errors.push(text, errors::CRON_NEVER),
    }
    false
}

fn is_zone(text: &LitStr, errors: &mut Errors) -> bool {
    let good = text.value().parse::<Tz>().is_ok();
    if !good {
        errors.push(text, errors::bad_time_zone(&text.value()));
    }
    good
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::of_block;
    use crate::errors::Errors;

    #[test]
    fn every_wrong_option_is_reported_and_the_right_ones_count() {
        let mut errors = Errors::default();
        let options =
            of_block(quote!(nme = "a", name = "b", name = "c", crate = x, priority = 40_000), &mut errors);
        assert_eq!(errors.len(), 4);
        assert_eq!(options.name.map(|name| name.value()), Some("b".to_owned()));
    }
}
