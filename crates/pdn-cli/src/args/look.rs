//! The size, bit depth and post-processing of an upscaled picture.

use crate::args::choices::ModelChoice;
use crate::shared::failure::Failure;
use pdn::{AnyPicture, Depth, Format, Light, Size, Target};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct Look {
    /// Width of the result in pixels; with --height, the maximum width
    #[arg(long, value_name = "PIXELS", conflicts_with_all = ["scale", "megapixels"], help_heading = "Model and size")]
    pub(crate) width: Option<usize>,
    /// Height of the result in pixels; with --width, the maximum height
    #[arg(long, value_name = "PIXELS", conflicts_with_all = ["scale", "megapixels"], help_heading = "Model and size")]
    pub(crate) height: Option<usize>,
    /// Stretch to exactly --width x --height, ignoring the aspect ratio
    #[arg(long, requires = "width", requires = "height", help_heading = "Model and size")]
    pub(crate) exact: bool,
    /// Size of the result in megapixels
    #[arg(long, value_name = "MILLIONS", conflicts_with = "scale", help_heading = "Model and size")]
    pub(crate) megapixels: Option<f64>,
    /// Resize in linear light, by the tone curves of the ICC profile or else of sRGB, if the size is not the network's
    #[arg(long)]
    pub(crate) linear_light: bool,
    /// Bits per sample, 8 or 16 [default: as in the input, if the output format supports it]
    ///
    /// PNG, TIFF and JPEG XL support 16; AVIF keeps 10 of them.
    #[arg(long, value_name = "BITS")]
    pub(crate) depth: Option<Depth>,
    #[command(flatten)]
    pub(crate) extras: Extras,
}

/// Work around the network's own.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct Extras {
    /// Correct colour shifts of the network
    ///
    /// Replaces the low frequencies of the network's output with those of the input.
    #[arg(long)]
    pub(crate) color_fix: bool,
    /// Average the results for the eight flips and rotations of the picture: slightly better, eight times slower
    ///
    /// 0.23 dB with pdn-x4 on Set5 (31.82 to 32.05).
    #[arg(long)]
    pub(crate) self_ensemble: bool,
}

impl Extras {
    pub(crate) fn target(self) -> Target {
        Target { color_fix: self.color_fix, self_ensemble: self.self_ensemble, ..Target::default() }
    }

    /// Returns the options in words, to follow a model's name.
    pub(crate) fn words(self) -> String {
        let words = [(self.self_ensemble, ", mean of eight flips and rotations"), (self.color_fix, ", colours fixed")];
        words.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
    }

    /// Checks that the model supports the options.
    pub(crate) fn check(self, model: &ModelChoice) -> Result<(), Failure> {
        let option = if self.color_fix { "--color-fix" } else { "--self-ensemble" };
        match (self.color_fix || self.self_ensemble) && model.is_bicubic() {
            true => Err(Failure::usage(format_args!("{option}: bicubic does not support it; use it with a network"))),
            false => Ok(()),
        }
    }
}

impl Look {
    /// Returns the requested size.
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

    /// Returns the requested size as part of a file name; `own` is the model's scale.
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

    /// Returns what a picture becomes in a format; passes losses to `say`.
    pub(crate) fn target(
        &self,
        model: &ModelChoice,
        picture: &AnyPicture,
        format: Format,
        say: &mut dyn FnMut(&str),
    ) -> Target {
        let own = picture.header();
        if self.linear_light && own.icc.as_deref().is_some_and(|icc| Light::of_profile(icc).is_none()) {
            say("its ICC profile has no tone curve per channel: using those of sRGB for linear light");
        }
        let (found, bits) = (self.depth.unwrap_or(own.depth).bits(), format.bits());
        if found > bits {
            let of = if self.depth.is_some() { "requested" } else { "of the input" };
            say(&format!(
                "{format} supports at most {bits} bits per sample: writing {bits} instead of the {found} {of}"
            ));
        }
        let depth = self.depth.unwrap_or(own.depth.min(format.depth()));
        Target { size: self.size(model), depth: Some(depth), linear_light: self.linear_light, ..self.extras.target() }
    }

    /// Checks that the options fit each other and the output formats.
    pub(crate) fn check(&self, model: &ModelChoice, formats: &[Format], quality: Option<u8>) -> Result<(), Failure> {
        self.extras.check(model)?;
        for (option, side) in [("--width", self.width), ("--height", self.height)] {
            if side == Some(0) {
                return Err(Failure::usage(format_args!("{option} 0: expected at least one pixel")));
            }
        }
        let shallow = formats.iter().find(|format| self.depth.is_some_and(|depth| depth > format.depth()));
        if let Some(format) = shallow {
            return Err(Failure::usage(format_args!(
                "--depth 16: {format} has 8 bits per sample; write .png or .tif instead"
            )));
        }
        match formats.first().filter(|_| quality.is_some() && !formats.iter().any(|format| format.has_quality())) {
            None => Ok(()),
            Some(Format::WebP) => Err(Failure::usage(
                "--quality: this build writes only lossless WebP; rebuild with the feature `webp-lossy`, or write .jpg",
            )),
            Some(format) => {
                let why = format_args!("--quality: {format} is lossless; write .jpg to choose a quality");
                Err(Failure::usage(why))
            }
        }
    }
}
