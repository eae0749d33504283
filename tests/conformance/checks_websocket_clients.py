"""websockets: echoes, pings, fragments, large messages, close codes; across a reload and at a drain."""
import asyncio
import ssl
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from checks import Tool, check, expect

WEBSOCKETS = Tool("websockets", package="websockets")


def opened(world, gateway, scheme="ws", path="/ws/echo", **more):
    if scheme == "wss":
        more["ssl"] = ssl.create_default_context(cafile=f"{world.certificates}/ca.crt")
    port = gateway.tls if scheme == "wss" else gateway.clear
    return connect(f"{scheme}://localhost:{port}{path}", max_size=16 << 20, ping_interval=None, proxy=None, **more)


def each(world, talk, gateway=None):
    """Holds the talk over both schemes."""
    async def both():
        for scheme in ("ws", "wss"):
            async with asyncio.timeout(30):
                async with opened(world, gateway or world.gateway, scheme) as connection:
                    await talk(connection)
    asyncio.run(both())


@check(WEBSOCKETS, "text and binary messages are echoed, in clear and over TLS")
def echoed(world):
    async def talk(connection):
        for message in ("héllo", b"\0\xff", "", "x" * 126, b"y" * 65536):
            await connection.send(message)
            expect(await connection.recv() == message, message[:20])
    each(world, talk)


@check(WEBSOCKETS, "ping and pong pass")
def pings(world):
    async def talk(connection):
        for _ in range(10):
            expect(await asyncio.wait_for(await connection.ping(), 5) < 5)
    each(world, talk)


@check(WEBSOCKETS, "fragments and messages of 1 MB and 10 MB pass whole", part=False)
def large(world):
    async def talk(connection):
        await connection.send(["one ", "two ", "three"])
        expect(await connection.recv() == "one two three")
        for size in (1 << 20, 10 << 20):
            await connection.send(b"z" * size)
            expect(await connection.recv() == b"z" * size, size)
    each(world, talk)


@check(WEBSOCKETS, "close codes and reasons pass both ways")
def closes(world):
    async def talk():
        async with opened(world, world.gateway, path="/ws/goodbye") as connection:
            try:
                await asyncio.wait_for(connection.recv(), 5)
            except ConnectionClosed as closed:
                expect((closed.rcvd.code, closed.rcvd.reason) == (4321, "so long"), closed)
        async with opened(world, world.gateway) as connection:
            await connection.close(4999, "mine")
            expect((connection.close_code, connection.close_reason) == (4999, "mine"), connection.close_code)
    asyncio.run(talk())


@check(WEBSOCKETS, "200 connections at once talk side by side", part=False)
def many(world):
    async def one(number):
        async with opened(world, world.gateway, open_timeout=30) as connection:
            for turn in range(5):
                await connection.send(f"{number} {turn}")
                expect(await connection.recv() == f"{number} {turn}")

    async def all_of_them():
        async with asyncio.timeout(60):
            await asyncio.gather(*(one(number) for number in range(200)))
    asyncio.run(all_of_them())


@check(WEBSOCKETS, "a connection stays open across a reload")
def across_a_reload(world):
    async def talk():
        gateway = world.spawn()
        for scheme in ("ws", "wss"):
            async with opened(world, gateway, scheme) as connection:
                for turn in range(3):
                    await asyncio.to_thread(gateway.reload)
                    await connection.send(f"after {turn}")
                    expect(await asyncio.wait_for(connection.recv(), 5) == f"after {turn}")
    asyncio.run(talk())


@check(WEBSOCKETS, "a drain closes idle connections with 1001 at its limit, and the process ends", part=False)
def at_a_drain(world):
    async def talk():
        gateway = world.spawn()
        async with opened(world, gateway) as connection:
            await connection.send("here")
            await connection.recv()
            gateway.drain()
            begun = time.monotonic()
            try:
                await asyncio.wait_for(connection.recv(), 20)
                raise AssertionError("a message out of nowhere")
            except ConnectionClosed as closed:
                expect(closed.rcvd is not None and closed.rcvd.code == 1001 and closed.sent is not None, "not closed with 1001", closed)
                how = f"ended after {time.monotonic() - begun:.1f} s (grace 1 s, drain 10 s): {closed}"
        status = await asyncio.to_thread(gateway.process.wait, 15)
        expect(status == 0, "exit status", status, how)
        return how
    return asyncio.run(talk())
