//! Downloads of one model: requests, resumed downloads, and the cache's folders.

use crate::hub::error::HubError;
use crate::hub::settings::{BRANCH, Hub, ShowDownload, Wanted};
use pdn_network::file;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, HeaderName, Response};
use ureq::{Agent, Body};

/// How many times in a row a cut download is resumed without gaining [`ENOUGH`] bytes.
const TRIES: usize = 5;
const ENOUGH: u64 = 64 << 10;

/// The number of the hub's timeouts within which [`ENOUGH`] bytes must arrive, so that a trickle ends.
const TIMEOUTS: u32 = 2;

/// The longest timeout.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The most redirections to follow.
const REDIRECTS: usize = 5;

/// Headers about a file that is stored elsewhere, on any of the hub's answers.
const LINKED: [&str; 3] = ["x-repo-commit", "x-linked-etag", "x-linked-size"];

/// The most bytes of a list of files.
const MOST_LISTED: u64 = 16 << 20;

/// The hub's answer about a file.
pub(super) struct Answer {
    /// The URL of the file.
    url: String,
    pub(super) commit: String,
    etag: String,
    size: u64,
    /// Whether that URL is on the hub itself; the token is sent nowhere else.
    at_home: bool,
}

/// The download of one model.
pub(super) struct Session<'a> {
    hub: &'a Hub,
    repo: &'a str,
    wanted: Wanted,
    folder: PathBuf,
    agent: Agent,
    /// The time within which [`ENOUGH`] bytes must arrive.
    timeouts: Duration,
}

impl<'a> Session<'a> {
    pub(super) fn new(hub: &'a Hub, repo: &'a str, wanted: Wanted, folder: PathBuf) -> Self {
        let timeout = hub.timeout.min(DAY);
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(TIMEOUTS * timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            .user_agent(concat!("pdn/", env!("CARGO_PKG_VERSION")));
        Self { hub, repo, wanted, folder, agent: config.build().into(), timeouts: TIMEOUTS * timeout }
    }

    /// Asks the hub about a file; `None` if it has none. A relative redirection is the hub's own, to a model's new
    /// name; an absolute one leads to where the file is stored.
    pub(super) fn ask(&self, file: &str, revision: &str) -> Result<Option<Answer>, HubError> {
        let mut url = format!("{}/{}/resolve/{revision}/{file}", self.hub.endpoint, self.repo);
        let mut said = HeaderMap::new();
        for _ in 0..REDIRECTS {
            let response = self.request(self.agent.head(&url), true).call();
            let response = response.map_err(|error| self.hub.unreachable(self.repo, self.wanted, error.to_string()))?;
            let (status, headers) = (response.status().as_u16(), response.headers());
            for name in LINKED {
                said.extend(headers.get(name).map(|value| (HeaderName::from_static(name), value.clone())));
            }
            match (status, text(headers, "location")) {
                (300..=399, Some(path)) if is_own(path) => url = format!("{}{path}", origin(&url)),
                (300..=399, Some(elsewhere)) => {
                    let at_home = origin(elsewhere) == origin(&self.hub.endpoint);
                    return answer(&url, elsewhere, &said, headers, at_home).map(Some);
                }
                (200..=299, _) => return answer(&url, &url, &said, headers, true).map(Some),
                (404, _) => return Ok(None),
                (401 | 403, _) => return Err(HubError::Refused { repo: self.repo.into(), status }),
                _ => return Err(HubError::Answer { url, why: format!("the Hub answered {}", response.status()) }),
            }
        }
        Err(HubError::Answer { url, why: format!("the Hub redirected more than {REDIRECTS} times") })
    }

    /// Returns the names of a model's files.
    pub(super) fn files(&self) -> Result<Vec<String>, HubError> {
        let mut url = format!("{}/api/models/{}/revision/{BRANCH}", self.hub.endpoint, self.repo);
        for _ in 0..REDIRECTS {
            let request = self.agent.get(&url).config().timeout_recv_body(Some(self.timeouts)).build();
            let response = self.request(request, true).call();
            let response = response.map_err(|error| self.hub.unreachable(self.repo, self.wanted, error.to_string()))?;
            match (response.status().as_u16(), text(response.headers(), "location")) {
                (300..=399, Some(path)) if is_own(path) => url = format!("{}{path}", origin(&url)),
                (200..=299, _) => return listing(&url, response),
                (404, _) => return Err(self.hub.not_found(self.repo, "weights")),
                (status @ (401 | 403), _) => return Err(HubError::Refused { repo: self.repo.into(), status }),
                _ => return Err(HubError::Answer { url, why: format!("the Hub answered {}", response.status()) }),
            }
        }
        Err(HubError::Answer { url, why: format!("the Hub redirected more than {REDIRECTS} times") })
    }

    /// Makes a commit the cached one.
    pub(super) fn settle(&self, commit: &str) -> Result<(), HubError> {
        let refs = self.folder.join("refs");
        make(&refs)?;
        replace(&refs.join(BRANCH), |temporary| {
            let mut file = File::create_new(temporary)?;
            file.write_all(commit.as_bytes())?;
            file.sync_all()
        })
    }

    fn request<B>(&self, request: ureq::RequestBuilder<B>, at_home: bool) -> ureq::RequestBuilder<B> {
        // Size and checksum are those of the file as stored.
        let request = request.header("accept-encoding", "identity");
        match &self.hub.token {
            Some(token) if at_home => request.header("authorization", format!("Bearer {token}")),
            _ => request,
        }
    }

    /// Downloads a file into the cache, unless its blob is there, and links it into the snapshot.
    pub(super) fn take(&self, name: &str, answer: &Answer, show: ShowDownload) -> Result<PathBuf, HubError> {
        let blobs = self.folder.join("blobs");
        let snapshot = self.folder.join("snapshots").join(&answer.commit);
        let locks = self.hub.cache.join(".locks").join(self.folder.file_name().unwrap_or_default());
        for folder in [&blobs, &snapshot, &locks] {
            make(folder)?;
        }
        let blob = blobs.join(&answer.etag);
        // Wait for any other process that downloads the same file; its result is then used.
        let lock = locks.join(format!("{}.lock", answer.etag));
        let held = file::open_lock(&lock, true).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
        if !blob.exists() {
            let incomplete = blobs.join(format!("{}.incomplete", answer.etag));
            self.download(name, answer, &incomplete, show)?;
            fs::rename(&incomplete, &blob).map_err(at(&blob))?;
        }
        let link = snapshot.join(name);
        if !link.exists() {
            link.parent().map_or(Ok(()), make)?;
            let up = "../".repeat(name.matches('/').count() + 2);
            replace(&link, |temporary| link_to(&blob, &up, temporary))?;
        }
        drop(held);
        Ok(link)
    }

    /// Downloads a whole file, resuming an earlier attempt, and verifies it.
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
            tries = if done >= before.saturating_add(ENOUGH) { TRIES } else { tries - 1 };
            if tries == 0 {
                let why = why.unwrap_or_else(|| "the connection was closed".into());
                return Err(HubError::Cut { url: url.clone(), done, size: *size, why });
            }
        }
        let (found, done) = (checksum(path, etag)?, length());
        // Other hubs may use etags that say nothing about the contents.
        if done == *size && found.as_ref().is_none_or(|found| found.eq_ignore_ascii_case(etag)) {
            // Sync before the file gets its name: the contents are never checked again.
            return OpenOptions::new().write(true).open(path).and_then(|file| file.sync_all()).map_err(at(path));
        }
        fs::remove_file(path).map_err(at(path))?;
        let found = found.unwrap_or_else(|| format!("a file of {done} bytes"));
        Err(HubError::Checksum { url: url.clone(), expected: etag.clone(), found })
    }

    /// Downloads the rest of a file; returns the reason if that ended early.
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
            // The partial file is not a prefix of the file.
            416 => {
                fs::remove_file(path).map_err(at(path))?;
                return Ok(Some("the partial download does not match the file".into()));
            }
            500..=599 => return Ok(Some(format!("the Hub answered {}", response.status()))),
            _ => {
                return Err(HubError::Answer {
                    url: url.clone(),
                    why: format!("the Hub answered {}", response.status()),
                });
            }
        };
        let mut out = OpenOptions::new().create(true).append(true).open(path).map_err(at(path))?;
        if !goes_on {
            out.set_len(0).map_err(at(path))?;
            done = 0;
        }
        let mut body = response.into_body().into_reader().take(size.saturating_sub(done).saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        let mut since = (Instant::now(), done);
        loop {
            if !show(file, done, *size) {
                return Err(HubError::Interrupted);
            }
            if done - since.1 >= ENOUGH {
                since = (Instant::now(), done);
            }
            if since.0.elapsed() > self.timeouts {
                return Ok(Some(format!("fewer than {ENOUGH} bytes arrived in {:?}", self.timeouts)));
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

    /// Returns the response to a request for a body, after the storage's redirections.
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

/// Combines the responses to HEAD: `said` has the headers seen on any of them, `headers` those of the last.
fn answer(asked: &str, url: &str, said: &HeaderMap, headers: &HeaderMap, at_home: bool) -> Result<Answer, HubError> {
    let wrong = |why: &str| HubError::Answer { url: asked.into(), why: why.into() };
    let either = |linked, own| text(said, linked).or_else(|| text(headers, own));
    let etag = either("x-linked-etag", "etag").ok_or_else(|| wrong("the Hub's answer has no etag"))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    let commit = text(said, "x-repo-commit").ok_or_else(|| wrong("the Hub's answer has no commit"))?.to_owned();
    // Both become file names.
    if !is_hexadecimal(&commit) || !is_hexadecimal(&etag) {
        return Err(wrong("the Hub's answer has an etag or commit that is not hexadecimal"));
    }
    let size = either("x-linked-size", "content-length").and_then(|size| size.parse().ok());
    let size = size.ok_or_else(|| wrong("the Hub's answer has no size"))?;
    Ok(Answer { url: url.into(), commit, etag, size, at_home })
}

/// Parses the file names in the hub's answer about a model.
fn listing(url: &str, response: Response<Body>) -> Result<Vec<String>, HubError> {
    #[derive(Deserialize)]
    struct Listing {
        siblings: Vec<Sibling>,
    }
    #[derive(Deserialize)]
    struct Sibling {
        rfilename: String,
    }
    let wrong = |why: String| HubError::Answer { url: url.into(), why };
    let read = response.into_body().into_with_config().limit(MOST_LISTED).read_to_string();
    let listing: Listing = serde_json::from_str(&read.map_err(|error| wrong(error.to_string()))?)
        .map_err(|error| wrong(format!("unexpected list of files: {error}")))?;
    Ok(listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect())
}

/// Returns whether a redirection is the hub's own.
fn is_own(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns the scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

/// Returns the checksum of a file in the form of its etag: sha256 for a large file; git's blob sha1, over length and
/// contents, for a small one. `None` if the etag has another form.
fn checksum(path: &Path, etag: &str) -> Result<Option<String>, HubError> {
    match (is_hexadecimal(etag), etag.len()) {
        (true, 64) => hashed(path, Sha256::new()).map(Some),
        (true, 40) => {
            let length = fs::metadata(path).map_err(at(path))?.len();
            hashed(path, Sha1::new_with_prefix(format!("blob {length}\0"))).map(Some)
        }
        _ => Ok(None),
    }
}

fn hashed(path: &Path, mut hash: impl Digest) -> Result<String, HubError> {
    let mut file = file::open(path).map_err(at(path))?;
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

/// Creates a file under a temporary name in the same folder and renames it.
fn replace(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<(), HubError> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (name, count) = (path.file_name().unwrap_or_default(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!(".{}.{}.{count}", name.to_string_lossy(), std::process::id());
    let temporary = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    make(&temporary).and_then(|()| fs::rename(&temporary, path)).map_err(at(path))
}

/// Links a snapshot to its blob; the link is relative, so the cache can be moved.
#[cfg(unix)]
fn link_to(blob: &Path, up: &str, link: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new(up).join("blobs").join(name), link)
}

/// Copies the file, as links need privileges here.
#[cfg(not(unix))]
fn link_to(blob: &Path, _up: &str, link: &Path) -> io::Result<()> {
    fs::copy(blob, link).map(drop)
}

fn at(path: &Path) -> impl Fn(io::Error) -> HubError + '_ {
    move |error| HubError::Cache { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("http://host:1/a/b"), "http://host:1");
        assert_eq!(origin("http://host:1"), "http://host:1");
    }
}
