//! One file per command; nothing here is shared between commands.

mod batch;
pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod controls;
pub(crate) mod convert;
pub(crate) mod degrade;
pub(crate) mod embed;
pub(crate) mod eval;
mod fault_controls;
pub(crate) mod info;
mod info_picture;
pub(crate) mod masks;
pub(crate) mod models;
pub(crate) mod pages;
#[cfg(feature = "serve")]
pub(crate) mod serve;
#[cfg(feature = "train")]
pub(crate) mod train;
pub(crate) mod upscale;
