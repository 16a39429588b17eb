//! Parses requests: JSON or a form, into one structure.

use crate::http::ask::{Ask, FEATHER, PromptAsk, QUALITY, RegionAsk, id};
pub(crate) use crate::http::source::{FileFormat, Source};
use crate::jobs::sizing::Sizing;
use crate::problem::{Kind, Problem, Unit};
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use futures_util::stream;
use multer::Multipart;
use pdn::Rectangle;
use serde::de::IgnoredAny;
use std::collections::HashSet;
use std::convert::Infallible;

/// What a request asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct EnlargeRequest {
    pub(crate) picture: Source,
    pub(crate) model: Option<String>,
    /// Prompts, each with its weight.
    pub(crate) prompts: Vec<(f32, PromptSource)>,
    /// Faults of the picture, as told.
    pub(crate) faults: Option<String>,
    pub(crate) regions: Vec<RegionSource>,
    pub(crate) feather: usize,
    pub(crate) sizing: Sizing,
    pub(crate) format: FileFormat,
    pub(crate) quality: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PromptSource {
    Text(String),
    Picture(Source),
}

/// A region with its own prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RegionSource {
    pub(crate) rectangle: Rectangle,
    pub(crate) text: String,
    /// Its faults, as told.
    pub(crate) faults: Option<String>,
}

impl RegionSource {
    /// Returns whether its text is its prompt: a region whose faults are told needs none.
    pub(crate) fn has_words(&self) -> bool {
        self.faults.is_none() || !self.text.trim().is_empty()
    }
}

/// The names of a form's parts.
const KNOWN: [&str; 17] = [
    "picture",
    "picture_id",
    "model",
    "prompt",
    "prompt_picture",
    "weights",
    "faults",
    "region",
    "region_faults",
    "feather",
    "scale",
    "width",
    "height",
    "exact",
    "megapixels",
    "format",
    "quality",
];

/// The parts of a form that can be repeated.
const SEVERAL: [&str; 4] = ["prompt", "prompt_picture", "region", "region_faults"];

/// The most bytes of a form's part that is neither a file nor a prompt; the encoder limits the length of prompts.
const TEXT: usize = 64 << 10;

impl EnlargeRequest {
    /// Returns the bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let file = |source: &Source| match source {
            Source::Kept(_) => 0,
            Source::File(bytes) => bytes.len(),
        };
        let of_prompt = |(_, source): &(f32, PromptSource)| match source {
            PromptSource::Text(_) => 0,
            PromptSource::Picture(source) => file(source),
        };
        let files = file(&self.picture) + self.prompts.iter().map(of_prompt).sum::<usize>();
        files + self.text_bytes() + self.model.as_ref().map_or(0, String::len)
    }

    /// Returns the picture; everything else is dropped.
    pub(crate) fn into_picture(self) -> Source {
        self.picture
    }

    /// Returns the bytes of the text of its prompts, regions and faults.
    pub(crate) fn text_bytes(&self) -> usize {
        let of_prompt = |(_, source): &(f32, PromptSource)| match source {
            PromptSource::Text(text) => text.len(),
            PromptSource::Picture(_) => 0,
        };
        let of_faults = |faults: &Option<String>| faults.as_ref().map_or(0, String::len);
        let of_region = |region: &RegionSource| region.text.len() + of_faults(&region.faults);
        let regions: usize = self.regions.iter().map(of_region).sum();
        self.prompts.iter().map(of_prompt).sum::<usize>() + regions + of_faults(&self.faults)
    }

    /// Parses a body according to its content type.
    pub(crate) async fn read(headers: &HeaderMap, body: Bytes) -> Result<Self, Problem> {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::of_json(&body),
            "multipart/form-data" => Self::of_form(media, body).await,
            _ => {
                let why = format_args!("expected multipart/form-data or application/json, found `{media}`");
                Err(Kind::Media.because(why))
            }
        }
    }

    fn of_json(body: &[u8]) -> Result<Self, Problem> {
        let ask: Ask = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Kind::Option.because(plain(&error)),
            // Valid JSON can otherwise only fail at a picture, which must have exactly one of two fields.
            _ if serde_json::from_slice::<IgnoredAny>(body).is_ok() => Kind::Option
                .because(format_args!("expected a picture with either `id` or `data` and nothing else: {error}")),
            _ => Kind::Malformed.because(format_args!("the body is not valid JSON: {error}")),
        })?;
        let prompt = |ask: PromptAsk| match (ask.text, ask.picture) {
            (Some(text), None) => Ok((ask.weight, PromptSource::Text(text))),
            (None, Some(picture)) => Ok((ask.weight, PromptSource::Picture(picture.source()?))),
            _ => Err(Kind::Prompt.because("expected a prompt with either a text or a picture")),
        };
        let region = |ask: RegionAsk| match ask {
            RegionAsk { width: 0, .. } | RegionAsk { height: 0, .. } => {
                Err(Kind::Option.because("a region must be at least one pixel wide and high"))
            }
            RegionAsk { left, top, width, height, text, faults } => {
                Ok(RegionSource { rectangle: Rectangle { left, top, width, height }, text, faults })
            }
        };
        let Ask { scale, width, height, exact, megapixels, .. } = ask;
        Ok(Self {
            sizing: Sizing { scale, width, height, exact, megapixels },
            picture: ask.picture.source()?,
            model: ask.model,
            prompts: ask.prompts.into_iter().map(prompt).collect::<Result<_, _>>()?,
            faults: ask.faults,
            regions: ask.regions.into_iter().map(region).collect::<Result<_, _>>()?,
            feather: ask.feather,
            format: ask.format,
            quality: ask.quality,
        })
    }

    /// Parses a form. File names are ignored: nothing is ever written under them.
    async fn of_form(media: &str, body: Bytes) -> Result<Self, Problem> {
        let malformed = |error: multer::Error| Kind::Malformed.because(format_args!("the form: {error}"));
        let boundary = multer::parse_boundary(media).map_err(malformed)?;
        // The body was received within limits, so no further ones are needed.
        let body = stream::iter([Ok::<_, Infallible>(body)]);
        let mut form = Multipart::new(body, boundary);
        let (mut picture, mut weights, mut of_regions, mut once) = (None, None, Vec::new(), HashSet::new());
        let mut request = Self {
            picture: Source::File(Bytes::new()),
            model: None,
            prompts: Vec::new(),
            faults: None,
            regions: Vec::new(),
            feather: FEATHER,
            sizing: Sizing::default(),
            format: FileFormat::default(),
            quality: QUALITY,
        };
        while let Some(field) = form.next_field().await.map_err(malformed)? {
            let name = field.name().unwrap_or_default().to_owned();
            if !KNOWN.contains(&name.as_str()) {
                return Err(unknown(&name));
            }
            let what = if name == "picture_id" { "picture" } else { name.as_str() };
            if !SEVERAL.contains(&what) && !once.insert(what.to_owned()) {
                let why = format_args!("the form has more than one `{what}`, counting bytes and ids; expected one");
                return Err(Kind::Option.because(why));
            }
            let bytes = field.bytes().await.map_err(malformed)?;
            match name.as_str() {
                "picture" => picture = Some(Source::File(bytes)),
                "prompt_picture" => request.prompts.push((1.0, PromptSource::Picture(Source::File(bytes)))),
                _ if bytes.len() > TEXT && !SEVERAL.contains(&name.as_str()) => {
                    let why = format_args!("the form's `{name}` has {} bytes; expected at most {TEXT}", bytes.len());
                    return Err(Kind::Option.because(why).limited(Unit::Bytes, TEXT as u64, Some(bytes.len() as u64)));
                }
                _ => {
                    let text = String::from_utf8(bytes.into())
                        .map_err(|_| Kind::Malformed.because(format_args!("the form's `{name}` is not valid UTF-8")))?;
                    match name.as_str() {
                        "picture_id" => picture = Some(Source::Kept(id(&text)?)),
                        "weights" => weights = Some(text),
                        "region_faults" => of_regions.push(text),
                        _ => request.set(&name, text)?,
                    }
                }
            }
        }
        request.picture = picture.ok_or_else(|| Kind::Option.because("expected a form with a file `picture`"))?;
        if let Some(text) = weights {
            request.weigh(&text)?;
        }
        // Regions may come after their faults.
        for text in of_regions {
            let (rectangle, told) = of_rectangle("region_faults", &text, "X,Y,W,H=SETTINGS")?;
            request.tell_region(rectangle, told);
        }
        Ok(request)
    }

    fn set(&mut self, name: &str, text: String) -> Result<(), Problem> {
        let wrong = |expected: &str| Kind::Option.because(format_args!("{name} `{text}`: expected {expected}"));
        match name {
            "model" => self.model = Some(text),
            "prompt" => self.prompts.push((1.0, PromptSource::Text(text))),
            "faults" => self.faults = Some(text),
            "scale" => self.sizing.scale = Some(text.parse().map_err(|_| wrong("a number"))?),
            "width" => self.sizing.width = Some(text.parse().map_err(|_| wrong("pixels"))?),
            "height" => self.sizing.height = Some(text.parse().map_err(|_| wrong("pixels"))?),
            "exact" => self.sizing.exact = text.parse().map_err(|_| wrong("true or false"))?,
            "megapixels" => self.sizing.megapixels = Some(text.parse().map_err(|_| wrong("a number"))?),
            "feather" => self.feather = text.parse().map_err(|_| wrong("pixels"))?,
            "quality" => self.quality = text.parse().map_err(|_| wrong("1 to 100"))?,
            "format" => {
                let value = serde_json::Value::String(text.clone());
                self.format = serde_json::from_value(value).map_err(|_| wrong("png, jpeg, webp or tiff"))?;
            }
            "region" => {
                let (rectangle, text) = of_rectangle(name, &text, "X,Y,W,H=TEXT")?;
                self.regions.push(RegionSource { rectangle, text, faults: None });
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn weigh(&mut self, text: &str) -> Result<(), Problem> {
        let weights: Option<Vec<f32>> = text.split(',').map(|weight| weight.trim().parse().ok()).collect();
        match weights {
            Some(weights) if weights.len() == self.prompts.len() => {
                self.prompts.iter_mut().zip(weights).for_each(|((weight, _), given)| *weight = given);
                Ok(())
            }
            _ => {
                let why = format_args!("weights `{text}`: expected {} numbers, one per prompt", self.prompts.len());
                Err(Kind::Prompt.because(why))
            }
        }
    }

    /// Takes faults of a region: of the last one with these numbers, or else of a new one above the others.
    fn tell_region(&mut self, rectangle: Rectangle, told: String) {
        match self.regions.iter_mut().rfind(|region| region.rectangle == rectangle) {
            Some(region) => region.faults = Some(told),
            None => self.regions.push(RegionSource { rectangle, text: String::new(), faults: Some(told) }),
        }
    }
}

/// Splits a form's part that is about a rectangle.
fn of_rectangle(name: &str, text: &str, form: &str) -> Result<(Rectangle, String), Problem> {
    let wrong = |expected: &str| Kind::Option.because(format_args!("{name} `{text}`: expected {expected}"));
    let (rectangle, rest) = text.split_once('=').ok_or_else(|| wrong(form))?;
    let rectangle = rectangle.parse().map_err(|error: pdn::RegionError| wrong(&error.to_string()))?;
    Ok((rectangle, rest.to_owned()))
}

/// Reports a form's part with an unknown name.
fn unknown(name: &str) -> Problem {
    let known = KNOWN.join(", ");
    Kind::Option.because(format_args!("unknown form part `{name}`: expected {known}"))
}

/// Rewords serde's message for readers who do not know Rust.
fn plain(error: &serde_json::Error) -> String {
    let words = [
        ("usize", "a whole number, 0 or more"),
        ("u8", "a whole number, 1 to 100"),
        ("f32", "a number"),
        ("f64", "a number"),
    ];
    words.iter().fold(error.to_string(), |said, (name, word)| {
        said.replace(&format!("expected {name}"), &format!("expected {word}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    async fn form(parts: &[(&str, &[u8])]) -> Result<EnlargeRequest, Problem> {
        let mut body = Vec::new();
        for (name, value) in parts {
            body.extend(
                format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n").bytes(),
            );
            body.extend(*value);
            body.extend(b"\r\n");
        }
        body.extend(b"--b--\r\n");
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, "multipart/form-data; boundary=b".parse().unwrap())]);
        EnlargeRequest::read(&headers, body.into()).await
    }

    fn json(body: &str) -> Result<EnlargeRequest, Problem> {
        EnlargeRequest::of_json(body.as_bytes())
    }

    #[tokio::test]
    async fn a_form_and_json_say_the_same() {
        let request = form(&[
            ("picture", b"abc"),
            ("prompt", b"a dog"),
            ("prompt_picture", b"def"),
            ("weights", b"0.5, -2"),
            ("faults", b"blur=slight"),
            ("region", b"1,2,3,4=a wall = a house"),
            ("region_faults", b"1,2,3,4=jpeg=none"),
            ("region_faults", b"5,6,7,8=noise=9"),
            ("feather", b"3"),
            ("width", b"300"),
            ("height", b"200"),
            ("exact", b"true"),
            ("model", b"m"),
            ("format", b"webp"),
            ("quality", b"80"),
        ]);
        let same = r#"{"picture": {"data": "YWJj"}, "model": "m", "format": "webp", "quality": 80, "feather": 3, "width": 300, "height": 200, "exact": true,
            "prompts": [{"text": "a dog", "weight": 0.5}, {"picture": {"data": "ZGVm"}, "weight": -2}],
            "faults": "blur=slight",
            "regions": [{"left": 1, "top": 2, "width": 3, "height": 4, "text": "a wall = a house", "faults": "jpeg=none"},
                {"left": 5, "top": 6, "width": 7, "height": 8, "faults": "noise=9"}]}"#;
        assert_eq!(request.await.unwrap(), json(same).unwrap());
        let id = Uuid::new_v4();
        let request = form(&[("picture_id", id.to_string().as_bytes())]).await.unwrap();
        assert_eq!(request, json(&format!(r#"{{"picture": {{"id": "{id}"}}}}"#)).unwrap());
        assert_eq!((request.feather, request.format, request.quality), (8, FileFormat::Png, 95));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said() {
        for (parts, kind, word) in [
            (&[][..], Kind::Option, "`picture`"),
            (&[("picture_id", &b"7"[..])], Kind::Option, "`7`"),
            (&[("picture", b"x"), ("format", b"gif")], Kind::Option, "png, jpeg"),
            (&[("picture", b"x"), ("scale", b"twice")], Kind::Option, "a number"),
            (&[("picture", b"x"), ("width", b"-1")], Kind::Option, "pixels"),
            (&[("picture", b"x"), ("exact", b"yes")], Kind::Option, "true or false"),
            (&[("picture", b"x"), ("colour", b"x")], Kind::Option, "`colour`"),
            (&[("picture", b"x"), ("prompt", b"\xff")], Kind::Malformed, "UTF-8"),
            (&[("picture", b"x"), ("weights", b"1")], Kind::Prompt, "expected 0 numbers"),
            (&[("picture", b"x"), ("region", b"1,2,3=x")], Kind::Option, "left, top"),
            (&[("picture", b"x"), ("region_faults", b"blur=none")], Kind::Option, "left, top"),
        ] {
            let problem = form(parts).await.unwrap_err();
            let said = serde_json::to_string(&problem).unwrap();
            assert!(problem.kind() == kind && said.contains(word), "{said}");
        }
        for (body, kind, word) in [
            ("{", Kind::Malformed, "not valid JSON"),
            ("{}", Kind::Option, "picture"),
            (r#"{"picture": {"data": "?"}}"#, Kind::Option, "data"),
            (r#"{"picture": {"data": ""}, "colour": 1}"#, Kind::Option, "colour"),
            (r#"{"picture": {"data": ""}, "prompts": [{}]}"#, Kind::Prompt, "either"),
            (
                r#"{"picture": {"data": ""}, "regions": [{"left":0,"top":0,"width":0,"height":1,"text":"x"}]}"#,
                Kind::Option,
                "at least",
            ),
        ] {
            let problem = json(body).unwrap_err();
            let said = serde_json::to_string(&problem).unwrap();
            assert!(problem.kind() == kind && said.contains(word), "{said}");
        }
    }
}
