//! Prompt activity: how much of a module's output changes when only the prompt does.
//!
//! A module reads the prompt twice: for the mixture of its kernels (the paper's equation 4) and for its mask (equation
//! 2). A mixture that is the same for every sentence, or a bank of near-identical kernels, is no dynamic convolution,
//! whatever the network's PSNR. So each branch is measured over many prompts, and the card records the figures.

use crate::Card;
use serde::{Deserialize, Serialize};

/// The activity below which a branch counts as ignoring its prompt.
pub const INACTIVE: f64 = 1e-2;

/// The card's entry.
const ENTRY: &str = "prompt_activity";

/// How one module reacts to prompts. A branch that the module does not have is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The module's name.
    pub module: String,
    /// Standard deviation of π over prompts, root mean square over the kernels. π sums to 1.
    pub mixture: Option<f64>,
    /// Standard deviation of the mask over prompts at a pixel, root mean square over the pixels. Masks range from 0 to
    /// 1.
    pub mask: Option<f64>,
    /// Smallest distance between two of the bank's kernels, divided by the root mean square of their norms.
    pub bank: Option<f64>,
}

impl Activity {
    /// Returns the names of the branches that ignore the prompt.
    pub fn inactive(&self) -> Vec<&'static str> {
        let branches = [("mixture", self.mixture), ("mask", self.mask), ("bank", self.bank)];
        branches.into_iter().filter(|(_, value)| value.is_some_and(|v| v < INACTIVE)).map(|(name, _)| name).collect()
    }
}

/// How a network's modules react to prompts, and what that was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptActivity {
    /// Number of prompts.
    pub prompts: usize,
    /// Number of pictures run with each prompt.
    pub pictures: usize,
    /// The modules, in the network's order.
    pub modules: Vec<Activity>,
}

impl Card {
    /// Returns the prompt activity, if it was measured and can be read.
    pub fn activity(&self) -> Option<PromptActivity> {
        serde_json::from_value(self.more.get(ENTRY)?.clone()).ok()
    }

    /// Records the prompt activity.
    ///
    /// # Panics
    /// Panics if a figure is not finite.
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
