//! Builds that differ from the default: other features, another compiler, another processor.

use crate::tools::{cargo, done, heard, is_there, nothing_more, skipped};
use std::process::Command;

/// Formats alone, and none: a feature may depend on one that a user leaves out.
const ALONE: [&str; 7] = [
    "--package pdn-image --no-default-features",
    "--package pdn-cli --no-default-features",
    "--package pdn-cli --no-default-features --features avif",
    "--package pdn-cli --no-default-features --features hub",
    "--package pdn-cli --no-default-features --features jxl",
    "--package pdn-cli --no-default-features --features serve",
    "--package pdn-cli --no-default-features --features webp-lossy",
];

/// All formats together, which cargo-hack leaves out where some are excluded.
const TOGETHER: &str = "check --locked --package pdn-cli --features avif,jxl,webp-lossy";

/// Checks the features of every crate with cargo-hack, if it is installed; otherwise only those that change the
/// command. `lint` and `test` build the trainer, and GPUs are left to machines that have one.
pub(crate) fn features(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    if is_there(&mut cargo("hack")) {
        let crates = "--workspace --exclude pdn-train --exclude xtask";
        done(&mut cargo(&format!("hack check --each-feature --exclude-features cuda,train,wgpu {crates} --locked")))?;
    } else {
        let why = "`cargo install cargo-hack --locked` brings cargo-hack; those of the command follow";
        skipped("features of every crate", why);
        ALONE.iter().try_for_each(|build| done(&mut cargo(&format!("check --locked {build}"))))?;
    }
    done(&mut cargo(TOGETHER))
}

/// Checks with the compiler that `rust-version` names, if rustup has it.
pub(crate) fn msrv(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    let version = env!("CARGO_PKG_RUST_VERSION");
    let installed = heard(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let Some(toolchain) = named(&String::from_utf8_lossy(&installed), version) else {
        skipped("the oldest compiler", &format!("`rustup toolchain install {version}` brings it"));
        return Ok(());
    };
    let mut command = Command::new("rustup");
    command
        .args(["run", &toolchain, "cargo", "check", "--locked", "--package", "pdn-cli"])
        .current_dir(crate::tools::root());
    // Cargo's variables for this program belong to another compiler.
    done(command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN"))
}

/// Returns the name in rustup's list of the toolchain of a version, such as 1.89.
fn named(list: &str, version: &str) -> Option<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let of =
        |name: &str| name.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
    names.filter(|name| of(name)).map(str::to_owned).next()
}

/// Tests the NEON kernels in emulation, with qemu.
pub(crate) fn aarch64(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let installed = heard(Command::new("rustup").args(["target", "list", "--installed"])).unwrap_or_default();
    if !String::from_utf8_lossy(&installed).lines().any(|target| target == TARGET) {
        skipped("AArch64", &format!("`rustup target add {TARGET}` brings Rust's library for it"));
        return Ok(());
    }
    for tool in ["aarch64-linux-gnu-gcc", "qemu-aarch64"] {
        if !is_there(&mut Command::new(tool)) {
            skipped("AArch64", &format!("{tool} is not installed"));
            return Ok(());
        }
    }
    let mut test = cargo("test --profile quick --locked --package pdn-kernels --target");
    test.arg(TARGET).env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc");
    test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    done(test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_version() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n1.8-x86_64\n1.89.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(named(list, "1.89").as_deref(), Some("1.89.0-x86_64-unknown-linux-gnu"));
        assert_eq!(named(list, "1.90"), None);
    }
}
