//! Tests of normalisation, by example and against an oracle.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{PathError, PathPolicy, normalise};

fn normal(raw: &str) -> String {
    normalise(raw).unwrap().path.into_owned()
}

fn refusal(raw: &str) -> PathError {
    normalise(raw).unwrap_err()
}

#[test]
fn a_normal_path_is_borrowed() {
    for path in
        ["/", "/a", "/a/", "/a/b.c/~d/..e/.f/g..", "/%20/%C3%A9%25", "/a;b=c/!$&'()*+,=:@", "/...", "/.well-known/x"]
    {
        let normalised = normalise(path).unwrap();
        assert!(matches!(normalised.path, Cow::Borrowed(same) if same == path), "{path}");
        assert!(normalised.ambiguity.is_none());
    }
}

#[test]
fn dot_segments_are_removed() {
    for (raw, expected) in [
        ("/a/b/c/./../../g", "/a/g"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/../", "/"),
        ("/%2e/a/%2E%2e/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/..a/.b./c..", "/..a/.b./c.."),
    ] {
        assert_eq!(normal(raw), expected, "{raw}");
    }
}

#[test]
fn slashes_collapse_before_dots_are_removed() {
    for (raw, expected) in [("//", "/"), ("//a///b//", "/a/b/"), ("/a//../b", "/b"), ("/a/b/..//", "/a/")] {
        assert_eq!(normal(raw), expected, "{raw}");
    }
}

#[test]
fn percent_encoding_gets_its_one_spelling() {
    for (raw, expected) in [
        ("/%41%7e%5f", "/A~_"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a b\"<>[]^`{|}", "/a%20b%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        ("/%252e%252E", "/%252e%252E"),
        ("/%3f%23", "/%3F%23"),
    ] {
        assert_eq!(normal(raw), expected, "{raw}");
    }
}

#[test]
fn what_may_stand_for_itself_does_but_for_what_delimits() {
    for (raw, expected) in [
        ("/items/all%3Adelete", "/items/all:delete"),
        ("/%40me", "/@me"),
        ("/%21%24%26%27%28%29%2a%2C%3d", "/!$&'()*,="),
        ("/a%2bb+c", "/a%2Bb+c"),
        ("/a%3bb/%3A", "/a%3Bb/:"),
        ("/a;b=%2c%3d%2E/%2c", "/a;b=%2C%3D./,"),
        ("/%253A", "/%253A"),
    ] {
        assert_eq!(normal(raw), expected, "{raw}");
        assert_eq!(normal(expected), expected);
    }
}

#[test]
fn what_has_no_safe_reading_is_refused() {
    assert_eq!(refusal(""), PathError::NotAbsolute);
    assert_eq!(refusal("*"), PathError::NotAbsolute);
    assert_eq!(refusal("a/b"), PathError::NotAbsolute);
    assert_eq!(refusal("/.."), PathError::AboveRoot);
    assert_eq!(refusal("/a/../../b"), PathError::AboveRoot);
    assert_eq!(refusal("/a/%2e%2e/%2e%2e"), PathError::AboveRoot);
    assert_eq!(refusal("/a%"), PathError::MalformedEncoding { offset: 2 });
    assert_eq!(refusal("/a/%4"), PathError::MalformedEncoding { offset: 3 });
    assert_eq!(refusal("/%zz"), PathError::MalformedEncoding { offset: 1 });
    assert_eq!(refusal("/a%00"), PathError::Control { offset: 2 });
    assert_eq!(refusal("/%7f"), PathError::Control { offset: 1 });
    assert_eq!(refusal("/a/b\r\n"), PathError::Control { offset: 4 });
    assert_eq!(refusal("/a?b"), PathError::Delimiter { offset: 2 });
    assert_eq!(refusal("/a/../#"), PathError::Delimiter { offset: 6 });
}

#[test]
fn disguised_dot_segments_are_refused() {
    for (raw, offset) in [
        ("/a/..;x/b", 3),
        ("/.;/b", 1),
        ("/a/..%2Fb", 3),
        ("/a%2f../b", 1),
        ("/a/..\\b", 3),
        ("/%2e%2e;", 1),
        ("/a/..%3bx/b", 3),
    ] {
        assert_eq!(refusal(raw), PathError::HiddenDots { offset }, "{raw}");
    }
    assert_eq!(normal("/a..;x/;../b;.."), "/a..;x/;../b;..");
}

#[test]
fn ambiguous_characters_are_kept_and_flagged() {
    let path = normalise("/a%2fb/../c%2Fd").unwrap();
    assert_eq!(path.path, "/c%2Fd");
    assert!(path.ambiguity.encoded_slash && !path.ambiguity.backslash);
    assert!(normalise("/a%2Fb/../c%5C/../d").unwrap().ambiguity.is_none(), "what is not forwarded confuses nobody");
    assert_eq!(normal("/a\\b%5cc"), "/a%5Cb%5Cc");
    assert!(normalise("/a\\b").unwrap().ambiguity.backslash);
}

#[test]
fn only_the_route_can_allow_what_is_ambiguous() {
    let strict = PathPolicy::default();
    let slash = PathPolicy { allow_encoded_slash: true, ..strict };
    let backslash = PathPolicy { allow_backslash: true, ..strict };
    let admitted = |raw: &'static str, policy| normalise(raw).unwrap().admitted_by(policy);
    assert_eq!(admitted("/a%2Fb", strict), Err(PathError::EncodedSlash));
    assert_eq!(admitted("/a%2Fb", backslash), Err(PathError::EncodedSlash));
    assert_eq!(admitted("/a%2Fb", slash).unwrap(), "/a%2Fb");
    assert_eq!(admitted("/a%5Cb", strict), Err(PathError::Backslash));
    assert_eq!(admitted("/a%5Cb", backslash).unwrap(), "/a%5Cb");
    assert_eq!(admitted("/a", strict).unwrap(), "/a");
}

/// The same in the plainest words: decode, split, stack, join. Nothing if refused.
fn oracle(raw: &str) -> Option<String> {
    let mut spelt = String::new();
    let mut is_parameter = false;
    let mut bytes = raw.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let meant = if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        };
        let is_encoded = byte == b'%';
        if meant.is_ascii_control() || !is_encoded && b"?#".contains(&meant) {
            return None;
        }
        let is_unreserved = meant.is_ascii_alphanumeric() || b"-._~".contains(&meant);
        let stands_raw = is_unreserved
            || is_encoded && !is_parameter && b"!$&'()*,=:@".contains(&meant)
            || !is_encoded && b"/!$&'()*+,;=:@".contains(&meant);
        is_parameter = (is_parameter || byte == b';') && byte != b'/';
        if stands_raw {
            spelt.push(char::from(meant));
        } else {
            spelt = format!("{spelt}%{meant:02X}");
        }
    }
    let segments: Vec<&str> = spelt.strip_prefix('/')?.split('/').collect();
    let mut stack = Vec::new();
    for segment in &segments {
        match *segment {
            "" | "." => {}
            ".." => {
                stack.pop()?;
            }
            _ => {
                let pieces = segment.split("%2F").flat_map(|piece| piece.split("%5C"));
                let names = pieces.map(|piece| piece.replace("%3B", ";").split(';').next().map(str::to_owned));
                if names.into_iter().any(|name| matches!(name.as_deref(), Some("." | ".."))) {
                    return None;
                }
                stack.push(*segment);
            }
        }
    }
    let is_open = matches!(segments.last(), Some(&("" | "." | "..")));
    let slash = if is_open && !stack.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", stack.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn normalising_agrees_with_the_oracle(raw in r"(/?(\.|\.\.|;|/|a|%2[bBcCeEfF]|%3[aAbB]|%5[cC]|%41|%zz|%2|%C3|%20|%00|\\|é| |\?|\x01|\[|~)){0,8}") {
        for raw in [raw.clone(), format!("/{raw}")] {
            prop_assert_eq!(normalise(&raw).ok().map(|normal| normal.path.into_owned()), oracle(&raw));
        }
    }

    #[test]
    fn any_text_agrees_with_the_oracle(raw in ".{0,12}") {
        let raw = format!("/{raw}");
        prop_assert_eq!(normalise(&raw).ok().map(|normal| normal.path.into_owned()), oracle(&raw));
    }

    #[test]
    fn normalising_twice_is_normalising_once(raw in r"/(\.|\.\.|;|//?|a|%2[bBcCeEfF]|%3[aAbB]|%5[cC]|%41|%C3|\\|é| |\[){0,10}") {
        if let Ok(once) = normalise(&raw) {
            let twice = normalise(&once.path).unwrap();
            prop_assert_eq!(&twice, &once);
            prop_assert!(once.path.is_ascii() && once.path.starts_with('/'));
            let closed = format!("{}/", once.path.trim_end_matches('/'));
            for never in ["//", "/./", "/../"] {
                prop_assert!(!closed.contains(never));
            }
            if once.ambiguity.is_none() {
                prop_assert!(matches!(twice.path, Cow::Borrowed(_)));
            }
        }
    }
}
