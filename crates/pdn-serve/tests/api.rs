//! Tests the API as a client uses it.

mod common;

use common::{Answer, FORM, Served, bomb, decoded, form, picture, png, quick};
use pdn::{AnyPicture, Depth, Options, Picture, Prompt, Session, Target, Upscaler};
use pdn_serve::{Offered, ServeError, Server, Settings};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starts a job that takes many seconds.
fn long(served: &Served) -> Value {
    served.form("/v1/jobs", &[("picture", &png(900, 700)), ("model", b"slow")]).ok(202).value()
}

/// Returns the library's session, with its prompt set.
fn session(picture: &Picture, prompt: &Prompt) -> Session {
    let Offered::Network(model) = quick() else { unreachable!() };
    let mut session = Upscaler::new(&model).unwrap().session();
    session.set_prompt(prompt, &pdn::bundled_encoder().unwrap(), picture).unwrap();
    session
}

/// Returns the library's result.
fn expected(picture: &Picture, prompt: &Prompt) -> Picture {
    session(picture, prompt).upscale(picture, &Options::default(), &mut |_| true).unwrap()
}

fn path(job: &Value, part: &str) -> String {
    job["links"][part].as_str().unwrap().to_owned()
}

#[test]
fn one_request_gives_the_library_s_pixels_and_leaves_nothing() {
    let served = Served::new(|_| {});
    let text = Prompt::Text("a brown dog".into());
    let file = png(20, 16);
    let by_form = served.form("/v1/upscale", &[("picture", &file), ("prompt", b"a brown dog")]).ok(200);
    assert_eq!(decoded(&by_form.body).rgb(), expected(&picture(20, 16), &text).rgb());
    assert_eq!(by_form.header("content-type"), "image/png");
    assert!(by_form.header("server-timing").contains("prompt;dur="), "{by_form:?}");
    let data = base64(&file);
    let asked = json!({"picture": {"data": data}, "prompts": [{"text": "a brown dog"}]});
    assert_eq!(served.json("/v1/upscale", &asked).ok(200).body, by_form.body);
    let bare = served.json("/v1/upscale", &json!({"picture": {"data": data}})).ok(200);
    assert_eq!(decoded(&bare.body).rgb(), expected(&picture(20, 16), &Prompt::None).rgb());
    let other = Prompt::from(picture(9, 9));
    let like = served.form("/v1/upscale", &[("picture", &file), ("prompt_picture", &png(9, 9))]).ok(200);
    assert_eq!(decoded(&like.body).rgb(), expected(&picture(20, 16), &other).rgb());
    let mix = Prompt::Mix(vec![(0.75, text), (-0.5, other)]);
    let parts: common::Parts =
        &[("picture", &file), ("prompt", b"a brown dog"), ("prompt_picture", &png(9, 9)), ("weights", b"0.75,-0.5")];
    assert_eq!(decoded(&served.form("/v1/upscale", parts).ok(200).body).rgb(), expected(&picture(20, 16), &mix).rgb());
    assert_eq!(served.metric("pdn_kept"), 0.0);
    assert_eq!(served.metric("pdn_jobs_total{outcome=\"done\"}"), 5.0);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn every_format_is_answered() {
    let served = Served::new(|_| {});
    for (format, media, begin) in [
        ("png", "image/png", &b"\x89PNG"[..]),
        ("jpeg", "image/jpeg", b"\xff\xd8"),
        ("webp", "image/webp", b"RIFF"),
        ("tiff", "image/tiff", b"II"),
    ] {
        let parts: common::Parts = &[("picture", &png(20, 16)), ("format", format.as_bytes()), ("model", b"bicubic")];
        let answer = served.form("/v1/upscale", parts).ok(200);
        assert!(answer.body.starts_with(begin) && answer.header("content-type") == media, "{format}");
        assert_eq!((decoded(&answer.body).width(), decoded(&answer.body).height()), (80, 64));
    }
}

#[test]
fn sixteen_bits_stay_sixteen_where_the_format_has_them() {
    let served = Served::new(|_| {});
    let deep = Picture::new(20, 16, (0..20 * 16 * 3).map(|i| (i * 2749 % 65_521) as u16).collect());
    let file = pdn::encode(&deep, pdn::Format::Png, &Default::default()).unwrap();
    let eight = AnyPicture::from(deep.clone()).into_eight();
    let target = Target { depth: Some(Depth::Sixteen), ..Target::default() };
    let large =
        session(&eight, &Prompt::None).upscale_to(&deep.clone().into(), &target, &Options::default(), &mut |_| true);
    let AnyPicture::Sixteen(large) = large.unwrap() else { panic!("expected 16 bits") };
    let read = |bytes: &[u8]| pdn::read_any_bytes(bytes, &pdn::Limits::default()).unwrap();
    for (format, depth) in [("png", Depth::Sixteen), ("tiff", Depth::Sixteen), ("webp", Depth::Eight)] {
        let answer = served.form("/v1/upscale", &[("picture", &file), ("format", format.as_bytes())]).ok(200);
        let found = read(&answer.body);
        assert_eq!(found.header().depth, depth, "{format}");
        if let AnyPicture::Sixteen(found) = found {
            assert_eq!(found.rgb(), large.rgb(), "{format}");
        }
    }
    let job = served.job(&[("picture", &file)]);
    for (format, depth) in [("tiff", Depth::Sixteen), ("jpeg", Depth::Eight)] {
        let other = served.get(&format!("{}?format={format}", path(&job, "result"))).ok(200);
        assert_eq!(read(&other.body).header().depth, depth, "{format}");
    }
    let kept = served.get(&format!("/v1/pictures/{}", job["picture"]["id"].as_str().unwrap())).ok(200);
    assert_eq!(read(&kept.body), AnyPicture::from(deep));
    served.get(&path(&job, "masks")).ok(200);
}

#[test]
fn a_picture_is_kept_and_prompted_again() {
    let served = Served::new(|_| {});
    let first = served.job(&[("picture", &png(20, 16)), ("prompt", b"a brown dog")]);
    assert_eq!(first["state"], "done", "{first}");
    assert_eq!(first["prompt"], "\"a brown dog\"");
    assert_eq!(first["output"], json!({"width": 40, "height": 32}));
    assert_eq!(first["pixels"], json!({"done": 1280, "total": 1280}));
    assert!(first["seconds"]["prompt"].as_f64() <= first["seconds"]["running"].as_f64(), "{first}");
    let id = first["picture"]["id"].as_str().unwrap();
    let asked = json!({"picture": {"id": id}, "prompts": [{"text": "a wall of bricks"}]});
    let again = served.json("/v1/jobs", &asked).ok(202).value();
    let again = served.ended(again["id"].as_str().unwrap());
    assert_eq!(again["picture"], first["picture"]);
    let fetch = |job: &Value| served.get(&path(job, "result")).ok(200).body;
    for (job, words) in [(&first, "a brown dog"), (&again, "a wall of bricks")] {
        let expected = expected(&picture(20, 16), &Prompt::Text(words.into()));
        assert_eq!(decoded(&fetch(job)).rgb(), expected.rgb(), "{words}");
    }
    assert_ne!(fetch(&first), fetch(&again));
    let kept = served.get(&format!("/v1/pictures/{id}")).ok(200);
    assert_eq!(decoded(&kept.body).rgb(), picture(20, 16).rgb());
    let webp = served.get(&format!("{}?format=webp", path(&first, "result"))).ok(200);
    assert_eq!(webp.header("content-type"), "image/webp");
    assert_eq!(decoded(&webp.body).rgb(), decoded(&fetch(&first)).rgb());
    served.delete(&format!("/v1/pictures/{id}")).ok(204);
    served.json("/v1/jobs", &asked).problem(404, "not-found", "send it again");
    let at = format!("/v1/jobs/{}", first["id"].as_str().unwrap());
    served.delete(&at).ok(204);
    for path in [at.clone(), path(&first, "result"), path(&first, "events"), path(&first, "masks")] {
        served.get(&path).problem(404, "not-found", "expired");
    }
    served.delete(&at).problem(404, "not-found", "expired");
}

#[test]
fn a_kept_picture_can_be_a_prompt() {
    let served = Served::new(|_| {});
    let kept = served.form("/v1/pictures", &[("picture", &png(9, 9))]).ok(201);
    let view = kept.value();
    assert_eq!(kept.header("location"), format!("/v1/pictures/{}", view["id"].as_str().unwrap()));
    let prompts = json!([{"picture": {"id": view["id"]}}]);
    let answer =
        served.json("/v1/upscale", &json!({"picture": {"data": base64(&png(20, 16))}, "prompts": prompts})).ok(200);
    assert_eq!(decoded(&answer.body).rgb(), expected(&picture(20, 16), &picture(9, 9).into()).rgb());
}

#[test]
fn a_preference_for_later_gives_a_job() {
    let served = Served::new(|_| {});
    let body = form(&[("picture", &png(20, 16))]);
    let preferred = [("content-type", FORM), ("prefer", "wait=5, respond-async")];
    let answer = served.send("POST", "/v1/upscale", &preferred, body.clone()).ok(202);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(answer.header("location"), format!("/v1/jobs/{}", answer.value()["id"].as_str().unwrap()));
    let answer = served.send("POST", "/v1/upscale?async=true", &[("content-type", FORM)], body.clone()).ok(202);
    assert_eq!(served.ended(answer.value()["id"].as_str().unwrap())["state"], "done");
    served.send("POST", "/v1/upscale?async=perhaps", &[("content-type", FORM)], body).problem(422, "option", "");
}

#[test]
fn a_region_over_all_is_its_sentence() {
    let served = Served::new(|_| {});
    let file = png(20, 16);
    let region = served.form("/v1/upscale", &[("picture", &file), ("region", b"0,0,20,16=a brick wall")]).ok(200);
    let prompt = served.form("/v1/upscale", &[("picture", &file), ("prompt", b"a brick wall")]).ok(200);
    let half = served.form("/v1/upscale", &[("picture", &file), ("region", b"0,0,10,16=a brick wall")]).ok(200);
    assert_eq!(decoded(&region.body).rgb(), decoded(&prompt.body).rgb());
    assert_ne!(decoded(&half.body).rgb(), decoded(&prompt.body).rgb());
    for region in ["0,0,21,16=x", "20,0,1,1=x", "18446744073709551615,0,2,2=x"] {
        let answer = served.form("/v1/upscale", &[("picture", &file), ("region", region.as_bytes())]);
        answer.problem(422, "region", "20x16");
    }
}

#[test]
fn masks_are_those_of_the_prompt() {
    let served = Served::new(|_| {});
    let masks = |prompt: &str| {
        let job = served.job(&[("picture", &png(20, 16)), ("prompt", prompt.as_bytes())]);
        let masks = served.get(&path(&job, "masks")).ok(200).value();
        let [mask] = masks.as_array().unwrap().as_slice() else { panic!("{masks}") };
        assert!(mask["low"].as_f64() < mask["mean"].as_f64() && mask["mean"].as_f64() < mask["high"].as_f64());
        assert_eq!((&mask["width"], &mask["height"]), (&json!(20), &json!(16)));
        let picture = decoded(&served.get(mask["link"].as_str().unwrap()).ok(200).body);
        assert!(picture.grey && picture.rgb().contains(&0) && picture.rgb().contains(&255));
        served.get(&format!("{}/none", path(&job, "masks"))).problem(404, "not-found", "`none`");
        (mask["mean"].as_f64(), picture.rgb().to_vec())
    };
    assert_ne!(masks("a brown dog"), masks("a wall of bricks"));
    let job = served.job(&[("picture", &png(20, 16)), ("model", b"bicubic")]);
    assert_eq!(served.get(&path(&job, "masks")).ok(200).value(), json!([]));
    assert!(job["prompt"].is_null());
    let job = served.job(&[("picture", &png(20, 16)), ("region", b"0,0,9,9=a wall")]);
    served.get(&path(&job, "masks")).problem(422, "prompt", "without regions");
}

#[test]
fn events_tell_of_progress_and_of_the_end() {
    let served = Served::new(|_| {});
    let job = served.form("/v1/jobs", &[("picture", &png(300, 200)), ("model", b"slow")]).ok(202).value();
    let answer = served.get(&path(&job, "events")).ok(200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let text = String::from_utf8(answer.body).unwrap();
    let events: Vec<(&str, Value)> = text
        .split_terminator("\n\n")
        .filter(|block| !block.starts_with(':'))
        .map(|block| {
            let (name, data) = block.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            (name, serde_json::from_str(data).unwrap())
        })
        .collect();
    let done: Vec<f64> = events.iter().map(|(_, job)| job["progress"].as_f64().unwrap()).collect();
    assert!(done.is_sorted() && done.len() > 3 && done.last() == Some(&1.0), "{done:?}");
    let (last, before) = events.split_last().unwrap();
    assert!(last.0 == "done" && before.iter().all(|(name, _)| *name == "progress"), "{text}");
    assert!(before.iter().any(|(_, job)| job["seconds"]["left"].as_f64() > Some(0.0)));
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let served = Served::new(|settings| (settings.upload, settings.pixels) = (1 << 20, 10_000));
    let small = png(20, 16);
    let cut = &small[..small.len() / 2];
    let long = "dog ".repeat(100);
    let many: Vec<(&str, &[u8])> =
        std::iter::once(("picture", &small[..])).chain([("prompt", &b"x"[..]); 5000]).collect();
    for (parts, status, kind, word) in [
        (&[("picture", &b"no picture"[..])][..], 415, "media", "expected PNG"),
        (&[("picture", b"")], 422, "picture", "is empty"),
        (&[("picture", cut)], 422, "picture", "damaged"),
        (&[("picture", &png(101, 100))], 413, "many-pixels", "10000"),
        (&[("picture", &bomb(100_000, 100_000))], 413, "many-pixels", "100000x100000"),
        (&[("picture", &bomb(50, 50))], 422, "picture", "damaged"),
        (&[("picture", &vec![0; 2 << 20])], 413, "large-upload", "1048576 bytes"),
        (&[("picture", &small), ("prompt", b" ")], 422, "empty-prompt", "empty"),
        (&[("picture", &small), ("prompt", long.as_bytes())], 422, "long-prompt", "tokens"),
        (&[("picture", &small), ("prompt", &[b'i'; 100_000])], 422, "long-prompt", "100000 bytes"),
        (&[("picture", &small), ("prompt", b"x"), ("weights", b"nan")], 422, "prompt", "NaN"),
        (&[("picture", &small), ("prompt_picture", b"x")], 415, "media", "the prompt's picture"),
        (&[("picture", &small), ("model", b"bicubic"), ("prompt", b"x")], 422, "prompt", "takes no prompt"),
        (&[("picture", &small), ("model", b"../../etc")], 422, "option", "quick, slow"),
        (&[("picture", &small), ("quality", b"0")], 422, "option", "1 to 100"),
        (&[("picture", &small), ("picture", &small)], 422, "option", "more than one `picture`"),
        (&[("picture", &small), ("model", b"quick"), ("model", b"slow")], 422, "option", "more than one `model`"),
        (&[("picture_id", b"00000000-0000-0000-0000-000000000000")], 404, "not-found", "send it again"),
        (&many, 422, "prompt", "at most 16"),
    ] {
        for path in ["/v1/upscale", "/v1/jobs"] {
            served.form(path, parts).problem(status, kind, word);
        }
    }
    let cancelling =
        served.form("/v1/upscale", &[("picture", &small), ("prompt", b"x"), ("prompt", b"x"), ("weights", b"1,-1")]);
    cancelling.problem(422, "prompt", "cancel each other out");
    let deep = "[".repeat(100_000).into_bytes();
    for (media, body, status, kind, word) in [
        ("application/json", b"{".to_vec(), 400, "malformed", "JSON"),
        ("application/json", deep, 400, "malformed", "JSON"),
        ("application/json", b"{}".to_vec(), 422, "option", "picture"),
        ("application/json", b"[]".to_vec(), 422, "option", "an object with a `picture`"),
        ("application/json", br#"{"picture": {}}"#.to_vec(), 422, "option", "either `id` or `data`"),
        (
            "application/json",
            br#"{"picture": {"id": "a", "data": "b"}}"#.to_vec(),
            422,
            "option",
            "either `id` or `data`",
        ),
        (
            "application/json",
            br#"{"picture": {"id": "a"}, "feather": -1}"#.to_vec(),
            422,
            "option",
            "a whole number, 0 or more",
        ),
        ("application/xml", b"<x/>".to_vec(), 415, "media", "application/xml"),
        ("multipart/form-data", b"x".to_vec(), 400, "malformed", "boundary"),
        (FORM, b"--parts\r\ncontent-dis".to_vec(), 400, "malformed", "form"),
    ] {
        served.send("POST", "/v1/upscale", &[("content-type", media)], body).problem(status, kind, word);
    }
    let opaque = Picture::from_rgb(8, 8, vec![9; 192]).with_alpha(Some(vec![7; 64]));
    let opaque = pdn::encode(&opaque, pdn::Format::Png, &Default::default()).unwrap();
    served.form("/v1/upscale", &[("picture", &opaque), ("format", b"jpeg")]).problem(422, "option", "transparency");
    assert_eq!(served.metric("pdn_kept"), 0.0, "nothing of it is kept");
}

#[test]
fn a_body_without_a_length_is_bounded_as_well() {
    let served = Served::new(|settings| settings.upload = 100_000);
    let mut stream = served.connect();
    write!(
        stream,
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let piece = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..20 {
        if stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn too_much_memory_is_refused_before_the_work() {
    let served = Served::new(|settings| settings.memory = 1 << 20);
    let answer = served.form("/v1/upscale", &[("picture", &png(200, 200)), ("model", b"whole")]);
    answer.problem(413, "much-memory", "MiB");
    let served = Served::new(|settings| settings.keep_memory = 10_000);
    let answer = served.form("/v1/upscale", &[("picture", &png(200, 200)), ("format", b"tiff")]);
    answer.problem(413, "large-result", "10000 bytes");
}

#[test]
fn sizes_are_as_they_are_asked_for() {
    let served = Served::new(|_| {});
    let file = png(30, 20);
    for (asked, size, word) in [
        (&[][..], (60, 40), "x2"),
        (&[("scale", &b"2.5"[..])], (75, 50), "x2.5"),
        (&[("scale", b"4")], (120, 80), "x4"),
        (&[("width", b"100")], (100, 67), "100x67"),
        (&[("height", b"50")], (75, 50), "75x50"),
        (&[("width", b"90"), ("height", b"40")], (60, 40), "60x40"),
        (&[("width", b"90"), ("height", b"40"), ("exact", b"true")], (90, 40), "90x40"),
        (&[("megapixels", b"0.0096")], (120, 80), "120x80"),
        (&[("scale", b"0.5")], (15, 10), "x0.5"),
    ] {
        // Bicubic has another scale of its own.
        for model in ["quick", "bicubic"].into_iter().take(1 + asked.len()) {
            let parts = [&[("picture", &file[..]), ("model", model.as_bytes())][..], asked].concat();
            let job = served.job(&parts);
            assert_eq!(job["output"], json!({"width": size.0, "height": size.1}), "{asked:?}");
            let answer = served.get(&path(&job, "result")).ok(200);
            assert_eq!(answer.header("content-disposition"), format!("inline; filename=\"enlarged_{word}.png\""));
            let large = decoded(&answer.body);
            assert_eq!((large.width(), large.height()), size, "{asked:?}");
        }
    }
    let data = base64(&file);
    let asked = json!({"picture": {"data": data}, "width": 90, "height": 40, "exact": true});
    assert_eq!(decoded(&served.json("/v1/upscale", &asked).ok(200).body).width(), 90);
    let masked = served.job(&[("picture", &file), ("scale", b"3")]);
    assert_eq!(served.get(&path(&masked, "masks")).ok(200).value()[0]["width"], 30);
}

#[test]
fn sizes_that_cannot_be_are_said() {
    let served = Served::new(|_| {});
    let file = png(30, 20);
    for (asked, status, kind, word) in [
        (&[("scale", &b"2"[..]), ("width", b"9")][..], 422, "option", "one of them"),
        (&[("exact", b"true"), ("width", b"9")], 422, "option", "both a width and a height"),
        (&[("scale", b"0")], 422, "option", "above 0"),
        (&[("scale", b"-1")], 422, "option", "above 0"),
        (&[("scale", b"nan")], 422, "option", "above 0"),
        (&[("width", b"0")], 422, "option", "at least one pixel"),
        (&[("scale", b"1e9")], 413, "large-result", "1000000000"),
        (&[("megapixels", b"1e300")], 413, "large-result", "1000000000"),
        (&[("width", b"18446744073709551615")], 413, "large-result", "1000000000"),
        (&[("scale", b"2"), ("scale", b"3")], 422, "option", "more than one `scale`"),
    ] {
        served.form("/v1/jobs", &[&[("picture", &file[..])][..], asked].concat()).problem(status, kind, word);
    }
}

#[test]
fn problems_carry_their_numbers() {
    let served = Served::new(|settings| (settings.upload, settings.pixels) = (1 << 20, 10_000));
    let small = png(20, 16);
    let long = "dog ".repeat(100);
    for (parts, expected) in [
        (&[("picture", &png(101, 100)[..])][..], json!({"limit": 10_000, "found": 10_100, "unit": "pixels"})),
        (&[("picture", &small), ("prompt", long.as_bytes())], json!({"limit": 77, "found": 102, "unit": "tokens"})),
        (
            &[("picture", &small), ("prompt_picture", &png(101, 100))],
            json!({"limit": 10_000, "found": 10_100, "unit": "pixels", "part": "prompt_picture"}),
        ),
        (
            &[("picture", &small), ("prompt_picture", &png(90, 80)), ("prompt_picture", &png(90, 80))],
            json!({"limit": 10_000, "found": 14_400, "unit": "pixels", "part": "prompt_picture"}),
        ),
        (&[("picture", &small), ("prompt", b" ")], json!({})),
    ] {
        let found = served.form("/v1/jobs", parts).value();
        for member in ["limit", "found", "unit", "part"] {
            assert_eq!(found.get(member), expected.get(member), "{member} of {found}");
        }
        for words in ["--", "feature"] {
            assert!(!found["detail"].as_str().unwrap().contains(words), "{found} is of the command");
        }
    }
    let large = served.form("/v1/jobs", &[("picture", &vec![0; 2 << 20])]).value();
    assert_eq!((&large["limit"], &large["unit"]), (&json!(1 << 20), &json!("bytes")));
    assert!(large["found"].as_u64() > Some(2 << 20), "{large}");
}

#[test]
fn models_say_what_they_are_for() {
    let bundled = |name: &str| Offered::Network(Box::new(pdn::bundled_model(name).unwrap().unwrap()));
    let names = [pdn::DEFAULT_MODEL, "pdn-x2"];
    let mut models: Vec<_> = names.map(|name| (name.to_owned(), bundled(name))).into();
    models.push(("bicubic".into(), Offered::Bicubic(4)));
    let served = Served::with(models, |_| {});
    let offer = served.get("/v1/models").ok(200).value();
    let told = |of: &str| offer["models"].as_array().unwrap().iter().map(|model| model[of].clone()).collect::<Vec<_>>();
    assert_eq!(told("default"), [true, false, false]);
    assert_eq!(told("benchmark"), [false, true, false]);
    assert_eq!(told("scale"), [4, 2, 4]);
    assert!(told("description").iter().all(|description| !description.as_str().unwrap().is_empty()));
    let limits = &offer["limits"];
    assert!(limits["pixels"].as_u64() >= Some(12_000_000) && limits["result_bytes"].is_u64(), "{limits}");
}

#[test]
fn a_job_has_notes() {
    let served = Served::new(|_| {});
    let job = served.job(&[("picture", &png(20, 16))]);
    assert_eq!(job["notes"], json!([]));
    assert_eq!(job["prompt"], Value::Null, "none was given");
    let smaller = served.job(&[("picture", &png(20, 16)), ("scale", b"0.5")]);
    assert_eq!(
        smaller["notes"],
        json!(["The result is not larger than the picture, so it was resized without the network."])
    );
    // The packet in which this program records how a picture was made is XMP, which is not carried over.
    let made = served.form("/v1/upscale", &[("picture", &png(20, 16)), ("format", b"jpeg")]).ok(200).body;
    let job = served.job(&[("picture", &made)]);
    assert!(job["notes"].as_array().unwrap().contains(&json!("Its XMP is left out.")), "{job}");
}

#[test]
fn what_browsers_cannot_show_has_a_preview() {
    let served = Served::new(|_| {});
    let shown = served.job(&[("picture", &png(20, 16))]);
    assert_eq!(shown["preview"], Value::Null);
    served.get(&path(&shown, "preview")).problem(404, "not-found", "no preview");
    let wide: common::Parts =
        &[("picture", &png(20, 16)), ("model", b"bicubic"), ("width", b"20000"), ("height", b"16"), ("exact", b"true")];
    let job = served.job(wide);
    assert_eq!(job["preview"], json!({"width": 10_000, "height": 8}));
    let answer = served.get(&path(&job, "preview")).ok(200);
    assert_eq!(answer.header("content-type"), "image/jpeg");
    assert_eq!(decoded(&answer.body).width(), 10_000);
    assert_eq!(decoded(&served.get(&path(&job, "result")).ok(200).body).width(), 20_000);
    let long = long(&served);
    served.get(&path(&long, "preview")).problem(409, "not-done", "done");
}

#[test]
fn pictures_that_wait_are_bounded_together() {
    // Each picture takes 1.9 MB.
    let served = Served::new(|settings| settings.keep_memory = 5_000_000);
    let jobs: Vec<Value> = (0..3).map(|_| long(&served)).collect();
    let full = served.form("/v1/jobs", &[("picture", &png(900, 700)), ("model", b"slow")]);
    full.problem(429, "queue-full", "bytes are waiting");
    for job in jobs {
        served.delete(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).ok(204);
    }
}

#[test]
fn a_full_queue_refuses_and_has_room_again() {
    let served = Served::new(|settings| settings.queue = 2);
    let jobs = [long(&served), long(&served), long(&served)];
    let id = |job: &Value| format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    served.wait(|| (served.metric("pdn_jobs_running") == 1.0).then_some(()));
    let full = served.wait(|| {
        let answer = served.form("/v1/upscale", &[("picture", &png(20, 16))]);
        (answer.status == 429).then_some(answer)
    });
    full.problem(429, "queue-full", "2 jobs are waiting");
    assert_eq!(full.header("retry-after"), "2");
    assert_eq!(served.get(&id(&jobs[1])).value()["ahead"], 1);
    assert_eq!(served.get(&id(&jobs[2])).value()["ahead"], 2);
    for job in &jobs {
        served.delete(&id(job)).ok(204);
        let ended = served.ended(job["id"].as_str().unwrap());
        assert_eq!(ended["state"], "cancelled");
        served.get(&path(job, "result")).problem(409, "cancelled", "cancelled");
    }
    served.wait(|| (served.metric("pdn_jobs_total{outcome=\"cancelled\"}") == 3.0).then_some(()));
    served.form("/v1/upscale", &[("picture", &png(20, 16))]).ok(200);
}

#[test]
fn a_job_that_is_not_done_has_no_result_and_can_be_cancelled() {
    let served = Served::new(|_| {});
    let job = long(&served);
    served.get(&path(&job, "result")).problem(409, "not-done", "done");
    let id = job["id"].as_str().unwrap();
    served.wait(|| (served.get(&format!("/v1/jobs/{id}")).value()["progress"].as_f64() > Some(0.0)).then_some(()));
    let begun = Instant::now();
    served.delete(&format!("/v1/jobs/{id}")).ok(204);
    let ended = served.ended(id);
    assert!(ended["state"] == "cancelled" && ended["progress"].as_f64() < Some(1.0), "{ended}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(served.metric("pdn_jobs_total{outcome=\"cancelled\"}"), 1.0);
}

#[test]
fn a_job_may_take_so_long_and_no_longer() {
    let served = Served::new(|settings| settings.time = Duration::from_millis(300));
    let parts: common::Parts = &[("picture", &png(900, 700)), ("model", b"slow")];
    served.form("/v1/upscale", parts).problem(504, "too-slow", "the limit");
    let job = served.job(parts);
    assert_eq!((&job["state"], &job["problem"]["status"]), (&json!("failed"), &json!(504)));
    served.get(&path(&job, "result")).problem(504, "too-slow", "the limit");
    served.form("/v1/upscale", &[("picture", &png(20, 16))]).ok(200);
}

#[test]
fn a_client_that_goes_away_cancels_its_request() {
    let served = Served::new(|_| {});
    let body = form(&[("picture", &png(900, 700)), ("model", b"slow")]);
    let mut stream = served.connect();
    let length = body.len();
    write!(
        stream,
        "POST /v1/upscale HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    served.wait(|| (served.metric("pdn_jobs_running") == 1.0).then_some(()));
    drop(stream);
    served.wait(|| (served.metric("pdn_jobs_total{outcome=\"cancelled\"}") == 1.0).then_some(()));
}

#[test]
fn clients_that_keep_still_are_let_go() {
    let served = Served::new(|settings| settings.patience = Duration::from_millis(300));
    let begun = Instant::now();
    let answer = served.raw(
        format!("POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ncontent-length: 99\r\n\r\nxyz")
            .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("slow-upload"), "{answer}");
    for begin in ["GET / HTTP/1.1\r\nhost: local", ""] {
        let answer = served.raw(begin.as_bytes());
        assert!(!answer.contains("200"), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_millis(1900), "the connections were closed: {:?}", begun.elapsed());
}

#[test]
fn what_nobody_asks_for_expires() {
    let served = Served::new(|settings| settings.keep = Duration::from_millis(300));
    let job = served.job(&[("picture", &png(20, 16))]);
    sleep(Duration::from_millis(500));
    served.get(&path(&job, "result")).problem(404, "not-found", "expired");
    served.wait(|| (served.metric("pdn_kept") == 0.0).then_some(()));
    let served = Served::new(|settings| settings.keep_memory = 20_000);
    let jobs = [(); 12].map(|()| served.job(&[("picture", &png(20, 16))]));
    assert!(served.metric("pdn_kept_bytes") <= 20_000.0);
    served.get(&path(&jobs[0], "result")).problem(404, "not-found", "expired");
    served.get(&path(&jobs[11], "result")).ok(200);
}

#[test]
fn what_a_request_cannot_mean_is_a_problem() {
    let models = vec![("one.pth".to_owned(), quick()), ("one.pth".to_owned(), quick())];
    let twice = Server::bind(Settings::default(), models, pdn::bundled_encoder().unwrap());
    assert!(matches!(twice, Err(ServeError::Twice(name)) if name == "one.pth"));
    let served = Served::new(|_| {});
    for path in ["/v1/jobs/%ff", "/v1/jobs/%ff/events", "/v1/jobs/a/masks/%ff", "/v1/pictures/%ff"] {
        served.get(path).problem(400, "malformed", "UTF-8");
    }
}

#[test]
fn others_need_the_token() {
    let bind = |address: [u8; 4], token: Option<&str>| {
        let settings = Settings { address: (address, 0).into(), token: token.map(Into::into), ..Settings::default() };
        Server::bind(settings, common::models(), pdn::bundled_encoder().unwrap())
    };
    assert!(matches!(bind([0; 4], None), Err(ServeError::NoToken(_))));
    assert!(matches!(bind([127, 0, 0, 1], Some("short")), Err(ServeError::Token(5))));
    let mut served = Served::new(|settings| settings.token = Some("0123456789abcdef".into()));
    served.get("/v1/models").ok(200);
    let proxied = "GET /v1/models HTTP/1.1\r\nhost: pdn.example\r\nauthorization: Bearer 0123456789abcdef\r\nconnection: close\r\n\r\n";
    assert!(served.raw(proxied.as_bytes()).starts_with("HTTP/1.1 200"));
    for token in [None, Some("0123456789abcdeg"), Some("0123456789abcde"), Some("")] {
        served.token = token.map(Into::into);
        for path in ["/v1/models", "/metrics", "/v1/jobs/x"] {
            let answer = served.get(path);
            answer.problem(401, "unauthorised", "Bearer");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        for path in ["/", "/page/page.js", "/healthz", "/openapi.json"] {
            served.get(path).ok(200);
        }
    }
}

#[test]
fn other_sites_names_and_pages_are_refused() {
    let served = Served::new(|_| {});
    let port = served.address.port();
    let asked = |host: &str, more: &str| {
        served.raw(format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n").as_bytes())
    };
    for (host, more, status) in [
        ("localhost", "", "200"),
        (&format!("127.0.0.1:{port}"), "", "200"),
        (&format!("[::1]:{port}"), "", "200"),
        (&format!("localhost:{port}"), &format!("origin: http://localhost:{port}\r\n"), "200"),
        ("evil.example", "", "403"),
        (&format!("localhost.evil.example:{port}"), "", "403"),
        (&format!("localhost:{port}"), "origin: http://evil.example\r\n", "403"),
        (&format!("localhost:{port}"), "origin: null\r\n", "403"),
        (&format!("localhost:{port}"), &format!("origin: http://localhost:{}\r\n", port ^ 1), "403"),
    ] {
        let answer = asked(host, more);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host} {more}: {answer}");
    }
    let answer =
        served.raw(b"GET http://evil.example/v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(!asked("localhost", "").to_ascii_lowercase().contains("access-control"));
}

#[test]
fn tricks_with_paths_lead_nowhere() {
    let served = Served::new(|_| {});
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.css/../../Cargo.toml",
        "/v1/jobs/../models",
        "/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/jobs/..%5c..%5cx/result",
        "/v1/jobs/x/masks/%00",
        "//page.css",
        "/page.css/",
        "/page/",
        "/page/page.html",
        "/page/..%2fexample.rs",
        "/v1",
        "/PAGE.CSS",
        "/v1/pictures/C:/x",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = served.raw(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("application/problem+json"), "{path}: {answer}");
    }
    served.send("PUT", "/v1/models", &[], Vec::new()).problem(405, "method", "openapi");
}

#[test]
fn answers_carry_what_browsers_heed_and_a_request_id() {
    let served = Served::new(|_| {});
    for path in ["/", "/v1/models", "/none", "/openapi.json"] {
        let answer = served.get(path);
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-request-id").len(), 36);
    }
    let answer = served.send("GET", "/healthz", &[("x-request-id", "mine")], Vec::new());
    assert_eq!((answer.header("x-request-id"), answer.header("cache-control")), ("mine", "no-store"));
    let page = String::from_utf8(served.get("/").body).unwrap();
    let style = String::from_utf8(served.get("/page.css").body).unwrap();
    let folder = pdn_testing::root().join("crates/pdn-serve/src/page");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name.ends_with(".js")).collect();
    let scripts =
        names.iter().map(|name| String::from_utf8(served.get(&format!("/page/{name}")).ok(200).body).unwrap());
    for text in scripts.chain([page, style]) {
        assert!(!text.contains("http://") && !text.contains("https://"), "nothing comes from elsewhere");
    }
}

#[test]
fn a_stop_finishes_what_runs_and_takes_nothing_on() {
    let mut served = Served::new(|settings| settings.shutdown = Duration::from_secs(60));
    let parts: common::Parts = &[("picture", &png(300, 200)), ("model", b"slow")];
    let job = served.form("/v1/jobs", parts).ok(202).value();
    // Until the job runs, it counts as waiting itself.
    served.wait(|| (served.metric("pdn_jobs_running") == 1.0).then_some(()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| served.form("/v1/upscale", &[("picture", &png(20, 16))]));
        served.wait(|| (served.metric("pdn_jobs_waiting") == 1.0).then_some(()));
        served.stopper.stop();
        let refused = served.wait(|| {
            let answer = served.form("/v1/jobs", &[("picture", &png(20, 16))]);
            (answer.status != 202).then_some(answer)
        });
        refused.problem(503, "stopping", "accepts no new requests");
        assert_eq!(refused.header("retry-after"), "10");
        assert_eq!(served.get("/healthz").ok(503).value()["status"], "stopping");
        let events = String::from_utf8(served.get(&path(&job, "events")).ok(200).body).unwrap();
        assert!(events.contains("event: done"), "{events}");
        // Nothing runs any more; the server waits until the result is fetched.
        served.wait(|| (served.metric("pdn_jobs_running") == 0.0).then_some(()));
        sleep(Duration::from_millis(300));
        assert_eq!(decoded(&served.get(&path(&job, "result")).ok(200).body).width(), 600);
        assert_eq!(decoded(&waiting.join().unwrap().ok(200).body).width(), 40);
    });
    served.join();
}

#[test]
fn a_stop_waits_no_longer_than_its_limit() {
    let mut served = Served::new(|settings| settings.shutdown = Duration::from_millis(200));
    let jobs = [long(&served), long(&served)];
    let begun = Instant::now();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let watching: Vec<_> = jobs.iter().map(|job| scope.spawn(|| served.get(&path(job, "events")))).collect();
        sleep(Duration::from_millis(100));
        served.stopper.stop();
        watching.into_iter().map(|watch| watch.join().unwrap()).collect()
    });
    for answer in answers {
        let events = String::from_utf8(answer.body).unwrap();
        assert!(events.contains("event: failed") && events.contains("urn:pdn:problem:stopping"), "{events}");
    }
    served.join();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn several_jobs_run_at_a_time_where_that_is_wanted() {
    let served = Served::new(|settings| settings.jobs = 2);
    let jobs = [long(&served), long(&served)];
    served.wait(|| (served.metric("pdn_jobs_running") == 2.0).then_some(()));
    for job in jobs {
        served.delete(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).ok(204);
    }
}
