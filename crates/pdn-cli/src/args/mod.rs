//! The command line: the commands and their own options.

pub(crate) mod choices;
pub(crate) mod controls;
pub(crate) mod faults;
pub(crate) mod look;
pub(crate) mod metrics;
pub(crate) mod prompts;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod version;

use crate::args::choices::{DegradationChoice, EncoderChoice, EngineChoice, ModelChoice, PromptChoice};
use crate::args::controls::Controls;
use crate::args::faults::Parts;
use crate::args::look::{Extras, Look};
use crate::args::metrics::MetricChoice;
use crate::args::prompts::PromptArgs;
use clap::{Parser, Subcommand};
use pdn::{StoredPrecision, ToldFaults};
use std::path::PathBuf;

/// Upscale pictures with super-resolution networks, guided by a prompt.
#[derive(Debug, Parser)]
#[command(name = "pdn", version = version::short(), long_version = version::long(), max_term_width = 100)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 usage error, 130 interrupted.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Upscale(Upscale),
    Info(Info),
    Models(Models),
    Eval(Eval),
    Degrade(Degrade),
    Compare(Compare),
    Controls(Controls),
    Embed(Embed),
    Masks(Masks),
    #[cfg(feature = "train")]
    Train(Train),
    /// Train a network or a prompt encoder from a recipe (not included in this build)
    #[cfg(not(feature = "train"))]
    #[command(disable_help_flag = true)]
    Train(NotBuilt),
    Convert(Convert),
    Bench(Bench),
    #[cfg(feature = "serve")]
    Serve(Box<serve::Serve>),
    /// Serve a web page and an HTTP API that upscale pictures (not included in this build)
    #[cfg(not(feature = "serve"))]
    #[command(disable_help_flag = true)]
    Serve(NotBuilt),
    Completions(Completions),
    Man(Man),
}

/// Upscale pictures.
///
/// photo.jpg becomes photo_x4.jpg in the same folder, unless -o or --out-dir says otherwise. The input format is detected from the
/// content, the output format from the file extension. 16-bit samples stay 16-bit where the output format supports them, and grey
/// stays grey. The ICC profile and EXIF are kept; the model and the prompt are recorded in XMP.
///
/// Files are written atomically, and none is overwritten without --force. A picture that fails does not stop the others: all
/// failures are listed at the end. To continue after an interruption, run the same command with --skip-existing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pdn upscale photo.jpg
  pdn upscale photo.jpg --scale 2 -o large.png
  pdn upscale holiday *.tif --out-dir large --skip-existing
  pdn upscale - < photo.jpg > large.png
  find . -name '*.png' -print0 | pdn upscale -0 --files-from - --out-dir large")]
pub(crate) struct Upscale {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(flatten)]
    pub(crate) writing: Writing,
    #[command(flatten)]
    pub(crate) batch: Batch,
    #[command(flatten)]
    pub(crate) prompt: PromptChoice,
    #[command(flatten)]
    pub(crate) parts: Parts,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
}

/// The pictures to upscale.
#[derive(Debug, clap::Args)]
pub(crate) struct Inputs {
    /// Pictures, folders, patterns such as 'holiday/*.jpg', or - to read one picture from standard input
    ///
    /// Folders are searched recursively. Hidden files are ignored; files that are not pictures are skipped with a warning. Patterns
    /// support *, ?, [] and **. A result that pdn made from another of the pictures, as its metadata shows, is skipped.
    #[arg(value_name = "IN", required_unless_present = "files_from")]
    pub(crate) names: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) listed: Names,
    /// Refuse pictures with more pixels than this
    #[arg(long, value_name = "PIXELS", default_value_t = 100_000_000)]
    pub(crate) max_pixels: u64,
}

/// Pictures named in a file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Names {
    /// Read names of pictures and folders from a file, one per line; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// Names in --files-from end with a NUL byte, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub(crate) null: bool,
}

/// Where upscaled pictures go.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Outputs {
    /// Output file for a single picture; the extension selects the format; - writes to standard output
    ///
    /// Extensions: .png, .tif or .tiff (Deflate), .jpg or .jpeg, .webp (lossless without --quality), and .avif and .jxl in builds
    /// that include them. PNG and TIFF are written row by row, so the result is never held in memory as a whole.
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["out_dir", "name"])]
    pub(crate) output: Option<PathBuf>,
    /// Output folder, created if needed [default: the folder of each picture]
    ///
    /// Pictures found in subfolders of a folder or pattern keep those subfolders.
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// File name of the results
    ///
    /// {name} is the picture's name without extension, {from} its extension, {size} the requested size (x4, x2.5, 1920w, 1080h,
    /// 1920x1080, 12mp), {model} the model's name, {scale} the model's scale, {ext} the extension of the output format.
    #[arg(long, value_name = "TEMPLATE", default_value = "{name}_{size}.{ext}")]
    pub(crate) name: String,
    /// Output format [default: that of each picture, or png if pdn cannot write it]
    #[arg(long)]
    pub(crate) format: Option<WrittenFormat>,
    /// Overwrite existing files
    #[arg(long, conflicts_with = "skip_existing")]
    pub(crate) force: bool,
    /// Skip pictures whose result already exists, to continue an interrupted run
    #[arg(long)]
    pub(crate) skip_existing: bool,
}

/// An output format, by its file extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WrittenFormat {
    Png,
    #[value(alias = "jpeg")]
    Jpg,
    Webp,
    #[value(alias = "tiff")]
    Tif,
    #[cfg(feature = "avif")]
    Avif,
    #[cfg(feature = "jxl")]
    Jxl,
}

/// How several pictures are processed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Batch")]
pub(crate) struct Batch {
    /// Pictures to process at the same time, sharing threads and memory [default: one per thread, at most 4]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Print one line of JSON per picture
    ///
    /// Each has the input, the output, the sizes, the seconds taken, the prompt used and the faults steered by, or the error.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How pictures are written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct Writing {
    /// Quality, 1 to 100, of JPEG [default: 95], AVIF [default: 90] and WebP [default: lossless], if the build supports it
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Leave out metadata: no model, no prompt, no EXIF
    ///
    /// The ICC profile is kept, as colours depend on it.
    #[arg(long)]
    pub(crate) strip: bool,
}

/// Describe a model: its network, its size and what it costs to run. Or describe a picture: its format, and the faults that the
/// prompt encoder sees in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pdn info IMDN_x4.pth
  pdn info photo.jpg")]
pub(crate) struct Info {
    /// Model: a .safetensors, .pth or .pt file, a bundled network, or owner/name[:file] on the Hugging Face Hub; or a picture
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List available models: the bundled ones and those in the Hugging Face cache.
///
/// --model accepts these names. In the cache, files over 512 MiB and files that are not super-resolution networks are skipped.
#[derive(Debug, clap::Args)]
pub(crate) struct Models {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure a model on a folder of pictures.
///
/// Each picture is cropped to a multiple of the scale, degraded, upscaled, rounded to 8 bits and compared with the original:
/// PSNR and SSIM in MATLAB's Y, full-range Y and RGB, SCALE pixels shaved from each side, averaged over the pictures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn eval --model IMDN_x4.pth --data Set5 --scale 4 --degradation bicubic")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    /// Folder of pictures, or one with them in a subfolder HR
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) small: DegradationChoice,
    #[command(flatten)]
    pub(crate) prompt: PromptChoice,
    #[command(flatten)]
    pub(crate) extras: Extras,
    /// Compare with another model of the same scale: print its means, and the differences with 95 % intervals from a bootstrap
    /// over pictures; repeatable
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) metrics: MetricChoice,
    /// Write a page with the tables and with crops side by side, everything in one HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Overwrite an existing report
    #[arg(long, requires = "report")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make the low-resolution pictures that models are measured on.
///
/// Blurs and shrinks pictures as MATLAB's imgaussfilt and imresize do, bit for bit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn degrade Set5/HR -o small --scale 4 --degradation bicubic")]
pub(crate) struct Degrade {
    /// A picture, or a folder of pictures (its subfolders are ignored)
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Output file, or output folder for a folder of pictures, created if needed
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Reduction factor; pictures are cropped to a multiple of it
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    pub(crate) scale: usize,
    #[command(flatten)]
    pub(crate) small: DegradationChoice,
    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
}

/// Compare two pictures: PSNR and SSIM, with the protocol.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn compare original.png photo_x4.png --shave 4")]
pub(crate) struct Compare {
    /// Reference picture; cropped at the right and bottom if it is larger
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: PathBuf,
    /// Picture to measure
    #[arg(value_name = "PICTURE")]
    pub(crate) picture: PathBuf,
    /// Pixels to ignore along each edge; papers usually ignore as many as the scale
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub(crate) shave: usize,
    #[command(flatten)]
    pub(crate) metrics: MetricChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compute embeddings of sentences and pictures, to inspect or to use as prompts.
///
/// OUT is a safetensors file with one tensor `embeddings` [n, length] of unit vectors. The metadata names them in the same order:
/// sentences by their text, pictures by their path. Embeddings are cached (in PDN_CACHE, or the user's cache folder), so an
/// interrupted run continues where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn embed --text 'a brown dog' photo.jpg -o prompts.safetensors")]
pub(crate) struct Embed {
    /// Pictures, folders (searched recursively), or patterns with *, ?, [] and **
    #[arg(value_name = "PICTURE")]
    pub(crate) pictures: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) listed: Names,
    /// Sentence to embed; repeatable
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// File of sentences: .txt with one per line, or captions in .csv or .json
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Output file
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not read or write the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

/// Draw what a prompt makes a network attend to: the attention mask of each module, as a heat map over the picture.
///
/// `sheet.png` compares several prompts, one per row; each column has its own colour scale, from its smallest value to its
/// largest. Each mask is also saved as a separate file, named by the prompt's number and the module, with its own colour scale.
#[derive(Debug, clap::Args)]
#[command(mut_arg("prompt_weights", |arg| arg.hide(true)))]
#[command(after_help = "Example: pdn masks photo.jpg -p 'a brown dog' -p 'a red bus' -o masks")]
pub(crate) struct Masks {
    /// Picture to upscale
    #[arg(value_name = "PICTURE")]
    pub(crate) input: PathBuf,
    /// Output folder, created if needed
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Write into a folder that is not empty, overwriting existing files
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) given: PromptArgs,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
}

/// Train a network or a prompt encoder from a recipe.
///
/// The run's folder holds its state, from which --resume continues, and its result.
#[cfg(feature = "train")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn train recipes/sentences.toml --out ../runs/sentences")]
pub(crate) struct Train {
    /// Recipe, in TOML
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,
    /// Folder of the run
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Folder that the recipe's paths are relative to
    #[arg(long, value_name = "DIR", env = "PDN_DATA", default_value = "../shared/data")]
    pub(crate) data: PathBuf,
    /// Device to train on: cpu, cuda (NVIDIA GPUs) or wgpu (any GPU), if the build supports it
    #[arg(long, value_name = "KIND", default_value_t = pdn_train::device::Kind::Cpu)]
    pub(crate) device: pdn_train::device::Kind,
    /// Memory for decoded pictures, in MiB; others are read from disk again
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) room: u64,
    /// Continue the run in the folder
    #[arg(long)]
    pub(crate) resume: bool,
    /// Start a new run from another run's weights (weights.safetensors), at their step but with the optimizer's moments reset;
    /// the result's model card records it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) restart: Option<PathBuf>,
    /// Override a key of the recipe, such as schedule.steps=500 or config.features=32; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// A command that this build does not include, with any arguments.
#[cfg(not(all(feature = "train", feature = "serve")))]
#[derive(Debug, clap::Args)]
pub(crate) struct NotBuilt {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<std::ffi::OsString>,
}

/// Convert a model to safetensors, or to ONNX for other runtimes.
///
/// An ONNX network takes and returns pictures as float32 [batch, 3, height, width], RGB from 0 to 1, of any size. OUT is written
/// atomically.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn convert IMDN_x4.pth imdn_x4.onnx")]
pub(crate) struct Convert {
    /// Model file (.safetensors, .pth, .pt), or the name of a network, such as edsr-baseline, to get it with pseudo-random
    /// weights, for timing and comparison
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Output file, .safetensors or .onnx
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
    /// Scale factor, for a network given by name [default: 4] or a file with several scales
    #[arg(short, long, value_name = "N")]
    pub(crate) scale: Option<usize>,
    /// Form of the modules [default: unchanged for .safetensors, deploy for .onnx]
    #[arg(long)]
    pub(crate) form: Option<Form>,
    /// Number type for .safetensors: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "TYPE")]
    pub(crate) precision: Option<StoredPrecision>,
    /// For .onnx: sentence to build in, or `input` to give the network an input `prompt` [default: input]
    #[arg(short, long, value_name = "TEXT", group = "prompts")]
    pub(crate) prompt: Option<String>,
    /// For .onnx: what befell the pictures, such as blur=slight,noise=none, to build in beside the prompt, for a network that is
    /// steered by faults; what is not told stays unknown
    #[arg(long, value_name = "SETTINGS")]
    pub(crate) faults: Option<ToldFaults>,
    /// For .onnx: embedding to build in, made by `pdn embed`
    #[arg(long, value_name = "FILE", group = "prompts")]
    pub(crate) prompt_embedding: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

/// The form in which a model's modules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// As trained
    Train,
    /// Folded: smaller and faster, with the same output, but no longer trainable
    Deploy,
}

/// Time a model on a synthetic picture.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn bench edsr-baseline --size 256 --threads 2")]
pub(crate) struct Bench {
    /// Model file, or the name of a network, to time it with pseudo-random weights
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Scale factor, for a network given by name [default: 4] or a file with several scales
    #[arg(short, long, value_name = "N")]
    pub(crate) scale: Option<usize>,
    /// Size of the picture in pixels: one number for both sides, or WIDTHxHEIGHT
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = size)]
    pub(crate) size: (usize, usize),
    /// Number of timed runs, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Save the result for comparison: raw little-endian float32, channels first, in the network's value range
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file given by --output
    #[arg(long)]
    pub(crate) force: bool,
    /// Time each layer
    #[arg(long)]
    pub(crate) layers: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print a shell completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn completions bash > ~/.local/share/bash-completion/completions/pdn")]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write the manual pages of all commands to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Output folder, created if needed [default: print the main page]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// Parses `256` or `320x200`.
fn size(text: &str) -> Result<(usize, usize), String> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match [width, height].map(str::parse) {
        [Ok(width @ 1..=65536), Ok(height @ 1..=65536)] => Ok((width, height)),
        _ => Err("expected a number of pixels, 1 to 65536, or WIDTHxHEIGHT".into()),
    }
}
