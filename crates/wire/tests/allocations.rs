//! A kept-alive request allocates nothing. In a test of its own, because it brings its own allocator.

use portreeve_wire::http1::{At, Bounds, Requests};
use portreeve_wire::{forwarded, proxy_protocol};

/// What a browser sends.
const GET: &[u8] = b"GET /v1/users/7?fields=name,mail&page=%32 HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json,text/html;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJwbGFuIjoiZnJlZSJ9.c2lnbmF0dXJl\r\n\
    Cookie: sid=0123456789abcdef; theme=dark\r\n\
    Connection: keep-alive\r\n\
    \r\n";

const POST: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\n12345\r\n0\r\nx: y\r\n\r\n";

#[test]
fn a_kept_alive_request_allocates_nothing() {
    for bytes in [GET, POST] {
        let mut requests = Requests::new(Bounds::default());
        // The first that has trailers makes room for them.
        requests.read(bytes).unwrap();
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                let progress = requests.read(bytes).unwrap();
                assert_eq!((progress.taken, progress.at), (bytes.len(), At::End));
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}

#[test]
fn a_trickled_request_holds_no_more_than_a_line() {
    let mut requests = Requests::new(Bounds::default());
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            for byte in GET.chunks(1) {
                requests.read(byte).unwrap();
            }
        }
    });
    assert!(counted.bytes_max < 1024, "{counted:?}");
    assert!(size_of::<Requests>() <= 256, "{}", size_of::<Requests>());
}

#[test]
fn who_a_request_came_from_is_found_without_allocating() {
    let peer = [10, 0, 0, 1].into();
    let counted = allocation_counter::measure(|| {
        let field = b"for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\";proto=https";
        forwarded::by_forwarded(peer, |_| true, [&field[..]].into_iter());
        forwarded::by_x_forwarded_for(peer, |_| true, [&b"192.0.2.43, 2001:db8::1"[..]].into_iter());
        proxy_protocol::parse(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n").unwrap();
    });
    assert_eq!(counted.count_total, 0);
}
