//! The development loop: check, test, measure.

use crate::tools::{cargo, done, nothing_more};

/// Checks everything except the trainer, as burn is slow to build.
pub(crate) fn check(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    done(&mut cargo("check --workspace --exclude pdn-train --all-targets --locked"))
}

pub(crate) fn test(arguments: &[&str]) -> Result<(), String> {
    done(cargo("test --workspace --features train --locked").args(arguments))
}

pub(crate) fn bench(arguments: &[&str]) -> Result<(), String> {
    done(&mut cargo("bench --package pdn-kernels --locked"))?;
    done(cargo("run --release --locked --package pdn-cli -- bench").args(arguments))
}
