//! How an enlarged picture is to look: its size, its depth, and what is done beside the network's own work.

use crate::args::choices::ModelChoice;
use crate::shared::failure::Failure;
use pdn::{AnyPicture, Depth, Format, Light, Size, Target};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it looks")]
pub(crate) struct Look {
    /// Pixels of the result's width; with --height, the most
    #[arg(long, value_name = "PIXELS", conflicts_with_all = ["scale", "megapixels"], help_heading = "Model and size")]
    pub(crate) width: Option<usize>,
    /// Pixels of the result's height; with --width, the most
    #[arg(long, value_name = "PIXELS", conflicts_with_all = ["scale", "megapixels"], help_heading = "Model and size")]
    pub(crate) height: Option<usize>,
    /// Stretch to --width and --height, whatever the picture's shape
    #[arg(long, requires = "width", requires = "height", help_heading = "Model and size")]
    pub(crate) exact: bool,
    /// Millions of pixels of the result
    #[arg(long, value_name = "MILLIONS", conflicts_with = "scale", help_heading = "Model and size")]
    pub(crate) megapixels: Option<f64>,
    /// Resize to another size than the network's in linear light, by the curves of the ICC profile, or else sRGB's
    #[arg(long)]
    pub(crate) linear_light: bool,
    /// Bits of a sample, 8 or 16 [default: as the picture has them, where the format does]
    ///
    /// PNG, TIFF and JPEG XL have 16; AVIF keeps 10 of them.
    #[arg(long, value_name = "BITS")]
    pub(crate) depth: Option<Depth>,
    #[command(flatten)]
    pub(crate) extras: Extras,
}

/// What is done beside a network's own work.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "How it looks")]
pub(crate) struct Extras {
    /// Give the result the picture's own colours, where the network shifts them
    ///
    /// The low frequencies of what the network gives are replaced by the picture's.
    #[arg(long)]
    pub(crate) color_fix: bool,
    /// Take the mean over the picture's eight flips and rotations: a little better, eight times as long
    ///
    /// 0.23 dB with pdn-x4 on Set5 (31.82 to 32.05).
    #[arg(long)]
    pub(crate) self_ensemble: bool,
}

impl Extras {
    pub(crate) fn target(self) -> Target {
        Target { color_fix: self.color_fix, self_ensemble: self.self_ensemble, ..Target::default() }
    }

    /// In words, to stand behind a model's name.
    pub(crate) fn words(self) -> String {
        let words = [(self.self_ensemble, ", mean of eight flips and rotations"), (self.color_fix, ", colours fixed")];
        words.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
    }

    /// Whether it fits the model.
    pub(crate) fn check(self, model: &ModelChoice) -> Result<(), Failure> {
        let option = if self.color_fix { "--color-fix" } else { "--self-ensemble" };
        match (self.color_fix || self.self_ensemble) && model.is_bicubic() {
            true => Err(Failure::usage(format_args!("{option} is for networks: it changes nothing in bicubic"))),
            false => Ok(()),
        }
    }
}

impl Look {
    /// The size that is asked for.
    fn size(&self, model: &ModelChoice) -> Size {
        match (self.width, self.height, self.megapixels, model.scale) {
            (Some(width), Some(height), ..) if self.exact => Size::Exact(width, height),
            (Some(width), Some(height), ..) => Size::Within(width, height),
            (Some(width), ..) => Size::Width(width),
            (_, Some(height), ..) => Size::Height(height),
            (.., Some(millions), _) => Size::Megapixels(millions),
            (.., Some(scale)) => Size::Factor(scale),
            _ => Size::Model,
        }
    }

    /// The same as a part of a file's name; `own` is the model's scale.
    pub(crate) fn size_in_names(&self, model: &ModelChoice, own: usize) -> String {
        match self.size(model) {
            Size::Exact(width, height) | Size::Within(width, height) => format!("{width}x{height}"),
            Size::Width(width) => format!("{width}w"),
            Size::Height(height) => format!("{height}h"),
            Size::Megapixels(millions) => format!("{millions}mp"),
            Size::Factor(scale) => format!("x{scale}"),
            Size::Model => format!("x{own}"),
        }
    }

    /// What a picture becomes in a format; `say` is told what it loses by that.
    pub(crate) fn target(
        &self,
        model: &ModelChoice,
        picture: &AnyPicture,
        format: Format,
        say: &mut dyn FnMut(&str),
    ) -> Target {
        let own = picture.header();
        if self.linear_light && own.icc.as_deref().is_some_and(|icc| Light::of_profile(icc).is_none()) {
            say("its ICC profile has no curve for each colour: sRGB's are taken for light");
        }
        let (found, bits) = (self.depth.unwrap_or(own.depth).bits(), format.bits());
        if found > bits {
            let of = if self.depth.is_some() { "that were asked for" } else { "of the file" };
            say(&format!("written as {bits} bits a sample, not the {found} {of}: {format} has no more"));
        }
        let depth = self.depth.unwrap_or(own.depth.min(format.depth()));
        Target { size: self.size(model), depth: Some(depth), linear_light: self.linear_light, ..self.extras.target() }
    }

    /// Whether what is asked for fits together, and the formats that are written.
    pub(crate) fn check(&self, model: &ModelChoice, formats: &[Format], quality: Option<u8>) -> Result<(), Failure> {
        self.extras.check(model)?;
        for (option, side) in [("--width", self.width), ("--height", self.height)] {
            if side == Some(0) {
                return Err(Failure::usage(format_args!("{option} 0: expected a pixel at least")));
            }
        }
        let shallow = formats.iter().find(|format| self.depth.is_some_and(|depth| depth > format.depth()));
        if let Some(format) = shallow {
            return Err(Failure::usage(format_args!("--depth 16: {format} has 8 bits a sample, write .png or .tif")));
        }
        match formats.first().filter(|_| quality.is_some() && !formats.iter().any(|format| format.has_quality())) {
            None => Ok(()),
            Some(Format::WebP) => Err(Failure::usage(
                "--quality: this build writes WebP without loss: build it with the feature `webp-lossy`, or write .jpg",
            )),
            Some(format) => {
                let why = format_args!("--quality: {format} is written without loss; JPEG has a quality");
                Err(Failure::usage(why))
            }
        }
    }
}
