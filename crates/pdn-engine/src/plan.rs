//! A network compiled for this machine.

use crate::RunError;
use crate::compile::program::Program;
use crate::compile::{compile, compile_regional};
use crate::fold::fold;
use crate::run::columns;
use pdn_kernels::{Isa, Precision};
use pdn_network::{Extent, Network, Node, Op, Summary, Weights};
use std::sync::OnceLock;

/// A network compiled for this machine: its steps, and its kernels as the instruction set wants them. It never changes, so
/// threads share one; a [`Session`](crate::Session) holds a prompt and runs it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) network: Network,
    pub(crate) weights: Weights,
    summary: Summary,
    pub(crate) isa: Isa,
    /// The steps under one prompt, or none.
    pub(crate) program: Program,
    /// The steps under a prompt for each region, compiled when regions are first run.
    regional: OnceLock<Program>,
}

impl Plan {
    /// Compiles a network for an instruction set, in float32.
    ///
    /// # Errors
    /// As [`Plan::with_precision`].
    pub fn new(network: &Network, weights: &Weights, isa: Isa) -> Result<Self, RunError> {
        Self::with_precision(network, weights, isa, Precision::F32)
    }

    /// Compiles a network for an instruction set, its convolutions to be computed with some precision.
    ///
    /// # Errors
    /// [`RunError::Isa`] where the machine lacks the instruction set, [`RunError::Precision`] where it lacks what the precision
    /// needs, [`RunError::Encoder`] where the network gives no picture.
    pub fn with_precision(
        network: &Network,
        weights: &Weights,
        isa: Isa,
        precision: Precision,
    ) -> Result<Self, RunError> {
        if !isa.is_available() {
            return Err(RunError::Isa(isa));
        }
        if precision != Precision::F32 && (isa != Isa::Avx512 || !precision.is_available()) {
            return Err(RunError::Precision(precision));
        }
        if !matches!(network.node(network.output).shape.extent, Extent::Picture(_)) {
            return Err(RunError::Encoder(network.architecture));
        }
        let (network, weights) = fold(network, weights)?;
        let program = compile(&network, &weights, precision);
        let summary = network.summary();
        Ok(Self { network, weights, summary, isa, program, regional: OnceLock::new() })
    }

    /// The steps under one prompt, or under one for each region.
    pub(crate) fn program_for(&self, regional: bool) -> &Program {
        match regional {
            false => &self.program,
            true => self.regional.get_or_init(|| compile_regional(&self.network, &self.weights, &self.program)),
        }
    }

    /// The network as it runs: its modules folded.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What running costs.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The instruction set it was compiled for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// With which its convolutions are computed.
    pub fn precision(&self) -> Precision {
        self.program.precision
    }

    /// How many masks [`Session::masks`](crate::Session::masks) gives.
    pub fn mask_count(&self) -> usize {
        self.with_mask().count()
    }

    /// The modules that have a mask.
    pub(crate) fn with_mask(&self) -> impl Iterator<Item = &Node> {
        self.network.nodes.iter().filter(|node| matches!(&node.op, Op::Dcm(dcm) if dcm.zeta.is_some()))
    }

    /// Whether the network reads the whole picture at once.
    pub(crate) fn reads_whole_picture(&self) -> bool {
        self.summary.whole_picture > 0
    }

    /// Bytes that running on a whole picture takes, beside the weights, the picture and the output, on as many threads as
    /// there are now.
    pub fn memory(&self, height: usize, width: usize) -> usize {
        columns::memory(&self.program, self.reads_whole_picture(), (height, width))
    }
}
