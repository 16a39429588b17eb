//! Layers around every route: request ids, logging, metrics, and security headers.

use crate::app::App;
use crate::http::guard::guard;
use crate::problem::Kind;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::{Span, info, info_span};

/// Only content from this server, no framing, no forms to other sites; `blob:` for pictures opened in the page.
const POLICY: &str = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Adds the layers to the routes; the last is the outermost.
pub(crate) fn around(router: Router, app: &Arc<App>) -> Router {
    let trace = TraceLayer::new_for_http().make_span_with(span).on_request(()).on_failure(()).on_response(
        |response: &Response<_>, took: Duration, _: &Span| {
            info!(status = response.status().as_u16(), milliseconds = took.as_secs_f64() * 1e3, "request");
        },
    );
    let mut router = router
        .layer(from_fn_with_state(Arc::clone(app), guard))
        .layer(CatchPanicLayer::custom(broken))
        .layer(from_fn_with_state(Arc::clone(app), count));
    for (name, value) in HEADERS {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router = router.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    router
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(trace)
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

/// Logs the path only: query strings and headers may hold private data.
fn span(request: &Request) -> Span {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    info_span!("http", method = %request.method(), path = request.uri().path(), id)
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let begun = Instant::now();
    // Methods invented by a client are counted together.
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "DELETE") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    app.metrics.answered(&method, &route, response.status().as_u16(), begun.elapsed());
    response
}

#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn broken(_: Box<dyn Any + Send>) -> Response<Body> {
    Kind::Internal.because("what there is to know is in the server's log").into_response()
}
