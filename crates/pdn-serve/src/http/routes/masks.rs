//! Where a network looks under a job's prompt: the mask of each of its modules.

use crate::app::App;
use crate::http::routes::handler::{Answer, Parts, Shared, id};
use crate::jobs::job::{Job, Mask};
use crate::jobs::queue::Task;
use crate::jobs::stop::Stop;
use crate::problem::{Kind, Problem};
use axum::Json;
use axum::response::IntoResponse;
use pdn::Prompt;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// The mask of a module: a grey picture of the input's size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mask)]
pub(crate) struct MaskView {
    /// The module's name.
    name: String,
    width: usize,
    height: usize,
    /// The mask value of black, 0 to 1.
    low: f32,
    /// The mask value of white, 0 to 1.
    high: f32,
    mean: f32,
    /// The URL of the picture.
    link: String,
}

/// Cancels work when nobody waits for it any more.
struct Waiting(Arc<Stop>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.now(Kind::Cancelled);
    }
}

/// List the masks of a job
///
/// The first request computes them, which takes about as long as the job did, after waiting in the queue.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/masks", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The masks; an empty list if the model has none", body = Vec<MaskView>),
        (status = 404, description = "The job never existed, or it or its picture has expired", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The job has regions; masks need a single prompt", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many jobs are waiting", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(app: Shared, Parts(name): Parts<String>) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    let masks = app.masks(&job).await?;
    let view = |mask: &Mask| MaskView {
        name: mask.name.clone(),
        width: mask.width,
        height: mask.height,
        low: mask.range.0,
        high: mask.range.1,
        mean: mask.mean,
        link: format!("/v1/jobs/{}/masks/{}", job.id, mask.name),
    };
    Ok(Json(masks.iter().map(view).collect::<Vec<_>>()).into_response())
}

/// Fetch a mask
#[utoipa::path(
    get, path = "/v1/jobs/{id}/masks/{module}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ("module" = String, Path, description = "The module's name")),
    responses(
        (status = 200, description = "The mask, in grey", body = String, content_type = "image/png"),
        (status = 404, description = "There is no such job or module, or it has expired", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The job has regions; masks need a single prompt", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many jobs are waiting", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(app: Shared, Parts((name, module)): Parts<(String, String)>) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    let masks = app.masks(&job).await?;
    let mask = masks.iter().find(|mask| mask.name == module);
    let mask = mask.ok_or_else(|| Kind::NotFound.because(format_args!("the model has no module `{module}`")))?;
    Ok(app.file(mask.png.clone(), "image/png", "mask.png"))
}

impl App {
    /// Returns a job's masks, which are computed once; concurrent requests wait for the same computation.
    async fn masks<'a>(&self, job: &'a Arc<Job>) -> Result<&'a Vec<Mask>, Problem> {
        if matches!(job.order.prompt, Prompt::Regions(_)) {
            return Err(Kind::Prompt.because("masks need a single prompt; use a job without regions"));
        }
        let masks = job.masks.get_or_try_init(async || {
            if self.is_stopping() {
                return Err(Kind::Stopping.because("the server is shutting down and accepts no new requests"));
            }
            let (answer, answered) = oneshot::channel();
            let waiting = Waiting(Arc::default());
            let (picture, stop) = (self.kept_picture(job.order.picture)?, Arc::clone(&waiting.0));
            self.queue.offer(Task::Masks { job: Arc::clone(job), picture, stop, answer })?;
            answered.await.unwrap_or_else(|_| Err(Kind::Internal.because("the masks were lost")))
        });
        masks.await
    }
}
