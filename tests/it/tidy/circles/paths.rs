//! Collects the paths in a piece of syntax: in `use` items, in code, and among the tokens of macros.

use std::iter::Peekable;

use proc_macro2::{Ident, TokenStream, TokenTree, token_stream};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, ItemUse, Lit, Macro, Meta, UseTree};

/// The segments of a path; `$crate` is `crate`.
pub(super) type Path = Vec<String>;

/// One name that a `use` item brings into a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The name in the module; `None` for a glob.
    pub(super) name: Option<String>,
    pub(super) path: Path,
}

/// What the items of one module name, without its inline modules and without what only tests compile.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) imports: Vec<Import>,
    pub(super) paths: Vec<Path>,
}

impl Named {
    pub(super) fn add(&mut self, item: &Item) {
        self.visit_item(item);
    }

    fn add_use(&mut self, tree: &UseTree, mut path: Path) {
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.add_use(&inner.tree, path);
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.imports.push(Import { name: path.last().cloned(), path });
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.imports.push(Import { name: path.last().cloned(), path });
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                self.imports.push(Import { name: Some(rename.rename.to_string()), path });
            }
            UseTree::Glob(_) => self.imports.push(Import { name: None, path }),
            UseTree::Group(group) => {
                for inner in &group.items {
                    self.add_use(inner, path.clone());
                }
            }
        }
    }

    /// Adds the paths of two and more segments among tokens that are not parsed.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        // Whether what comes next belongs to what came before: a field, a method, or a path from the root.
        let mut continues = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let path = rest_of_path(&first, &mut tokens);
                    if path.len() > 1 && !continues {
                        self.paths.push(path);
                    }
                }
                TokenTree::Punct(ref punct) => {
                    continues = matches!(punct.as_char(), '.' | ':');
                    continue;
                }
                TokenTree::Literal(_) => {}
            }
            continues = false;
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    /// Modules are the tree's.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.add_use(&item.tree, Path::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            _ if attribute.path().is_ident("doc") => {}
            Meta::List(list) => self.add_tokens(list.tokens.clone()),
            Meta::NameValue(pair) => self.visit_expr(&pair.value),
            Meta::Path(_) => {}
        }
    }
}

/// Reads on while `::` and a name follow.
fn rest_of_path(first: &Ident, tokens: &mut Peekable<token_stream::IntoIter>) -> Path {
    let mut path = vec![first.to_string()];
    loop {
        let mut ahead = tokens.clone();
        let colons = [ahead.next(), ahead.next()];
        if !colons
            .iter()
            .all(|token| matches!(token, Some(TokenTree::Punct(colon)) if colon.as_char() == ':'))
        {
            return path;
        }
        let Some(TokenTree::Ident(segment)) = ahead.next() else { return path };
        path.push(segment.to_string());
        *tokens = ahead;
    }
}

/// Whether an item is compiled for unit tests alone.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if attribute.path().is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

/// Returns the file that `#[path = ".."]` names.
pub(super) fn chosen_file(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if attribute.path().is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Returns the name that an item defines, if it has one.
pub(super) fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

/// Returns the attributes of an item.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
