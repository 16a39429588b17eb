//! Runs a network on the CPU.
//!
//! [`Plan`] is the compiled form: modules folded, convolutions fused with what follows them, kernels for the machine's
//! instruction set, every core, rows that flow through all layers. [`mod@reference`] is the plain one that everything is
//! tested against.
//!
//! ```
//! use pdn_engine::{Isa, Map, Plan, RunOptions};
//! use pdn_network::{hashed, zoo::Imdn};
//!
//! let network = Imdn::published(2).build()?;
//! let plan = Plan::new(&network, &hashed::weights(&network), Isa::best())?;
//! let picture = Map::new(3, 8, 10, vec![0.5; 3 * 8 * 10]);
//! let large = plan.run(&picture, &RunOptions::default(), &mut |_done| true)?;
//! assert_eq!((large.height, large.width), (16, 20));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod compile;
mod dcm;
mod error;
pub mod fold;
mod format;
mod pixels;
mod place;
mod plan;
pub mod reference;
mod regions;
mod rows;
mod run;
mod schedule;
mod sequence;
mod step;
mod stream;

pub use error::RunError;
pub use pdn_kernels::{Isa, Precision, peak_flops};
pub use pixels::Pixels;
pub use plan::Plan;
pub use reference::Map;
pub use regions::Region;
pub use stream::{Piece, RunOptions};
