//! The file descriptors of the process: one for each connection of a client, and one for each to a target.

use portreeve_proxy::limit_descriptors;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as the system lets this process have, and has them shared out. Shells and service managers start processes with
/// 1,024, for programs that use `select`, and one client alone may have more connections.
pub(crate) fn take_all() {
    let before = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before });
    let limit = if raised.is_ok() { before.maximum } else { before.current };
    // Without a limit there is nothing to share out.
    if let Some(limit) = limit {
        limit_descriptors(limit);
    }
}
