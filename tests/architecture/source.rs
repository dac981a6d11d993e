//! Parses the sources of a crate, and resolves the names in them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

use crate::Modules;

/// The path of a Rust module, from the crate's root.
type ModulePath = Vec<String>;

/// The names in a Rust module, without those of its tests.
#[derive(Default)]
struct Module {
    file: PathBuf,
    items: Vec<String>,
    /// Imported names, with the paths they stand for.
    imports: Vec<(String, Vec<String>)>,
    globs: Vec<Vec<String>>,
    /// Paths in types and expressions.
    paths: Vec<Vec<String>>,
}

/// The sources of a crate.
pub(crate) struct Sources {
    root: PathBuf,
    modules: BTreeMap<ModulePath, Module>,
}

/// Returns the Rust files below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

impl Sources {
    /// Reads all modules that `lib.rs` leads to.
    pub(crate) fn read(root: &Path) -> Self {
        let mut sources = Self { root: root.to_owned(), modules: BTreeMap::new() };
        sources.read_file(&root.join("lib.rs"), Vec::new());
        sources
    }

    fn read_file(&mut self, file: &Path, path: ModulePath) {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        self.read_items(&parsed.items, file, path);
    }

    fn read_items(&mut self, items: &[Item], file: &Path, path: ModulePath) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if let Item::Mod(item) = item {
                if is_test(&item.attrs) {
                    continue;
                }
                let name = item.ident.to_string();
                let path: Vec<_> = path.iter().cloned().chain([name]).collect();
                match &item.content {
                    Some((_, items)) => self.read_items(items, file, path),
                    None => self.read_file(&self.file_of(&path), path),
                }
            } else {
                module.visit_item(item);
                module.items.extend(name_of(item));
            }
        }
        self.modules.insert(path, module);
    }

    fn file_of(&self, path: &[String]) -> PathBuf {
        let stem = path.iter().fold(self.root.clone(), |stem, name| stem.join(name));
        let file = stem.with_extension("rs");
        if file.exists() { file } else { stem.join("mod.rs") }
    }

    /// Returns the file that defines what `path` names in a module.
    fn definition(&self, from: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let (first, rest) = path.split_first()?;
        if depth > 16 {
            return None;
        }
        match first.as_str() {
            "crate" => self.walk(&[], rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => self.walk(&from[..from.len().checked_sub(1)?], rest, depth),
            _ => self.walk(from, path, depth),
        }
    }

    fn walk(&self, module: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let content = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(&content.file);
        };
        if first == "super" {
            return self.walk(&module[..module.len().checked_sub(1)?], rest, depth);
        }
        if content.items.contains(first) {
            return Some(&content.file);
        }
        let child: Vec<_> = module.iter().chain([first]).cloned().collect();
        if self.modules.contains_key(&child) {
            return self.walk(&child, rest, depth);
        }
        if let Some((_, target)) = content.imports.iter().find(|(name, _)| name == first) {
            let whole: Vec<_> = target.iter().chain(rest).cloned().collect();
            // A crate of the same name, such as `redis`, is none of ours.
            return self.definition(module, &whole, depth + 1);
        }
        content.globs.iter().find_map(|glob| {
            let whole: Vec<_> = glob.iter().chain(path).cloned().collect();
            self.definition(module, &whole, depth + 1)
        })
    }

    /// Returns the name of the directory or file at the root that a file belongs to.
    fn module_of(&self, file: &Path) -> String {
        let below = file.strip_prefix(&self.root).unwrap();
        let first = below.components().next().unwrap();
        let first = Path::new(first.as_os_str());
        first.file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// Returns the modules that each module depends on.
    pub(crate) fn modules(&self) -> Modules {
        let mut modules = Modules::new();
        for (path, module) in &self.modules {
            let name = self.module_of(&module.file);
            // The root names everything, to re-export it.
            if name == "lib" {
                continue;
            }
            let uses = modules.entry(name.clone()).or_default();
            let imports = module.imports.iter().map(|(_, target)| target);
            for target in imports.chain(&module.globs).chain(&module.paths) {
                let Some(file) = self.definition(path, target, 0) else {
                    continue;
                };
                let other = self.module_of(file);
                if other != name && other != "lib" {
                    let file = module.file.strip_prefix(&self.root).unwrap();
                    let example = || format!("{} names {}", file.display(), target.join("::"));
                    uses.entry(other).or_insert_with(example);
                }
            }
        }
        modules
    }
}

/// Whether an item exists in tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    fn names_test(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(name) => name == "test",
            TokenTree::Group(group) => names_test(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        is_cfg && attribute.meta.require_list().is_ok_and(|list| names_test(list.tokens.clone()))
    })
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

impl Module {
    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &Ident| {
            let name = name.to_string();
            match name == "self" && !before.is_empty() {
                true => before.to_vec(),
                false => before.iter().cloned().chain([name]).collect(),
            }
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => {
                let path = with(&name.ident);
                self.imports.push((path.last().unwrap().clone(), path));
            }
            UseTree::Rename(rename) => {
                let path = with(&rename.ident);
                self.imports.push((rename.rename.to_string(), path));
            }
            UseTree::Glob(_) => self.globs.push(before.to_vec()),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, before));
            }
        }
    }

    /// Macros are not expanded, but the paths in what they are given count.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                    path.push(name.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) => {
                    self.paths.push(std::mem::replace(&mut path, vec![name.to_string()]));
                }
                TokenTree::Group(group) => {
                    self.paths.push(std::mem::take(&mut path));
                    self.read_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.paths.push(std::mem::take(&mut path));
                }
            }
            colons = 0;
        }
        self.paths.push(path);
    }
}

impl Visit<'_> for Module {
    fn visit_item(&mut self, item: &Item) {
        let attributes: &[Attribute] = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments = path.segments.iter();
        self.paths.push(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &syn::Macro) {
        self.read_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    // Attributes name derives and features, and documentation.
    fn visit_attribute(&mut self, _: &Attribute) {}
}
