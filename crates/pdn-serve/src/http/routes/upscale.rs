//! Upscales a picture in a single request.
#![allow(unused_qualifications, reason = "the macro of descriptions writes whole paths")]

use crate::app::App;
use crate::http::ask::{Ask, Form};
use crate::http::routes::handler::{Answer, Shared, query};
use crate::http::routes::jobs;
use crate::jobs::job::{Job, JobView};
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpscaleOptions {
    /// Whether to return a job at once, as with the header `Prefer: respond-async`.
    #[serde(default, rename = "async")]
    later: bool,
}

/// Cancels a job if its client goes away.
struct Waiting<'a>(&'a App, Arc<Job>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.cancel(&self.1);
    }
}

/// Upscale a picture
///
/// Returns the upscaled picture and keeps nothing. Closing the connection cancels the work. If the model hears faults, the header
/// `pdn-faults` says which ones steered it, as a dictionary (RFC 9651) such as `blur=slight;amount=0.25;told, jpeg=none;seen`, and
/// `pdn-faults-words` says so in words; with regions, those outside them.
#[utoipa::path(
    post, path = "/v1/upscale", tag = "enlarge",
    params(UpscaleOptions, ("Prefer" = Option<String>, Header, description = "`respond-async`: return a job at once")),
    request_body(content((Form = "multipart/form-data"), (Ask = "application/json"))),
    responses(
        (status = 200, description = "The upscaled picture", content((String = "image/png"), (String = "image/jpeg"), (String = "image/webp"), (String = "image/tiff")), headers(("server-timing" = String, description = "Milliseconds of the prompt and of all"))),
        (status = 202, description = "A job, if the request preferred one", body = JobView, headers(("location" = String))),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The kept picture has expired", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The upload stalled", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many bytes or pixels, too much memory, or too large a result", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The request is neither a form nor JSON, or the picture is not PNG, JPEG, WebP, TIFF, BMP or GIF", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The picture is damaged, or the prompt or an option cannot be used", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many jobs are waiting", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = 503, description = "The server is stopping, or too busy", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = 504, description = "The job exceeded the time limit", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn upscale(
    app: Shared,
    options: Result<Query<UpscaleOptions>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let later = query(options)?.later || prefers_later(&headers);
    if later {
        let mut response = jobs::create(app, headers.clone(), body).await?;
        if prefers_later(&headers) {
            response.headers_mut().insert("preference-applied", HeaderValue::from_static("respond-async"));
        }
        return Ok(response);
    }
    let prepared = app.read(&headers, body).await?;
    let job = app.submit(prepared)?;
    let waiting = Waiting(&app, Arc::clone(&job));
    let status = job.end().await;
    drop(waiting);
    let view = job.view(&status, 0);
    match (status.result, status.problem) {
        (Some(bytes), _) => {
            let format = job.order.format;
            let mut response = app.file(bytes, format.media(), &format!("enlarged.{}", format.ending()));
            let mut add = |name: &'static str, value: &str| {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.headers_mut().insert(name, value);
                }
            };
            add("server-timing", &view.timing());
            if let Some(steered) = &status.steered {
                add("pdn-faults", &steered.rest.header());
                add("pdn-faults-words", steered.rest.words());
            }
            Ok(response)
        }
        (None, problem) => Err(problem.unwrap_or_else(|| Kind::Internal.because("the job was lost"))),
    }
}

/// Returns whether a client prefers a job to waiting (RFC 7240).
fn prefers_later(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}
