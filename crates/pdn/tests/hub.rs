//! Downloads networks and encoders from a local server that acts as a hub, and that closes connections early, sends
//! wrong data or is unreachable.

use pdn::{Hub, HubError};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const REPO: &str = "someone/clip";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &[u8] = b"{\"model_type\": \"clip\"}";
/// The output of `git hash-object` for it.
const GIT: &str = "6d71d5947a0a8a2ad1517d775879c0ba7ac762dc";

/// How the server behaves.
#[derive(Clone, Default)]
struct Behaviour {
    /// The weights by name; their configuration is available too.
    weights: Vec<(&'static str, Vec<u8>)>,
    /// The etag that the hub gives for weights, if it is not their sha256.
    etag: Option<String>,
    /// For each request for a body, the number of bytes after which the connection is closed.
    cuts: Vec<usize>,
    /// Whether the model has been renamed, so that the hub redirects.
    renamed: bool,
    /// The token that the hub requires.
    token: Option<&'static str>,
    /// The etag that the hub gives for the configuration, if it is not `aaaa`.
    small: Option<&'static str>,
    /// The number of bytes of a body to send at a time, and the pause between them.
    drips: Option<(usize, Duration)>,
}

/// A hub, and a store on another port to which it redirects; both log requests as `METHOD path range`.
struct Server {
    hub: String,
    log: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Self { method, path, headers: headers.collect() })
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a head, and the body after it.
fn write(mut stream: &TcpStream, bytes: &[u8], drips: Option<(usize, Duration)>) -> std::io::Result<()> {
    let Some((count, pause)) = drips else { return stream.write_all(bytes) };
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    stream.write_all(&bytes[..head])?;
    for part in bytes[head..].chunks(count) {
        stream.write_all(part)?;
        thread::sleep(pause);
    }
    Ok(())
}

fn serve(
    drips: Option<(usize, Duration)>,
    answer: impl Fn(&Request) -> (Vec<u8>, Option<usize>) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let Some(request) = Request::read(&stream) else { return };
                let (bytes, cut) = answer(&request);
                let _ = write(&stream, &bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())], drips);
            });
        }
    });
    address
}

/// Returns an answer with its head; the connection is closed after `cut` bytes of the body.
fn answer(status: &str, headers: &[String], body: &[u8], cut: Option<usize>) -> (Vec<u8>, Option<usize>) {
    let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
    headers.iter().for_each(|header| bytes.extend(format!("{header}\r\n").bytes()));
    bytes.extend(b"\r\n");
    let cut = cut.map(|cut| bytes.len() + cut);
    bytes.extend(body);
    (bytes, cut)
}

impl Server {
    fn new(behaviour: Behaviour) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (of_store, of_hub) = (Arc::clone(&log), Arc::clone(&log));
        let stored = behaviour.clone();
        let cuts = Mutex::new(behaviour.cuts.clone());
        let store = serve(behaviour.drips, move |request| {
            let range = request.headers.get("range").cloned();
            of_store.lock().unwrap().push(format!(
                "{} {} {}",
                request.method,
                request.path,
                range.as_deref().unwrap_or("")
            ));
            assert!(!request.headers.contains_key("authorization"), "the store is not told the token");
            let name = request.path.trim_start_matches("/store/");
            let Some((_, body)) = stored.weights.iter().find(|(known, _)| *known == name) else {
                return answer("404 Not Found", &[], b"", None);
            };
            let from: usize = range.map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap());
            let mut cuts = cuts.lock().unwrap();
            let cut = (!cuts.is_empty()).then(|| cuts.remove(0));
            let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
            answer(status, &[format!("content-length: {}", body.len() - from)], &body[from..], cut)
        });
        let hub = serve(None, move |request| {
            of_hub.lock().unwrap().push(format!("{} {}", request.method, request.path));
            let not_found = || answer("404 Not Found", &["content-length: 0".into()], b"", None);
            if behaviour
                .token
                .is_some_and(|token| request.headers.get("authorization") != Some(&format!("Bearer {token}")))
            {
                return answer("401 Unauthorized", &["content-length: 0".into()], b"", None);
            }
            if let Some(rest) = request.path.strip_prefix("/api/models/") {
                if behaviour.renamed && rest.starts_with(REPO) {
                    let there = "location: /api/models/new/name/revision/main".to_owned();
                    return answer("307 Temporary Redirect", &[there, "content-length: 0".into()], b"", None);
                }
                let names = behaviour.weights.iter().map(|(name, _)| *name).chain(["README.md", "config.json"]);
                let siblings: Vec<_> = names.map(|name| serde_json::json!({"rfilename": name})).collect();
                let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes();
                return answer("200 OK", &[format!("content-length: {}", body.len())], &body, None);
            }
            let Some((repo, rest)) = request.path.split_once("/resolve/") else { return not_found() };
            if behaviour.renamed && repo == format!("/{REPO}") {
                let there = format!("location: /new/name/resolve/{rest}");
                return answer("307 Temporary Redirect", &[there, "content-length: 0".into()], b"", None);
            }
            let Some((_, name)) = rest.split_once('/') else { return not_found() };
            let commit = format!("x-repo-commit: {COMMIT}");
            if name == "config.json" {
                let etag = behaviour.small.unwrap_or("aaaa");
                let head = [commit, format!("etag: \"{etag}\""), format!("content-length: {}", CONFIG.len())];
                let body: &[u8] = if request.method == "HEAD" { b"" } else { CONFIG };
                return answer("200 OK", &head, body, None);
            }
            let Some((_, body)) = behaviour.weights.iter().find(|(known, _)| *known == name) else {
                return not_found();
            };
            let etag = behaviour.etag.clone().unwrap_or_else(|| sha256(body));
            let head = [
                commit,
                format!("x-linked-etag: \"{etag}\""),
                format!("x-linked-size: {}", body.len()),
                format!("location: {store}/store/{name}"),
                "content-length: 0".into(),
            ];
            answer("302 Found", &head, b"", None)
        });
        Self { hub, log }
    }

    fn hub(&self, cache: &Path) -> Hub {
        Hub {
            endpoint: self.hub.clone(),
            cache: cache.to_owned(),
            token: None,
            offline: false,
            timeout: Duration::from_secs(30),
        }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Returns the requests for the bodies of weights.
    fn bodies(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.starts_with("GET /store/")).collect()
    }
}

fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn plain() -> Behaviour {
    Behaviour { weights: vec![("model.safetensors", weights())], ..Behaviour::default() }
}

fn fetch(hub: &Hub) -> Result<std::path::PathBuf, HubError> {
    hub.encoder(REPO, &mut |_, done, size| {
        assert!(done <= size);
        true
    })
}

/// Returns every file below a folder, except locks, with its length.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true if entry.file_name() == ".locks" => {}
                true => left.push(entry.path()),
                false => found.push((entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_model_is_fetched_once_into_the_hub_s_layout() {
    for renamed in [false, true] {
        let (server, cache) = (Server::new(Behaviour { renamed, ..plain() }), tempfile::tempdir().unwrap());
        let hub = server.hub(cache.path());
        let path = fetch(&hub).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), weights());
        assert_eq!(std::fs::read(path.with_file_name("config.json")).unwrap(), CONFIG);
        let folder = cache.path().join("models--someone--clip");
        assert_eq!(path, folder.join("snapshots").join(COMMIT).join("model.safetensors"));
        assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
        assert!(folder.join("blobs").join(sha256(&weights())).is_file());
        assert_eq!(server.bodies(), ["GET /store/model.safetensors "]);
        let asked = server.log().len();
        assert_eq!(fetch(&Hub { offline: true, ..hub.clone() }).unwrap(), path);
        assert_eq!(fetch(&hub).unwrap(), path);
        assert_eq!(server.log().len(), asked, "what is in the cache is not asked for");
    }
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let cuts = vec![300_000, 0, 100_000];
    let (server, cache) = (Server::new(Behaviour { cuts, ..plain() }), tempfile::tempdir().unwrap());
    let path = fetch(&server.hub(cache.path())).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
    let ranges = ["", "bytes=300000-", "bytes=300000-", "bytes=400000-"];
    assert_eq!(server.bodies(), ranges.map(|range| format!("GET /store/model.safetensors {range}")));
}

#[test]
fn the_next_run_goes_on_as_well() {
    let cuts = [vec![500_000], vec![0; 5]].concat();
    let (server, cache) = (Server::new(Behaviour { cuts, ..plain() }), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let error = fetch(&hub).unwrap_err();
    assert!(matches!(error, HubError::Cut { done: 500_000, size: 800_000, .. }), "{error}");
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), weights());
    assert_eq!(server.bodies().last().unwrap(), "GET /store/model.safetensors bytes=500000-");
}

#[test]
fn a_wrong_checksum_is_refused_and_nothing_kept() {
    let (server, cache) =
        (Server::new(Behaviour { etag: Some("ab".repeat(32)), ..plain() }), tempfile::tempdir().unwrap());
    let error = fetch(&server.hub(cache.path())).unwrap_err();
    assert!(matches!(&error, HubError::Checksum { found, .. } if *found == sha256(&weights())), "{error}");
    let kept = files(cache.path());
    assert!(
        kept.iter().all(|(name, size)| ["aaaa", "config.json"].contains(&name.as_str()) && *size < 100),
        "{kept:?}"
    );
}

#[test]
fn other_weights_are_looked_for_and_what_is_absent_is_said() {
    let other = Behaviour { weights: vec![("pytorch_model.bin", weights())], ..Behaviour::default() };
    let (server, cache) = (Server::new(other), tempfile::tempdir().unwrap());
    assert!(fetch(&server.hub(cache.path())).unwrap().ends_with("pytorch_model.bin"));
    let (server, cache) = (Server::new(Behaviour::default()), tempfile::tempdir().unwrap());
    let error = fetch(&server.hub(cache.path())).unwrap_err();
    assert!(matches!(error, HubError::NotFound { .. }) && error.to_string().contains("model.safetensors"), "{error}");
    assert!(files(cache.path()).is_empty());
}

#[test]
fn without_a_network_it_is_said_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub {
        endpoint: format!("http://{port}"),
        cache: cache.path().to_owned(),
        token: None,
        offline: false,
        timeout: Duration::from_secs(30),
    };
    for offline in [true, false] {
        let error = fetch(&Hub { offline, ..hub.clone() }).unwrap_err();
        assert!(matches!(error, HubError::Offline { .. }));
        for word in ["model.safetensors", "config.json", "give the path", REPO] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(error.to_string().contains("HF_HUB_OFFLINE"), offline, "{error}");
    }
}

#[test]
fn a_token_is_told_to_the_hub_alone() {
    let (server, cache) = (Server::new(Behaviour { token: Some("secret"), ..plain() }), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let error = fetch(&hub).unwrap_err();
    assert!(
        matches!(error, HubError::Refused { status: 401, .. }) && error.to_string().contains("HF_TOKEN"),
        "{error}"
    );
    assert!(fetch(&Hub { token: Some("secret".into()), ..hub }).is_ok());
}

#[test]
fn two_at_once_fetch_it_once() {
    let (server, cache) = (Server::new(plain()), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let both = [0, 1].map(|_| {
        let hub = hub.clone();
        thread::spawn(move || fetch(&hub).unwrap())
    });
    for path in both.map(|thread| thread.join().unwrap()) {
        assert_eq!(std::fs::read(path).unwrap(), weights());
    }
    assert_eq!(server.bodies().len(), 1);
}

#[test]
fn an_interrupted_download_is_kept() {
    let (server, cache) = (Server::new(plain()), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let stop = hub.encoder(REPO, &mut |file, done, _| file == "config.json" || done < 100_000);
    assert!(matches!(stop, Err(HubError::Interrupted)));
    assert_eq!(std::fs::read(fetch(&hub).unwrap()).unwrap(), weights());
    assert!(server.bodies()[1].contains("bytes="), "{:?}", server.bodies());
}

#[test]
fn a_small_file_is_checked_as_git_does() {
    for (etag, expected) in [(GIT, true), ("0123456789abcdef0123456789abcdef01234567", false)] {
        let behaviour = Behaviour { small: Some(etag), ..plain() };
        let (server, cache) = (Server::new(behaviour), tempfile::tempdir().unwrap());
        match fetch(&server.hub(cache.path())) {
            Ok(path) => assert!(expected && std::fs::read(path.with_file_name("config.json")).unwrap() == CONFIG),
            Err(error) => {
                assert!(!expected && matches!(&error, HubError::Checksum { found, .. } if found == GIT), "{error}");
                assert!(files(cache.path()).is_empty(), "{:?}", files(cache.path()));
            }
        }
    }
}

#[test]
fn a_download_that_stalls_or_drips_ends() {
    for (drips, word) in
        [((1000, Duration::from_secs(3600)), "timeout"), ((100, Duration::from_millis(20)), "fewer than")]
    {
        let (server, cache) = (Server::new(Behaviour { drips: Some(drips), ..plain() }), tempfile::tempdir().unwrap());
        let (hub, start) = (server.hub(cache.path()), Instant::now());
        let error = fetch(&Hub { timeout: Duration::from_millis(200), ..hub.clone() }).unwrap_err();
        assert!(matches!(error, HubError::Cut { size: 800_000, .. }) && error.to_string().contains(word), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let kept = files(cache.path());
        assert!(kept.iter().any(|(name, length)| name.ends_with(".incomplete") && *length > 1000), "{kept:?}");
    }
}

fn network(hub: &Hub, name: &str) -> Result<std::path::PathBuf, HubError> {
    hub.network(name, &mut |_, _, _| true)
}

/// A model with several networks, one of them in a subfolder.
fn several() -> Behaviour {
    let named = |name, seed: u8| (name, vec![seed; 1000]);
    Behaviour { weights: vec![named("x2.pth", 2), named("nets/x4.pth", 4)], ..Behaviour::default() }
}

#[test]
fn a_network_is_its_model_s_only_weights_or_those_that_are_named() {
    for renamed in [false, true] {
        let only = Behaviour { weights: vec![("IMDN_x4.pth", weights())], renamed, ..Behaviour::default() };
        let (server, cache) = (Server::new(only), tempfile::tempdir().unwrap());
        let hub = server.hub(cache.path());
        let path = network(&hub, REPO).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), weights());
        assert!(path.ends_with("IMDN_x4.pth"));
        let offline = Hub { offline: true, ..hub };
        assert_eq!(network(&offline, REPO).unwrap(), path, "what is in the cache is not asked for");
        assert_eq!(network(&offline, "someone/clip:IMDN_x4.pth").unwrap(), path);
        assert_eq!(offline.cached(), [("someone/clip:IMDN_x4.pth".to_owned(), path)]);
    }
    let (server, cache) = (Server::new(several()), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let error = network(&hub, REPO).unwrap_err().to_string();
    assert!(error.contains("x2.pth, nets/x4.pth") && error.contains("someone/clip:FILE"), "{error}");
    let path = network(&hub, "someone/clip:nets/x4.pth").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [4; 1000]);
    let offline = Hub { offline: true, ..hub };
    assert_eq!(network(&offline, "someone/clip:nets/x4.pth").unwrap(), path);
    let error = network(&offline, "someone/clip:x2.pth").unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }) && error.to_string().contains("path of the file"), "{error}");
}

#[test]
fn a_network_that_is_cut_goes_on_and_one_that_is_wrong_is_refused() {
    let cut = Behaviour { weights: vec![("a.pth", weights())], cuts: vec![300_000, 0], ..Behaviour::default() };
    let (server, cache) = (Server::new(cut.clone()), tempfile::tempdir().unwrap());
    assert_eq!(std::fs::read(network(&server.hub(cache.path()), REPO).unwrap()).unwrap(), weights());
    assert_eq!(server.bodies().last().unwrap(), "GET /store/a.pth bytes=300000-");
    let wrong = Behaviour { etag: Some("ab".repeat(32)), cuts: Vec::new(), ..cut };
    let (server, cache) = (Server::new(wrong), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    assert!(matches!(network(&hub, REPO), Err(HubError::Checksum { .. })) && hub.cached().is_empty());
}

#[test]
fn networks_that_are_not_there() {
    let (server, cache) = (Server::new(several()), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    for name in
        ["someone/clip:x8.pth", "someone/clip:../x2.pth", "someone/clip:/x2.pth", "someone/clip:", "clip", "a/b/c"]
    {
        let error = network(&hub, name).unwrap_err();
        let expected = matches!(error, HubError::NotFound { .. } | HubError::Answer { .. });
        assert!(expected && files(cache.path()).is_empty(), "{name}: {error}");
    }
    let none = Server::new(Behaviour::default());
    let error = network(&none.hub(cache.path()), REPO).unwrap_err();
    assert!(matches!(error, HubError::NotFound { .. }) && error.to_string().contains(".pth"), "{error}");
    let wants = Server::new(Behaviour { token: Some("secret"), ..several() });
    assert!(matches!(network(&wants.hub(cache.path()), REPO), Err(HubError::Refused { status: 401, .. })));
}
