//! A super-resolution network as a value.
#![forbid(unsafe_code)]

mod build;
mod check;
pub mod checkpoint;
mod dcm;
mod error;
mod forms;
pub mod hashed;
mod model;
mod network;
mod op;
mod tensor;
pub mod zoo;

pub use build::Builder;
pub use check::Summary;
pub use dcm::{Dcm, DcmForm, DcmOptions, DeployedMask, NORM_EPS};
pub use error::NetworkError;
pub use model::{Card, Model, ModelError};
pub use network::{Init, Network, Node, NodeId, Param, PictureFormat, Tap, WeightFaults, Weights};
pub use op::{Act, Binary, Extent, Op, ParamId, Pool, Shape};
pub use tensor::{Tensor, Tensors};
