//! Bare Pingora, for `make bench`: what its own listening service does with everything sent to one target.
//! usage: bare LISTEN TARGET [THREADS]

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::Result;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Everything(SocketAddr);

#[async_trait]
impl ProxyHttp for Everything {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

#[expect(clippy::expect_used, reason = "a bench program")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().expect("LISTEN");
    let target = arguments.next().and_then(|target| target.parse().ok()).expect("TARGET");
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(2);
    let conf = ServerConf { threads, work_stealing: false, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Everything(target));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
