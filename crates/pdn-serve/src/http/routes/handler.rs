//! Helpers shared by handlers: reading requests and building responses.

use crate::app::App;
use crate::http::body::WHOLE;
use crate::jobs::job::Prepared;
use crate::problem::{Kind, Problem};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::{self, HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The result of a handler.
pub(crate) type Answer = Result<Response, Problem>;

/// The state shared by handlers.
pub(crate) type Shared = State<Arc<App>>;

impl App {
    /// Receives and checks a request for a job.
    pub(crate) async fn read(self: &Arc<Self>, headers: &HeaderMap, body: Body) -> Result<Prepared, Problem> {
        let upload = self.receive(headers, body).await?;
        self.prepare(self.parse(headers, upload).await?).await
    }
}

/// Path parameters; a parameter that cannot be parsed is a problem like any other.
pub(crate) struct Parts<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Parts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(parts)| Self(parts)).map_err(|error| Kind::Malformed.because(error.body_text()))
    }
}

/// Parses the id in a path; an invalid id is reported as not found.
pub(crate) fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Kind::NotFound.because(format_args!("`{text}` is not an id")))
}

/// Parses the query string.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(options)| options).map_err(|error| Kind::Option.because(error.body_text()))
}

/// Bytes of a response that are passed to the connection at a time.
const PIECE: usize = 256 << 10;

/// The slowest rate, in bytes per second, at which a client may read a response.
const SLOWEST: u64 = 64 << 10;

impl App {
    /// Builds a response from a picture's file. A client that reads it too slowly is cut off, which frees the memory.
    pub(crate) fn file(&self, bytes: Bytes, media: &'static str, name: &str) -> Response {
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
