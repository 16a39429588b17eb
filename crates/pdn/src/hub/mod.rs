//! Networks and encoders from the Hugging Face hub, by name.
//!
//! Files are kept in the hub's own cache and layout, so anything that other programs have downloaded is reused:
//!
//! ```text
//! models--openai--clip-vit-base-patch32/
//!   blobs/<etag>                            the files; <etag>.incomplete while they are fetched
//!   snapshots/<commit>/model.safetensors    links to them
//!   refs/main                               the commit, written last
//! ```
//!
//! A cached file is used without asking the hub. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_DOWNLOAD_TIMEOUT`,
//! `HF_HUB_OFFLINE`, `HF_TOKEN` and `HF_TOKEN_PATH` mean the same as in the hub's own programs.

mod error;
mod session;
mod settings;

pub use error::HubError;
pub use settings::{Hub, ShowDownload};

use pdn_network::file;
use session::{Session, is_hexadecimal};
use settings::{BRANCH, FILES, MOST, Wanted};
use std::fs;
use std::path::{Path, PathBuf};

/// Extensions of files of network weights.
const WEIGHTS: [&str; 3] = [".safetensors", ".pth", ".pt"];

/// The usual name of weights, preferred among several files.
const USUAL: &str = "model.safetensors";

impl Hub {
    /// Returns whether a name has the form of a model's, `openai/clip-vit-base-patch32`, rather than that of a missing
    /// file of weights.
    pub fn is_name(name: &str) -> bool {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(plain)
        };
        let is_file = is_weights(name) || name.ends_with(".bin");
        !is_file && name.split_once('/').is_some_and(|(owner, model)| part(owner) && part(model))
    }

    /// Returns whether a name has the form of a network's: a model, or a file of one, `owner/name:file`.
    pub fn is_network_name(name: &str) -> bool {
        Self::is_name(name.split_once(':').map_or(name, |(repo, _)| repo))
    }

    /// Returns the path of an encoder's weights, with the configuration beside them; downloads both if they are not
    /// cached.
    ///
    /// # Errors
    /// [`HubError`]; a partial download is never taken for the file.
    pub fn encoder(&self, repo: &str, show: ShowDownload) -> Result<PathBuf, HubError> {
        let folder = self.folder(repo)?;
        let whole =
            |snapshot: &Path, (weights, config)| snapshot.join(weights).exists() && snapshot.join(config).exists();
        if let Some(snapshot) = snapshot(&folder)
            && let Some((weights, _)) = FILES.into_iter().find(|pair| whole(&snapshot, *pair))
        {
            return Ok(snapshot.join(weights));
        }
        let session = self.session(repo, Wanted::Encoder, folder)?;
        for (weights, config) in FILES {
            let Some(answer) = session.ask(weights, BRANCH)? else { continue };
            // Configuration first: it is small, and the weights need it.
            if let Some(answer) = session.ask(config, &answer.commit)? {
                session.take(config, &answer, show)?;
            }
            let path = session.take(weights, &answer, show)?;
            session.settle(&answer.commit)?;
            return Ok(path);
        }
        let files: Vec<&str> = FILES.iter().map(|(weights, _)| *weights).collect();
        Err(self.not_found(repo, &files.join(", ")))
    }

    /// Returns the path of a network's weights and downloads them if they are not cached. The name is
    /// `owner/name:file`, or `owner/name` for the model's only file of weights, or else its `model.safetensors`.
    ///
    /// # Errors
    /// [`HubError`]; a partial download is never taken for the file.
    pub fn network(&self, name: &str, show: ShowDownload) -> Result<PathBuf, HubError> {
        let (repo, file) = name.split_once(':').map_or((name, None), |(repo, file)| (repo, Some(file)));
        let folder = self.folder(repo)?;
        if let Some(file) = file.filter(|file| !is_inside(file)) {
            let why = format!("`{file}` is not a file in a model; expected owner/name:file");
            return Err(HubError::Answer { url: name.into(), why });
        }
        let cached = snapshot(&folder);
        let among = cached.as_deref().map(weights_in).unwrap_or_default();
        let chosen = match file {
            Some(file) => among.iter().find(|known| *known == file).cloned(),
            None => choose(repo, &among).ok().flatten(),
        };
        if let (Some(snapshot), Some(file)) = (cached, chosen) {
            return Ok(snapshot.join(file));
        }
        let session = self.session(repo, Wanted::Network, folder)?;
        let file = match file {
            Some(file) => file.to_owned(),
            None => choose(repo, &session.files()?)?.ok_or_else(|| self.not_found(repo, &WEIGHTS.join(", ")))?,
        };
        let answer = session.ask(&file, BRANCH)?.ok_or_else(|| self.not_found(repo, &file))?;
        let path = session.take(&file, &answer, show)?;
        session.settle(&answer.commit)?;
        Ok(path)
    }

    /// Returns the cached files of weights, sorted, under the names that [`Self::network`] takes.
    pub fn cached(&self) -> Vec<(String, PathBuf)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let repo = name.strip_prefix("models--").map(|repo| repo.replacen("--", "/", 1));
            if let (Some(repo), Some(snapshot)) = (repo, snapshot(&entry.path())) {
                let files = weights_in(&snapshot).into_iter();
                found.extend(files.map(|file| (format!("{repo}:{file}"), snapshot.join(file))));
            }
        }
        found.sort();
        found
    }

    /// Returns the cache folder of a model.
    fn folder(&self, repo: &str) -> Result<PathBuf, HubError> {
        match Self::is_name(repo) {
            true => Ok(self.cache.join(format!("models--{}", repo.replace('/', "--")))),
            false => {
                let why = "is not a model name; expected owner/name".into();
                Err(HubError::Answer { url: repo.into(), why })
            }
        }
    }

    fn session<'a>(&'a self, repo: &'a str, wanted: Wanted, folder: PathBuf) -> Result<Session<'a>, HubError> {
        match self.offline {
            true => Err(self.unreachable(repo, wanted, "offline mode is on (HF_HUB_OFFLINE)".into())),
            false => Ok(Session::new(self, repo, wanted, folder)),
        }
    }
}

/// Returns the folder of the cached commit, which is used without asking the hub.
fn snapshot(folder: &Path) -> Option<PathBuf> {
    let commit = file::read_text(&folder.join("refs").join(BRANCH), MOST).ok()?;
    Some(folder.join("snapshots").join(is_hexadecimal(commit.trim()).then(|| commit.trim())?))
}

/// Returns the names of all files of weights in a snapshot, relative to it.
fn weights_in(snapshot: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![(snapshot.to_owned(), String::new())];
    while let Some((folder, below)) = left.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push((entry.path(), name + "/")),
                // Skip dangling links.
                _ if is_weights(&name) && entry.path().is_file() => found.push(name),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn is_weights(file: &str) -> bool {
    WEIGHTS.iter().any(|ending| file.ends_with(ending))
}

/// Returns whether a file name stays inside the model's folder.
fn is_inside(file: &str) -> bool {
    let plain = |part: &str| !["", ".", ".."].contains(&part);
    !file.contains('\\') && !file.contains(':') && file.split('/').all(plain)
}

/// Chooses the weights among a model's files; `None` if there are none.
fn choose(repo: &str, files: &[String]) -> Result<Option<String>, HubError> {
    let weights: Vec<&String> = files.iter().filter(|file| is_weights(file) && is_inside(file)).collect();
    match weights.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => match several.iter().find(|file| *file == &USUAL) {
            Some(usual) => Ok(Some((*usual).clone())),
            None => {
                let files = several.iter().map(|file| file.as_str()).collect::<Vec<_>>().join(", ");
                Err(HubError::Several { repo: repo.into(), files })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_told_from_paths() {
        for name in ["openai/clip-vit-base-patch32", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "a/b.c_d"] {
            assert!(Hub::is_name(name), "{name}");
        }
        for path in
            ["clip", "./clip", "../clip", "a/b/c", "/a", "a/", "a/.b", "a b/c", "a/..", "a\\b/c", "clip/ViT-B-32.pt"]
        {
            assert!(!Hub::is_name(path), "{path}");
        }
    }

    #[test]
    fn of_several_files_the_usual_one_is_meant() {
        let of = |files: &[&str]| choose("a/b", &files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["README.md", "config.json"]).unwrap(), None);
        assert_eq!(of(&["README.md", "net/x4.pth", "../x2.pth"]).unwrap().as_deref(), Some("net/x4.pth"));
        assert_eq!(of(&["x4.pth", USUAL]).unwrap().as_deref(), Some(USUAL));
        let error = of(&["x2.pth", "x4.pth"]).unwrap_err().to_string();
        assert!(error.contains("x2.pth, x4.pth") && error.contains("a/b:FILE"), "{error}");
        assert!(Hub::is_network_name("a/b") && Hub::is_network_name("a/b:x2.pth") && !Hub::is_network_name("b/x2.pth"));
    }
}
