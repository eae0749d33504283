//! What `portreeve demo` puts behind the gateway: sample services, an issuer of tokens and a switch for each of them. Small,
//! in-process and on the fixed loopback ports that the repository's `gateway.yaml` names.

mod aside;
mod control;
mod guide;
mod instance;
mod issuer;
mod services;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use parking_lot::Mutex;

pub(crate) use aside::Aside;
pub(crate) use guide::{Places, guide};
use instance::Instance;
pub(crate) use issuer::Issuer;

/// Where the issuer is: `gateway.yaml` names it as the `issuer` and as the place of its keys.
const ISSUER_PORT: u16 = 9006;
/// Where instances are killed and revived.
const CONTROL_PORT: u16 = 9010;

/// The instances behind the gateway.
#[derive(Debug)]
pub(crate) struct Samples {
    instances: Mutex<Vec<Instance>>,
    pub(crate) issuer: Arc<Issuer>,
    /// Serves the switches; never killed.
    _control: Instance,
}

/// Why an instance could not be switched.
#[derive(Debug)]
enum SwitchError {
    Unknown(String),
    Failed(String),
}

impl Samples {
    /// Starts them all.
    ///
    /// # Errors
    /// What to tell the user: every port that is taken, and what to do.
    pub(crate) fn start() -> Result<Arc<Self>, String> {
        let issuer = Arc::new(Issuer::new(&format!("http://{}/", loopback(ISSUER_PORT)))?);
        let routers: [(&'static str, u16, Router); 6] = [
            ("users-v1", 9001, services::users_v1("users-v1")),
            ("users-v2-a", 9002, services::users_v2("users-v2-a")),
            ("users-v2-b", 9003, services::users_v2("users-v2-b")),
            ("orders", 9004, services::orders("orders")),
            ("recommendations", 9005, services::recommendations("recommendations")),
            ("issuer", ISSUER_PORT, issuer::router(issuer.clone())),
        ];
        let switches = Arc::new(std::sync::OnceLock::new());
        let started = routers.map(|(name, port, router)| Instance::start(name, loopback(port), router));
        let control = Instance::start("control", loopback(CONTROL_PORT), control::router(switches.clone()));
        let (mut instances, mut errors) = (Vec::new(), Vec::new());
        for result in started {
            match result {
                Ok(instance) => instances.push(instance),
                Err(error) => errors.push(error),
            }
        }
        let control = match control {
            Ok(control) if errors.is_empty() => control,
            other => {
                errors.extend(other.err());
                return Err(complaint(&errors));
            }
        };
        let samples = Arc::new(Self { instances: Mutex::new(instances), issuer, _control: control });
        switches.set(Arc::downgrade(&samples)).ok();
        Ok(samples)
    }

    /// Name, address and whether it lives, of each.
    fn states(&self) -> Vec<(&'static str, SocketAddr, bool)> {
        self.instances.lock().iter().map(|instance| (instance.name, instance.address, instance.is_alive())).collect()
    }

    fn kill(&self, name: &str) -> Result<(), SwitchError> {
        self.with(name, |instance| {
            instance.kill();
            Ok(())
        })
    }

    fn revive(&self, name: &str) -> Result<(), SwitchError> {
        self.with(name, |instance| instance.revive().map_err(|error| SwitchError::Failed(error.to_string())))
    }

    fn with(&self, name: &str, act: impl FnOnce(&mut Instance) -> Result<(), SwitchError>) -> Result<(), SwitchError> {
        let mut instances = self.instances.lock();
        if let Some(instance) = instances.iter_mut().find(|instance| instance.name == name) {
            return act(instance);
        }
        let names: Vec<_> = instances.iter().map(|instance| instance.name).collect();
        Err(SwitchError::Unknown(format!("there is no {name:?}; there are {}", names.join(", "))))
    }
}

/// Why an instance did not start.
#[derive(Debug)]
struct StartError {
    name: &'static str,
    address: SocketAddr,
    error: io::Error,
}

fn complaint(errors: &[StartError]) -> String {
    let mut text = String::from("the sample services cannot start:\n");
    for StartError { name, address, error } in errors {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "is taken by another process".to_owned(),
            _ => format!("cannot be listened on: {error}"),
        };
        writeln!(text, "  {address} ({name}) {why}").ok();
    }
    if errors.iter().any(|error| error.error.kind() == io::ErrorKind::AddrInUse) {
        text.push_str(
            "Is another demo running? `ss -ltnp` shows who listens where. Stop it and start the demo again.\n",
        );
    }
    text
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
