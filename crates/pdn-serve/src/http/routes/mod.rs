//! The routes, each with its description, from which `/openapi.json` is built.

mod faults;
mod handler;
mod jobs;
mod masks;
mod page;
mod pictures;
mod service;
mod upscale;

use crate::app::App;
use crate::problem::Kind;
use axum::body::Bytes;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The API's description, without its routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "pdn", description = "Upscales pictures with super-resolution networks, guided by a prompt."),
    components(schemas(crate::http::ask::Form)),
    tags(
        (name = "enlarge", description = "Upscale a picture in one request"),
        (name = "jobs", description = "Upscale in the background and fetch the result later"),
        (name = "pictures", description = "Keep pictures on the server to upscale them with several prompts, and see what they show"),
        (name = "service", description = "Models, limits, health and metrics"),
        (name = "page", description = "The web page and its files")
    )
)]
struct Api;

type Routes = OpenApiRouter<Arc<App>>;

/// Returns every route with its description.
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
        .routes(routes!(faults::see))
        .routes(routes!(service::models))
        .routes(routes!(service::health))
        .routes(routes!(service::metrics))
        .routes(routes!(service::description))
        .routes(routes!(page::index))
        .routes(routes!(page::style))
        .routes(routes!(page::script))
        .routes(routes!(page::example))
}

/// Builds the router: every route, and the response if there is none.
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
