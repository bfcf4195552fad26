//! Reads the signature of one function: receiver, session, arguments and return type.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, Generics, ImplItemFn, Pat, PatType, Receiver, ReceiverKind, ReturnType, Safety, Type,
    TypeReference, parse_quote,
};

use crate::errors::{self, Errors};
use crate::model::{Argument, DefaultValue, Parameter, Passing, Signature, StateParameter};
use crate::options::{self, ParameterOptions};
use crate::{attrs, names, types};

/// The block around a signature, to which its types may refer.
pub(crate) struct Context {
    pub(crate) self_ty: Type,
    pub(crate) generics: Generics,
}

/// Checks one public function, and removes the attributes that rustc would refuse.
pub(crate) fn read(function: &mut ImplItemFn, context: &Context, errors: &mut Errors) -> Option<Signature> {
    let good_signature = may_be_called(function, errors);
    let mut raw = Vec::new();
    let mut on_instance = false;
    for input in &mut function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                on_instance = true;
                check_receiver(receiver, function.sig.asyncness.is_some(), errors);
            }
            FnArg::Typed(typed) => raw.push(RawParam::take(typed)),
        }
    }
    function.sig.asyncness?;
    let name = function.sig.ident.unraw().to_string();
    let session = session_parameter(&name, on_instance, &raw, &function.sig, errors);
    for attribute in raw.iter().take(usize::from(session.is_first)).flat_map(|session| &session.ours) {
        errors.push(attribute, errors::SESSION_OPTIONS);
    }
    let rest = raw.get(usize::from(session.is_first)..).unwrap_or_default();
    let mut parameters = Vec::new();
    for parameter in rest.iter().filter(|parameter| !session.is_session(&parameter.ty)) {
        parameters.push(parameter.validate(context, errors));
    }
    same_keys(&parameters, errors);
    let parameters: Option<Vec<Parameter>> = parameters.into_iter().collect();
    if !good_signature {
        return None;
    }
    Some(Signature {
        ident: function.sig.ident.clone(),
        vis: function.vis.clone(),
        forwarded: attrs::forwarded(&function.attrs),
        parameter_docs: rest.iter().filter_map(RawParam::docs).collect(),
        on_instance,
        session_span: session.span?,
        parameters: parameters?,
        output: match &function.sig.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => types::without_self(ty, &context.self_ty),
        },
        async_span: async_span(function),
    })
}

/// Checks a function apart from its parameters.
fn may_be_called(function: &ImplItemFn, errors: &mut Errors) -> bool {
    let before = errors.len();
    let signature = &function.sig;
    let name = signature.ident.unraw().to_string();
    if signature.asyncness.is_none() {
        // Probably not meant to be a future call, so further errors would not help.
        errors.push(signature.fn_token, errors::not_async(&name));
        return false;
    }
    if name == "invoke" {
        errors.push(&signature.ident, errors::RESERVED_INVOKE);
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.push(token, errors::UNSAFE);
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, syn::GenericParam::Lifetime(_)) {
            errors.push(parameter, errors::GENERIC);
        }
    }
    if let ReturnType::Type(_, ty) = &signature.output {
        types::check_output(ty, errors);
    }
    errors.len() == before
}

/// Returns the span of a function's `async`.
fn async_span(function: &ImplItemFn) -> Span {
    function.sig.asyncness.map_or_else(|| function.sig.ident.span(), |token| token.span())
}

fn check_receiver(receiver: &mut Receiver, report: bool, errors: &mut Errors) {
    attrs::take_ours(&mut receiver.attrs);
    let shared = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        ReceiverKind::Typed(_, ty) => {
            matches!(types::ungrouped(ty), Type::Reference(TypeReference { mutability: None, .. }))
        }
        _ => false,
    };
    if !shared && report {
        errors.push(receiver, errors::RECEIVER);
    }
}

/// The session parameter as far as it was found.
struct SessionParameter {
    /// The span of its type, if it is valid.
    span: Option<Span>,
    /// Whether the first parameter is the session, or was probably meant to be.
    is_first: bool,
    /// The name of its type, by which a second session is detected.
    type_name: Option<Ident>,
}

impl SessionParameter {
    /// Returns whether a later parameter is another session, which has been reported already.
    fn is_session(&self, ty: &Type) -> bool {
        let reference = matches!(types::ungrouped(ty), Type::Reference(_));
        match (&self.type_name, referent_name(ty)) {
            (Some(known), Some(name)) => reference && *known == name,
            (None, _) => looks_like_session(ty),
            _ => false,
        }
    }
}

fn session_parameter(
    name: &str,
    receiver: bool,
    params: &[RawParam],
    signature: &syn::Signature,
    errors: &mut Errors,
) -> SessionParameter {
    let missing = SessionParameter { span: None, is_first: false, type_name: None };
    let Some(first) = params.first() else {
        errors.push(&signature.ident, errors::no_session(name, receiver));
        return missing;
    };
    let invalid = SessionParameter { span: None, is_first: true, type_name: referent_name(&first.ty) };
    match types::ungrouped(&first.ty) {
        Type::Reference(reference)
            if matches!(types::ungrouped(&reference.elem), Type::Path(_))
                && referent_name(&first.ty).is_some_and(|name| name != "str") =>
        {
            if reference.mutability.is_some() {
                errors.push(&first.ty, errors::MUTABLE_SESSION);
                return invalid;
            }
            if let Some(lifetime) = reference.lifetime.as_ref().filter(|lifetime| lifetime.ident == "static")
            {
                errors.push(lifetime, errors::STATIC_SESSION);
                return invalid;
            }
            let found = SessionParameter { span: Some(first.ty.span()), ..invalid };
            for later in params.iter().skip(1).filter(|later| found.is_session(&later.ty)) {
                errors.push(&later.ty, errors::SECOND_SESSION);
            }
            found
        }
        owned if looks_like_session(owned) => {
            errors.push(&first.ty, errors::OWNED_SESSION);
            invalid
        }
        _ => {
            errors.push(&first.written, errors::not_a_session(name, receiver));
            missing
        }
    }
}

/// Returns whether a type is named `Session`, borrowed or not.
pub(crate) fn looks_like_session(ty: &Type) -> bool {
    referent_name(ty).is_some_and(|name| name == "Session")
}

fn referent_name(ty: &Type) -> Option<Ident> {
    match types::ungrouped(ty) {
        Type::Reference(reference) => types::last_name(&reference.elem).cloned(),
        other => types::last_name(other).cloned(),
    }
}

/// A parameter as written, with our attributes and its docs, which rustc forbids on parameters.
struct RawParam {
    written: PatType,
    ty: Type,
    ours: Vec<Attribute>,
    docs: Vec<Attribute>,
}

impl RawParam {
    /// Removes our attributes and the docs from a parameter.
    fn take(typed: &mut PatType) -> Self {
        let ours = attrs::take_ours(&mut typed.attrs);
        let docs = attrs::take_docs(&mut typed.attrs);
        Self { written: typed.clone(), ty: (*typed.ty).clone(), ours, docs }
    }

    fn docs(&self) -> Option<(String, Vec<Attribute>)> {
        match &*self.written.pat {
            Pat::Ident(pattern) if !self.docs.is_empty() => {
                Some((pattern.ident.unraw().to_string(), self.docs.clone()))
            }
            _ => None,
        }
    }

    fn validate(&self, context: &Context, errors: &mut Errors) -> Option<Parameter> {
        let before = errors.len();
        let options = options::of_parameter(&self.ours, errors);
        for attribute in self.written.attrs.iter().filter(|attribute| attrs::is_cfg(attribute)) {
            errors.push(attribute, errors::CFG_PARAMETER);
        }
        let ident = self.name(errors);
        let parameter = if options.state {
            self.state(ident.as_ref(), context, errors)
        } else {
            self.argument(ident.as_ref(), options, context, errors)
        };
        if errors.len() == before { parameter } else { None }
    }

    fn name(&self, errors: &mut Errors) -> Option<Ident> {
        match &*self.written.pat {
            Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                Some(pattern.ident.clone())
            }
            Pat::Wild(pattern) => {
                errors.push(pattern, errors::UNNAMED);
                None
            }
            pattern => {
                errors.push(pattern, errors::PATTERN);
                None
            }
        }
    }

    fn state(&self, ident: Option<&Ident>, context: &Context, errors: &mut Errors) -> Option<Parameter> {
        match types::ungrouped(&self.ty) {
            Type::Reference(TypeReference { mutability: None, elem, .. }) => {
                let ty = types::without_self(elem, &context.self_ty);
                Some(Parameter::State(StateParameter { name: ident?.unraw().to_string(), ty }))
            }
            Type::Reference(_) => {
                errors.push(&self.ty, errors::STATE_IS_SHARED);
                None
            }
            _ => {
                errors.push(&self.ty, errors::STATE_IS_BORROWED);
                None
            }
        }
    }

    fn argument(
        &self,
        ident: Option<&Ident>,
        options: ParameterOptions,
        context: &Context,
        errors: &mut Errors,
    ) -> Option<Parameter> {
        let good = types::check_argument(&self.ty, errors);
        let ident = ident.cloned()?;
        let whole = types::without_self(&self.ty, &context.self_ty);
        if !good || !types::check_generics(&ident, &whole, &self.ty, &context.generics, errors) {
            return None;
        }
        let (passing, ty) = types::passing(&whole);
        let ty = if passing == Passing::Text { parse_quote!(str) } else { ty.clone() };
        Some(Parameter::Argument(Argument {
            key: names::key(&ident),
            aliases: options.aliases.iter().map(|alias| names::key_of_name(&alias.value())).collect(),
            passing,
            ty,
            redact: options.redact,
            default: options.default.map(|default| match default {
                DefaultValue::Expr(value) => {
                    DefaultValue::Expr(Box::new(types::default_without_self(&value, &context.self_ty)))
                }
                of_type @ DefaultValue::OfType(_) => of_type,
            }),
            ident,
        }))
    }
}

/// Reports keys that two arguments share.
fn same_keys(parameters: &[Option<Parameter>], errors: &mut Errors) {
    let arguments: Vec<&Argument> = parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(argument),
            Parameter::State(_) => None,
        })
        .collect();
    for (at, second) in arguments.iter().enumerate() {
        let keys = |argument: &Argument| {
            std::iter::once(&argument.key).chain(&argument.aliases).cloned().collect::<Vec<String>>()
        };
        let clash = arguments[..at].iter().find_map(|first| {
            let taken = keys(first);
            let key = keys(second).into_iter().find(|key| taken.contains(key))?;
            (first.ident != second.ident).then(|| (first.ident.to_string(), key))
        });
        if let Some((first, key)) = clash {
            errors.push(&second.ident, errors::same_key(&first, &second.ident.to_string(), &key));
        }
    }
}
