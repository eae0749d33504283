//! The pages of `errors`: read, and compiled as templates of what an answer knows.

use std::path::Path;

use http::HeaderValue;
use portreeve_config::{Config, ConfigPath, ErrorPage, ErrorStatus, Sources, units};
use portreeve_plugin::Template;
use portreeve_plugin::template::{AtResponse, Escape, Reference, Roots};

use super::Errors;
use crate::snapshot::pages::{Page, Pages};

/// Longest page, in bytes: it is held in memory and sent to whoever asks for what is not there.
const MAX_BYTES: u64 = 1 << 20;

pub(super) fn compile(config: &Config, sources: &Sources, errors: &mut Errors<'_>) -> Pages {
    let mut pages = Pages::default();
    let (mut by_status, mut by_class) = (Vec::new(), Vec::new());
    for (status, page) in config.errors.iter() {
        let path = ConfigPath::from("errors").key(&String::from(*status));
        let Some(page) = compiled(page, &path, sources, errors) else { continue };
        match status {
            ErrorStatus::Exact(status) => by_status.push((*status, page)),
            ErrorStatus::Class(class) => by_class.push((*class, page)),
            ErrorStatus::Default => pages.default = Some(page),
        }
    }
    Pages { by_status: by_status.into(), by_class: by_class.into(), ..pages }
}

fn compiled(page: &ErrorPage, path: &ConfigPath, sources: &Sources, errors: &mut Errors<'_>) -> Option<Page> {
    let content_type = content_type(page, path, errors);
    let body = match (&page.body, &page.file) {
        (Some(body), _) => template(body, |offset, message| errors.within(&path.key("body"), offset, message)),
        (None, Some(file)) => {
            let at = path.key("file");
            match read(&sources.folder(&at).join(file)) {
                Ok(text) => template(&text, |offset, message| {
                    let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
                    errors.at(&at, format!("{}, line {line}: {message}", file.display()));
                }),
                Err(message) => {
                    errors.at(&at, format!("{}: {message}", file.display()));
                    None
                }
            }
        }
        // The loader has seen to it that one of them is written.
        (None, None) => None,
    };
    let (content_type, escape) = content_type?;
    Some(Page { content_type, escape, body: body? })
}

/// A page is for everybody, also for those who could not say who they are: it tells of the request and its status only.
fn template(text: &str, mut wrong: impl FnMut(usize, String)) -> Option<Template<AtResponse>> {
    let parsed = match Template::<AtResponse>::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            wrong(error.offset(), error.message().to_string());
            return None;
        }
    };
    let foreign = parsed.references().find(|reference| {
        let known = Roots::REQUEST.contains(reference.root()) || **reference == Reference::ResponseStatus;
        !known
    });
    if let Some(foreign) = foreign {
        let offset = text.find(&foreign.to_string()).unwrap_or(0);
        wrong(offset, format!("an error page may name `request.…` and `response.status`, not `{foreign}`"));
        return None;
    }
    Some(parsed)
}

/// The `Content-Type` of a page, and how values are written into such a text.
fn content_type(page: &ErrorPage, path: &ConfigPath, errors: &mut Errors<'_>) -> Option<(HeaderValue, Escape)> {
    let ending = page.file.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str()).unwrap_or("");
    let kind = page.content_type.as_deref().unwrap_or(match ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        _ => "text/plain; charset=utf-8",
    });
    let lower = kind.to_ascii_lowercase();
    let essence = lower.split(';').next().unwrap_or_default().trim();
    let escape = if essence.ends_with("html") || essence.ends_with("xml") {
        Escape::Html
    } else if essence.ends_with("json") {
        Escape::Json
    } else {
        Escape::None
    };
    let is_type = essence.split_once('/').is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty());
    match HeaderValue::from_str(kind) {
        Ok(value) if is_type => Some((value, escape)),
        _ => {
            errors.at(&path.key("content_type"), format!("{kind:?} is not a media type such as text/html"));
            None
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let found = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if found.len() > MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    let bytes = units::file::read(file, MAX_BYTES).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}
