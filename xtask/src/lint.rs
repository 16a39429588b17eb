//! Static checks.

use crate::circles;
use crate::tools::{cargo, done, is_there, nothing_more, skipped};
use std::process::Command;

/// Runs the static checks, the quick ones first.
pub(crate) fn lint(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    done(&mut cargo("fmt --all --check"))?;
    circles::circles(&[])?;
    match is_there(&mut Command::new("typos")) {
        true => done(Command::new("typos").current_dir(crate::tools::root()))?,
        false => skipped("spelling", "`cargo install typos-cli --locked` brings typos"),
    }
    // Advisories need a database, which the hosted workflow downloads.
    match is_there(&mut cargo("deny")) {
        true => done(&mut cargo("deny check licenses bans sources"))?,
        false => skipped("licences", "`cargo install cargo-deny --locked` brings cargo-deny"),
    }
    done(&mut cargo("clippy --workspace --all-targets --features train --locked -- -D warnings"))
}

pub(crate) fn docs(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    done(cargo("doc --workspace --no-deps --features train --locked").env("RUSTDOCFLAGS", "-D warnings"))
}
