//! What may follow a body, what is told of it to targets, and what is taken out on the way.

use http::HeaderValue;
use portreeve_wire::http1::Refusal;

use super::*;

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn asked(version: Version, pairs: &[(&'static str, &'static str)]) -> RequestHeader {
    let mut head = RequestHeader::build("POST", b"/", None).unwrap();
    head.set_version(version);
    for (name, value) in pairs {
        head.append_header(*name, *value).unwrap();
    }
    head
}

#[test]
fn trailers_are_taken_by_whoever_says_so_in_http_1_1_or_later() {
    let taken = |version, offer| TrailerRules::of(&asked(version, &[("te", offer)])).taken;
    for offer in ["trailers", "Trailers", "gzip;q=0.5, trailers", "deflate ,trailers,"] {
        assert!(taken(Version::HTTP_11, offer) && taken(Version::HTTP_2, offer), "{offer}");
        assert!(!taken(Version::HTTP_10, offer), "{offer}");
    }
    for offer in ["", "gzip", "x-trailers", "trailers;q=0", "trailer"] {
        assert!(!taken(Version::HTTP_11, offer), "{offer}");
    }
}

#[test]
fn a_target_is_told_that_trailers_are_taken_where_they_are() {
    let told = |version, pairs: &[(&'static str, &'static str)]| {
        let mut head = asked(version, pairs);
        TrailerRules { taken: true, ..TrailerRules::default() }.head_goes_out(&mut head, false);
        let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("te"), text("connection"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(Version::HTTP_11, &[]), (some("trailers"), some("te")));
    assert_eq!(told(Version::HTTP_2, &[]), (some("trailers"), None));
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
    assert_eq!(told(Version::HTTP_11, &upgrade), (None, some("Upgrade")));
}

#[test]
fn what_frames_routes_or_authenticates_never_follows_a_body() {
    let bounds = Bounds::default();
    for name in [
        "content-length",
        "transfer-encoding",
        "host",
        "trailer",
        "te",
        "authorization",
        "set-cookie",
        "content_length",
    ] {
        let mut fields = fields(&[(name, "1"), ("x-sum", "6")]);
        assert_eq!(check(&fields, &bounds), Err(Refusal::Trailer), "{name}");
        admit(&mut fields, false);
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["x-sum"], "{name}");
    }
    let mut fields = fields(&[("grpc-status", "0"), ("x-sum", "6"), ("repr-digest", "a")]);
    assert_eq!(check(&fields, &bounds), Ok(()));
    admit(&mut fields, true);
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["grpc-status", "x-sum"]);
}
