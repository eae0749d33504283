//! A plugin that goes by the client's certificate, tried without a handshake.

use std::time::SystemTime;

use portreeve_plugin::prelude::*;
use portreeve_plugin::testing::Probe;
use portreeve_plugin::{ClientCertificate, TlsVersion};
use serde_json::json;

/// Lets in who shows a certificate with this name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The name, its kind before it.
    name: String,
}

#[async_trait]
impl Plugin for Named {
    async fn on_request(&self, cx: &mut RequestCx<'_>) -> Result<Flow> {
        let certificate = cx.tls().and_then(|tls| tls.client_certificate.as_ref());
        match certificate {
            Some(certificate) if certificate.names.iter().any(|name| **name == *self.name) => {
                let fingerprint = HeaderValue::from_str(&certificate.fingerprint())?;
                cx.set_header(HeaderName::from_static("x-fingerprint"), fingerprint);
                Ok(Flow::Continue)
            }
            _ => Ok(Reply::status(StatusCode::FORBIDDEN).into()),
        }
    }

    async fn on_response(&self, cx: &mut ResponseCx<'_>) -> Result<()> {
        let version = cx.tls().map_or("clear", |tls| tls.version.as_str());
        cx.set_header(HeaderName::from_static("x-version"), HeaderValue::from_static(version));
        Ok(())
    }
}

impl Build for Named {
    const NAME: &'static str = "named";
    type Config = Self;

    fn build(config: Self, _host: &Host) -> Result<Self, BuildError> {
        Ok(config)
    }
}

#[test]
fn a_test_says_on_what_connection_a_request_comes() {
    let probe = Probe::<Named>::new(json!({ "name": "DNS:billing.internal" }));
    let billing =
        ClientCertificate::new("CN=billing", [0xab; 32], SystemTime::UNIX_EPOCH).with_name("DNS:billing.internal");
    let tls = || ClientTls::new(TlsVersion::V1_3).asking_for("API.example.com");
    assert_eq!(tls().server_name.as_deref(), Some("api.example.com"));

    let sent = probe.get("/").tls(tls().with_certificate(billing)).send();
    assert_eq!(sent.forwarded().header("x-fingerprint"), Some("ab".repeat(32).as_str()));
    assert_eq!(sent.respond(200, &[], "").header("x-version"), Some("TLSv1.3"));

    for request in [probe.get("/"), probe.get("/").tls(tls())] {
        assert_eq!(request.send().refused().status, StatusCode::FORBIDDEN);
    }
}
