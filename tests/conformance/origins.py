"""The services behind the gateway: `origins.py http|grpc|websocket [port]`. Prints its port, then serves until it is ended."""
import asyncio
import functools
import gzip
import hashlib
import json
import sys
import urllib.parse

TEXT = ("All that is gold does not glitter, " * 200).encode()


@functools.lru_cache(maxsize=400)
def pattern(start, end):
    """Bytes `start..end` of an endless body in which every place can be told from the others."""
    first, last = start // 8, (end + 7) // 8
    return b"".join(b"%07x\n" % (i & 0xFFFFFFF) for i in range(first, last))[start - first * 8:end - first * 8]


class Http:
    """HTTP/1.1, bare enough to see and to say what libraries hide: chunks, trailers, interim responses."""

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        method, target, _ = line.split(" ")
        fields = [tuple(part.strip() for part in field.split(":", 1)) for field in fields]
        headers = {name.lower(): value for name, value in fields}
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, trailers = self.body(reader, headers), {}
        if url.path == "/echo":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            async for piece in body:
                await self.chunk(writer, piece)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        digest, length = hashlib.sha256(), 0
        async for piece in body:
            if isinstance(piece, dict):
                trailers = piece
                continue
            digest.update(piece)
            length += len(piece)
        if "ms" in query:
            await asyncio.sleep(int(query["ms"]) / 1000)
        if url.path.startswith("/bytes/"):
            await self.bytes(writer, method, headers, int(url.path.split("/")[2]))
        elif url.path == "/events":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n")
            for number in range(int(query.get("n", 10))):
                await self.chunk(writer, b"data: %d\n\n" % number)
                await asyncio.sleep(0.1)
            writer.write(b"0\r\n\r\n")
        elif url.path == "/trailers":
            writer.write(b"HTTP/1.1 200 OK\r\ntrailer: x-checksum\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\nx-checksum: 7\r\n\r\n")
        elif url.path == "/gzip":
            self.answer(writer, method, gzip.compress(TEXT), b"content-encoding: gzip\r\nvary: accept-encoding\r\ncontent-type: text/plain\r\n")
        elif url.path == "/text":
            self.answer(writer, method, TEXT, b"content-type: text/plain\r\n")
        elif url.path == "/hello":
            self.answer(writer, method, b"hello\n", b"content-type: text/plain\r\n")
        else:
            seen = {"method": method, "target": target, "fields": fields, "length": length, "sha256": digest.hexdigest(), "trailers": trailers}
            # testssl.sh asks for `/` and misses a header that is the service's to set.
            self.answer(writer, method, json.dumps(seen).encode(), b"content-type: application/json\r\nx-content-type-options: nosniff\r\n")
        await writer.drain()
        return True

    @staticmethod
    def answer(writer, method, body, fields, status=b"200 OK"):
        writer.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n" % (status, fields, len(body)))
        if method != "HEAD":
            writer.write(body)

    async def bytes(self, writer, method, headers, length):
        start, end, status, fields = 0, length, b"200 OK", b"accept-ranges: bytes\r\netag: \"one\"\r\n"
        wanted = headers.get("range", "")
        if wanted.startswith("bytes=") and "," not in wanted:
            first, last = wanted[6:].split("-")
            start, end = (int(first), min(int(last or length - 1) + 1, length)) if first else (length - int(last), length)
            status, fields = b"206 Partial Content", fields + b"content-range: bytes %d-%d/%d\r\n" % (start, end - 1, length)
        writer.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n" % (status, fields, end - start))
        while method != "HEAD" and start < end:
            piece = pattern(start, min(start + 65536, end))
            writer.write(piece)
            await writer.drain()
            start += len(piece)

    @staticmethod
    async def chunk(writer, piece):
        if piece and not isinstance(piece, dict):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()

    @staticmethod
    async def body(reader, headers):
        """The pieces of the body, and its trailers (a dict) if there are some."""
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield (await reader.readexactly(size + 2))[:-2]
            trailers = {}
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                name, value = line.decode("latin-1").split(":", 1)
                trailers[name.lower()] = value.strip()
            if trailers:
                yield trailers
        else:
            left = int(headers.get("content-length", 0))
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    raise ConnectionError("the body broke off")
                left -= len(piece)
                yield piece


async def http(port):
    server = await asyncio.start_server(Http().serve, "127.0.0.1", port, limit=1 << 20, backlog=2048)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def websocket(port):
    from websockets.asyncio.server import serve

    async def echo(connection):
        if connection.request.path == "/ws/goodbye":
            await connection.close(4321, "so long")
        async for message in connection:
            await connection.send(message)

    server = await serve(echo, "127.0.0.1", port, max_size=16 << 20, ping_interval=None, backlog=2048)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def grpc(port):
    import grpc.aio
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection

    import echo_messages as echo

    class Echo:
        """The four kinds of call. Metadata `x-question` is answered as `x-answer`, ahead of the messages and behind them."""

        async def greet(self, context):
            asked = dict(context.invocation_metadata())
            await context.send_initial_metadata((("x-answer", asked.get("x-question", "")),))
            context.set_trailing_metadata((("x-checksum", "7"), ("x-raw-bin", b"\0\xff\n")))
            if "fail" in asked:
                await context.abort(grpc.StatusCode.NOT_FOUND, "none here: 100 % gone")

        async def unary(self, request, context):
            await self.greet(context)
            return request

        async def server(self, request, context):
            await self.greet(context)
            for number in range(int(request.text)):
                yield echo.Message(text=str(number))

        async def client(self, requests, context):
            await self.greet(context)
            return echo.Message(text=" ".join([request.text async for request in requests]))

        async def bidi(self, requests, context):
            await self.greet(context)
            async for request in requests:
                yield request

        async def silent(self, request, context):
            await asyncio.sleep(60)
            return request

    handlers, service = {}, Echo()
    for method, kind in echo.METHODS.items():
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        handlers[method] = make(getattr(service, method.lower()), echo.Message.FromString, echo.Message.SerializeToString)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(echo.SERVICE, handlers),))
    alive = health.aio.HealthServicer()
    await alive.set(echo.SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    reflection.enable_server_reflection((echo.SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    announce(bound)
    await server.wait_for_termination()


def announce(port):
    print(port, flush=True)


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    asyncio.run({"http": http, "grpc": grpc, "websocket": websocket}[kind](port))
