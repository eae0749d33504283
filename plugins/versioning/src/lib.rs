//! `versioning`: finds out which version of an API a request is for, and sends it to the upstream that serves it.

mod build;
mod config;
mod dates;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_plugin::prelude::*;
use portreeve_plugin::{Upstream, template::AtRequest};

pub use config::{Config, Source, VersionConfig};

/// Sends each request to the upstream of its version.
#[derive(Debug)]
pub struct Versioning {
    places: Box<[Place]>,
    default: Option<Arc<Served>>,
    versions: BTreeMap<Box<str>, Arc<Served>>,
    /// The names of all versions, for the client that named none of them.
    known: Box<str>,
}

/// Where a request may name its version.
#[derive(Debug)]
struct Place {
    from: From,
    /// `Vary` for an answer that depends on this place and those before it.
    vary: Option<HeaderValue>,
}

#[derive(Debug)]
enum From {
    Path(Box<str>),
    Header(HeaderName),
    Query(Box<str>),
    Claim(Template<AtRequest>),
}

/// One version, and what its answers say of its future.
#[derive(Debug)]
struct Served {
    name: Arc<str>,
    upstream: Upstream,
    notices: Vec<(HeaderName, HeaderValue)>,
}

/// What the response hook adds.
#[derive(Debug, Default)]
struct Chosen {
    vary: Option<HeaderValue>,
    served: Option<Arc<Served>>,
}

#[async_trait]
impl Plugin for Versioning {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST | Hooks::RESPONSE
    }

    fn request_fields(&self) -> RequestFields {
        let read = self.places.iter().filter_map(|place| match &place.from {
            From::Header(name) => Some(name.clone()),
            _ => None,
        });
        RequestFields::none().reads(read)
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        for place in &self.places {
            let Some(name) = place.from.find(cx) else { continue };
            let served = self.versions.get(&*name).cloned();
            drop(name);
            cx.state::<Chosen>().vary.clone_from(&place.vary);
            let Some(served) = served else { return Ok(self.unknown(&place.from)) };
            if let From::Path(param) = &place.from {
                take_off(cx, param)?;
            }
            return Ok(choose(cx, served));
        }
        cx.state::<Chosen>().vary = self.places.last().and_then(|place| place.vary.clone());
        Ok(match &self.default {
            Some(served) => choose(cx, served.clone()),
            None => self.missing(),
        })
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let Chosen { vary, served } = std::mem::take(cx.state());
        if let Some(vary) = vary {
            cx.append_header(header::VARY, vary);
        }
        for (name, value) in served.iter().flat_map(|served| &served.notices) {
            // `Link` is a list that the upstream may have begun; the dates are ours alone.
            if name == header::LINK {
                cx.append_header(name.clone(), value.clone());
            } else {
                cx.set_header(name.clone(), value.clone());
            }
        }
        Ok(())
    }
}

impl Versioning {
    fn unknown(&self, from: &From) -> Flow {
        let (status, reason) = match from {
            From::Path(param) => (StatusCode::NOT_FOUND, format!("path parameter `{param}` names no version")),
            From::Header(name) => (StatusCode::BAD_REQUEST, format!("header `{name}` names no version")),
            From::Query(name) => (StatusCode::BAD_REQUEST, format!("query parameter `{name}` names no version")),
            From::Claim(claim) => (StatusCode::BAD_REQUEST, format!("{claim} names no version")),
        };
        let detail = format!("There is no such version; there are: {}.", self.known);
        Reply::problem(status, detail).because(reason).into()
    }

    fn missing(&self) -> Flow {
        let detail = format!("This request must name a version; there are: {}.", self.known);
        Reply::problem(StatusCode::BAD_REQUEST, detail).because("no version named, and no default").into()
    }
}

impl From {
    /// The version this place names. What is empty names none.
    fn find<'c>(&'c self, cx: &'c RequestCx<'_>) -> Option<Cow<'c, str>> {
        let name = match self {
            Self::Path(param) => cx.param(param).map(Cow::Borrowed),
            Self::Header(name) => {
                // A value that is not visible ASCII is still a value: it must not fall through to the default.
                let value = cx.headers().get(name)?;
                Some(String::from_utf8_lossy(value.as_bytes()))
            }
            Self::Query(name) => cx.query(name),
            Self::Claim(claim) => cx.render(claim),
        };
        name.filter(|name| !name.is_empty())
    }
}

fn choose(cx: &mut RequestCx<'_>, served: Arc<Served>) -> Flow {
    cx.set_upstream(&served.upstream);
    cx.set_version(served.name.clone());
    cx.note(format!("version {}", served.name));
    cx.state::<Chosen>().served = Some(served);
    Flow::Continue
}

/// Takes the segment of a path parameter off the path. A path that an earlier step rewrote no longer has that segment.
fn take_off(cx: &mut RequestCx<'_>, param: &str) -> Result<()> {
    let path = cx.path();
    let Some(span) = cx.param_span(param).filter(|_| path == cx.matched_path()) else { return Ok(()) };
    let not_a_segment = || Error::new(format!("path parameter `{param}` is not a whole segment"));
    let before = path.get(..span.start).and_then(|before| before.strip_suffix('/')).ok_or_else(not_a_segment)?;
    let after = path.get(span.end..).ok_or_else(not_a_segment)?;
    if !(after.is_empty() || after.starts_with('/')) {
        return Err(not_a_segment());
    }
    let mut target = String::with_capacity(path.len() + cx.uri().query().map_or(0, |query| query.len() + 1));
    target.push_str(before);
    target.push_str(after);
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = cx.uri().query() {
        target.push('?');
        target.push_str(query);
    }
    cx.set_path_and_query(target.try_into()?);
    Ok(())
}
