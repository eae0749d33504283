"""curl: what the world's most used client does, over HTTP/1.0, HTTP/1.1 and HTTP/2, in clear and over TLS."""
import gzip
import hashlib
import json
import os
import re

from checks import LARGE, Tool, check, expect
from origins import TEXT, pattern
from world import token

CURL = Tool("curl", "curl")
SIZE = LARGE
VERSIONS = [("--http1.1", "http"), ("--http2-prior-knowledge", "http"), ("--http1.1", "https"), ("--http2", "https")]


def curl(world, *arguments, timeout=60, **more):
    return CURL.run("-sS", "--max-time", timeout - 5, "--cacert", f"{world.certificates}/ca.crt", *arguments, timeout=timeout, **more)


def fetch(world, *arguments, timeout=60):
    """The answer's body, and what curl tells of it."""
    out = f"{world.folder}/curl.out"
    if os.path.exists(out):
        os.remove(out)
    ended = curl(world, "-o", out, "-w", "%{json}", *arguments, timeout=timeout)
    expect(ended.returncode == 0, f"curl ended with {ended.returncode}: {ended.stderr}; curl {' '.join(map(str, arguments))}")
    body = open(out, "rb").read() if os.path.exists(out) else b""
    return body, json.loads(ended.stdout)


def upload(world, size=SIZE):
    path = f"{world.folder}/upload-{size}"
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(pattern(0, size))
    return path, hashlib.sha256(open(path, "rb").read()).hexdigest()


@check(CURL, "HTTP/1.1 and HTTP/2, in clear and over TLS, are spoken as asked")
def versions(world):
    for version, scheme in VERSIONS:
        body, told = fetch(world, version, world.gateway.url("/hello", scheme))
        expect((told["response_code"], body) == (200, b"hello\n"), version, scheme, told["response_code"], body)
        expect(told["http_version"] == ("1.1" if "1.1" in version else "2"), version, scheme, told["http_version"])
        expect(scheme == "http" or told["ssl_verify_result"] == 0, told["ssl_verify_result"])


@check(CURL, "HTTP/1.0 gets no chunks, and its connection is closed unless kept by request")
def http10(world):
    for path, expected in (("/hello", b"hello\n"), ("/trailers", b"hello\n"), ("/events?n=2", b"data: 0\n\ndata: 1\n\n")):
        ended = curl(world, "--http1.0", "-i", "--raw", world.gateway.url(path), text=False)
        head, body = ended.stdout.split(b"\r\n\r\n", 1)
        expect(body == expected and b"transfer-encoding" not in head.lower(), path, ended.stdout, ended.stderr)


@check(CURL, "an upload that expects 100 Continue gets it, and its answer")
def expect_continue(world):
    path, digest = upload(world)
    for version, scheme in VERSIONS[::2]:
        ended = curl(world, version, "-v", "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-T", path, world.gateway.url("/large/digest", scheme))
        expect(re.search(r"< HTTP/1.1 100", ended.stderr) and digest in ended.stdout, ended.stderr[-1500:], ended.stdout)
        expect("Done waiting" not in ended.stderr, "curl went on without:", ended.stderr[-1500:])


@check(CURL, "100 Continue is not sent where the answer is a refusal")
def expect_refused(world):
    path, _ = upload(world)
    ended = curl(world, "--http1.1", "-v", "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-T", path, world.gateway.url("/digest"))
    expect("HTTP/1.1 413" in ended.stderr and "HTTP/1.1 100" not in ended.stderr, ended.stderr[-1500:])


@check(CURL, f"{SIZE // 1_000_000} MB are uploaded where the limit allows it")
def large_upload(world):
    path, digest = upload(world)
    for version, scheme in VERSIONS:
        body, told = fetch(world, version, "-H", "Expect:", "-T", path, world.gateway.url("/large/digest", scheme))
        expect(told["response_code"] == 200 and json.loads(body)["sha256"] == digest, version, scheme, told["response_code"], body)


@check(CURL, f"{SIZE // 1_000_000} MB are refused with 413 where it does not, declared or chunked")
def too_large(world):
    path, _ = upload(world)
    for version, scheme in VERSIONS:
        for how in (["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]):
            out = f"{world.folder}/curl.out"
            # A client that is still writing may see its connection closed behind the answer.
            ended = curl(world, version, *how, "-o", out, "-w", "%{json}", "-T", path, world.gateway.url("/digest", scheme))
            told = json.loads(ended.stdout)
            expect(told["response_code"] == 413 and ended.returncode in (0, 55, 56, 92), version, scheme, how, "status", told["response_code"], "exit", ended.returncode, ended.stderr)


@check(CURL, "an upload in chunks arrives whole")
def chunked_upload(world):
    path, digest = upload(world)
    for version, scheme in VERSIONS[::2]:
        with open(path, "rb") as file:
            ended = curl(world, version, "-H", "Expect:", "-T", "-", world.gateway.url("/large/digest", scheme), stdin=file)
        expect(digest in ended.stdout, version, scheme, ended.stdout, ended.stderr)


@check(CURL, f"{SIZE // 1_000_000} MB come down whole, and are echoed whole")
def large_answers(world):
    path, digest = upload(world)
    for version, scheme in VERSIONS:
        for arguments in ([world.gateway.url(f"/bytes/{SIZE}", scheme)], ["-H", "Expect:", "-T", path, world.gateway.url("/large/echo", scheme)]):
            body, told = fetch(world, version, *arguments)
            expect(hashlib.sha256(body).hexdigest() == digest, version, arguments, told["response_code"], len(body))


@check(CURL, "HEAD tells the length and sends no body")
def head(world):
    for version, scheme in VERSIONS:
        _, told = fetch(world, version, "-I", world.gateway.url("/bytes/12345", scheme))
        expect(told["response_code"] == 200 and told["size_download"] == 0, told)
        ended = curl(world, version, "-I", world.gateway.url("/bytes/12345", scheme))
        expect("content-length: 12345" in ended.stdout.lower(), ended.stdout)


@check(CURL, "an answer with trailers arrives whole")
def trailers(world):
    arrived = []
    for version, scheme in VERSIONS:
        trace = f"{world.folder}/curl.trace"
        body, told = fetch(world, version, "--trace-ascii", trace, "-H", "TE: trailers", world.gateway.url("/trailers", scheme))
        expect((told["response_code"], body) == (200, b"hello\n"), version, scheme, told["response_code"], body)
        if "x-checksum: 7" in open(trace).read().lower():
            arrived.append(f"{version} {scheme}")
    # An intermediary may drop them (RFC 9110 §6.5.1), and Pingora's HTTP/1.1 does; gRPC's checks hold those over HTTP/2.
    return f"trailers of an HTTP/1.1 service arrive over: {', '.join(arrived) or 'nothing, they are dropped'}"


@check(CURL, "a connection is kept for the next request")
def keep_alive(world):
    for version, scheme in VERSIONS:
        ended = curl(world, version, "-w", "%{num_connects}\n", *["-o", "/dev/null", world.gateway.url("/hello", scheme)] * 5)
        expect(ended.stdout.split() == ["1", "0", "0", "0", "0"], version, scheme, ended.stdout, ended.stderr)


@check(CURL, "compressed answers pass as they are")
def compressed(world):
    for version, scheme in VERSIONS:
        body, told = fetch(world, version, "--compressed", world.gateway.url("/gzip", scheme))
        expect(body == TEXT, version, len(body))
        raw, _ = fetch(world, version, "-H", "Accept-Encoding: gzip", world.gateway.url("/gzip", scheme))
        expect(gzip.decompress(raw) == TEXT, version)


@check(CURL, "a broken-off download is resumed, and ranges are ranges")
def ranges(world):
    for version, scheme in VERSIONS:
        body, told = fetch(world, version, "-r", "1000-1999", world.gateway.url(f"/bytes/{SIZE}", scheme))
        expect((told["response_code"], body) == (206, pattern(1000, 2000)), told["response_code"])
        out = f"{world.folder}/resumed"
        with open(out, "wb") as file:
            file.write(pattern(0, 1_234_567))
        ended = curl(world, version, "-C", "-", "-o", out, world.gateway.url("/bytes/2000000", scheme))
        expect(open(out, "rb").read() == pattern(0, 2_000_000), version, ended.stderr)


@check(CURL, "TLS 1.2 and 1.3 are spoken, older versions and those below the minimum refused")
def tls_versions(world):
    allowed = {world.gateway.tls: {"1.2": True, "1.3": True, "1.1": False}, world.gateway.modern: {"1.2": False, "1.3": True}}
    for port, cases in allowed.items():
        for version, welcome in cases.items():
            more = ["--ciphers", "DEFAULT@SECLEVEL=0"] if version == "1.1" else []
            ended = curl(world, f"--tlsv{version}", "--tls-max", version, *more, f"https://localhost:{port}/hello")
            expect((ended.stdout == "hello\n") == welcome, port, version, ended.stdout, ended.stderr)
            expect(welcome or ended.returncode == 35, version, ended.returncode, ended.stderr)


@check(CURL, "RSA and ECDSA certificates stand side by side")
def both_kinds(world):
    for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"):
        ended = curl(world, "-v", "--tls-max", "1.2", "--ciphers", cipher, world.gateway.url("/hello", "https"))
        expect(ended.stdout == "hello\n" and cipher in ended.stderr, cipher, ended.stderr[-800:])


@check(CURL, "client certificates: required, requested, of strangers")
def client_certificates(world):
    folder = world.certificates
    own, strange = (["--cert", f"{folder}/{who}.crt", "--key", f"{folder}/{who}.key"] for who in ("client", "stranger"))
    for port, arguments, welcome in ((world.gateway.tls, [], True), (world.gateway.tls, own, True), (world.gateway.tls, strange, False),
                                     (world.gateway.mutual, [], False), (world.gateway.mutual, own, True), (world.gateway.mutual, strange, False)):
        for version in ("1.2", "1.3"):
            ended = curl(world, "--tls-max", version, *arguments, f"https://localhost:{port}/hello")
            expect((ended.stdout == "hello\n") == welcome, port, arguments, version, ended.stdout, ended.stderr)


@check(CURL, "an upgrade to h2c is ignored and never forwarded")
def h2c_upgrade(world):
    body, told = fetch(world, "--http2", world.gateway.url("/headers"))
    expect((told["response_code"], told["http_version"]) == (200, "1.1"), told["response_code"], told["http_version"])
    names = {name.lower() for name, _ in json.loads(body)["fields"]}
    expect(not names & {"upgrade", "http2-settings"}, names)


@check(CURL, "what the service gets is one request of HTTP/1.1, whatever was spoken in front")
def forwarded(world):
    for version, scheme in VERSIONS:
        body, _ = fetch(world, version, "-b", "a=1", "-H", "Cookie: b=2", "-H", "Connection: x-hop", "-H", "X-Hop: 1", "-H", "X-Forwarded-For: 192.0.2.1",
                        "-H", "Forwarded: for=192.0.2.1", world.gateway.url("/headers?a=%20b", scheme))
        seen = json.loads(body)
        fields = [(name.lower(), value) for name, value in seen["fields"]]
        field = dict(fields)
        expect(seen["target"] == "/headers?a=%20b", seen["target"])
        expect(len([name for name, _ in fields if name == "host"]) == 1 and field["host"].startswith("localhost:"), fields)
        expect(len([name for name, _ in fields if name == "cookie"]) <= 1 or "1.1" in version, fields)
        # HTTP/2 has no Connection to name it with; curl leaves that field out.
        expect("x-hop" not in field or "2" in version, fields)
        expect("192.0.2.1" not in str(fields) and field["x-forwarded-proto"] == scheme, fields)


@check(CURL, "events are passed on as they come, longer than the route's timeout")
def events(world):
    for version, scheme in VERSIONS:
        body, told = fetch(world, version, "-N", world.gateway.url("/events?n=15", scheme))
        expect(body.endswith(b"data: 14\n\n"), body)
        expect(told["time_starttransfer"] < 0.9 and told["time_total"] > 1.4, version, told["time_starttransfer"], told["time_total"])


@check(CURL, "the gateway's own answers: 400, 401, 429, 502, 504 as problem+json with a request id")
def own_answers(world):
    cases = [("/token", [], 401), ("/token", ["-H", f"Authorization: Bearer {token()}"], 200), ("/token", ["-H", "Authorization: Bearer x.y.z"], 401),
             ("/rarely", [], 200), ("/rarely", [], 429), ("/gone", [], 502), ("/late?ms=3000", [], 504), ("/a%2fb", [], 400)]
    found = []
    for path, arguments, status in cases:
        ended = curl(world, "-i", *arguments, world.gateway.url(path))
        # Python reads CR LF of text as LF.
        head, _, body = ended.stdout.partition("\n\n")
        got = int(head.split()[1])
        found.append(f"{path} {got}")
        expect(got == status, path, "wanted", status, "got", ended.stdout)
        if status >= 400:
            expect("application/problem+json" in head and "request_id" in body, path, ended.stdout)
    return ", ".join(found)
