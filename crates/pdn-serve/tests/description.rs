//! Compares `/openapi.json` with the server: every described operation works, and every answer matches its description.

mod common;

use common::{Answer, FORM, Served, form, png};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A server whose every answer is checked against its description.
struct Described {
    served: Served,
    api: Value,
    /// Method, path and status of every answer.
    seen: RefCell<BTreeSet<(String, String, String)>>,
}

impl Described {
    fn new() -> Self {
        Self::of(Served::new(|_| {}))
    }

    fn of(served: Served) -> Self {
        let api = served.get("/openapi.json").ok(200).value();
        Self { served, api, seen: RefCell::default() }
    }

    /// Returns the path template that a request's path matches.
    fn template(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next()?;
        let fits = |template: &str| {
            let (ours, theirs): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.starts_with('{') || *a == b)
        };
        self.api["paths"].as_object()?.keys().map(String::as_str).find(|template| fits(template))
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let answer = self.served.send(method, path, headers, body);
        let template = self.template(path).unwrap_or_else(|| panic!("{path} is not described"));
        let operation = &self.api["paths"][template][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "{method} {template} is not described");
        let status = answer.status.to_string();
        let response = operation["responses"].get(&status).unwrap_or(&operation["responses"]["default"]);
        assert!(response.is_object(), "{method} {template} does not describe {status}");
        self.check(response, &answer, &format!("{method} {path}: {status}"));
        self.seen.borrow_mut().insert((method.to_ascii_lowercase(), template.to_owned(), status));
        answer
    }

    #[track_caller]
    fn check(&self, response: &Value, answer: &Answer, what: &str) {
        let media = answer.header("content-type").split(';').next().unwrap_or_default();
        let Some(content) = response.get("content") else {
            return assert!(answer.body.is_empty(), "{what} has a body that is not described");
        };
        let described = content.get(media).unwrap_or_else(|| panic!("{what} does not describe {media}"));
        if media.ends_with("json") {
            let mut schema = described["schema"].clone();
            schema["components"] = self.api["components"].clone();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let value = answer.value();
            let errors: Vec<String> =
                validator.iter_errors(&value).map(|e| format!("{} {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
        }
        for (name, _) in response["headers"].as_object().into_iter().flatten() {
            assert!(!answer.header(name).is_empty(), "{what} lacks the header {name}");
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Vec::new())
    }

    fn form(&self, path: &str, parts: common::Parts) -> Answer {
        self.ask("POST", path, &[("content-type", FORM)], form(parts))
    }
}

#[test]
fn every_route_answers_as_it_is_described() {
    let described = Described::new();
    let small = png(20, 16);
    for path in
        ["/", "/page.css", "/page/page.js", "/example.png", "/healthz", "/metrics", "/openapi.json", "/v1/models"]
    {
        described.get(path).ok(200);
    }
    let parts: common::Parts = &[("picture", &small), ("prompt", b"a brown dog")];
    described.form("/v1/upscale", parts).ok(200);
    described.form("/v1/upscale?async=true", parts).ok(202);
    let job = described.form("/v1/jobs", parts).ok(202).value();
    let (id, picture) = (job["id"].as_str().unwrap(), job["picture"]["id"].as_str().unwrap());
    described.get(&format!("/v1/jobs/{id}/events")).ok(200);
    described.get(&format!("/v1/jobs/{id}")).ok(200);
    for format in ["png", "jpeg", "webp", "tiff"] {
        described.get(&format!("/v1/jobs/{id}/result?format={format}")).ok(200);
    }
    described.get(&format!("/v1/jobs/{id}/result?format=gif")).ok(422);
    described.get(&format!("/v1/jobs/{id}/preview")).ok(404);
    let wide: common::Parts =
        &[("picture", &small), ("model", b"bicubic"), ("width", b"17000"), ("height", b"2"), ("exact", b"true")];
    let wide = described.form("/v1/jobs", wide).ok(202).value();
    let wide = described.served.ended(wide["id"].as_str().unwrap());
    described.get(wide["links"]["preview"].as_str().unwrap()).ok(200);
    described.get("/page/none.js").ok(404);
    let masks = described.get(&format!("/v1/jobs/{id}/masks")).ok(200).value();
    described.get(masks[0]["link"].as_str().unwrap()).ok(200);
    described.get(&format!("/v1/pictures/{picture}")).ok(200);
    described.form("/v1/pictures", &[("picture", &small)]).ok(201);
    described.form("/v1/faults", &[("picture", &small)]).ok(200);
    described.form("/v1/faults", &[("picture", b"x")]).ok(415);
    for (parts, status) in [
        (&[("picture", &b"x"[..])][..], 415),
        (&[("picture", b"")], 422),
        (&[("picture", &common::bomb(9999, 9999))], 413),
        (&[("picture_id", b"00000000-0000-0000-0000-000000000000")], 404),
    ] {
        for path in ["/v1/upscale", "/v1/jobs", "/v1/pictures"] {
            let status = if (path, status) == ("/v1/pictures", 404) { 422 } else { status };
            described.form(path, parts).ok(status);
        }
    }
    let slow: common::Parts = &[("picture", &png(900, 700)), ("model", b"slow")];
    let running = described.form("/v1/jobs", slow).ok(202).value();
    let running = running["id"].as_str().unwrap();
    described.get(&format!("/v1/jobs/{running}/result")).ok(409);
    described.get(&format!("/v1/jobs/{running}")).ok(200);
    let queued: Vec<Answer> = (0..18).map(|_| described.form("/v1/jobs", slow)).collect();
    assert!(queued.iter().any(|answer| answer.status == 429));
    for path in [format!("/v1/jobs/{running}"), format!("/v1/jobs/{id}"), format!("/v1/pictures/{picture}")] {
        described.ask("DELETE", &path, &[], Vec::new()).ok(204);
        if !path.ends_with(running) {
            described.get(&path).ok(404);
            described.ask("DELETE", &path, &[], Vec::new()).ok(404);
        }
    }
    for part in ["events", "result", "masks", "masks/x"] {
        described.get(&format!("/v1/jobs/{id}/{part}")).ok(404);
    }
    // Every operation was requested, and every success status was seen.
    let seen = described.seen.borrow();
    for (path, operations) in described.api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys().filter(|status| status.starts_with('2')) {
                assert!(seen.contains(&(method.clone(), path.clone(), status.clone())), "{method} {path} {status}");
            }
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
        }
    }
}

#[test]
fn what_is_said_of_faults_is_described() {
    let described = Described::of(Served::with_faults(common::seeing(), |_| {}));
    described.get("/v1/models").ok(200);
    let seen = described.form("/v1/faults", &[("picture", &png(20, 16))]).ok(200).value();
    assert!(!seen["slots"].as_object().unwrap().is_empty(), "{seen}");
    let regions: common::Parts =
        &[("picture", &png(20, 16)), ("faults", b"blur=slight"), ("region_faults", b"0,0,9,9=grain=coarse")];
    let job = described.form("/v1/jobs", regions).ok(202).value();
    let id = job["id"].as_str().unwrap();
    described.served.ended(id);
    let job = described.get(&format!("/v1/jobs/{id}")).ok(200).value();
    assert!(job["faults"].is_object() && job["region_faults"][0].is_object(), "{job}");
}

#[test]
fn requests_that_fit_the_description_are_taken() {
    let described = Described::new();
    let data = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(png(20, 16))
    };
    let body = json!({
        "picture": {"data": data}, "model": "quick", "format": "webp", "quality": 80, "feather": 2, "scale": 2.5,
        "prompts": [{"text": "a dog", "weight": 0.5}, {"picture": {"data": data}}],
        "regions": [{"left": 0, "top": 0, "width": 5, "height": 5, "text": "a wall"}]
    });
    let mut schema =
        described.api["paths"]["/v1/upscale"]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    schema["components"] = described.api["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&body), "{:?}", validator.iter_errors(&body).map(|e| e.to_string()).collect::<Vec<_>>());
    described
        .ask("POST", "/v1/upscale", &[("content-type", "application/json")], body.to_string().into_bytes())
        .ok(200);
    for wrong in [
        json!({}),
        json!({"picture": {"data": 1}}),
        json!({"picture": {"data": ""}, "format": "gif"}),
        json!({"picture": {"data": ""}, "scale": "2"}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
        described.served.json("/v1/upscale", &wrong).problem(422, "option", "");
    }
}
