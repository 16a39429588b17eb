//! Where a hub is and what it is told, by the environment.

use crate::hub::error::HubError;
use pdn_network::file;
use std::path::PathBuf;
use std::time::Duration;

/// Weights that an encoder may lie in, the preferred first, each with the file that says its activation.
pub(super) const FILES: [(&str, &str); 4] = [
    ("model.safetensors", "config.json"),
    ("open_clip_model.safetensors", "open_clip_config.json"),
    ("pytorch_model.bin", "config.json"),
    ("open_clip_pytorch_model.bin", "open_clip_config.json"),
];

/// The most bytes of a token, or of the name of a commit.
pub(super) const MOST: u64 = 1 << 12;

/// The branch that is fetched.
pub(super) const BRANCH: &str = "main";

/// Shows a download: the file, the bytes that are there, the bytes of all of it. Whether to go on is answered.
pub type ShowDownload<'a> = &'a mut dyn FnMut(&str, u64, u64) -> bool;

/// A hub of models, and the cache of what was fetched from it.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    /// The folder of its cache.
    pub cache: PathBuf,
    /// What it is told by who asks for models that are not for everyone.
    pub token: Option<String>,
    /// Whether it is never asked.
    pub offline: bool,
    /// How long it is waited for while nothing comes.
    pub timeout: Duration,
}

/// How long a hub is waited for where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Hub {
    /// The hub and the cache that the environment names.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let home = || folder("HOME").or_else(|| folder("USERPROFILE")).unwrap_or_default();
        let caches = || folder("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
        let base = folder("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| base.join("token"));
        let token = variable("HF_TOKEN").or_else(|| file::read_text(&token_file, MOST).ok());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let said = variable("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_uppercase();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: folder("HF_HUB_CACHE").unwrap_or_else(|| base.join("hub")),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: ["1", "ON", "YES", "TRUE"].contains(&said.as_str()),
            timeout: variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|said| seconds(&said)).unwrap_or(TIMEOUT),
        }
    }

    pub(super) fn not_found(&self, repo: &str, files: &str) -> HubError {
        HubError::NotFound { repo: repo.into(), endpoint: self.endpoint.clone(), files: files.into() }
    }

    pub(super) fn unreachable(&self, repo: &str, wanted: Wanted, why: String) -> HubError {
        let (at, (weights, config)) = (format!("{}/{repo}", self.endpoint), FILES[0]);
        let instead = match wanted {
            Wanted::Encoder => format!(
                "download {weights} and {config} of {at} on a machine that is online, put them in one folder, and use --encoder \
                 FOLDER/{weights}"
            ),
            Wanted::Network => {
                format!("download its weights from {at} on a machine that is online, and use --model FILE")
            }
        };
        HubError::Offline { repo: repo.to_owned(), cache: self.cache.clone(), why, instead }
    }
}

/// So many seconds; `None` where that is no time to wait.
fn seconds(said: &str) -> Option<Duration> {
    said.trim()
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
}

/// For what a model is fetched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Encoder,
    Network,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_environment_names_hub_and_cache() {
        let hub = |set: &[(&str, &str)]| {
            Hub::from_variables(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let plain = hub(&[("HOME", "/none")]);
        assert_eq!(plain.cache, Path::new("/none/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none() && plain.endpoint.starts_with("https://"));
        let all = [("HF_HOME", "/h"), ("HF_ENDPOINT", "http://x:1/"), ("HF_TOKEN", "t\n"), ("HF_HUB_OFFLINE", "true")];
        let set = hub(&all);
        assert_eq!((set.cache.as_path(), set.endpoint.as_str()), (Path::new("/h/hub"), "http://x:1"));
        assert!(set.offline && set.token.as_deref() == Some("t"));
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/c")]).cache, Path::new("/c/huggingface/hub"));
        assert_eq!(hub(&[("HF_HUB_CACHE", "/d"), ("HF_HUB_OFFLINE", "0")]).cache, Path::new("/d"));
        for (said, expected) in [("2.5", 2.5), ("0", 30.0), ("-1", 30.0), ("NaN", 30.0), ("soon", 30.0)] {
            assert_eq!(hub(&[("HF_HUB_DOWNLOAD_TIMEOUT", said)]).timeout.as_secs_f64(), expected, "{said}");
        }
    }
}
