//! The modules of one crate, and the file that defines each path.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Component, Path as FilePath, PathBuf};

use syn::{Item, ItemMod};

use super::paths::{self, Import, Named};

/// Where the text of files comes from.
pub(super) trait Sources {
    /// Returns the text of a file; `None` if there is no such file.
    fn text(&self, file: &FilePath) -> Option<String>;
}

/// One crate. The first module is its root.
#[derive(Debug)]
pub(super) struct Tree {
    modules: Vec<Module>,
}

#[derive(Debug)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: Vec<(String, usize)>,
    items: BTreeSet<String>,
    named: Named,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Module(usize),
    /// An item of that module.
    Item(usize),
    /// Something of another crate.
    Outside,
}

/// A file that names an item of another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    pub(super) item: String,
}

impl Tree {
    /// Reads a crate from its root file on. Panics where a file is missing or is not Rust.
    pub(super) fn read(root: &FilePath, sources: &impl Sources) -> Self {
        let mut tree = Self { modules: Vec::new() };
        let folder = root.parent().unwrap_or(FilePath::new(""));
        tree.add_file(root, folder, None, sources);
        tree
    }

    /// Returns the files that were read.
    pub(super) fn files(&self) -> BTreeSet<&FilePath> {
        self.modules.iter().map(|module| module.file.as_path()).collect()
    }

    /// Returns the files of the modules that a file stands in, the nearest first.
    pub(super) fn ancestors(&self, file: &FilePath) -> Vec<&FilePath> {
        let mut found: Vec<&FilePath> = Vec::new();
        let mut module = self.modules.iter().position(|module| module.file == file);
        while let Some(at) = module {
            let above = self.modules[at].file.as_path();
            if above != file && found.last() != Some(&above) {
                found.push(above);
            }
            module = self.modules[at].parent;
        }
        found
    }

    /// Returns one arrow for each pair of files, in the files' order.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows: BTreeMap<(&FilePath, &FilePath), String> = BTreeMap::new();
        for (at, module) in self.modules.iter().enumerate() {
            let imports = module.named.imports.iter().map(|import| (&import.path, import.name.is_none()));
            for (path, glob) in imports.chain(module.named.paths.iter().map(|path| (path, false))) {
                for place in self.places(at, path, &mut HashSet::new()) {
                    let to = match place {
                        Place::Item(to) => to,
                        Place::Module(to) if glob => to,
                        // What is used of it is named elsewhere in the file.
                        Place::Module(_) | Place::Outside => continue,
                    };
                    let (from, to) = (module.file.as_path(), self.modules[to].file.as_path());
                    if from != to {
                        let star = if glob { "::*" } else { "" };
                        arrows.entry((from, to)).or_insert_with(|| path.join("::") + star);
                    }
                }
            }
        }
        let arrows = arrows.into_iter();
        arrows.map(|((from, to), item)| Arrow { from: from.to_owned(), to: to.to_owned(), item }).collect()
    }

    /// `folder` is where the files of the module's children stand.
    fn add_file(
        &mut self,
        file: &FilePath,
        folder: &FilePath,
        parent: Option<usize>,
        sources: &impl Sources,
    ) -> usize {
        let text = sources.text(file).unwrap_or_else(|| panic!("{} is missing", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{} is not Rust: {error}", file.display()));
        self.add_module(file, folder, parent, &parsed.items, sources)
    }

    fn add_module(
        &mut self,
        file: &FilePath,
        folder: &FilePath,
        parent: Option<usize>,
        items: &[Item],
        sources: &impl Sources,
    ) -> usize {
        let at = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: Vec::new(),
            items: BTreeSet::new(),
            named: Named::default(),
        });
        for item in items.iter().filter(|item| !paths::is_for_tests(paths::attributes(item))) {
            if let Some(name) = paths::defined(item) {
                self.modules[at].items.insert(name.to_string());
            }
            match item {
                Item::Mod(inner) => {
                    let child = self.add_child(at, inner, file, folder, sources);
                    self.modules[at].children.push((inner.ident.to_string(), child));
                }
                other => self.modules[at].named.add(other),
            }
        }
        at
    }

    fn add_child(
        &mut self,
        at: usize,
        inner: &ItemMod,
        file: &FilePath,
        folder: &FilePath,
        sources: &impl Sources,
    ) -> usize {
        let name = inner.ident.to_string();
        let below = folder.join(&name);
        if let Some((_, items)) = &inner.content {
            return self.add_module(file, &below, Some(at), items, sources);
        }
        if let Some(chosen) = paths::chosen_file(&inner.attrs) {
            let chosen = clean(&file.parent().unwrap_or(FilePath::new("")).join(chosen));
            let below = chosen.parent().unwrap_or(FilePath::new(""));
            return self.add_file(&chosen, below, Some(at), sources);
        }
        let beside = folder.join(format!("{name}.rs"));
        let found = if sources.text(&beside).is_some() { beside } else { below.join("mod.rs") };
        self.add_file(&found, &below, Some(at), sources)
    }

    /// Returns what a path leads to that stands in module `from`. Names of other crates lead nowhere.
    fn places(&self, from: usize, path: &[String], seen: &mut HashSet<(usize, String)>) -> Vec<Place> {
        let [first, rest @ ..] = path else { return vec![Place::Module(from)] };
        let mut places = match first.as_str() {
            "crate" => vec![Place::Module(0)],
            "self" => vec![Place::Module(from)],
            "super" => self.modules[from].parent.map(Place::Module).into_iter().collect(),
            name => self.lookup(from, name, seen),
        };
        for segment in rest {
            places = places.into_iter().flat_map(|place| self.inside(place, segment, seen)).collect();
        }
        places
    }

    /// Returns what a further segment of a path leads to.
    fn inside(&self, place: Place, segment: &str, seen: &mut HashSet<(usize, String)>) -> Vec<Place> {
        match (place, segment) {
            (Place::Module(at), "super") => self.modules[at].parent.map(Place::Module).into_iter().collect(),
            (Place::Module(at), name) => {
                let found = self.lookup(at, name, seen);
                // A macro has made it.
                if found.is_empty() { vec![Place::Item(at)] } else { found }
            }
            // A variant, a method, a constant of a type.
            (other, _) => vec![other],
        }
    }

    /// Returns what a name stands for in a module: an item, a child, an import, what a glob brings.
    fn lookup(&self, at: usize, name: &str, seen: &mut HashSet<(usize, String)>) -> Vec<Place> {
        if !seen.insert((at, name.to_owned())) {
            return Vec::new();
        }
        let module = &self.modules[at];
        let mut found = Vec::new();
        if module.items.contains(name) {
            found.push(Place::Item(at));
        }
        found.extend(
            module.children.iter().filter(|(child, _)| child == name).map(|(_, child)| Place::Module(*child)),
        );
        if found.is_empty() {
            for Import { path, .. } in
                module.named.imports.iter().filter(|import| import.name.as_deref() == Some(name))
            {
                let places = self.places(at, path, seen);
                found.extend(if places.is_empty() { vec![Place::Outside] } else { places });
            }
        }
        if found.is_empty() {
            for Import { path, .. } in module.named.imports.iter().filter(|import| import.name.is_none()) {
                for place in self.places(at, path, seen) {
                    if let Place::Module(globbed) = place {
                        found.extend(self.lookup(globbed, name, seen));
                    }
                }
            }
        }
        found
    }
}

/// Takes `..` out of a path.
fn clean(path: &FilePath) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            clean.pop();
        } else {
            clean.push(component);
        }
    }
    clean
}
