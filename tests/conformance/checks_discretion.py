"""No answer that the gateway itself makes names a target, a version or a reason that helps an attacker."""
import re
import socket

import grpc

from checks import Tool, check, expect
from checks_curl import CURL, curl
from checks_grpc_clients import GRPCIO, Code, channel, refusal

WORDS = r"pingora|portreeve|rust|hyper|tokio|127\.0\.0\.1|localhost:|connect(ion)? (error|refused|timed)|os error|panick|upstream|backend|target|plugin|crates/|\.rs\b|\b\d+\.\d+\.\d+\b|openssl|x-powered"
RAW = [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"GET / HTTP/3.0\r\nhost: a\r\n\r\n", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
       b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
       b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70000 + b"\r\n\r\n", b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
       b"GET /a%00b HTTP/1.1\r\nhost: a\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
       b"POST /digest HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]


def discreet(world, text, where):
    # The date and the ids of requests are no versions.
    told = re.sub(r'(?i)^date:.*$|^host:.*$|"request_id":"[^"]*"', "", text, flags=re.M)
    found = re.search(WORDS, told, re.I)
    expect(not found, f"{where}: {found and found.group()!r} stands in", text)
    for name, port in world.gateway.targets.items():
        expect(str(port) not in told, f"{where}: the port of {name} stands in", text)


@check(CURL, "refusals and failures name no target, version or inner reason, as JSON or as a page")
def http(world):
    seen = []
    for path in ("/token", "/rarely", "/rarely", "/gone", "/late?ms=3000", "/conformance.Echo/Unary", "/a%2fb"):
        for accept in ("*/*", "text/html", "text/plain"):
            for version in ("--http1.1", "--http2-prior-knowledge"):
                ended = curl(world, "-i", version, "-H", f"Accept: {accept}", world.gateway.url(path))
                status = ended.stdout.split(" ", 2)[1]
                if status.startswith(("4", "5")):
                    discreet(world, ended.stdout, f"{path} {accept} {version}")
                    seen.append(status)
    expect({"401", "429", "502", "504"} <= set(seen), seen)
    return ", ".join(sorted(set(seen)))


@check(CURL, "answers to malformed requests name nothing either")
def malformed(world):
    notes = []
    for raw in RAW:
        with socket.create_connection(("127.0.0.1", world.gateway.clear), 2) as connection:
            connection.sendall(raw)
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except OSError:
                # What waits for more of it is ended by a deadline that others test.
                pass
        text = answer.decode("latin-1")
        if " 200 " not in text[:20] and " 101 " not in text[:20]:
            discreet(world, text, raw[:60])
        notes.append(text[9:12] or "closed")
    return f"statuses: {' '.join(notes)}"


@check(CURL, "answers of a service pass without a mark of the gateway beyond Via")
def marks(world):
    ended = curl(world, "-i", world.gateway.url("/hello"))
    head = ended.stdout.lower()
    expect("\nserver:" not in head, head)
    discreet(world, re.sub(r"(?m)^via:.*$", "", head), "/hello")
    return next((line for line in head.splitlines() if line.startswith("via:")), "no Via")


@check(GRPCIO, "gRPC statuses of the gateway name nothing either")
def rpc(world):
    notes = []
    for host, code in (("gone.test", Code.UNAVAILABLE), ("late.test", Code.DEADLINE_EXCEEDED), ("key.test", Code.UNAUTHENTICATED), ("token.test", Code.UNAUTHENTICATED)):
        with channel(world, host=host) as made:
            error = refusal(made, "Silent" if host == "late.test" else "Unary", timeout=20)
            said = f"{error.details()} {error.initial_metadata()} {error.trailing_metadata()}"
            discreet(world, said, host)
            notes.append(f"{host}: {error.code().name}: {error.details()!r}")
            expect(isinstance(error, grpc.RpcError))
    return "\n".join(notes)
