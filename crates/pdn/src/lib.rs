//! Super-resolution: turns a small picture into a large one.
//!
//! ```
//! use pdn::{Options, Picture, Upscaler};
//!
//! let picture = Picture::from_rgb(2, 2, vec![0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255]);
//! let upscaler = Upscaler::bicubic(4)?;
//! let large = upscaler.upscale(&picture, &Options::default(), &mut |_done| true)?;
//! assert_eq!((large.width(), large.height()), (8, 8));
//! # Ok::<(), pdn::Error>(())
//! ```
//!
//! [`Upscaler::open`] loads a model file instead: one of this project's, or another project's checkpoint in a
//! recognised layout.
#![forbid(unsafe_code)]

mod bundled;
mod captions;
mod encoder;
mod enlarge;
mod error;
mod export;
mod faults;
#[cfg(feature = "hub")]
mod hub;
mod memory;
mod prompt;
mod regions;
mod session;
mod steering;
mod target;
mod told;
mod upscaler;

pub use bundled::{DEFAULT_MODEL, bundled_encoder, bundled_model, bundled_models};
pub use captions::{CaptionError, Captioned, Captions, read_captions, read_lines, sidecar};
pub use encoder::{
    Activation, Content, Embedding, EmbeddingCache, EmbeddingError, Encoder, EncoderError, EncoderFile, Framing,
    Tokenizer, embeddings_to_bytes, fault_numbers, fault_squares, read_embeddings,
};
pub use error::Error;
pub use export::{deployed, onnx};
pub use faults::{FAULTS_ID, FaultsError, KnownFaults, Language, Sentence, Slot, Wordings, compose, composed_dim};
#[cfg(feature = "hub")]
pub use hub::{Hub, HubError, ShowDownload};
pub use pdn_engine::{Isa, Map, Plan, Precision, RunError, RunOptions as Options, Session as PlanSession, peak_flops};
pub use pdn_image::{
    AnyPicture, ColourSpace, CompareError, Degradation, Depth, Error as FileError, Fault as FileFault, Faults, Format,
    Header, Light, Limits, Picture, Protocol, Provenance, Resampling, Resolution, ResolutionUnit, RowEncoder,
    RowWriter, Sample, Scale, WriteOptions, blur_likelihood, check_target, check_writable, encode, encode_any,
    is_result, psnr, read, read_any, read_any_bytes, read_bytes, resize_to, ssim, write, write_any, write_atomically,
};
pub use pdn_network::checkpoint::Precision as StoredPrecision;
pub use pdn_network::file;
pub use pdn_network::{Activity, Card, Model, ModelError, PromptActivity, Summary, Tensor, hashed, zoo};
pub use prompt::{Prompt, PromptError, Regions};
pub use regions::{Rectangle, RegionError};
pub use session::Session;
pub use steering::{Origin, SteeringFaults};
pub use target::{Size, Target};
pub use told::ToldFaults;
pub use upscaler::Upscaler;

/// Compiles the guide's example.
#[cfg(doctest)]
#[doc = include_str!("../../../GUIDE.md")]
struct Guide;

/// Compiles the example in the how-to on prompts.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/prompts.md")]
struct Prompts;
