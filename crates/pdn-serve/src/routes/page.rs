//! The page: three files and a drawn picture, nothing from elsewhere.

use super::{Answer, file};
use crate::example;
use crate::problem::{Kind, Problem};
use axum::http::header;
use axum::response::{IntoResponse, Response};

fn text(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

/// The page
#[utoipa::path(
    get, path = "/", tag = "page",
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = "default", description = "Anything that is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn index() -> Response {
    text("text/html; charset=utf-8", include_str!("../page/page.html"))
}

/// How it looks
#[utoipa::path(
    get, path = "/page.css", tag = "page",
    responses(
        (status = 200, description = "CSS", body = String, content_type = "text/css"),
        (status = "default", description = "Anything that is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("../page/page.css"))
}

/// What it does
#[utoipa::path(
    get, path = "/page.js", tag = "page",
    responses(
        (status = 200, description = "JavaScript", body = String, content_type = "text/javascript"),
        (status = "default", description = "Anything that is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn script() -> Response {
    text("text/javascript; charset=utf-8", include_str!("../page/page.js"))
}

/// A drawn picture to try
#[utoipa::path(
    get, path = "/example.png", tag = "page",
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/png"),
        (status = "default", description = "Anything that is wrong", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn example() -> Answer {
    let png = tokio::task::spawn_blocking(example::png).await;
    let png = png.ok().flatten().ok_or_else(|| Kind::Internal.because("the example could not be drawn"))?;
    Ok(file(png, "image/png", "example.png"))
}
