//! Compares the public items of the library with the committed lists, so that a breaking change is seen in review.
//!
//! The lists are in `tests/public_api/`. After an intended change, `PDN_UPDATE=1 cargo test -p pdn --test public_api`
//! updates them; removals and changes belong in the changelog. `cargo-semver-checks`, which judges versions by itself,
//! needs a published version to compare with, and there is none yet.

use public_api::{Builder, MINIMUM_NIGHTLY_RUST_VERSION};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates whose items `pdn` re-exports.
const CRATES: [&str; 4] = ["pdn", "pdn-image", "pdn-network", "pdn-engine"];

/// Writes the crate's items with rustdoc; returns the file, or the reason for the failure.
fn rustdoc(name: &str, target: &Path) -> Result<PathBuf, String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(pdn_testing::root())
        .args(["rustdoc", "--lib", "--all-features", "-p", name, "--target-dir"])
        .arg(target)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        // The format is unstable; the stable compiler writes it only with this variable.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    match output.status.success() {
        true => Ok(target.join("doc").join(format!("{}.json", name.replace('-', "_")))),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn nothing_that_programs_name_changed_unseen() {
    let target = pdn_testing::root().join("target/public-api");
    let mut changed = Vec::new();
    for name in CRATES {
        let json = rustdoc(name, &target).unwrap_or_else(|why| panic!("{name}: {why}"));
        let builder = Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true);
        let api = match builder.omit_auto_derived_impls(true).build() {
            Ok(api) => api,
            Err(error) => {
                let why =
                    format!("this compiler's rustdoc is not read ({error}); that of {MINIMUM_NIGHTLY_RUST_VERSION} is");
                return pdn_testing::skip("rustdoc", &why);
            }
        };
        let found: String = api.items().map(|item| format!("{item}\n")).collect();
        let path = pdn_testing::root().join(format!("crates/pdn/tests/public_api/{name}.txt"));
        if std::env::var_os("PDN_UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        let beyond = |of: &str, other: &str, sign: char| {
            let lines = of.lines().filter(|line| !other.lines().any(|l| l == *line));
            lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        changed.push(beyond(&known, &found, '-') + &beyond(&found, &known, '+'));
    }
    let changed = changed.concat();
    assert!(changed.is_empty(), "if this is meant, PDN_UPDATE=1 accepts it:\n{changed}");
}
