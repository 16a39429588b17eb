//! Helpers for the workspace's tests: where external resources are, and what to do without them.
//!
//! A test that needs something outside the repository (the research data, a Python) asks here. If it is absent, the
//! test prints `skipped: why` and passes, unless `PDN_TEST_REQUIRE` names it (a comma-separated list), which makes its
//! absence a failure; continuous integration sets that.

pub mod golden;
pub mod hostile;

use std::path::{Path, PathBuf};

/// Returns the repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a path in the shared research data (`PDN_DATA`, or `../shared/data` beside the repository), or prints why
/// the test is skipped and returns `None`.
///
/// # Panics
/// If the path is absent and `PDN_TEST_REQUIRE` contains `data`.
pub fn data(relative: &str) -> Option<PathBuf> {
    let base = std::env::var_os("PDN_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = base.join(relative);
    if path.exists() {
        return Some(path);
    }
    skip("data", &format!("no {} (set PDN_DATA to the folder that holds it)", path.display()));
    None
}

/// Reports that a test is skipped because `thing` is absent.
///
/// # Panics
/// If `PDN_TEST_REQUIRE` contains `thing`.
pub fn skip(thing: &str, why: &str) {
    let required = std::env::var("PDN_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == thing), "PDN_TEST_REQUIRE names `{thing}`, but: {why}");
    println!("skipped: {why}");
}
