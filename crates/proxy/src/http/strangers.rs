//! What strangers may not say: fields of requests that targets believe of a gateway, in every spelling that some server takes
//! for them. Compiled once for a generation, of what its steps set, remove and read; asked of every field of every request.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;
use smallvec::SmallVec;

/// What proxies say of the client: kept from `trusted_proxies` alone (`forwarding.rs`).
const OF_PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// What nobody but this gateway may say, whatever steps read.
const OF_GATEWAYS: [&str; 13] = [
    "x-consumer-id",
    "x-consumer-tier",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    // Of copies alone: see `mirror.rs`.
    "x-mirrored",
    "x-real-ip",
    "x-user-id",
];

/// By which servers are told who the client is, or that the request is another one than it is. They pass if a step reads them.
const OF_IDENTITY: [&str; 35] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "x-authenticated-userid",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-consumer-custom-id",
    "x-consumer-groups",
    "x-consumer-username",
    "x-credential-identifier",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-proxyuser-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-webauth-user",
];

/// Families of the same, by what their names begin with.
const FAMILIES: [&str; 13] = [
    "ssl-client-",
    "x-amzn-oidc-",
    "x-appengine-user-",
    "x-arr-clientcert",
    "x-auth-request-",
    "x-client-cert",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-remote-",
    "x-ssl-client-",
    "x-tls-client-",
];

/// Fields that are the client's own to say (RFC 9110, W3C, gRPC): what a step sets them to on its routes leaves them to clients
/// on others. Credentials among them prove themselves. Their look-alikes are taken.
const OF_CLIENTS: [&str; 45] = [
    "accept",
    "accept-charset",
    "accept-datetime",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "baggage",
    "cache-control",
    "content-digest",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "expect",
    "from",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "repr-digest",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
];

/// How two spellings are compared: CGI and its heirs read `X_User_Id` and `X.User.Id` as `X-User-Id`, and some do so of every
/// character that is neither a letter nor a digit. Names are in lower case already.
const fn normal(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Whether some server takes the one name for the other.
pub(crate) fn reads_as(name: &HeaderName, other: &HeaderName) -> bool {
    order(name.as_str().as_bytes(), other.as_str().as_bytes()).is_eq()
}

fn order(name: &[u8], other: &[u8]) -> Ordering {
    name.iter().map(|byte| normal(*byte)).cmp(other.iter().map(|byte| normal(*byte)))
}

fn begins_with(name: &[u8], family: &[u8]) -> bool {
    name.get(..family.len()).is_some_and(|start| order(start, family).is_eq())
}

/// A name that is taken in all its spellings but these.
#[derive(Debug, Default)]
struct Entry {
    /// In its normal form.
    name: Box<[u8]>,
    /// Pass from anybody.
    of_all: SmallVec<[HeaderName; 1]>,
    /// Pass from trusted proxies.
    of_trusted: SmallVec<[HeaderName; 1]>,
}

/// What is taken from the requests of one generation.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// By name.
    entries: Box<[Entry]>,
    /// By length, what some entry ends with and whether it begins with an x: nearly every field is none by that alone.
    hints: [u64; LENGTHS],
}

/// Longer names share a place.
const LENGTHS: usize = 48;

/// Where the hint of a name is.
fn hint(name: &[u8]) -> (usize, u64) {
    let last = name.last().map_or(0, |byte| normal(*byte) & 31);
    let begins = u8::from(name.first() == Some(&b'x')) << 5;
    (name.len().min(LENGTHS - 1), 1 << (last | begins))
}

impl Strangers {
    /// Whether this field passes, from a trusted proxy or from anybody else. Allocates nothing.
    pub(crate) fn passes(&self, name: &HeaderName, is_of_trusted: bool) -> bool {
        let text = name.as_str().as_bytes();
        if let Some(entry) = self.entry(text) {
            return entry.of_all.contains(name) || is_of_trusted && entry.of_trusted.contains(name);
        }
        match family(text) {
            None => true,
            // Further fields of this kind are the business of who is trusted, in the spelling that is written.
            Some("x-forwarded-") => is_of_trusted && text.iter().all(|byte| normal(*byte) == *byte),
            Some(_) => false,
        }
    }

    /// Whether a generation has anything to say of this field, in any spelling: such a field does not come behind a body.
    pub(crate) fn knows(&self, name: &HeaderName) -> bool {
        let text = name.as_str().as_bytes();
        self.entry(text).is_some() || family(text).is_some()
    }

    /// Takes off what may not be said.
    pub(crate) fn strip(&self, head: &mut RequestHeader, is_of_trusted: bool) {
        for name in &self.taken(&head.headers, is_of_trusted) {
            head.remove_header(name);
        }
    }

    /// Usually none, and then nothing is allocated.
    fn taken(&self, headers: &HeaderMap, is_of_trusted: bool) -> SmallVec<[HeaderName; 4]> {
        headers.keys().filter(|name| !self.passes(name, is_of_trusted)).cloned().collect()
    }

    fn entry(&self, name: &[u8]) -> Option<&Entry> {
        let (length, bit) = hint(name);
        if self.hints.get(length).is_none_or(|hints| hints & bit == 0) {
            return None;
        }
        let place = self.entries.binary_search_by(|entry| order(&entry.name, name)).ok()?;
        self.entries.get(place)
    }
}

/// The family that a name belongs to.
fn family(name: &[u8]) -> Option<&'static str> {
    if !matches!(name, [b'x' | b's', ..]) {
        return None;
    }
    FAMILIES.into_iter().find(|family| begins_with(name, family.as_bytes()))
}

/// Collects what a file says of the fields of requests.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    named: BTreeMap<Box<[u8]>, Named>,
}

#[derive(Debug, Default)]
struct Named {
    read: SmallVec<[HeaderName; 1]>,
    set: SmallVec<[HeaderName; 1]>,
    removed: SmallVec<[HeaderName; 1]>,
    of_trusted: SmallVec<[HeaderName; 1]>,
}

impl Fields {
    /// What a client has sent here decides something.
    pub(crate) fn read(&mut self, name: &HeaderName) {
        add(&mut self.of(name).read, name);
    }

    /// Set for targets.
    pub(crate) fn set(&mut self, name: &HeaderName) {
        add(&mut self.of(name).set, name);
    }

    /// Removed before targets see it, on some way.
    pub(crate) fn removed(&mut self, name: &HeaderName) {
        add(&mut self.of(name).removed, name);
    }

    /// Told by trusted proxies.
    pub(crate) fn told_by_proxies(&mut self, name: &HeaderName) {
        add(&mut self.of(name).of_trusted, name);
    }

    fn of(&mut self, name: &HeaderName) -> &mut Named {
        let normal = name.as_str().bytes().map(normal).collect();
        self.named.entry(normal).or_default()
    }

    /// What follows from it.
    pub(crate) fn compile(mut self) -> Strangers {
        for name in OF_PROXIES.iter().chain(&OF_GATEWAYS).chain(&OF_IDENTITY) {
            self.of(&HeaderName::from_static(name));
        }
        for name in OF_PROXIES {
            self.told_by_proxies(&HeaderName::from_static(name));
        }
        let entry = |(name, mut named): (Box<[u8]>, Named)| {
            let text = str::from_utf8(&name).unwrap_or_default();
            let is_ours = OF_PROXIES.contains(&text) || OF_GATEWAYS.contains(&text);
            let is_known = OF_IDENTITY.contains(&text) || family(&name).is_some();
            let mut of_all = SmallVec::new();
            if !is_ours && named.of_trusted.is_empty() {
                // Whoever reads a field wants what clients say there.
                of_all.append(&mut named.read);
                // A field that is only removed is the client's on routes where it is not; one that is the client's by what it
                // means is that where a step sets it elsewhere.
                for name in named.removed.iter().chain(&named.set) {
                    let is_of_clients = OF_CLIENTS.contains(&name.as_str());
                    if is_of_clients || !is_known && !named.set.contains(name) {
                        add(&mut of_all, name);
                    }
                }
            }
            Entry { name, of_all, of_trusted: named.of_trusted }
        };
        let entries: Box<[Entry]> = self.named.into_iter().map(entry).collect();
        let mut hints = [0; LENGTHS];
        for entry in &entries {
            let (length, bit) = hint(&entry.name);
            if let Some(hints) = hints.get_mut(length) {
                *hints |= bit;
            }
        }
        Strangers { entries, hints }
    }
}

fn add(names: &mut SmallVec<[HeaderName; 1]>, name: &HeaderName) {
    if !names.contains(name) {
        names.push(name.clone());
    }
}

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod tests;
