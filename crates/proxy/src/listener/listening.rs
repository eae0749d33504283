//! Which listeners there are, and what a configuration changes about them: first bound, then, when nothing can fail any more,
//! carried out.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use portreeve_config::Loaded;

use super::socket::{BindError, Sockets};
use super::workers::Workers;

/// The listeners that are being accepted on.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    open: Vec<Open>,
    /// Numbers are never used again: a connection lives longer than the listener that accepted it, and must not find itself
    /// on another. Only listeners that came into effect use one up.
    next_number: usize,
}

/// A listener that is being accepted on.
#[derive(Debug, Clone)]
struct Open {
    number: usize,
    name: Arc<str>,
    /// As the file has it; port 0 stays 0.
    wanted: SocketAddr,
    /// As the system has it.
    address: SocketAddr,
}

/// What a configuration changes about the listeners. Sockets are bound already: after this nothing can fail. Dropped, it
/// leaves nothing behind.
pub(crate) struct Change {
    after: Vec<Open>,
    bound: Vec<(usize, Sockets)>,
}

impl Change {
    /// The numbers of the listeners, in the order of the file.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.after.iter().map(|open| open.number).collect()
    }
}

impl Listening {
    /// Binds what is new. A listener that keeps its address keeps its sockets and its number.
    ///
    /// # Errors
    /// When an address cannot be listened on; what was bound is closed again.
    pub(crate) fn plan(&self, loaded: &Loaded, workers: usize) -> Result<Change, BindError> {
        let mut change = Change { after: Vec::new(), bound: Vec::new() };
        for listener in &loaded.config.listeners {
            let (name, wanted) = (listener.name.shared(), listener.bind.get());
            let same = self.open.iter().find(|open| open.wanted == wanted && (wanted.port() != 0 || open.name == name));
            if let Some(open) = same {
                change.after.push(Open { name, ..open.clone() });
                continue;
            }
            let sockets = Sockets::bind(wanted, workers)?;
            let number = self.next_number + change.bound.len();
            change.after.push(Open { number, name, wanted, address: sockets.address() });
            change.bound.push((number, sockets));
        }
        Ok(change)
    }

    /// Begins to accept on what is new, and closes what is gone. The future is done when the last of it is closed; it need
    /// not be waited for.
    pub(crate) fn carry_out(&mut self, change: Change, workers: &Workers) -> impl Future<Output = ()> + Send + use<> {
        self.next_number += change.bound.len();
        for (number, sockets) in change.bound {
            workers.open(number, sockets);
        }
        let gone = self.open.iter().filter(|open| !change.after.iter().any(|after| after.number == open.number));
        let closed: Vec<_> = gone.map(|open| workers.close(open.number)).collect();
        self.open = change.after;
        async move {
            futures::future::join_all(closed).await;
        }
    }

    /// Names and addresses, as the system has them.
    pub(crate) fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.open.iter().map(|open| (open.name.clone(), open.address)).collect()
    }
}
