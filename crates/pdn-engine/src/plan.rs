//! Plans: networks compiled for this machine.

use crate::RunError;
use crate::compile::program::Program;
use crate::compile::{compile, compile_regional};
use crate::fold::fold;
use crate::run::columns;
use pdn_kernels::{Isa, Precision};
use pdn_network::{Extent, Network, Node, Op, Summary, Weights};
use std::sync::OnceLock;

/// A network compiled for this machine: its steps, and its kernels laid out for the instruction set. It is immutable,
/// so threads can share it; a [`Session`](crate::Session) holds a prompt and runs it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) network: Network,
    pub(crate) weights: Weights,
    summary: Summary,
    pub(crate) isa: Isa,
    /// The steps for a single prompt, or none.
    pub(crate) program: Program,
    /// The steps for regional prompts, compiled on first use.
    regional: OnceLock<Program>,
}

impl Plan {
    /// Compiles a network for an instruction set, in float32.
    ///
    /// # Errors
    /// Same as [`Plan::with_precision`].
    pub fn new(network: &Network, weights: &Weights, isa: Isa) -> Result<Self, RunError> {
        Self::with_precision(network, weights, isa, Precision::F32)
    }

    /// Compiles a network for an instruction set, with convolutions computed in the given precision.
    ///
    /// # Errors
    /// [`RunError::Isa`] if the machine lacks the instruction set, [`RunError::Precision`] if it lacks what the
    /// precision needs, [`RunError::Encoder`] if the network's output is not a picture.
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

    /// Returns the steps for regional prompts, or for a single one.
    pub(crate) fn program_for(&self, regional: bool) -> &Program {
        match regional {
            false => &self.program,
            true => self.regional.get_or_init(|| compile_regional(&self.network, &self.weights, &self.program)),
        }
    }

    /// Returns the network as it runs, with its modules folded.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the cost of a run.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Returns the instruction set that the plan is compiled for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Returns the precision of the convolutions.
    pub fn precision(&self) -> Precision {
        self.program.precision
    }

    /// Returns the number of masks that [`Session::masks`](crate::Session::masks) returns.
    pub fn mask_count(&self) -> usize {
        self.with_mask().count()
    }

    /// Returns the modules that have a mask.
    pub(crate) fn with_mask(&self) -> impl Iterator<Item = &Node> {
        self.network.nodes.iter().filter(|node| matches!(&node.op, Op::Dcm(dcm) if dcm.zeta.is_some()))
    }

    /// Returns whether the network needs the whole picture at once.
    pub(crate) fn reads_whole_picture(&self) -> bool {
        self.summary.whole_picture > 0
    }

    /// Returns the bytes that a run on a whole picture takes with the current number of threads, beside the weights,
    /// the picture and the output.
    pub fn memory(&self, height: usize, width: usize) -> usize {
        columns::memory(&self.program, self.reads_whole_picture(), (height, width))
    }
}
