"""The example `tcp_bridge`: octets both ways, both ends slow, and how either end ends."""

import asyncio
import contextlib
import hashlib

from cases import check, connect, run, same, started
from websockets.exceptions import ConnectionClosed

# More than the buffers of the kernel on both sides hold.
AMOUNT = 96 * 1024 * 1024
PIECE = bytes(range(256)) * 256
# What may be on its way to an end that takes nothing.
HELD = 48 * 1024 * 1024


@contextlib.asynccontextmanager
async def bridge_to(handler):
    """The example before a TCP server that treats each connection by `handler`."""
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with started(f"{host}:{port}") as address:
            yield lambda: connect("/", address, subprotocols=["binary"], max_size=None)


async def closed(ws):
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as error:
        return error.rcvd.code, error.rcvd.reason


async def stalled(amount):
    """How much has gone when nothing moves any more."""
    before = -1
    while (now := amount()) != before or now == 0:
        before = now
        await asyncio.sleep(0.5)
    check(0 < now < HELD, f"{now} octets were taken")


async def octets_go_both_ways():
    async def echo(reader, writer):
        while octets := await reader.read(1000):
            writer.write(octets)

    async with bridge_to(echo) as connected, connected() as ws:
        same(ws.subprotocol, "binary")
        messages = [PIECE[:size] for size in (0, 1, 125, 126, 65_535, 65_536)] + [PIECE * 160]
        sent = b"".join(messages)
        sending = asyncio.gather(*map(ws.send, messages))
        received = b""
        while len(received) < len(sent):
            received += await ws.recv()
        await sending
        check(received == sent, "other octets came back")


async def slow_server_slows_the_client():
    release = asyncio.Event()
    digest = asyncio.get_running_loop().create_future()

    async def slow(reader, writer):
        await release.wait()
        seen = hashlib.sha256()
        while octets := await reader.read(1 << 20):
            seen.update(octets)
        digest.set_result(seen.digest())

    async with bridge_to(slow) as connected, connected() as ws:
        sent, expected = 0, hashlib.sha256()

        async def send():
            nonlocal sent
            while sent < AMOUNT:
                await ws.send(PIECE)
                expected.update(PIECE)
                sent += len(PIECE)

        sending = asyncio.create_task(send())
        await stalled(lambda: sent)
        release.set()
        await sending
        await ws.close()
        check(await digest == expected.digest(), "other octets came")


async def slow_client_slows_the_server():
    sent, expected = 0, hashlib.sha256()

    async def send(reader, writer):
        nonlocal sent
        while sent < AMOUNT:
            writer.write(PIECE)
            await writer.drain()
            expected.update(PIECE)
            sent += len(PIECE)
        writer.close()

    async with bridge_to(send) as connected, connected() as ws:
        await stalled(lambda: sent)
        seen = hashlib.sha256()
        try:
            while True:
                seen.update(await ws.recv())
        except ConnectionClosed as error:
            same(error.rcvd.code, 1000)
        check(seen.digest() == expected.digest(), "other octets came")


async def end_of_the_server_closes():
    async def farewell(reader, writer):
        writer.write(b"farewell")
        writer.close()

    async with bridge_to(farewell) as connected, connected() as ws:
        same(await ws.recv(), b"farewell")
        same(await closed(ws), (1000, ""))


async def end_of_the_client_ends_the_stream():
    everything = asyncio.get_running_loop().create_future()

    async def read(reader, writer):
        everything.set_result(await reader.read(-1))

    async with bridge_to(read) as connected:
        async with connected() as ws:
            await ws.send(b"the last ")
            await ws.send(b"words")
        same(await everything, b"the last words")


async def text_is_refused():
    async def read(reader, writer):
        await reader.read(-1)

    async with bridge_to(read) as connected, connected() as ws:
        await ws.send("text")
        same(await closed(ws), (1003, "binary messages alone"))


async def server_that_is_not_there_is_reported():
    async with started("127.0.0.1:1") as address, connect("/", address) as ws:
        same(await closed(ws), (1014, "the TCP server is not there"))


run(
    octets_go_both_ways,
    slow_server_slows_the_client,
    slow_client_slows_the_server,
    end_of_the_server_closes,
    end_of_the_client_ends_the_stream,
    text_is_refused,
    server_that_is_not_there_is_reported,
)
