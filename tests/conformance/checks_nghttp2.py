"""nghttp2's clients: many streams on few connections, uploads, trailers, padding and push refused."""
import re

from checks import Tool, check, expect
from checks_curl import upload

NGHTTP = Tool("nghttp", "nghttp")
H2LOAD = Tool("h2load", "h2load")


@check(NGHTTP, "100 requests multiplexed on one connection are all answered")
def multiplexed(world):
    for scheme in ("http", "https"):
        ended = NGHTTP.run("-n", "-s", "-m", "100", "--no-dep", world.gateway.url("/hello", scheme))
        statuses = re.findall(r"\s(\d{3})\s+\d+\w?\s+/hello", ended.stdout)
        expect(len(statuses) == 100 and set(statuses) == {"200"}, scheme, statuses, ended.stdout[-800:], ended.stderr[-800:])


@check(NGHTTP, "an upload arrives whole, with padding and with a small window")
def uploads(world):
    path, digest = upload(world)
    for arguments in ([], ["--padding=255"], ["-w", "10", "-W", "12"], ["--no-content-length"]):
        for scheme in ("http", "https"):
            ended = NGHTTP.run("-d", path, *arguments, world.gateway.url("/large/digest", scheme))
            expect(digest in ended.stdout, scheme, arguments, ended.stdout[-500:], ended.stderr[-500:])


@check(NGHTTP, "a small window holds a large answer back and loses nothing")
def small_window(world):
    ended = NGHTTP.run("-n", "-s", "-w", "10", "-W", "10", world.gateway.url("/bytes/5000000"))
    expect(re.search(r"\s200\s+(4M|5M|5000000)\s+/bytes", ended.stdout), ended.stdout[-500:], ended.stderr[-500:])


@check(NGHTTP, "requests and answers with trailers arrive whole")
def trailers(world):
    path, digest = upload(world)
    ended = NGHTTP.run("-v", world.gateway.url("/trailers"))
    expect(":status: 200" in ended.stdout and "hello" in ended.stdout, ended.stdout[-1500:])
    ended = NGHTTP.run("-d", path, "--trailer", "x-sum: 1", world.gateway.url("/large/digest"))
    expect(digest in ended.stdout, ended.stdout, ended.stderr)
    return "trailers of requests reach an HTTP/1.1 service" if '"x-sum": "1"' in ended.stdout else "trailers of requests are dropped before an HTTP/1.1 service"


# Fails: Pingora 0.9.1 drops interim answers over HTTP/2 (its `http/v2/server.rs`, `write_response_header`).
@check(NGHTTP, "100 Continue passes", part=False)
def expect_continue(world):
    path, digest = upload(world)
    ended = NGHTTP.run("-v", "--expect-continue", "-d", path, world.gateway.url("/large/digest"))
    expect(":status: 100" in ended.stdout and digest in ended.stdout, ended.stdout[-1500:])


@check(NGHTTP, "an upgrade from HTTP/1.1 is ignored")
def upgrade(world):
    ended = NGHTTP.run("-u", "-v", world.gateway.url("/hello"))
    expect("HTTP Upgrade failed" in ended.stdout + ended.stderr, ended.stdout[-800:], ended.stderr)


def load(world, scheme, path, requests, *more):
    ended = H2LOAD.run("-c10", "-m50", f"-n{requests}", *more, world.gateway.url(path, scheme), timeout=240)
    counts = re.search(r"(\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", ended.stdout)
    expect(counts, ended.stdout, ended.stderr)
    expect([int(count) for count in counts.groups()] == [requests, requests, 0, 0, 0], scheme, ended.stdout)
    expect(f"status codes: {requests} 2xx" in ended.stdout, scheme, ended.stdout)
    return f"{scheme}: {re.search(r'finished in [^,]*, [^,]*', ended.stdout).group()}"


@check(H2LOAD, "20,000 requests over 10 connections, h2c: all 2xx", part=False)
def h2c(world):
    return load(world, "http", "/hello", 20_000)


@check(H2LOAD, "20,000 requests over 10 connections, h2 over TLS: all 2xx", part=False)
def h2(world):
    return load(world, "https", "/hello", 20_000)


@check(H2LOAD, "5,000 requests over HTTP/1.1, in clear and over TLS: all 2xx", part=False)
def http1(world):
    notes = []
    for scheme in ("http", "https"):
        ended = H2LOAD.run("--h1", "-c10", "-n5000", world.gateway.url("/hello", scheme), timeout=120)
        expect("5000 2xx" in ended.stdout and " 0 failed, 0 errored" in ended.stdout, scheme, ended.stdout, ended.stderr)
        notes.append(re.search(r"finished in [^,]*, [^,]*", ended.stdout).group())
    return "; ".join(notes)


@check(H2LOAD, "2,000 uploads of 100 kB, h2c and h2: all 2xx", part=False)
def many_uploads(world):
    path, _ = upload(world, 100_000)
    return "\n".join(load(world, scheme, "/digest", 2_000, "-d", path) for scheme in ("http", "https"))


@check(H2LOAD, "1,000 answers of 100 kB, h2c and h2: all 2xx", part=False)
def many_answers(world):
    return "\n".join(load(world, scheme, "/bytes/100000", 1_000) for scheme in ("http", "https"))
