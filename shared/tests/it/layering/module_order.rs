//! The rule that a module imports only from modules above it, in every `mod` list of a crate.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use super::rules::{Finding, Source};

/// The modules of one `mod` list by their place in it, and the names that the list's file re-exports from them.
#[derive(Default)]
struct ModList {
    place_of: BTreeMap<String, usize>,
}

/// A module: the names on the way to it from the crate's root.
type Path = Vec<String>;

/// Every `mod` list of a crate, by the module that holds it.
pub(super) struct ModuleOrder {
    /// Where the crate's sources lie, with a slash at the end.
    src: String,
    lists: BTreeMap<Path, ModList>,
}

impl ModuleOrder {
    /// Reads the lists of a crate whose sources lie below `src`.
    pub(super) fn of<'a>(src: &str, sources: impl Iterator<Item = &'a Source>) -> Self {
        let lists = sources.filter_map(|source| {
            let inner = source.path.strip_prefix(src)?;
            Some((module_of(inner), ModList::of(&source.text)))
        });
        Self {
            lists: lists.collect(),
            src: src.to_owned(),
        }
    }

    /// Checks that a file names, as `crate::…` or `super::…`, only modules that stand above it in the list in
    /// which their ways part.
    pub(super) fn check(&self, source: &Source) -> Vec<Finding> {
        let Some(inner) = source.path.strip_prefix(&self.src) else {
            return Vec::new();
        };
        if source.is_test() {
            return Vec::new();
        }
        let own = module_of(inner);
        let tokens: TokenStream = source
            .text
            .parse()
            .expect("a source file is made of tokens");
        let mut named = Vec::new();
        gather(tokens, &mut named);
        let findings = named.into_iter().filter_map(|words| {
            let target = resolve(&own, &words)?;
            let (module, ours) = self.parting(&own, &target)?;
            let what = format!("imports from `{module}`, which stands below `{ours}`");
            Some(source.finding(what))
        });
        findings.collect()
    }

    /// Where the ways to both part, the two names, if they stand in the wrong order.
    fn parting(&self, own: &[String], target: &[String]) -> Option<(String, String)> {
        let shared = own
            .iter()
            .zip(target)
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        let (ours, theirs) = (own.get(shared)?, target.get(shared)?);
        let list = self.lists.get(&own[..shared])?;
        let (our_place, their_place) = (list.place_of.get(ours)?, list.place_of.get(theirs)?);
        (our_place < their_place).then(|| (theirs.clone(), ours.clone()))
    }
}

/// The module that a file below `src/` is.
fn module_of(inner: &str) -> Path {
    let names = inner.trim_end_matches(".rs").split('/');
    let names: Path = names.map(str::to_owned).collect();
    match names.as_slice() {
        [only] if only == "lib" || only == "main" => Vec::new(),
        _ => names,
    }
}

impl ModList {
    fn of(text: &str) -> Self {
        let file = syn::parse_file(text).expect("a source file parses");
        let mut list = Self::default();
        for item in &file.items {
            if let syn::Item::Mod(module) = item {
                let place = list.place_of.len();
                list.place_of.insert(module.ident.to_string(), place);
            }
        }
        for item in &file.items {
            let syn::Item::Use(import) = item else {
                continue;
            };
            if matches!(import.vis, syn::Visibility::Inherited) {
                continue;
            }
            let mut names = Vec::new();
            leaves(&import.tree, &mut names);
            let first = names.first().cloned().unwrap_or_default();
            if let Some(place) = list.place_of.get(&first).copied() {
                let re_exported = names.into_iter().skip(1);
                list.place_of.extend(re_exported.map(|name| (name, place)));
            }
        }
        list
    }
}

fn leaves(tree: &syn::UseTree, into: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(path) => {
            into.push(path.ident.to_string());
            leaves(&path.tree, into);
        }
        syn::UseTree::Name(name) => into.push(name.ident.to_string()),
        syn::UseTree::Rename(rename) => into.push(rename.rename.to_string()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, into)),
        syn::UseTree::Glob(_) => {}
    }
}

/// From the crate's root, what `words` name in the module `own`; `None` for a name outside of the crate.
fn resolve(own: &[String], words: &[String]) -> Option<Path> {
    let ups = words.iter().take_while(|word| *word == "super").count();
    let rest = &words[ups..];
    match (ups, rest.first().map(String::as_str)) {
        (0, Some("crate")) => Some(rest[1..].to_vec()),
        (0, _) => None,
        (ups, _) => {
            let above = own.get(..own.len().checked_sub(ups)?)?;
            Some([above, rest].concat())
        }
    }
}

/// The paths that begin with `crate` or `super`, also in `crate::{a, b::c}` and inside macros.
fn gather(tokens: TokenStream, into: &mut Vec<Path>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if *word == "crate" || *word == "super" => {
                at += path(&tokens[at..], &[], into);
                continue;
            }
            TokenTree::Group(group) if !is_test_module(&tokens[..at]) => {
                gather(group.stream(), into);
            }
            TokenTree::Group(_)
            | TokenTree::Ident(_)
            | TokenTree::Punct(_)
            | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// Reads one path, whose group at the end is many; gives how many tokens it took.
fn path(tokens: &[TokenTree], before: &[String], into: &mut Vec<Path>) -> usize {
    let mut words = before.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => words.push(word.to_string()),
            Some(TokenTree::Group(group)) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is_punct(token, ',')) {
                    path(part, &words, into);
                }
                return at + 1;
            }
            Some(TokenTree::Punct(_) | TokenTree::Literal(_)) | None => break,
        }
        at += 1;
        let colons = tokens[at..].iter().take(2);
        if colons.filter(|token| is_punct(token, ':')).count() < 2 {
            break;
        }
        at += 2;
    }
    into.push(words);
    at.max(1)
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Whether these tokens end in `#[cfg(test)] mod name`: tests may use whatever they need.
fn is_test_module(before: &[TokenTree]) -> bool {
    let [
        ..,
        TokenTree::Group(attribute),
        TokenTree::Ident(word),
        TokenTree::Ident(_),
    ] = before
    else {
        return false;
    };
    *word == "mod" && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}
