//! TLS for tests: authorities and certificates made on the spot, and a client that says what it was shown.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, DEFAULT_VERSIONS, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

use crate::http1::{Answer, read_answer};
use crate::within;

/// An authority that everybody in the test trusts.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its key, as PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its private key.
    pub key: String,
    der: CertificateDer<'static>,
}

impl Authority {
    /// A fresh one.
    pub fn new(name: &str) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names and addresses, good for servers and for clients, from 2020 to 2120.
    pub fn certify(&self, names: &[&str]) -> Certificate {
        self.certify_until(names, 2120)
    }

    /// As [`Authority::certify`], until the first day of this year.
    pub fn certify_until(&self, names: &[&str], year: i32) -> Certificate {
        let mut params = params(names, names[0]);
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { pem: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

fn params(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}

/// A folder of certificates that a configuration names.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, readable by its owner alone.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        private(&path);
        path
    }

    /// Writes NAME.crt and NAME.key, and returns them as an item of `certificates`.
    pub fn put(&self, name: &str, certificate: &Certificate) -> String {
        let cert = self.write(&format!("{name}.crt"), &certificate.pem);
        let key = self.write(&format!("{name}.key"), &certificate.key);
        format!("{{ cert: '{}', key: '{}' }}", cert.display(), key.display())
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A client that trusts one authority, with its memory of sessions.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

impl TlsClient {
    /// A client of HTTP/1.1.
    pub fn new(trusted: &Authority) -> Self {
        Self::made(trusted, None, &[b"http/1.1"])
    }

    /// A client of HTTP/2.
    pub fn http2(trusted: &Authority) -> Self {
        Self::made(trusted, None, &[b"h2"])
    }

    /// A client of HTTP/1.1 that speaks these versions of TLS only.
    pub fn speaking(trusted: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::with_root(trusted.der.clone(), None, &[b"http/1.1"], versions)
    }

    /// A client of HTTP/1.1 that shows this certificate.
    pub fn showing(trusted: &Authority, certificate: &Certificate) -> Self {
        Self::made(trusted, Some(certificate), &[b"http/1.1"])
    }

    /// A client of HTTP/1.1 that trusts this root (PEM), and shows a certificate if it is given one.
    pub fn trusting(root: &str, certificate: Option<&Certificate>) -> Self {
        let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
        Self::with_root(root, certificate, &[b"http/1.1"], DEFAULT_VERSIONS)
    }

    fn made(trusted: &Authority, certificate: Option<&Certificate>, alpn: &[&[u8]]) -> Self {
        Self::with_root(trusted.der.clone(), certificate, alpn, DEFAULT_VERSIONS)
    }

    fn with_root(
        root: CertificateDer<'static>,
        certificate: Option<&Certificate>,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let mut config = match certificate {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![own.der.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Connects and verifies that whoever answers is `name`.
    ///
    /// # Errors
    /// When the handshake fails. With TLS 1.3, a server that refuses the client's certificate is heard of only when the
    /// answer is read.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Secure> {
        self.over(TcpStream::connect(address).await?, name).await
    }

    /// The same over a connection on which something else may have been sent before.
    ///
    /// # Errors
    /// As with [`Self::connect`].
    pub async fn over(&self, stream: TcpStream, name: &str) -> std::io::Result<Secure> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = within("a handshake", self.0.connect(name, stream)).await?;
        Ok(Secure(BufReader::new(stream)))
    }
}

/// A TLS connection.
#[derive(Debug)]
pub struct Secure(BufReader<TlsStream<TcpStream>>);

impl Secure {
    /// Whether this is the certificate that was shown.
    pub fn was_shown(&self, certificate: &Certificate) -> bool {
        let leaf = self.0.get_ref().get_ref().1.peer_certificates().and_then(<[_]>::first);
        leaf == Some(&certificate.der)
    }

    /// The certificate that was shown (DER).
    pub fn leaf(&self) -> Vec<u8> {
        let shown = self.0.get_ref().get_ref().1.peer_certificates().and_then(<[_]>::first);
        shown.map(|der| der.to_vec()).unwrap_or_default()
    }

    /// The version of TLS that both sides agreed on.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.0.get_ref().get_ref().1.protocol_version()
    }

    /// Whether a session was resumed.
    pub fn was_resumed(&self) -> bool {
        self.0.get_ref().get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The connection itself, for other protocols.
    pub fn into_inner(self) -> TlsStream<TcpStream> {
        self.0.into_inner()
    }

    /// Sends a GET and reads the answer.
    ///
    /// # Errors
    /// When there is none, or it breaks off.
    pub async fn get(&mut self, host: &str, path: &str) -> std::io::Result<Answer> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// Sends these bytes and reads an answer.
    ///
    /// # Errors
    /// When there is none, or it breaks off.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<Answer> {
        self.0.get_mut().write_all(bytes.as_ref()).await?;
        self.0.get_mut().flush().await?;
        within("an answer", read_answer(&mut self.0, "GET")).await
    }
}
