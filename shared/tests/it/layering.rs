//! The layout cannot rot quietly: crate edges, module order, file and function length, names.

mod module_order;
mod planted;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use module_order::ModuleOrder;
use rules::{Finding, Source};

/// Members in the order of their edges, and where they lie.
const CRATES: [(&str, &str); 9] = [
    ("skein-shared", "shared"),
    ("skein-local", "deploy/local"),
    ("skein-config", "config"),
    ("skein-connector", "connector"),
    ("skein-compactor", "compactor"),
    ("skein-reader", "reader"),
    ("skein-loadtest", "loadtest"),
    ("skein-gamedays", "gamedays"),
    ("skein", "."),
];

fn root() -> PathBuf {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"));
    shared
        .parent()
        .expect("this crate lies in the workspace")
        .to_owned()
}

/// Every file of the project below `dir`, without what git ignores or keeps for itself.
fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // In a linked work tree `.git` is a file.
        if ["target", ".git", "skein-dev"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Every Rust file of the project, with its path relative to the root.
fn sources() -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned(),
    };
    paths.into_iter().map(read).collect()
}

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn the_walk_sees_the_sources_of_every_crate() {
    let sources = sources();
    for (name, dir) in CRATES {
        let start = if dir == "." {
            "src/main.rs".to_owned()
        } else {
            format!("{dir}/src/lib.rs")
        };
        assert!(
            sources.iter().any(|source| source.path == start),
            "{name}: {start}"
        );
    }
}

#[test]
fn a_crate_depends_only_on_those_below_it() {
    let mut findings = Vec::new();
    for (name, dir) in CRATES {
        let text = fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        findings.extend(rules::crate_edges(name, &text));
    }
    assert_none(&findings);
}

#[test]
fn every_member_of_the_workspace_is_known_here() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = text
        .lines()
        .find(|line| line.starts_with("members = "))
        .unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(
            CRATES.iter().any(|(_, dir)| *dir == member),
            "{member} has no edges here"
        );
    }
}

#[test]
fn a_module_imports_only_from_modules_above_it() {
    let sources = sources();
    let mut findings = Vec::new();
    for (_, dir) in CRATES {
        let src = if dir == "." {
            "src/".to_owned()
        } else {
            format!("{dir}/src/")
        };
        let order = ModuleOrder::of(&src, sources.iter());
        findings.extend(sources.iter().flat_map(|source| order.check(source)));
    }
    assert_none(&findings);
}

#[test]
fn files_and_functions_stay_short() {
    let findings: Vec<Finding> = sources().iter().flat_map(rules::lengths).collect();
    assert_none(&findings);
}

#[test]
fn names_say_what_is_inside() {
    let findings: Vec<Finding> = sources().iter().flat_map(rules::names).collect();
    assert_none(&findings);
}

#[test]
fn no_function_takes_a_bool() {
    let findings: Vec<Finding> = sources().iter().flat_map(rules::bool_parameters).collect();
    assert_none(&findings);
}

#[test]
fn no_text_points_at_a_place_outside_the_project() {
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    let mut findings = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let path = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        findings.extend(rules::outside_places(&Source { path, text }));
    }
    assert_none(&findings);
}
