//! Pictures that are kept for later requests.

use crate::http::ask::Form;
use crate::http::body::run_blocking;
use crate::http::prepare::Asked;
use crate::http::request::Source;
use crate::http::routes::handler::{Answer, Parts, Shared, id};
use crate::jobs::account::{HeldPicture, Stage, held};
use crate::jobs::bytes::encoded_bytes;
use crate::jobs::job::PictureView;
use crate::problem::{Kind, Problem};
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use pdn::{Format, WriteOptions, encode_any};

/// Keep a picture
///
/// Requests can use its id for the picture to upscale or for a prompt, until it has not been used for a while.
#[utoipa::path(
    post, path = "/v1/pictures", tag = "pictures",
    request_body(content((Form = "multipart/form-data"), (crate::http::ask::Ask = "application/json"))),
    responses(
        (status = 201, description = "The picture is kept", body = PictureView, headers(("location" = String))),
        (status = 413, description = "Too many bytes or pixels", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The request is neither a form nor JSON, or the picture is not PNG, JPEG, WebP, TIFF, BMP or GIF", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The picture is damaged", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create(app: Shared, headers: HeaderMap, body: Body) -> Answer {
    let upload = app.receive(&headers, body).await?;
    let Asked { request, share } = app.parse(&headers, upload).await?;
    let Source::File(bytes) = request.picture else {
        return Err(Kind::Option.because("expected the file of a picture, found the id of a kept one"));
    };
    let (id, held) = app.picture(Source::File(bytes)).await?;
    // The file has been decoded.
    drop(share);
    let view = PictureView { id: id.to_string(), width: held.picture.width(), height: held.picture.height() };
    app.store.put_picture(id, held);
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/pictures/{id}"))], Json(view)).into_response())
}

/// Fetch a kept picture
///
/// As PNG, turned upright, for browsers that cannot show the original file.
#[utoipa::path(
    get, path = "/v1/pictures/{id}", tag = "pictures", params(("id" = String, Path, description = "The picture's id")),
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/png"),
        (status = 404, description = "It never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(app: Shared, Parts(name): Parts<String>) -> Answer {
    let HeldPicture { picture, share, .. } = app.kept_picture(id(&name)?)?;
    // Two copies may exist while the file grows.
    let room = app.share_soon(encoded_bytes(share.bytes()) * 2, Stage::Working).await?;
    let work = move || encode_any(&picture, Format::Png, &WriteOptions::default());
    let encoded = run_blocking(app.turn().await, work).await;
    let encoded = encoded.ok_or_else(|| Kind::Internal.because("the picture's encoder crashed"))?;
    Ok(app.file(held(encoded?, room), "image/png", "picture.png"))
}

/// Delete a kept picture
#[utoipa::path(
    delete, path = "/v1/pictures/{id}", tag = "pictures", params(("id" = String, Path, description = "The picture's id")),
    responses(
        (status = 204, description = "The picture was deleted"),
        (status = 404, description = "It never existed or has expired", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn forget(app: Shared, Parts(name): Parts<String>) -> Answer {
    let id = id(&name)?;
    app.kept_picture(id)?;
    app.store.forget(id);
    Ok(StatusCode::NO_CONTENT.into_response())
}
