//! Speaking to the authority: the HTTP client of the engine's other fetches, with bounds, for the crate that knows ACME.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// For one answer, from the connection on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers are small documents and chains of certificates.
const MAX_BODY: usize = 1024 * 1024;

/// A client for one order.
pub(super) struct Client(reqwest::Client);

impl Client {
    /// That trusts these authorities, or those of this machine.
    ///
    /// # Errors
    /// When the machine has no authorities to trust.
    pub(super) fn new(trusted: Option<&[CertificateDer<'static>]>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            // Every resource is named by its own URL in the signature: one that has moved is another (RFC 8555 §6.4).
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .timeout(PATIENCE);
        let client = match trusted {
            None => client,
            Some(trusted) => {
                let trusted = trusted.iter().map(|der| reqwest::Certificate::from_der(der));
                client.tls_certs_only(trusted.collect::<Result<Vec<_>, _>>()?)
            }
        };
        Ok(Self(client.build()?))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Client {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let client = self.0.clone();
        Box::pin(async move {
            let other = |error: reqwest::Error| Error::Other(Box::new(error));
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(other)?;
            let mut answer = client.execute(request).await.map_err(other)?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(other)? {
                if body.len() + chunk.len() > MAX_BODY {
                    return Err(Error::Other(format!("an answer is longer than {MAX_BODY} bytes").into()));
                }
                body.extend_from_slice(&chunk);
            }
            let (mut parts, ()) = Response::new(()).into_parts();
            parts.status = answer.status();
            parts.headers = std::mem::take(answer.headers_mut());
            Ok(BytesResponse { parts, body: Box::new(body.freeze()) })
        })
    }
}
