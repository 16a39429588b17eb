//! Runs a plan on a picture: its program's steps, band by band and column by column.

mod band;
pub(crate) mod columns;
mod dcm;
mod piece;
pub(crate) mod prompted;
mod regional;
mod regions;
mod rows;
mod stream;
pub(crate) mod workspace;

pub use columns::RunOptions;
pub use piece::Piece;
pub use regions::Region;
