//! The modules of a crate, read from its sources by `syn`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, Item, Lit, Meta, Token, UseTree, punctuated::Punctuated};

use crate::failure::{Failure, Result};

/// Every module of a crate outside of its tests.
pub(super) struct Modules(HashMap<Vec<String>, Module>);

/// One module: its file, its items, and the meaning of its names.
pub(super) struct Module {
    /// The path of the module from the root of the crate, whose own path is empty.
    pub(super) path: Vec<String>,
    /// The file, relative to the folder of the crate.
    pub(super) file: PathBuf,
    pub(super) items: Vec<Item>,
    names: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

impl Modules {
    /// Reads the crate whose root file is `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut modules = Self(HashMap::new());
        let source = root.parent().unwrap_or(root);
        modules.read_file(root, source, source, Vec::new())?;
        Ok(modules)
    }

    /// Reads the module `path` from `file`; `folder` has the files of its own modules.
    fn read_file(
        &mut self,
        file: &Path,
        folder: &Path,
        source: &Path,
        path: Vec<String>,
    ) -> Result<()> {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::system(format!("reading {}", file.display()), &error))?;
        let parsed = syn::parse_file(&text).map_err(|error| {
            let at = error.span().start();
            Failure::new(
                format!("{}:{}: {error}", file.display(), at.line),
                "run `cargo check`; if it passes, update syn in Cargo.toml",
            )
        })?;
        self.add(file, folder, source, path, parsed.items)
    }

    fn add(
        &mut self,
        file: &Path,
        folder: &Path,
        source: &Path,
        path: Vec<String>,
        items: Vec<Item>,
    ) -> Result<()> {
        let items: Vec<Item> = items.into_iter().filter(|item| !left_out(item)).collect();
        for item in &items {
            let Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            let below = [&path[..], std::slice::from_ref(&name)].concat();
            let inner = folder.join(&name);
            if let Some((_, items)) = &module.content {
                self.add(file, &inner, source, below, items.clone())?;
                continue;
            }
            let named = path_attribute(&module.attrs);
            let beside = file.parent().unwrap_or(folder);
            let file = match named {
                Some(named) => beside.join(named),
                None => folder.join(format!("{name}.rs")),
            };
            let file = if file.exists() { file } else { inner.join("mod.rs") };
            self.read_file(&file, &inner, source, below)?;
        }
        let file = file.strip_prefix(source.parent().unwrap_or(source)).unwrap_or(file);
        let module = Module::new(path.clone(), file.to_owned(), items);
        self.0.insert(path, module);
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Module> {
        self.0.values()
    }

    /// The room of a path from the root of the crate: its first module or, for a name that the root
    /// re-exports, the room that defines it. `None` is the root itself.
    pub(super) fn room(&self, path: &[String]) -> Option<String> {
        let first = path.first()?;
        if self.0.contains_key(std::slice::from_ref(first)) {
            return Some(first.clone());
        }
        self.definition(&[], first, 0)?.first().cloned()
    }

    /// The module that defines `name`, as seen in the module `of`.
    fn definition(&self, of: &[String], name: &str, depth: usize) -> Option<Vec<String>> {
        let module = self.0.get(of)?;
        if depth > 32 {
            return None;
        }
        if let Some(target) = module.names.get(name) {
            let Some((last, before)) = target.split_last() else {
                return Some(of.to_vec());
            };
            return self.definition(before, last, depth + 1).or_else(|| {
                let foreign = before.first().is_none_or(|first| !self.is_module(first));
                (!foreign).then(|| before.to_vec())
            });
        }
        module.globs.iter().find_map(|glob| self.definition(glob, name, depth + 1))
    }

    fn is_module(&self, name: &str) -> bool {
        self.0.contains_key(&[name.to_owned()][..])
    }
}

impl Module {
    fn new(path: Vec<String>, file: PathBuf, items: Vec<Item>) -> Self {
        let mut module =
            Self { path, file, items: Vec::new(), names: HashMap::new(), globs: Vec::new() };
        for item in &items {
            match item {
                Item::Use(item) => module.import(&mut Vec::new(), &item.tree, &items),
                item => {
                    if let Some(name) = name(item) {
                        module.names.insert(name, Vec::new());
                    }
                }
            }
        }
        module.items = items;
        module
    }

    /// Notes the meaning of the names in a `use`.
    fn import(&mut self, before: &mut Vec<String>, tree: &UseTree, items: &[Item]) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(before, &path.tree, items);
                before.pop();
            }
            UseTree::Name(name) => self.alias(before, &name.ident, &name.ident, items),
            UseTree::Rename(rename) => self.alias(before, &rename.ident, &rename.rename, items),
            UseTree::Glob(_) => self.globs.extend(self.absolute(before, items)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(before, tree, items);
                }
            }
        }
    }

    fn alias(&mut self, before: &[String], from: &syn::Ident, to: &syn::Ident, items: &[Item]) {
        let whole = match from.to_string().as_str() {
            "self" => before.to_vec(),
            name => [before, &[name.to_owned()]].concat(),
        };
        // `use inner::self` is named after the module.
        let to = if to == "self" { before.last().cloned() } else { Some(to.to_string()) };
        if let (Some(to), Some(target)) = (to, self.absolute(&whole, items)) {
            self.names.insert(to, target);
        }
    }

    /// The path of a `use` from the root of the crate; `None` for another crate's.
    fn absolute(&self, path: &[String], items: &[Item]) -> Option<Vec<String>> {
        let first = path.first()?;
        let own = |item: &Item| matches!(item, Item::Mod(module) if module.ident == *first);
        if items.iter().any(own) {
            return Some([&self.path[..], path].concat());
        }
        self.resolve(path)
    }

    /// Resolves a path that begins with `crate`, `self` or `super`, from the root of the crate.
    pub(super) fn resolve(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.path.clone(),
            _ => return None,
        };
        let mut rest = if first == "super" { path } else { rest };
        while let Some((first, after)) = rest.split_first()
            && first == "super"
        {
            base.pop();
            rest = after;
        }
        base.extend_from_slice(rest);
        Some(base)
    }
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The file that `#[path = "..."]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

/// Whether an item is compiled only for tests or docs.
fn left_out(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| is_left_out(&condition))
        }
        _ => false,
    })
}

/// Whether a condition of `cfg` holds only in tests or docs: `test`, `doc`, or `all` with one of
/// them.
fn is_left_out(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doc"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(is_left_out)),
        _ => false,
    }
}
