//! The file descriptors of the process: one for each connection of a client, and one for each to a target.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// With fewer, clients that are allowed to be here may leave none for connections to targets. Arbitrary: a listener has 50,000
/// connections by default.
const FEW: u64 = 65_536;

/// Takes as many as the system lets this process have. Shells and service managers start processes with 1,024, for programs
/// that use `select`, and one client alone may have more connections.
pub(crate) fn take_all() {
    let before = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before });
    let limit = if raised.is_ok() { before.maximum } else { before.current };
    if let Some(limit) = limit.filter(|limit| *limit < FEW) {
        tracing::warn!(limit, "Few file descriptors: each connection takes one. Raise the hard limit of open files.");
    }
}
