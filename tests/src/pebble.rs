//! Pebble, an ACME server that this project did not write (Debian's package): the authority of the tests of certificates that
//! the gateway gets by itself. Beside it runs its DNS server, for which every name is 127.0.0.1.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::servers::{Server, reserve};
use crate::tls::Authority;

/// A running authority, until it is dropped.
#[derive(Debug)]
pub struct Pebble {
    server: Server,
    _names: Server,
    files: TempDir,
    root: String,
}

/// The key of an external account, as [`Pebble::binding`] wants it: its name and its value.
pub const BINDING: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

impl Pebble {
    /// One that looks for the names at these ports.
    pub async fn start(http: SocketAddr, tls: SocketAddr) -> Self {
        Self::made(http, tls, false).await
    }

    /// One that makes accounts only for those who have [`BINDING`].
    pub async fn binding(http: SocketAddr, tls: SocketAddr) -> Self {
        Self::made(http, tls, true).await
    }

    async fn made(http: SocketAddr, tls: SocketAddr, bound: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let own = Authority::new("Pebble's own");
        let certificate = own.certify(&["127.0.0.1"]);
        let file = |name: &str, text: &str| {
            std::fs::write(files.path().join(name), text).unwrap();
            files.path().join(name)
        };
        file("ca.pem", own.pem());
        let (cert, key) = (file("pebble.pem", &certificate.pem), file("pebble.key", &certificate.key));
        let names = Server::start(Path::new("/usr/bin/pebble-challtestsrv"), &[], |address, _| {
            let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
            let own = ["-management", "127.0.0.1:0", "-dns01", &address.to_string()].map(str::to_owned);
            none.map(str::to_owned).into_iter().chain(own).collect()
        })
        .await;
        let (_reserved, management) = reserve();
        // Without its usual pauses and without refusing nonces at random, which is for the authors of clients.
        let environment = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")];
        let server = Server::start(Path::new("/usr/bin/pebble"), &environment, |address, folder| {
            let config = json!({ "pebble": {
                "listenAddress": address.to_string(),
                "managementListenAddress": management.to_string(),
                "certificate": cert,
                "privateKey": key,
                "httpPort": http.port(),
                "tlsPort": tls.port(),
                "ocspResponderURL": "",
                "externalAccountBindingRequired": bound,
                "externalAccountMACKeys": { BINDING.0: BINDING.1 },
            } });
            let file = folder.join("pebble.json");
            std::fs::write(&file, config.to_string()).unwrap();
            let arguments = ["-config", file.to_str().unwrap(), "-dnsserver", &names.address().to_string()];
            arguments.map(str::to_owned).to_vec()
        })
        .await;
        let trusted = reqwest::Certificate::from_pem(own.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
        let root = crate::until("the root of the authority", async || {
            client.get(format!("https://{management}/roots/0")).send().await.ok()?.text().await.ok()
        })
        .await;
        Self { server, _names: names, files, root }
    }

    /// An `acme` section for it.
    pub fn section(&self, store: &Path, more: &str) -> String {
        format!(
            "acme: {{ directory: 'https://{}/dir', store: '{}', ca: '{}', agree_to_terms: true{more} }}\n",
            self.server.address(),
            store.display(),
            self.files.path().join("ca.pem").display(),
        )
    }

    /// The root of the certificates it gives, as PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Lets it do nothing, until [`Pebble::resume`].
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.server.id());
        assert!(Command::new("sh").args(["-c", &command]).status().await.unwrap().success());
    }
}
