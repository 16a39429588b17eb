//! Encoders from the Hugging Face hub, by their name.
//!
//! Files are kept in the hub's own cache, in its own layout, so that what other programs have fetched is not fetched again:
//!
//! ```text
//! models--openai--clip-vit-base-patch32/
//!   blobs/<etag>                            the files; <etag>.incomplete while they are fetched
//!   snapshots/<commit>/model.safetensors    links to them
//!   refs/main                               the commit, written last
//! ```
//!
//! What is in the cache is used without asking the hub. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN`
//! and `HF_TOKEN_PATH` mean what they mean to the hub's own programs.

use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ureq::http::{HeaderMap, HeaderName, Response};
use ureq::{Agent, Body};

/// Weights that an encoder may lie in, the preferred first, each with the file that says its activation.
const FILES: [(&str, &str); 4] = [
    ("model.safetensors", "config.json"),
    ("open_clip_model.safetensors", "open_clip_config.json"),
    ("pytorch_model.bin", "config.json"),
    ("open_clip_pytorch_model.bin", "open_clip_config.json"),
];

/// The branch that is fetched.
const BRANCH: &str = "main";

/// How often a download that was cut is gone on with, as long as each time brings something.
const TRIES: usize = 5;

/// How many redirections are followed.
const REDIRECTS: usize = 5;

/// What the hub says of a file that is stored elsewhere, on any of its answers.
const LINKED: [&str; 3] = ["x-repo-commit", "x-linked-etag", "x-linked-size"];

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
}

/// Why an encoder could not be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It is not in the cache, and the hub is not asked or cannot be reached.
    #[error(
        "{repo}: is not in the cache {}, and {why}: fetch {weights} and {config} of {endpoint}/{repo} where there is a \
         network, put them in one folder, and give --encoder FOLDER/{weights}", .cache.display(), weights = FILES[0].0, config = FILES[0].1
    )]
    Offline {
        /// The model.
        repo: String,
        /// The folder of the cache.
        cache: PathBuf,
        /// The hub.
        endpoint: String,
        /// Why it is not fetched.
        why: String,
    },
    /// The hub has no such file.
    #[error("{repo}: {endpoint} has no such model, or it holds none of {files}")]
    NotFound {
        /// The model.
        repo: String,
        /// The hub.
        endpoint: String,
        /// The files that were looked for.
        files: String,
    },
    /// The hub does not give it to just anyone.
    #[error(
        "{repo}: the hub refuses it ({status}): there is no such model, or HF_TOKEN must be set to a token that may read it"
    )]
    Refused {
        /// The model.
        repo: String,
        /// The hub's answer.
        status: u16,
    },
    /// The hub's answer is none that is understood.
    #[error("{url}: {why}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The download stopped before its end.
    #[error("{url}: was cut after {done} of {size} bytes ({why}): run the command again, it goes on from there")]
    Cut {
        /// What was asked for.
        url: String,
        /// The bytes that are there.
        done: u64,
        /// The bytes of all of it.
        size: u64,
        /// What happened.
        why: String,
    },
    /// What came is not what the hub says it has.
    #[error("{url}: has the sha256 {found}, expected {expected}: nothing was kept, run the command again")]
    Checksum {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The cache cannot be written.
    #[error("{path}: {error}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Whoever watched the download asked to stop.
    #[error("interrupted; what was fetched is kept, and gone on with next time")]
    Interrupted,
}

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
        let token = variable("HF_TOKEN").or_else(|| fs::read_to_string(token_file).ok());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let said = variable("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_uppercase();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: folder("HF_HUB_CACHE").unwrap_or_else(|| base.join("hub")),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: ["1", "ON", "YES", "TRUE"].contains(&said.as_str()),
        }
    }

    /// Whether this is how models are named, `openai/clip-vit-base-patch32`, and not a file of weights that is not there.
    pub fn is_name(name: &str) -> bool {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(plain)
        };
        let is_file = [".safetensors", ".bin", ".pt", ".pth"].iter().any(|ending| name.ends_with(ending));
        !is_file && name.split_once('/').is_some_and(|(owner, model)| part(owner) && part(model))
    }

    /// The weights of an encoder, with its configuration beside them: from the cache, or else fetched into it.
    ///
    /// # Errors
    /// [`HubError`]; nothing half-fetched is ever taken for the file.
    pub fn encoder(&self, repo: &str, show: ShowDownload) -> Result<PathBuf, HubError> {
        if !Self::is_name(repo) {
            let why = "is no name of a model: expected owner/name".into();
            return Err(HubError::Answer { url: repo.into(), why });
        }
        let folder = self.cache.join(format!("models--{}", repo.replace('/', "--")));
        if let Some(cached) = cached(&folder) {
            return Ok(cached);
        }
        if self.offline {
            return Err(self.unreachable(repo, "HF_HUB_OFFLINE is set".into()));
        }
        let session = Session::new(self, repo, folder);
        for (weights, config) in FILES {
            let Some(answer) = session.ask(weights, BRANCH)? else { continue };
            let commit = answer.commit.clone();
            // The configuration first: it is small, and the weights are of use only with it.
            if let Some(answer) = session.ask(config, &commit)? {
                session.take(config, &answer, show)?;
            }
            let path = session.take(weights, &answer, show)?;
            let refs = session.folder.join("refs");
            make(&refs)?;
            replace(&refs.join(BRANCH), |temporary| fs::write(temporary, &commit))?;
            return Ok(path);
        }
        let files: Vec<&str> = FILES.iter().map(|(weights, _)| *weights).collect();
        Err(HubError::NotFound { repo: repo.into(), endpoint: self.endpoint.clone(), files: files.join(", ") })
    }

    fn unreachable(&self, repo: &str, why: String) -> HubError {
        let (repo, cache, endpoint) = (repo.to_owned(), self.cache.clone(), self.endpoint.clone());
        HubError::Offline { repo, cache, endpoint, why }
    }
}

/// The weights of a model in the cache.
fn cached(folder: &Path) -> Option<PathBuf> {
    let commit = fs::read_to_string(folder.join("refs").join(BRANCH)).ok()?;
    let snapshot = folder.join("snapshots").join(is_hexadecimal(commit.trim()).then(|| commit.trim())?);
    let whole = |(weights, config): &(&str, &str)| snapshot.join(weights).exists() && snapshot.join(config).exists();
    FILES.iter().find(|pair| whole(pair)).map(|(weights, _)| snapshot.join(weights))
}

/// What the hub says of a file.
struct Answer {
    /// Where it is.
    url: String,
    commit: String,
    etag: String,
    size: u64,
    /// Whether that is the hub itself, which alone is told the token.
    at_home: bool,
}

/// One model, while it is fetched.
struct Session<'a> {
    hub: &'a Hub,
    repo: &'a str,
    folder: PathBuf,
    agent: Agent,
}

impl<'a> Session<'a> {
    fn new(hub: &'a Hub, repo: &'a str, folder: PathBuf) -> Self {
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("pdn/", env!("CARGO_PKG_VERSION")));
        Self { hub, repo, folder, agent: config.build().into() }
    }

    /// What the hub says of a file; `None` where it has none. Relative redirections are the hub's own, to a model's new
    /// name; an absolute one leads to where the file is stored.
    fn ask(&self, file: &str, revision: &str) -> Result<Option<Answer>, HubError> {
        let mut url = format!("{}/{}/resolve/{revision}/{file}", self.hub.endpoint, self.repo);
        let mut said = HeaderMap::new();
        for _ in 0..REDIRECTS {
            let response = self.request(self.agent.head(&url), true).call();
            let response = response.map_err(|error| self.hub.unreachable(self.repo, error.to_string()))?;
            let (status, headers) = (response.status().as_u16(), response.headers());
            for name in LINKED {
                said.extend(headers.get(name).map(|value| (HeaderName::from_static(name), value.clone())));
            }
            match (status, text(headers, "location")) {
                (300..=399, Some(path)) if path.starts_with('/') && !path.starts_with("//") => {
                    url = format!("{}{path}", origin(&url));
                }
                (300..=399, Some(elsewhere)) => {
                    let at_home = origin(elsewhere) == origin(&self.hub.endpoint);
                    return answer(&url, elsewhere, &said, headers, at_home).map(Some);
                }
                (200..=299, _) => return answer(&url, &url, &said, headers, true).map(Some),
                (404, _) => return Ok(None),
                (401 | 403, _) => return Err(HubError::Refused { repo: self.repo.into(), status }),
                _ => return Err(HubError::Answer { url, why: format!("the hub answers {}", response.status()) }),
            }
        }
        Err(HubError::Answer { url, why: format!("the hub redirects more than {REDIRECTS} times") })
    }

    fn request<B>(&self, request: ureq::RequestBuilder<B>, at_home: bool) -> ureq::RequestBuilder<B> {
        // What is counted and checked is the file as it is stored.
        let request = request.header("accept-encoding", "identity");
        match &self.hub.token {
            Some(token) if at_home => request.header("authorization", format!("Bearer {token}")),
            _ => request,
        }
    }

    /// Fetches a file into the cache, unless its blob is there, and links it into the snapshot.
    fn take(&self, file: &str, answer: &Answer, show: ShowDownload) -> Result<PathBuf, HubError> {
        let blobs = self.folder.join("blobs");
        let snapshot = self.folder.join("snapshots").join(&answer.commit);
        let locks = self.hub.cache.join(".locks").join(self.folder.file_name().unwrap_or_default());
        for folder in [&blobs, &snapshot, &locks] {
            make(folder)?;
        }
        let blob = blobs.join(&answer.etag);
        // Another that fetches the same is waited for, and then has it.
        let lock = locks.join(format!("{}.lock", answer.etag));
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
        if !blob.exists() {
            let incomplete = blobs.join(format!("{}.incomplete", answer.etag));
            self.download(file, answer, &incomplete, show)?;
            fs::rename(&incomplete, &blob).map_err(at(&blob))?;
        }
        let link = snapshot.join(file);
        if !link.exists() {
            replace(&link, |temporary| link_to(&blob, temporary))?;
        }
        drop(held);
        Ok(link)
    }

    /// Fetches a file whole, going on where an earlier try was cut, and checks it.
    fn download(&self, file: &str, answer: &Answer, path: &Path, show: ShowDownload) -> Result<(), HubError> {
        let Answer { url, size, etag, .. } = answer;
        let length = || fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut tries = TRIES;
        loop {
            let before = length();
            let why = match before < *size {
                true => self.go_on(file, answer, path, before, show)?,
                false => None,
            };
            let done = length();
            if done >= *size && why.is_none() {
                break;
            }
            tries = if done > before { TRIES } else { tries - 1 };
            if tries == 0 {
                let why = why.unwrap_or_else(|| "the connection was closed".into());
                return Err(HubError::Cut { url: url.clone(), done, size: *size, why });
            }
        }
        let whole = length() == *size;
        // The etag of a large file is its sha256, that of a small one git's, which also counts its length.
        let is_sha256 = etag.len() == 64 && is_hexadecimal(etag);
        let found = if whole && !is_sha256 { etag.clone() } else { sha256(path)? };
        if whole && found == *etag {
            return Ok(());
        }
        fs::remove_file(path).map_err(at(path))?;
        Err(HubError::Checksum { url: url.clone(), expected: etag.clone(), found })
    }

    /// Fetches what is missing of a file, and says why that ended early where it did.
    fn go_on(
        &self,
        file: &str,
        answer: &Answer,
        path: &Path,
        mut done: u64,
        show: ShowDownload,
    ) -> Result<Option<String>, HubError> {
        let Answer { url, size, at_home, .. } = answer;
        let mut request = self.request(self.agent.get(url), *at_home);
        if done > 0 {
            request = request.header("range", format!("bytes={done}-"));
        }
        let response = match self.follow(request.call(), *at_home, done) {
            Ok(response) => response,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let goes_on = match response.status().as_u16() {
            200 => false,
            206 => true,
            // What is there is no beginning of the file.
            416 => {
                fs::remove_file(path).map_err(at(path))?;
                return Ok(Some("the part that was there does not fit".into()));
            }
            500..=599 => return Ok(Some(format!("the hub answers {}", response.status()))),
            _ => {
                return Err(HubError::Answer {
                    url: url.clone(),
                    why: format!("the hub answers {}", response.status()),
                });
            }
        };
        let mut out = OpenOptions::new().create(true).append(true).open(path).map_err(at(path))?;
        if !goes_on {
            out.set_len(0).map_err(at(path))?;
            done = 0;
        }
        let mut body = response.into_body().into_reader().take(size - done + 1);
        let mut buffer = vec![0; 1 << 16];
        loop {
            if !show(file, done, *size) {
                return Err(HubError::Interrupted);
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) => return Ok(Some(error.to_string())),
            };
            out.write_all(&buffer[..count]).map_err(at(path))?;
            done += count as u64;
        }
    }

    /// The answer to a request for a body, after the redirections of whoever stores it.
    fn follow(
        &self,
        mut response: Result<Response<Body>, ureq::Error>,
        at_home: bool,
        done: u64,
    ) -> Result<Response<Body>, ureq::Error> {
        for _ in 0..REDIRECTS {
            let answer = response?;
            let Some(next) = text(answer.headers(), "location").filter(|_| answer.status().is_redirection()) else {
                return Ok(answer);
            };
            let next = next.to_owned();
            let mut request =
                self.request(self.agent.get(&next), at_home && origin(&next) == origin(&self.hub.endpoint));
            if done > 0 {
                request = request.header("range", format!("bytes={done}-"));
            }
            response = request.call();
        }
        response
    }
}

/// What answers to HEAD say: in `said` what was in any of them, in `headers` what is in the last.
fn answer(asked: &str, url: &str, said: &HeaderMap, headers: &HeaderMap, at_home: bool) -> Result<Answer, HubError> {
    let wrong = |why: &str| HubError::Answer { url: asked.into(), why: why.into() };
    let either = |linked, own| text(said, linked).or_else(|| text(headers, own));
    let etag = either("x-linked-etag", "etag").ok_or_else(|| wrong("the hub's answer has no etag"))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    let commit = text(said, "x-repo-commit").ok_or_else(|| wrong("the hub's answer names no commit"))?.to_owned();
    // Both become names of files.
    if !is_hexadecimal(&commit) || !is_hexadecimal(&etag) {
        return Err(wrong("the hub's answer has an etag or a commit that is no hexadecimal number"));
    }
    let size = either("x-linked-size", "content-length").and_then(|size| size.parse().ok());
    let size = size.ok_or_else(|| wrong("the hub's answer says no size"))?;
    Ok(Answer { url: url.into(), commit, etag, size, at_home })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

fn sha256(path: &Path) -> Result<String, HubError> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(at(path))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(at(path))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn make(folder: &Path) -> Result<(), HubError> {
    fs::create_dir_all(folder).map_err(at(folder))
}

/// Makes a file aside, in its folder, and renames it.
fn replace(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<(), HubError> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (name, count) = (path.file_name().unwrap_or_default(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!(".{}.{}.{count}", name.to_string_lossy(), std::process::id());
    let temporary = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    make(&temporary).and_then(|()| fs::rename(&temporary, path)).map_err(at(path))
}

/// A link from a snapshot to its blob, relative, so that the cache can be moved.
#[cfg(unix)]
fn link_to(blob: &Path, link: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), link)
}

/// Where links need privileges the file itself is there twice.
#[cfg(not(unix))]
fn link_to(blob: &Path, link: &Path) -> io::Result<()> {
    fs::copy(blob, link).map(drop)
}

fn at(path: &Path) -> impl Fn(io::Error) -> HubError + '_ {
    move |error| HubError::Cache { path: path.to_owned(), error }
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
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("http://host:1/a/b"), "http://host:1");
        assert_eq!(origin("http://host:1"), "http://host:1");
    }
}
