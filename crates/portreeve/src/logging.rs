//! The operator's log: one line an event on standard error. Requests are told in the access log.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Begins to log. `PORTREEVE_LOG` sets levels (`info`, `portreeve_proxy=debug`); without it, `info` for us and `warn` for
/// libraries. JSON unless a person is looking.
pub(crate) fn start() {
    let levels = EnvFilter::try_from_env("PORTREEVE_LOG");
    // Pingora logs at error what we tell in the access log.
    let levels = levels.unwrap_or_else(|_| {
        EnvFilter::new("warn,portreeve=info,portreeve_proxy=info,pingora=off,pingora_core=off,pingora_proxy=off")
    });
    let log = tracing_subscriber::fmt().with_env_filter(levels).with_writer(io::stderr);
    // A second start, as in tests, keeps the first.
    if io::stderr().is_terminal() {
        log.try_init().ok()
    } else {
        log.json().flatten_event(true).try_init().ok()
    };
}
