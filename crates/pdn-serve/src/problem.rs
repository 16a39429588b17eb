//! Error responses: problem details (RFC 9457), each of a type that programs can recognise.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pdn::{EncoderError, FileFault, PromptError, RunError};
use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Its type: `urn:pdn:problem:` and a name.
    #[serde(rename = "type")]
    #[schema(example = "urn:pdn:problem:queue-full")]
    urn: String,
    /// The type in words.
    title: &'static str,
    /// The HTTP status of the response.
    status: u16,
    /// This occurrence: what was expected, what was found, what to do.
    detail: String,
    /// The limit that was exceeded, in `unit`s.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// What was found, in `unit`s.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<u64>,
    /// The unit of `limit` and `found`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
    /// The part of the request that it concerns, if not the picture to upscale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "prompt_picture")]
    part: Option<&'static str>,
    #[serde(skip)]
    kind: Kind,
}

/// The unit of a problem's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    Bytes,
    Jobs,
    Pixels,
    Prompts,
    Seconds,
    /// Pieces of words, as the prompt encoder reads them.
    Tokens,
}

/// The types of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Malformed,
    Unauthorised,
    ForeignHost,
    ForeignPage,
    NotFound,
    Method,
    SlowUpload,
    NotDone,
    Cancelled,
    LargeUpload,
    ManyPixels,
    MuchMemory,
    LargeResult,
    Media,
    Picture,
    Prompt,
    EmptyPrompt,
    LongPrompt,
    Region,
    Option,
    QueueFull,
    Internal,
    Stopping,
    Busy,
    TooSlow,
}

/// The most bytes of a detail.
const DETAIL: usize = 2000;

impl Kind {
    /// Every type.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 25] = [
        Self::Malformed,
        Self::Unauthorised,
        Self::ForeignHost,
        Self::ForeignPage,
        Self::NotFound,
        Self::Method,
        Self::SlowUpload,
        Self::NotDone,
        Self::Cancelled,
        Self::LargeUpload,
        Self::ManyPixels,
        Self::MuchMemory,
        Self::LargeResult,
        Self::Media,
        Self::Picture,
        Self::Prompt,
        Self::EmptyPrompt,
        Self::LongPrompt,
        Self::Region,
        Self::Option,
        Self::QueueFull,
        Self::Internal,
        Self::Stopping,
        Self::Busy,
        Self::TooSlow,
    ];

    /// Returns the status, name and title.
    pub(crate) fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised", "The token is missing or wrong"),
            Self::ForeignHost => (StatusCode::FORBIDDEN, "foreign-host", "The host is not allowed"),
            Self::ForeignPage => (StatusCode::FORBIDDEN, "foreign-page", "Requests from other sites are not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed"),
            Self::SlowUpload => (StatusCode::REQUEST_TIMEOUT, "slow-upload", "The upload stalled"),
            Self::NotDone => (StatusCode::CONFLICT, "not-done", "The job is not done"),
            Self::Cancelled => (StatusCode::CONFLICT, "cancelled", "The job was cancelled"),
            Self::LargeUpload => (StatusCode::PAYLOAD_TOO_LARGE, "large-upload", "The upload is too large"),
            Self::ManyPixels => (StatusCode::PAYLOAD_TOO_LARGE, "many-pixels", "The picture has too many pixels"),
            Self::MuchMemory => (StatusCode::PAYLOAD_TOO_LARGE, "much-memory", "The picture needs too much memory"),
            Self::LargeResult => (StatusCode::PAYLOAD_TOO_LARGE, "large-result", "The upscaled picture is too large"),
            Self::Media => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media", "The media type is not supported"),
            Self::Picture => (StatusCode::UNPROCESSABLE_ENTITY, "picture", "The picture cannot be upscaled"),
            Self::Prompt => (StatusCode::UNPROCESSABLE_ENTITY, "prompt", "The prompt cannot be used"),
            Self::EmptyPrompt => (StatusCode::UNPROCESSABLE_ENTITY, "empty-prompt", "The prompt has no words"),
            Self::LongPrompt => (StatusCode::UNPROCESSABLE_ENTITY, "long-prompt", "The prompt is too long"),
            Self::Region => (StatusCode::UNPROCESSABLE_ENTITY, "region", "A region is not inside the picture"),
            Self::Option => (StatusCode::UNPROCESSABLE_ENTITY, "option", "An option cannot be used"),
            Self::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "queue-full", "Too many jobs are waiting"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "too-slow", "It took too long"),
        }
    }

    /// Returns the seconds after which to try again, if that may help.
    fn retry_after(self) -> Option<u16> {
        match self {
            Self::QueueFull | Self::Busy => Some(2),
            Self::Stopping => Some(10),
            _ => None,
        }
    }

    /// Creates a problem of this type; a detail that repeats much of the request is truncated.
    pub(crate) fn because(self, detail: impl ToString) -> Problem {
        let (status, name, title) = self.facts();
        let urn = format!("urn:pdn:problem:{name}");
        let (status, mut detail) = (status.as_u16(), detail.to_string());
        if detail.len() > DETAIL {
            let end = (0..=DETAIL).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
            detail.truncate(end);
            detail.push('…');
        }
        Problem { urn, title, status, detail, limit: None, found: None, unit: None, part: None, kind: self }
    }
}

impl Problem {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Attributes the problem to a part of the request, by its name there and in words.
    pub(crate) fn of(self, part: &'static str, words: &str) -> Self {
        Self { detail: format!("{words}: {}", self.detail), part: Some(part), ..self }
    }

    /// Adds the limit that was exceeded, and what was found if that is known.
    pub(crate) fn limited(self, unit: Unit, limit: u64, found: Option<u64>) -> Self {
        Self { limit: Some(limit), found, unit: Some(unit), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, _) = self.kind.facts();
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.kind.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::Unauthorised {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<FileFault> for Problem {
    fn from(fault: FileFault) -> Self {
        let kind = match &fault {
            FileFault::NotAPicture => Kind::Media,
            FileFault::TooLarge { .. } => Kind::ManyPixels,
            FileFault::NoAlpha | FileFault::BeyondFormat { .. } | FileFault::LongProvenance { .. } => Kind::Option,
            FileFault::Io { .. } => Kind::Internal,
            FileFault::TooSlow => Kind::TooSlow,
            _ => Kind::Picture,
        };
        let problem = kind.because(format_args!("the picture {fault}"));
        match fault {
            FileFault::TooLarge { pixels, limit, .. } => problem.limited(Unit::Pixels, limit, Some(pixels)),
            _ => problem,
        }
    }
}

impl From<EncoderError> for Problem {
    fn from(error: EncoderError) -> Self {
        match error {
            EncoderError::LongText { found, limit } => {
                Kind::LongPrompt.because(error).limited(Unit::Tokens, limit as u64, Some(found as u64))
            }
            EncoderError::ManyBytes { found, limit } => {
                Kind::LongPrompt.because(error).limited(Unit::Bytes, limit as u64, Some(found as u64))
            }
            EncoderError::EmptyText => Kind::EmptyPrompt.because(error),
            error => Kind::Prompt.because(error),
        }
    }
}

impl From<pdn::Error> for Problem {
    fn from(error: pdn::Error) -> Self {
        let error = match error {
            pdn::Error::Prompt(PromptError::Encoder(error)) => return error.into(),
            error => error,
        };
        let kind = match &error {
            pdn::Error::Prompt(PromptError::Region(_)) => Kind::Region,
            pdn::Error::Prompt(_)
            | pdn::Error::EncoderMismatch { .. }
            | pdn::Error::Run(RunError::Prompt { .. } | RunError::Regions(_)) => Kind::Prompt,
            pdn::Error::TooLarge { .. } => Kind::LargeResult,
            pdn::Error::Size(_) => Kind::Option,
            pdn::Error::Run(RunError::Memory { .. }) => Kind::MuchMemory,
            pdn::Error::Run(RunError::Cancelled) => Kind::Cancelled,
            pdn::Error::Run(RunError::NotFinite { .. } | RunError::Picture { .. }) => Kind::Picture,
            _ => Kind::Internal,
        };
        let problem = kind.because(&error);
        match error {
            pdn::Error::TooLarge { width, height, limit } => {
                let found = (width as u64).saturating_mul(height as u64);
                problem.limited(Unit::Pixels, limit as u64, Some(found))
            }
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_described_where_users_read() {
        let described = std::fs::read_to_string(pdn_testing::root().join("docs/serve.md")).unwrap();
        for kind in Kind::ALL {
            let (status, name, _) = kind.facts();
            let row = format!("| {} | `{name}` |", status.as_u16());
            assert!(described.contains(&row), "docs/serve.md has no line `{row}`");
        }
    }
}
