//! Tests the accounting of memory: what is held for clients is counted, bounded, and given back.

mod common;

use common::{FORM, Parts, Served, bomb, form, png};
use pdn::{AnyPicture, Format, Picture, WriteOptions};
use pdn_serve::{ServeError, Server, Settings};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Sets as little memory as small pictures need.
fn little(settings: &mut Settings) {
    (settings.upload, settings.pixels, settings.request_memory) = (MIB, 200_000, 24 * MIB);
}

/// Waits until nothing is held for clients.
#[track_caller]
fn is_given_back(served: &Served) {
    served.wait(|| (served.metric("pdn_held_bytes") == 0.0).then_some(()));
    let (most, limit) = (served.metric("pdn_held_most_bytes"), served.metric("pdn_held_limit_bytes"));
    assert!(most > 0.0 && most <= limit, "{most} of {limit}");
}

#[test]
fn whatever_comes_of_a_request_its_memory_is_given_back() {
    let served = Served::new(little);
    let picture = png(20, 16);
    served.form("/v1/upscale", &[("picture", &picture), ("prompt", b"a brown dog")]).ok(200);
    served.form("/v1/upscale", &[("picture", &picture), ("prompt_picture", &picture)]).ok(200);
    for format in ["jpeg", "webp", "tiff"] {
        served.form("/v1/upscale", &[("picture", &picture), ("format", format.as_bytes())]).ok(200);
    }
    let refused: [(Parts, u16); 6] = [
        (&[("picture", b"no picture")], 415),
        (&[("picture", &bomb(9000, 9000))], 413),
        (&[("picture", &bomb(30, 30))], 422),
        (&[("picture", &picture), ("prompt", b"")], 422),
        (&[("picture", &picture), ("model", &[b'm'; 5000])], 422),
        (&[("picture", &vec![0; 2 * MIB])], 413),
    ];
    for (parts, status) in refused {
        served.form("/v1/upscale", parts).ok(status);
        served.form("/v1/jobs", parts).ok(status);
    }
    is_given_back(&served);
    let job = served.job(&[("picture", &picture), ("prompt", b"a brown dog"), ("prompt_picture", &picture)]);
    let link = |part: &str| job["links"][part].as_str().unwrap().to_owned();
    served.get(&link("masks")).ok(200);
    served.get(&format!("{}?format=tiff", link("result"))).ok(200);
    served.get(&format!("/v1/pictures/{}", job["picture"]["id"].as_str().unwrap())).ok(200);
    assert!(served.metric("pdn_held_bytes") >= served.metric("pdn_kept_bytes"));
    assert!(served.metric("pdn_kept_bytes") > 20.0 * 16.0 * 3.0 * 2.0);
    served.delete(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).ok(204);
    served.delete(&format!("/v1/pictures/{}", job["picture"]["id"].as_str().unwrap())).ok(204);
    is_given_back(&served);
}

#[test]
fn what_a_file_says_of_its_picture_counts() {
    let served = Served::new(little);
    let mut picture = Picture::from_rgb(8, 8, vec![9; 192]);
    // A large entry: a maker note.
    let note = 200_000_u32;
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x7c\x92\x07\0".to_vec();
    exif.extend([&note.to_le_bytes()[..], &26_u32.to_le_bytes(), &[0; 4], &vec![1; note as usize]].concat());
    picture.exif = Some(exif);
    let file = pdn::encode(&picture, Format::Png, &WriteOptions::default()).unwrap();
    served.form("/v1/pictures", &[("picture", &file)]).ok(201);
    assert!(served.metric("pdn_kept_bytes") > f64::from(note));
}

#[test]
fn what_is_kept_makes_room_for_what_comes() {
    let served = Served::new(little);
    // Each takes a megabyte of memory, and more while it is decoded.
    for _ in 0..30 {
        served.form("/v1/pictures", &[("picture", &png(600, 300))]).ok(201);
    }
    let kept = served.metric("pdn_kept");
    assert!((2.0..30.0).contains(&kept), "{kept}");
    served.form("/v1/upscale", &[("picture", &png(600, 300)), ("model", b"bicubic"), ("scale", b"1.5")]).ok(200);
    assert!(served.metric("pdn_held_most_bytes") <= (24 * MIB) as f64);
}

#[test]
fn an_answer_counts_until_it_is_taken() {
    let served = Served::new(|settings| (settings.pixels, settings.request_memory) = (1_000_000, 512 * MIB));
    let rgb: Vec<u8> = (0..700 * 700 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let noise = AnyPicture::from(Picture::from_rgb(700, 700, rgb));
    let file = pdn::encode_any(&noise, Format::Png, &WriteOptions::default()).unwrap();
    let body = form(&[("picture", &file), ("model", b"bicubic"), ("format", b"tiff")]);
    // A client that reads the answer gets all of it.
    let answer = served.send("POST", "/v1/upscale", &[("content-type", FORM)], body.clone()).ok(200);
    let result = answer.body.len();
    assert!(answer.header("content-length") == result.to_string() && common::decoded(&answer.body).width() == 2800);
    is_given_back(&served);
    // A client with a small buffer that reads nothing; the system buffers about four megabytes.
    let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stream.set_recv_buffer_size(64 << 10).unwrap();
    stream.connect(&served.address.into()).unwrap();
    let mut stream = TcpStream::from(stream);
    let length = body.len();
    let head = format!(
        "POST /v1/upscale HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    std::thread::sleep(Duration::from_millis(300));
    let held = served.metric("pdn_held_bytes");
    assert!(result > 6_000_000 && held >= result as f64, "{held} of {result} bytes: it was not taken yet");
    drop(stream);
    is_given_back(&served);
}

#[test]
fn what_can_never_be_held_is_said_at_once() {
    let bind = |change: fn(&mut Settings)| {
        let mut settings = Settings { address: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
        change(&mut settings);
        Server::bind(settings, common::models(), pdn::bundled_encoder().unwrap())
    };
    for change in [
        (|settings| settings.request_memory = 300 * MIB) as fn(&mut Settings),
        |settings| settings.pixels = 1_000_000_000,
        |settings| settings.upload = 2048 * MIB,
    ] {
        let Err(error @ ServeError::Memory { .. }) = bind(change) else { panic!("expected it to be refused") };
        assert!(error.to_string().contains("--request-memory"), "{error}");
    }
    // A result that does not fit fails its own job and no other.
    let served = Served::new(little);
    let parts: Parts = &[("picture", &png(600, 300)), ("model", b"bicubic"), ("width", b"6000"), ("format", b"webp")];
    served.form("/v1/upscale", parts).problem(413, "much-memory", "all requests together");
    served.form("/v1/upscale", &[("picture", &png(20, 16))]).ok(200);
    is_given_back(&served);
}

#[test]
fn what_is_small_when_sent_stays_small() {
    let served = Served::new(little);
    let empty = format!("[{}{{}}]", "{},".repeat(200_000));
    let body = format!(r#"{{"picture": {{"data": ""}}, "prompts": {empty}}}"#);
    let send = |body: String| served.send("POST", "/v1/upscale", &[("content-type", "application/json")], body.into());
    send(body).problem(422, "option", "at most 1000");
    let name = "m".repeat(500_000);
    let answer = send(json!({"picture": {"data": ""}, "model": name}).to_string());
    answer.problem(422, "option", "no model");
    assert!(answer.body.len() < 4000, "what was sent is not sent back whole");
    let answer = send(json!({"picture": {"data": ""}, "quality": name}).to_string());
    answer.problem(422, "option", "…");
    served.form("/v1/upscale", &[("picture", b""), ("weights", name.as_bytes())]).problem(422, "option", "65536");
    is_given_back(&served);
}

#[test]
fn long_words_hold_nobody_up() {
    let served = Served::new(|_| {});
    let texts: Vec<_> = (0..16).map(|_| json!({"text": "a ".repeat(8000)})).collect();
    let asked = json!({"picture": {"data": ""}, "prompts": texts});
    served.json("/v1/upscale", &asked).problem(422, "long-prompt", "tokens");
    is_given_back(&served);
}
