//! `listeners[].limits`: what a client may take up before a request of it is understood.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Rate, Size};

/// Bounds on the connections of a listener and on what comes over them. All are finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = include_str!("examples/listener_limits.yaml")))]
pub struct ListenerLimits {
    /// Connections open at once. Further ones are closed as they come. However many are allowed here, clients have together no
    /// more than there are file descriptors for.
    #[schemars(range(min = 1))]
    pub connections: u32,
    /// Connections open at once from one client: an IPv4 address, or an IPv6 network of 64 bits. In HTTP/2 each request in hand
    /// beyond the first of its connection counts as one more, and is refused where there is no room (`REFUSED_STREAM`, which
    /// lets a client ask again). Never more, over all listeners, than the half of what there are file descriptors for.
    /// `trusted_proxies` are not counted, since many clients stand behind one.
    #[schemars(range(min = 1))]
    pub connections_per_client: u32,
    /// New connections of one client, told apart as for `connections_per_client`: `50/s`, or `{ rate: 50/s, burst: 200
    /// }`. It is a token bucket: `burst` at once (as many as `rate` counts, unless it says otherwise), and no more than
    /// `rate` on average. Further ones are closed as they come; the first is told in the log, and all are
    /// counted (`too_fast` in `portreeve_connections_refused_total`). Without this key there is no such limit.
    /// `trusted_proxies` are not counted; the clients that they name by the PROXY protocol are. Counts survive reloads
    /// that leave this key as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_rate: Option<ConnectionRate>,
    /// Requests on one connection, after which it is closed. In HTTP/2 the client is asked to make no more there (GOAWAY), and
    /// those that are on the way are served.
    #[schemars(range(min = 1))]
    pub requests_per_connection: u32,
    /// For the PROXY protocol header and the TLS handshake together, from the first byte to the last. On a listener whose
    /// `tcp` goes by `sni`, for the header and the client's first message.
    pub handshake: Duration,
    /// For the head of a request, from its first byte to its last, however it trickles. After it 408. In HTTP/2, where nothing
    /// else may come while a head does, the connection is closed; the preface counts as a head.
    pub head: Duration,
    /// How long a connection may be without a request.
    pub idle: Duration,
    /// Bytes per second that a client must at least send of a request body, on average, after the first 10 seconds. After it 408;
    /// in HTTP/2 the other requests of the connection go on. Not asked once the target has begun to answer: both sides may then
    /// speak at once, and silence bounds them (`routes[].timeouts.idle`). As much must be taken of an answer, on average, after
    /// the first `stall`; only time counts in which an answer waits for its client.
    pub min_body_rate: Size,
    /// The longest that a client may take nothing of an answer that waits for it.
    pub stall: Duration,
    /// The largest request head: request line and fields. After it 431.
    pub head_size: Size,
    /// The most fields of a request. After it 431.
    #[schemars(range(min = 1, max = 250))]
    pub headers: u16,
    /// The longest request target: path and query, at most 65534 bytes. After it 414.
    pub uri: Size,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_client: 2_000,
            connection_rate: None,
            requests_per_connection: 10_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            min_body_rate: Size::from_bytes(256),
            stall: Duration::from_secs(30),
            head_size: Size::from_bytes(64 * 1024),
            headers: 100,
            uri: Size::from_bytes(8 * 1024),
        }
    }
}

/// How fast one client may make connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ConnectionRateForm")]
pub struct ConnectionRate {
    /// The rate on average.
    pub rate: Rate,
    /// How many may come at once after a pause.
    pub burst: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ConnectionRateForm {
    Rate(Rate),
    Burst(ConnectionBurst),
}

/// A rate of connections, with how many may come at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConnectionRateMap")]
struct ConnectionBurst {
    /// How many connections on average.
    rate: Rate,
    /// How many may come at once after a pause; as many as `rate` counts if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000))]
    burst: Option<NonZeroU32>,
}

impl From<ConnectionRateForm> for ConnectionRate {
    fn from(form: ConnectionRateForm) -> Self {
        let (rate, burst) = match form {
            ConnectionRateForm::Rate(rate) => (rate, None),
            ConnectionRateForm::Burst(ConnectionBurst { rate, burst }) => (rate, burst),
        };
        Self { rate, burst: burst.unwrap_or(rate.count) }
    }
}

impl JsonSchema for ConnectionRate {
    fn schema_name() -> Cow<'static, str> {
        "ConnectionRate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (rate, burst) = (generator.subschema_for::<Rate>(), generator.subschema_for::<ConnectionBurst>());
        json_schema!({ "anyOf": [rate, burst] })
    }
}
