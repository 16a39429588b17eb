//! Builds the release archive: the command, its generated man pages and completions, and the documents that belong to
//! it.
//!
//! Packing and checksums use `tar` and `sha256sum` or `shasum`, which every build system has: a crate for either would
//! have to be built first.

use crate::tools::{cargo, done, heard, root};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files copied from the repository as they are.
const FILES: [&str; 5] = ["README.md", "GUIDE.md", "LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"];

/// Shells, and the name of the completion script for each.
const SHELLS: [(&str, &str); 5] =
    [("bash", "pdn.bash"), ("elvish", "pdn.elv"), ("fish", "pdn.fish"), ("powershell", "_pdn.ps1"), ("zsh", "_pdn")];

/// Builds the command and packs it as `dist/pdn-VERSION-TARGET.tar.gz` in Cargo's target folder. A target can be named,
/// if this machine can run its programs.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let root = root();
    let built = built()?;
    let mut build = cargo("build --release --locked --package pdn-cli");
    let (target, release) = match *arguments {
        [] => (host_target()?, built.join("release")),
        [target] => {
            build.args(["--target", target]);
            (target.to_owned(), built.join(target).join("release"))
        }
        _ => return Err(format!("expected one target, not `{}`", arguments.join(" "))),
    };
    done(&mut build)?;
    let command = release.join(format!("pdn{}", env::consts::EXE_SUFFIX));
    let name = format!("pdn-{VERSION}-{target}");
    let dist = built.join("dist");
    gather(root, &command, &dist.join(&name))?;
    let archive = format!("{name}.tar.gz");
    done(Command::new("tar").arg("-czf").args([&archive, &name]).current_dir(&dist))?;
    fs::write(dist.join(format!("{archive}.sha256")), sum(&dist, &archive)?)
        .map_err(|why| format!("{archive}.sha256: {why}"))?;
    let path = dist.join(archive);
    let bytes = fs::metadata(&path).map_err(|why| said(&path, why))?.len();
    println!("{}: {:.1} MiB", path.display(), bytes as f64 / f64::from(1 << 20));
    Ok(())
}

/// Returns Cargo's target folder, wherever it is: this program lies in its profile's folder there.
pub(crate) fn built() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|why| format!("this program cannot be found: {why}"))?;
    let built = this.parent().and_then(Path::parent);
    built.map(Path::to_owned).ok_or_else(|| format!("{}: expected it in Cargo's folder", this.display()))
}

/// Collects the archive's contents in a fresh folder.
fn gather(root: &Path, command: &Path, folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|why| said(folder, why))?;
    }
    let completions = folder.join("completions");
    fs::create_dir_all(&completions).map_err(|why| said(&completions, why))?;
    let files = FILES.iter().map(|file| root.join(file)).chain([command.to_owned()]);
    for file in files {
        fs::copy(&file, folder.join(file.file_name().unwrap_or_default())).map_err(|why| said(&file, why))?;
    }
    for (shell, script) in SHELLS {
        let path = completions.join(script);
        fs::write(&path, heard(Command::new(command).args(["completions", shell]))?).map_err(|why| said(&path, why))?;
    }
    done(Command::new(command).arg("man").arg(folder.join("man")).stdout(Stdio::null()))
}

/// Returns the host target of Rust on this machine.
fn host_target() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = heard(Command::new(rustc).arg("-vV"))?;
    let said = String::from_utf8_lossy(&said);
    host(&said).map(str::to_owned).ok_or_else(|| format!("rustc -vV names no host: {said}"))
}

fn host(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("host: "))
}

/// Returns the line for `sha256sum --check`.
fn sum(folder: &Path, archive: &str) -> Result<Vec<u8>, String> {
    let sum = heard(Command::new("sha256sum").arg(archive).current_dir(folder));
    // The name on macOS.
    sum.or_else(|_| heard(Command::new("shasum").args(["-a", "256", archive]).current_dir(folder)))
}

pub(crate) fn said(path: &Path, why: std::io::Error) -> String {
    format!("{}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_rustc_says() {
        assert_eq!(
            host("rustc 1.90.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.90.0\n"),
            Some("x86_64-unknown-linux-gnu")
        );
        assert_eq!(host("rustc 1.90.0\n"), None);
    }
}
