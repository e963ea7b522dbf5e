//! The rules, each a pure function of sources.

use std::fmt;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Longest file, in lines.
const FILE_LINES: usize = 400;

/// Longest function, in lines from its signature to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Module names that say nothing.
const BANNED: [&str; 14] = [
    "util", "utils", "common", "helper", "helpers", "type", "types", "misc", "manager", "handler",
    "handlers", "process", "data", "info",
];

/// For each crate, which of ours it may depend on.
const EDGES: [(&str, &[&str]); 9] = [
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
        "skein-gamedays",
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
    (
        "skein",
        &[
            "skein-shared",
            "skein-config",
            "skein-connector",
            "skein-compactor",
            "skein-reader",
            "skein-loadtest",
            "skein-gamedays",
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
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.starts_with("tests/")
            || self.path.contains("/tests/")
    }

    pub(super) fn finding(&self, what: String) -> Finding {
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

    fn visit_item_trait(&mut self, ours: &'ast syn::ItemTrait) {
        for item in &ours.items {
            let syn::TraitItem::Fn(function) = item else {
                continue;
            };
            if let Some(block) = &function.default {
                self.add(&function.sig, block);
            }
            self.add_bools(&function.sig);
        }
        visit::visit_item_trait(self, ours);
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
