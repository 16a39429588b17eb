//! Hub settings from the environment.

use crate::hub::error::HubError;
use pdn_network::file;
use std::path::PathBuf;
use std::time::Duration;

/// Files of encoder weights in order of preference, each with the file that states its activation.
pub(super) const FILES: [(&str, &str); 4] = [
    ("model.safetensors", "config.json"),
    ("open_clip_model.safetensors", "open_clip_config.json"),
    ("pytorch_model.bin", "config.json"),
    ("open_clip_pytorch_model.bin", "open_clip_config.json"),
];

/// The most bytes of a token or of a commit's name.
pub(super) const MOST: u64 = 1 << 12;

/// The branch to download.
pub(super) const BRANCH: &str = "main";

/// Reports progress of a download: the file, the bytes downloaded, the total. Returns whether to go on.
pub type ShowDownload<'a> = &'a mut dyn FnMut(&str, u64, u64) -> bool;

/// A hub of models and the cache of its downloads.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The hub's URL.
    pub endpoint: String,
    /// The cache folder.
    pub cache: PathBuf,
    /// The access token for restricted models.
    pub token: Option<String>,
    /// Whether to use the cache only and never contact the hub.
    pub offline: bool,
    /// How long to wait for data before giving up.
    pub timeout: Duration,
}

/// The default timeout.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Hub {
    /// Creates the hub and cache that the environment names.
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
                "download {weights} and {config} from {at} on a machine that is online, put both in one folder, and give the \
                 path of {weights} instead of the name"
            ),
            Wanted::Network => {
                format!(
                    "download its weights from {at} on a machine that is online, and give the path of the file instead \
                     of the name"
                )
            }
        };
        HubError::Offline { repo: repo.to_owned(), cache: self.cache.clone(), why, instead }
    }
}

/// Parses a number of seconds; `None` if it is not a valid timeout.
fn seconds(said: &str) -> Option<Duration> {
    said.trim()
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
}

/// What a model is downloaded for.
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
