//! Which kind of page a client would rather read: `Accept` (RFC 9110 §12.5.1) over the kinds that errors are written in.

use http::{HeaderMap, header};

/// A kind of error page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/problem+json`.
    Problem,
    /// `text/html`.
    Html,
    /// `text/plain`.
    Text,
}

/// How well a media range of the client fits a kind: the more exact range decides (RFC 9110 §12.5.1), then the better quality.
type Fit = (u8, u16);

/// What the client would rather have: a problem document, unless it clearly prefers HTML or plain text. Browsers do; whoever
/// says nothing, `*/*`, or the same of all is a program.
pub(crate) fn preferred(headers: &HeaderMap) -> Kind {
    let (mut problem, mut html, mut text): (Option<Fit>, Option<Fit>, Option<Fit>) = (None, None, None);
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for (range, quality) in fields.flat_map(|field| field.split(',')).filter_map(parse) {
        let take = |best: &mut Option<Fit>, exactness| *best = (*best).max(Some((exactness, quality)));
        match range.to_ascii_lowercase().as_str() {
            "*/*" => [&mut problem, &mut html, &mut text].into_iter().for_each(|best| take(best, 0)),
            "application/*" => take(&mut problem, 1),
            "text/*" => [&mut html, &mut text].into_iter().for_each(|best| take(best, 1)),
            "application/json" | "application/problem+json" => take(&mut problem, 2),
            "text/html" | "application/xhtml+xml" => take(&mut html, 2),
            "text/plain" => take(&mut text, 2),
            _ => {}
        }
    }
    let quality = |fit: Option<Fit>| fit.map_or(0, |(_, quality)| quality);
    let best = quality(html).max(quality(text));
    if best <= quality(problem) {
        Kind::Problem
    } else if quality(html) == best {
        Kind::Html
    } else {
        Kind::Text
    }
}

/// Whether the client names JSON and would not rather have a page of this media type: `application/json` alone, or with `*/*`
/// beside it, as programs say it. Who names the type of the page as well gets what has the better quality, the page if both have
/// the same; who names neither gets the page.
pub(crate) fn names_json(headers: &HeaderMap, page: &str) -> bool {
    let kind = page.split_once('/').map_or(page, |(kind, _)| kind);
    let (mut json, mut named): (u16, Option<Fit>) = (0, None);
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for (range, quality) in fields.flat_map(|field| field.split(',')).filter_map(parse) {
        if ["application/json", "application/problem+json"].iter().any(|json| range.eq_ignore_ascii_case(json)) {
            json = json.max(quality);
        } else if range.eq_ignore_ascii_case(page) {
            named = named.max(Some((2, quality)));
        } else if range.split_once("/*").is_some_and(|(of, rest)| rest.is_empty() && of.eq_ignore_ascii_case(kind)) {
            named = named.max(Some((1, quality)));
        }
    }
    json > named.map_or(0, |(_, quality)| quality)
}

/// A media range without its parameters, and its quality in thousandths. `None` if its weight is none (RFC 9110 §12.4.2).
fn parse(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(|part| part.trim_matches([' ', '\t']));
    let range = parts.next()?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((range, weight.map_or(Some(1000), thousandths)?))
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("1", 0) => Some(1000),
        ("0", fraction) => Some(fraction),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn json_unless_another_kind_is_clearly_preferred() {
        for (accept, expected) in [
            ("", Kind::Problem),
            ("*/*", Kind::Problem),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Kind::Html),
            ("text/html, */*", Kind::Problem),
            ("text/html, application/json", Kind::Problem),
            ("text/html;q=0.9, application/json;q=0.8", Kind::Html),
            ("text/html;q=0.8, application/problem+json", Kind::Problem),
            ("application/json;q=0, */*", Kind::Html),
            ("text/plain", Kind::Text),
            ("text/*", Kind::Html),
            ("text/plain, text/html;q=0.5", Kind::Text),
            ("TEXT/HTML ; level=1 ; q=0.7", Kind::Html),
            ("text/html;q=2", Kind::Problem),
            ("text/html;q=0.1234", Kind::Problem),
            ("text/html;q=0", Kind::Problem),
            ("image/png", Kind::Problem),
            (";;,,q=", Kind::Problem),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(preferred(&headers), expected, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new()), Kind::Problem);
    }

    #[test]
    fn a_page_goes_to_all_but_those_who_name_json_and_not_it() {
        for (accept, is_json) in [
            ("application/json", true),
            ("application/problem+json", true),
            ("application/json, text/plain, */*", true),
            ("APPLICATION/JSON;q=0.5, */*", true),
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("image/png", false),
            ("application/json;q=0", false),
            ("text/html, application/json", false),
            ("text/*, application/json", false),
            ("text/html;q=0.8, application/json;q=0.9", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(names_json(&headers, "text/html"), is_json, "{accept}");
        }
        assert!(!names_json(&HeaderMap::new(), "text/html"));
    }

    #[test]
    fn several_fields_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("*/*;q=0.1"));
        headers.append(header::ACCEPT, HeaderValue::from_static("text/html"));
        assert_eq!(preferred(&headers), Kind::Html);
    }
}
