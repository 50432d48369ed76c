"""WebSockets over HTTP/2 by Python `h2`, with frames that are made by hand."""

import asyncio
import contextlib
import os
import struct
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.settings import SettingCodes

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0


def frame(opcode, payload, fin=True, masked=True, rsv1=False):
    """A frame of a client."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    mask = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", first, mask | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, mask | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask | 127, length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    # One operation on large numbers is quicker than a loop.
    pad = (key * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + key + mixed.to_bytes(length, "big")


def close_frame(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


@dataclass
class Got:
    """A frame of the server."""

    fin: bool
    rsv1: bool
    opcode: int
    payload: bytes


class Http2:
    """A connection of HTTP/2. Streams whose data is not acknowledged have a window that ends."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams = {}
        self.changed = asyncio.Condition()
        self.terminated = None
        self.settled = False

    async def run(self):
        while data := await self.reader.read(65_536):
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()
            async with self.changed:
                self.changed.notify_all()
        self.terminated = self.terminated or "the connection ended"
        async with self.changed:
            self.changed.notify_all()

    def take(self, event):
        if isinstance(event, RemoteSettingsChanged):
            self.settled = True
        elif isinstance(event, ConnectionTerminated):
            self.terminated = f"GOAWAY {event.error_code}"
        elif isinstance(event, WindowUpdated):
            pass
        elif stream := self.streams.get(getattr(event, "stream_id", None)):
            stream.take(event)

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(lambda: condition() or self.terminated)
        if not condition():
            raise AssertionError(self.terminated)

    @property
    def has_extended_connect(self):
        return self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1

    def request(self, headers, ends=False, acknowledges=True):
        number = self.h2.get_next_available_stream_id()
        stream = Stream(self, number, acknowledges)
        self.streams[number] = stream
        self.h2.send_headers(number, headers, end_stream=ends)
        self.flush()
        return stream

    async def answered(self, headers, **options):
        stream = self.request(headers, **options)
        await self.until(lambda: stream.headers is not None or stream.ended)
        return stream

    async def ask(self, path="/echo", more=(), protocol="websocket", version="13", **options):
        """Asks for a WebSocket; the stream, whatever the answer."""
        headers = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "http"),
            (":path", path),
            (":authority", "a.example"),
            ("sec-websocket-version", version),
        ]
        return await self.answered([*headers, *more], **options)

    async def open(self, path="/echo", more=(), **options):
        stream = await self.ask(path, more, **options)
        if stream.headers is None or stream.headers[":status"] != "200":
            raise AssertionError(f"{stream.headers} came, not 200")
        return stream


class Stream:
    """A stream, which has frames of WebSocket once it is open."""

    def __init__(self, http, number, acknowledges):
        self.http, self.number, self.acknowledges = http, number, acknowledges
        self.headers, self.input, self.ended, self.reset = None, bytearray(), False, None

    def take(self, event):
        if isinstance(event, ResponseReceived):
            self.headers = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.input += event.data
            if self.acknowledges:
                length = event.flow_controlled_length
                self.http.h2.acknowledge_received_data(length, self.number)
            else:
                # It counts in the window of the connection all the same.
                self.http.h2.increment_flow_control_window(max(1, event.flow_controlled_length))
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamReset):
            self.ended, self.reset = True, event.error_code

    def send_now(self, octets):
        """Sends as many octets as the windows let through; gives the rest."""
        h2 = self.http.h2
        while octets:
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if room <= 0:
                break
            h2.send_data(self.number, octets[:room])
            octets = octets[room:]
        self.http.flush()
        return octets

    async def send(self, octets):
        while octets := self.send_now(octets):
            h2 = self.http.h2
            await self.http.until(lambda: h2.local_flow_control_window(self.number) > 0)

    async def frame(self):
        """The next frame; `None` at the end."""
        while True:
            if got := self.parse():
                return got
            if self.ended:
                return None
            size = len(self.input)
            await self.http.until(lambda: len(self.input) > size or self.ended)

    def parse(self):
        octets = self.input
        if len(octets) < 2:
            return None
        if octets[1] & 0x80:
            raise AssertionError("a frame of the server is masked")
        length, start = octets[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            start += size
            if len(octets) < start:
                return None
            length = int.from_bytes(octets[2:start], "big")
        end = start + length
        if len(octets) < end:
            return None
        got = Got(
            bool(octets[0] & 0x80),
            bool(octets[0] & 0x40),
            octets[0] & 15,
            bytes(octets[start:end]),
        )
        del octets[:end]
        return got

    async def expect(self, opcode, payload):
        got = await self.frame()
        if got != Got(True, False, opcode, payload):
            what = got and (got.fin, got.rsv1, got.opcode, len(got.payload), got.payload[:60])
            raise AssertionError(f"{what} came, not {opcode} with {payload[:60]!r}")

    async def echoes(self, opcode, payload):
        await self.send(frame(opcode, payload))
        await self.expect(opcode, payload)

    async def expect_close(self, code):
        """A Close with this code; `None` is a Close without one."""
        got = await self.frame()
        if got is None or got.opcode != CLOSE:
            raise AssertionError(f"{got} came, not a Close")
        found = struct.unpack("!H", got.payload[:2])[0] if got.payload else None
        if found != code:
            raise AssertionError(f"a Close came with {found}, not {code}: {got.payload[2:]!r}")

    async def expect_end(self):
        got = await self.frame()
        if got is not None:
            raise AssertionError(f"{got} came, not the end")

    def end(self):
        self.http.h2.end_stream(self.number)
        self.http.flush()

    def cancel(self):
        self.http.h2.reset_stream(self.number, error_code=8)
        self.http.flush()


@contextlib.asynccontextmanager
async def http2(address, window=65_535, tls=None):
    """A connection of HTTP/2, whose streams have a window of so many octets."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    http = Http2(reader, writer)
    http.h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
    http.h2.local_settings[SettingCodes.ENABLE_PUSH] = 0
    http.h2.initiate_connection()
    http.h2.increment_flow_control_window(1 << 24)
    http.flush()
    running = asyncio.create_task(http.run())
    try:
        await http.until(lambda: http.settled)
        yield http
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await running
        writer.close()
