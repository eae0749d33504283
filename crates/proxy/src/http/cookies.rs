//! Cookies of HTTP/2, which come in crumbs.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;
use portreeve_wire::cookies;

/// Joins several `Cookie` fields into one with `; ` between (RFC 9113 §8.2.3): plugins look at one field, and a target in
/// HTTP/1.1 may be sent one only. Neither Pingora nor the `h2` crate does. One field, or none, costs two look-ups.
pub(crate) fn join(head: &mut RequestHeader) {
    let mut cookies = head.headers.get_all(header::COOKIE).iter();
    if (cookies.next(), cookies.next()).1.is_none() {
        return;
    }
    let joined = cookies::join(head.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes));
    // Made of values that are fit for a field, and of two characters that are as well.
    if let Ok(whole) = HeaderValue::try_from(joined) {
        head.insert_header(header::COOKIE, whole).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(cookies: &[&str]) -> Vec<String> {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for crumb in cookies {
            head.append_header("cookie", *crumb).unwrap();
        }
        join(&mut head);
        head.headers.get_all("cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn crumbs_are_one_cookie_field_in_their_order() {
        assert_eq!(joined(&["a=1", "b=2; c=3", "d=4"]), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(joined(&["a=1"]), ["a=1"]);
        assert!(joined(&[]).is_empty());
    }
}
