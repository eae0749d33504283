//! A target that is a process of its own, Debian's nginx: it can be killed, stopped in the middle of everything, and told to
//! answer badly.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::servers::Server;

/// How nginx answers, other than well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sickness {
    /// 500.
    Errors,
    /// Not at all: it resets the connection.
    Resets,
    /// One request a minute.
    Slow,
    /// With 400 KiB, at 100 KiB a second.
    Long,
}

/// A running or dead nginx, until it is dropped. Its answers say who it is, in `x-target`.
#[derive(Debug)]
pub struct Target(Server);

impl Target {
    /// Starts one.
    ///
    /// # Panics
    /// When nginx is not installed or does not start.
    pub async fn start() -> Self {
        let server = Server::start(Path::new("/usr/sbin/nginx"), &[], |address, folder| {
            let www = folder.join("www");
            std::fs::create_dir(&www).unwrap();
            std::fs::write(www.join("slow.txt"), "well").unwrap();
            std::fs::write(www.join("long.txt"), "x".repeat(400 * 1024)).unwrap();
            let text = include_str!("target.conf").replace("ADDRESS", &address.to_string());
            std::fs::write(folder.join("nginx.conf"), text).unwrap();
            let folder = folder.display();
            let arguments = ["-p", &format!("{folder}/"), "-e", &format!("{folder}/error.log")].map(str::to_owned);
            arguments.into_iter().chain(["-c".to_owned(), format!("{folder}/nginx.conf")]).collect()
        });
        Self(server.await)
    }

    /// Where it listens, or did.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Ends the process at once: nothing is finished, nothing is said.
    ///
    /// # Panics
    /// When it is dead already.
    pub async fn kill(&mut self) {
        self.0.kill().await;
    }

    /// Starts it anew, on the port it had.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn revive(&mut self) {
        self.0.revive().await;
    }

    /// Stops the process as it is: connections stay, and so does what comes on them.
    ///
    /// # Panics
    /// When it is dead.
    pub async fn stop(&self) {
        self.0.signal("STOP").await;
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it is dead.
    pub async fn go_on(&self) {
        self.0.signal("CONT").await;
    }

    /// Answers so from now on.
    ///
    /// # Panics
    /// When its folder cannot be written.
    pub fn fall_sick(&self, sickness: Sickness) {
        std::fs::write(self.sign(sickness), "").unwrap();
    }

    /// Answers well again.
    ///
    /// # Panics
    /// When it was not so sick.
    pub fn recover(&self, sickness: Sickness) {
        std::fs::remove_file(self.sign(sickness)).unwrap();
    }

    fn sign(&self, sickness: Sickness) -> PathBuf {
        let name = match sickness {
            Sickness::Errors => "errors",
            Sickness::Resets => "resets",
            Sickness::Slow => "slow",
            Sickness::Long => "long",
        };
        self.0.folder().join("www").join(name)
    }
}
