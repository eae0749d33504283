//! From one process to the next without a refused connection: `portreeve run --upgrade`.
//!
//! A running gateway waits on a Unix socket of its own. The next one connects, is handed the listening sockets (descriptors
//! over `SCM_RIGHTS`, unix(7)), starts with them, and says that it serves; then the first one drains. If the next one fails
//! to start, nothing has happened: the sockets are shared until then, and whoever connects is accepted by either.
//!
//! Only what is this user's may take part: the socket is for its owner, and both sides ask who the other is.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portreeve_proxy::Inherited;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

/// Descriptors in one message: the kernel's own limit is 253.
const BATCH: usize = 64;
/// The longest message: the addresses of one listener.
const MESSAGE: usize = 512;
/// For each message of the other side, and for the next process to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// What goes over the socket, one JSON text for each message.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", tag = "say")]
enum Word {
    /// The next process asks.
    Upgrade,
    /// Sockets of one address, in this message.
    Sockets { name: Arc<str>, wanted: SocketAddr, address: SocketAddr },
    /// The socket of the admin port, in this message.
    Admin,
    /// These were all.
    All,
    /// The next process serves.
    Serving,
}

/// What was handed over.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<Inherited>,
    pub(crate) admin: Option<TcpListener>,
}

/// The way back to the process before this one, which serves until it is told.
#[derive(Debug)]
pub(crate) struct Before(UnixStream);

impl Before {
    /// This process serves now: the one before drains.
    pub(crate) fn retire(self) -> io::Result<()> {
        say(&self.0, &Word::Serving, &[])
    }
}

/// Where the gateway of a configuration file waits: in the folder for sockets of this user, by the path of the file.
pub(crate) fn place(config: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    fs::canonicalize(config).unwrap_or_else(|_| config.to_owned()).hash(&mut hasher);
    let name = format!("portreeve-{:016x}.sock", hasher.finish());
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let system = geteuid().is_root().then(|| PathBuf::from("/run"));
    let folder = runtime.into_iter().chain(system).find(|folder| folder.is_dir());
    folder.unwrap_or_else(std::env::temp_dir).join(name)
}

/// Asks the running gateway for its sockets.
///
/// # Errors
/// When none is running there, it is another user's, or it does not answer.
pub(crate) fn ask(place: &Path) -> io::Result<(Sockets, Before)> {
    let stream = UnixStream::connect(place)?;
    trusted(&stream)?;
    say(&stream, &Word::Upgrade, &[])?;
    let mut sockets = Sockets::default();
    loop {
        match hear(&stream)? {
            (Word::Admin, descriptors) => {
                sockets.admin = descriptors.into_iter().next().map(TcpListener::from);
            }
            (Word::Sockets { name, wanted, address }, descriptors) => {
                let more = descriptors.into_iter().map(TcpListener::from);
                match sockets.listeners.iter_mut().find(|known| known.address == address) {
                    Some(known) => known.sockets.extend(more),
                    None => sockets.listeners.push(Inherited { name, wanted, address, sockets: more.collect() }),
                }
            }
            (Word::All, _) => return Ok((sockets, Before(stream))),
            _ => return Err(io::Error::other("the running gateway says something else than what it was asked")),
        }
    }
}

/// Waits for the next process.
#[derive(Debug)]
pub(crate) struct Waiting(UnixListener);

impl Waiting {
    /// Begins to wait, in the place of a process that is gone or is being replaced by this one.
    ///
    /// # Errors
    /// When no socket can be made there.
    pub(crate) fn at(place: &Path) -> io::Result<Self> {
        // Made beside and moved, so that there is never a moment without one, and never one that others may connect to.
        let beside = place.with_extension(format!("{}", std::process::id()));
        fs::remove_file(&beside).ok();
        let listener = UnixListener::bind(&beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, place)?;
        Ok(Self(listener))
    }

    /// Waits no more: nobody is to find a socket that nobody answers.
    pub(crate) fn close(place: &Path) {
        fs::remove_file(place).ok();
    }

    /// Hands over to one process that asks. Returns when it serves; every other outcome is an error, and nothing has changed
    /// by it. Blocks.
    pub(crate) fn hand_over(&self, sockets: impl FnOnce() -> io::Result<Sockets>) -> io::Result<()> {
        let (stream, _) = self.0.accept()?;
        trusted(&stream)?;
        if hear(&stream)?.0 != Word::Upgrade {
            return Err(io::Error::other("something else than an upgrade was asked"));
        }
        let Sockets { listeners, admin } = sockets()?;
        for Inherited { name, wanted, address, sockets } in &listeners {
            for batch in sockets.chunks(BATCH) {
                let word = Word::Sockets { name: name.clone(), wanted: *wanted, address: *address };
                say(&stream, &word, batch)?;
            }
        }
        if let Some(admin) = &admin {
            say(&stream, &Word::Admin, std::slice::from_ref(admin))?;
        }
        say(&stream, &Word::All, &[])?;
        // What was handed over is closed here when the other process serves, and not before.
        match hear(&stream)?.0 {
            Word::Serving => Ok(()),
            _ => Err(io::Error::other("the next process did not start")),
        }
    }
}

/// The other side is the same user, or root.
fn trusted(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let other = socket_peercred(stream)?.uid;
    if other == geteuid() || other.is_root() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the other process is another user's"))
}

/// One message: a text of fixed length, so that none runs into the next, and descriptors beside it.
fn say(stream: &UnixStream, word: &Word, sockets: &[TcpListener]) -> io::Result<()> {
    let mut text = serde_json::to_vec(word)?;
    if text.len() > MESSAGE {
        return Err(io::Error::other("a message is too long"));
    }
    text.resize(MESSAGE, b' ');
    let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL)?;
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn hear(stream: &UnixStream) -> io::Result<(Word, Vec<OwnedFd>)> {
    let mut text = [0; MESSAGE];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut descriptors = Vec::new();
    let mut filled = 0;
    while filled < MESSAGE {
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let rest = text.get_mut(filled..).unwrap_or_default();
        let heard = recvmsg(stream, &mut [IoSliceMut::new(rest)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if heard.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("the system gives this process no more descriptors"));
        }
        if heard.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += heard.bytes;
    }
    Ok((serde_json::from_slice(&text)?, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_gets_every_socket_and_then_the_first_one_may_go() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("p.sock");
        let waiting = Waiting::at(&place).unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (many, admin) = (bind(), bind());
        let (address, admin_address) = (many.local_addr().unwrap(), admin.local_addr().unwrap());
        let sockets = (0..BATCH + 6).map(|_| many.try_clone().unwrap()).collect();
        let handed = Sockets {
            listeners: vec![Inherited { name: "a".into(), wanted: address, address, sockets }],
            admin: Some(admin),
        };
        let first = std::thread::spawn(move || waiting.hand_over(|| Ok(handed)));
        let (taken, before) = ask(&place).unwrap();
        assert_eq!(taken.listeners.len(), 1);
        assert_eq!(taken.listeners[0].sockets.len(), BATCH + 6);
        assert!(taken.listeners[0].sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert_eq!(taken.admin.unwrap().local_addr().unwrap(), admin_address);
        before.retire().unwrap();
        first.join().unwrap().unwrap();
    }

    #[test]
    fn a_next_process_that_fails_leaves_the_first_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("p.sock");
        let waiting = Waiting::at(&place).unwrap();
        let first = std::thread::spawn(move || waiting.hand_over(|| Ok(Sockets::default())));
        drop(ask(&place).unwrap());
        assert!(first.join().unwrap().is_err());
    }

    #[test]
    fn without_a_running_gateway_the_error_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ask(&folder.path().join("none.sock")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
