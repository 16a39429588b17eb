//! Prompt activity: how much of a module moves when only the prompt changes.
//!
//! A module reads the prompt twice: for the mixture of its kernels (the paper's equation 4) and for its mask (equation 2).
//! A mixture that is the same for every sentence, or a bank whose kernels have grown alike, is no dynamic convolution,
//! whatever the network's PSNR. So each branch is measured over many prompts, and a card carries the figures.

use crate::Card;
use serde::{Deserialize, Serialize};

/// Below this a branch does nothing with its prompt.
pub const INACTIVE: f64 = 1e-2;

/// The entry of the card.
const ENTRY: &str = "prompt_activity";

/// What one module does with prompts. A branch that the module does not have is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The module.
    pub module: String,
    /// Standard deviation of π over prompts, root mean square over the kernels. π's parts sum to 1.
    pub mixture: Option<f64>,
    /// Standard deviation of the mask over prompts at a pixel, root mean square over the pixels. Masks are 0 to 1.
    pub mask: Option<f64>,
    /// Smallest distance of two of the bank's kernels, over the root mean square of their lengths.
    pub bank: Option<f64>,
}

impl Activity {
    /// Its branches that do nothing, by name.
    pub fn inactive(&self) -> Vec<&'static str> {
        let branches = [("mixture", self.mixture), ("mask", self.mask), ("bank", self.bank)];
        branches.into_iter().filter(|(_, value)| value.is_some_and(|v| v < INACTIVE)).map(|(name, _)| name).collect()
    }
}

/// What the modules of a network do with prompts, and on what that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptActivity {
    /// Prompts.
    pub prompts: usize,
    /// Pictures that each of them steered.
    pub pictures: usize,
    /// Each module, in the network's order.
    pub modules: Vec<Activity>,
}

impl Card {
    /// The prompt activity, where it was measured and can be read.
    pub fn activity(&self) -> Option<PromptActivity> {
        serde_json::from_value(self.more.get(ENTRY)?.clone()).ok()
    }

    /// Notes the prompt activity.
    ///
    /// # Panics
    /// When a figure is not finite.
    pub fn set_activity(&mut self, activity: &PromptActivity) {
        let figures = activity.modules.iter().flat_map(|m| [m.mixture, m.mask, m.bank]).flatten();
        assert!(figures.into_iter().all(f64::is_finite), "prompt activity {activity:?}");
        self.more.insert(ENTRY.to_owned(), serde_json::to_value(activity).expect("finite figures are JSON"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_that_does_not_move_is_named() {
        let module = |mixture, mask, bank| Activity { module: "m".into(), mixture, mask, bank };
        assert!(module(Some(0.05), None, Some(1.4)).inactive().is_empty());
        assert_eq!(module(Some(1e-4), Some(0.3), Some(0.0)).inactive(), ["mixture", "bank"]);
        let mut card = Card::default();
        assert_eq!(card.activity(), None);
        let measured = PromptActivity { prompts: 300, pictures: 4, modules: vec![module(Some(0.5), None, Some(0.0))] };
        card.set_activity(&measured);
        assert_eq!(card.activity(), Some(measured));
    }
}
