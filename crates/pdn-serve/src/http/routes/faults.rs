//! What a picture shows of its faults, without upscaling it.
#![allow(unused_qualifications, reason = "the macro of descriptions writes whole paths")]

use crate::app::App;
use crate::http::ask::Form;
use crate::http::body::run_blocking;
use crate::http::prepare::Asked;
use crate::http::routes::handler::{Answer, Shared};
use crate::jobs::account::{HeldPicture, Stage};
use crate::jobs::bytes::PIXEL;
use crate::jobs::faults::FaultsView;
use crate::problem::{Kind, Problem, Unit};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use pdn::KnownFaults;
use rayon::ThreadPool;
use std::sync::Arc;
use tokio::time::timeout;

/// The time limit of looking at a picture, as a multiple of the client timeout.
const LOOKING: u32 = 4;

/// See the faults of a picture
///
/// Returns what the picture shows of blur, noise, JPEG and other faults, within moments: a model that hears faults is steered
/// by these, unless a request tells others. Nothing is kept, and anything beside the picture is ignored.
#[utoipa::path(
    post, path = "/v1/faults", tag = "pictures",
    request_body(content((Form = "multipart/form-data"), (crate::http::ask::Ask = "application/json"))),
    responses(
        (status = 200, description = "What is seen; without slots if the server's encoder sees no faults", body = FaultsView),
        (status = 404, description = "The kept picture has expired", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The upload stalled", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many bytes or pixels", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The request is neither a form nor JSON, or the picture is not PNG, JPEG, WebP, TIFF, BMP or GIF", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The picture is damaged", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The server is stopping, or too busy", body = Problem, content_type = "application/problem+json", headers(("retry-after" = u16))),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn see(
    app: Shared,
    Extension(pool): Extension<Arc<ThreadPool>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let upload = app.receive(&headers, body).await?;
    let Asked { request, share } = app.parse(&headers, upload).await?;
    let (_, held) = app.picture(request.into_picture()).await?;
    // The file has been decoded.
    drop(share);
    let seen = app.seen(held, pool).await?;
    Ok(Json(FaultsView::seen(&seen)).into_response())
}

impl App {
    /// Looks at a picture on a blocking thread and the threads of the jobs; only a few are looked at at a time.
    async fn seen(self: &Arc<Self>, held: HeldPicture, pool: Arc<ThreadPool>) -> Result<KnownFaults, Problem> {
        if !self.encoder.tells_faults() {
            return Ok(KnownFaults::default());
        }
        let patience = self.settings.patience;
        let Ok(turn) = timeout(patience, self.turn()).await else {
            return Err(Kind::Busy.because("the server is reading other pictures; try again"));
        };
        // As much as decoding it took suffices for its copies: in 8 bits, and without transparency.
        let pixels = held.picture.width().saturating_mul(held.picture.height());
        let room = self.share_soon(pixels.saturating_mul(PIXEL as usize), Stage::Working).await?;
        let app = Arc::clone(self);
        let look = move || {
            let seen = pool.install(|| held.seen(&app.encoder));
            drop(room);
            seen
        };
        let limit = patience * LOOKING;
        let Ok(seen) = timeout(limit, run_blocking(turn, look)).await else {
            let why = format_args!("looking at the picture took {} s, the limit; send a smaller one", limit.as_secs());
            return Err(Kind::TooSlow.because(why).limited(Unit::Seconds, limit.as_secs(), None));
        };
        Ok(seen.ok_or_else(|| Kind::Internal.because("the encoder crashed"))??)
    }
}
