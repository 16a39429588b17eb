//! A web page and an HTTP API that upscale pictures, guided by prompts.
//!
//! [`Server::bind`] listens; [`Server::run`] serves requests until its [`Stopper`] stops it. The API is described at
//! `/openapi.json`; the page is at `/`.
//!
//! ```no_run
//! use pdn_serve::{Offered, Server, Settings};
//!
//! let model = pdn::bundled_model(pdn::DEFAULT_MODEL).expect("it comes with the library")?;
//! let models = vec![(pdn::DEFAULT_MODEL.to_owned(), Offered::Network(Box::new(model)))];
//! let server = Server::bind(Settings::default(), models, pdn::bundled_encoder()?)?;
//! println!("http://{}", server.address());
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod app;
mod http;
mod jobs;
mod metrics;
mod problem;
mod settings;

pub use http::server::{ServeError, Server, Stopper};
pub use jobs::models::Offered;
pub use settings::Settings;

/// Private parts that fuzzing needs; not for other use.
#[doc(hidden)]
pub mod fuzzing {
    use crate::http::request::EnlargeRequest;
    use axum::http::{HeaderMap, header};
    use futures_util::FutureExt;

    /// Returns the size that a request's body asks for, by its media type; `None` if it cannot be parsed.
    pub fn size_of_request(media: &str, body: Vec<u8>) -> Option<pdn::Size> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media.parse().ok()?)]);
        let request = EnlargeRequest::read(&headers, body.into()).now_or_never().expect("a body in memory is there");
        request.ok()?.sizing.size().ok()
    }
}
