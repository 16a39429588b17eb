//! The one thing most users want: a picture, enlarged.

use crate::bundled::DEFAULT_MODEL;
use crate::convert::Numbers;
use crate::encoder::{Embedding, Encoder};
use crate::enlarge::{Work, is_larger};
use crate::prompt::{Prompt, PromptError, Regions};
use crate::regions::{Rectangle, shares};
use crate::target::{Size, Target};
use pdn_engine::{Isa, Map, Plan, Precision, Region, RunError, RunOptions};
use pdn_image::{AnyPicture, Depth, Header, Picture, Sample, bleed, blur_likelihood};
use pdn_network::onnx::OnnxError;
use pdn_network::{Card, Model, ModelError, NetworkError};
use std::path::Path;

/// Enlarges pictures, by a model or by MATLAB's bicubic interpolation.
#[derive(Debug)]
pub struct Upscaler {
    engine: Engine,
    /// Id of the encoder that the model was trained with, where its card names one.
    encoder: Option<String>,
    /// What its card has for where no prompt is given.
    without_prompt: Option<String>,
    /// Its name, where it is for benchmarks alone.
    for_benchmarks: Option<String>,
    /// Whether the prompt is one of regions.
    parted: bool,
}

#[derive(Debug)]
enum Engine {
    Bicubic(usize),
    Network(Box<Plan>),
}

/// Why pictures cannot be enlarged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The model's network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The prompt is another encoder's.
    #[error("the prompt is by the encoder {found}, and the model was trained with {expected}: embed it anew")]
    EncoderMismatch {
        /// The model's encoder.
        expected: String,
        /// The embedding's.
        found: String,
    },
    /// The ONNX file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A factor that bicubic interpolation is not asked for.
    #[error("bicubic enlarges by 1 to 64, not by {0}")]
    Scale(usize),
    /// A result of more pixels than are made.
    #[error("would become {width}x{height}, more than the limit of {limit} pixels")]
    TooLarge {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The most pixels.
        limit: usize,
    },
    /// A size that no picture has.
    #[error("cannot be made of size {0}")]
    Size(String),
}

impl Upscaler {
    /// MATLAB's bicubic `imresize` by a whole factor: what super-resolution is measured against.
    ///
    /// # Errors
    /// [`Error::Scale`] for a factor of 0 or above 64.
    pub fn bicubic(scale: usize) -> Result<Self, Error> {
        match scale {
            1..=64 => Ok(Self::of_card(Engine::Bicubic(scale), None, &Card::default())),
            _ => Err(Error::Scale(scale)),
        }
    }

    /// A model file, compiled for this machine's fastest instruction set, with the finest precision that is fast there.
    ///
    /// # Errors
    /// [`Error::Model`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let isa = Isa::best();
        Self::with_precision(&Model::open(path)?, isa, Precision::fast(isa))
    }

    /// A model, compiled for an instruction set, in float32.
    ///
    /// # Errors
    /// As [`Self::with_precision`].
    pub fn new(model: &Model, isa: Isa) -> Result<Self, Error> {
        Self::with_precision(model, isa, Precision::F32)
    }

    /// A model, compiled for an instruction set and with some precision.
    ///
    /// # Errors
    /// [`RunError::Isa`] where the machine lacks the instruction set, [`RunError::Precision`] what the precision needs.
    pub fn with_precision(model: &Model, isa: Isa, precision: Precision) -> Result<Self, Error> {
        let plan = Plan::with_precision(&model.network, &model.weights, isa, precision)?;
        Ok(Self::of_card(Engine::Network(Box::new(plan)), encoder_of(model), &model.card))
    }

    fn of_card(engine: Engine, encoder: Option<String>, card: &Card) -> Self {
        let without_prompt = card.without_prompt().map(str::to_owned);
        let for_benchmarks = card.is_for_benchmarks().then(|| card.name.clone());
        Self { engine, encoder, without_prompt, for_benchmarks, parted: false }
    }

    /// What a person should hear before the model is used on a picture, in a sentence; nothing where both fit. A model that undoes
    /// a blur of 1.3 pixels draws patterns into pictures that do not seem to have it, as [`blur_likelihood`] tells.
    pub fn advice(&self, picture: &AnyPicture) -> Option<String> {
        let name = self.for_benchmarks.as_ref()?;
        let likelihood = match picture {
            AnyPicture::Eight(picture) => blur_likelihood(picture, self.scale()),
            AnyPicture::Sixteen(picture) => blur_likelihood(picture, self.scale()),
        };
        likelihood.filter(|likelihood| *likelihood < 0.5).map(|_| {
            format!(
                "{name} is for benchmarks: it undoes a Gaussian blur of 1.3 px, which this picture does not seem to have, and may \
                 draw patterns into it; {DEFAULT_MODEL} is for photographs"
            )
        })
    }

    /// What steers the model under a prompt: where nothing is said, what its card has for that, or else the picture in a mirror.
    pub fn used(&self, prompt: &Prompt) -> Prompt {
        match (prompt, &self.without_prompt) {
            (prompt, Some(sentence)) => prompt.or_sentence(sentence),
            (Prompt::None, None) => Prompt::Mirror,
            (prompt, None) => prompt.clone(),
        }
    }

    /// Whether the model takes a prompt.
    pub fn takes_prompt(&self) -> bool {
        self.plan().is_some_and(|plan| plan.network().prompt_dim().is_some())
    }

    /// Sets the prompt for a picture. A model that takes none is content with [`Prompt::None`].
    ///
    /// # Errors
    /// [`Error::Prompt`] where the prompt cannot be read, [`Error::EncoderMismatch`] where it is another encoder's than
    /// the model's, [`RunError::Prompt`] where the model takes none.
    pub fn prompt(&mut self, prompt: &Prompt, encoder: &Encoder, picture: &Picture) -> Result<(), Error> {
        if *prompt == Prompt::None && !self.takes_prompt() {
            return Ok(());
        }
        match self.used(prompt) {
            Prompt::Regions(regions) => self.regions(&regions, encoder, picture),
            prompt => {
                let embedding = self.embedding(&prompt, encoder, picture)?;
                self.set_prompt(&embedding)
            }
        }
    }

    /// The numbers of a prompt's embedding, by the model's encoder.
    fn embedding(&self, prompt: &Prompt, encoder: &Encoder, picture: &Picture) -> Result<Vec<f32>, Error> {
        let embedding = prompt.embed(encoder, picture)?;
        check_encoder(self.encoder.as_deref(), &embedding)?;
        Ok(embedding.values)
    }

    fn regions(&mut self, regions: &Regions, encoder: &Encoder, picture: &Picture) -> Result<(), Error> {
        let rectangles: Vec<Rectangle> = regions.parts.iter().map(|(rectangle, _)| *rectangle).collect();
        let shares =
            shares(&rectangles, (picture.width(), picture.height()), regions.feather).map_err(PromptError::Region)?;
        let prompts = regions.parts.iter().map(|(_, prompt)| prompt).chain([&regions.rest]);
        let region = |(prompt, share)| Ok(Region { prompt: unit(&self.embedding(prompt, encoder, picture)?)?, share });
        let regions = prompts.zip(shares).map(region).collect::<Result<Vec<_>, Error>>()?;
        match &mut self.engine {
            Engine::Network(plan) => {
                plan.set_regions(regions)?;
                self.parted = true;
                Ok(())
            }
            Engine::Bicubic(_) => self.set_prompt(&[]),
        }
    }

    /// Sets the prompt by its embedding, which is brought to unit length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the model takes none, one of another length, or this one has no direction.
    pub fn set_prompt(&mut self, embedding: &[f32]) -> Result<(), Error> {
        let Engine::Network(plan) = &mut self.engine else {
            let found = format!("a prompt embedding of {} numbers", embedding.len());
            return Err(RunError::Prompt { expected: "no prompt: bicubic takes none".into(), found }.into());
        };
        plan.set_prompt(&unit(embedding)?)?;
        self.parted = false;
        Ok(())
    }

    /// How many times larger a side becomes.
    pub fn scale(&self) -> usize {
        match &self.engine {
            Engine::Bicubic(scale) => *scale,
            Engine::Network(plan) => plan.network().scale,
        }
    }

    /// Width and height of a picture, enlarged.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn output_size(&self, picture: &Picture) -> Result<(usize, usize), Error> {
        Size::Model.of((picture.width(), picture.height()), self.scale())
    }

    /// The compiled model; `None` for bicubic.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.engine {
            Engine::Bicubic(_) => None,
            Engine::Network(plan) => Some(plan),
        }
    }

    /// What is said of a picture, enlarged: its size, whether it has colour and transparency, its profile.
    ///
    /// # Errors
    /// As [`Self::output_size`].
    pub fn header(&self, picture: &Picture) -> Result<Header, Error> {
        let (width, height) = self.output_size(picture)?;
        Ok(Header { width, height, ..picture.header() })
    }

    /// What is said of a picture, made as a target says.
    ///
    /// # Errors
    /// [`Error::Size`] where the target is no size, [`Error::TooLarge`] beyond a thousand million pixels.
    pub fn header_for(&self, picture: &AnyPicture, target: &Target) -> Result<Header, Error> {
        let (width, height) = target.size.of((picture.width(), picture.height()), self.scale())?;
        let header = picture.header();
        Ok(Header { width, height, depth: target.depth.unwrap_or(header.depth), ..header })
    }

    /// Whether the network is run on a picture for a target: not for bicubic, nor where it becomes larger on no side.
    ///
    /// # Errors
    /// As [`Self::header_for`].
    pub fn runs_network(&self, picture: &AnyPicture, target: &Target) -> Result<bool, Error> {
        let size = (picture.width(), picture.height());
        Ok(self.plan().is_some() && is_larger(target.size.of(size, self.scale())?, size))
    }

    /// Enlarges a picture. Colours hidden under full transparency are replaced by their visible neighbours' first. Transparency that
    /// varies is enlarged by the network, too, which takes as long again and holds it whole, a sample a pixel of the result; what
    /// is clear or opaque all around stays so, exactly. A picture without colour stays without. `progress` is told the part done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`RunError`]: memory, a missing prompt, cancelled, or a result that is not finite.
    pub fn upscale(
        &self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Picture, Error> {
        let header = self.header(picture)?;
        let mut samples = Vec::with_capacity(header.row_bytes() * header.height);
        self.upscale_rows(picture, options, progress, &mut |rows| {
            samples.extend_from_slice(rows);
            Ok::<(), Error>(())
        })?;
        Ok(Picture::from_samples(header, samples))
    }

    /// Makes a picture as a target says: of any size, with 8 or 16 bits a sample, by the network and what is asked for beside
    /// it. Otherwise as [`Self::upscale`].
    ///
    /// ```
    /// use pdn::{AnyPicture, Depth, Options, Picture, Size, Target, Upscaler};
    ///
    /// let picture = Picture::from_rgb(2, 2, vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255]);
    /// let target = Target { size: Size::Width(7), depth: Some(Depth::Sixteen), linear_light: true, ..Target::default() };
    /// let upscaler = Upscaler::bicubic(4)?;
    /// let large = upscaler.upscale_to(&picture.into(), &target, &Options::default(), &mut |_done| true)?;
    /// assert!(matches!(large, AnyPicture::Sixteen(large) if large.width() == 7));
    /// # Ok::<(), pdn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::header_for`] and [`Self::upscale`]; [`RunError::Regions`] for a self-ensemble with prompts for regions.
    pub fn upscale_to(
        &self,
        picture: &AnyPicture,
        target: &Target,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<AnyPicture, Error> {
        let header = self.header_for(picture, target)?;
        let mut bytes = Vec::with_capacity(header.row_bytes() * header.height);
        self.upscale_rows_to(picture, target, options, progress, &mut |rows| {
            bytes.extend_from_slice(rows);
            Ok::<(), Error>(())
        })?;
        Ok(match header.depth {
            Depth::Eight => Picture::<u8>::from_samples(header, bytes).into(),
            Depth::Sixteen => Picture::<u16>::from_samples(header, u16::from_bytes(bytes)).into(),
        })
    }

    /// Enlarges a picture as [`Self::upscale`] does, and gives it a few rows at a time, from the top, interleaved as
    /// [`Self::header`] says: a [`RowWriter`](crate::RowWriter) takes them as they are. The whole is in memory, in 8 bits, only
    /// where the options have the network run in columns narrower than the picture. The first error of `give` ends the work, at
    /// the next step of the network, and is the one that is returned.
    ///
    /// ```
    /// use pdn::{Options, Picture, RowWriter, Upscaler, WriteOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let picture = Picture::from_rgb(2, 2, vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255]);
    /// let upscaler = Upscaler::bicubic(4)?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("large.tif");
    /// let mut writer = RowWriter::create(&path, &upscaler.header(&picture)?, &WriteOptions::default())?;
    /// upscaler.upscale_rows(&picture, &Options::default(), &mut |_done| true, &mut |rows| {
    ///     writer.write_rows(rows).map_err(Box::<dyn std::error::Error>::from)
    /// })?;
    /// writer.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::upscale`], and what `give` returns.
    pub fn upscale_rows<E: From<Error>>(
        &self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = self.header(picture)?;
        self.work(&header, &Target::default(), options).made::<u8, u8, E>(picture, progress, give)
    }

    /// Makes a picture as [`Self::upscale_to`] does, and gives its rows as [`Self::upscale_rows`] does, interleaved as
    /// [`Self::header_for`] says; those of 16 bits a sample in the machine's own order of bytes.
    ///
    /// # Errors
    /// As [`Self::upscale_to`], and what `give` returns.
    pub fn upscale_rows_to<E: From<Error>>(
        &self,
        picture: &AnyPicture,
        target: &Target,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = self.header_for(picture, target)?;
        let work = self.work(&header, target, options);
        match (picture, header.depth) {
            (AnyPicture::Eight(picture), Depth::Eight) => work.made::<_, u8, E>(picture, progress, give),
            (AnyPicture::Eight(picture), Depth::Sixteen) => work.made::<_, u16, E>(picture, progress, give),
            (AnyPicture::Sixteen(picture), Depth::Eight) => work.made::<_, u8, E>(picture, progress, give),
            (AnyPicture::Sixteen(picture), Depth::Sixteen) => work.made::<_, u16, E>(picture, progress, give),
        }
    }

    fn work<'a>(&'a self, header: &'a Header, target: &'a Target, options: &'a RunOptions) -> Work<'a> {
        Work { plan: self.plan(), parted: self.parted, header, target, options }
    }

    /// The attention masks of a picture under the prompt: by the name of each module's tap, one channel of 0 to 1. None for a
    /// network without attention, and for bicubic.
    ///
    /// # Errors
    /// As [`Plan::masks`].
    pub fn masks(
        &self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<(String, Map<f32>)>, Error> {
        let Some(plan) = self.plan() else { return Ok(Vec::new()) };
        let picture = bleed(picture);
        Ok(plan.masks(&Numbers::new(&picture, &plan.network().picture), options, progress)?)
    }
}

/// Id of the encoder that a model was trained with, where its card names one. To a network no module of which reads a prompt it is all the same.
pub(crate) fn encoder_of(model: &Model) -> Option<String> {
    model.network.dcms().next()?;
    model.card.more.get("encoder").and_then(|id| id.as_str()).map(str::to_owned)
}

/// Whether an embedding is by the model's encoder.
pub(crate) fn check_encoder(expected: Option<&str>, embedding: &Embedding) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != embedding.encoder => {
            Err(Error::EncoderMismatch { expected: expected.to_owned(), found: embedding.encoder.clone() })
        }
        _ => Ok(()),
    }
}

/// An embedding brought to unit length.
pub(crate) fn unit(embedding: &[f32]) -> Result<Vec<f32>, RunError> {
    let norm = embedding.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm == 0.0 {
        let expected = "a prompt embedding of finite numbers, not all zero".into();
        return Err(RunError::Prompt { expected, found: format!("one of length {norm}") });
    }
    Ok(embedding.iter().map(|v| (f64::from(*v) / norm) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdn_image::{Scale, resize};
    use pdn_network::zoo::{Edsr, Imdn};
    use pdn_network::{DcmOptions, Network, hashed};
    use std::cell::Cell;

    fn upscaler(network: Network) -> Upscaler {
        let weights = hashed::weights(&network);
        Upscaler::new(&Model { network, weights, card: Card::default(), source: None }, Isa::best()).unwrap()
    }

    fn run(upscaler: &Upscaler, picture: &Picture) -> Picture {
        upscaler.upscale(picture, &RunOptions::default(), &mut |_| true).unwrap()
    }

    fn sample() -> Picture {
        Picture::from_rgb(12, 9, (0..324).map(|i| (i * 5 % 256) as u8).collect())
    }

    #[test]
    fn grey_stays_grey_and_alpha_keeps_its_flat_parts() {
        let mut grey = Picture::from_rgb(12, 9, (0..108_u8).flat_map(|i| [i * 2; 3]).collect());
        grey.grey = true;
        let alpha: Vec<u8> = (0..108).map(|i| if i % 12 < 6 { 0 } else { 255 }).collect();
        for upscaler in [Upscaler::bicubic(2).unwrap(), upscaler(Imdn::published(2).build().unwrap())] {
            let large = run(&upscaler, &grey);
            assert!(large.grey && large.rgb().chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
            let large = run(&upscaler, &sample().with_alpha(Some(alpha.clone())));
            let found = large.alpha().unwrap();
            assert!(found.chunks(24).all(|row| row[..6].iter().all(|a| *a == 0)));
            assert!(found.chunks(24).all(|row| row[18..].iter().all(|a| *a == 255)));
            let opaque = run(&upscaler, &sample().with_alpha(Some(vec![255; 108])));
            assert!(opaque.alpha().unwrap().iter().all(|a| *a == 255));
            assert_eq!(opaque.rgb(), run(&upscaler, &sample()).rgb(), "an opaque alpha changes no colour");
        }
    }

    /// Pictures with and without colour and transparency.
    fn kinds(width: usize, height: usize) -> Vec<Picture> {
        let pixels = width * height;
        let alpha: Vec<u8> = (0..pixels).map(|i| (i * 11 % 300).saturating_sub(45) as u8).collect();
        let colour = Picture::from_rgb(width, height, (0..pixels * 3).map(|i| (i * 7 % 251) as u8).collect());
        let mut grey = Picture::from_rgb(width, height, (0..pixels).flat_map(|i| [(i * 5 % 256) as u8; 3]).collect());
        (grey.grey, grey.icc) = (true, Some(vec![3; 40]));
        vec![colour.clone(), colour.with_alpha(Some(alpha.clone())), grey.clone(), grey.with_alpha(Some(alpha))]
    }

    #[test]
    fn rows_are_those_of_the_whole_however_they_come() {
        let network = upscaler(Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
        for upscaler in [Upscaler::bicubic(3).unwrap(), network] {
            for picture in kinds(11, 37) {
                let whole = run(&upscaler, &picture);
                let header = upscaler.header(&picture).unwrap();
                assert_eq!(whole.header(), header);
                // The whole; bands of whole rows; columns, which are gathered.
                for tile in [None, Some(12), Some(5)] {
                    let mut rows = Vec::new();
                    let options = RunOptions { tile, ..RunOptions::default() };
                    upscaler
                        .upscale_rows(&picture, &options, &mut |_| true, &mut |given| {
                            rows.extend_from_slice(given);
                            Ok::<(), Error>(())
                        })
                        .unwrap();
                    assert_eq!(rows, whole.samples(0..header.height).into_owned(), "tiles of {tile:?}");
                }
            }
        }
    }

    #[test]
    fn bands_are_given_before_the_work_is_done() {
        let upscaler = upscaler(Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
        // Bands are higher with more threads.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (part, bytes) = pool.install(|| {
            let (done, given) = (Cell::new(0.0), Cell::new(None));
            let mut progress = |part| {
                done.set(part);
                true
            };
            let give = &mut |rows: &[u8]| {
                given.set(given.get().or(Some((done.get(), rows.len()))));
                Ok::<(), Error>(())
            };
            upscaler.upscale_rows(&kinds(11, 137)[0], &RunOptions::default(), &mut progress, give).unwrap();
            given.get().unwrap()
        });
        assert!(part < 0.5 && bytes % (22 * 3) == 0, "{bytes} bytes at {part}");
    }

    #[test]
    fn the_error_of_who_takes_the_rows_ends_the_work() {
        #[derive(Debug, PartialEq)]
        struct Full(usize);
        impl From<Error> for Full {
            fn from(error: Error) -> Self {
                panic!("the other error: {error}")
            }
        }
        let network = upscaler(Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap());
        for (upscaler, tile) in [(&Upscaler::bicubic(64).unwrap(), 12), (&network, 12), (&network, 5)] {
            let (mut calls, mut last) = (0, 0.0);
            let options = RunOptions { tile: Some(tile), ..RunOptions::default() };
            let mut progress = |done| {
                last = done;
                true
            };
            let found = upscaler.upscale_rows(&kinds(11, 370)[0], &options, &mut progress, &mut |_| {
                calls += 1;
                Err(Full(calls))
            });
            assert_eq!(found, Err(Full(1)));
            assert!(calls == 1 && (tile == 5 || last < 0.2), "{last} was done");
        }
        let cancelled = network.upscale_rows(&sample(), &RunOptions::default(), &mut |_| false, &mut |_| Ok(()));
        assert!(matches!(cancelled, Err(Error::Run(RunError::Cancelled))));
    }

    #[test]
    fn bicubic_is_the_published_baseline() {
        assert_eq!(run(&Upscaler::bicubic(4).unwrap(), &sample()), resize(&sample(), Scale::Up(4)));
        assert!(Upscaler::bicubic(0).is_err() && Upscaler::bicubic(65).is_err());
        assert!(Upscaler::bicubic(2).unwrap().set_prompt(&[1.0]).is_err());
    }

    #[test]
    fn an_encoder_matters_to_what_reads_prompts() {
        let edsr = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) };
        let steered = edsr.clone().plus(DcmOptions { dim: 32, ..DcmOptions::default() });
        for (network, expected) in [(edsr.build().unwrap(), None), (steered.build().unwrap(), Some("some@1"))] {
            let mut card = Card::default();
            card.more.insert("encoder".into(), "some@1".into());
            let model = Model { weights: hashed::weights(&network), network, card, source: None };
            assert_eq!(encoder_of(&model).as_deref(), expected);
        }
    }

    #[test]
    fn a_card_says_what_no_prompt_means() {
        let dcm = DcmOptions { dim: 256, ..DcmOptions::default() };
        let network = Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        let encoder = crate::bundled_encoder().unwrap();
        let enlarged = |card: &Card, prompt: &Prompt| {
            let (weights, card) = (hashed::weights(&network), card.clone());
            let model = Model { network: network.clone(), weights, card, source: None };
            let mut upscaler = Upscaler::new(&model, Isa::best()).unwrap();
            upscaler.prompt(prompt, &encoder, &sample()).unwrap();
            run(&upscaler, &sample())
        };
        let (silent, mut says) = (Card::default(), Card::default());
        says.more.insert("without_prompt".into(), "a photo".into());
        let photo = enlarged(&silent, &Prompt::Text("a photo".into()));
        assert_eq!(enlarged(&says, &Prompt::None), photo);
        assert_eq!(enlarged(&silent, &Prompt::None), enlarged(&says, &Prompt::Mirror));
        assert_ne!(enlarged(&silent, &Prompt::None), photo);
        let mix = |first: Prompt| Prompt::Mix(vec![(1.0, first), (2.0, Prompt::Text("a dog".into()))]);
        assert_eq!(enlarged(&says, &mix(Prompt::None)), enlarged(&silent, &mix(Prompt::Text("a photo".into()))));
    }

    #[test]
    fn only_networks_for_benchmarks_are_advised_against() {
        let advice = |degradation: serde_json::Value, picture: &Picture| {
            let network = Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
            let mut card = Card { name: "mine".into(), ..Card::default() };
            card.more.insert("recipe".into(), serde_json::json!({"degradation": degradation}));
            let model = Model { weights: hashed::weights(&network), network, card, source: None };
            Upscaler::new(&model, Isa::best()).unwrap().advice(&picture.clone().into())
        };
        // Noise to the last pixel has not been blurred.
        let noise = |side: usize| {
            let level = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
            Picture::from_rgb(side, side, (0..side * side * 3).map(|i| level(i) as u8).collect())
        };
        for degradation in ["blur-bicubic".into(), serde_json::json!(["blur-bicubic-16", "blur-bicubic"])] {
            let advice = advice(degradation, &noise(64)).unwrap();
            assert!(advice.contains("mine is for benchmarks") && advice.contains(DEFAULT_MODEL), "{advice}");
        }
        for degradation in ["practical".into(), "bicubic".into(), serde_json::json!(["blur-bicubic", "bicubic"])] {
            assert_eq!(advice(degradation, &noise(64)), None);
        }
        assert_eq!(advice("blur-bicubic".into(), &noise(8)), None, "too small to tell");
        assert_eq!(Upscaler::bicubic(4).unwrap().advice(&noise(64).into()), None);
    }

    #[test]
    fn a_prompt_steers_and_its_length_does_not() {
        let dcm = DcmOptions { dim: 32, ..DcmOptions::default() };
        let mut upscaler = upscaler(Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap());
        let missing = upscaler.upscale(&sample(), &RunOptions::default(), &mut |_| true);
        assert!(matches!(missing, Err(Error::Run(RunError::Prompt { .. }))));
        let mut with = |prompt: &[f32]| {
            upscaler.set_prompt(prompt).unwrap();
            run(&upscaler, &sample())
        };
        let (a, b) = (hashed::prompt("a", 32), hashed::prompt("b", 32));
        let twice: Vec<f32> = a.iter().map(|v| v * 2.0).collect();
        assert_eq!(with(&a), with(&twice));
        assert_ne!(with(&a), with(&b));
        for bad in [vec![0.0; 32], vec![f32::NAN; 32], vec![1.0; 31]] {
            assert!(upscaler.set_prompt(&bad).is_err());
        }
    }
}
