//! Sessions: upscaling pictures under a prompt.

use crate::encoder::Encoder;
use crate::enlarge::Work;
use crate::enlarge::convert::Numbers;
use crate::error::Error;
use crate::prompt::{Prompt, PromptError, Regions};
use crate::regions::{Rectangle, shares};
use crate::steering::Steering;
use crate::target::Target;
use crate::upscaler::{Upscaler, check_encoder};
use pdn_engine::{Map, Region, RunError, RunOptions, Session as EngineSession};
use pdn_image::{AnyPicture, Depth, Picture, Sample, bleed};

/// Upscales pictures with a shared [`Upscaler`] under its own prompt. It keeps its working memory for the next picture
/// of the same size. A clone has the same prompt and starts without that memory.
#[derive(Clone, Debug)]
pub struct Session {
    upscaler: Upscaler,
    /// `None` for bicubic.
    engine: Option<EngineSession>,
}

impl Upscaler {
    /// Creates a session without a prompt.
    pub fn session(&self) -> Session {
        Session { upscaler: self.clone(), engine: self.plan().cloned().map(EngineSession::new) }
    }

    /// Upscales one picture without a prompt, as [`Session::upscale`] does.
    ///
    /// # Errors
    /// Same as [`Session::upscale`].
    pub fn upscale(
        &self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Picture, Error> {
        self.session().upscale(picture, options, progress)
    }
}

impl Session {
    /// Returns the model that the session uses.
    pub fn upscaler(&self) -> &Upscaler {
        &self.upscaler
    }

    /// Sets the prompt for a picture. A model that takes no prompt accepts [`Prompt::None`].
    ///
    /// # Errors
    /// [`Error::Prompt`] if the prompt cannot be embedded, [`Error::EncoderMismatch`] if it comes from another encoder
    /// than the model's, [`RunError::Prompt`] if the model takes no prompt.
    pub fn set_prompt(&mut self, prompt: &Prompt, encoder: &Encoder, picture: &Picture) -> Result<(), Error> {
        if *prompt == Prompt::None && !self.upscaler.takes_prompt() {
            return Ok(());
        }
        match self.upscaler.used(prompt) {
            Prompt::Regions(regions) => self.set_regions(&regions, encoder, picture),
            prompt => {
                let embedding = self.embedding(&prompt, &Steering::new(encoder, picture))?;
                self.set_embedding(&embedding)
            }
        }
    }

    /// Embeds a prompt with the model's encoder.
    fn embedding(&self, prompt: &Prompt, steering: &Steering) -> Result<Vec<f32>, Error> {
        let embedding = match self.upscaler.hears_faults() {
            true => steering.embed(prompt)?,
            false => prompt.embed(steering.encoder, steering.picture)?,
        };
        check_encoder(self.upscaler.encoder(), &embedding)?;
        Ok(embedding.values)
    }

    fn set_regions(&mut self, regions: &Regions, encoder: &Encoder, picture: &Picture) -> Result<(), Error> {
        let rectangles: Vec<Rectangle> = regions.parts.iter().map(|(rectangle, _)| *rectangle).collect();
        let shares =
            shares(&rectangles, (picture.width(), picture.height()), regions.feather).map_err(PromptError::Region)?;
        let prompts = regions.parts.iter().map(|(_, prompt)| prompt).chain([&regions.rest]);
        let steering = Steering::new(encoder, picture);
        let region = |(prompt, share)| Ok(Region { prompt: unit(&self.embedding(prompt, &steering)?)?, share });
        let regions = prompts.zip(shares).map(region).collect::<Result<Vec<_>, Error>>()?;
        match &mut self.engine {
            Some(engine) => Ok(engine.set_regions(regions)?),
            None => self.set_embedding(&[]),
        }
    }

    /// Sets the prompt by its embedding, which is scaled to unit length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] if the model takes no prompt, or the embedding has another length or no direction.
    pub fn set_embedding(&mut self, embedding: &[f32]) -> Result<(), Error> {
        let Some(engine) = &mut self.engine else {
            let found = format!("a prompt embedding of {} numbers", embedding.len());
            return Err(RunError::Prompt { expected: "no prompt: bicubic takes none".into(), found }.into());
        };
        Ok(engine.set_prompt(&unit(embedding)?)?)
    }

    /// Upscales a picture. Grey pictures stay grey. `progress` receives the fraction done, 0 to 1, and returns whether
    /// to go on.
    ///
    /// Colours hidden under full transparency are first replaced by those of visible neighbours. Transparency that
    /// varies goes through the network, too: this doubles the time, and holds all of it in memory, one sample per pixel
    /// of the result. Areas that are fully clear or fully opaque stay exactly so.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`RunError`]: memory, a missing prompt, cancelled, or a result that is not finite.
    pub fn upscale(
        &mut self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Picture, Error> {
        let header = self.upscaler.header(picture)?;
        let mut samples = Vec::with_capacity(header.row_bytes() * header.height);
        self.upscale_rows(picture, options, progress, &mut |rows| {
            samples.extend_from_slice(rows);
            Ok::<(), Error>(())
        })?;
        Ok(Picture::from_samples(header, samples))
    }

    /// Makes the picture that a target asks for: any size, 8 or 16 bits per sample, with the target's extra steps.
    /// Otherwise works as [`Self::upscale`].
    ///
    /// ```
    /// use pdn::{AnyPicture, Depth, Options, Picture, Size, Target, Upscaler};
    ///
    /// let picture = Picture::from_rgb(2, 2, vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255]);
    /// let target = Target { size: Size::Width(7), depth: Some(Depth::Sixteen), linear_light: true, ..Target::default() };
    /// let upscaler = Upscaler::bicubic(4)?;
    /// let large = upscaler.session().upscale_to(&picture.into(), &target, &Options::default(), &mut |_done| true)?;
    /// assert!(matches!(large, AnyPicture::Sixteen(large) if large.width() == 7));
    /// # Ok::<(), pdn::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`Upscaler::header_for`] and [`Self::upscale`]; [`RunError::Regions`] for a self-ensemble with regional
    /// prompts.
    pub fn upscale_to(
        &mut self,
        picture: &AnyPicture,
        target: &Target,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<AnyPicture, Error> {
        let header = self.upscaler.header_for(picture, target)?;
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

    /// Upscales a picture as [`Self::upscale`] does, and passes it to `give` a few rows at a time, top to bottom,
    /// interleaved as [`Upscaler::header`] says. A [`RowWriter`](crate::RowWriter) takes these rows as they are. The
    /// whole result is in memory, in 8 bits, only if the options make the network run in columns narrower than the
    /// picture. The first error of `give` is returned; it stops the work at the network's next step.
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
    /// upscaler.session().upscale_rows(&picture, &Options::default(), &mut |_done| true, &mut |rows| {
    ///     writer.write_rows(rows).map_err(Box::<dyn std::error::Error>::from)
    /// })?;
    /// writer.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Same as [`Self::upscale`], and any error of `give`.
    pub fn upscale_rows<E: From<Error>>(
        &mut self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = self.upscaler.header(picture)?;
        let work = Work { header: &header, target: &Target::default(), options };
        work.made::<u8, u8, E>(self.engine.as_mut(), picture, progress, give)
    }

    /// Makes a picture as [`Self::upscale_to`] does, and passes on its rows as [`Self::upscale_rows`] does, interleaved
    /// as [`Upscaler::header_for`] says. Samples of 16 bits are in native byte order.
    ///
    /// # Errors
    /// Same as [`Self::upscale_to`], and any error of `give`.
    pub fn upscale_rows_to<E: From<Error>>(
        &mut self,
        picture: &AnyPicture,
        target: &Target,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = self.upscaler.header_for(picture, target)?;
        let (work, engine) = (Work { header: &header, target, options }, self.engine.as_mut());
        match (picture, header.depth) {
            (AnyPicture::Eight(picture), Depth::Eight) => work.made::<_, u8, E>(engine, picture, progress, give),
            (AnyPicture::Eight(picture), Depth::Sixteen) => work.made::<_, u16, E>(engine, picture, progress, give),
            (AnyPicture::Sixteen(picture), Depth::Eight) => work.made::<_, u8, E>(engine, picture, progress, give),
            (AnyPicture::Sixteen(picture), Depth::Sixteen) => work.made::<_, u16, E>(engine, picture, progress, give),
        }
    }

    /// Returns the attention masks of a picture under the prompt: the name of each module's tap and a map of one
    /// channel, 0 to 1. Empty for bicubic and for a network without attention.
    ///
    /// # Errors
    /// Same as [`pdn_engine::Session::masks`].
    pub fn masks(
        &mut self,
        picture: &Picture,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<(String, Map<f32>)>, Error> {
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        let (picture, format) = (bleed(picture), engine.plan().network().picture);
        Ok(engine.masks(&Numbers::new(&picture, &format), options, progress)?)
    }

    /// Frees the memory that is kept for the next picture, which then takes a little longer.
    pub fn release_memory(&mut self) {
        self.engine.iter_mut().for_each(EngineSession::release_memory);
    }
}

/// Scales an embedding to unit length.
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
    use crate::bundled::DEFAULT_MODEL;
    use crate::upscaler::encoder_of;
    use pdn_image::{Scale, resize};
    use pdn_network::zoo::{Edsr, Imdn};
    use pdn_network::{Card, Model};
    use pdn_network::{DcmOptions, Network, hashed};
    use std::cell::Cell;

    fn upscaler(network: Network) -> Upscaler {
        let weights = hashed::weights(&network);
        Upscaler::new(&Model { network, weights, card: Card::default(), source: None }).unwrap()
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
                        .session()
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
            upscaler.session().upscale_rows(&kinds(11, 137)[0], &RunOptions::default(), &mut progress, give).unwrap();
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
            let found = upscaler.session().upscale_rows(&kinds(11, 370)[0], &options, &mut progress, &mut |_| {
                calls += 1;
                Err(Full(calls))
            });
            assert_eq!(found, Err(Full(1)));
            assert!(calls == 1 && (tile == 5 || last < 0.2), "{last} was done");
        }
        let cancelled =
            network.session().upscale_rows(&sample(), &RunOptions::default(), &mut |_| false, &mut |_| Ok(()));
        assert!(matches!(cancelled, Err(Error::Run(RunError::Cancelled))));
    }

    #[test]
    fn bicubic_is_the_published_baseline() {
        assert_eq!(run(&Upscaler::bicubic(4).unwrap(), &sample()), resize(&sample(), Scale::Up(4)));
        assert!(Upscaler::bicubic(0).is_err() && Upscaler::bicubic(65).is_err());
        assert!(Upscaler::bicubic(2).unwrap().session().set_embedding(&[1.0]).is_err());
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
            let mut session = Upscaler::new(&model).unwrap().session();
            session.set_prompt(prompt, &encoder, &sample()).unwrap();
            session.upscale(&sample(), &RunOptions::default(), &mut |_| true).unwrap()
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
            Upscaler::new(&model).unwrap().advice(&picture.clone().into())
        };
        // Noise down to the last pixel has not been blurred.
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
        let upscaler = upscaler(Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap());
        let missing = upscaler.upscale(&sample(), &RunOptions::default(), &mut |_| true);
        assert!(matches!(missing, Err(Error::Run(RunError::Prompt { .. }))));
        let mut session = upscaler.session();
        let mut with = |prompt: &[f32]| {
            session.set_embedding(prompt).unwrap();
            session.upscale(&sample(), &RunOptions::default(), &mut |_| true).unwrap()
        };
        let (a, b) = (hashed::prompt("a", 32), hashed::prompt("b", 32));
        let twice: Vec<f32> = a.iter().map(|v| v * 2.0).collect();
        assert_eq!(with(&a), with(&twice));
        assert_ne!(with(&a), with(&b));
        for bad in [vec![0.0; 32], vec![f32::NAN; 32], vec![1.0; 31]] {
            assert!(session.set_embedding(&bad).is_err());
        }
    }
}
