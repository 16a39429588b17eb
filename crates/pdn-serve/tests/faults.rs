//! Tests what the server tells of faults, and what it takes.

mod common;

use common::{Parts, Served, decoded, hearing, picture, png, seeing, unseeing};
use pdn::{Encoder, KnownFaults, Options, Picture, Prompt, Rectangle, Regions, Slot, Upscaler};
use pdn_serve::Offered;
use serde_json::{Value, json};

fn known(text: &str) -> KnownFaults {
    text.parse().unwrap()
}

fn told(prompt: Prompt, faults: &str) -> Prompt {
    Prompt::Told { prompt: Box::new(prompt), faults: known(faults), unseen: false }
}

/// Returns the library's result.
fn expected(encoder: &Encoder, prompt: &Prompt) -> Picture {
    let Offered::Network(model) = hearing(encoder) else { unreachable!() };
    let mut session = Upscaler::new(&model).unwrap().session();
    session.set_prompt(prompt, encoder, &picture(20, 16)).unwrap();
    session.upscale(&picture(20, 16), &Options::default(), &mut |_| true).unwrap()
}

/// Returns the slots of an answer, each as its level and where it is known from.
fn slots(faults: &Value) -> Vec<(String, String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let slots = faults["slots"].as_object().unwrap();
    slots.iter().map(|(name, fault)| (name.clone(), word(&fault["level"]), word(&fault["from"]))).collect()
}

#[test]
fn told_faults_steer_as_in_the_library() {
    for encoder in [unseeing, seeing] {
        let served = Served::with_faults(encoder(), |_| {});
        let (file, dog) = (png(20, 16), Prompt::Text("a brown dog".into()));
        let answer = |more: Parts| {
            let answer = served.form("/v1/upscale", &[&[("picture", &file[..])], more].concat()).ok(200);
            decoded(&answer.body).rgb().to_vec()
        };
        let plain = answer(&[]);
        assert_eq!(plain, expected(&encoder(), &Prompt::None).rgb());
        let slight = answer(&[("faults", b"blur=slight,noise=none")]);
        assert_eq!(slight, expected(&encoder(), &told(Prompt::None, "blur=slight,noise=none")).rgb());
        assert_ne!(slight, plain);
        let both = answer(&[("prompt", b"a brown dog"), ("faults", b"jpeg=30")]);
        assert_eq!(both, expected(&encoder(), &told(dog.clone(), "jpeg=30")).rgb());
        assert_eq!(answer(&[("faults", b"blur=unknown")]), plain);
    }
}

#[test]
fn regions_have_faults_of_their_own() {
    let served = Served::with_faults(unseeing(), |_| {});
    let parts: Parts = &[
        ("picture", &png(20, 16)),
        ("faults", b"noise=heavy"),
        ("prompt", b"a house"),
        ("region_faults", b"0,0,9,9=jpeg=none"),
        ("region_faults", b"9,0,9,9=blur=strong,noise=none"),
        ("region", b"0,0,9,9=a wall"),
    ];
    let rectangle = |left| Rectangle { left, top: 0, width: 9, height: 9 };
    let regions = Regions {
        parts: vec![
            (rectangle(0), told(Prompt::Text("a wall".into()), "jpeg=none")),
            (rectangle(9), told(Prompt::Text("a house".into()), "blur=strong,noise=none")),
        ],
        rest: told(Prompt::Text("a house".into()), "noise=heavy"),
        feather: 8,
    };
    let answer = served.form("/v1/upscale", parts).ok(200);
    let expected = expected(&unseeing(), &Prompt::Regions(Box::new(regions)));
    assert_eq!(decoded(&answer.body).rgb(), expected.rgb());
    let job = served.job(parts);
    assert_eq!(job["faults"]["words"], "very noisy");
    let words = [&job["region_faults"][0], &job["region_faults"][1]].map(|faults| faults["words"].clone());
    assert_eq!(words, ["no JPEG traces", "blurred, no noise"]);
}

#[test]
fn answers_say_what_steered() {
    let served = Served::with_faults(unseeing(), |_| {});
    let parts: Parts = &[("picture", &png(20, 16)), ("prompt", b"a dog"), ("faults", b"blur=slight,jpeg=60")];
    let job = served.job(parts);
    let slot = |level: &str, amount: f64| json!({"level": level, "amount": amount, "from": "told"});
    let expected = json!({
        "words": "slightly blurred, JPEG about 60",
        "slots": {"blur": slot("slight", 0.25), "jpeg": slot("strong", 60.0)}
    });
    assert_eq!((&job["faults"], &job["region_faults"]), (&expected, &json!([])));
    assert_eq!(job["prompt"], "\"a dog\", faults: slightly blurred, JPEG about 60");
    let answer = served.form("/v1/upscale", parts).ok(200);
    assert_eq!(answer.header("pdn-faults"), "blur=slight;amount=0.25;told, jpeg=strong;amount=60;told");
    assert_eq!(answer.header("pdn-faults-words"), "slightly blurred, JPEG about 60");
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("slightly blurred, JPEG about 60"), "the file says so, too");
    let bicubic = served.job(&[("picture", &png(20, 16)), ("model", b"bicubic")]);
    assert_eq!(bicubic["faults"], Value::Null);
    let answer = served.form("/v1/upscale", &[("picture", &png(20, 16)), ("model", b"bicubic")]).ok(200);
    assert_eq!(answer.header("pdn-faults"), "");
}

#[test]
fn what_is_not_told_is_seen() {
    let served = Served::with_faults(seeing(), |_| {});
    let seen = seeing().faults_of_picture(&picture(20, 16)).unwrap();
    let [told, other] = {
        let mut slots = Slot::ALL.into_iter().filter(|slot| seen.is_told(*slot));
        [slots.next().unwrap(), slots.next().unwrap()]
    };
    let settings = format!("{}={}", told.name(), told.levels()[1]);
    let job = served.job(&[("picture", &png(20, 16)), ("faults", settings.as_bytes())]);
    let found = slots(&job["faults"]);
    let entry = |slot: Slot, level: usize, from: &str| {
        (slot.name().to_owned(), slot.levels()[level].to_owned(), from.to_owned())
    };
    assert!(found.contains(&entry(told, 1, "told")), "{found:?}");
    assert!(found.contains(&entry(other, seen.level(other).unwrap(), "seen")), "{found:?}");
    assert_eq!(job["faults"]["words"], known(&settings).or(&seen).to_string());
    let job = served.job(&[("picture", &png(20, 16)), ("faults", format!("{settings},unseen").as_bytes())]);
    assert_eq!(slots(&job["faults"]), [entry(told, 1, "told")], "the rest is not looked at");
    // What a sentence tells is weighed with what is seen.
    let heard = seeing().faults_of_text("a dog").unwrap();
    let job = served.job(&[("picture", &png(20, 16)), ("prompt", b"a dog")]);
    for (name, _, from) in slots(&job["faults"]) {
        let slot = Slot::ALL.into_iter().find(|slot| slot.name() == name).unwrap();
        assert_eq!(from != "seen", heard.is_told(slot), "{name}");
    }
}

#[test]
fn what_a_picture_shows_can_be_asked() {
    let served = Served::with_faults(seeing(), |settings| {
        (settings.upload, settings.pixels, settings.request_memory) = (1 << 20, 10_000, 24 << 20);
    });
    let seen = seeing().faults_of_picture(&picture(20, 16)).unwrap();
    let by_form = served.form("/v1/faults", &[("picture", &png(20, 16))]).ok(200).value();
    assert_eq!(by_form["words"], seen.to_string());
    let found = slots(&by_form);
    assert_eq!(found.len(), Slot::ALL.into_iter().filter(|slot| seen.is_told(*slot)).count());
    assert!(!found.is_empty() && found.iter().all(|(_, _, from)| from == "seen"), "{found:?}");
    assert_eq!(served.metric("pdn_kept"), 0.0);
    let kept = served.form("/v1/pictures", &[("picture", &png(20, 16))]).ok(201).value();
    let by_id = json!({"picture": {"id": kept["id"]}});
    for _ in 0..2 {
        assert_eq!(served.json("/v1/faults", &by_id).ok(200).value(), by_form);
    }
    served.delete(&format!("/v1/pictures/{}", kept["id"].as_str().unwrap())).ok(204);
    served.json("/v1/faults", &by_id).problem(404, "not-found", "send it again");
    for (file, status, kind) in [
        (&b"no picture"[..], 415, "media"),
        (&png(101, 100), 413, "many-pixels"),
        (&common::bomb(50, 50), 422, "picture"),
        (&vec![0; 2 << 20], 413, "large-upload"),
    ] {
        served.form("/v1/faults", &[("picture", file)]).problem(status, kind, "");
    }
    assert_eq!(served.metric("pdn_jobs_total{outcome=\"done\"}"), 0.0);
    served.wait(|| (served.metric("pdn_held_bytes") == 0.0).then_some(()));
}

#[test]
fn an_encoder_that_sees_nothing_says_so() {
    let served = Served::with_faults(unseeing(), |_| {});
    let nothing = served.form("/v1/faults", &[("picture", &png(20, 16))]).ok(200).value();
    assert_eq!(nothing, json!({"words": "nothing known", "slots": {}}));
}

#[test]
fn faults_that_cannot_be_told_are_refused_at_once() {
    let served = Served::with_faults(unseeing(), |_| {});
    let broken = ("picture", &b"no picture"[..]);
    for (parts, kind, word) in [
        (&[("faults", &b"fog=slight"[..])][..], "option", "unknown fault `fog`: expected blur"),
        (&[("faults", b"blur=9")], "option", "blur=9: expected none, slight"),
        (&[("faults", b"")], "option", "unknown fault ``"),
        (&[("faults", b"blur=none"), ("faults", b"blur=none")], "option", "more than one `faults`"),
        (&[("region_faults", b"0,0,9,9=resize=2")], "option", "a region's faults: resize=2"),
        (&[("region_faults", b"blur=none")], "option", "left, top"),
        (&[("region", b"0,0,9,9= ")], "empty-prompt", "empty"),
        (&[("model", b"bicubic"), ("faults", b"blur=none")], "prompt", "bicubic is not steered by faults"),
    ] {
        for path in ["/v1/upscale", "/v1/jobs"] {
            let answer = served.form(path, &[&[broken], parts].concat());
            answer.problem(422, kind, word);
            if parts.len() == 1 && parts[0].0 == "faults" {
                assert_eq!(answer.value()["part"], "faults");
            }
        }
    }
    let region = json!({"left": 0, "top": 0, "width": 9, "height": 9, "faults": "jpeg=0"});
    let asked = json!({"picture": {"data": ""}, "regions": [region]});
    served.json("/v1/upscale", &asked).problem(422, "option", "jpeg=0: expected");
    let asked = json!({"picture": {"data": ""}, "faults": 3});
    served.json("/v1/upscale", &asked).problem(422, "option", "expected a string");
    let served = Served::new(|_| {});
    let parts: Parts = &[broken, ("region_faults", b"0,0,9,9=blur=none")];
    served.form("/v1/upscale", parts).problem(422, "prompt", "quick is not steered by faults");
}

#[test]
fn the_list_of_models_has_the_slots_once() {
    let served = Served::with_faults(unseeing(), |_| {});
    let offer = served.get("/v1/models").ok(200).value();
    let hears: Vec<&Value> = offer["models"].as_array().unwrap().iter().map(|model| &model["hears_faults"]).collect();
    assert_eq!(hears, [&json!(true), &json!(false)]);
    let listed = offer["faults"].as_array().unwrap();
    assert_eq!(listed.len(), Slot::ALL.len());
    for (found, slot) in listed.iter().zip(Slot::ALL) {
        assert_eq!((&found["name"], &found["levels"]), (&json!(slot.name()), &json!(slot.levels())));
        assert_eq!(found["unit"].is_null(), slot.unit().is_none());
    }
    assert_eq!(listed[5]["label"], "JPEG");
    assert_eq!(listed[3]["unit"], json!({"name": "levels of 255", "least": 0.0, "most": 100.0}));
}
