//! The steps of RELEASE.md that can be automated.

use crate::tools::{cargo, done, nothing_more};
use crate::{build, dist, features, lint};
use std::fs;

/// The registry's size limit for a packed crate.
const LIMIT: u64 = 10 << 20;

/// Packs every crate, without building it again, and checks its size against the registry's limit.
pub(crate) fn package(arguments: &[&str]) -> Result<(), String> {
    let folder = dist::built()?.join("package");
    // Old packages would be taken for current ones.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|why| dist::said(&folder, why))?;
    }
    let private = "--exclude pdn-fuzz --exclude pdn-testing --exclude xtask";
    done(cargo(&format!("package --workspace --no-verify --locked {private}")).args(arguments))?;
    let mut large = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|why| dist::said(&folder, why))? {
        let path = entry.map_err(|why| dist::said(&folder, why))?.path();
        if path.extension().is_some_and(|extension| extension == "crate") {
            let bytes = fs::metadata(&path).map_err(|why| dist::said(&path, why))?.len();
            println!("{:>9.1} KiB  {}", bytes as f64 / 1024.0, path.display());
            if bytes > LIMIT {
                large.push(path.display().to_string());
            }
        }
    }
    if large.is_empty() { Ok(()) } else { Err(format!("over the registry's 10 MiB: {}", large.join(", "))) }
}

/// Runs every release step without publishing; the slow ones come last.
pub(crate) fn release(arguments: &[&str]) -> Result<(), String> {
    nothing_more(arguments)?;
    let steps = [lint::lint, package, features::features, features::msrv, lint::docs, build::test, dist::run];
    steps.iter().try_for_each(|step| step(&[]))?;
    println!("nothing was published or tagged: RELEASE.md says how");
    Ok(())
}
