//! Keys of the design whose feature is not built yet: refused by name, never ignored.
//!
//! A row leaves this table in the change that builds its feature and adds the key to the types.

use crate::path::{ConfigPath, Segment};

struct Unbuilt {
    /// The path; `*` stands for any key, `[]` for any list position.
    path: &'static [&'static str],
    /// What is not built, as a plural: "TLS listeners".
    what: &'static str,
}

const fn key(path: &'static [&'static str], what: &'static str) -> Unbuilt {
    Unbuilt { path, what }
}

static TABLE: &[Unbuilt] = &[
    key(&["tests"], "tests in the file"),
    key(&["caches"], "caches"),
    key(&["telemetry"], "traces and metrics that are sent"),
    key(&["rollout"], "rollouts in shares"),
    key(&["history"], "histories of configurations"),
    key(&["kubernetes"], "Kubernetes resources"),
    key(&["secrets"], "secrets from a vault"),
    key(&["listeners", "[]", "http3"], "listeners for HTTP/3"),
    key(&["listeners", "[]", "tls", "http3"], "listeners for HTTP/3"),
    key(&["upstreams", "*", "keep_at_least"], "bounds on what discovery may take away"),
    key(&["upstreams", "*", "discover", "consul"], "targets from Consul"),
    key(&["upstreams", "*", "discover", "kubernetes"], "targets from Kubernetes"),
    key(&["upstreams", "*", "discover", "etcd"], "targets from etcd"),
    key(&["upstreams", "*", "discover", "[]", "consul"], "targets from Consul"),
    key(&["upstreams", "*", "discover", "[]", "kubernetes"], "targets from Kubernetes"),
    key(&["upstreams", "*", "discover", "[]", "etcd"], "targets from etcd"),
    key(&["routes", "[]", "import"], "routes from OpenAPI documents"),
    key(&["routes", "[]", "mirror", "compare"], "comparisons of mirrored answers"),
    key(&["consumers", "[]", "from"], "consumers from a file of their own"),
];

/// Settings of plugins: the plugin, and the path from there.
static SETTINGS: &[Unbuilt] = &[
    key(&["jwt", "issuers"], "several issuers in one step"),
    key(&["jwt", "types"], "checks of a token's type"),
    key(&["jwt", "profile"], "profiles of tokens"),
    key(&["jwt", "optional"], "optional tokens"),
    key(&["jwt", "resource_metadata"], "metadata of protected resources"),
    key(&["rate-limit", "cost", "usage"], "costs in tokens of language models"),
    key(&["aggregate", "max_body"], "bounds on all answers together"),
    key(&["aggregate", "merge"], "answers merged into one"),
    key(&["aggregate", "schema"], "schemas of answers"),
    key(&["aggregate", "stream"], "answers that are streamed"),
    key(&["aggregate", "calls", "*", "each"], "calls for each item of a list"),
    key(&["aggregate", "calls", "*", "when"], "calls on a condition"),
    key(&["aggregate", "calls", "*", "cache"], "caches of calls"),
    key(&["aggregate", "calls", "*", "method"], "calls with other methods than GET"),
    key(&["aggregate", "calls", "*", "body"], "calls with a body"),
    key(&["aggregate", "calls", "*", "pass_status"], "statuses of calls that are passed on"),
];

/// Plugins of the design that are not built.
static PLUGINS: &[(&str, &str)] = &[
    ("any-of", "alternatives of authentication"),
    ("authorize", "rules of authorization"),
    ("basic-auth", "passwords (HTTP Basic)"),
    ("cache", "caches"),
    ("compress", "compression"),
    ("credentials", "credentials towards targets"),
    ("csrf", "checks against cross-site requests"),
    ("fault", "faults on purpose"),
    ("forward-auth", "questions to an authenticating service"),
    ("graphql", "limits of GraphQL"),
    ("grpc-json", "translation between gRPC and JSON"),
    ("grpc-web", "gRPC-Web"),
    ("guard", "rules against attacks"),
    ("hmac-auth", "signatures of requests"),
    ("introspection", "token introspection"),
    ("json-xml", "translation between JSON and XML"),
    ("mtls", "consumers by client certificate"),
    ("oidc", "logins (OpenID Connect)"),
    ("remote", "plugins in other processes"),
    ("security-headers", "presets of security headers"),
    ("transform", "changes of bodies"),
    ("validate", "validation of bodies"),
    ("views", "views of answers"),
    ("wasm", "plugins in WebAssembly"),
];

/// What to say of a key that is known but not built.
pub(crate) fn unbuilt_key(path: &ConfigPath) -> Option<String> {
    let row = TABLE.iter().find(|row| fits(row.path, path.segments())).or_else(|| {
        // The settings of a plugin begin behind the step's place in its list.
        let step = path.segments().iter().skip(2).position(|segment| matches!(segment, Segment::Index(_)))?;
        let settings = path.segments().get(step + 3..)?;
        SETTINGS.iter().find(|row| fits(row.path, settings))
    });
    Some(format!("{} are not built yet; remove this key (planned)", row?.what))
}

/// What to say of a plugin that is known but not built.
pub(crate) fn unbuilt_plugin(name: &str) -> Option<String> {
    let (name, what) = PLUGINS.iter().find(|(plugin, _)| *plugin == name)?;
    Some(format!("the plugin {name:?} ({what}) is not built yet; remove this step (planned)"))
}

fn fits(pattern: &[&str], path: &[Segment]) -> bool {
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(pattern, segment)| match segment {
            Segment::Index(_) => *pattern == "[]",
            Segment::Key(key) => *pattern == "*" || *pattern == &**key,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_unbuilt_at_its_place_only() {
        let unbuilt = |path: &str| unbuilt_key(&ConfigPath::from(path)).is_some();
        assert!(unbuilt("tests"));
        assert!(!unbuilt("routes[0].tests") && !unbuilt("tests.x"));
        assert!(unbuilt("chains.api[3].jwt.issuers") && unbuilt("routes[1].plugins[0].aggregate.calls.user.each"));
        assert!(!unbuilt("chains.api[3].cors.issuers") && unbuilt("upstreams.a.discover[1].etcd"));
        assert!(unbuilt_plugin("oidc").is_some_and(|message| message.contains("not built yet")));
        assert!(unbuilt_plugin("jwt").is_none());
    }

    #[test]
    fn no_row_stands_for_a_key_that_is_built() {
        let schema = crate::schema(&crate::Catalog::default());
        let known = |definition: &str, key: &str| !schema["$defs"][definition]["properties"][key].is_null();
        for row in TABLE {
            let (key, definition) = match row.path {
                [key] => (key, "Config"),
                ["listeners", "[]", key] => (key, "Listener"),
                ["listeners", "[]", "tls", key] => (key, "ListenerTls"),
                ["upstreams", "*", key] => (key, "Upstream"),
                ["upstreams", "*", "discover", .., key] => (key, "Discover"),
                ["routes", "[]", key] => (key, "Route"),
                ["routes", "[]", "mirror", key] => (key, "Mirror"),
                ["consumers", "[]", key] => (key, "Consumer"),
                other => panic!("{other:?}"),
            };
            let is_known =
                if definition == "Config" { !schema["properties"][key].is_null() } else { known(definition, key) };
            assert!(!is_known, "{definition}.{key} is built: remove its row");
        }
    }
}
