//! Pebble, an ACME server that this project did not write (Debian's package): the authority of the tests of certificates that
//! the gateway gets by itself. Beside it runs its DNS server, for which every name is 127.0.0.1.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

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

/// See [`Pebble::suggesting`].
#[derive(Debug)]
pub struct Suggesting {
    address: SocketAddr,
    /// Pebble's own.
    directory: String,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Suggesting {
    /// This configuration, with it for Pebble.
    pub fn before(&self, yaml: &str) -> String {
        yaml.replace(&self.directory, &format!("https://{}/dir", self.address))
    }

    /// The certificates that it was asked about.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Drop for Suggesting {
    fn drop(&mut self) {
        self.serving.abort();
    }
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

    /// Something before it that says that certificates are to be renewed between these moments (RFC 9773), of which Debian's
    /// Pebble says nothing. All else is Pebble's own.
    ///
    /// # Panics
    /// When Pebble does not answer.
    pub async fn suggesting(&self, window: [&str; 2]) -> Suggesting {
        let pem = |name: &str| std::fs::read(self.files.path().join(name)).unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem("pebble.pem")).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem("pebble.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let trusted = reqwest::Certificate::from_pem(&pem("ca.pem")).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
        let own = client.get(format!("https://{}/dir", self.server.address())).send().await.unwrap();
        let mut directory: serde_json::Value = serde_json::from_slice(&own.bytes().await.unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        directory["renewalInfo"] = format!("https://{address}/renewal").into();
        let told = json!({ "suggestedWindow": { "start": window[0], "end": window[1] } });
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let body = match path.strip_prefix("/renewal/") {
                    None => directory.to_string(),
                    Some(certificate) => {
                        heard.lock().push(certificate.to_owned());
                        told.to_string()
                    }
                };
                let head =
                    "HTTP/1.1 200 OK\r\nconnection: close\r\nretry-after: 21600\r\ncontent-type: application/json";
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        let directory = format!("https://{}/dir", self.server.address());
        Suggesting { address, directory, asked, serving }
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
