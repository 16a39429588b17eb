//! What can be asked for: each route with its description, from which `/openapi.json` is made.

mod jobs;
mod masks;
mod page;
mod pictures;
mod service;
mod upscale;

use crate::app::App;
use crate::http::body::WHOLE;
use crate::jobs::job::Prepared;
use crate::problem::{Kind, Problem};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::{self, HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

/// The API's description, without its routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "pdn", description = "Enlarges pictures with super-resolution networks, guided by a prompt."),
    components(schemas(crate::http::request::Form)),
    tags(
        (name = "enlarge", description = "Enlarge a picture in one request"),
        (name = "jobs", description = "Enlarge in the background and fetch the result later"),
        (name = "pictures", description = "Keep pictures on the server to enlarge them with several prompts"),
        (name = "service", description = "Models, limits, health and metrics"),
        (name = "page", description = "The web page and its files")
    )
)]
struct Api;

type Routes = OpenApiRouter<Arc<App>>;

/// Every route, with its description.
fn routes() -> Routes {
    Routes::with_openapi(Api::openapi())
        .routes(routes!(upscale::upscale))
        .routes(routes!(jobs::create))
        .routes(routes!(jobs::show, jobs::cancel))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::result))
        .routes(routes!(jobs::preview))
        .routes(routes!(masks::list))
        .routes(routes!(masks::show))
        .routes(routes!(pictures::create))
        .routes(routes!(pictures::show, pictures::forget))
        .routes(routes!(service::models))
        .routes(routes!(service::health))
        .routes(routes!(service::metrics))
        .routes(routes!(service::description))
        .routes(routes!(page::index))
        .routes(routes!(page::style))
        .routes(routes!(page::script))
        .routes(routes!(page::example))
}

/// Every route, and what answers where there is none.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, api) = routes().split_for_parts();
    let api: Bytes = serde_json::to_vec(&api).unwrap_or_default().into();
    let nothing = async |uri: Uri| Kind::NotFound.because(format_args!("there is no {}", uri.path())).into_response();
    let method = async || Kind::Method.because("see /openapi.json for the methods of each route").into_response();
    router
        .layer(Extension(service::Description(api)))
        .method_not_allowed_fallback(method)
        .fallback(nothing)
        .with_state(app)
}

/// What a handler answers.
type Answer = Result<Response, Problem>;

/// The state that handlers share.
type Shared = State<Arc<App>>;

impl App {
    /// Receives and checks a request for a job.
    async fn read(self: &Arc<Self>, headers: &HeaderMap, body: Body) -> Result<Prepared, Problem> {
        let upload = self.receive(headers, body).await?;
        self.prepare(self.parse(headers, upload).await?).await
    }
}

/// The parts of a path that have names; what cannot be read is a problem as any other.
struct Parts<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Parts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(parts)| Self(parts)).map_err(|error| Kind::Malformed.because(error.body_text()))
    }
}

/// The id in a path: what is none names nothing.
fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Kind::NotFound.because(format_args!("`{text}` is not an id")))
}

/// The options after a path's question mark.
fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(options)| options).map_err(|error| Kind::Option.because(error.body_text()))
}

/// Bytes of an answer that are given to its connection at a time.
const PIECE: usize = 256 << 10;

/// Bytes a second that a client must take of an answer, at least.
const SLOWEST: u64 = 64 << 10;

impl App {
    /// A picture's file as an answer. It is held for no client that takes it too slowly.
    fn file(&self, bytes: Bytes, media: &'static str, name: &str) -> Response {
        let length = bytes.len();
        let end = Instant::now() + self.settings.patience * WHOLE + Duration::from_secs(length as u64 / SLOWEST);
        let body = match length {
            ..=PIECE => Body::from(bytes),
            _ => {
                Body::from_stream(stream::iter((0..length).step_by(PIECE)).map(move |at| match Instant::now() > end {
                    true => Err(io::Error::other("the client reads the response too slowly")),
                    false => Ok(bytes.slice(at..(at + PIECE).min(length))),
                }))
            }
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media)),
            (header::CONTENT_LENGTH, HeaderValue::from(length)),
        ];
        let mut response = (headers, body).into_response();
        if let Ok(value) = HeaderValue::from_str(&format!("inline; filename=\"{name}\"")) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::models::Models;
    use crate::settings::Settings;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described() {
        let settings = Settings::default();
        let models = Models::new(vec![], settings.target);
        let app = App::new(settings, models, vec![], pdn::bundled_encoder().unwrap());
        let shown = format!("{:?}", router(Arc::new(app)));
        let paths =
            shown.split('"').filter(|text| text.starts_with('/') && !text.contains("__private")).map(str::to_owned);
        let described = routes().split_for_parts().1.paths.paths.into_keys();
        assert_eq!(paths.collect::<BTreeSet<_>>(), described.collect::<BTreeSet<_>>());
    }
}
