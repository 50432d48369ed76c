"""Python `h2` as a foreign client of the example `axum_echo`, over HTTP/2 without TLS.

    python_http2.py HOST:PORT
"""

import asyncio
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "examples"))

from cases import ADDRESS, check, run, same  # noqa: E402
from http2 import (  # noqa: E402
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    http2,
)


def binary_of(size):
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


def text_of(size):
    return ("aé€😀" * (size // 10 + 1)).encode()[:size].decode(errors="ignore").encode()


def on_one_connection(case):
    async def one():
        async with http2(ADDRESS) as http:
            await case(http)

    one.__name__ = case.__name__
    return one


# R8441-3-a, R8441-5-f
async def settings_have_extended_connect_and_the_answer_is_200(http):
    check(http.has_extended_connect, "the settings do not have it")
    ws = await http.open()
    names = {"connection", "upgrade", "sec-websocket-accept", "transfer-encoding"}
    check(names.isdisjoint(ws.headers), f"the answer has {ws.headers}")
    await ws.echoes(TEXT, b"hello")


async def messages_of_all_lengths(http):
    ws = await http.open()
    for size in (0, 1, 125, 126, 16_384, 65_535, 65_536, 1_000_000):
        await ws.echoes(BINARY, binary_of(size))
        await ws.echoes(TEXT, text_of(size))


async def fragments_with_pings_between_them(http):
    ws = await http.open()
    whole = text_of(200_000)
    pieces = [whole[at : at + 20_000] for at in range(0, len(whole), 20_000)]
    for n, piece in enumerate(pieces):
        last = n == len(pieces) - 1
        await ws.send(frame(CONTINUATION if n else TEXT, piece, fin=last))
        if not last:
            await ws.send(frame(PING, b"%d" % n))
            await ws.expect(PONG, b"%d" % n)
    await ws.expect(TEXT, whole)


async def pings_of_all_lengths(http):
    ws = await http.open()
    for size in (0, 1, 60, 125):
        await ws.send(frame(PING, binary_of(size)))
        await ws.expect(PONG, binary_of(size))


# R8441-5-g
async def where_data_frames_end_means_nothing(http):
    ws = await http.open()
    for octet in frame(TEXT, b"slowly"):
        await ws.send(bytes([octet]))
        await asyncio.sleep(0.002)
    await ws.expect(TEXT, b"slowly")
    await ws.send(b"".join(frame(TEXT, b"%d" % n) for n in range(100)))
    for n in range(100):
        await ws.expect(TEXT, b"%d" % n)


async def closes_with_their_codes(http):
    for code in (None, 1000, 1001, 3000, 4999):
        ws = await http.open()
        await ws.echoes(TEXT, b"before")
        await ws.send(close_frame(code))
        await ws.expect_close(code)
        await ws.expect_end()
        same(ws.reset, None)


async def subprotocol_is_agreed_on(http):
    ws = await http.open(more=[("sec-websocket-protocol", "other, echo.v1")])
    same(ws.headers["sec-websocket-protocol"], "echo.v1")
    ws = await http.open(more=[("sec-websocket-protocol", "other")])
    check("sec-websocket-protocol" not in ws.headers, "one was agreed on that nobody offered")


async def compression_is_agreed_on(http):
    ws = await http.open(more=[("sec-websocket-extensions", "permessage-deflate")])
    agreed = ws.headers["sec-websocket-extensions"]
    check(agreed.startswith("permessage-deflate"), agreed)
    deflate, inflate = zlib.compressobj(wbits=-12), zlib.decompressobj(wbits=-15)
    text = text_of(10_000)
    sizes = []
    for _ in range(3):
        squeezed = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
        await ws.send(frame(TEXT, squeezed[:-4], rsv1=True))
        got = await ws.frame()
        same((got.fin, got.rsv1, got.opcode), (True, True, TEXT))
        sizes.append(len(got.payload))
        check(inflate.decompress(got.payload + b"\0\0\xff\xff") == text, "another text came")
    check(sizes[0] < 1000 and sizes[1] <= sizes[0], f"they came as {sizes} octets")


# R8441-5-i
async def fault_ends_its_stream_and_no_other(http):
    good = await http.open()
    faults = [
        (1002, frame(TEXT, b"unmasked", masked=False)),
        (1002, frame(3, b"of no known kind")),
        (1002, frame(CONTINUATION, b"of nothing")),
        (1002, frame(PING, bytes(126))),
        (1002, frame(TEXT, b"not agreed on", rsv1=True)),
        (1007, frame(TEXT, b"\xc3\x28")),
        (1009, frame(BINARY, bytes((1 << 20) + 1))),
    ]
    for code, octets in faults:
        bad = await http.open()
        # The server may stop taking what follows a fault.
        bad.send_now(octets)
        await bad.expect_close(code)
        await good.echoes(TEXT, b"after %d" % code)


# R8441-5-h
async def reset_ends_its_stream_and_no_other(http):
    good, gone = await http.open(), await http.open()
    await gone.echoes(TEXT, b"here")
    gone.cancel()
    for _ in range(20):
        other = await http.open()
        other.send_now(frame(BINARY, binary_of(60_000)))
        other.cancel()
        await good.echoes(TEXT, b"still here")


async def end_of_the_stream_without_a_close_is_an_end(http):
    ws = await http.open()
    await ws.echoes(TEXT, b"here")
    ws.end()
    await ws.expect_end()


# R9113-5.2-a
async def stream_that_nobody_reads_stops_no_other(http):
    unread = await http.open(acknowledges=False)
    # More than its window and what the server holds.
    unread.send_now(frame(BINARY, binary_of(60_000)))
    left = b"".join(frame(BINARY, binary_of(60_000)) for _ in range(20))
    for _ in range(50):
        left = unread.send_now(left)
        await asyncio.sleep(0.01)
    check(left, "the server took more than 1 MB that nobody reads")
    others = await asyncio.gather(*(http.open() for _ in range(49)))
    for size in (1, 1000, 100_000):
        await asyncio.gather(*(ws.echoes(BINARY, binary_of(size)) for ws in others))


async def hundred_at_a_time(http):
    opened = await asyncio.gather(*(http.open() for _ in range(100)))

    async def talk(n, ws):
        for size in (0, 100, 10_000):
            await ws.echoes(BINARY, bytes([n]) * size)
        await ws.send(close_frame(3000 + n))
        await ws.expect_close(3000 + n)
        await ws.expect_end()

    await asyncio.gather(*(talk(n, ws) for n, ws in enumerate(opened)))


async def what_is_refused_has_its_status(http):
    async def refused(status, **request):
        stream = await http.ask(ends=True, **request)
        same(stream.headers[":status"], status)
        check({"connection", "upgrade"}.isdisjoint(stream.headers), f"{stream.headers}")
        return stream.headers

    # R8441-5-a
    await refused("501", protocol="connect-udp")
    same((await refused("426", version="8"))["sec-websocket-version"], "13")
    await refused("404", path="/nothing")
    # R8441-5-e
    await refused("403", more=[("origin", "https://evil.example")])
    get = [(":method", "GET"), (":scheme", "http"), (":path", "/echo"), (":authority", "a.example")]
    same((await http.answered(get, ends=True)).headers[":status"], "405")
    await (await http.open()).echoes(TEXT, b"still here")


# R8441-4-c
async def plain_connect_is_no_websocket(http):
    tunnel = [(":method", "CONNECT"), (":authority", "a.example:443")]
    stream = await http.answered(tunnel)
    check(stream.headers[":status"] in ("404", "501"), f"{stream.headers} came")
    await (await http.open()).echoes(TEXT, b"still here")


async def end_of_the_connection_is_noticed(http):
    """The other connections go on."""
    ws = await http.open()
    async with http2(ADDRESS) as other:
        for stream in [await other.open() for _ in range(10)]:
            await stream.echoes(TEXT, b"here")
    await ws.echoes(TEXT, b"still here")


run(
    *map(
        on_one_connection,
        (
            settings_have_extended_connect_and_the_answer_is_200,
            messages_of_all_lengths,
            fragments_with_pings_between_them,
            pings_of_all_lengths,
            where_data_frames_end_means_nothing,
            closes_with_their_codes,
            subprotocol_is_agreed_on,
            compression_is_agreed_on,
            fault_ends_its_stream_and_no_other,
            reset_ends_its_stream_and_no_other,
            end_of_the_stream_without_a_close_is_an_end,
            stream_that_nobody_reads_stops_no_other,
            hundred_at_a_time,
            what_is_refused_has_its_status,
            plain_connect_is_no_websocket,
            end_of_the_connection_is_noticed,
        ),
    )
)
