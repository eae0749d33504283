//! Speaking to the authority: the engine's client of outside URLs, for the crate that knows ACME.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use portreeve_plugin::Addresses;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::upstream::{Outside, OutsideRequest};

/// For one answer, from the connection on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers are small documents and chains of certificates.
const MAX_BODY: usize = 1024 * 1024;

/// A client for one order.
pub(super) struct Client(Outside);

impl Client {
    /// That trusts these authorities, or those of this machine.
    ///
    /// # Errors
    /// One of them cannot be an authority.
    pub(super) fn new(trusted: Option<&[CertificateDer<'static>]>) -> Result<Self, rustls::Error> {
        trusted.map_or_else(|| Ok(Outside::default()), Outside::trusting).map(Self)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Client {
    /// Every resource is named by its own URL in the signature: one that has moved is another (RFC 8555 §6.4), so that redirects
    /// are answers like any other.
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let client = self.0.clone();
        Box::pin(async move {
            let (asked, body) = request.into_parts();
            if asked.uri.scheme() != Some(&Scheme::HTTPS) {
                return Err(Error::Other("an authority is asked over https alone".into()));
            }
            let body = body.collect().await.map_err(|error| Error::Other(error.to_string().into()))?;
            let request = OutsideRequest {
                method: asked.method,
                url: asked.uri.to_string(),
                headers: asked.headers,
                body: body.to_bytes(),
                // The authority names them, over a connection on which it has proved who it is.
                addresses: Addresses::Any,
                timeout: PATIENCE,
                max_body: MAX_BODY,
            };
            let answer = client.ask(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            let (mut parts, ()) = Response::new(()).into_parts();
            parts.status = answer.status;
            parts.headers = answer.headers;
            Ok(BytesResponse { parts, body: Box::new(answer.body) })
        })
    }
}
