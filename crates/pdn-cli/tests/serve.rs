//! Runs `pdn serve`: what it refuses, how it stops, and the commands in its documentation.
#![cfg(feature = "serve")]

use assert_cmd::cargo::CommandCargoExt;
use pdn::Picture;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The serving command, stopped when it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pdn(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("pdn").unwrap();
    command.arg("serve").args(arguments).env_remove("PDN_TOKEN").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the server, and returns the line that says where it listens.
fn serving(arguments: &[&str]) -> (Serving, String) {
    let mut child = pdn(arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Serving(child), line.trim().to_owned())
}

fn fails(arguments: &[&str], code: i32, words: &[&str]) {
    let output = pdn(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(code), 1), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} should say `{word}`: {said}");
    }
}

#[test]
fn what_cannot_be_served_is_said() {
    fails(&["--host", "0.0.0.0"], 2, &["--token", "127.0.0.1"]);
    fails(&["--token", "short"], 2, &["16"]);
    fails(&["--model", "nothing"], 1, &["nothing", "pdn-photo-x4"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails(&["--port", &port], 1, &[&port, "listen"]);
}

/// Returns the documentation's `curl` commands, unchanged.
fn commands(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("curl ")).collect()
}

#[test]
fn the_documentation_s_commands_work_and_a_signal_ends_it() {
    if Command::new("curl").arg("--version").output().is_err() {
        return pdn_testing::skip("curl", "no curl");
    }
    let desk = TempDir::new().unwrap();
    let photo = Picture::from_rgb(20, 16, (0..960).map(|i| (i * 7 % 251) as u8).collect());
    pdn::write(&desk.path().join("photo.png"), &photo, &Default::default()).unwrap();
    let (mut served, url) = serving(&["--port", "0", "--log-format", "json"]);
    let script = commands(&pdn_testing::root().join("docs/serve.md")).replace("http://127.0.0.1:8750", &url);
    assert!(script.matches("curl ").count() >= 8, "{script}");
    let run = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(&desk).output().unwrap();
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(run.status.success(), "{said:?}");
    assert!(said[0].contains("event: done") && said[0].contains("\"low\""), "{}", said[0]);
    for name in ["photo_x4.png", "photo_x4.webp", "cat_x4.png", "parts_x4.png"] {
        let large = pdn::read(&desk.path().join(name), &Default::default()).unwrap();
        assert_eq!((large.width(), large.height()), (80, 64), "{name}");
    }
    interrupt(&served.0);
    let status = served.0.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut log = String::new();
    served.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    assert!(log.contains("\"stopping\"") && log.contains("/v1/upscale"), "{log}");
    assert!(!log.contains("dog"), "prompts are not logged");
}

#[test]
fn a_stop_waits_for_a_job_for_longer_than_other_commands_do() {
    if Command::new("curl").arg("--version").output().is_err() {
        return pdn_testing::skip("curl", "no curl");
    }
    let desk = TempDir::new().unwrap();
    let side = 400;
    let photo = Picture::from_rgb(side, side, (0..3 * side * side).map(|i| (i * 7 % 251) as u8).collect());
    pdn::write(&desk.path().join("photo.png"), &photo, &Default::default()).unwrap();
    let (mut served, url) = serving(&["--port", "0", "--threads", "1", "--isa", "portable", "--log-format", "none"]);
    let url = format!("{url}/v1/upscale");
    let mut asked = Command::new("curl")
        .args(["-sSf", "-F", "picture=@photo.png", url.as_str(), "-o", "large.png"])
        .current_dir(&desk)
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(asked.try_wait().unwrap().is_none(), "too fast to be stopped");
    interrupt(&served.0);
    let begun = std::time::Instant::now();
    assert!(asked.wait().unwrap().success(), "after {:?}", begun.elapsed());
    println!("the job took {:?} more", begun.elapsed());
    assert_eq!(served.0.wait().unwrap().code(), Some(0));
    assert!(desk.path().join("large.png").exists());
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}
