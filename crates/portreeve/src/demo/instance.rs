//! One instance of a sample service. It is a runtime of its own, so that killing it is as sudden as killing a process:
//! it stops listening and every connection breaks at once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::runtime::{Builder, Runtime};

use super::StartError;

/// A killed instance gives its port back within a moment; a revival waits so long for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An instance, alive or killed.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    router: Router,
    /// `None` while killed.
    life: Option<Runtime>,
}

impl Instance {
    /// Listens and serves.
    pub(super) fn start(name: &'static str, address: SocketAddr, router: Router) -> Result<Self, StartError> {
        match serve(name, address, router.clone()) {
            Ok((address, life)) => Ok(Self { name, address, router, life: Some(life) }),
            Err(error) => Err(StartError { name, address, error }),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// Breaks its connections and stops listening. Nothing if it is dead already.
    pub(super) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.shutdown_background();
        }
    }

    /// Listens again at the same address. Nothing if it lives.
    pub(super) fn revive(&mut self) -> io::Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match serve(self.name, self.address, self.router.clone()) {
                Ok((_, life)) => {
                    self.life = Some(life);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A runtime may not be dropped the usual way where other tasks run, which is where an instance may end.
impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(name: &str, address: SocketAddr, router: Router) -> io::Result<(SocketAddr, Runtime)> {
    // The standard library's listener lets a port be taken again at once after its last owner, as every server wants it.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let life = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
    let listener = {
        let _inside = life.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    life.spawn(async move {
        // Ends only when the instance is killed.
        axum::serve(listener, router).await.ok();
    });
    Ok((address, life))
}
