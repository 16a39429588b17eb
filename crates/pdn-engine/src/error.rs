//! Why a network could not be run.

use pdn_network::{Network, NetworkError};

/// Why a network could not be run on a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The prompt is missing or has the wrong length.
    #[error("expected {expected}, found {found}")]
    Prompt {
        /// What the network takes.
        expected: String,
        /// What was passed.
        found: String,
    },
    /// The picture has no pixels or the wrong number of channels.
    #[error("expected a picture of {expected} channels with at least one pixel, found {channels}x{height}x{width}")]
    Picture {
        /// Channels that the network takes.
        expected: usize,
        /// Channels of the picture.
        channels: usize,
        /// Rows of the picture.
        height: usize,
        /// Columns of the picture.
        width: usize,
    },
    /// The run would exceed the memory limit.
    #[error(
        "needs {needed} MiB for this picture, more than the limit of {limit} MiB, and {why}; raise the limit or use a smaller picture"
    )]
    Memory {
        /// Predicted need, in MiB.
        needed: usize,
        /// The limit, in MiB.
        limit: usize,
        /// Why the picture was not run in narrower columns.
        why: &'static str,
    },
    /// The tokens are invalid.
    #[error("expected the tokens of a sentence, found {0}")]
    Tokens(String),
    /// The size of the picture or the length of the sentence does not suit the network.
    #[error("{0}")]
    Extent(String),
    /// The network is an encoder, which cannot be compiled.
    #[error("`{0}` is an encoder; only networks that upscale pictures can be compiled")]
    Encoder(&'static str),
    /// The output contains NaN or an infinity.
    #[error("the layer `{layer}` produced a value that is not finite: the weights do not suit this picture")]
    NotFinite {
        /// The first layer whose output was not finite.
        layer: String,
    },
    /// The regions are invalid or do not match the picture.
    #[error("regions: {0}")]
    Regions(String),
    /// Folding a module yielded a number beyond float32.
    #[error("its modules cannot be folded: {0}")]
    Fold(NetworkError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The machine lacks the requested instruction set.
    #[error("this machine does not support {0}")]
    Isa(pdn_kernels::Isa),
    /// The machine lacks what the precision needs.
    #[error(
        "{0} needs AVX-512 with AMX, or for bf16 AVX-512 BF16, which this machine or the chosen instruction set lacks; use f32"
    )]
    Precision(pdn_kernels::Precision),
}

/// Checks that a picture `(channels, height, width)` and a prompt of some length suit the network.
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

/// Checks that a prompt has the length that the network takes.
pub(crate) fn check_prompt(expected: Option<usize>, found: Option<usize>) -> Result<(), RunError> {
    if expected == found {
        return Ok(());
    }
    let say = |dim: Option<usize>| dim.map_or("no prompt".to_owned(), |d| format!("a prompt embedding of {d} numbers"));
    Err(RunError::Prompt { expected: say(expected), found: say(found) })
}
