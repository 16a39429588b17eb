//! Access control: admits pages and programs of this machine, or holders of the token.

use crate::app::App;
use crate::problem::{Kind, Problem};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Lets a request through, or responds with what is wrong with it.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let host = host(request);
    // Without this check, another site's page could read this server after DNS rebinding: its host name would resolve
    // to this machine. With a token, that page lacks the token, and a proxy may use another host name.
    let open = app.settings.token.is_none() && app.settings.address.ip().is_loopback();
    if open && !host.as_ref().is_some_and(|host| is_loopback(host.host())) {
        let found = host.as_ref().map_or("none", Authority::as_str);
        return Err(Kind::ForeignHost.because(format_args!("expected the host localhost or 127.0.0.1, found {found}")));
    }
    // Browsers send cross-site forms without a preflight request.
    if let Some(origin) = text(request.headers(), header::ORIGIN) {
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        if host.as_ref().is_none_or(|host| !authority.eq_ignore_ascii_case(host.as_str())) {
            return Err(Kind::ForeignPage
                .because(format_args!("the request comes from a page of {origin}, not of this server")));
        }
    }
    let path = request.uri().path();
    let guarded = path.starts_with("/v1/") || path == "/metrics";
    if let Some(token) = app.settings.token.as_deref().filter(|_| guarded) {
        let given = text(request.headers(), header::AUTHORIZATION).and_then(bearer).unwrap_or_default();
        if !bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            return Err(
                Kind::Unauthorised.because("expected the header `Authorization: Bearer` and the server's token")
            );
        }
    }
    if app.is_stopping() && request.method() == Method::POST {
        return Err(Kind::Stopping.because("the server is shutting down and accepts no new requests; try again later"));
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the host that the request was meant for.
fn host(request: &Request) -> Option<Authority> {
    let header = text(request.headers(), header::HOST).and_then(|host| host.parse().ok());
    request.uri().authority().cloned().or(header)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_s_names_are_told_from_others() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.evil.example", "evil.example", "192.168.0.1", "[::2]", "127.0.0.1.evil.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn tokens_are_read() {
        for (value, token) in
            [("Bearer abc", Some("abc")), ("bearer  abc", Some("abc")), ("Basic abc", None), ("abc", None)]
        {
            assert_eq!(bearer(value), token);
        }
    }
}
