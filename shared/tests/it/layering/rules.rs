//! The rules, each a pure function of sources.

use std::collections::BTreeMap;
use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Longest file, in lines.
const FILE_LINES: usize = 400;

/// Longest function, in lines from its signature to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Module names that say nothing.
const BANNED: [&str; 12] = [
    "util", "utils", "common", "helper", "helpers", "type", "types", "misc", "manager", "handler",
    "handlers", "process",
];

/// For each crate, which of ours it may depend on.
const EDGES: [(&str, &[&str]); 8] = [
    ("skein-shared", &[]),
    ("skein-local", &["skein-shared"]),
    ("skein-config", &["skein-shared"]),
    ("skein-connector", &["skein-shared", "skein-config"]),
    ("skein-compactor", &["skein-shared", "skein-config"]),
    ("skein-reader", &["skein-shared", "skein-config"]),
    (
        "skein-loadtest",
        &[
            "skein-shared",
            "skein-config",
            "skein-connector",
            "skein-compactor",
            "skein-reader",
            "skein-local",
        ],
    ),
    (
        "skein",
        &[
            "skein-shared",
            "skein-config",
            "skein-connector",
            "skein-compactor",
            "skein-reader",
            "skein-loadtest",
            "skein-local",
        ],
    ),
];

/// One source file.
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
}

/// A broken rule and where.
pub(super) struct Finding {
    /// File, or crate.
    pub(super) place: String,
    /// What is wrong.
    pub(super) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Source {
    /// Whether the whole file is tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.starts_with("tests/")
            || self.path.contains("/tests/")
    }

    fn finding(&self, what: String) -> Finding {
        Finding {
            place: self.path.clone(),
            what,
        }
    }

    fn parsed(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// Checks a `Cargo.toml` against [`EDGES`]; tests may also use the local stack.
pub(super) fn crate_edges(name: &str, cargo_toml: &str) -> Vec<Finding> {
    let (_, allowed) = EDGES
        .iter()
        .find(|(of, _)| *of == name)
        .expect("every crate has its edges");
    let mut section = "";
    let mut findings = Vec::new();
    for line in cargo_toml.lines() {
        if line.starts_with('[') {
            section = line.trim();
        }
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let for_tests = section == "[dev-dependencies]" && dependency == "skein-local";
        let ours = dependency.starts_with("skein-") && section.ends_with("dependencies]");
        if ours
            && section != "[workspace.dependencies]"
            && !for_tests
            && !allowed.contains(&dependency)
        {
            findings.push(Finding {
                place: name.to_owned(),
                what: format!("must not depend on {dependency} in {section}"),
            });
        }
    }
    findings
}

/// The modules of a crate in the order of its `lib.rs`, and the names that it re-exports from them.
pub(super) struct ModuleOrder {
    place_of: BTreeMap<String, usize>,
}

impl ModuleOrder {
    /// Reads a `lib.rs` or `main.rs`.
    pub(super) fn of(text: &str) -> Self {
        let file = syn::parse_file(text).expect("a crate's first file parses");
        let mut place_of = BTreeMap::new();
        for item in &file.items {
            if let syn::Item::Mod(module) = item {
                let place = place_of.len();
                place_of.insert(module.ident.to_string(), place);
            }
        }
        for item in &file.items {
            let syn::Item::Use(import) = item else {
                continue;
            };
            let mut names = Vec::new();
            leaves(&import.tree, &mut names);
            let first = names.first().cloned().unwrap_or_default();
            if let Some(place) = place_of.get(&first).copied() {
                place_of.extend(names.into_iter().skip(1).map(|name| (name, place)));
            }
        }
        Self { place_of }
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

/// Checks that a file below `src/` names, as `crate::…`, only modules above its own.
pub(super) fn module_order(order: &ModuleOrder, src: &str, source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let inner = source.path.strip_prefix(src).unwrap_or(&source.path);
    let own = inner
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    let Some(place) = order.place_of.get(own) else {
        return Vec::new();
    };
    let tokens: TokenStream = source
        .text
        .parse()
        .expect("a source file is made of tokens");
    let mut named = Vec::new();
    crate_paths(tokens, &mut named);
    let below = named
        .into_iter()
        .filter(|name| order.place_of.get(name).is_some_and(|other| other > place));
    below
        .map(|name| source.finding(format!("imports from `{name}`, which stands below `{own}`")))
        .collect()
}

/// The names right after `crate::`, also in `crate::{a, b::c}` and inside macros.
fn crate_paths(tokens: TokenStream, into: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token
            && !is_test_module(&tokens[..at])
        {
            crate_paths(group.stream(), into);
        }
        let is_crate = matches!(token, TokenTree::Ident(word) if *word == "crate");
        let colons = tokens
            .iter()
            .skip(at + 1)
            .take_while(|token| is_punct(token, ':'))
            .count();
        if !is_crate || colons != 2 {
            continue;
        }
        match tokens.get(at + 3) {
            Some(TokenTree::Ident(name)) => into.push(name.to_string()),
            Some(TokenTree::Group(group)) => group_heads(group.stream(), into),
            Some(TokenTree::Punct(_) | TokenTree::Literal(_)) | None => {}
        }
    }
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

fn group_heads(tokens: TokenStream, into: &mut Vec<String>) {
    let mut at_head = true;
    for token in tokens {
        if let (TokenTree::Ident(name), true) = (&token, at_head) {
            into.push(name.to_string());
        }
        at_head = is_punct(&token, ',');
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Checks the lengths of a file and of its functions.
pub(super) fn lengths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        findings.push(source.finding(format!("{lines} lines; at most {FILE_LINES}")));
    }
    let mut functions = Functions::default();
    functions.visit_file(&source.parsed());
    for (name, lines) in functions.lengths {
        if lines > FUNCTION_LINES {
            findings.push(source.finding(format!(
                "`{name}` has {lines} lines; at most {FUNCTION_LINES}"
            )));
        }
    }
    findings
}

#[derive(Default)]
struct Functions {
    lengths: Vec<(String, usize)>,
    with_bool: Vec<String>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        self.lengths
            .push((signature.ident.to_string(), last + 1 - first));
    }

    fn add_bools(&mut self, signature: &syn::Signature) {
        let takes_bool = signature.inputs.iter().any(|input| match input {
            syn::FnArg::Typed(typed) => {
                matches!(&*typed.ty, syn::Type::Path(path) if path.path.is_ident("bool"))
            }
            syn::FnArg::Receiver(_) => false,
        });
        if takes_bool {
            self.with_bool.push(signature.ident.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        self.add_bools(&function.sig);
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        for item in &block.items {
            let syn::ImplItem::Fn(function) = item else {
                continue;
            };
            self.add(&function.sig, &function.block);
            // The signature of another's trait is not ours to choose.
            if block.trait_.is_none() {
                self.add_bools(&function.sig);
            }
        }
        visit::visit_item_impl(self, block);
    }
}

/// Checks that no function of ours takes a bool, which says nothing where it is called.
pub(super) fn bool_parameters(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let mut functions = Functions::default();
    functions.visit_file(&source.parsed());
    let names = functions.with_bool.into_iter();
    names
        .map(|name| source.finding(format!("`{name}` takes a bool; take an enum")))
        .collect()
}

/// Checks the names of modules.
pub(super) fn names(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in source.path.trim_end_matches(".rs").split('/') {
        if BANNED.contains(&word) {
            findings.push(source.finding(format!("`{word}` says nothing about what is inside")));
        }
    }
    if source.path.ends_with("/mod.rs") {
        findings.push(source.finding("write `foo.rs` beside `foo/`".to_owned()));
    }
    findings
}

/// Checks that a text names no place that only one machine has.
pub(super) fn outside_places(source: &Source) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let places = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/tmp/br", "ief"].concat(),
        ["DESIGN", ".md"].concat(),
        ["FACTS", ".md"].concat(),
        ["STYLE", ".md"].concat(),
        ["LAYOUT", ".md"].concat(),
    ];
    let named = places
        .iter()
        .filter(|place| source.text.contains(place.as_str()));
    named
        .map(|place| source.finding(format!("names `{place}`")))
        .collect()
}
