//! Skipped tests are counted, never silent.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::unavailable::Unavailable;

/// Names the file to which skipped tests append one line each: `test<TAB>reason`.
pub const SKIPPED_FILE_VARIABLE: &str = "SKEIN_SKIPPED_FILE";

/// When this is `1`, a test that would be skipped fails instead.
pub const REQUIRE_REAL_VARIABLE: &str = "SKEIN_REQUIRE_REAL";

/// Records that `test` does not run, and why: on stderr and in the file that the test command counts.
///
/// # Panics
/// If `SKEIN_REQUIRE_REAL=1`, or if the file cannot be written: a skip nobody counts is a silent one.
pub fn report(test: &str, unavailable: &Unavailable) {
    let reason = unavailable.reason.replace(['\n', '\r', '\t'], " ");
    assert!(
        std::env::var_os(REQUIRE_REAL_VARIABLE).is_none_or(|value| value != "1"),
        "{test} must not be skipped with {REQUIRE_REAL_VARIABLE}=1: {reason}"
    );
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os(SKIPPED_FILE_VARIABLE) {
        let line = format!("{test}\t{reason}\n");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file of skipped tests takes a line");
    }
}
