//! `errors`: what the answers look like that the gateway makes itself when a request cannot be served.

use std::borrow::Cow;
use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Pages of the gateway's own error answers, by status: `404`, a class such as `5xx`, or `default`. The status itself goes
/// before its class, and the class before `default`.
///
/// Without a page the answer is `application/problem+json` (RFC 9457), or a minimal HTML page for clients whose `Accept`
/// prefers HTML to JSON. gRPC clients always get a gRPC status, and answers that a plugin or a target gives a body of its own
/// stay as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Errors(IndexMap<ErrorStatus, ErrorPage>);

impl Errors {
    /// Every page with what it is for, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&ErrorStatus, &ErrorPage)> {
        self.0.iter()
    }
}

impl JsonSchema for Errors {
    fn schema_name() -> Cow<'static, str> {
        "Errors".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Pages of the gateway's own error answers, by status: `404`, a class (`4xx` or `5xx`), or \
                `default`. The status itself goes before its class, and the class before `default`. Without a page the \
                answer is `application/problem+json` with `type`, `title`, `status`, sometimes `detail`, and `request_id` \
                (RFC 9457), or a minimal page for clients whose `Accept` prefers HTML or plain text to JSON. A client that \
                names JSON in its `Accept`, and not the type of the page, gets that document also where there is a page. \
                gRPC clients always get a gRPC status, and answers that a plugin or a target gives a body of its own stay \
                as they are.",
            "x-example": include_str!("examples/errors.yaml"),
            "type": "object",
            "propertyNames": {
                "type": "string",
                "pattern": "^([45][0-9]{2}|[45]xx|default)$",
                "x-expected": "a status such as 404, a class (4xx or 5xx), or default",
            },
            "additionalProperties": generator.subschema_for::<ErrorPage>(),
        })
    }
}

/// Which statuses a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ErrorStatus {
    /// This one: 400 to 599.
    Exact(u16),
    /// All that begin with this digit: 4 or 5.
    Class(u16),
    /// Every status without a page of its own.
    Default,
}

impl TryFrom<String> for ErrorStatus {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "default" => Ok(Self::Default),
            "4xx" => Ok(Self::Class(4)),
            "5xx" => Ok(Self::Class(5)),
            _ => match text.parse() {
                Ok(status @ 400..=599) if text.len() == 3 => Ok(Self::Exact(status)),
                _ => Err(format!("{text:?} is not a status such as 404, a class (4xx or 5xx), or default")),
            },
        }
    }
}

impl From<ErrorStatus> for String {
    fn from(status: ErrorStatus) -> Self {
        match status {
            ErrorStatus::Exact(status) => status.to_string(),
            ErrorStatus::Class(class) => format!("{class}xx"),
            ErrorStatus::Default => "default".to_owned(),
        }
    }
}

/// A page: its text in the file or beside it. It is a [template](templates.md) of `request` (with `request.id`, by which the
/// operator finds the request in the logs) and `response.status`; their values are escaped for HTML and JSON, as the content type
/// has it. Where one of them has no value, the answer is the one without a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["body"] }, { "required": ["file"] }]))]
pub struct ErrorPage {
    /// The page itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A file with the page, of at most 1 MiB, relative to the file that names it. It is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Its `Content-Type`. By default what the ending of `file` says (`.html`, `.json`, `.txt`, `.xml`), else
    /// `text/plain; charset=utf-8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub content_type: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_of_errors_have_pages() {
        for text in ["200", "3xx", "600", "04xx", "+404", "0404", "Default"] {
            assert!(ErrorStatus::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
