//! HTTP/2 on a connection: Pingora's server with the limits of the listener.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::connection::Connection;
use super::terms::Terms;
use crate::phases::Phases;

/// Requests at once on one connection.
const STREAMS: u32 = 128;
/// Bytes of one request body that may be on the way before we have taken them, and of all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one answer that wait for a slow client.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams that the client gave up before they were served (rapid reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that the client made us give up (`MadeYouReset`, CVE-2025-8671).
const FORCED_RESETS: usize = 64;

/// Serves the requests of one connection as `proxy` does, with limits of its own.
struct Http2 {
    proxy: Arc<HttpProxy<Phases>>,
    options: HttpServerOptions,
    head_bytes: u32,
}

/// Serves a connection to its end.
pub(super) async fn serve(connection: Connection, proxy: &Arc<HttpProxy<Phases>>, terms: &Terms, stop: &ShutdownWatch) {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(terms.idle);
    let head_bytes = u32::try_from(terms.bounds.head_bytes).unwrap_or(u32::MAX);
    Arc::new(Http2 { proxy: proxy.clone(), options, head_bytes }).process_new(Box::new(connection), stop).await;
}

#[async_trait]
impl HttpServerApp for Http2 {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, shutdown).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    /// Bounds on what a client may make us hold and do (RFC 9113 §10.5). Pingora bounds malformed streams as well.
    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(self.head_bytes)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(Some(FORCED_RESETS));
        Some(options)
    }
}
