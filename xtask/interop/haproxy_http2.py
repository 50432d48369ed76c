"""HAProxy in front of the example `axum_echo`, to which it speaks HTTP/2 without TLS, or of the example
`http2`, to which it speaks it over TLS as ALPN agrees, with clients over HTTP/1.1 (Python `websockets`)
and over HTTP/2 (by hand).

    haproxy_http2.py HOST:PORT

INTEROP_HAPROXY names the program, INTEROP_SCRATCH a directory for what is written. With INTEROP_TLS the
server speaks TLS.
"""

import asyncio
import contextlib
import os
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "examples"))

from cases import ADDRESS, check, connect, run, same  # noqa: E402
from front_ends import free_port, haproxy  # noqa: E402
from http2 import BINARY, PING, PONG, TEXT, close_frame, frame, http2  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_000_000]
TLS = "INTEROP_TLS" in os.environ
# Of the certificate, which signs itself, there is nothing to verify.
PROTOCOL = "ssl verify none alpn h2" if TLS else "proto h2"
# Which connections to the server a request may use is `http-reuse`; HAProxy's default is `safe`.
CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
frontend plain
    bind 127.0.0.1:{plain}
    default_backend echo
frontend two
    bind 127.0.0.1:{two} proto h2
    default_backend echo
backend echo
    http-reuse {reuse}
    server echo {server} {protocol}
"""


@contextlib.asynccontextmanager
async def front():
    """HAProxy; the addresses for HTTP/1.1 and for HTTP/2."""
    ports = {"plain": free_port(), "two": free_port()}
    text = CONFIGURATION.format(server=ADDRESS, protocol=PROTOCOL, reuse="always" if TLS else "safe", **ports)
    async with haproxy("haproxy-tls" if TLS else "haproxy-http2", ports["plain"], text):
        yield tuple(f"127.0.0.1:{port}" for port in ports.values())


def binary_of(size):
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


async def messages_of_all_lengths():
    async with front() as (plain, _), connect("/echo", plain, max_size=None) as ws:
        for size in SIZES:
            await ws.send(binary_of(size))
            check(await ws.recv() == binary_of(size), "another message came")
            await ws.send("x" * size)
            check(await ws.recv() == "x" * size, "another message came")


async def compression_and_subprotocol():
    options = {"compression": "deflate", "subprotocols": ["echo.v1"], "max_size": None}
    async with front() as (plain, _), connect("/echo", plain, **options) as ws:
        agreed = ws.response.headers["Sec-WebSocket-Extensions"]
        check(agreed.startswith("permessage-deflate"), agreed)
        # The other example has no subprotocol.
        same(ws.subprotocol, None if TLS else "echo.v1")
        for size in SIZES:
            await ws.send("compress" * (size // 8))
            check(await ws.recv() == "compress" * (size // 8), "another message came")


async def fragments_and_pings():
    async with front() as (plain, _), connect("/echo", plain) as ws:
        whole = binary_of(100_000)

        async def pieces():
            for at in range(0, len(whole), 10_000):
                yield whole[at : at + 10_000]
                await (await ws.ping(b"%d" % at))

        await ws.send(pieces())
        check(await ws.recv() == whole, "another message came")


async def closes_with_their_codes():
    async with front() as (plain, _):
        for code in (1000, 3000, 4999):
            async with connect("/echo", plain) as ws:
                await ws.close(code)
                same((ws.protocol.close_rcvd.code, ws.close_code), (code, code))


async def fault_is_told_with_its_code():
    async with front() as (plain, _):
        for code, octets in [
            (1002, frame(TEXT, b"unmasked", masked=False)),
            (1007, frame(TEXT, b"\xc3\x28")),
        ]:
            async with connect("/echo", plain) as ws:
                ws.transport.write(octets)
                try:
                    await ws.recv()
                    raise AssertionError("it was taken")
                except ConnectionClosed as error:
                    same(error.rcvd.code, code)


async def hundred_at_a_time():
    async with front() as (plain, _), contextlib.AsyncExitStack() as stack:
        opening = (stack.enter_async_context(connect("/echo", plain)) for _ in range(100))
        opened = await asyncio.gather(*opening)

        async def talk(n, ws):
            for size in (1, 1000, 20_000):
                await ws.send(bytes([n]) * size)
                check(await ws.recv() == bytes([n]) * size, "another message came")

        await asyncio.gather(*(talk(n, ws) for n, ws in enumerate(opened)))


async def client_that_leaves_stops_no_other():
    async with front() as (plain, _), connect("/echo", plain) as good:
        for _ in range(20):
            async with connect("/echo", plain) as gone:
                await gone.send("here")
                gone.transport.abort()
            await good.send("still here")
            same(await good.recv(), "still here")


async def what_is_refused_has_its_status():
    async with front() as (plain, _):
        for status, path, options in [
            (404, "/nothing", {}),
            (403, "/echo", {"origin": "https://evil.example"}),
        ]:
            try:
                async with connect(path, plain, **options):
                    raise AssertionError("it was admitted")
            except InvalidStatus as error:
                same(error.response.status_code, status)


async def http2_on_both_sides():
    async with front() as (_, two), http2(two) as http:
        check(http.has_extended_connect, "HAProxy takes no extended CONNECT")
        opened = [await http.open() for _ in range(20)]
        for size in SIZES:
            for ws in opened[:3]:
                await ws.echoes(BINARY, binary_of(size))
        for n, ws in enumerate(opened):
            await ws.send(frame(PING, b"%d" % n))
            await ws.expect(PONG, b"%d" % n)
            await ws.send(close_frame(3000 + n))
            await ws.expect_close(3000 + n)
            await ws.expect_end()


async def streams_of_one_connection():
    """The server counts WebSockets, and connections of TCP: over HTTP/1.1 they would be as many."""
    async with front() as (plain, two), http2(two) as http:
        opened = [await http.open() for _ in range(20)]
        count = await asyncio.to_thread(urllib.request.urlopen, f"http://{plain}/count")
        websockets, connections = (int(word) for word in count.read().split() if word.isdigit())
        same(websockets, 20)
        check(connections < 20, f"{connections} connections")
        for ws in opened:
            await ws.send(close_frame(1000))
            await ws.expect_close(1000)


run(
    messages_of_all_lengths,
    compression_and_subprotocol,
    fragments_and_pings,
    closes_with_their_codes,
    fault_is_told_with_its_code,
    hundred_at_a_time,
    client_that_leaves_stops_no_other,
    what_is_refused_has_its_status,
    http2_on_both_sides,
    *([streams_of_one_connection] if TLS else []),
)
