//! Why a network could not be run.

use pdn_network::{Network, NetworkError};

/// Why a network could not be run on a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The prompt is missing or of another length.
    #[error("expected {expected}, found {found}")]
    Prompt {
        /// What the network takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The picture cannot be run on.
    #[error("expected a picture of {expected} channels with at least one pixel, found {channels}x{height}x{width}")]
    Picture {
        /// Channels that the network takes.
        expected: usize,
        /// Channels found.
        channels: usize,
        /// Rows found.
        height: usize,
        /// Columns found.
        width: usize,
    },
    /// The run would need more memory than it may use.
    #[error(
        "needs {needed} MiB for this picture, more than the limit of {limit} MiB, and {why}; raise the limit or use a smaller picture"
    )]
    Memory {
        /// Predicted need.
        needed: usize,
        /// What may be used.
        limit: usize,
        /// Why it was not run in narrower columns.
        why: &'static str,
    },
    /// The tokens cannot be read.
    #[error("expected the tokens of a sentence, found {0}")]
    Tokens(String),
    /// The picture or sentence is not of an extent that the network takes.
    #[error("{0}")]
    Extent(String),
    /// An encoder was to be compiled.
    #[error("`{0}` is an encoder: only networks that enlarge pictures can be compiled")]
    Encoder(&'static str),
    /// The output holds NaN or an infinity.
    #[error("the layer `{layer}` produced a value that is not finite: the weights do not suit this picture")]
    NotFinite {
        /// The first layer that gave one.
        layer: String,
    },
    /// Regions that are none, or not of the picture.
    #[error("regions: {0}")]
    Regions(String),
    /// Folding a module gave a number beyond float32.
    #[error("its modules cannot be folded: {0}")]
    Fold(NetworkError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The machine lacks the instruction set that was asked for.
    #[error("this machine does not support {0}")]
    Isa(pdn_kernels::Isa),
    /// The machine lacks what the precision needs.
    #[error(
        "{0} needs AVX-512 with AMX, or for bf16 AVX-512 BF16, which this machine or the chosen instruction set lacks; use f32"
    )]
    Precision(pdn_kernels::Precision),
}

/// Whether a picture `(channels, height, width)` and a prompt of some length are what the network takes.
pub(crate) fn check_inputs(
    network: &Network,
    (channels, height, width): (usize, usize, usize),
    prompt: Option<usize>,
) -> Result<(), RunError> {
    if channels != 3 || height == 0 || width == 0 {
        return Err(RunError::Picture { expected: 3, channels, height, width });
    }
    check_prompt(network.prompt_dim(), prompt)
}

/// Whether a prompt of some length is what the network takes.
pub(crate) fn check_prompt(expected: Option<usize>, found: Option<usize>) -> Result<(), RunError> {
    if expected == found {
        return Ok(());
    }
    let say = |dim: Option<usize>| dim.map_or("no prompt".to_owned(), |d| format!("a prompt embedding of {d} numbers"));
    Err(RunError::Prompt { expected: say(expected), found: say(found) })
}
