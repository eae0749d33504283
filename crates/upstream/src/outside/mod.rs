//! What is asked of outside URLs: key sets and discovery documents that plugins fetch, and certificates (ACME). The same client as
//! towards targets, in HTTP/1.1, on a connection for each request: they are minutes apart, and what was looked at is what is asked.

mod addresses;
mod proxies;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use portreeve_config::{Timeouts, units};
use portreeve_plugin::{Addresses, Answer, CallError, Fetch};
use portreeve_wire::http1::Asked;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Position, Url};

use self::addresses::resolve;
use self::proxies::{Proxies, Proxy};
use super::client::{Conversation, Http1, NotGathered, RequestHead};
use super::connector::Silence;
use super::link::{AttemptParams, ConnectionLease, Dial, Tunnel, UpstreamAttempt, client_config};
use crate::error_text::text_of;

/// Longest wait for a connection, over all addresses of a name.
const CONNECT: Duration = Duration::from_secs(5);

/// Asks outside URLs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Outside(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whom it trusts, if not whom this machine does.
    roots: Option<Arc<RootCertStore>>,
    /// Made when first needed: most gateways never fetch, and a machine without trusted roots must not keep them from starting.
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    proxies: Proxies,
}

/// A request for an outside URL.
#[derive(Debug)]
pub struct OutsideRequest {
    pub method: Method,
    /// Absolute, `http` or `https`, without name and password.
    pub url: String,
    /// Framing is the client's, and so are `Host` and `Connection`.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Which addresses its name may have.
    pub addresses: Addresses,
    /// One deadline over everything.
    pub timeout: Duration,
    /// Longest answer accepted, in bytes.
    pub max_body: usize,
}

impl Outside {
    /// One that trusts these authorities alone.
    ///
    /// # Errors
    /// One of them cannot be an authority.
    pub fn trusting(authorities: &[CertificateDer<'static>]) -> Result<Self, tokio_rustls::rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        Ok(Self(Arc::new(Shared { roots: Some(Arc::new(roots)), ..Shared::default() })))
    }

    /// GETs what a plugin wants to have.
    pub fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Result<Answer, CallError>> {
        let headers = [
            (header::ACCEPT, HeaderValue::from_static("*/*")),
            (header::USER_AGENT, HeaderValue::from_static("portreeve")),
        ];
        let request = OutsideRequest {
            method: Method::GET,
            url: fetch.url,
            headers: headers.into_iter().collect(),
            body: Bytes::new(),
            addresses: fetch.addresses,
            timeout: fetch.timeout,
            max_body: fetch.max_body,
        };
        let client = self.clone();
        Box::pin(async move { client.ask(request).await })
    }

    /// Sends the request and gathers the answer, whatever its status: a redirect is not followed.
    ///
    /// # Errors
    /// There is no answer in time, or none that fits. No error shows the URL: it may hold a key.
    pub async fn ask(&self, request: OutsideRequest) -> Result<Answer, CallError> {
        let limit = request.timeout;
        timeout(limit, self.exchange(request)).await.unwrap_or(Err(CallError::TimedOut(limit)))
    }

    async fn exchange(&self, request: OutsideRequest) -> Result<Answer, CallError> {
        let destination = Destination::parse(&request.url).map_err(CallError::Failed)?;
        let connection = self.connect(&destination, &request).await.map_err(CallError::Failed)?;
        let Connection { lease, attempt, proxy } = connection;
        let failed = |mut error: Box<Error>| {
            attempt.explain(&mut error);
            match error.etype() {
                ErrorType::ReadTimedout => CallError::TimedOut(request.timeout),
                _ => CallError::Failed(text_of(&error)),
            }
        };
        let head = destination.head(&request, proxy.as_ref()).map_err(failed)?;
        let head = RequestHead::made(head).absolute(proxy.is_some());
        let mut conversation = Conversation::begin(Box::new(Http1::new(lease)), head, request.body).map_err(failed)?;
        let answer = conversation.head().await.map_err(failed)?;
        let body = conversation.gather(request.max_body).await.map_err(|not| match not {
            NotGathered::TooLarge => CallError::TooLarge(request.max_body),
            NotGathered::Failed(error) => failed(error),
        })?;
        let head = http::response::Parts::from(*answer);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// A connection to the destination, or to the proxy that the environment names for it.
    async fn connect(&self, to: &Destination, request: &OutsideRequest) -> Result<Connection, String> {
        let proxy = self.0.proxies.of(&to.uri)?;
        let addresses = match &proxy {
            // Who a proxy resolves the name to is the proxy's to say.
            Some(proxy) => resolve(&proxy.host, proxy.port, Addresses::Any).await?,
            None => resolve(&to.host, to.port, request.addresses).await?,
        };
        let tls = if to.is_tls { Some((self.tls()?, to.server_name()?)) } else { None };
        let tunnel = proxy.as_ref().filter(|_| to.is_tls).map(|proxy| to.tunnel(proxy));
        let silence = Silence { first_byte: request.timeout, later: request.timeout };
        let asked = Asked { is_head: request.method == Method::HEAD, upgrade: false };
        let params = AttemptParams { asked, silence, idle: Duration::ZERO };
        let (lease, attempt) = first(&addresses, tls, tunnel, params).await?;
        Ok(Connection { lease, attempt, proxy: proxy.filter(|_| !to.is_tls) })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let make = || {
            let mut config = client_config(self.0.roots.clone(), None, true)?;
            config.alpn_protocols = vec![b"http/1.1".into()];
            Ok(Arc::new(config))
        };
        self.0.tls.get_or_init(make).clone()
    }
}

/// A connection for one request.
struct Connection {
    lease: ConnectionLease,
    attempt: Arc<UpstreamAttempt>,
    /// Who is at its other end, and is to be told where the request goes.
    proxy: Option<Proxy>,
}

/// A connection to the first of these addresses that takes one. Each has its share of the time.
async fn first(
    addresses: &[SocketAddr],
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    tunnel: Option<Tunnel>,
    params: AttemptParams,
) -> Result<(ConnectionLease, Arc<UpstreamAttempt>), String> {
    let until = Instant::now() + CONNECT;
    let mut failed = String::from("the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(Instant::now()) / others;
        let attempt =
            UpstreamAttempt::new(Arc::new(dial(*address, tls.clone(), share).through(tunnel.clone())), params);
        match ConnectionLease::open(&attempt).await {
            Ok(lease) => return Ok((lease, attempt)),
            Err(error) => failed = text_of(&error),
        }
    }
    Err(failed)
}

fn dial(address: SocketAddr, tls: Option<(Arc<ClientConfig>, ServerName<'static>)>, connect: Duration) -> Dial {
    let connect = units::Duration::from_millis(u64::try_from(connect.as_millis()).unwrap_or(u64::MAX));
    Dial::new(address, tls, Timeouts { connect, ..Timeouts::default() }, 0).uncounted()
}

/// Whom to ask, and for what.
#[derive(Debug)]
struct Destination {
    host: Host,
    port: u16,
    is_tls: bool,
    uri: Uri,
}

impl Destination {
    /// # Errors
    /// Why it is not asked; without the text, which may hold a key.
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("no URL that can be fetched: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only URLs with http and https are fetched".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a name or a password is not fetched".to_owned());
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("a URL without a host is not fetched".to_owned());
        };
        let host = host.to_owned();
        let uri = Uri::try_from(&url[..Position::AfterQuery]);
        let uri = uri.map_err(|error| format!("no URL that HTTP can carry: {error}"))?;
        Ok(Self { host, port, is_tls: url.scheme() == "https", uri })
    }

    /// The head of a request for it.
    fn head(&self, request: &OutsideRequest, proxy: Option<&Proxy>) -> pingora::Result<RequestHeader> {
        let mut head = RequestHeader::build_no_case(request.method.clone(), b"/", Some(8))?;
        head.set_uri(self.uri.clone());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        head.insert_header(header::HOST, host)?;
        for (name, value) in &request.headers {
            head.append_header(name.clone(), value.clone())?;
        }
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            head.insert_header(header::PROXY_AUTHORIZATION, authorization.clone())?;
        }
        // Nobody needs it afterwards.
        head.insert_header(header::CONNECTION, "close")?;
        Ok(head)
    }

    /// Who it must prove to be.
    fn server_name(&self) -> Result<ServerName<'static>, String> {
        match &self.host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| format!("{name} is no name that a certificate could be for")),
            Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
            Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        }
    }

    fn tunnel(&self, proxy: &Proxy) -> Tunnel {
        Tunnel::new(format!("{}:{}", self.host, self.port), proxy.authorization.clone())
    }
}

#[cfg(test)]
mod tests;
