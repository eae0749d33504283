//! How the admin port takes connections and requests: all that strangers could hold up is bounded, in number, size and time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use portreeve_proxy::{ADMIN_CONNECTIONS, tell_not_accepted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::guests::Guests;
use super::{Shown, router, token};

/// For the first head, from the connection on.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// For the next head, from the end of the answer on: Prometheus asks every 15 s or every minute.
const NEXT_HEAD: Duration = Duration::from_secs(75);
/// For the rest of the request, and to make the answer.
const REQUEST: Duration = Duration::from_mins(1);
/// And for the client to take it.
const ANSWER: Duration = Duration::from_mins(1);
/// Bytes of a head.
const HEAD: usize = 16 * 1024;
/// Fields of a head.
const FIELDS: usize = 64;
/// Bytes of the body of a request.
pub(super) const BODY: usize = 64 * 1024;
/// After the system refused a socket, accepting rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How often at most it is told that the port is full.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// What the connections share.
struct Port {
    shown: Shown,
    router: TowerToHyperService<axum::Router>,
    guests: Mutex<Guests>,
}

/// Accepts until it is dropped; then its connections end with it.
pub(super) async fn serve(listener: TcpListener, shown: Shown) {
    let router = TowerToHyperService::new(router(shown.clone()));
    let port = Arc::new(Port { shown, router, guests: Mutex::default() });
    let mut open = JoinSet::new();
    let mut full_told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((io, from)) => {
                let mut guests = port.guests.lock();
                if guests.make_room(ADMIN_CONNECTIONS) {
                    let number = guests.number();
                    let task = open.spawn(converse(port.clone(), io, from, number));
                    guests.enter(number, from, task);
                } else if full_told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    full_told = Some(Instant::now());
                    tracing::warn!(
                        most = ADMIN_CONNECTIONS,
                        "The admin port has as many requests in hand as it takes at once."
                    );
                }
            }
            // The client gave up between the handshake and our accept.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tell_not_accepted(&error);
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(port: Arc<Port>, io: TcpStream, from: SocketAddr, number: u64) {
    talk(io, |request| {
        let port = port.clone();
        async move { port.answer(request, from, number).await }
    })
    .await;
}

/// One request after the other, each within its time.
async fn talk<I, A>(io: I, answer: impl Fn(Request<Body>) -> A)
where
    I: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response>,
{
    // In hyper's own time a client that takes nothing of its answer, and asks for no more, has no end.
    let until = Mutex::new(Instant::now() + FIRST_HEAD);
    let service = service_fn(|request: Request<Incoming>| {
        *until.lock() = Instant::now() + REQUEST + ANSWER;
        let answer = timeout(REQUEST, answer(request.map(Body::new)));
        async { Ok::<_, Infallible>(answer.await.unwrap_or_else(|_| late())) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD).max_headers(FIELDS).max_header_size(HEAD);
    let mut conversation = std::pin::pin!(http.serve_connection(TokioIo::new(io), service));
    loop {
        let end = *until.lock();
        tokio::select! {
            // Whatever it was that ended it: there is nobody to tell.
            _ = conversation.as_mut() => return,
            () = sleep_until(end) => if *until.lock() <= Instant::now() {
                return;
            }
        }
    }
}

fn late() -> Response {
    let how = "this takes longer than a minute; a reload goes on, and /api/v1/status tells what became of it\n";
    (StatusCode::GATEWAY_TIMEOUT, how).into_response()
}

impl Port {
    async fn answer(&self, mut request: Request<Body>, from: SocketAddr, number: u64) -> Response {
        if let Some(refusal) = token::refusal(&self.shown, &request) {
            return refusal;
        }
        if request.size_hint().lower() > BODY as u64 {
            return (StatusCode::PAYLOAD_TOO_LARGE, "nothing here takes so much\n").into_response();
        }
        let _in_hand = InHand::begin(self, number, !token::is_probe(&request));
        request.extensions_mut().insert(ConnectInfo(from));
        self.router.call(request).await.unwrap_or_else(|never| match never {})
    }
}

/// A request in hand, whatever ends it.
struct InHand<'p>(&'p Port, u64);

impl<'p> InHand<'p> {
    fn begin(port: &'p Port, number: u64, is_known: bool) -> Self {
        port.guests.lock().begins(number, is_known);
        Self(port, number)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.guests.lock().ends(self.1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Seconds until a connection ends on which this is said, and nothing of the answers is taken that does not fit `room`; and
    /// what had been answered by then.
    async fn lasts<A: Future<Output = Response>>(
        room: usize,
        said: &[u8],
        answer: impl Fn(Request<Body>) -> A,
    ) -> (u64, String) {
        let (mut client, port) = duplex(room);
        let begun = Instant::now();
        client.write_all(said).await.unwrap();
        talk(port, answer).await;
        let (seconds, mut answers) = (begun.elapsed().as_secs(), Vec::new());
        client.read_to_end(&mut answers).await.unwrap();
        (seconds, String::from_utf8_lossy(&answers).into_owned())
    }

    async fn ok(_: Request<Body>) -> Response {
        "ok".into_response()
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_not_all_of_a_head_is_let_go_in_time() {
        for said in ["", "GET / HTTP/1.1\r\nhost: loc", "GE"] {
            assert_eq!(lasts(1 << 20, said.as_bytes(), ok).await, (10, String::new()), "{said:?}");
        }
        let (seconds, answers) = lasts(1 << 20, GET.as_bytes(), ok).await;
        assert!(seconds == 75 && answers.starts_with("HTTP/1.1 200 "), "{seconds}: {answers}");
        let (seconds, _) = lasts(1 << 20, format!("{GET}GET / HT").as_bytes(), ok).await;
        assert_eq!(seconds, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_is_let_go_in_time() {
        let much = async |_| Response::new(Body::from(vec![b'x'; 1 << 20]));
        let closing = GET.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let (seconds, answers) = lasts(1 << 10, closing.as_bytes(), much).await;
        assert!(seconds == 120 && answers.len() == 1 << 10, "{seconds}");
        let (seconds, _) = lasts(1 << 10, GET.as_bytes(), much).await;
        assert!(seconds <= 120, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_too_long_is_504() {
        let never = |_| std::future::pending();
        let (_, answers) = lasts(1 << 20, GET.as_bytes(), never).await;
        assert!(answers.starts_with("HTTP/1.1 504 "), "{answers}");
        // As one that waits for a body that does not come.
        let reading = async |request: Request<Body>| match axum::body::to_bytes(request.into_body(), BODY).await {
            Ok(_) => StatusCode::OK.into_response(),
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        };
        let post = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc";
        let (seconds, answers) = lasts(1 << 20, post.as_bytes(), reading).await;
        assert!(seconds <= 120 && answers.starts_with("HTTP/1.1 504 "), "{seconds}: {answers}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_bounded() {
        let long = GET.replace("host", &format!("x-a: {}\r\nhost", "a".repeat(HEAD)));
        let many = GET.replace("host", &format!("{}host", "x-a: b\r\n".repeat(FIELDS)));
        for head in [long, many] {
            let (_, answers) = lasts(1 << 20, head.as_bytes(), ok).await;
            assert!(answers.starts_with("HTTP/1.1 431 "), "{answers}");
        }
    }
}
