//! A super-resolution network as a value.
//!
//! An architecture (one file in [`zoo`]) builds a [`Network`]: nodes, named parameters with shapes, taps. It is plain data,
//! and everything else reads it: [`Network::summary`] counts it, [`Network::bind`] takes its weights from a checkpoint,
//! [`Network::lower`] writes its modules in primitive operations, [`Network::deployed`] gives the form that runs fast.
//! A [`Model`] is a network with its weights and a card, read from a file.
//!
//! ```
//! use pdn_network::zoo::Edsr;
//!
//! let network = Edsr::baseline(4).build()?;
//! let summary = network.summary();
//! assert_eq!(summary.parameters, 1_517_571);
//! assert_eq!((network.params[0].name.as_str(), &network.params[0].shape[..]), ("conv_first.weight", &[64, 3, 3, 3][..]));
//! # Ok::<(), pdn_network::NetworkError>(())
//! ```
#![forbid(unsafe_code)]

pub mod activity;
mod build;
mod check;
pub mod checkpoint;
mod dcm;
mod error;
pub mod file;
mod forms;
pub mod hashed;
mod model;
mod network;
pub mod onnx;
mod op;
mod param;
mod tensor;
pub mod zoo;

pub use activity::{Activity, PromptActivity};
pub use build::Builder;
pub use check::Summary;
pub use dcm::{Dcm, DcmForm, DcmOptions, DeployedMask, NORM_EPS};
pub use error::NetworkError;
pub use model::{Card, Model, ModelError, Source, fingerprint};
pub use network::{Network, Node, NodeId, PictureFormat, Tap, WeightFaults, Weights};
pub use op::{Act, Binary, End, Extent, Interpolation, Op, Pool, Shape};
pub use param::{Init, Param, ParamId};
pub use tensor::{Tensor, Tensors};
