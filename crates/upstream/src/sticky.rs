//! Sticky sessions: a cookie whose value is a keyed hash of pool and target. It tells nothing, cannot be made without the key,
//! and needs no table of sessions: whoever has the key knows all values there can be.

use std::collections::HashMap;
use std::net::SocketAddr;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use portreeve_config::Sticky as StickyConfig;
use portreeve_plugin::engine::{View, cookie};

use super::selection::Stay;

/// Bytes of the hash that a value shows: nobody hits one of a few thousand by chance.
const SHOWN: usize = 16;

/// The key of upstreams that name none: as old as the process, so that it outlives reloads.
pub(super) struct ProcessKey(hmac::Key);

impl Default for ProcessKey {
    fn default() -> Self {
        let mut bytes = [0; 32];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            // The system has no randomness: then nothing else of TLS works either, and a value is still no address.
            bytes.fill_with(|| fastrand::u8(..));
        }
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }
}

/// The stickiness of one upstream.
pub(super) struct Sticky {
    cookie: Box<str>,
    /// In seconds.
    max_age: u128,
    key: hmac::Key,
    marks: ArcSwap<Marks>,
}

/// The value of each member, and the member of each value.
#[derive(Default)]
struct Marks {
    places: HashMap<Box<str>, Stay>,
    fields: HashMap<SocketAddr, Fields>,
}

/// The whole `Set-Cookie` of a member.
struct Fields {
    in_clear: HeaderValue,
    secure: HeaderValue,
}

impl Sticky {
    pub(super) fn new(config: &StickyConfig, process: &ProcessKey) -> Self {
        let key = config.key.as_ref().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
        Self {
            cookie: config.cookie.as_str().into(),
            // Browsers count whole seconds, and 0 would take the cookie away.
            max_age: config.ttl.get().as_millis().div_ceil(1_000),
            key: key.unwrap_or_else(|| process.0.clone()),
            marks: ArcSwap::default(),
        }
    }

    /// Makes the values of those who are members now, by their places.
    pub(super) fn publish(&self, upstream: &str, members: impl Iterator<Item = SocketAddr>) {
        let mut marks = Marks::default();
        for (place, address) in members.enumerate() {
            let value = self.value(upstream, address);
            let field = |more: &str| {
                let (cookie, max_age) = (&self.cookie, self.max_age);
                let field = format!("{cookie}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{more}");
                // The loader has seen to the name; the rest is ours.
                HeaderValue::try_from(field).ok()
            };
            if let (Some(in_clear), Some(secure)) = (field(""), field("; Secure")) {
                marks.fields.insert(address, Fields { in_clear, secure });
                marks.places.insert(value.into(), Stay { place, address });
            }
        }
        self.marks.store(marks.into());
    }

    fn value(&self, upstream: &str, address: SocketAddr) -> String {
        // The name cannot hold a line break, so that no two pairs are one text.
        let tag = hmac::sign(&self.key, format!("portreeve sticky 1\n{upstream}\n{address}").as_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..SHOWN).unwrap_or_default())
    }

    /// Where the client of this request was before; `None` without a cookie that is ours and of a member.
    pub(super) fn stay(&self, view: &View<'_>) -> Option<Stay> {
        self.marks.load().places.get(cookie(&view.request.headers, &self.cookie)?).copied()
    }

    /// Tells the client to come back to this target.
    pub(super) fn remember(&self, address: SocketAddr, is_secure: bool, answer: &mut ResponseHeader) {
        if let Some(fields) = self.marks.load().fields.get(&address) {
            let field = if is_secure { &fields.secure } else { &fields.in_clear };
            answer.append_header(header::SET_COOKIE, field.clone()).ok();
        }
    }

    /// Takes our cookie off what the target is sent.
    pub(super) fn hide(&self, head: &mut RequestHeader) {
        if cookie(&head.headers, &self.cookie).is_none() {
            return;
        }
        let kept = without(&head.headers, &self.cookie);
        head.remove_header(&header::COOKIE);
        for field in kept {
            head.append_header(header::COOKIE, field).ok();
        }
    }
}

/// The cookie fields without any cookie of this name, as they were but for that (RFC 6265 §4.2.1).
fn without(headers: &HeaderMap, name: &str) -> Vec<HeaderValue> {
    let is_ours = |pair: &[u8]| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        parts.next().is_some_and(|found| found.trim_ascii() == name.as_bytes())
    };
    let field = |value: &HeaderValue| {
        let pairs = value.as_bytes().split(|byte| *byte == b';').filter(|pair| !is_ours(pair));
        let kept = pairs.map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b"; "[..]);
        if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() }
    };
    headers.get_all(header::COOKIE).iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sticky(process: &ProcessKey) -> Sticky {
        let config: StickyConfig = serde_json::from_value(json!({ "cookie": "sid", "ttl": "1h" })).unwrap();
        Sticky::new(&config, process)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_value_is_of_one_target_of_one_upstream_under_one_key_and_shows_neither() {
        let (one, other) = (ProcessKey::default(), ProcessKey::default());
        let value = |key, upstream, port| sticky(key).value(upstream, address(port));
        let first = value(&one, "users", 9001);
        assert_eq!(first, value(&one, "users", 9001));
        for another in [value(&one, "users", 9002), value(&one, "orders", 9001), value(&other, "users", 9001)] {
            assert_ne!(first, another);
        }
        assert_eq!(first.len(), 22);
        assert!(!first.contains("9001"));
    }

    #[test]
    fn the_field_is_what_browsers_keep_from_scripts_and_strangers() {
        let sticky = sticky(&ProcessKey::default());
        sticky.publish("users", [address(1)].into_iter());
        let mut answer = ResponseHeader::build(200, None).unwrap();
        sticky.remember(address(1), false, &mut answer);
        sticky.remember(address(1), true, &mut answer);
        sticky.remember(address(2), true, &mut answer);
        let fields: Vec<_> = answer.headers.get_all("set-cookie").iter().map(|field| field.to_str().unwrap()).collect();
        let value = sticky.value("users", address(1));
        let in_clear = format!("sid={value}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        assert_eq!(fields, [in_clear.clone(), format!("{in_clear}; Secure")]);
    }

    #[test]
    fn only_our_cookie_is_hidden_from_the_target() {
        for (sent, wanted) in [
            ("sid=1", None),
            ("a=1; sid=2; b=3", Some("a=1; b=3")),
            ("sid=2;sid=3", None),
            ("xsid=1; sidx=2; sid =3", Some("xsid=1; sidx=2")),
            ("a=\"x\";b", Some("a=\"x\"; b")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(sent));
            let kept: Vec<_> = without(&headers, "sid");
            assert_eq!(kept.first().map(|field| field.to_str().unwrap()), wanted, "{sent}");
        }
    }
}
