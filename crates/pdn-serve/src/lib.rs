//! A page and an HTTP API that enlarge pictures, steered by prompts.
//!
//! [`Server::bind`] listens, [`Server::run`] answers until its [`Stopper`] says stop. What it answers is
//! described at `/openapi.json`; the page is at `/`.
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

/// What fuzzing needs of what is private; nothing of it is for use.
#[doc(hidden)]
pub mod fuzzing {
    use crate::http::request::EnlargeRequest;
    use axum::http::{HeaderMap, header};
    use futures_util::FutureExt;

    /// The size that a request's body asks for, by its media type; nothing where it cannot be read.
    pub fn size_of_request(media: &str, body: Vec<u8>) -> Option<pdn::Size> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media.parse().ok()?)]);
        let request = EnlargeRequest::read(&headers, body.into()).now_or_never().expect("a body in memory is there");
        request.ok()?.sizing.size().ok()
    }
}
