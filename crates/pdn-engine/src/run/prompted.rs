//! A plan's DCMs prepared for a prompt, or for one prompt per region.

use crate::RunError;
use crate::error::check_prompt;
use crate::plan::Plan;
use crate::run::dcm::PromptedDcm;
use crate::run::regions::{PromptedRegion, Region, check_shares};
use pdn_network::Dcm;
use rayon::prelude::*;

/// A plan's DCMs under a prompt or under regional prompts; empty until one is set.
#[derive(Debug, Default)]
pub(crate) struct Prompted {
    pub(crate) embedding: Option<Vec<f32>>,
    /// Each DCM under the prompt.
    pub(crate) dcms: Vec<PromptedDcm>,
    /// Regional prompts and where each applies, in place of the single prompt.
    pub(crate) regions: Vec<PromptedRegion>,
}

impl Prompted {
    pub(crate) fn by_prompt(plan: &Plan, prompt: &[f32]) -> Result<Self, RunError> {
        check_prompt(plan.network.prompt_dim(), Some(prompt.len()))?;
        let (embedding, dcms) = (Some(prompt.to_vec()), dcms(plan, prompt));
        Ok(Self { embedding, dcms, regions: Vec::new() })
    }

    pub(crate) fn by_regions(plan: &Plan, regions: Vec<Region>) -> Result<Self, RunError> {
        for region in &regions {
            check_prompt(plan.network.prompt_dim(), Some(region.prompt.len()))?;
        }
        check_shares(&regions)?;
        let is_present = |region: &Region| region.share.data.iter().any(|share| *share != 0.0);
        let present: Vec<Region> = regions.into_iter().filter(is_present).collect();
        if let [one] = &present[..] {
            return Self::by_prompt(plan, &one.prompt);
        }
        let prompted = |region: Region| PromptedRegion { share: region.share, dcms: dcms(plan, &region.prompt) };
        Ok(Self { regions: present.into_iter().map(prompted).collect(), ..Self::default() })
    }

    /// Returns whether the prompts are regional.
    pub(crate) fn is_regional(&self) -> bool {
        !self.regions.is_empty()
    }
}

fn dcms(plan: &Plan, prompt: &[f32]) -> Vec<PromptedDcm> {
    let dcms: Vec<&Dcm> = plan.network.dcms().collect();
    dcms.into_par_iter().map(|dcm| PromptedDcm::new(dcm, &plan.weights, prompt, plan.program.precision)).collect()
}
