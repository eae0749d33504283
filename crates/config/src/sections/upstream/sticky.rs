//! `sticky`: a client stays with the target that answered it first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Secret};

/// A client that comes back with the cookie goes to the target it was with, as long as that can be picked; else another one is
/// chosen as `balance` says, and the cookie with it.
///
/// The value is a keyed hash: it tells nothing of the target, nobody can make one, and one that is not ours is ignored. It
/// is `HttpOnly` and `SameSite=Lax`, `Secure` where the client came over TLS, and is never sent to targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = include_str!("../examples/sticky.yaml")))]
pub struct Sticky {
    /// The name of the cookie.
    #[schemars(
        regex(pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"),
        extend("x-shown" = true, "x-expected" = "the name of a cookie: letters, digits and -_. (RFC 6265 §4.1.1)")
    )]
    pub cookie: String,
    /// How long the client keeps the cookie, from when it is set.
    #[serde(default = "default_ttl")]
    pub ttl: Duration,
    /// What the values are made with: the same in all gateways of a fleet, so that each knows the others' cookies. Without it
    /// the key is random and ends with the process, and cookies from before are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

const fn default_ttl() -> Duration {
    Duration::from_secs(60 * 60)
}
