//! Pages of the gateway's own error answers: those of the file, and the ones for clients that the file says nothing of.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_plugin::Template;
use portreeve_plugin::engine::{Exchange, View};
use portreeve_plugin::template::{AtResponse, Escape};
use serde::Serialize;

use crate::http::accept::{Kind, names_json, preferred};

/// The pages of the file, from the most particular to the least.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) by_status: Box<[(u16, Page)]>,
    /// Of 4xx and 5xx.
    pub(crate) by_class: Box<[(u16, Page)]>,
    pub(crate) default: Option<Page>,
}

/// One page of the file.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) content_type: HeaderValue,
    pub(crate) escape: Escape,
    pub(crate) body: Template<AtResponse>,
}

/// A problem document (RFC 9457) with the id by which the operator finds the request.
#[derive(Serialize)]
struct Problem<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'p str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'p str>,
    request_id: &'p str,
}

impl Pages {
    fn of(&self, status: StatusCode) -> Option<&Page> {
        let find = |pages: &'_ [(u16, Page)], wanted| pages.iter().position(|(known, _)| *known == wanted);
        let exact = find(&self.by_status, status.as_u16()).and_then(|at| self.by_status.get(at));
        let class = || find(&self.by_class, status.as_u16() / 100).and_then(|at| self.by_class.get(at));
        exact.or_else(class).map(|(_, page)| page).or(self.default.as_ref())
    }

    /// Writes the page of an error: puts its `Content-Type` into `head` and returns its body. `None` if the file has no page
    /// for this status, one that names what this request does not have, or one that is no JSON for a client that asks for JSON.
    fn own(
        &self,
        head: &mut ResponseHeader,
        asked: &RequestHeader,
        exchange: &Exchange,
    ) -> pingora::Result<Option<Bytes>> {
        let Some(page) = self.of(head.status).filter(|page| page.suits(&asked.headers)) else { return Ok(None) };
        let view = View { request: asked, response: Some(&*head), exchange };
        let Some(body) = page.body.render_with(&view, page.escape) else { return Ok(None) };
        let body = Bytes::from(body.into_owned());
        head.insert_header(header::CONTENT_TYPE, page.content_type.clone())?;
        if let Some(id) = exchange.known_request_id() {
            // A page need not show it.
            head.insert_header("x-request-id", &**id)?;
        }
        Ok(Some(body))
    }

    /// Writes an error as its client reads it: the file's page, a problem document, HTML or text.
    pub(crate) fn write(
        &self,
        head: &mut ResponseHeader,
        detail: Option<&str>,
        asked: &RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<Bytes> {
        let id = exchange.request_id().clone();
        if self.of(head.status).is_none_or(|page| page.escape != Escape::Json) {
            head.append_header(header::VARY, HeaderValue::from_static("accept"))?;
        }
        if let Some(body) = self.own(head, asked, exchange)? {
            return Ok(body);
        }
        usual(head, detail, &asked.headers, &id)
    }
}

impl Page {
    /// Whether it is what this client may be sent.
    fn suits(&self, asked: &HeaderMap) -> bool {
        let kind = self.content_type.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        self.escape == Escape::Json || !names_json(asked, kind)
    }
}

fn usual(head: &mut ResponseHeader, detail: Option<&str>, asked: &HeaderMap, id: &str) -> pingora::Result<Bytes> {
    let status = head.status;
    let title = status.canonical_reason().unwrap_or("Error");
    let (kind, body) = match preferred(asked) {
        Kind::Problem => ("application/problem+json", problem(status, detail, id).into()),
        Kind::Html => ("text/html; charset=utf-8", html(status, title, detail, id).into()),
        Kind::Text => {
            let detail = detail.map(|detail| format!("{detail}\n")).unwrap_or_default();
            let text = format!("{} {title}\n{detail}Request: {id}\n", status.as_u16());
            ("text/plain; charset=utf-8", text.into())
        }
    };
    head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(kind))?;
    Ok(body)
}

/// A problem document (RFC 9457).
pub(crate) fn problem(status: StatusCode, detail: Option<&str>, request_id: &str) -> Vec<u8> {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem { kind: "about:blank", title, status: status.as_u16(), detail, request_id };
    // Text and numbers: it can always be written.
    serde_json::to_vec(&problem).unwrap_or_default()
}

fn html(status: StatusCode, title: &str, detail: Option<&str>, id: &str) -> String {
    let (status, id) = (status.as_u16(), escaped(id));
    let detail = detail.map(|detail| format!("<p>{}</p>\n", escaped(detail))).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status} {title}</title></head>\n\
         <body>\n<h1>{status} {title}</h1>\n{detail}<p>Request: <code>{id}</code></p>\n</body>\n</html>\n"
    )
}

/// A client may have chosen the id, and a plugin may repeat in its detail what the client sent.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use super::*;

    fn page(text: &str, kind: &'static str, escape: Escape) -> Page {
        Page { content_type: HeaderValue::from_static(kind), escape, body: Template::parse(text).unwrap() }
    }

    fn written(pages: &Pages, status: u16, detail: Option<&str>, accept: &str) -> (String, String) {
        let mut asked = RequestHeader::build("GET", b"/x", None).unwrap();
        asked.insert_header("accept", accept).unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut exchange = Exchange::new(nobody, "public".into(), Instant::now());
        exchange.set_request_id("a<b".into());
        let mut head = ResponseHeader::build(status, None).unwrap();
        let body = pages.write(&mut head, detail, &asked, &mut exchange).unwrap();
        let kind = head.headers["content-type"].to_str().unwrap().to_owned();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_most_particular_page_is_sent_with_its_values_escaped() {
        let pages = Pages {
            by_status: Box::new([(502, page("<p>${request.id}</p>", "text/html", Escape::Html))]),
            by_class: Box::new([(5, page(r#"{"id":"${request.id}"}"#, "application/json", Escape::Json))]),
            default: Some(page("${response.status}", "text/plain", Escape::None)),
        };
        let of = |status| written(&pages, status, None, "*/*");
        assert_eq!(of(502), ("text/html".to_owned(), "<p>a&lt;b</p>".to_owned()));
        assert_eq!(of(503), ("application/json".to_owned(), r#"{"id":"a<b"}"#.to_owned()));
        assert_eq!(of(404), ("text/plain".to_owned(), "404".to_owned()));
    }

    #[test]
    fn a_page_that_cannot_be_filled_in_gives_way_to_the_usual_one() {
        let page = page("${request.headers.x-missing}", "text/plain", Escape::None);
        let pages = Pages { default: Some(page), ..Pages::default() };
        assert_eq!(written(&pages, 404, None, "*/*").0, "application/problem+json");
    }

    #[test]
    fn a_browser_gets_html_that_a_client_cannot_write_into() {
        let (kind, body) = written(&Pages::default(), 404, Some("no <b>such</b> thing"), "text/html,*/*;q=0.8");
        assert_eq!(kind, "text/html; charset=utf-8");
        assert!(body.contains("<h1>404 Not Found</h1>\n<p>no &lt;b&gt;such&lt;/b&gt; thing</p>"), "{body}");
        assert!(body.contains("<code>a&lt;b</code>"), "{body}");
    }

    #[test]
    fn a_program_gets_a_problem_document() {
        let (kind, body) = written(&Pages::default(), 404, None, "*/*");
        assert_eq!(kind, "application/problem+json");
        assert_eq!(body, r#"{"type":"about:blank","title":"Not Found","status":404,"request_id":"a<b"}"#);
    }
}
