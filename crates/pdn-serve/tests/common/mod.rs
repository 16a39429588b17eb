//! A server in this process, and a client for it.
#![allow(dead_code, reason = "each test file uses its part")]

use pdn::zoo::{Clip, PictureTower, Reading, TextTower, Transformer};
use pdn::{Encoder, EncoderFile, FAULTS_ID, Format, Model, Picture, Tensor, WriteOptions, hashed, zoo};
use pdn_serve::{Offered, Server, Settings, Stopper};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// A server, stopped when it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    agent: ureq::Agent,
    pub(crate) token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Parts of a form: name and content.
pub(crate) type Parts<'a> = &'a [(&'a str, &'a [u8])];

/// Returns a network with hashed weights.
pub(crate) fn network(architecture: &str, config: &Value) -> Offered {
    let network = zoo::build(architecture, config).unwrap();
    let weights = hashed::weights(&network);
    Offered::Network(Box::new(Model { network, weights, card: pdn::Card::default(), source: None }))
}

/// Returns a small network that takes prompts and needs milliseconds for a small picture.
pub(crate) fn quick() -> Offered {
    let dcm = json!({"dim": 256, "kernels": 2});
    network("pdn", &json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm}))
}

/// Returns a small network that is steered by faults, too, for an encoder.
pub(crate) fn hearing(encoder: &Encoder) -> Offered {
    let dcm = json!({"dim": pdn::composed_dim(encoder.dim()), "kernels": 2});
    let config = json!({"scale": 2, "features": 8, "groups": 1, "blocks": 1, "modules": 1, "dcm": dcm});
    let Offered::Network(mut model) = network("pdn", &config) else { unreachable!() };
    model.card.more.insert("encoder".into(), json!(format!("{}{FAULTS_ID}", encoder.id())));
    Offered::Network(model)
}

/// Returns a small encoder with hashed weights that hears and sees faults: not what is there, but always the same.
pub(crate) fn seeing() -> Encoder {
    encoder(true)
}

/// Returns the same encoder without the towers of faults.
pub(crate) fn unseeing() -> Encoder {
    encoder(false)
}

fn encoder(sees: bool) -> Encoder {
    let blocks = Transformer { width: 16, heads: 2, layers: 1, quick_gelu: false };
    let clip = |dim| Clip {
        dim,
        text: TextTower { vocabulary: 514, context: 77, blocks: blocks.clone(), reading: Reading::End },
        picture: PictureTower::Convolutions { side: 32, stages: vec![(8, 1)] },
    };
    let (content, faults) = (clip(24), clip(pdn::KnownFaults::LEN));
    let mut tensors = BTreeMap::new();
    for (clip, prefix) in [(&content, ""), (&faults, "faults.")].into_iter().take(1 + usize::from(sees)) {
        for network in [clip.text_network().unwrap(), clip.picture_network().unwrap()] {
            tensors.extend(network.params.iter().map(|param| {
                let numbers = hashed::numbers(&param.name, param.len(), 0.4);
                (format!("{prefix}{}", param.name), Tensor::new(param.shape.clone(), numbers))
            }));
        }
    }
    let card = pdn::Card { name: "seeing".into(), ..Default::default() };
    let (mean, deviation, framing) = ([0.5; 3], [0.25; 3], Default::default());
    let file = EncoderFile { clip: content, mean, deviation, framing, faults: sees.then_some(faults), card, tensors };
    Encoder::new(Path::new("seeing"), file).unwrap()
}

/// Returns the models for tests: a small one, a slow one, one that needs the whole picture in memory, and bicubic.
pub(crate) fn models() -> Vec<(String, Offered)> {
    let edsr = json!({"scale": 2, "features": 64, "blocks": 16, "residual_scale": 1.0});
    let imdn = json!({"scale": 2, "features": 64, "blocks": 6});
    vec![
        ("quick".into(), quick()),
        ("slow".into(), network("edsr", &edsr)),
        ("whole".into(), network("imdn", &imdn)),
        ("bicubic".into(), Offered::Bicubic(4)),
    ]
}

/// Returns a picture of this size, as PNG.
pub(crate) fn png(width: usize, height: usize) -> Vec<u8> {
    pdn::encode(&picture(width, height), Format::Png, &WriteOptions::default()).unwrap()
}

pub(crate) fn picture(width: usize, height: usize) -> Picture {
    Picture::from_rgb(width, height, (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect())
}

/// Decodes the picture in an answer.
pub(crate) fn decoded(bytes: &[u8]) -> Picture {
    pdn::read_bytes(bytes, &pdn::Limits::default()).unwrap()
}

impl Served {
    pub(crate) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(models(), change)
    }

    pub(crate) fn with(models: Vec<(String, Offered)>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::by(pdn::bundled_encoder().unwrap(), models, change)
    }

    /// Starts a server with models that are steered by faults, and one that is not.
    pub(crate) fn with_faults(encoder: Encoder, change: impl FnOnce(&mut Settings)) -> Self {
        let models = vec![("hearing".into(), hearing(&encoder)), ("bicubic".into(), Offered::Bicubic(4))];
        Self::by(encoder, models, change)
    }

    fn by(encoder: Encoder, models: Vec<(String, Offered)>, change: impl FnOnce(&mut Settings)) -> Self {
        let (address, shutdown) = (([127, 0, 0, 1], 0).into(), Duration::ZERO);
        let mut settings = Settings { address, shutdown, ..Settings::default() };
        change(&mut settings);
        let token = settings.token.clone();
        let server = Server::bind(settings, models, encoder).unwrap();
        let (address, stopper) = (server.address(), server.stopper());
        let thread = std::thread::spawn(|| server.run().unwrap());
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
        Self { address, stopper, thread: Some(thread), agent: config.build().into(), token }
    }

    /// Waits until the server has stopped by itself.
    pub(crate) fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = self.agent.run(request.body(body).unwrap()).unwrap();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Vec::new())
    }

    pub(crate) fn json(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().into_bytes())
    }

    pub(crate) fn form(&self, path: &str, parts: Parts) -> Answer {
        self.send("POST", path, &[("content-type", FORM)], form(parts))
    }

    /// Submits a job, and waits until it has ended.
    #[track_caller]
    pub(crate) fn job(&self, parts: Parts) -> Value {
        let job = self.form("/v1/jobs", parts).ok(202).value();
        self.ended(job["id"].as_str().unwrap())
    }

    /// Returns a job when it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> Value {
        self.wait(|| {
            let job = self.get(&format!("/v1/jobs/{id}")).ok(200).value();
            (!["queued", "running"].contains(&job["state"].as_str().unwrap())).then_some(job)
        })
    }

    /// Asks repeatedly until there is an answer.
    #[track_caller]
    pub(crate) fn wait<T>(&self, ask: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(found) = ask() {
                return found;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("it did not come to that within a minute");
    }

    /// Returns a metric.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").ok(200).body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse().unwrap())
    }

    /// Sends raw bytes, and reads until the connection is closed or the read times out.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // Longer than the server takes to discard the rest of a body.
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok());
        }
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that the answer is a problem of this type, whose detail contains a word.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, name: &str, word: &str) {
        let value = self.value();
        assert_eq!(self.status, status, "{value}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(value["type"], format!("urn:pdn:problem:{name}"), "{value}");
        assert_eq!(value["status"], status);
        assert!(value["detail"].as_str().unwrap().contains(word), "{value} should say `{word}`");
    }
}

pub(crate) const FORM: &str = "multipart/form-data; boundary=parts";

pub(crate) fn form(parts: Parts) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        // A file name that no server should write to.
        let head =
            format!("--parts\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"../../evil.png\"\r\n\r\n");
        body.extend(head.bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--parts--\r\n");
    body
}

/// Returns a PNG whose header states a size, but which holds no pixels.
pub(crate) fn bomb(width: u32, height: u32) -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let named = [name, data].concat();
        let crc = named.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
        });
        [&(data.len() as u32).to_be_bytes()[..], &named, &(!crc).to_be_bytes()].concat()
    };
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    // An empty zlib stream.
    let nothing = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head), chunk(b"IDAT", &nothing), chunk(b"IEND", &[])].concat()
}
