//! The options of `pdn controls`.

use crate::args::choices::{EncoderChoice, EngineChoice, ModelChoice};
use pdn::Degradation;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Measure how much prompts help a model.
///
/// On captioned pictures, each is upscaled with its own captions, with another picture's captions, with one sentence for all
/// pictures, with the picture itself as the prompt and with its mirror image.
///
/// A network that is steered by faults is measured on several degradations: with the faults told in numbers, in sentences, in
/// part, or wrongly, with the faults seen in the picture, and with nothing told. Sentences are made of wordings held back from
/// training. Captions are optional.
///
/// Differences are printed with bootstrap intervals over the pictures. Whatever is random depends on a picture's number, so a
/// run repeats.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pdn controls --data coco_val
  pdn controls --data photos --degradation bicubic --degradation blur=0.3,noise=10 --limit 20")]
pub(crate) struct Controls {
    #[command(flatten)]
    pub(crate) model: ModelChoice,
    /// Folder with a captions.csv (image,split,caption; the split `train` is ignored) or a captions.json (a list of
    /// {"file", "captions"}, with the files in a subfolder `images`)
    ///
    /// For a network that is steered by faults, also a folder of pictures without captions.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Degradation, as for `pdn eval` [default: blur-bicubic]; for a network that is steered by faults repeatable
    /// [default: bicubic and ten others]
    ///
    /// `practical` cannot be told in faults.
    #[arg(long, value_name = "NAME")]
    pub(crate) degradation: Vec<Degradation>,
    /// Measure only the first N pictures
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    #[command(flatten)]
    pub(crate) engine: EngineChoice,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Controls {
    /// Returns how many of so many pictures to measure.
    pub(crate) fn limited(&self, count: usize) -> usize {
        self.limit.map_or(count, |limit| count.min(limit.get()))
    }
}
