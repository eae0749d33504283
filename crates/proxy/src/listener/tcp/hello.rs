//! What a client of TLS says first, read without answering it: only to see which name it asks for. The bytes go on as they came.
//!
//! The reader is rustls' own (`Acceptor`), which is fed copies: strict, and what the gateway uses where it ends TLS itself.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::server::Acceptor;

use super::super::tls::HandshakeError;

/// Most bytes of a first message. With keys of post-quantum kinds it is about 2 KiB.
const MAX_HELLO: usize = 16 * 1024;

/// Reads until the name is known. `early` are the bytes that came already, and gets those that are read; all of them are the
/// connection's own. Has no deadline of its own.
///
/// # Errors
/// In one word of a closed set, why it never will be.
pub(in super::super) async fn read<Io>(io: &mut Io, early: &mut Vec<u8>) -> Result<Option<Box<str>>, &'static str>
where
    Io: AsyncRead + Unpin,
{
    let mut hello = Hello::default();
    let mut fed = 0;
    loop {
        if let Heard::All(name) = hello.feed(early.get(fed..).unwrap_or_default()).map_err(|error| why(&error))? {
            return Ok(name);
        }
        fed = early.len();
        let left = MAX_HELLO.saturating_sub(fed);
        if left == 0 {
            return Err("client_hello_too_long");
        }
        let mut bounded = (&mut *io).take(left as u64);
        if bounded.read_buf(early).await.map_err(|_| "closed")? == 0 {
            return Err("closed");
        }
    }
}

fn why(error: &Error) -> &'static str {
    HandshakeError::from(io::Error::new(io::ErrorKind::InvalidData, error.clone())).reason()
}

/// What has come of a first message.
#[derive(Debug, PartialEq)]
enum Heard {
    /// Not all of it.
    Part,
    /// All: the name in lower case, if it has one.
    All(Option<Box<str>>),
}

/// A first message as it comes in.
#[derive(Default)]
struct Hello(Acceptor);

impl Hello {
    /// Takes the next bytes.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<Heard, Error> {
        while !bytes.is_empty() {
            // From memory: it fails only over a message that is too long for its buffer.
            self.0.read_tls(&mut bytes).map_err(|error| Error::General(error.to_string()))?;
            if let Some(accepted) = self.0.accept().map_err(|(error, _)| error)? {
                return Ok(Heard::All(accepted.client_hello().server_name().map(Box::from)));
            }
        }
        Ok(Heard::Part)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// What rustls says first to a server of this name.
    fn said(name: &'static str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn fed(chunks: &[&[u8]]) -> Result<Heard, Error> {
        let mut hello = Hello::default();
        for chunk in chunks {
            let heard = hello.feed(chunk)?;
            if heard != Heard::Part {
                return Ok(heard);
            }
        }
        Ok(Heard::Part)
    }

    #[tokio::test]
    async fn the_name_is_read_and_every_byte_is_kept() {
        let (bytes, mut early) = (said("DB.example.com"), Vec::new());
        let more = [&bytes[..], b"early data"].concat();
        let name = read(&mut &more[..], &mut early).await.unwrap();
        assert_eq!(name.as_deref(), Some("db.example.com"));
        assert_eq!(more[..early.len()], early);
        let mut all = bytes.clone();
        assert_eq!(read(&mut &b""[..], &mut all).await.unwrap().as_deref(), Some("db.example.com"));
        assert_eq!(all, bytes);
    }

    #[tokio::test]
    async fn an_address_is_no_name() {
        assert_eq!(read(&mut &said("10.0.0.7")[..], &mut Vec::new()).await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_not_tls_is_told_at_once_and_what_never_ends_is_bounded() {
        let refused = async |mut bytes: &[u8]| read(&mut bytes, &mut Vec::new()).await.unwrap_err();
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n").await, "not_tls");
        assert_eq!(refused(b"\x16\x03\x01").await, "closed");
        // A message that says it has 60,000 bytes, in records as small as they may be.
        let mut endless = b"\x16\x03\x01\x00\x04\x01\x00\xea\x60".to_vec();
        for _ in 0..4_000 {
            endless.extend_from_slice(b"\x16\x03\x01\x00\x01\x00");
        }
        let mut early = Vec::new();
        assert_eq!(read(&mut &endless[..], &mut early).await, Err("client_hello_too_long"));
        assert_eq!(early.len(), MAX_HELLO);
    }

    proptest! {
        #[test]
        fn how_a_message_is_cut_up_makes_no_difference(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
            let bytes = said("db.example.com");
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(fed(&chunks), Ok(Heard::All(Some("db.example.com".into()))));
        }

        #[test]
        fn bytes_that_were_changed_are_refused_or_read_and_never_more(
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            rest in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = said("db.example.com");
            let place = place.index(bytes.len());
            bytes[place] = byte;
            bytes.splice(place + 1..(place + 1 + rest.len()).min(bytes.len()), rest);
            // Whatever comes of it comes without a panic, and the same in one piece and byte by byte.
            let whole = fed(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let is_read = |heard: Result<Heard, Error>| heard.is_ok_and(|heard| heard != Heard::Part);
            prop_assert_eq!(is_read(whole), is_read(fed(&single)));
        }
    }
}
