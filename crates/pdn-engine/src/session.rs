//! A prompt and working memory: what runs a plan.

use crate::RunError;
use crate::plan::Plan;
use crate::run::Region;
use crate::run::prompted::Prompted;
use crate::run::workspace::Workspace;
use std::sync::Arc;

/// Runs a [`Plan`] that others may share, under a prompt of its own. It costs the prompt's kernels and the memory of its last run,
/// which it keeps for the next picture of the same size; a clone shares the plan and the prompt, and begins without memory.
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
    /// The memory of the last run.
    pub(crate) workspace: Option<Workspace>,
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), prompted: self.prompted.clone(), workspace: None }
    }
}

impl Session {
    /// A session without a prompt. A network that takes one must be given it before it runs.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Self {
        Self { plan: plan.into(), prompted: Arc::default(), workspace: None }
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Sets the prompt: a unit vector of the network's prompt length.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the network takes no prompt or one of another length.
    pub fn set_prompt(&mut self, prompt: &[f32]) -> Result<(), RunError> {
        self.set(Prompted::by_prompt(&self.plan, prompt)?);
        Ok(())
    }

    /// Sets a prompt for each region of a picture, in the place of one for all. Only pictures of the shares' size can be run
    /// then.
    ///
    /// # Errors
    /// [`RunError::Prompt`] when the network takes no prompt or one of another length, [`RunError::Regions`] when there are
    /// no regions, or the shares are of different sizes, outside 0 to 1, or not 1 together at some pixel.
    pub fn set_regions(&mut self, regions: Vec<Region>) -> Result<(), RunError> {
        self.set(Prompted::by_regions(&self.plan, regions)?);
        Ok(())
    }

    fn set(&mut self, prompted: Prompted) {
        // Memory is laid out for one of the two programs.
        if prompted.is_regional() != self.prompted.is_regional() {
            self.workspace = None;
        }
        self.prompted = Arc::new(prompted);
    }

    /// Whether regions have prompts of their own.
    pub fn is_regional(&self) -> bool {
        self.prompted.is_regional()
    }

    /// Gives back the memory that a run keeps for the next one, which then takes a little longer.
    pub fn release_memory(&mut self) {
        self.workspace = None;
    }
}
