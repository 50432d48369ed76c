//! The imports between the rooms of a crate: every `use`, and every path in code.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, Macro, UseTree, Visibility};

use super::modules::{Module, Modules};

/// For each pair of rooms, the first place where one imports the other.
pub(super) type Arrows = BTreeMap<(String, String), Place>;

/// A line of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// The path named there.
    pub(super) named: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.named)
    }
}

pub(super) fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    for module in modules.iter() {
        // The root of the crate is not a room: it may name all of them.
        let Some(room) = module.path.first() else { continue };
        let mut finder = Finder { modules, module, room, arrows: &mut arrows };
        for item in &module.items {
            finder.visit_item(item);
        }
    }
    arrows
}

struct Finder<'m> {
    modules: &'m Modules,
    module: &'m Module,
    room: &'m str,
    arrows: &'m mut Arrows,
}

impl Finder<'_> {
    /// Notes a path that begins with `crate`, `self` or `super`.
    fn note(&mut self, path: &[String], span: Span) {
        let Some(target) = self.module.resolve(path) else { return };
        let Some(room) = self.modules.room(&target).filter(|room| room != self.room) else {
            return;
        };
        let place = Place {
            file: self.module.file.clone(),
            line: span.start().line,
            named: path.join("::"),
        };
        let first = self.arrows.entry((self.room.to_owned(), room)).or_insert(place.clone());
        if place < *first {
            *first = place;
        }
    }

    fn note_use(&mut self, before: &mut Vec<String>, tree: &UseTree, span: Span) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_use(before, &path.tree, span);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(before, tree, span);
                }
            }
            UseTree::Name(name) => self.note_name(before, &name.ident, span),
            UseTree::Rename(rename) => self.note_name(before, &rename.ident, span),
            UseTree::Glob(_) => self.note(before, span),
        }
    }

    fn note_name(&mut self, before: &[String], name: &syn::Ident, span: Span) {
        self.note(&[before, &[name.to_string()]].concat(), span);
    }

    /// Finds paths in the input of a macro, which `syn` does not parse.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if path.is_empty() || colons != 2 {
                        self.note(&path, start);
                        path.clear();
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.note(&path, start);
                    path.clear();
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.note_tokens(group.stream());
                    }
                }
            }
        }
        self.note(&path, start);
    }
}

impl Visit<'_> for Finder<'_> {
    fn visit_item_use(&mut self, item: &ItemUse) {
        self.note_use(&mut Vec::new(), &item.tree, item.use_token.span);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names: Vec<String> =
                path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&names, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &Macro) {
        self.note_tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    // A module within this file is visited on its own.
    fn visit_item_mod(&mut self, _: &ItemMod) {}

    // `pub(in crate::room)` imports nothing.
    fn visit_visibility(&mut self, _: &Visibility) {}
}
