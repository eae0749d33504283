//! A small authoritative DNS server over UDP, written from RFC 1035 so that the gateway's resolver is not tested with itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
/// Seconds that "there is none" holds.
const NEGATIVE_TTL: u32 = 60;

/// Answers for the names that a test gives it, on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Zone>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Zone {
    records: Mutex<HashMap<(String, u16), Records>>,
    questions: Mutex<Vec<String>>,
    is_silent: Mutex<bool>,
}

#[derive(Debug, Clone, Default)]
struct Records {
    ttl: u32,
    data: Vec<Vec<u8>>,
}

impl Dns {
    /// Listens.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, zone) = (socket.local_addr().unwrap(), Arc::<Zone>::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, zone.clone()));
        Self { address, zone, _serving: serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name stands for these addresses from now on, for so many seconds.
    ///
    /// # Panics
    /// When one of them is no address.
    pub fn is(&self, name: &str, ttl: u32, ips: &[&str]) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for ip in ips {
            match ip.parse().unwrap() {
                IpAddr::V4(ip) => v4.push(ip.octets().to_vec()),
                IpAddr::V6(ip) => v6.push(ip.octets().to_vec()),
            }
        }
        self.put(name, A, ttl, v4);
        self.put(name, AAAA, ttl, v6);
    }

    /// A service is offered so from now on, for so many seconds: priority, weight, port and host of each record.
    pub fn serves(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let data = records.iter().map(|(priority, weight, port, host)| {
            [&priority.to_be_bytes()[..], &weight.to_be_bytes(), &port.to_be_bytes(), &labels(host)].concat()
        });
        self.put(name, SRV, ttl, data.collect());
    }

    fn put(&self, name: &str, kind: u16, ttl: u32, data: Vec<Vec<u8>>) {
        self.zone.records.lock().insert((name.to_owned(), kind), Records { ttl, data });
    }

    /// Knows nothing any more: every name is one that there is not (NXDOMAIN).
    pub fn forget(&self) {
        self.zone.records.lock().clear();
    }

    /// Whether it says nothing to anybody.
    pub fn be_silent(&self, is_silent: bool) {
        *self.zone.is_silent.lock() = is_silent;
    }

    /// The names of all questions so far.
    pub fn questions(&self) -> Vec<String> {
        self.zone.questions.lock().clone()
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Zone>) {
    let mut buffer = [0; 1_500];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = answer(&buffer[..length], &zone) {
            socket.send_to(&answer, from).await.ok();
        }
    }
}

/// RFC 1035 §4.1: the question again, and the records as they stand.
fn answer(message: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (mut at, mut name) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let name = name.join(".");
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    let question = message.get(12..at + 4)?;
    zone.questions.lock().push(name.clone());
    if *zone.is_silent.lock() {
        return None;
    }
    let all = zone.records.lock();
    let records = all.get(&(name.clone(), kind)).cloned().unwrap_or_default();
    let exists = all.keys().any(|(known, _)| *known == name);
    // An authoritative answer, recursion wanted and available; NXDOMAIN where there is no such name.
    let flags: u16 = 0x8580 | if exists { 0 } else { 3 };
    let count = u16::try_from(records.data.len()).ok()?;
    let mut answer =
        [message.get(..2)?, &flags.to_be_bytes(), &[0, 1], &count.to_be_bytes(), &[0; 4], question].concat();
    for data in records.data {
        // The name of the question, by reference; class IN.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(records.ttl.to_be_bytes());
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    if count == 0 {
        // How long it holds that there is nothing (RFC 2308 §3): an SOA record with two names that are the root.
        answer.extend([0xc0, 12, 0, 6, 0, 1]);
        answer.extend(NEGATIVE_TTL.to_be_bytes());
        answer.extend([0, 22, 0, 0]);
        (0..5).for_each(|_| answer.extend(NEGATIVE_TTL.to_be_bytes()));
    }
    Some(answer)
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
