//! Options that several commands share: prompts, their encoder, the model, how it is run.

use crate::args::given::{Given, PROMPTS};
use crate::display::say::tell;
use pdn::{Activation, Degradation, Isa, Precision};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt")]
pub(crate) struct PromptChoice {
    #[command(flatten)]
    pub(crate) given: Given,
    /// Each picture's first caption, from a file, or `sidecar`: the first line of photo.txt beside photo.jpg
    ///
    /// The file is .csv of image,caption or image,split,caption, or .json, a list of {"file", "captions"}; captions are found by the
    /// picture's name.
    #[arg(long, value_name = "FILE", conflicts_with_all = PROMPTS)]
    pub(crate) captions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt")]
pub(crate) struct EncoderChoice {
    /// A prompt encoder: a file, or a name on the Hugging Face hub [default: the one that comes with pdn]
    ///
    /// The file has pdn's weights, or CLIP's by OpenAI, open_clip or Hugging Face; a name is such as openai/clip-vit-base-patch32.
    #[arg(long, value_name = "ENCODER")]
    pub(crate) encoder: Option<PathBuf>,
    /// The activation of CLIP's weights where nothing else says it: quick-gelu or gelu
    #[arg(long, value_name = "NAME", requires = "encoder")]
    pub(crate) encoder_activation: Option<Activation>,
    /// Read as much of a prompt as fits where it is too long for the encoder, rather than refuse it
    #[arg(long)]
    pub(crate) truncate_prompt: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model and size")]
pub(crate) struct ModelChoice {
    /// The network: a name that `pdn models` lists, a file, or one of the Hugging Face hub [default: pdn-real-x4]
    ///
    /// A file is .safetensors, .pth or .pt; of the hub it is owner/name or owner/name:file. `bicubic` is MATLAB's imresize, the
    /// baseline.
    #[arg(id = "model", short, long, value_name = "MODEL")]
    pub(crate) named: Option<PathBuf>,
    /// How many times larger a side, such as 2, 2.5 or x3 [default: the network's own; bicubic's is 4]
    ///
    /// What the network gives is resized to any other scale than its own.
    #[arg(short, long, value_name = "N", value_parser = scale)]
    pub(crate) scale: Option<f64>,
}

impl ModelChoice {
    /// The model that is named, or else the one that comes with pdn.
    pub(crate) fn model(&self) -> &Path {
        self.named.as_deref().unwrap_or_else(|| Path::new(pdn::DEFAULT_MODEL))
    }

    pub(crate) fn is_bicubic(&self) -> bool {
        self.model() == Path::new("bicubic")
    }
}

/// `2`, `x2`, `2x` or `2.5`.
fn scale(text: &str) -> Result<f64, String> {
    let is_times = |c: char| matches!(c, 'x' | 'X' | '×');
    let number = text.strip_prefix(is_times).or_else(|| text.strip_suffix(is_times)).unwrap_or(text);
    number.parse().map_err(|_| "expected a number, such as 2, 2.5 or x3".to_owned())
}

/// How small pictures are made of large ones.
#[derive(Debug, clap::Args)]
pub(crate) struct DegradationChoice {
    /// blur-bicubic (Gaussian of 1.3 pixels, then bicubic: the paper's, rounded on the way as MATLAB does), blur-bicubic-float
    /// (rounded once), blur-bicubic-16 (16 bits a sample), bicubic, or practical[:SEED] (random blur, noise and JPEG, another for
    /// each file's name)
    #[arg(long, value_name = "NAME", default_value_t = Degradation::BlurBicubic)]
    pub(crate) degradation: Degradation,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it runs")]
pub(crate) struct EngineChoice {
    /// Threads to run on [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest there is]
    #[arg(long, env = "PDN_ISA")]
    pub(crate) isa: Option<Isa>,
    /// How exactly convolutions multiply: with 24, 16 or 8 bits of the significand
    ///
    /// bf16x2 needs AMX, bf16 needs AMX or AVX-512's products of bf16; f32 is computed where they are missing.
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// Memory that a network's maps may take, in MiB; wider pictures are run in columns, with the same pixels
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) memory: usize,
    /// Width of columns in pixels of the input [default: as wide as memory allows]
    #[arg(long, value_name = "PIXELS")]
    pub(crate) tile: Option<NonZeroUsize>,
}

/// With how many bits convolutions multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PrecisionChoice {
    /// bf16x2 where there is AMX, else f32
    Auto,
    /// IEEE single precision
    F32,
    /// Each number as two of bf16: hardly any level of 8 bits shows the difference
    Bf16x2,
    /// bf16: the fastest, with a difference of about half a level of 8 bits
    Bf16,
}

impl EngineChoice {
    /// The instruction set and the precision that are meant, as [`PrecisionChoice::on`] has it.
    pub(crate) fn target(&self) -> (Isa, Precision) {
        let isa = self.isa.unwrap_or_else(Isa::best);
        (isa, self.precision.on(isa))
    }
}

impl PrecisionChoice {
    /// The precision that is meant. What this machine cannot do is said, and f32 taken.
    pub(crate) fn on(self, isa: Isa) -> Precision {
        let asked = match self {
            Self::Auto => Precision::fast(isa),
            Self::F32 => Precision::F32,
            Self::Bf16x2 => Precision::Bf16x2,
            Self::Bf16 => Precision::Bf16,
        };
        if asked != Precision::F32 && (isa != Isa::Avx512 || !asked.is_available()) {
            let needs = if asked == Precision::Bf16 { "AMX or AVX-512 with bf16" } else { "AMX" };
            tell!(
                "pdn: {asked} needs {needs}, which this machine or the instruction set chosen lacks: computing in f32"
            );
            return Precision::F32;
        }
        asked
    }
}
