//! Options that several commands share: prompts, encoder, model, engine.

use crate::args::prompts::{PROMPTS, PromptArgs};
use crate::display::say::tell;
use pdn::{Activation, Degradation, Isa, Precision};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt")]
pub(crate) struct PromptChoice {
    #[command(flatten)]
    pub(crate) given: PromptArgs,
    /// Use each picture's first caption, from a file, or with `sidecar` the first line of photo.txt next to photo.jpg
    ///
    /// The file is a .csv of image,caption or image,split,caption, or a .json list of {"file", "captions"}. Captions are matched by
    /// the picture's file name.
    #[arg(long, value_name = "FILE", conflicts_with_all = PROMPTS)]
    pub(crate) captions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt")]
pub(crate) struct EncoderChoice {
    /// Prompt encoder: a file, or a name on the Hugging Face Hub [default: the bundled encoder]
    ///
    /// The file has weights of pdn's encoder, or of CLIP as saved by OpenAI, open_clip or Hugging Face. A Hub name is, for example,
    /// openai/clip-vit-base-patch32.
    #[arg(long, value_name = "ENCODER")]
    pub(crate) encoder: Option<PathBuf>,
    /// Activation of a CLIP model, quick-gelu or gelu, if its files do not say
    #[arg(long, value_name = "NAME", requires = "encoder")]
    pub(crate) encoder_activation: Option<Activation>,
    /// Truncate a prompt that is too long for the encoder instead of refusing it
    #[arg(long)]
    pub(crate) truncate_prompt: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model and size")]
pub(crate) struct ModelChoice {
    /// Network: a name listed by `pdn models`, a file, or a model on the Hugging Face Hub [default: pdn-photo-x4]
    ///
    /// A file is .safetensors, .pth or .pt; a Hub model is owner/name or owner/name:file. `bicubic` resizes as MATLAB's imresize does,
    /// as a baseline.
    #[arg(id = "model", short, long, value_name = "MODEL")]
    pub(crate) named: Option<PathBuf>,
    /// Scale factor, such as 2, 2.5 or x3 [default: the network's scale; 4 for bicubic]
    ///
    /// If it differs from the network's scale, the network's output is resized.
    #[arg(short, long, value_name = "N", value_parser = scale)]
    pub(crate) scale: Option<f64>,
}

impl ModelChoice {
    /// The chosen model, or else the default one.
    pub(crate) fn model(&self) -> &Path {
        self.named.as_deref().unwrap_or_else(|| Path::new(pdn::DEFAULT_MODEL))
    }

    pub(crate) fn is_bicubic(&self) -> bool {
        self.model() == Path::new("bicubic")
    }
}

/// Parses `2`, `x2`, `2x` or `2.5`.
fn scale(text: &str) -> Result<f64, String> {
    let is_times = |c: char| matches!(c, 'x' | 'X' | '×');
    let number = text.strip_prefix(is_times).or_else(|| text.strip_suffix(is_times)).unwrap_or(text);
    number.parse().map_err(|_| "expected a number, such as 2, 2.5 or x3".to_owned())
}

/// How low-resolution pictures are made from large ones.
#[derive(Debug, clap::Args)]
pub(crate) struct DegradationChoice {
    /// Degradation: blur-bicubic (Gaussian of 1.3 pixels, then bicubic, as in the paper, rounded in between as MATLAB does),
    /// blur-bicubic-float (rounded once), blur-bicubic-16 (16 bits per sample), bicubic, practical[:SEED] (blur, noise and
    /// JPEG, drawn at random for each file name), mixed[:SEED] (the same in a fixed order, so that it can be told), or known faults
    /// such as blur=0.3,noise=10,jpeg=60 (the blur in pixels of the small picture)
    #[arg(long, value_name = "NAME", default_value_t = Degradation::BlurBicubic)]
    pub(crate) degradation: Degradation,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Performance")]
pub(crate) struct EngineChoice {
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest available]
    #[arg(long, env = "PDN_ISA")]
    pub(crate) isa: Option<Isa>,
    /// Precision of the products in convolutions: 24, 16 or 8 significant bits
    ///
    /// bf16x2 needs AMX, bf16 needs AMX or AVX-512 BF16; without them f32 is used, with a warning.
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// Memory for a network's feature maps, in MiB; wide pictures are split into columns, with identical results
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) memory: usize,
    /// Width of the columns, in input pixels [default: as wide as --memory allows]
    #[arg(long, value_name = "PIXELS")]
    pub(crate) tile: Option<NonZeroUsize>,
}

/// The precision of the products in convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PrecisionChoice {
    /// bf16x2 on machines with AMX, f32 on others
    Auto,
    /// Single precision
    F32,
    /// Each number as a sum of two bf16: almost every 8-bit result is the same as with f32
    Bf16x2,
    /// bf16: the fastest, differing by about half an 8-bit level
    Bf16,
}

impl EngineChoice {
    /// Returns the instruction set and the precision to use, by [`PrecisionChoice::on`].
    pub(crate) fn target(&self) -> (Isa, Precision) {
        let isa = self.isa.unwrap_or_else(Isa::best);
        (isa, self.precision.on(isa))
    }
}

impl PrecisionChoice {
    /// Returns the precision to use: f32, with a warning, if this machine lacks the requested one.
    pub(crate) fn on(self, isa: Isa) -> Precision {
        let asked = match self {
            Self::Auto => Precision::fast(isa),
            Self::F32 => Precision::F32,
            Self::Bf16x2 => Precision::Bf16x2,
            Self::Bf16 => Precision::Bf16,
        };
        if asked != Precision::F32 && (isa != Isa::Avx512 || !asked.is_available()) {
            let needs = if asked == Precision::Bf16 { "AMX or AVX-512 BF16" } else { "AMX" };
            tell!("pdn: {asked} needs {needs}, which this machine or the chosen instruction set lacks: using f32");
            return Precision::F32;
        }
        asked
    }
}
