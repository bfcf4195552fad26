//! Checks the types of arguments, and rewrites types for use outside the user's block.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, ExprPath, ExprStruct, GenericArgument, GenericParam, Generics, Ident, Lifetime, Macro, Path,
    PathArguments, QSelf, Type, TypeParamBound, TypePath, TypeReference,
};

use crate::errors::{self, Errors};
use crate::model::Passing;
use crate::options;

/// Names of stream types; other types ending in `Stream` may be data.
const STREAMS: &[&str] = &[
    "Stream",
    "BoxStream",
    "LocalBoxStream",
    "ReceiverStream",
    "UnboundedReceiverStream",
    "BroadcastStream",
];

/// Returns how an argument is passed, and its type without the outer reference.
pub(crate) fn passing(ty: &Type) -> (Passing, &Type) {
    match ungrouped(ty) {
        Type::Reference(TypeReference { elem, mutability: None, .. }) => match ungrouped(elem) {
            Type::Slice(slice) => (Passing::Slice, &slice.elem),
            inner if is_str(inner) => (Passing::Text, inner),
            inner => (Passing::Reference, inner),
        },
        owned => (Passing::Value, owned),
    }
}

/// Checks the type of an argument as far as its syntax shows; reports at most one error. The rest is left to the compiler.
pub(crate) fn check_argument(ty: &Type, errors: &mut Errors) -> bool {
    if let Type::Reference(reference) = ungrouped(ty) {
        if let Some(mutability) = &reference.mutability {
            errors.push(Pair(&reference.and_token, mutability), errors::MUTABLE_ARGUMENT);
            return false;
        }
        if let Some(lifetime) = &reference.lifetime
            && lifetime.ident == "static"
        {
            let mut borrowed = reference.clone();
            borrowed.lifetime = None;
            errors.push(lifetime, errors::static_argument(&text(&borrowed)));
            return false;
        }
    }
    let (_, inner) = passing(ty);
    let mut walk = Walk { errors, root: inner, done: false };
    walk.visit_type(inner);
    !walk.done
}

/// Reports an argument whose type (`ty`, with `Self` resolved) mentions a generic parameter of the `impl` block.
pub(crate) fn check_generics(
    argument: &Ident,
    ty: &Type,
    written: &Type,
    generics: &Generics,
    errors: &mut Errors,
) -> bool {
    struct Mentions<'a> {
        generics: &'a Generics,
        found: Option<Ident>,
    }

    impl<'ast> Visit<'ast> for Mentions<'_> {
        fn visit_path(&mut self, path: &'ast Path) {
            if path.leading_colon.is_none()
                && let Some(first) = path.segments.first()
            {
                self.see(&first.ident);
            }
            visit::visit_path(self, path);
        }

        fn visit_macro(&mut self, called: &'ast Macro) {
            self.see_all(called.tokens.clone());
        }
    }

    impl Mentions<'_> {
        fn see(&mut self, name: &Ident) {
            let is_parameter = self.generics.params.iter().any(|parameter| match parameter {
                GenericParam::Type(parameter) => parameter.ident == *name,
                GenericParam::Const(parameter) => parameter.ident == *name,
                GenericParam::Lifetime(_) => false,
            });
            if is_parameter {
                self.found.get_or_insert_with(|| name.clone());
            }
        }

        fn see_all(&mut self, tokens: TokenStream) {
            let mut in_path = false;
            for token in tokens {
                match &token {
                    TokenTree::Ident(name) if !in_path => self.see(name),
                    TokenTree::Group(group) => self.see_all(group.stream()),
                    _ => {}
                }
                in_path = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == ':');
            }
        }
    }

    let mut mentions = Mentions { generics, found: None };
    mentions.visit_type(ty);
    match mentions.found {
        Some(parameter) => {
            errors.push(written, errors::mentions_generic(&argument.to_string(), &parameter.to_string()));
            false
        }
        None => true,
    }
}

/// Checks a return type as far as its syntax shows. The rest is left to the compiler.
pub(crate) fn check_output(ty: &Type, errors: &mut Errors) -> bool {
    struct Borrows(bool);

    impl<'ast> Visit<'ast> for Borrows {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0 |= !is_static(reference.lifetime.as_ref());
            visit::visit_type_reference(self, reference);
        }

        fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
            self.0 |= !is_static(Some(lifetime));
        }

        fn visit_type_impl_trait(&mut self, _: &'ast syn::TypeImplTrait) {
            self.0 = true;
        }

        fn visit_type_never(&mut self, _: &'ast syn::TypeNever) {
            self.0 = true;
        }
    }

    let mut borrows = Borrows(matches!(ungrouped(ty), Type::Reference(_)));
    borrows.visit_type(ty);
    if borrows.0 {
        errors.push(ty, errors::RETURNS);
    } else if let Some(error) = bound_to_a_thread(ty) {
        errors.push(error, errors::ERROR_BOUND_TO_A_THREAD);
        return false;
    }
    !borrows.0
}

// Input:  Result<(), Box<dyn Error>>
// Output: Box<dyn Error>
fn bound_to_a_thread(output: &Type) -> Option<&Type> {
    let error = last_argument(output, "Result")?;
    let Type::TraitObject(object) = ungrouped(last_argument(error, "Box")?) else { return None };
    let is = |name| mentions(&object.bounds, name);
    (is("Error") && !(is("Send") && is("Sync"))).then_some(error)
}

/// Returns the last generic argument of a type of that name.
fn last_argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(written) = ungrouped(ty) else { return None };
    let segment = written.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.last() {
        Some(GenericArgument::Type(argument)) => Some(argument),
        _ => None,
    }
}

// Input:  Vec<Self>, Self::Item           (self type: Example)
// Output: Vec<Example>, <Example>::Item
pub(crate) fn without_self(ty: &Type, self_ty: &Type) -> Type {
    let mut ty = ty.clone();
    Substitute(self_ty).visit_type_mut(&mut ty);
    ty
}

// Input:  Self::LIMIT, Self(1)
// Output: <Example>::LIMIT, Example(1)
pub(crate) fn default_without_self(value: &Expr, self_ty: &Type) -> Expr {
    let mut value = value.clone();
    Substitute(self_ty).visit_expr_mut(&mut value);
    value
}

/// Returns whether a default value is certainly text by its syntax, and so may need conversion to `String`. The type of
/// others, such as `Default::default()`, is inferred from the argument's type.
pub(crate) fn is_text(value: &Expr, ty: &Type) -> bool {
    match options::ungrouped(value) {
        Expr::Lit(literal) => matches!(literal.lit, syn::Lit::Str(_)),
        Expr::Macro(called) => {
            ["concat", "stringify", "env", "include_str"].iter().any(|name| called.mac.path.is_ident(name))
        }
        Expr::Path(_) => last_name(ty).is_some_and(|name| name == "String"),
        _ => false,
    }
}

/// Replaces `Self` by the block's type, for use outside the block.
struct Substitute<'a>(&'a Type);

impl Substitute<'_> {
    fn path(&self, qself: &mut Option<QSelf>, path: &mut Path) {
        let of_self = path.segments.first().is_some_and(|first| first.ident == "Self");
        if qself.is_some() || path.leading_colon.is_some() || !of_self {
            return;
        }
        if path.segments.len() > 1 {
            path.segments = path.segments.iter().skip(1).cloned().collect();
            path.leading_colon = Some(<syn::Token![::]>::default());
            *qself = Some(QSelf {
                lt_token: <syn::Token![<]>::default(),
                ty: Box::new(self.0.clone()),
                position: 0,
                as_token: None,
                gt_token: <syn::Token![>]>::default(),
            });
        } else if let Type::Path(known) = ungrouped(self.0) {
            (*qself, *path) = (known.qself.clone(), known.path.clone());
        }
    }
}

impl VisitMut for Substitute<'_> {
    fn visit_type_path_mut(&mut self, written: &mut TypePath) {
        self.path(&mut written.qself, &mut written.path);
        visit_mut::visit_type_path_mut(self, written);
    }

    fn visit_expr_path_mut(&mut self, written: &mut ExprPath) {
        self.path(&mut written.qself, &mut written.path);
        visit_mut::visit_expr_path_mut(self, written);
    }

    fn visit_expr_struct_mut(&mut self, written: &mut ExprStruct) {
        self.path(&mut written.qself, &mut written.path);
        visit_mut::visit_expr_struct_mut(self, written);
    }

    fn visit_macro_mut(&mut self, called: &mut Macro) {
        called.tokens = self.tokens(std::mem::take(&mut called.tokens));
    }
}

impl Substitute<'_> {
    // Input:  vec![Self::LIMIT], list!(Self)
    // Output: vec![<Example>::LIMIT], list!(Example)
    fn tokens(&self, tokens: TokenStream) -> TokenStream {
        let mut tokens = tokens.into_iter().peekable();
        let mut written = TokenStream::new();
        while let Some(token) = tokens.next() {
            let in_path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
            let ty = self.0;
            match token {
                TokenTree::Ident(ident) if ident == "Self" && in_path => written.extend(quote!(<#ty>)),
                TokenTree::Ident(ident) if ident == "Self" => ty.to_tokens(&mut written),
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), self.tokens(group.stream()));
                    inner.set_span(group.span());
                    written.extend([TokenTree::Group(inner)]);
                }
                other => written.extend([other]),
            }
        }
        written
    }
}

/// Returns a type without parentheses and the invisible groups of `macro_rules!`.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// Returns the last name of a path type: `Session` of `futurecall_runtime::Session`.
pub(crate) fn last_name(ty: &Type) -> Option<&Ident> {
    match ungrouped(ty) {
        Type::Path(written) => written.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// Formats a type as people write it.
pub(crate) fn text(ty: &impl ToTokens) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, written) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (" ;", ";"),
    ] {
        text = text.replace(spaced, written);
    }
    text
}

/// Two tokens that an error underlines together.
struct Pair<A, B>(A, B);

impl<A: ToTokens, B: ToTokens> ToTokens for Pair<A, B> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
        self.1.to_tokens(tokens);
    }
}

/// A visitor that reports the first part of a type that can't be stored.
struct Walk<'a> {
    errors: &'a mut Errors,
    root: &'a Type,
    done: bool,
}

impl Walk<'_> {
    fn report(&mut self, at: &impl ToTokens, text: impl std::fmt::Display) {
        if !self.done {
            self.errors.push(at, text);
            self.done = true;
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Reference(reference) => {
                let owned = owned_form(reference);
                let whole = text(self.root).replace(&text(reference), &owned);
                self.report(reference, errors::borrowed(&format!("`{whole}`")));
            }
            Type::ImplTrait(written) if mentions(&written.bounds, "Stream") => {
                self.report(written, errors::STREAM);
            }
            Type::TraitObject(written) if mentions(&written.bounds, "Stream") => {
                self.report(written, errors::STREAM);
            }
            Type::ImplTrait(written) => self.report(written, errors::no_concrete_type(&text(written))),
            Type::TraitObject(written) => self.report(written, errors::no_concrete_type(&text(written))),
            Type::FnPtr(_) | Type::Ptr(_) => self.report(ty, errors::POINTER),
            // rustc reports it.
            Type::Infer(_) => self.done = true,
            Type::Path(written)
                if last_name(ty).is_some_and(|name| STREAMS.iter().any(|stream| name == stream)) =>
            {
                self.report(written, errors::STREAM);
            }
            Type::Path(written) => self.visit_path_type(written),
            _ => visit::visit_type(self, ty),
        }
    }
}

impl Walk<'_> {
    fn visit_path_type(&mut self, written: &TypePath) {
        for segment in &written.path.segments {
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else { continue };
            for argument in &arguments.args {
                if let GenericArgument::Lifetime(lifetime) = argument
                    && !is_static(Some(lifetime))
                {
                    let help = cow_form(written).unwrap_or_else(|| "an owned type".to_owned());
                    self.report(lifetime, errors::borrowed(&help));
                }
            }
        }
        visit::visit_type_path(self, written);
    }
}

/// Returns the owned form of a reference: `&str` → `String`, `&[T]` → `Vec<T>`, `&T` → `T`.
fn owned_form(reference: &TypeReference) -> String {
    match ungrouped(&reference.elem) {
        inner if is_str(inner) => "String".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        other => text(other),
    }
}

/// Returns the help text for a `Cow`: an owned type, such as `String` for `Cow<'_, str>`.
fn cow_form(written: &TypePath) -> Option<String> {
    let segment = written.path.segments.last().filter(|segment| segment.ident == "Cow")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let inner = arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(ungrouped(inner)),
        _ => None,
    })?;
    let owned = match inner {
        inner if is_str(inner) => "String".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        other => text(other),
    };
    Some(format!("an owned type, such as `{owned}` for `{}`", text(written)))
}

/// Returns whether one of the bounds is a trait of that name.
fn mentions<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>, name: &str) -> bool {
    bounds.into_iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().is_some_and(|segment| segment.ident == name)
        }
        _ => false,
    })
}

fn is_str(ty: &Type) -> bool {
    matches!(ty, Type::Path(TypePath { qself: None, path, .. }) if path.segments.last().is_some_and(|last| last.ident == "str"))
}

fn is_static(lifetime: Option<&Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}
