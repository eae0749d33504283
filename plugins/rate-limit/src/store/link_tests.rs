//! A link to a server that this test plays: what becomes of it when its master has become a replica.

use std::sync::atomic::AtomicU32;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::meter::compile_all;
use crate::store::script::{Ask, Words};

/// A server that is a replica for its first connections, and counts them and the calls that it refuses. Of whatever it is
/// asked for it grants five.
#[derive(Clone, Default)]
pub(in crate::store) struct Fake {
    replica_for: u32,
    connections: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

impl Fake {
    /// Listens, and where.
    pub(in crate::store) async fn start(self) -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        tokio::spawn(self.serve(listener));
        Source::Single(Box::new(redis::Client::open(url).unwrap()))
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::spawn(self.clone().talk(client, number));
        }
    }

    async fn talk(self, client: TcpStream, number: u32) {
        let mut client = BufReader::new(client);
        while let Some(words) = command(&mut client).await {
            let answer = match words.first().map(String::as_str) {
                Some("PING") => "+PONG\r\n".to_owned(),
                Some("SCRIPT") => format!("$40\r\n{}\r\n", script().get_hash()),
                Some("EVALSHA") if number <= self.replica_for => {
                    self.calls.fetch_add(1, Ordering::Relaxed);
                    "-READONLY You can't write against a read only replica.\r\n".to_owned()
                }
                Some("EVALSHA") => "*5\r\n:5\r\n:0\r\n:0\r\n:4\r\n:1000\r\n".to_owned(),
                _ => "+OK\r\n".to_owned(),
            };
            if client.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Reads one command: an array of texts with their lengths.
async fn command(client: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(client).await? {
        let length = number(client).await?;
        let mut word = vec![0; length + 2];
        client.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
    }
    Some(words)
}

async fn number(client: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await.ok()?;
    line.trim().get(1..)?.parse().ok()
}

#[tokio::test]
async fn a_server_that_says_it_is_a_replica_is_left_though_it_answers_pings() {
    let fake = Fake { replica_for: 1, ..Fake::default() };
    let source = fake.clone().start().await;
    let (link, clock) = (Arc::new(Link::new(source, 1, Duration::from_secs(5))), Clock::system());
    tokio::spawn(link.clone().tend(clock.clone()));
    let limits = compile_all([&portreeve_plugin::Allowance {
        rates: vec!["5/s".parse().unwrap()],
        ..portreeve_plugin::Allowance::default()
    }])
    .unwrap();
    let call = || Words::new("portreeve", 7, &limits, Ask::Decide(1), 0).call(link.script());
    let error = link.ask(&call(), &clock).await.unwrap_err();
    assert!(matches!(&error, Failure::Failed(error) if error.code() == Some("READONLY")), "{error}");
    // Whoever comes next does not wait, until there is another connection.
    assert!(matches!(link.ask(&call(), &clock).await, Err(Failure::Down)));
    let answered = async {
        while link.ask(&call(), &clock).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("another connection");
    assert_eq!((fake.connections.load(Ordering::Relaxed), fake.calls.load(Ordering::Relaxed)), (2, 1));
}
