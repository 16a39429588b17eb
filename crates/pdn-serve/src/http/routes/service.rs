//! The server's models, limits, health and metrics.

use crate::http::routes::handler::{Answer, Shared};
use crate::jobs::faults::SlotView;
use crate::jobs::models::ModelView;
use crate::metrics::Now;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

/// The models of the server, and the limits of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offer {
    /// The first is the default.
    models: Vec<ModelView>,
    /// Id of the encoder of its prompts.
    encoder: String,
    /// The faults that can be told to models that hear them.
    faults: Vec<SlotView>,
    limits: OfferLimits,
}

/// The limits of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct OfferLimits {
    /// Bytes of a request's body, which is slightly larger than the picture's file.
    upload_bytes: usize,
    /// Pixels of an input picture.
    pixels: u64,
    /// Bytes of a result.
    result_bytes: usize,
    /// Seconds that a job may run.
    seconds: u64,
    /// Seconds that pictures and results are kept after their last use.
    keep_seconds: u64,
}

/// List the models
#[utoipa::path(
    get, path = "/v1/models", tag = "service",
    responses(
        (status = 200, description = "The models, and the limits of a request", body = Offer),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn models(app: Shared) -> Json<Offer> {
    let limits = OfferLimits {
        upload_bytes: app.settings.upload,
        pixels: app.settings.pixels,
        result_bytes: app.settings.keep_memory,
        seconds: app.settings.time.as_secs(),
        keep_seconds: app.settings.keep.as_secs(),
    };
    let encoder = app.encoder.id().to_owned();
    Json(Offer { models: app.views.clone(), encoder, faults: SlotView::all(), limits })
}

/// Whether the server accepts requests.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `stopping`.
    status: &'static str,
    version: &'static str,
}

/// Check the health of the server
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses(
        (status = 200, description = "The server accepts requests", body = Health),
        (status = 503, description = "The server is stopping", body = Health),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn health(app: Shared) -> Answer {
    let (code, status) = match app.is_stopping() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    Ok((code, Json(Health { status, version: env!("CARGO_PKG_VERSION") })).into_response())
}

/// Get metrics
///
/// Requests and their durations, jobs, pixels and memory, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn metrics(app: Shared) -> Answer {
    let ((waiting, running), (kept, kept_bytes)) = (app.queue.counts(), app.store.counts());
    let (held_bytes, most_bytes, limit_bytes) = (app.account.held(), app.account.most(), app.account.limit());
    let now = Now { waiting, running, kept, kept_bytes, held_bytes, most_bytes, limit_bytes };
    let text = app.metrics.text(&now);
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media)], text).into_response())
}

/// The API's description, serialized once.
#[derive(Clone)]
pub(super) struct Description(pub(super) Bytes);

/// Get the description of the API
#[utoipa::path(
    get, path = "/openapi.json", tag = "service",
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn description(Extension(Description(api)): Extension<Description>) -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], api).into_response())
}
