//! The web page: its files and the example picture, all served from here.

use crate::http::example;
use crate::http::routes::handler::{Answer, Parts, Shared};
use crate::problem::{Kind, Problem};
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Builds a table of the page's scripts.
macro_rules! scripts {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../../page/", $name)))),*] };
}

/// The scripts by name; the first loads the others.
const SCRIPTS: [(&str, &str); 17] = scripts![
    "page.js",
    "download.js",
    "enlarge.js",
    "faults.js",
    "files.js",
    "masks.js",
    "models.js",
    "parts.js",
    "picture.js",
    "problems.js",
    "reference.js",
    "runs.js",
    "server.js",
    "sizes.js",
    "state.js",
    "theme.js",
    "view.js"
];

fn text(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

/// Get the web page
#[utoipa::path(
    get, path = "/", tag = "page",
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn index() -> Response {
    text("text/html; charset=utf-8", include_str!("../../page/page.html"))
}

/// Get the style sheet
#[utoipa::path(
    get, path = "/page.css", tag = "page",
    responses(
        (status = 200, description = "CSS", body = String, content_type = "text/css"),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("../../page/page.css"))
}

/// Get a script
#[utoipa::path(
    get, path = "/page/{script}", tag = "page", params(("script" = String, Path, description = "`page.js`, or a script that it loads")),
    responses(
        (status = 200, description = "JavaScript", body = String, content_type = "text/javascript"),
        (status = 404, description = "There is no such script", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn script(Parts(name): Parts<String>) -> Answer {
    let found = SCRIPTS.iter().find(|(known, _)| *known == name);
    let (_, script) = found.ok_or_else(|| Kind::NotFound.because(format_args!("the page has no script `{name}`")))?;
    Ok(text("text/javascript; charset=utf-8", script))
}

/// Get the example picture
#[utoipa::path(
    get, path = "/example.png", tag = "page",
    responses(
        (status = 200, description = "The picture", body = String, content_type = "image/png"),
        (status = "default", description = "Any error", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn example(app: Shared) -> Answer {
    let png = tokio::task::spawn_blocking(example::png).await;
    let png = png.ok().flatten().ok_or_else(|| Kind::Internal.because("the example could not be drawn"))?;
    Ok(app.file(png, "image/png", "example.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_served_and_loads_none_that_is_not() {
        let folder = pdn_testing::root().join("crates/pdn-serve/src/page");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.filter(|name| name.ends_with(".js")).collect();
        let mut names = SCRIPTS.map(|(name, _)| name);
        files.sort_unstable();
        names.sort_unstable();
        assert_eq!(files, names);
        for (name, script) in SCRIPTS {
            for loaded in script.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(names.contains(&loaded), "{name} loads {loaded}");
            }
        }
    }
}
