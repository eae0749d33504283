//! How connections to Redis are got: from one server, from Sentinel's master, from a cluster; in clear or over TLS.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::{self, Secret, Url};
use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates,
};

use super::config::Redis;
use super::link::Connection;

/// Requests that wait on one connection at most; more wait for a place, within their deadline.
const IN_FLIGHT: usize = 1024;
/// The client's own bound, for what the background waits for; requests have a shorter one.
const LONGEST: Duration = Duration::from_secs(2);

/// More than any certificates.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// How to get connections.
pub(crate) enum Source {
    Single(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

impl Source {
    /// Reads the settings; nothing is connected yet. With a number that is another one when a password or a certificate is.
    pub(crate) fn new(redis: &Redis, host: &Host) -> Result<(Self, u64), BuildError> {
        let at = |key: &str| format!("store.redis.{key}");
        let ways = [redis.url.is_some(), redis.sentinel.is_some(), !redis.cluster.is_empty()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            let message = "expected one of url, sentinel and cluster: redis: { url: \"redis://redis.internal:6379\" }";
            return Err(BuildError::at("store.redis", message));
        }
        let password = redis.password.as_ref().map(|password| host.secret(password, &at("password"))).transpose()?;
        let terms = Terms { username: redis.username.clone(), password, tls: certificates(redis, host)? };
        let which = terms.which();
        Ok((Self::of(redis, terms)?, which))
    }

    fn of(redis: &Redis, terms: Terms) -> Result<Self, BuildError> {
        let at = |key: &str| format!("store.redis.{key}");
        if let Some(url) = &redis.url {
            let info = terms.apply(info(url, &at("url"))?);
            let client = match (&terms.tls, is_tls(&info)) {
                (Some(certificates), true) => Client::build_with_tls(info, certificates.clone()),
                (Some(_), false) => return Err(in_clear(&at("url"))),
                (None, _) => Client::open(info),
            };
            return client
                .map(|client| Self::Single(Box::new(client)))
                .map_err(|error| BuildError::at(at("url"), error.to_string()));
        }
        if let Some(sentinel) = &redis.sentinel {
            return terms.sentinel(&sentinel.master, &sentinel.urls, &at("sentinel"));
        }
        terms.cluster(&redis.cluster, &at("cluster"))
    }

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LONGEST))
            .set_response_timeout(Some(LONGEST))
            .set_concurrency_limit(IN_FLIGHT);
        Ok(match self {
            Self::Single(client) => {
                Connection::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Sentinel(client) => {
                Connection::Single(client.lock().await.get_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }
}

/// What holds for every server.
struct Terms {
    username: Option<String>,
    password: Option<Secret>,
    tls: Option<TlsCertificates>,
}

impl Terms {
    /// By what they are known, whichever files they came from.
    fn which(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.password.as_ref().map(Secret::expose).hash(&mut hasher);
        let client = self.tls.iter().flat_map(|tls| &tls.client_tls);
        let pair = client.flat_map(|client| [&client.client_cert, &client.client_key]);
        pair.chain(self.tls.iter().flat_map(|tls| &tls.root_cert)).for_each(|file| file.hash(&mut hasher));
        hasher.finish()
    }

    fn apply(&self, info: ConnectionInfo) -> ConnectionInfo {
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.expose());
        }
        info.set_redis_settings(settings)
    }

    fn sentinel(self, master: &str, urls: &[Url], at: &str) -> Result<Source, BuildError> {
        let infos = urls.iter().enumerate().map(|(index, url)| info(url, &format!("{at}.urls[{index}]")));
        let infos = infos.collect::<Result<Vec<_>, _>>()?;
        let tls = infos.iter().any(is_tls);
        if self.tls.is_some() && !tls {
            return Err(in_clear(&format!("{at}.urls")));
        }
        let addresses = infos.iter().map(|info| info.addr().clone());
        let failed = |error: redis::RedisError| BuildError::at(at, error.to_string());
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master).map_err(failed)?;
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        if tls {
            builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
        }
        if let Some(certificates) = self.tls {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
            builder = builder.set_client_to_sentinel_certificates(certificates);
        }
        let client = builder.build().map_err(failed)?;
        Ok(Source::Sentinel(Box::new(tokio::sync::Mutex::new(client))))
    }

    fn cluster(self, urls: &[Url], at: &str) -> Result<Source, BuildError> {
        let infos = urls.iter().enumerate().map(|(index, url)| info(url, &format!("{at}[{index}]")));
        let infos = infos.map(|info| info.map(|info| self.apply(info))).collect::<Result<Vec<_>, _>>()?;
        if self.tls.is_some() && !infos.iter().all(is_tls) {
            return Err(in_clear(at));
        }
        let mut builder = ClusterClient::builder(infos)
            .connection_timeout(LONGEST)
            .response_timeout(LONGEST)
            .connection_concurrency_limit(IN_FLIGHT);
        if let Some(certificates) = self.tls {
            builder = builder.certs(certificates);
        }
        let client = builder.build().map_err(|error| BuildError::at(at, error.to_string()))?;
        Ok(Source::Cluster(Box::new(client)))
    }
}

/// Whom to trust, and what to show; `None` where nothing is said.
fn certificates(redis: &Redis, host: &Host) -> Result<Option<TlsCertificates>, BuildError> {
    let read = |key: &str, file: &Option<String>| {
        let read = file.as_ref().map(|file| {
            let (path, at) = (host.folder().join(file), format!("store.redis.{key}"));
            units::file::read(&path, MAX_FILE_BYTES)
                .map_err(|error| BuildError::at(at, format!("{}: {error}", path.display())))
        });
        read.transpose()
    };
    let root_cert = read("ca", &redis.ca)?;
    let client_tls = match (read("cert", &redis.cert)?, read("key", &redis.key)?) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(BuildError::at("store.redis.cert", "a certificate needs its key; add key: redis.key"));
        }
        (None, Some(_)) => {
            return Err(BuildError::at("store.redis.key", "a key needs its certificate; add cert: redis.crt"));
        }
    };
    Ok((root_cert.is_some() || client_tls.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}

fn in_clear(at: &str) -> BuildError {
    BuildError::at(at, "ca, cert and key are for TLS: write rediss:// here")
}

fn info(url: &Url, at: &str) -> Result<ConnectionInfo, BuildError> {
    let wrong = || BuildError::at(at, "not the URL of a Redis; write redis://host:port, or rediss://host:port for TLS");
    // The text is not repeated, nor what the client says of it: a password may stand in the query as well.
    let info = url.expose().into_connection_info().map_err(|_| wrong())?;
    if info.redis_settings().password().is_some() {
        let message =
            "a password does not belong into the URL; write username and password: env:REDIS_PASSWORD beside it";
        return Err(BuildError::at(at, message));
    }
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err(BuildError::at(at, "#insecure would let anybody be the Redis; name its certificate under ca"));
    }
    if is_tls(&info) {
        // One provider of cryptography for the process; the client takes whichever is there. It is an error only if another
        // was chosen before, which is as good.
        let _already = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    Ok(info)
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}
