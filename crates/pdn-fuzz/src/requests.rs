//! Requests to the server: forms and JSON, as raw bytes or from their grammar.

use crate::MADE;
use crate::checkpoints::changed;
use crate::dice::Dice;
use pdn_serve::fuzzing::size_of_request;
use serde_json::json;

const FORM: &str = "multipart/form-data; boundary=b";
const JSON: &str = "application/json";

/// Parses a request, and computes the size of its result.
///
/// # Panics
/// If something is wrong.
pub fn requests(data: &[u8]) {
    let (media, body) = match data {
        [MADE, choices @ ..] => made(choices),
        [b'{' | b'[', ..] => (JSON.to_owned(), data.to_vec()),
        _ => (FORM.to_owned(), data.to_vec()),
    };
    if let Some(size) = size_of_request(&media, body) {
        for picture in [(1, 1), (640, 427), (65_535, 3)] {
            let _ = size.of(picture, 4);
        }
    }
}

fn made(choices: &[u8]) -> (String, Vec<u8>) {
    let mut dice = Dice::new(choices);
    match dice.once_in(2) {
        true => (JSON.to_owned(), json(&mut dice)),
        false => form(&mut dice),
    }
}

fn json(dice: &mut Dice) -> Vec<u8> {
    let mut ask = json!({
        "picture": {"data": "YWJj"}, "model": "m", "format": "webp", "quality": 80, "feather": 3, "width": 300, "height": 200,
        "exact": true, "scale": 2.5, "megapixels": 1.5,
        "prompts": [{"text": "a dog", "weight": 0.5}, {"picture": {"data": "ZGVm"}, "weight": -2}],
        "regions": [{"left": 1, "top": 2, "width": 3, "height": 4, "text": "a wall = a house"}]
    });
    if let Some(fields) = ask.as_object_mut() {
        for key in ["scale", "megapixels", "exact", "width", "height"] {
            if !dice.once_in(3) {
                fields.remove(key);
            }
        }
    }
    (0..dice.below(4)).for_each(|_| changed(dice, &mut ask));
    let text = ask.to_string().into_bytes();
    dice.damaged(text, 8)
}

const NAMES: [&str; 17] = [
    "picture",
    "picture_id",
    "model",
    "prompt",
    "prompt_picture",
    "weights",
    "region",
    "feather",
    "scale",
    "width",
    "height",
    "exact",
    "megapixels",
    "format",
    "quality",
    "colour",
    "",
];
const VALUES: [&str; 19] = [
    "2",
    "2.5",
    "-1",
    "nan",
    "inf",
    "1e308",
    "1e-308",
    "0",
    "18446744073709551615",
    "true",
    "jpeg",
    "0.5,-2",
    "1,2,3,4=a wall",
    "18446744073709551615,1,18446744073709551615,2=x",
    "00000000-0000-0000-0000-000000000000",
    "a dog",
    "",
    "1,",
    "\u{fe0f}",
];

fn form(dice: &mut Dice) -> (String, Vec<u8>) {
    let boundary =
        dice.of(&["b", "--", "a b", "", "0123456789012345678901234567890123456789012345678901234567890123456789xx"]);
    let mut body = Vec::new();
    for _ in 0..dice.below(8) {
        let name = if dice.once_in(3) { "picture" } else { dice.of(&NAMES) };
        let file = dice.of(&["", "; filename=\"x\"", "; filename*=utf-8''x", "; filename=\"a\\\"b"]);
        let said =
            dice.of(&["", "content-type: text/plain\r\n", "content-type: image/png; charset=latin1\r\n", "x\r\n"]);
        let head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n{said}\r\n");
        body.extend(head.into_bytes());
        match dice.once_in(3) {
            true => body.extend(dice.bytes(40)),
            false => body.extend(dice.of(&VALUES).as_bytes()),
        }
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    let quoted = if dice.once_in(3) { format!("\"{boundary}\"") } else { boundary.to_owned() };
    let media = if dice.once_in(16) {
        String::from_utf8_lossy(&dice.bytes(20)).into_owned()
    } else {
        format!("multipart/form-data; boundary={quoted}")
    };
    (media, dice.damaged(body, 8))
}
