//! Which listeners there are, and what a configuration changes about them: first bound, then, when nothing can fail any more,
//! carried out.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use portreeve_config::Loaded;

use super::socket::{BindError, Inherited, Sockets};
use super::workers::Workers;

/// The listeners that are being accepted on.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    open: Vec<Open>,
    /// Numbers are never used again: a connection lives longer than the listener that accepted it, and must not find itself
    /// on another. Only listeners that came into effect use one up.
    next_number: usize,
    /// What another process handed over and no listener has taken yet.
    inherited: Vec<Inherited>,
    copies: Arc<Copies>,
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

/// The sockets of all listeners once more, for the process that takes over. They keep their addresses open: closed with the
/// listener, and all of them when the gateway stops.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<Vec<(usize, Inherited)>>);

impl Copies {
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn hand_over(&self) -> Result<Vec<Inherited>, BindError> {
        self.0.lock().iter().map(|(_, held)| held.copy()).collect()
    }

    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }
}

/// What a configuration changes about the listeners. Sockets are bound already: after this nothing can fail. Dropped, it
/// leaves nothing behind.
pub(crate) struct Change {
    after: Vec<Open>,
    bound: Vec<(usize, Sockets)>,
    copies: Vec<(usize, Inherited)>,
}

impl Change {
    /// The numbers of the listeners, in the order of the file.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.after.iter().map(|open| open.number).collect()
    }

    /// Leaves out a listener that was to be opened: its sockets are closed.
    pub(crate) fn leave_out(&mut self, number: usize) {
        self.after.retain(|open| open.number != number);
        self.bound.retain(|(bound, _)| *bound != number);
        self.copies.retain(|(copied, _)| *copied != number);
    }
}

impl Listening {
    /// Sockets that another process handed over are taken before others are bound.
    pub(crate) fn inheriting(inherited: Vec<Inherited>) -> Self {
        Self { inherited, ..Self::default() }
    }

    /// The sockets once more, for whoever looks.
    pub(crate) fn copies(&self) -> Arc<Copies> {
        self.copies.clone()
    }

    /// Closes what was handed over and not taken: addresses that the configuration does not have.
    pub(crate) fn let_go(&mut self) {
        self.inherited.clear();
    }

    /// Binds what is new. A listener that keeps its address keeps its sockets and its number.
    ///
    /// # Errors
    /// When an address cannot be listened on; what was bound is closed again.
    pub(crate) fn plan(&mut self, loaded: &Loaded, workers: usize) -> Result<Change, BindError> {
        let mut change = Change { after: Vec::new(), bound: Vec::new(), copies: Vec::new() };
        for listener in &loaded.config.listeners {
            let (name, wanted) = (listener.name.shared(), listener.bind.get());
            // Port 0 is another port for each listener.
            let is_it = |at: SocketAddr, called: &Arc<str>| at == wanted && (wanted.port() != 0 || *called == name);
            let same = self.open.iter().find(|open| is_it(open.wanted, &open.name));
            if let Some(open) = same {
                change.after.push(Open { name, ..open.clone() });
                continue;
            }
            let handed = self.inherited.iter().position(|inherited| is_it(inherited.wanted, &inherited.name));
            let sockets = match handed {
                Some(handed) => Sockets::take_over(self.inherited.swap_remove(handed), workers)?,
                None => Sockets::bind(wanted, workers)?,
            };
            let number = self.next_number + change.bound.len();
            let address = sockets.address();
            change.copies.push((number, Inherited { name: name.clone(), wanted, address, sockets: sockets.copies()? }));
            change.after.push(Open { number, name, wanted, address });
            change.bound.push((number, sockets));
        }
        Ok(change)
    }

    /// Begins to accept on what is new, and closes what is gone. The future is done when the last of it is closed; it need
    /// not be waited for.
    pub(crate) fn carry_out(&mut self, change: Change, workers: &Workers) -> impl Future<Output = ()> + Send + use<> {
        let next = change.after.iter().map(|open| open.number + 1).max();
        self.next_number = self.next_number.max(next.unwrap_or_default());
        let mut copies = self.copies.0.lock();
        copies.retain(|(number, _)| change.after.iter().any(|after| after.number == *number));
        copies.extend(change.copies);
        drop(copies);
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
