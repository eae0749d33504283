//! Answers, case by case, with the section that decides.

use portreeve_wire::http1::{Answer, AnswerBody, Asked, At, Body, Bounds, Flaw, Refusal, Responses};

const PLAIN: Asked = Asked { is_head: false, upgrade: false };
const HEAD: Asked = Asked { is_head: true, upgrade: false };
const UPGRADE: Asked = Asked { is_head: false, upgrade: true };

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Reads pieces as the answer to one request: how many bytes it took, and the reader after them.
fn read<'a>(asked: Asked, pieces: impl IntoIterator<Item = &'a [u8]>) -> (usize, Result<At, Flaw>, Responses) {
    let mut responses = Responses::new(Bounds::default());
    responses.ask(asked);
    let mut taken = 0;
    'pieces: for mut piece in pieces {
        while !piece.is_empty() {
            match responses.read(piece) {
                Ok(progress) => {
                    taken += progress.taken;
                    piece = &piece[progress.taken..];
                    assert!(piece.is_empty() || progress.at == At::End || responses.is_past_interim());
                }
                Err(flaw) => {
                    assert_eq!(responses.read(b""), Err(flaw), "a flaw is for good");
                    assert_eq!(responses.end(), Err(flaw), "a flaw is for good");
                    return (taken, Err(flaw), responses);
                }
            }
            if responses.at() == At::End {
                break 'pieces;
            }
        }
    }
    let at = responses.at();
    (taken, Ok(at), responses)
}

#[test]
fn whatever_the_rfcs_allow_is_taken() {
    let ok = |body| Answer { status: 200, body, is_http10: false, is_persistent: true };
    let framed = |body| ok(AnswerBody::Framed(body));
    let (none, chunked) = (framed(Body::None), framed(Body::Chunked));
    for (section, asked, text, answer) in [
        ("RFC 9112 §6.3", PLAIN, "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", framed(Body::Length(3))),
        ("RFC 9112 §4 no reason", PLAIN, "HTTP/1.1 200 \nContent-Length: 0\n\n", framed(Body::Length(0))),
        (
            "RFC 9112 §4 any reason",
            PLAIN,
            "HTTP/1.1 299 a \tb é\nContent-Length: 0\n\n",
            Answer { status: 299, ..framed(Body::Length(0)) },
        ),
        ("RFC 9112 §7.1", PLAIN, "HTTP/1.1 200 OK\ntransfer-encoding: Chunked\n\n3;a=b\nabc\n0\nx: y\n\n", chunked),
        ("RFC 9112 §6.3 HEAD", HEAD, "HTTP/1.1 200 OK\nContent-Length: 3\n\n", none),
        ("RFC 9112 §6.3 HEAD", HEAD, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", none),
        ("RFC 9112 §6.3 204", PLAIN, "HTTP/1.1 204 No Content\n\n", Answer { status: 204, ..none }),
        ("RFC 9112 §6.3 204", PLAIN, "HTTP/1.1 204 No Content\nContent-Length: 0\n\n", Answer { status: 204, ..none }),
        (
            "RFC 9112 §6.3 304",
            PLAIN,
            "HTTP/1.1 304 Not Modified\nContent-Length: 3\n\n",
            Answer { status: 304, ..none },
        ),
        (
            "RFC 9110 §15.2",
            PLAIN,
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: a\n\nHTTP/1.1 204 x\n\n",
            Answer { status: 204, ..none },
        ),
        (
            "RFC 9110 §15.2.2",
            UPGRADE,
            "HTTP/1.1 101 x\nUpgrade: websocket\nConnection: Upgrade\n\n",
            Answer { status: 101, is_persistent: false, ..none },
        ),
        (
            "RFC 9110 §7.8 an offer",
            PLAIN,
            "HTTP/1.1 200 OK\nUpgrade: h2,h2c\nConnection: Upgrade\nContent-Length: 0\n\n",
            framed(Body::Length(0)),
        ),
        (
            "RFC 9112 §9.3",
            PLAIN,
            "HTTP/1.1 204 x\nConnection: close\n\n",
            Answer { status: 204, is_persistent: false, ..none },
        ),
        (
            "RFC 9112 §9.3",
            PLAIN,
            "HTTP/1.0 204 x\n\n",
            Answer { status: 204, is_persistent: false, is_http10: true, ..none },
        ),
        (
            "RFC 9112 §9.3",
            PLAIN,
            "HTTP/1.0 204 x\nConnection: keep-alive\n\n",
            Answer { status: 204, is_http10: true, ..none },
        ),
    ] {
        let bytes = crlf(text);
        for (taken, last, responses) in [read(asked, [&bytes[..]]), read(asked, bytes.chunks(1))] {
            assert_eq!(last, Ok(At::End), "{section}: {text}");
            assert_eq!((taken, responses.answer()), (bytes.len(), Some(&answer)), "{section}: {text}");
        }
    }
}

#[test]
fn whatever_the_rfcs_do_not_allow_is_refused_with_its_reason() {
    use Refusal as R;
    let malformed = Flaw::Malformed;
    for (section, asked, bytes, flaw) in [
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1 200\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1  200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1\t200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1 20 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1 2000 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1 +20 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §4", PLAIN, crlf("HTTP/1.1 200 O\0K\n\n"), Flaw::StatusLine),
        ("RFC 9110 §15", PLAIN, crlf("HTTP/1.1 099 x\n\n"), Flaw::StatusLine),
        ("RFC 9110 §15", PLAIN, crlf("HTTP/1.1 600 x\n\n"), Flaw::StatusLine),
        ("RFC 9112 §2.3", PLAIN, crlf("HTTP/2.0 200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §2.3", PLAIN, crlf("HTTP/1.2 200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §2.3", PLAIN, crlf("http/1.1 200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §2.3", PLAIN, b"<html>".to_vec(), Flaw::StatusLine),
        ("RFC 9112 §2.2", PLAIN, crlf("\nHTTP/1.1 200 OK\n\n"), Flaw::StatusLine),
        ("RFC 9112 §2.2", PLAIN, b"HTTP/1.1 200 OK\n\n".to_vec(), malformed(R::BareLf)),
        ("RFC 9112 §2.2", PLAIN, b"HTTP/1.1 200 O\rK\r\n\r\n".to_vec(), malformed(R::BareCr)),
        ("RFC 9112 §5.2", PLAIN, crlf("HTTP/1.1 200 OK\na: b\n c\n\n"), malformed(R::Folding)),
        ("RFC 9112 §5.1", PLAIN, crlf("HTTP/1.1 200 OK\na : b\n\n"), malformed(R::SpaceBeforeColon)),
        (
            "RFC 9112 §6.3",
            PLAIN,
            crlf("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1\n\n"),
            malformed(R::ContentLengthDoubled),
        ),
        ("RFC 9112 §6.3", PLAIN, crlf("HTTP/1.1 200 OK\nContent-Length: 1,1\n\n"), malformed(R::ContentLength)),
        (
            "RFC 9112 §6.1",
            PLAIN,
            crlf("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n"),
            malformed(R::LengthAndCoding),
        ),
        (
            "RFC 9112 §6.1",
            HEAD,
            crlf("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n"),
            malformed(R::LengthAndCoding),
        ),
        (
            "RFC 9112 §6.1",
            PLAIN,
            crlf("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n"),
            malformed(R::TransferEncoding),
        ),
        (
            "RFC 9112 §6.1",
            PLAIN,
            crlf("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n"),
            malformed(R::TransferEncodingOld),
        ),
        ("RFC 9112 §11.2", PLAIN, crlf("HTTP/1.1 200 OK\nTransfer_Encoding: chunked\n\n"), malformed(R::LookAlike)),
        (
            "RFC 9112 §7.1",
            PLAIN,
            crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0x1\na\n"),
            malformed(R::ChunkSize),
        ),
        (
            "RFC 9110 §6.5.1",
            PLAIN,
            crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\nSet-Cookie: a\n\n"),
            malformed(R::Trailer),
        ),
        ("RFC 9110 §8.6", PLAIN, crlf("HTTP/1.1 204 x\nContent-Length: 1\n\n"), Flaw::Length),
        ("RFC 9112 §6.1", PLAIN, crlf("HTTP/1.1 204 x\nTransfer-Encoding: chunked\n\n"), Flaw::Length),
        ("RFC 9110 §8.6", PLAIN, crlf("HTTP/1.1 100 x\nContent-Length: 0\n\n"), Flaw::Length),
        ("RFC 9110 §15.2", PLAIN, crlf("HTTP/1.0 100 x\n\n"), Flaw::StatusLine),
        ("RFC 9110 §15.2.2", PLAIN, crlf("HTTP/1.1 101 x\nUpgrade: a\nConnection: upgrade\n\n"), Flaw::Switching),
        ("RFC 9110 §15.2.2", UPGRADE, crlf("HTTP/1.1 101 x\nConnection: upgrade\n\n"), Flaw::Switching),
        ("RFC 9110 §7.8", UPGRADE, crlf("HTTP/1.1 101 x\nUpgrade: a\n\n"), Flaw::Switching),
        ("RFC 9110 §15.2", PLAIN, crlf(&"HTTP/1.1 100 x\n\n".repeat(17)), Flaw::Interim),
    ] {
        let shown = bytes.escape_ascii();
        assert_eq!(read(asked, [&bytes[..]]).1, Err(flaw), "{section}: {shown}");
        assert_eq!(read(asked, bytes.chunks(1)).1, Err(flaw), "{section}: {shown}");
    }
}

#[test]
fn a_body_without_a_length_lasts_until_the_connection_ends() {
    let (taken, last, mut responses) = read(PLAIN, [&crlf("HTTP/1.1 200 OK\n\nabc")[..], b"HTTP/1.1 200 OK\r\n"]);
    assert_eq!((taken, last), (39, Ok(At::Body)));
    let answer = *responses.answer().unwrap();
    assert_eq!((answer.body, answer.is_persistent), (AnswerBody::UntilClose, false));
    assert_eq!((responses.end(), responses.at(), responses.body_bytes()), (Ok(()), At::End, 20));
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let bytes = crlf("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc");
    for end in 0..bytes.len() {
        let (_, last, mut responses) = read(PLAIN, [&bytes[..end]]);
        assert_ne!(last, Ok(At::End));
        assert_eq!(responses.end(), Err(Flaw::Truncated), "{end}");
    }
    assert_eq!(read(PLAIN, [&bytes[..]]).2.end(), Ok(()));
}

#[test]
fn bytes_that_nobody_asked_for_are_refused() {
    let mut responses = Responses::new(Bounds::default());
    assert_eq!(responses.end(), Ok(()));
    assert_eq!(responses.read(b"H"), Err(Flaw::Unasked));

    let one = crlf("HTTP/1.1 204 x\n\n");
    let (taken, last, mut responses) = read(PLAIN, [&one.repeat(2)[..]]);
    assert_eq!((taken, last), (one.len(), Ok(At::End)));
    responses.ask(PLAIN);
    assert_eq!(responses.read(&one).unwrap().at, At::End);
    assert_eq!(responses.read(&one), Err(Flaw::Unasked));
}

#[test]
fn a_request_before_the_answer_to_the_last_is_refused() {
    let mut responses = Responses::new(Bounds::default());
    responses.ask(PLAIN);
    responses.ask(PLAIN);
    assert_eq!(responses.read(b"HTTP/1.1 204 x\r\n\r\n"), Err(Flaw::Unasked));
}
