"""Python `websockets` as the foreign peer of an echo program.

    python_websockets.py client ws://ADDRESS/PATH [SUBPROTOCOL]
                                  as client of an echo server, and what that speaks, if it does
    python_websockets.py server PROGRAM ARG...    as server; runs `PROGRAM ARG... URL` for each case

Either way this peer drives: it sends, compares what comes back, and closes. Every case is a
connection of its own and ends in one line, `ok NAME` or `FAIL NAME: why`. With
INTEROP_COMPRESSION=deflate it compresses as a client.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_000_000]
SECONDS_PER_CASE = 20


def text_of(size):
    """Text of `size` octets with characters of one to four, so that fragments cut through them."""
    octets = ("aé€😀" * (size // 10 + 1)).encode()[:size]
    text = octets.decode(errors="ignore")
    return text + "." * (size - len(text.encode()))


def binary_of(size):
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


def fragments_of(octets):
    step = len(octets) // 3 + 1
    return [octets[:step], octets[step : 2 * step], octets[2 * step :]]


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def shown(message):
    if isinstance(message, str):
        return f"text of {len(message.encode())} octets"
    return f"binary of {len(message)} octets"


async def echo(ws, message, fragmented):
    if fragmented:
        text = isinstance(message, str)
        octets = message.encode() if text else message
        await ws.send(fragments_of(octets), text=text)
    else:
        await ws.send(message)
    echoed = await ws.recv()
    check(type(echoed) is type(message) and echoed == message, f"sent {shown(message)}, got {shown(echoed)}")


async def ping(ws, payload):
    # Resolved by the Pong whose payload is equal, and by no other.
    await (await ws.ping(payload))


async def ping_between_fragments(ws):
    async def pieces():
        yield b"before "
        await ping(ws, b"between")
        yield b"after"

    await ws.send(pieces(), text=True)
    check(await ws.recv() == "before after", "the message around the ping was changed")


async def close(ws, code, reason=""):
    await ws.close(code, reason)
    received = ws.protocol.close_rcvd
    check(received is not None, "no Close came back")
    # 1005 stands for a Close without a code.
    expected = 1005 if code is None else code
    check(received.code == expected, f"closed with {code}, {received.code} came back")


def cases():
    for kind, make in (("text", text_of), ("binary", binary_of)):
        for size in SIZES:
            for how, fragmented in (("whole", False), ("fragmented", True)):
                def exchange(ws, make=make, size=size, fragmented=fragmented):
                    return echo(ws, make(size), fragmented)
                yield f"{kind}-{size}-{how}", exchange, (1000,)
    for size in (0, 5, 125):
        yield f"ping-{size}", lambda ws, size=size: ping(ws, binary_of(size)), (1000,)
    yield "ping-between-fragments", ping_between_fragments, (1000,)
    for name, code in (
        ("close-1000-reason", (1000, "that was all")),
        ("close-3000", (3000,)),
        ("close-4999", (4999,)),
        ("close-without-code", (None,)),
    ):
        yield name, lambda ws: echo(ws, "last", False), code


async def drive(ws, exchange, code):
    await exchange(ws)
    await close(ws, *code)


async def as_client(url, spoken=None):
    compression = os.environ.get("INTEROP_COMPRESSION")

    async def one(name, exchange, code):
        options = dict(compression=compression, ping_interval=None, proxy=None)
        async with connect(f"{url}?{name}", **options) as ws:
            agreed = [extension.name for extension in ws.protocol.extensions]
            wanted = ["permessage-deflate"] if compression else []
            check(agreed == wanted, f"agreed on {agreed}, not on {wanted}")
            await drive(ws, exchange, code)

    async def subprotocol(name, exchange, code):
        offers = ["x.unknown", spoken or "x.other"]
        async with connect(url, subprotocols=offers, compression=compression, proxy=None) as ws:
            check(ws.subprotocol == spoken, f"agreed on {ws.subprotocol}, not on {spoken}")
            await drive(ws, exchange, code)

    failed = await each(one)
    echo_last = lambda ws: echo(ws, "last", False)
    return failed + await each(subprotocol, [("subprotocol", echo_last, (1000,))])


async def as_server(command):
    driven = asyncio.Queue()
    scenario = {name: (exchange, code) for name, exchange, code in cases()}

    async def handler(ws):
        try:
            exchange, code = scenario[ws.request.path.removeprefix("/")]
            await drive(ws, exchange, code)
            driven.put_nowait(None)
        except Exception as error:
            driven.put_nowait(error)

    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]

        async def one(name, exchange, code):
            while not driven.empty():
                driven.get_nowait()
            client = await asyncio.create_subprocess_exec(
                *command,
                f"ws://127.0.0.1:{port}/{name}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
            ended = asyncio.ensure_future(client.wait())
            outcome = asyncio.ensure_future(driven.get())
            try:
                await asyncio.wait([ended, outcome], return_when=asyncio.FIRST_COMPLETED)
                if not outcome.done():
                    # It ended first: either we notice at once, or it never connected.
                    await asyncio.wait([outcome], timeout=10)
                if outcome.done() and outcome.result() is not None:
                    raise outcome.result()
                status = await ended
                check(outcome.done(), f"the client ended with status {status} before it was served")
                check(status == 0, f"the client ended with status {status} after a proper Close")
            finally:
                outcome.cancel()
                if client.returncode is None:
                    client.kill()
                    await client.wait()

        return await each(one)


async def each(one, which=None):
    failed = 0
    for name, exchange, code in which or cases():
        try:
            async with asyncio.timeout(SECONDS_PER_CASE):
                await one(name, exchange, code)
            print(f"ok {name}", flush=True)
        except Exception as error:
            why = str(error) or type(error).__name__
            print(f"FAIL {name}: {' '.join(why.split())}", flush=True)
            failed += 1
    return failed


match sys.argv[1:]:
    case ["client", url, *spoken] if len(spoken) < 2:
        failed = asyncio.run(as_client(url, *spoken))
    case ["server", *command] if command:
        failed = asyncio.run(as_server(command))
    case _:
        sys.exit(__doc__)
sys.exit(1 if failed else 0)
