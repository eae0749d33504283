//! `ip-filter`: lets a request pass by the address it comes from.

#[cfg(test)]
mod tests;

use portreeve_plugin::prelude::*;

use portreeve_plugin::units::{Network, Networks};

/// Lets a request pass or refuses it with 403 by the client's address.
///
/// An address in `deny` is refused. If there is an `allow`, an address outside it is refused too. The address is the one
/// after trusted-proxy resolution; an IPv4 address written as IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["allow"] }, { "required": ["deny"] }]))]
#[schemars(extend("x-example" = include_str!("../example.yaml")))]
pub struct Config {
    /// Networks that may pass: `10.0.0.0/8`, `2001:db8::/32`, or a single address. All if it is left out.
    #[serde(default)]
    #[schemars(length(min = 1))]
    allow: Option<Vec<Network>>,
    /// Networks that may not, whatever `allow` says.
    #[serde(default)]
    #[schemars(length(min = 1))]
    deny: Option<Vec<Network>>,
}

/// The plugin.
#[derive(Debug)]
pub struct IpFilter {
    allow: Option<Networks>,
    deny: Networks,
}

#[async_trait]
impl Plugin for IpFilter {
    fn hooks(&self) -> Hooks {
        Hooks::REQUEST
    }

    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let address = cx.client_ip();
        let why = if self.deny.contain(address) {
            "the address is in `deny`"
        } else if self.allow.as_ref().is_some_and(|allow| !allow.contain(address)) {
            "the address is not in `allow`"
        } else {
            return Ok(Flow::Continue);
        };
        Ok(Reply::status(StatusCode::FORBIDDEN).because(why).into())
    }
}

impl Build for IpFilter {
    const NAME: &'static str = "ip-filter";
    type Config = Config;

    fn build(config: Config, _host: &Host) -> Result<Self, BuildError> {
        let given = |networks: &Option<Vec<Network>>| networks.as_ref().is_some_and(|networks| !networks.is_empty());
        // An empty `allow` would refuse everyone, which nobody writes on purpose; nothing at all would filter nothing.
        if config.allow.as_ref().is_some_and(Vec::is_empty) {
            return Err(BuildError::at("allow", "an empty list would refuse every address; leave it out to allow all"));
        }
        if !given(&config.allow) && !given(&config.deny) {
            return Err(BuildError::new("wants `allow`, `deny` or both"));
        }
        Ok(Self {
            allow: config.allow.map(|networks| networks.iter().collect()),
            deny: config.deny.iter().flatten().collect(),
        })
    }
}
