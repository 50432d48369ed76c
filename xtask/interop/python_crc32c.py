"""Python `websockets` speaks `x-crc32c` with an echo server.

    python_crc32c.py client ws://ADDRESS/PATH

The extension is written here a second time, on the extension API of `websockets`, with a CRC32C of
its own. Every case is a connection of its own and ends in one line, `ok NAME` or `FAIL NAME: why`.
"""

import asyncio
import dataclasses
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, PayloadTooBig, ProtocolError
from websockets.extensions.base import ClientExtensionFactory, Extension
from websockets.frames import DATA_OPCODES

SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_000_000]
SECONDS_PER_CASE = 20


def table_of(polynomial):
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (polynomial if octet & 1 else 0)
        table.append(octet)
    return table


# RFC 3720: the polynomial 0x11edc6f41, its bits reversed.
TABLE = table_of(0x82F63B78)


def crc32c(data):
    crc = 0xFFFFFFFF
    for octet in bytes(data):
        crc = TABLE[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Checksum(Extension):
    name = "x-crc32c"

    def __init__(self):
        self.received = 0
        # Applied to the next frame that is sent, when its checksum stands.
        self.spoil = None

    def encode(self, frame):
        if frame.opcode not in DATA_OPCODES:
            return frame
        data = bytes(frame.data)
        frame = dataclasses.replace(
            frame, data=data + crc32c(data).to_bytes(4, "big"), rsv3=True
        )
        if self.spoil is not None:
            frame, self.spoil = self.spoil(frame), None
        return frame

    def decode(self, frame, *, max_size=None):
        if frame.opcode not in DATA_OPCODES:
            return frame
        if not frame.rsv3:
            raise ProtocolError("a data frame without RSV3")
        data = bytes(frame.data)
        if max_size is not None and len(data) - 4 > max_size:
            raise PayloadTooBig(len(data) - 4, max_size)
        if len(data) < 4 or crc32c(data[:-4]) != int.from_bytes(data[-4:], "big"):
            raise ProtocolError("the checksum is wrong")
        self.received += 1
        return dataclasses.replace(frame, data=data[:-4], rsv3=False)


class ChecksumFactory(ClientExtensionFactory):
    name = Checksum.name

    def get_request_params(self):
        return []

    def process_response_params(self, params, accepted_extensions):
        check(not params, f"the server answered with {params}")
        return Checksum()


def text_of(size):
    """Text of `size` octets with characters of one to four, so that fragments cut through them."""
    octets = ("aé€😀" * (size // 10 + 1)).encode()[:size]
    text = octets.decode(errors="ignore")
    return text + "." * (size - len(text.encode()))


def binary_of(size):
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


def check(condition, why):
    if not condition:
        raise AssertionError(why)


async def echo(ws, checksum, message, fragmented):
    text = isinstance(message, str)
    if fragmented:
        octets = message.encode() if text else message
        step = len(octets) // 3 + 1
        pieces = [octets[at : at + step] for at in (0, step, 2 * step)]
        await ws.send(pieces, text=text)
    else:
        await ws.send(message)
    echoed = await ws.recv()
    check(type(echoed) is type(message) and echoed == message, "the echo is another message")
    check(checksum.received > 0, "the echo came without a checksum")


async def many(ws, checksum):
    for size in range(130):
        await echo(ws, checksum, binary_of(size), size % 2 == 1)
        # Control frames stand outside of the extension.
        await (await ws.ping(binary_of(size % 126)))
    check(checksum.received == 130, f"{checksum.received} frames with a checksum, not 130")


async def refused(ws, checksum, spoil, fragmented):
    """The frame that `spoil` changes has to be answered by a Close with 1007."""
    await echo(ws, checksum, "before", False)
    if fragmented:
        async def pieces():
            yield b"first, "
            checksum.spoil = spoil
            yield b"second, "
            yield b"third"
        sending = ws.send(pieces(), text=False)
    else:
        checksum.spoil = spoil
        sending = ws.send(b"spoiled")
    try:
        await sending
        received = await ws.recv()
    except ConnectionClosed as closed:
        check(closed.rcvd is not None, "no Close came")
        check(closed.rcvd.code == 1007, f"closed with {closed.rcvd.code}, not with 1007")
    else:
        raise AssertionError(f"it was taken: {received!r} came back")


def flipped(at):
    def spoil(frame):
        data = bytearray(frame.data)
        data[at] ^= 0x10
        return dataclasses.replace(frame, data=bytes(data))
    return spoil


def cases():
    for kind, make in (("text", text_of), ("binary", binary_of)):
        for size in SIZES:
            for how, fragmented in (("whole", False), ("fragmented", True)):
                def exchange(ws, checksum, make=make, size=size, fragmented=fragmented):
                    return echo(ws, checksum, make(size), fragmented)
                yield f"{kind}-{size}-{how}", exchange
    yield "many-on-one-connection", many
    for name, spoil in (
        ("corrupt-checksum", flipped(-1)),
        ("corrupt-payload", flipped(0)),
        ("short-payload", lambda frame: dataclasses.replace(frame, data=b"abc")),
        ("without-rsv3", lambda frame: dataclasses.replace(frame, rsv3=False)),
    ):
        for how, fragmented in (("whole", False), ("fragmented", True)):
            def exchange(ws, checksum, spoil=spoil, fragmented=fragmented):
                return refused(ws, checksum, spoil, fragmented)
            yield f"{name}-{how}", exchange


async def one(url, name, exchange):
    async with connect(
        f"{url}?{name}",
        extensions=[ChecksumFactory()],
        compression=None,
        ping_interval=None,
        proxy=None,
    ) as ws:
        agreed = ws.protocol.extensions
        check([each.name for each in agreed] == ["x-crc32c"], f"agreed on {agreed}")
        await exchange(ws, agreed[0])
        if ws.close_code is None:
            await ws.close(1000)
            received = ws.protocol.close_rcvd
            check(received is not None and received.code == 1000, "no Close came back")


async def as_client(url):
    check(crc32c(b"123456789") == 0xE3069283, "the CRC32C of this script is wrong")
    failed = 0
    for name, exchange in cases():
        try:
            async with asyncio.timeout(SECONDS_PER_CASE):
                await one(url, name, exchange)
            print(f"ok {name}", flush=True)
        except Exception as error:
            why = str(error) or type(error).__name__
            print(f"FAIL {name}: {' '.join(why.split())}", flush=True)
            failed += 1
    return failed


match sys.argv[1:]:
    case ["client", url]:
        failed = asyncio.run(as_client(url))
    case _:
        sys.exit(__doc__)
sys.exit(1 if failed else 0)
