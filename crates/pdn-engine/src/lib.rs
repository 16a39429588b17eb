//! Runs a network on the CPU.
//!
//! A [`Plan`] is an immutable compiled network: modules folded, convolutions fused with the operations that follow
//! them, kernels chosen for the machine's instruction set. A [`Session`] runs it under its own prompt, on every core,
//! streaming rows through all layers. [`mod@dense`] runs encoders. [`mod@reference`] is the plain executor that
//! everything is tested against.
//!
//! ```
//! use pdn_engine::{Isa, Map, Plan, RunOptions, Session};
//! use pdn_network::{hashed, zoo::Imdn};
//!
//! let network = Imdn::published(2).build()?;
//! let plan = Plan::new(&network, &hashed::weights(&network), Isa::best())?;
//! let picture = Map::new(3, 8, 10, vec![0.5; 3 * 8 * 10]);
//! let large = Session::new(plan).run(&picture, &RunOptions::default(), &mut |_done| true)?;
//! assert_eq!((large.height, large.width), (16, 20));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod compile;
pub mod dense;
mod error;
pub mod fold;
mod map;
mod ops;
mod pixels;
mod plan;
pub mod reference;
mod run;
mod session;
mod walk;

pub use error::RunError;
pub use map::Map;
pub use pdn_kernels::{Isa, Precision, peak_flops};
pub use pixels::Pixels;
pub use plan::Plan;
pub use run::{Piece, Region, RunOptions};
pub use session::Session;
