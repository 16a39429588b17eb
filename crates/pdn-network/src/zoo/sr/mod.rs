//! Super-resolution networks.

pub(super) mod carn;
pub(super) mod compact;
pub(super) mod edsr;
pub(super) mod imdn;
pub(super) mod msrresnet;
pub(super) mod pdn;
pub(super) mod rcan;
pub(super) mod rdn;
pub(super) mod rrdb;
pub(super) mod spsr;
pub(super) mod srresnet;
pub(super) mod srvgg;

pub use carn::Carn;
pub use compact::Compact;
pub use edsr::Edsr;
pub use imdn::Imdn;
pub use msrresnet::MsrResNet;
pub use pdn::{Pdn, Tail};
pub use rcan::{Plus, Rcan};
pub use rdn::Rdn;
pub use rrdb::Rrdb;
pub use spsr::Spsr;
pub use srresnet::SrResNet;
pub use srvgg::Srvgg;
