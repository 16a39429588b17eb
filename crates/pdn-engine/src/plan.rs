//! A network compiled for this machine, and the prompt it runs under.

use crate::RunError;
use crate::compile::compile;
use crate::dcm::PromptedDcm;
use crate::error::check_prompt;
use crate::fold::fold;
use crate::place::Workspace;
use crate::regions::PromptedRegion;
use crate::schedule::halo;
use crate::step::Program;
use pdn_kernels::{Isa, Precision};
use pdn_network::{Dcm, Extent, Network, Summary, Weights};
use rayon::prelude::*;
use std::sync::Mutex;

/// A network compiled for this machine. It keeps the memory of its last run for the next of the same size.
#[derive(Debug)]
pub struct Plan {
    pub(crate) network: Network,
    pub(crate) weights: Weights,
    pub(crate) summary: Summary,
    pub(crate) isa: Isa,
    pub(crate) program: Program,
    /// How far columns see beyond what they give.
    pub(crate) halo: usize,
    pub(crate) prompt: Option<Vec<f32>>,
    /// Each DCM under the prompt.
    pub(crate) dcms: Vec<PromptedDcm>,
    /// In the place of the prompt, several and where each holds.
    pub(crate) regions: Vec<PromptedRegion>,
    /// The memory of the last run, kept for the next.
    pub(crate) spare: Mutex<Option<Workspace>>,
}

impl Plan {
    /// Compiles a network for an instruction set, in float32. A network that takes a prompt must be given one with
    /// [`Plan::set_prompt`] before it runs.
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
        let program = compile(&network, &weights, precision, false);
        let halo = halo(&program);
        let summary = network.summary();
        let (prompt, dcms, regions, spare) = (None, Vec::new(), Vec::new(), Mutex::default());
        Ok(Self { network, weights, summary, isa, program, halo, prompt, dcms, regions, spare })
    }

    /// Sets the prompt: a unit vector of the network's prompt length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the network takes no prompt or one of another length.
    pub fn set_prompt(&mut self, prompt: &[f32]) -> Result<(), RunError> {
        check_prompt(self.network.prompt_dim(), Some(prompt.len()))?;
        let (weights, precision) = (&self.weights, self.program.precision);
        let dcms: Vec<&Dcm> = self.network.dcms().collect();
        self.dcms = dcms.into_par_iter().map(|dcm| PromptedDcm::new(dcm, weights, prompt, precision)).collect();
        self.prompt = Some(prompt.to_vec());
        if !std::mem::take(&mut self.regions).is_empty() {
            self.program = compile(&self.network, &self.weights, self.program.precision, false);
            self.spare = Mutex::default();
        }
        Ok(())
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
}
