//! Jobs: created now, watched, fetched later.
#![allow(unused_qualifications, reason = "the macro of descriptions writes whole paths")]

use crate::app::App;
use crate::http::ask::{Ask, Form};
use crate::http::body::run_blocking;
use crate::http::request::FileFormat;
use crate::http::routes::handler::{Answer, Parts, Shared, id, query};
use crate::jobs::account::{Stage, held};
use crate::jobs::bytes::encoded_bytes;
use crate::jobs::job::{Job, JobView, State, Status};
use crate::jobs::work::provenance;
use crate::problem::{Kind, Problem};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use pdn::{Limits, WriteOptions, encode_any};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};
use utoipa::IntoParams;

impl App {
    pub(super) fn view(&self, job: &Job, status: &Status) -> JobView {
        let ahead = if status.state == State::Queued { self.queue.ahead_of(job.id) } else { 0 };
        job.view(status, ahead)
    }
}

/// Create a job
///
/// As `POST /v1/upscale`, but returns a job at once. The picture is kept, so later requests can use its id: to try another prompt,
/// create a job with the id and the prompt.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs",
    request_body(content((Form = "multipart/form-data"), (Ask = "application/json"))),
    responses(
        (status = 202, description = "The job", body = JobView, headers(("location" = String))),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The kept picture has expired", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The upload stalled", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many bytes or pixels", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The request is neither a form nor JSON, or the picture is not PNG, JPEG, WebP, TIFF, BMP or GIF", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The picture is damaged, or the prompt or an option cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many jobs are waiting", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = 503, description = "The server is stopping, or too busy", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create(app: Shared, headers: HeaderMap, body: Body) -> Answer {
    let prepared = app.read(&headers, body).await?;
    let job = app.submit_kept(prepared)?;
    let location = format!("/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(app.view(&job, &job.status()))).into_response())
}

/// Get the state of a job
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 404, description = "It never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(app: Shared, Parts(name): Parts<String>) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    Ok(Json(app.view(&job, &job.status())).into_response())
}

/// Cancel or delete a job
///
/// A waiting or running job is cancelled at the network's next step; a finished job is deleted with its result.
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 204, description = "The job was cancelled or deleted"),
        (status = 404, description = "It never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel(app: Shared, Parts(name): Parts<String>) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    match job.status().state.is_final() {
        true => drop(app.store.forget(job.id)),
        false => app.cancel(&job),
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The shortest interval between progress events, and the longest without an event.
const OFTEN: Duration = Duration::from_millis(60);
const SELDOM: Duration = Duration::from_secs(1);

/// Watch a job
///
/// Server-sent events with the job as JSON: `progress` while it waits or runs, then one of `done`, `failed` or `cancelled`.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "It never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn events(app: Shared, Parts(name): Parts<String>) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    let mut changes = job.watch();
    changes.mark_changed();
    let app = Arc::clone(&app);
    let events = stream::unfold(Some((app, job, changes)), async |state| {
        let (app, job, mut changes) = state?;
        let status = next(&mut changes).await;
        let view = app.view(&job, &status);
        let last = status.state.is_final();
        let event = Event::default().event(if last { status.state.word() } else { "progress" }).json_data(view);
        let event = event.unwrap_or_else(|_| Event::default().event("failed"));
        Some((Ok::<_, Infallible>(event), (!last).then_some((app, job, changes))))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Waits for the next change of status, or for a while without one.
async fn next(changes: &mut Receiver<Status>) -> Status {
    let _ = timeout(SELDOM, changes.changed()).await;
    if !changes.borrow().state.is_final() {
        sleep(OFTEN).await;
    }
    changes.borrow_and_update().clone()
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultOptions {
    /// A format other than the job's.
    #[param(inline)]
    format: Option<FileFormat>,
}

/// Fetch the upscaled picture
#[utoipa::path(
    get, path = "/v1/jobs/{id}/result", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ResultOptions),
    responses(
        (status = 200, description = "The upscaled picture", content((String = "image/png"), (String = "image/jpeg"), (String = "image/webp"), (String = "image/tiff"))),
        (status = 404, description = "The job never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The job is not done, or was cancelled", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The format cannot hold the picture", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Why the job failed, or any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn result(
    app: Shared,
    Parts(name): Parts<String>,
    options: Result<Query<ResultOptions>, QueryRejection>,
) -> Answer {
    let job = app.kept_job(id(&name)?)?;
    let status = job.status();
    let Some(bytes) = status.result else {
        return Err(status.problem.unwrap_or_else(|| Kind::NotDone.because("wait for the event `done`")));
    };
    let format = query(options)?.format.unwrap_or(job.order.format);
    job.fetch();
    let bytes = if format == job.order.format { bytes } else { converted(&app, &job, bytes, format).await? };
    Ok(named(&app, &job, bytes, format))
}

/// Fetch a preview of the result
///
/// For browsers, which cannot show pictures of more than 16,384 pixels per side or a hundred million in all. The job's `preview` gives
/// its size.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/preview", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The preview: JPEG, or PNG if it has transparency", content((String = "image/jpeg"), (String = "image/png"))),
        (status = 404, description = "There is no such job, it has expired, or it has no preview", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The job is not done, or was cancelled", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Why the job failed, or any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn preview(app: Shared, Parts(name): Parts<String>) -> Answer {
    let status = app.kept_job(id(&name)?)?.status();
    if !status.state.is_final() {
        return Err(Kind::NotDone.because("wait for the event `done`"));
    }
    match (status.preview, status.problem) {
        (Some(shown), _) if shown.file.starts_with(b"\x89PNG") => Ok(app.file(shown.file, "image/png", "preview.png")),
        (Some(shown), _) => Ok(app.file(shown.file, "image/jpeg", "preview.jpg")),
        (None, Some(problem)) => Err(problem),
        (None, None) => {
            Err(Kind::NotFound.because("the job has no preview, as browsers can show the result; fetch that"))
        }
    }
}

fn named(app: &App, job: &Job, bytes: Bytes, format: FileFormat) -> Response {
    app.file(bytes, format.media(), &format!("enlarged_{}.{}", job.order.size_word(), format.ending()))
}

/// Encodes a result in another format. The source may be JPEG, which is lossy; the other formats are lossless.
async fn converted(app: &App, job: &Arc<Job>, bytes: Bytes, format: FileFormat) -> Result<Bytes, Problem> {
    let (job, encoder) = (Arc::clone(job), app.encoder.id().to_owned());
    // Room for the samples as decoded, the samples again in the order of writing, and two copies of the growing file.
    let (width, height) = job.order.output;
    let samples = (width * height).saturating_mul(job.order.sample_bytes);
    let room = samples.saturating_mul(2).saturating_add(encoded_bytes(samples).saturating_mul(2));
    let room = app.share_soon(room, Stage::Working).await?;
    let work = move || {
        let picture = pdn::read_any_bytes(&bytes, &Limits { pixels: u64::MAX, ..Limits::default() })?;
        let quality = format.quality(job.order.quality);
        let options = WriteOptions { quality, provenance: Some(provenance(&job, &encoder)) };
        encode_any(&picture, format.format(), &options)
    };
    let encoded = run_blocking(app.turn().await, work).await;
    let encoded = encoded.ok_or_else(|| Kind::Internal.because("the picture's encoder crashed"))?;
    Ok(held(encoded?, room))
}
