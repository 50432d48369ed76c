"""The example `relay`, between a client and an upstream of Python's `websockets`: messages pass piece by
piece, and each end learns how the other ended.
"""

import asyncio
import contextlib

from cases import check, connect, run, same, started
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

PIECE = bytes(range(256)) * 1024
# What may be on its way to an end that takes nothing.
HELD = 48 * 1024 * 1024


@contextlib.asynccontextmanager
async def relay_to(handler, **options):
    """The example before a server that treats each connection by `handler`."""
    options = {"compression": None, "max_size": None, **options}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        host, port = server.sockets[0].getsockname()
        async with started(f"ws://{host}:{port}/") as address:
            yield lambda **options: connect("/", address, **{"max_size": None, **options})


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def messages_pass_as_they_are():
    async with relay_to(echo) as connected, connected() as ws:
        for message in ("", "text \u20ac", b"", b"\xff", "x" * 100_000, PIECE * 20):
            await ws.send(message)
            same(await ws.recv(), message)
        await ws.ping("there?")


async def pieces_pass_before_the_end_of_their_message():
    came, seen = asyncio.Queue(), asyncio.Queue()

    async def take(ws):
        async for piece in ws.recv_streaming():
            await came.put(piece)
        # And in the other direction.
        async def pieces():
            for piece in ("one", "two", "three"):
                yield piece
                same(await seen.get(), piece)
        await ws.send(pieces())

    async def pieces():
        for piece in ("eins", "zwei", "drei"):
            yield piece
            same(await came.get(), piece)

    async with relay_to(take) as connected, connected() as ws:
        await ws.send(pieces())
        received = ""
        async for piece in ws.recv_streaming():
            received += piece
            if piece:
                await seen.put(piece)
        same(received, "onetwothree")


async def upstream_chooses_the_subprotocol():
    async with relay_to(echo, subprotocols=["chat.v1"]) as connected:
        async with connected(subprotocols=["chat.v2", "chat.v1"]) as ws:
            same(ws.subprotocol, "chat.v1")
    async with relay_to(echo) as connected:
        async with connected(subprotocols=["chat.v2"]) as ws:
            same(ws.subprotocol, None)


async def close_passes_from_the_upstream():
    async def leave(ws):
        await ws.recv()
        await ws.close(4001, "enough")

    async with relay_to(leave) as connected, connected() as ws:
        await ws.send("x")
        try:
            await ws.recv()
            raise AssertionError("a message came")
        except ConnectionClosed as error:
            same((error.rcvd.code, error.rcvd.reason), (4001, "enough"))


async def close_passes_from_the_client():
    ended = asyncio.Queue()

    async def wait(ws):
        await ws.wait_closed()
        await ended.put((ws.close_code, ws.close_reason))

    async with relay_to(wait) as connected, connected() as ws:
        await ws.close(4002, "done")
        same(await ended.get(), (4002, "done"))


async def message_without_end_is_none():
    async def vanish(ws):
        async def pieces():
            yield b"begun"
            await asyncio.sleep(0.2)
            ws.transport.abort()
        with contextlib.suppress(ConnectionClosed):
            await ws.send(pieces())

    async with relay_to(vanish) as connected, connected() as ws:
        try:
            message = await ws.recv()
            raise AssertionError(f"{message!r} came as a whole message")
        except ConnectionClosed as error:
            same(error.rcvd.code, 1001)


async def slow_upstream_slows_the_client():
    release, count = asyncio.Event(), asyncio.Queue()

    async def take_later(ws):
        await release.wait()
        octets = 0
        async for piece in ws.recv_streaming():
            octets += len(piece)
        await count.put(octets)

    sent = 0

    async def pieces():
        nonlocal sent
        for _ in range(400):
            yield PIECE
            sent += len(PIECE)

    async with relay_to(take_later, max_queue=1) as connected, connected() as ws:
        sending = asyncio.create_task(ws.send(pieces()))
        before = -1
        while sent != before or sent == 0:
            before = sent
            await asyncio.sleep(0.5)
        check(0 < sent < HELD, f"{sent} octets were taken")
        release.set()
        await sending
        same(await count.get(), 400 * len(PIECE))


async def unreachable_upstream_is_502():
    async with started("ws://127.0.0.1:1/") as address:
        try:
            async with connect("/", address):
                raise AssertionError("it was accepted")
        except InvalidStatus as error:
            same(error.response.status_code, 502)


run(
    messages_pass_as_they_are,
    pieces_pass_before_the_end_of_their_message,
    upstream_chooses_the_subprotocol,
    close_passes_from_the_upstream,
    close_passes_from_the_client,
    message_without_end_is_none,
    slow_upstream_slows_the_client,
    unreachable_upstream_is_502,
)
