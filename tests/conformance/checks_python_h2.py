"""Python's h2 (frame by frame, trailers, flow control, drain) and httpx on top of it."""
import hashlib
import json
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.events
import httpx

from checks import LARGE, Tool, check, expect
from checks_curl import upload
from origins import pattern

H2 = Tool("python-h2", package="h2")
HTTPX = Tool("httpx", package="httpx")
HALF = LARGE // 2


class Connection(h2.connection.H2Connection):
    """h2 takes a connection for dead once it has read GOAWAY; RFC 9113 §6.8 lets streams begun before end as usual."""

    def _receive_goaway_frame(self, frame):
        before = self.state_machine.state
        try:
            return super()._receive_goaway_frame(frame)
        finally:
            self.state_machine.state = before


class Client:
    """One connection of h2's state machine, which raises at whatever breaks RFC 9113."""

    def __init__(self, world, gateway, scheme="http"):
        port = gateway.tls if scheme == "https" else gateway.clear
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        if scheme == "https":
            context = ssl.create_default_context(cafile=f"{world.certificates}/ca.crt")
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            expect(self.socket.selected_alpn_protocol() == "h2", self.socket.selected_alpn_protocol())
        self.scheme, self.authority = scheme, f"localhost:{port}"
        self.state = Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.state.initiate_connection()
        self.flush()
        self.answers, self.goaway, self.closed, self.acknowledges = {}, None, False, True

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def ask(self, path, method="GET", fields=(), body=False, held_back=False):
        """Begins a request: the id of its stream. With `body` it is still open; `held_back` leaves it to the caller to send it."""
        stream = self.state.get_next_available_stream_id()
        head = [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", path), *fields]
        self.state.send_headers(stream, head, end_stream=not body)
        self.answers[stream] = {"interim": [], "status": None, "body": b"", "trailers": None, "reset": None, "ended": False}
        if not held_back:
            self.flush()
        return stream

    def send(self, stream, body, trailers=None):
        """Sends the rest of a request as windows allow, reading what comes meanwhile."""
        at = 0
        while at < len(body):
            room = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size, len(body) - at)
            if room <= 0:
                self.read()
                if self.answers[stream]["ended"]:
                    return
                continue
            self.state.send_data(stream, body[at:at + room], end_stream=trailers is None and at + room == len(body))
            at += room
            self.flush()
        if trailers is not None:
            self.state.send_headers(stream, trailers, end_stream=True)
            self.flush()

    def read(self):
        """Takes in what the next read brings."""
        data = self.socket.recv(65536)
        if not data:
            self.closed = True
            return
        for event in self.state.receive_data(data):
            answer = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.InformationalResponseReceived):
                answer["interim"].append(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.ResponseReceived):
                answer["status"], answer["headers"] = dict(event.headers)[":status"], dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                answer["body"] += event.data
                if not self.acknowledges:
                    continue
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                answer["trailers"] = dict(event.headers)
            elif isinstance(event, h2.events.StreamReset):
                answer["reset"], answer["ended"] = event.error_code, True
            elif isinstance(event, h2.events.StreamEnded):
                answer["ended"] = True
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = (event.error_code, event.last_stream_id)
        if self.acknowledges:
            self.flush()

    def finish(self, *streams):
        """Reads until these are answered."""
        while not all(self.answers[stream]["ended"] for stream in streams):
            expect(not self.closed, "the connection ended before the answers:", {stream: self.answers[stream]["status"] for stream in streams}, self.goaway)
            self.read()
        return [self.answers[stream] for stream in streams]


@check(H2, f"bodies of {HALF // 1_000_000} MB pass both ways under flow control")
def large_bodies(world):
    body = pattern(0, HALF)
    for scheme in ("http", "https"):
        client = Client(world, world.gateway, scheme)
        stream = client.ask("/large/echo", "POST", body=True)
        client.send(stream, body)
        [answer] = client.finish(stream)
        expect(answer["status"] == "200" and hashlib.sha256(answer["body"]).digest() == hashlib.sha256(body).digest(), scheme, answer["status"], len(answer["body"]))


@check(H2, "trailers of requests and answers do no harm to what they follow")
def trailers(world):
    client = Client(world, world.gateway)
    stream = client.ask("/large/digest", "POST", [("trailer", "x-sum")], body=True)
    client.send(stream, b"hello\n", [("x-sum", "7")])
    answer, trailed = client.finish(stream, client.ask("/trailers", fields=[("te", "trailers")]))
    seen = json.loads(answer["body"])
    expect(answer["status"] == "200" and seen["length"] == 6, answer)
    expect(trailed["status"] == "200" and trailed["body"] == b"hello\n", trailed)
    found = {"answer": trailed["trailers"], "request": seen["trailers"]}
    return f"trailers that crossed to and from an HTTP/1.1 service: {found}"


@check(H2, "a refused upload ends its stream alone; the connection serves on")
def refused_upload(world):
    client = Client(world, world.gateway)
    for size in ([("content-length", str(HALF))], []):
        stream = client.ask("/digest", "POST", size, body=True)
        client.send(stream, pattern(0, HALF))
        [answer] = client.finish(stream)
        expect(answer["status"] == "413" and answer["reset"] in (None, 0, 8), size, answer)
        [after] = client.finish(client.ask("/hello"))
        expect(after["body"] == b"hello\n", after)


@check(H2, "streams that the client resets leave the connection and the gateway as they were")
def resets(world):
    client = Client(world, world.gateway)
    for _ in range(50):
        stream = client.ask("/hello?ms=5000")
        # A flood would be another thing: each is known to the gateway before it is taken back.
        client.finish(client.ask("/hello"))
        client.state.reset_stream(stream, 8)
        client.flush()
        client.answers[stream]["ended"] = True
    [after] = client.finish(client.ask("/hello"))
    expect(after["body"] == b"hello\n", after)


@check(H2, "a flood of resets ends its connection and no other")
def rapid_reset(world):
    bystander, client = Client(world, world.gateway), Client(world, world.gateway)
    bystander.finish(bystander.ask("/hello"))
    sent = 0
    try:
        while not client.goaway and not client.closed and sent < 5000:
            stream = client.ask("/hello?ms=5000")
            client.state.reset_stream(stream, 8)
            client.flush()
            sent += 1
            client.socket.setblocking(sent % 100 == 0)
            try:
                client.read()
            except (BlockingIOError, TimeoutError):
                pass
            client.socket.settimeout(1)
    except OSError:
        client.closed = True
    expect(client.goaway or client.closed, "5,000 streams were opened and reset in a row")
    [after] = bystander.finish(bystander.ask("/hello"))
    expect(after["body"] == b"hello\n", after)
    return f"ended after {sent} resets with {client.goaway}"


# Fails, for the reason told in checks_nghttp2.py.
@check(H2, "100 Continue reaches a client that waits for it", part=False)
def interim(world):
    client = Client(world, world.gateway)
    stream = client.ask("/large/digest", "POST", [("expect", "100-continue"), ("content-length", "6")], body=True)
    client.socket.settimeout(5)
    try:
        while not client.answers[stream]["interim"]:
            client.read()
    except TimeoutError:
        raise AssertionError("no interim answer within 5 s")
    client.send(stream, b"hello\n")
    [answer] = client.finish(stream)
    expect(answer["status"] == "200" and answer["interim"] == ["100"], answer)


@check(H2, "PING is answered, SETTINGS are acknowledged, unknown frames ignored")
def upkeep(world):
    client = Client(world, world.gateway)
    client.state.ping(b"12345678")
    client.state.update_settings({3: 10, 4: 1 << 20})
    client.flush()
    client.socket.sendall(b"\0\0\4\xbb\0\0\0\0\0what")
    [after] = client.finish(client.ask("/hello"))
    expect(after["body"] == b"hello\n", after)


@check(H2, "extended CONNECT is not offered, and CONNECT is refused")
def connect(world):
    client = Client(world, world.gateway)
    stream = client.state.get_next_available_stream_id()
    client.answers[stream] = {"interim": [], "status": None, "body": b"", "trailers": None, "reset": None, "ended": False}
    client.state.send_headers(stream, [(":method", "CONNECT"), (":authority", "elsewhere.test:443")])
    client.flush()
    [answer] = client.finish(stream)
    expect(answer["reset"] is not None or answer["status"].startswith("4") or answer["status"] == "501", answer)
    expect(client.state.remote_settings.enable_connect_protocol == 0, client.state.remote_settings)
    return f"CONNECT: status {answer['status']}, reset {answer['reset']}"


@check(H2, "SIGTERM under requests: GOAWAY, and every one of them is answered in full")
def drain(world):
    for scheme in ("http", "https"):
        gateway = world.spawn()
        client = Client(world, gateway, scheme)
        streams = [client.ask(f"/hello?ms={1500 + 50 * i}") for i in range(20)]
        upload_stream = client.ask("/large/digest", "POST", body=True)
        gateway.drain()
        client.send(upload_stream, b"x" * 50_000)
        answers = client.finish(*streams, upload_stream)
        expect({answer["status"] for answer in answers} == {"200"} and {answer["body"] for answer in answers[:-1]} == {b"hello\n"}, scheme, answers)
        begun = time.monotonic()
        while not client.closed:
            client.read()
        expect(client.goaway and client.goaway[0] == 0, scheme, "GOAWAY:", client.goaway)
        expect(gateway.process.wait(15) == 0, "exit status", gateway.process.returncode)
        took = time.monotonic() - begun
    return f"closed and ended {took:.1f} s after the last answer"


@check(HTTPX, "200 requests, 20 at a time, over shared connections of HTTP/2", part=False)
def concurrent(world):
    context = ssl.create_default_context(cafile=f"{world.certificates}/ca.crt")
    found, url = [], world.gateway.url("/hello", "https")
    with httpx.Client(http2=True, verify=context, timeout=30) as client:
        def ask():
            for _ in range(10):
                answer = client.get(url)
                found.append((answer.status_code, answer.http_version, answer.text))
        threads = [threading.Thread(target=ask) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    expect(found == [(200, "HTTP/2", "hello\n")] * 200, set(found), len(found))


@check(HTTPX, "uploads, downloads, redirects and cookies over both versions")
def everyday(world):
    path, digest = upload(world)
    context = ssl.create_default_context(cafile=f"{world.certificates}/ca.crt")
    for http2 in (False, True):
        with httpx.Client(http1=not http2, http2=http2, verify=context, timeout=30) as client:
            for scheme in ("http", "https"):
                with open(path, "rb") as file:
                    answer = client.post(world.gateway.url("/large/digest", scheme), content=iter(lambda: file.read(65536), b""))
                expect(answer.json()["sha256"] == digest, http2, scheme, answer)
                answer = client.get(world.gateway.url("/headers", scheme), cookies={"a": "1", "b": "2"})
                cookies = [value for name, value in answer.json()["fields"] if name.lower() == "cookie"]
                expect(cookies == ["a=1; b=2"], http2, scheme, cookies)
