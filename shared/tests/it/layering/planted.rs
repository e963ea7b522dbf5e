//! The rules can fail: each is shown a source that breaks it, and one that does not.

use super::module_order::ModuleOrder;
use super::rules::{self, Finding, Source};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[track_caller]
fn check(findings: &[Finding], expected: usize) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(findings.len(), expected, "{lines:?}");
}

/// Finds what is wrong with `text` as the source of `b`, or of a module below it.
fn order_in(path: &str, text: &str) -> Vec<Finding> {
    let sources = [
        source(
            "src/lib.rs",
            "pub mod a; pub mod b; pub mod c; pub use c::{Error, Other};",
        ),
        source(
            "src/b.rs",
            "mod first; mod second; mod third; pub use third::Late;",
        ),
        source("src/b/second.rs", "mod deep;"),
    ];
    let order = ModuleOrder::of("src/", sources.iter());
    order.check(&source(path, text))
}

fn order(text: &str) -> Vec<Finding> {
    order_in("src/b.rs", text)
}

#[test]
fn an_edge_that_is_not_in_the_table_is_found() {
    let text =
        "[dependencies]\nskein-reader.workspace = true\nskein-shared = { path = \"../shared\" }";
    check(&rules::crate_edges("skein-connector", text), 1);
    let text = "[dependencies]\nskein-local.workspace = true";
    check(&rules::crate_edges("skein-reader", text), 1);
    let text = "[dev-dependencies]\nskein-local.workspace = true";
    check(&rules::crate_edges("skein-reader", text), 0);
}

#[test]
fn an_import_from_below_is_found_however_it_is_written() {
    check(&order("use crate::c::X;"), 1);
    check(&order("use crate::{a::X, c};"), 1);
    check(&order("fn f() { crate::c::x(); }"), 1);
    check(&order("fn f() { format!(\"{}\", crate::c::x()); }"), 1);
    check(&order("use crate::Error;"), 1);
    check(&order("use super::c::X;"), 1);
}

#[test]
fn the_order_holds_in_every_list_of_modules() {
    let second = |text| order_in("src/b/second.rs", text);
    check(&second("use crate::b::third::X;"), 1);
    check(&second("use crate::{a::X, b::{first::Y, third}};"), 1);
    check(&second("use super::third;"), 1);
    check(&second("fn f() { super::third::x(); }"), 1);
    check(&second("use crate::b::Late;"), 1);
    check(&second("use crate::c::X;"), 1);
    check(&second("use super::super::c::X;"), 1);
    check(
        &order_in("src/b/second/deep.rs", "use super::super::third::X;"),
        1,
    );

    check(&second("use crate::b::first::X; use super::first::Y;"), 0);
    check(
        &second("use super::Own; use crate::b::Own; use self::deep::X;"),
        0,
    );
    check(&order("use crate::b::third::X; use super::a;"), 0);
    check(
        &order_in("src/b/second/deep.rs", "use super::super::first::X;"),
        0,
    );
    check(&order_in("src/b/tests.rs", "use super::third::X;"), 0);
}

#[test]
fn an_import_from_above_or_within_is_none() {
    check(
        &order("use crate::a::X; use crate::b::inner::Y; use other::c::Z;"),
        0,
    );
    check(&order("//! See [`crate::c`].\nuse super::x;"), 0);
    check(&order("pub(crate) fn f() {}"), 0);
    check(&order("#[cfg(test)]\nmod tests { use crate::c::X; }"), 0);
    check(&order("#[cfg(unix)]\nmod tests { use crate::c::X; }"), 1);
}

#[test]
fn a_long_file_or_function_is_found() {
    check(&rules::lengths(&source("src/a.rs", &"\n".repeat(401))), 1);
    let body = "    let _ = 1;\n".repeat(69);
    check(
        &rules::lengths(&source("src/a.rs", &format!("fn f() {{\n{body}}}"))),
        1,
    );
    check(
        &rules::lengths(&source(
            "src/a.rs",
            &format!("impl A {{ fn f() {{\n{body}}} }}"),
        )),
        1,
    );
    check(
        &rules::lengths(&source(
            "src/a.rs",
            &format!("trait A {{ fn f() {{\n{body}}} }}"),
        )),
        1,
    );
    let body = "    let _ = 1;\n".repeat(68);
    check(
        &rules::lengths(&source("src/a.rs", &format!("fn f() {{\n{body}}}"))),
        0,
    );
}

#[test]
fn a_name_that_says_nothing_is_found() {
    check(&rules::names(&source("shared/src/utils.rs", "")), 1);
    check(
        &rules::names(&source("shared/src/format/helpers/x.rs", "")),
        1,
    );
    check(&rules::names(&source("shared/src/data.rs", "")), 1);
    check(&rules::names(&source("shared/src/format/mod.rs", "")), 1);
    check(&rules::names(&source("shared/src/format.rs", "")), 0);
}

#[test]
fn a_bool_parameter_is_found_except_where_a_trait_demands_it() {
    check(
        &rules::bool_parameters(&source("a.rs", "fn f(dry_run: bool) {}")),
        1,
    );
    check(
        &rules::bool_parameters(&source("a.rs", "impl A { fn f(&self, b: bool) {} }")),
        1,
    );
    check(
        &rules::bool_parameters(&source("a.rs", "impl T for A { fn f(&self, b: bool) {} }")),
        0,
    );
    check(
        &rules::bool_parameters(&source("a.rs", "fn f(b: u8) -> bool { true }")),
        0,
    );
}

#[test]
fn a_place_of_one_machine_is_found() {
    check(
        &rules::outside_places(&source("README", &["see /wo", "rk/x"].concat())),
        1,
    );
    check(
        &rules::outside_places(&source("README", "see docs/formats.md")),
        0,
    );
}
