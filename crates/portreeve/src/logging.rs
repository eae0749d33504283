//! What the operator's log tells by default: the gateway and its plugins, and of libraries only what no stranger can cause.

use std::collections::BTreeSet;

use portreeve_log::{Diagnostics, DiagnosticsSettings};
use portreeve_plugin::Registry;

/// Libraries with lines that a stranger causes at will: a frame, a handshake, a head. What matters of it, the gateway tells itself,
/// counted and in the access log. A name stands for all that begin with it.
const SILENT: [&str; 8] =
    ["h2", "hickory", "hyper", "pingora", "rustls", "tokio_rustls", "tungstenite", "tokio_tungstenite"];

/// Begins to log. `PORTREEVE_LOG` sets levels (`info`, `portreeve_proxy=debug`) in the place of those here.
pub(crate) fn start(registry: &Registry) -> Diagnostics {
    Diagnostics::start(&DiagnosticsSettings { variable: "PORTREEVE_LOG", levels: levels(registry) })
}

/// The gateway and all plugins at `info`, whoever wrote them; libraries at `error` or not at all.
fn levels(registry: &Registry) -> String {
    let plugins: BTreeSet<_> = registry.iter().map(|plugin| plugin.module).collect();
    let heard = plugins.into_iter().map(|module| format!("{module}=info"));
    let silent = SILENT.iter().map(|library| format!("{library}=off"));
    ["error".to_owned(), "portreeve=info".to_owned()]
        .into_iter()
        .chain(heard)
        .chain(silent)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use portreeve_plugin::prelude::*;

    use super::*;

    struct Mine;

    impl Plugin for Mine {}

    impl Build for Mine {
        const NAME: &'static str = "mine";
        type Config = Nothing;

        fn build(_: Nothing, _: &Host) -> Result<Self, BuildError> {
            Ok(Self)
        }
    }

    #[derive(Deserialize, JsonSchema)]
    struct Nothing {}

    #[test]
    fn plugins_are_heard_whoever_wrote_them_and_libraries_only_with_what_no_stranger_causes() {
        let levels = levels(&Registry::new().with::<Mine>());
        let levels: Vec<_> = levels.split(',').collect();
        // The crate of this test is that of the plugin.
        assert_eq!(levels[..3], ["error", "portreeve=info", "portreeve=info"]);
        for library in ["h2=off", "hyper=off", "rustls=off", "pingora=off"] {
            assert!(levels.contains(&library), "{library}: {levels:?}");
        }
    }
}
