//! A super-resolution network as a value.
//!
//! An architecture (one file in [`zoo`]) builds a [`Network`]: nodes, named parameters with shapes, taps. A network is
//! plain data that everything else reads: [`Network::summary`] counts it, [`Network::bind`] takes its weights from a
//! checkpoint, [`Network::lower`] expands its modules into primitive operations, and [`Network::deployed`] returns the
//! form that runs fast. A [`Model`] is a network with its weights and a card, read from a file.
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
mod builder;
pub mod checkpoint;
mod error;
pub mod file;
pub mod hashed;
mod lower;
mod model;
mod network;
pub mod onnx;
mod op;
mod param;
mod shape;
mod summary;
mod tensor;
mod transforms;
pub mod zoo;

pub use activity::{Activity, PromptActivity};
pub use builder::Builder;
pub use error::{NetworkError, WeightFaults};
pub use model::{Card, Model, ModelError, Source, fingerprint};
pub use network::{Network, Node, NodeId, PictureFormat, Tap, Weights};
pub use op::{Act, Binary, Dcm, DcmForm, DcmOptions, DeployedMask, End, Interpolation, NORM_EPS, Op, Pool};
pub use param::{Init, Param, ParamId};
pub use shape::{Extent, Shape};
pub use summary::Summary;
pub use tensor::{Tensor, Tensors};
