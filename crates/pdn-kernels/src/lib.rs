//! Numeric primitives on slices.
mod isa;
pub use isa::Isa;
