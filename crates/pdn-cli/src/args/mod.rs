//! What can be typed: the commands and their own options.

pub(crate) mod choices;
pub(crate) mod given;
pub(crate) mod look;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod version;

use crate::args::choices::{DegradationChoice, EncoderChoice, EngineChoice, ModelChoice, PromptChoice};
use crate::args::given::Given;
use crate::args::look::{Extras, Look};
use clap::{Parser, Subcommand};
use pdn::{Rectangle, StoredPrecision};
use std::path::PathBuf;

/// Super-resolution: a small picture in, a large one out.
#[derive(Debug, Parser)]
#[command(name = "pdn", version = version::short(), long_version = version::long(), max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 something failed, 2 wrong use, 130 interrupted.")]
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
    /// Train a network or a prompt encoder by a recipe: this build leaves it out
    #[cfg(not(feature = "train"))]
    #[command(disable_help_flag = true)]
    Train(NotBuilt),
    Convert(Convert),
    Bench(Bench),
    #[cfg(feature = "serve")]
    Serve(Box<serve::Serve>),
    /// A page and an HTTP API that enlarge pictures: this build leaves it out
    #[cfg(not(feature = "serve"))]
    #[command(disable_help_flag = true)]
    Serve(NotBuilt),
    Completions(Completions),
    Man(Man),
}

/// Enlarge pictures.
///
/// photo.jpg becomes photo_x4.jpg beside it, or what -o or --out-dir say. A picture's format is told by its content, and that of the
/// result by the ending of its name. 16 bits a sample stay 16 where the format has them, and grey stays grey. The ICC profile
/// and EXIF are carried over; the model and the prompt are stored with the result (XMP).
///
/// What is written is whole or not there, and nothing is overwritten without --force. A picture that fails stops no other: all
/// that failed are named at the end. After a stop of any kind the same command with --skip-existing goes on.
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

/// What is enlarged.
#[derive(Debug, clap::Args)]
pub(crate) struct Inputs {
    /// Pictures, folders, patterns such as 'holiday/*.jpg', or - for a picture on the standard input
    ///
    /// Of a folder all that is in it and its folders, but for hidden files and what is no picture, which is named. A pattern has
    /// *, ?, [] and **. Among several pictures, results that pdn made of others of them are left out, by their metadata.
    #[arg(value_name = "IN", required_unless_present = "files_from")]
    pub(crate) names: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) listed: Names,
    /// Refuse pictures of more pixels than this
    #[arg(long, value_name = "PIXELS", default_value_t = 100_000_000)]
    pub(crate) max_pixels: u64,
}

/// Pictures named in a file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Names {
    /// A file of names of pictures and folders, one a line; - is the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// The names in --files-from end in a zero byte, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub(crate) null: bool,
}

/// Where enlarged pictures go.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where results go")]
pub(crate) struct Outputs {
    /// Where one enlarged picture goes, in the format that its name ends in; - is the standard output
    ///
    /// The endings are .png, .tif or .tiff (Deflate), .jpg or .jpeg, .webp (lossless without --quality), and .avif and .jxl where
    /// they are built in. PNG and TIFF are written as the rows come, and never held whole.
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["out_dir", "name"])]
    pub(crate) output: Option<PathBuf>,
    /// The folder of the enlarged pictures [default: each beside its picture]
    ///
    /// It is made. Pictures of a folder or a pattern keep their folders below it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// What an enlarged picture is called
    ///
    /// {name} is the picture's name without its ending, {from} its ending, {size} the size that was asked for (x4, x2.5, 1920w, 1080h,
    /// 1920x1080, 12mp), {model} the model's name, {scale} the model's own, {ext} the ending of the format that is written.
    #[arg(long, value_name = "TEMPLATE", default_value = "{name}_{size}.{ext}")]
    pub(crate) name: String,
    /// The format to write [default: that of each picture, or png where it is not written]
    #[arg(long)]
    pub(crate) format: Option<WrittenFormat>,
    /// Overwrite what is there
    #[arg(long, conflicts_with = "skip_existing")]
    pub(crate) force: bool,
    /// Leave out pictures whose result is there: to go on after a stop
    #[arg(long)]
    pub(crate) skip_existing: bool,
}

/// A format, by the ending that its files get.
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

/// How many pictures are run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many pictures")]
pub(crate) struct Batch {
    /// Pictures at once, which share the threads and the memory [default: as many as threads, at most 4]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Print a line of JSON for each picture and nothing else
    ///
    /// It has input, output, sizes, seconds and the prompt that was given, or the error.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prompts of parts of a picture.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prompt")]
pub(crate) struct Parts {
    /// A sentence for a part of the picture, such as 0,0,80,60="a brick wall"
    ///
    /// Left, top, width and height are in the picture's pixels. May be given several times: those given later lie above, and the
    /// other prompts are for the rest.
    #[arg(long, value_name = "X,Y,W,H=TEXT", value_parser = region)]
    pub(crate) region: Vec<(Rectangle, String)>,
    /// Pixels over which the prompt of a region passes into the next
    #[arg(long, value_name = "PIXELS", default_value_t = 8, requires = "region")]
    pub(crate) feather: usize,
}

/// How pictures are written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How it looks")]
pub(crate) struct Writing {
    /// Quality of JPEG [default: 95], AVIF [default: 90] and WebP [default: lossless], 1 to 100, where they are built in
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Store nothing of how it was made and taken: no model, no prompt, no EXIF
    ///
    /// An ICC profile stays: without it the colours would be others.
    #[arg(long)]
    pub(crate) strip: bool,
}

/// Say what a model file is: its network, its size, what it costs to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// .safetensors, .pth or .pt, the name of a network that comes with pdn, or owner/name[:file] on the Hugging Face hub
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the models at hand: those that come with pdn, and those in the Hugging Face hub's cache.
///
/// Their names are what --model takes. Of the cache, files up to 512 MiB are looked into, and those that are no networks for
/// pictures are left out.
#[derive(Debug, clap::Args)]
pub(crate) struct Models {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure a model on a folder of pictures.
///
/// Each picture is cut to multiples of the scale, degraded, enlarged, rounded to 8 bits and compared with what it was:
/// PSNR and SSIM in MATLAB's Y, full-range Y and RGB, SCALE pixels shaved from each side, averaged over the pictures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn eval --model IMDN_x4.pth --data Set5 --scale 4 --degradation bicubic")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    /// A folder of pictures, or one that has them in HR
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) small: DegradationChoice,
    #[command(flatten)]
    pub(crate) prompt: PromptChoice,
    #[command(flatten)]
    pub(crate) extras: Extras,
    /// Another model of the same scale, on the same pictures: prints its means, and the differences with 95 % intervals, by the
    /// bootstrap over pictures
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make the small pictures that models are measured on.
///
/// Pictures are blurred and made smaller by MATLAB's imgaussfilt and imresize, to the last bit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn degrade Set5/HR -o small --scale 4 --degradation bicubic")]
pub(crate) struct Degrade {
    /// A picture, or a folder of them, without the folders in it
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The small picture, or the folder of them, which is made
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// How many times smaller a side; sides are cut to multiples of it
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    pub(crate) scale: usize,
    #[command(flatten)]
    pub(crate) small: DegradationChoice,
    /// Write over what is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Measure one picture against another: PSNR and SSIM, with their protocol.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn compare original.png photo_x4.png --shave 4")]
pub(crate) struct Compare {
    /// What the picture should be; cut on the right and below where it is larger
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: PathBuf,
    /// What it is
    #[arg(value_name = "PICTURE")]
    pub(crate) picture: PathBuf,
    /// Pixels left out on each side: the literature leaves out as many as the scale
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub(crate) shave: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure what prompts do for a model, on pictures with captions.
///
/// Each picture is enlarged with its own captions, with another picture's, with one sentence for all, with itself as the
/// prompt and with none; differences come with their bootstrap intervals.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn controls --data coco_val")]
pub(crate) struct Controls {
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    /// A folder with a captions.csv (image,split,caption, without the split `train`) or a captions.json, a list of
    /// {"file", "captions"} with the files in its folder `images`
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) small: DegradationChoice,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Turn sentences and pictures into embeddings, to look at or to give as prompts.
///
/// OUT is safetensors: one tensor `embeddings` [n, length] of unit vectors, their names in the metadata in the same order:
/// sentences as they stand, pictures by their paths. Embeddings are kept in the cache folder (PDN_CACHE, or the user's), so
/// that a run that was stopped goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn embed --text 'a brown dog' photo.jpg -o prompts.safetensors")]
pub(crate) struct Embed {
    /// Pictures, folders with all that is in them, or patterns of *, ?, [] and **
    #[arg(value_name = "PICTURE")]
    pub(crate) pictures: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) listed: Names,
    /// A sentence; may be given more than once
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// A file of sentences: .txt, one a line, or a file of captions, .csv or .json
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Where the embeddings go
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Write over what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Neither read nor fill the cache
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

/// Show what a prompt makes a network look at: the attention mask of each of its modules, as a heat map over the picture.
///
/// Several prompts are compared, a row each, in `sheet.png`, where each column has one scale of colours, from its least value
/// to its largest. Each mask is also a file of its own, by the prompt's number and the module, with colours of its own.
#[derive(Debug, clap::Args)]
#[command(mut_arg("prompt_weights", |arg| arg.hide(true)))]
#[command(after_help = "Example: pdn masks photo.jpg -p 'a brown dog' -p 'a red bus' -o masks")]
pub(crate) struct Masks {
    /// The picture
    #[arg(value_name = "PICTURE")]
    pub(crate) input: PathBuf,
    /// The folder of the heat maps, which is made
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Write into a folder that holds something, and over what is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) given: Given,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
}

/// Train a network or a prompt encoder by a recipe.
///
/// The run lives in its own folder: its state, from which it goes on after any stop, and its result.
#[cfg(feature = "train")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn train recipes/sentences.toml --out ../runs/sentences")]
pub(crate) struct Train {
    /// A recipe, in TOML
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,
    /// The run's folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The folder that the recipe's folders are in
    #[arg(long, value_name = "DIR", env = "PDN_DATA", default_value = "../shared/data")]
    pub(crate) data: PathBuf,
    /// Where steps are taken: cpu, cuda (NVIDIA's GPUs) or wgpu (any GPU), as this build has them
    #[arg(long, value_name = "KIND", default_value_t = pdn_train::device::Kind::Cpu)]
    pub(crate) device: pdn_train::device::Kind,
    /// MiB of pictures that are kept as they are decoded; beyond that they are read from their files again
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(crate) room: u64,
    /// Go on with the run that the folder holds
    #[arg(long)]
    pub(crate) resume: bool,
    /// Go on, in a new folder, from the weights that another run left (weights.safetensors), at their step but with the
    /// optimizer's moments anew, which the result's card says
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) restart: Option<PathBuf>,
    /// Another value for a key of the recipe, such as schedule.steps=500 or config.features=32; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// A command that this build leaves out, with whatever is typed for it.
#[cfg(not(all(feature = "train", feature = "serve")))]
#[derive(Debug, clap::Args)]
pub(crate) struct NotBuilt {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<std::ffi::OsString>,
}

/// Convert a model to safetensors, or to ONNX for other runtimes.
///
/// An ONNX file takes and gives pictures as float32 [batch, 3, height, width], RGB from 0 to 1, of any size. OUT is written
/// aside and renamed: it is whole or not there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn convert IMDN_x4.pth imdn_x4.onnx")]
pub(crate) struct Convert {
    /// A model file (.safetensors, .pth, .pt), or the name of a network, such as edsr-baseline, whose weights are then hashed
    /// from their names: for timing and comparison
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// .safetensors or .onnx
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Write over what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// How many times larger a side, for the name of a network [default: 4] and for a file for many scales
    #[arg(short, long, value_name = "N")]
    pub(crate) scale: Option<usize>,
    /// Whether modules are written as trained or folded [default: as they are in .safetensors, deploy in .onnx]
    #[arg(long)]
    pub(crate) form: Option<Form>,
    /// In what type .safetensors keeps its numbers: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "TYPE")]
    pub(crate) precision: Option<StoredPrecision>,
    /// For .onnx: a sentence to fold in, or `input` for an input `prompt` [default: input]
    #[arg(short, long, value_name = "TEXT", group = "prompts")]
    pub(crate) prompt: Option<String>,
    /// For .onnx: an embedding to fold in, that `pdn embed` made
    #[arg(long, value_name = "FILE", group = "prompts")]
    pub(crate) prompt_embedding: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
}

/// In what form a model's modules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// As trained
    Train,
    /// Folded: smaller and faster, with the same pixels; cannot be trained on
    Deploy,
}

/// Time a model on a made-up picture.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn bench edsr-baseline --size 256 --threads 2")]
pub(crate) struct Bench {
    /// A model file, or the name of a network, whose weights are then hashed from their names
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// How many times larger a side, for the name of a network [default: 4] and for a file for many scales
    #[arg(short, long, value_name = "N")]
    pub(crate) scale: Option<usize>,
    /// Sides of the picture in pixels: one number, or WIDTHxHEIGHT
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = size)]
    pub(crate) size: (usize, usize),
    /// How many times it is run, after once to warm up
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Where the result goes, to compare: raw little-endian float32, channels first, in the network's value range
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over what is there, where --output says
    #[arg(long)]
    pub(crate) force: bool,
    /// Say how long each layer takes
    #[arg(long)]
    pub(crate) layers: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print a script that has a shell complete what is typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn completions bash > ~/.local/share/bash-completion/completions/pdn")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page, or write the pages of all commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder of the pages, which is made [default: the first page is printed]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// `256` or `320x200`.
fn size(text: &str) -> Result<(usize, usize), String> {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match [width, height].map(str::parse) {
        [Ok(width @ 1..=65536), Ok(height @ 1..=65536)] => Ok((width, height)),
        _ => Err("expected pixels a side, 1 to 65536, or WIDTHxHEIGHT".into()),
    }
}

/// A part of a picture and its sentence.
fn region(text: &str) -> Result<(Rectangle, String), String> {
    let (rectangle, sentence) = text.split_once('=').ok_or("expected X,Y,W,H=TEXT")?;
    Ok((rectangle.parse().map_err(|error: pdn::RegionError| error.to_string())?, sentence.to_owned()))
}
