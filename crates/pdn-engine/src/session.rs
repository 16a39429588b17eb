//! Sessions: a prompt and working memory to run a plan.

use crate::RunError;
use crate::plan::Plan;
use crate::run::Region;
use crate::run::prompted::Prompted;
use crate::run::workspace::Workspace;
use std::sync::Arc;

/// Runs a shared [`Plan`] under its own prompt. A session takes the memory of the prompt's kernels and of its last run,
/// which it keeps for the next picture of the same size. A clone shares the plan and the prompt, and starts without
/// that memory.
///
/// ```
/// use pdn_engine::{Isa, Map, Plan, RunOptions, Session};
/// use pdn_network::{hashed, zoo::Imdn};
/// use std::sync::Arc;
///
/// let network = Imdn::published(2).build()?;
/// let plan = Arc::new(Plan::new(&network, &hashed::weights(&network), Isa::best())?);
/// let picture = Map::new(3, 8, 10, vec![0.5; 3 * 8 * 10]);
/// let run = || Session::new(plan.clone()).run(&picture, &RunOptions::default(), &mut |_done| true);
/// let (a, b) = std::thread::scope(|scope| (scope.spawn(run).join().unwrap(), run()));
/// assert_eq!(a?, b?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    pub(crate) plan: Arc<Plan>,
    pub(crate) prompted: Arc<Prompted>,
    /// Memory kept from the last run.
    pub(crate) workspace: Option<Workspace>,
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), prompted: self.prompted.clone(), workspace: None }
    }
}

impl Session {
    /// Creates a session without a prompt. A network that takes one needs it before it runs.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Self {
        Self { plan: plan.into(), prompted: Arc::default(), workspace: None }
    }

    /// Returns the plan that the session runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Sets the prompt: a unit vector of the network's prompt length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] if the network takes no prompt, or one of another length.
    pub fn set_prompt(&mut self, prompt: &[f32]) -> Result<(), RunError> {
        self.set(Prompted::by_prompt(&self.plan, prompt)?);
        Ok(())
    }

    /// Replaces the single prompt by one for each region of a picture. From then on, only pictures of the shares' size
    /// can be run.
    ///
    /// # Errors
    /// [`RunError::Prompt`] if the network takes no prompt or one of another length; [`RunError::Regions`] if there are
    /// no regions, or the shares have different sizes, are outside 0 to 1, or do not sum to 1 at some pixel.
    pub fn set_regions(&mut self, regions: Vec<Region>) -> Result<(), RunError> {
        self.set(Prompted::by_regions(&self.plan, regions)?);
        Ok(())
    }

    fn set(&mut self, prompted: Prompted) {
        // The memory is laid out for one of the two programs.
        if prompted.is_regional() != self.prompted.is_regional() {
            self.workspace = None;
        }
        self.prompted = Arc::new(prompted);
    }

    /// Returns whether the session has regional prompts.
    pub fn is_regional(&self) -> bool {
        self.prompted.is_regional()
    }

    /// Frees the memory that a run keeps for the next one, which then takes a little longer.
    pub fn release_memory(&mut self) {
        self.workspace = None;
    }
}
