//! Turns a request into a job: parses and checks it, decodes its picture, and builds its prompt.

use crate::app::App;
use crate::http::body::{Upload, run_blocking};
use crate::http::request::{EnlargeRequest, FileFormat, PromptSource, RegionSource, Source};
use crate::http::told::AllTold;
use crate::jobs::account::{HeldPicture, Share, Stage};
use crate::jobs::bytes::ENTRY;
use crate::jobs::job::{Order, Prepared};
use crate::jobs::models::ModelView;
use crate::problem::{Kind, Problem, Unit};
use axum::http::HeaderMap;
use pdn::{AnyPicture, FileFault, Prompt, Rectangle, RegionError};
use std::sync::Arc;
use tokio::runtime::Handle;
use uuid::Uuid;

/// The most prompts and regions of a request: each costs an embedding.
const PROMPTS: usize = 16;

/// A parsed request and the share of its bytes.
pub(crate) struct Asked {
    pub(crate) request: EnlargeRequest,
    pub(crate) share: Share,
}

/// Sizes in bytes from which a body is parsed, and texts are checked, on a blocking thread.
const LONG: usize = 64 << 10;
const LONG_TEXTS: usize = 4 << 10;

impl App {
    /// Returns a picture, kept or decoded from a file, with its id or a new one to keep it by.
    pub(crate) async fn picture(&self, source: Source) -> Result<(Uuid, HeldPicture), Problem> {
        match source {
            Source::Kept(id) => Ok((id, self.kept_picture(id)?)),
            Source::File(bytes) => Ok((Uuid::new_v4(), self.decode(bytes).await?)),
        }
    }

    /// Parses a body without validating it.
    pub(crate) async fn parse(&self, headers: &HeaderMap, upload: Upload) -> Result<Asked, Problem> {
        let Upload { bytes, mut share } = upload;
        // A form's parts are copies of the body; JSON has base64 and its decoded bytes.
        self.grow(&mut share, bytes.len() * 3, Stage::Receiving)?;
        let request = match bytes.len() {
            ..LONG => EnlargeRequest::read(headers, bytes).await?,
            _ => {
                let (headers, runtime) = (headers.clone(), Handle::current());
                let read = move || runtime.block_on(EnlargeRequest::read(&headers, bytes));
                run_blocking(self.turn().await, read)
                    .await
                    .ok_or_else(|| Kind::Internal.because("the request's reader crashed"))??
            }
        };
        share.shrink_to(request.bytes());
        Ok(Asked { request, share })
    }

    /// Checks everything that can be checked before the work.
    pub(crate) async fn prepare(self: &Arc<Self>, Asked { request, share }: Asked) -> Result<Prepared, Problem> {
        let (model, view) = self.model(request.model.as_deref())?;
        if !(1..=100).contains(&request.quality) {
            return Err(Kind::Option.because(format_args!("quality {}: expected 1 to 100", request.quality)));
        }
        self.check_prompts(view, &request)?;
        let told = AllTold::of(view, &request)?;
        self.check_texts(&request).await?;
        let words = self.share_soon(ENTRY + request.text_bytes(), Stage::Reading).await?;
        let (id, held) = self.picture(request.picture).await?;
        let picture = &held.picture;
        let size = (picture.width(), picture.height());
        let sizing = request.sizing.size()?;
        let output = sizing.of(size, view.scale)?;
        check_format(request.format, output, picture)?;
        check_regions(&request.regions, size)?;
        let mut shares = vec![Arc::new(words)];
        let rest = self.prompt(request.prompts, &mut shares).await?;
        let prompt = told.around(rest, request.regions, request.feather);
        // The files have been decoded.
        drop(share);
        let order = Order {
            model,
            model_name: view.name.clone(),
            scale: view.scale,
            takes_prompt: view.takes_prompt,
            picture: id,
            size,
            sizing,
            output,
            sample_bytes: (3 + usize::from(picture.has_transparency())) * picture.header().depth.bytes(),
            prompt,
            is_network: self.models.is_network(model),
            format: request.format,
            quality: request.quality,
            shares,
        };
        Ok(Prepared { order, picture: held })
    }

    fn model(&self, name: Option<&str>) -> Result<(usize, &ModelView), Problem> {
        let named = |view: &&ModelView| name.is_none_or(|name| view.name == name);
        let found = self.views.iter().enumerate().find(|(_, view)| named(view));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.views.iter().map(|view| view.name.as_str()).collect();
            Kind::Option.because(format_args!(
                "no model `{}`: expected one of {}",
                name.unwrap_or_default(),
                known.join(", ")
            ))
        })
    }

    fn check_prompts(&self, view: &ModelView, request: &EnlargeRequest) -> Result<(), Problem> {
        let given = request.prompts.len() + request.regions.len();
        if given > 0 && !view.takes_prompt {
            return Err(Kind::Prompt.because(format_args!("the model {} takes no prompt; leave it out", view.name)));
        }
        if given > PROMPTS {
            let why = format_args!("{given} prompts and regions: expected at most {PROMPTS}");
            return Err(Kind::Prompt.because(why).limited(Unit::Prompts, PROMPTS as u64, Some(given as u64)));
        }
        if let Some((weight, _)) = request.prompts.iter().find(|(weight, _)| !weight.is_finite()) {
            return Err(Kind::Prompt.because(format_args!("prompt weight {weight}: expected a finite number")));
        }
        Ok(())
    }

    /// Checks that the encoder can read the texts.
    async fn check_texts(self: &Arc<Self>, request: &EnlargeRequest) -> Result<(), Problem> {
        let texts = request.prompts.iter().filter_map(|(_, source)| match source {
            PromptSource::Text(text) => Some(text),
            PromptSource::Picture(_) => None,
        });
        let spoken = request.regions.iter().filter(|region| region.has_words());
        let texts: Vec<String> = texts.chain(spoken.map(|region| &region.text)).cloned().collect();
        let app = Arc::clone(self);
        let check = move || texts.iter().try_for_each(|text| app.encoder.tokens(text).map(drop).map_err(Problem::from));
        match request.text_bytes() {
            ..LONG_TEXTS => check(),
            _ => run_blocking(self.turn().await, check)
                .await
                .ok_or_else(|| Kind::Internal.because("the encoder crashed"))?,
        }
    }

    /// Checks that the pictures of a request's prompts together have at most as many pixels as a single picture may
    /// have.
    fn check_prompt_pixels(&self, found: u64) -> Result<(), Problem> {
        let limit = self.settings.pixels;
        if found <= limit {
            return Ok(());
        }
        let why = format_args!("they have at least {found} pixels, more than the limit of {limit}");
        let problem = Kind::ManyPixels.because(why).limited(Unit::Pixels, limit, Some(found));
        Err(problem.of("prompt_picture", "the prompts' pictures together"))
    }

    /// Combines the request's prompts into one.
    async fn prompt(&self, given: Vec<(f32, PromptSource)>, shares: &mut Vec<Arc<Share>>) -> Result<Prompt, Problem> {
        let (mut prompts, mut pixels) = (Vec::with_capacity(given.len()), 0);
        for (weight, source) in given {
            let prompt = match source {
                PromptSource::Text(text) => Prompt::Text(text),
                PromptSource::Picture(source) => {
                    let (_, HeldPicture { picture, share, .. }) = self
                        .picture(source)
                        .await
                        .map_err(|problem| problem.of("prompt_picture", "the prompt's picture"))?;
                    pixels += picture.width() as u64 * picture.height() as u64;
                    self.check_prompt_pixels(pixels)?;
                    shares.push(share);
                    Prompt::Picture { picture, file: None }
                }
            };
            prompts.push((weight, prompt));
        }
        // A single prompt with a positive weight needs no mix.
        Ok(match prompts.len() {
            0 => Prompt::None,
            1 if prompts[0].0 > 0.0 => prompts.remove(0).1,
            _ => Prompt::Mix(prompts),
        })
    }
}

fn check_format(format: FileFormat, (width, height): (usize, usize), picture: &AnyPicture) -> Result<(), Problem> {
    format.format().check_size(width, height)?;
    match format {
        FileFormat::Jpeg if picture.has_transparency() => Err(FileFault::NoAlpha.into()),
        _ => Ok(()),
    }
}

fn check_regions(regions: &[RegionSource], (width, height): (usize, usize)) -> Result<(), Problem> {
    let inside = |start: usize, length: usize, whole: usize| start.checked_add(length).is_some_and(|end| end <= whole);
    let outside = |r: &Rectangle| !inside(r.left, r.width, width) || !inside(r.top, r.height, height);
    match regions.iter().map(|region| region.rectangle).find(outside) {
        Some(rectangle) => Err(Kind::Region.because(RegionError::Outside { rectangle, width, height })),
        None => Ok(()),
    }
}
