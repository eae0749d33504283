//! Certificates that the gateway gets by itself, from an authority that this project did not write.

use std::path::PathBuf;
use std::time::Duration;

use portreeve_tests::servers::reserve;
use portreeve_tests::{Authority, BINDING, Certificates, Gateway, Pebble, Secure, TlsClient, until};

const NAMES: &str = "acme: [api.example.com, www.example.com]";
const ROUTE: &str = "routes: [{ name: all, match: { path: '/**' }, public: true, respond: { status: 200, body: ok } }]";

/// Two listeners, one in clear and one with this in its `tls`.
fn listening(clear: &str, secure: &str, tls: &str) -> String {
    format!(
        "listeners:\n  - {{ name: clear, bind: '{clear}', redirect_to_https: true }}\n  - {{ name: secure, bind: '{secure}', tls: {{ {tls} }} }}\n"
    )
}

/// A gateway that is up before its authority, which must know its ports.
struct Site {
    gateway: Gateway,
    files: Certificates,
    /// A certificate that is not got by itself.
    own: String,
}

impl Site {
    async fn new() -> Self {
        Self::at("127.0.0.1:0", "127.0.0.1:0", Certificates::new()).await
    }

    async fn at(clear: &str, secure: &str, files: Certificates) -> Self {
        let own = format!("certificates: [{}]", files.put("own", &Authority::new("Own").certify(&["own.example.com"])));
        let gateway = Gateway::spawn(&(listening(clear, secure, &own) + ROUTE)).await;
        Self { gateway, files, own }
    }

    fn store(&self) -> PathBuf {
        self.files.path("store")
    }

    /// Wants certificates from here on: with this in `tls`, and this in `acme`.
    async fn wants(&self, authority: &Pebble, tls: &str, more: &str) -> Result<u64, String> {
        self.wants_by(&authority.section(&self.store(), more), tls).await
    }

    /// The same by this `acme` section.
    async fn wants_by(&self, section: &str, tls: &str) -> Result<u64, String> {
        let (clear, secure) = (self.bound("clear"), self.bound("secure"));
        self.gateway.reload(&(listening(&clear, &secure, tls) + section + ROUTE)).await
    }

    /// As its file has it.
    fn bound(&self, listener: &str) -> String {
        let text = std::fs::read_to_string(self.gateway.file()).unwrap();
        let bind = text.split_once(&format!("name: {listener}, bind: '")).unwrap().1;
        bind.split_once('\'').unwrap().0.to_owned()
    }

    async fn connect(&self, client: &TlsClient) -> std::io::Result<Secure> {
        client.connect(self.gateway.listener("secure"), "api.example.com").await
    }

    async fn shows_one(&self, client: &TlsClient) -> Secure {
        until("a certificate is shown", async || self.connect(client).await.ok()).await
    }

    /// The file of the certificate in the store.
    fn kept(&self) -> PathBuf {
        let folder = std::fs::read_dir(self.store()).unwrap().next().unwrap().unwrap().path();
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.into_iter().find(|file| file.extension().is_some_and(|ending| ending == "pem")).unwrap()
    }

    async fn orders(&self, outcome: &str) -> u64 {
        let text = self.gateway.admin().get("/metrics").await.text();
        let ours = format!("outcome=\"{outcome}\"}}");
        let lines =
            text.lines().filter(|line| line.starts_with("portreeve_acme_orders_total{") && line.contains(&ours));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_got_over_http_and_takes_effect_without_a_reload() {
    let site = Site::new().await;
    let authority = Pebble::start(site.gateway.listener("clear"), site.gateway.listener("secure")).await;
    let client = TlsClient::trusting(authority.root(), None);
    authority.pause().await;
    assert_eq!(site.wants(&authority, &format!("{NAMES}, {}", site.own), "").await, Ok(2));

    site.connect(&client).await.unwrap_err();
    let refused = "portreeve_connections_refused_total{listener=\"secure\",reason=\"no_certificate\"}";
    until("it is counted", async || site.gateway.admin().metric(refused).await.filter(|count| *count >= 1.0)).await;
    let other = site.gateway.ask("GET", "/.well-known/acme-challenge/unknown").header("host", "api.example.com").await;
    assert_eq!(other.status, 308, "what nobody asked for is redirected like anything else");

    authority.resume().await;
    let mut secure = site.shows_one(&client).await;
    assert_eq!(secure.get("api.example.com", "/").await.unwrap().text(), "ok");
    client.connect(site.gateway.listener("secure"), "www.example.com").await.unwrap();
    until("it is counted", async || (site.orders("issued").await >= 1).then_some(())).await;
    assert_eq!(site.gateway.admin().metric("portreeve_config_generation").await, Some(2.0));
    let expiry = format!(
        "portreeve_certificate_expiry_seconds{{certificate=\"{}\",listener=\"secure\"}}",
        site.kept().display()
    );
    assert!(site.gateway.admin().metric(&expiry).await.is_some());

    // While a name more is asked for, the others keep what they have.
    authority.pause().await;
    let more = NAMES.replace(']', ", new.example.com]");
    assert_eq!(site.wants(&authority, &format!("{more}, {}", site.own), "").await, Ok(3));
    assert_eq!(site.connect(&client).await.unwrap().leaf(), secure.leaf());
    client.connect(site.gateway.listener("secure"), "new.example.com").await.unwrap_err();
    authority.resume().await;
    let new = async || client.connect(site.gateway.listener("secure"), "new.example.com").await.ok();
    until("the new name is shown", new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_got_in_the_handshake_even_where_clients_must_show_one() {
    let site = Site::new().await;
    let authority = Pebble::binding(site.gateway.listener("clear"), site.gateway.listener("secure")).await;
    let clients = Authority::new("Clients");
    let ca = site.files.write("clients.crt", clients.pem());
    site.files.write("binding", BINDING.1);
    let tls = format!("{NAMES}, client_auth: {{ ca: '{}', mode: require }}", ca.display());
    let key = site.files.path("binding");
    let more = format!(", challenge: tls-alpn-01, eab: {{ kid: {}, key: 'file:{}' }}", BINDING.0, key.display());
    site.wants(&authority, &tls, &more).await.unwrap();
    let client = TlsClient::trusting(authority.root(), Some(&clients.certify(&["billing.test"])));
    let mut secure = site.shows_one(&client).await;
    assert_eq!(secure.get("api.example.com", "/").await.unwrap().text(), "ok");
    let looked = "portreeve_connections_refused_total{listener=\"secure\",reason=\"acme_challenge\"}";
    until("it is counted", async || site.gateway.admin().metric(looked).await.filter(|count| *count >= 2.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_counted_and_another_section_is_tried_at_once() {
    let site = Site::new().await;
    // It looks for pages where the gateway speaks TLS.
    let authority = Pebble::start(site.gateway.listener("secure"), site.gateway.listener("secure")).await;
    let client = TlsClient::trusting(authority.root(), None);
    site.wants(&authority, NAMES, "").await.unwrap();
    until("a refusal", async || (site.orders("refused").await >= 1).then_some(())).await;
    site.connect(&client).await.unwrap_err();
    assert_eq!(site.gateway.ask("GET", "/").header("host", "api.example.com").await.status, 308);

    // A reload that does not touch the section is no reason to try again.
    site.wants(&authority, &format!("{NAMES}, http2: false"), "").await.unwrap();
    assert_eq!((site.orders("refused").await, site.orders("issued").await), (1, 0));

    let more = ", challenge: tls-alpn-01, contact: ['mailto:ops@example.com']";
    site.wants(&authority, NAMES, more).await.unwrap();
    site.shows_one(&client).await;
    assert_eq!(site.orders("refused").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_shows_what_the_store_has_and_renews_what_is_old() {
    let ((_clear, clear), (_secure, secure)) = (reserve(), reserve());
    let (clear_text, secure_text) = (clear.to_string(), secure.to_string());
    let site = async |files| Site::at(&clear_text, &secure_text, files).await;
    let first = site(Certificates::new()).await;
    let authority = Pebble::start(clear, secure).await;
    let client = TlsClient::trusting(authority.root(), None);
    first.wants(&authority, NAMES, "").await.unwrap();
    let shown = first.shows_one(&client).await.leaf();
    until("it is kept", async || (first.orders("issued").await >= 1).then_some(())).await;
    let kept = first.kept();
    let Site { gateway, files, .. } = first;
    gateway.running().stop(Duration::ZERO, Duration::ZERO).await;
    let second = site(files).await;

    authority.pause().await;
    let good = std::fs::read(&kept).unwrap();
    second.files.write("half", &good[..good.len() / 2]);
    std::fs::copy(second.files.path("half"), &kept).unwrap();
    let error = second.wants(&authority, NAMES, "").await.unwrap_err();
    assert!(error.contains("acme.store") && error.contains("move it away to have another"), "{error}");

    std::fs::write(&kept, &good).unwrap();
    second.wants(&authority, NAMES, "").await.unwrap();
    assert_eq!(second.connect(&client).await.unwrap().leaf(), shown, "at once, while the authority is silent");

    // Another gateway, whose certificate has had more than two thirds of its time.
    let Site { gateway, files, .. } = second;
    gateway.running().stop(Duration::ZERO, Duration::ZERO).await;
    let third = site(files).await;
    let old = Authority::new("Old");
    let next_year = 1971 + i32::try_from(now() / (365 * 24 * 60 * 60 + 6 * 60 * 60)).unwrap();
    let aged = old.certify_until(&["api.example.com", "www.example.com"], next_year);
    std::fs::write(&kept, aged.key.clone() + &aged.pem).unwrap();
    third.wants(&authority, NAMES, "").await.unwrap();
    let mut before = third.connect(&TlsClient::new(&old)).await.unwrap();
    assert!(before.was_shown(&aged));
    authority.resume().await;
    let renewed = third.shows_one(&client).await.leaf();
    assert_ne!(renewed, shown);
    assert_eq!(before.get("api.example.com", "/").await.unwrap().text(), "ok", "its connection is not touched");
    until("it is kept", async || (third.orders("issued").await >= 1).then_some(())).await;
    assert_ne!(std::fs::read(&kept).unwrap(), (aged.key + &aged.pem).into_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_when_its_authority_says_so_however_new_it_is() {
    let ((_clear, clear), (_secure, secure)) = (reserve(), reserve());
    let (clear_text, secure_text) = (clear.to_string(), secure.to_string());
    let authority = Pebble::start(clear, secure).await;
    let suggesting = authority.suggesting(["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"]).await;
    let client = TlsClient::trusting(authority.root(), None);
    let first = Site::at(&clear_text, &secure_text, Certificates::new()).await;
    let section = suggesting.before(&authority.section(&first.store(), ""));
    first.wants_by(&section, NAMES).await.unwrap();
    let shown = first.shows_one(&client).await.leaf();
    until("it is kept", async || (first.orders("issued").await >= 1).then_some(())).await;
    let Site { gateway, files, .. } = first;
    gateway.running().stop(Duration::ZERO, Duration::ZERO).await;

    let second = Site::at(&clear_text, &secure_text, files).await;
    second.wants_by(&section, NAMES).await.unwrap();
    until("it is renewed", async || (second.orders("issued").await >= 1).then_some(())).await;
    assert_ne!(second.shows_one(&client).await.leaf(), shown);
    // The one that has just been issued is not asked about at once, or an authority that is wrong would be asked without end.
    let asked = suggesting.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    // Who issued it, and its serial number (RFC 9773 §4.1).
    assert!(asked[0].split('.').filter(|part| !part.is_empty()).count() == 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_waiting_for_what_failed_until_the_section_is_another() {
    let ((_clear, clear), (_secure, secure)) = (reserve(), reserve());
    let (clear_text, secure_text) = (clear.to_string(), secure.to_string());
    let first = Site::at(&clear_text, &secure_text, Certificates::new()).await;
    // It looks for pages where the gateway speaks TLS.
    let authority = Pebble::start(secure, secure).await;
    let waiting = |site: &Site| {
        let folder = std::fs::read_dir(site.store()).unwrap().next().unwrap().unwrap().path();
        let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.find(|file| file.to_string_lossy().ends_with(".waiting.json"))
    };
    first.wants(&authority, NAMES, "").await.unwrap();
    until("a refusal", async || (first.orders("refused").await >= 1).then_some(())).await;
    until("it is kept", async || waiting(&first)).await;

    let Site { gateway, files, .. } = first;
    gateway.running().stop(Duration::ZERO, Duration::ZERO).await;
    let second = Site::at(&clear_text, &secure_text, files).await;
    second.wants(&authority, NAMES, "").await.unwrap();
    // Orders are made one after the other: one that was begun by the restart would be counted before this.
    second.wants(&authority, NAMES, ", challenge: tls-alpn-01").await.unwrap();
    second.shows_one(&TlsClient::trusting(authority.root(), None)).await;
    until("it is counted", async || (second.orders("issued").await >= 1).then_some(())).await;
    assert_eq!(second.orders("refused").await, 0);
    assert_eq!(waiting(&second), None);
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
