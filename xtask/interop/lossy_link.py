"""Servers and clients on two machines with a bad link in between: 2 % of the packets are lost, each takes
200 ms, and one in 20 overtakes those before it. The machines are network namespaces; the link is this
script, between two devices of theirs, so that TCP of the kernel has to cope with it.

Started with the words that start the examples, one variable for each:
INTEROP_CHAT, INTEROP_UPLOAD and INTEROP_AXUM_ECHO. It needs root, `ip` and /dev/net/tun.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import heapq
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DELAY, LOSS, OVERTAKES = 0.2, 0.02, 0.05
SERVER, CLIENT, VANISHED = "10.219.0.1", "10.219.0.2", "10.219.0.3"
SECONDS_PER_CASE = 120
RANDOM = random.Random(19)


# The link: everything that follows runs in the first process.


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def tun(name):
    """A device whose packets are read and written here; it may be moved to another namespace."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    tunsetiff, iff_tun, iff_no_pi = 0x400454CA, 0x0001, 0x1000
    fcntl.ioctl(file, tunsetiff, struct.pack("16sH22x", name.encode(), iff_tun | iff_no_pi))
    return file


class Link:
    """Takes packets from each of two devices to the other."""

    def __init__(self, loop, ends):
        self.loop, self.ends = loop, ends
        self.waiting, self.timer, self.count = [], None, 0
        self.lost, self.dead, self.out = 0, set(), False
        for end, other in (ends, ends[::-1]):
            loop.add_reader(end, self.take, end, other)

    def take(self, end, other):
        while True:
            try:
                packet = os.read(end, 65536)
            except OSError:
                break
            self.count += 1
            gone = self.dead.intersection((packet[12:16], packet[16:20]))
            if self.out or gone or RANDOM.random() < LOSS:
                self.lost += 1
                continue
            delay = 0.01 if RANDOM.random() < OVERTAKES else DELAY
            heapq.heappush(self.waiting, (self.loop.time() + delay, self.count, other, packet))
        self.give()

    def give(self):
        now = self.loop.time()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, end, packet = heapq.heappop(self.waiting)
            # What a device does not take is lost, too.
            with contextlib.suppress(OSError):
                os.write(end, packet)
        if self.timer:
            self.timer.cancel()
        self.timer = None
        if self.waiting:
            self.timer = self.loop.call_at(self.waiting[0][0], self.give)

    def kill(self, address):
        self.dead.add(bytes(map(int, address.split("."))))


@contextlib.contextmanager
def machines():
    """Two namespaces, and the devices that lead to them."""
    names = [f"ws-link-{os.getpid()}-{end}" for end in "ab"]
    try:
        ends = []
        for name, own, others in (
            (names[0], [SERVER], [CLIENT, VANISHED]),
            (names[1], [CLIENT, VANISHED], [SERVER]),
        ):
            ip("netns", "add", name)
            device = f"wsl{os.getpid() % 10**7}{name[-1]}"
            ends.append(tun(device))
            ip("link", "set", device, "netns", name)
            for address in own:
                ip("-n", name, "address", "add", f"{address}/32", "dev", device)
            ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "link", "set", "lo", "up")
            for address in others:
                ip("-n", name, "route", "add", address, "dev", device)
        yield names, ends
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


async def start(machine, variable, *arguments, port):
    words = os.environ[variable].split("\n")
    return await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", machine, *words, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def main():
    failed = 0
    with machines() as (names, ends), tempfile.TemporaryDirectory() as uploads:
        link = Link(asyncio.get_running_loop(), ends)
        servers = [
            await start(names[0], "INTEROP_CHAT", f"{SERVER}:9001", port=9001),
            await start(names[0], "INTEROP_UPLOAD", f"{SERVER}:9002", uploads, port=9002),
            await start(names[0], "INTEROP_AXUM_ECHO", "--listen", f"{SERVER}:9003", port=9003),
            await start(names[0], "INTEROP_AXUM_ECHO", "--listen", f"{SERVER}:9004", port=9004),
        ]
        try:
            for server in servers:
                while not (await server.stdout.readline()).startswith(b"listening on "):
                    pass
            clients = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", names[1], sys.executable, __file__, "clients"),
                stdout=asyncio.subprocess.PIPE,
            )
            while line := (await clients.stdout.readline()).decode():
                match line.split():
                    case ["outage", seconds]:
                        link.out = True
                        asyncio.get_running_loop().call_later(
                            float(seconds), lambda: setattr(link, "out", False)
                        )
                    case ["vanish"]:
                        link.kill(VANISHED)
                    case ["shutdown"]:
                        servers[3].send_signal(signal.SIGINT)
                        asyncio.create_task(report(servers[3]))
                    case _:
                        print(line, end="", flush=True)
            failed = await clients.wait()
            if not link.lost:
                print("FAIL the link loses nothing", flush=True)
            print(f"{link.count} packets, {link.lost} of them lost", flush=True)
        finally:
            for server in servers:
                if server.returncode is None:
                    server.kill()
                await server.wait()
    sys.exit(failed)


async def report(server):
    """What a server says at its end, which comes within its time."""
    what = "shutdown ends in time, and counts who vanished"
    try:
        said = await asyncio.wait_for(server.stdout.read(), 30)
        good = b"5 closed, 1 aborted" in said
        print(f"ok {what}" if good else f"FAIL {what}: {said!r}", flush=True)
    except TimeoutError:
        print(f"FAIL {what}: it goes on", flush=True)


# The clients: everything that follows runs in a process of the second machine.


def connect(port, path, **options):
    from websockets.asyncio.client import connect

    options = {"compression": None, "proxy": None, "open_timeout": 60, **options}
    return connect(f"ws://{SERVER}:{port}{path}", ping_interval=None, **options)


def check(condition, why):
    if not condition:
        raise AssertionError(why)


async def echo_in_order(compression):
    sizes = [1, 125, 126, 1000, 20_000, 65_536] + [50] * 20
    messages = [bytes([n]) * size for n, size in enumerate(sizes)]
    async with connect(9003, "/echo", compression=compression) as ws:

        async def send():
            for message in messages:
                await ws.send(message)

        sending = asyncio.create_task(send())
        for message in messages:
            check(await ws.recv() == message, "another echo")
        await sending


async def plain_echo_comes_in_order():
    await echo_in_order(None)


async def compressed_echo_comes_in_order():
    await echo_in_order("deflate")


async def twenty_in_a_chat_read_one_order():
    async with contextlib.AsyncExitStack() as stack:
        guests = await asyncio.gather(
            *(stack.enter_async_context(connect(9001, "/chat")) for _ in range(20))
        )
        # The last one to come has come for all.
        await asyncio.sleep(3)
        await asyncio.gather(*(ws.send(f"said {n}") for n, ws in enumerate(guests)))

        async def heard(ws):
            said = []
            while len(said) < 20:
                line = await ws.recv()
                if ": said " in line:
                    said.append(line)
            return said

        orders = await asyncio.gather(*map(heard, guests))
        check(len(set(orders[0])) == 20, "a message came twice")
        check(all(order == orders[0] for order in orders), "there are two orders")

        async def leave(ws):
            closing = asyncio.create_task(ws.close())
            # One that does not read its messages does not see the end behind them.
            async for _ in ws:
                pass
            await closing

        await asyncio.gather(*map(leave, guests))


async def upload_arrives_whole():
    data = random.Random(1).randbytes(300_000)

    async def pieces():
        for at in range(0, len(data), 10_000):
            yield data[at : at + 10_000]

    async with connect(9002, "/upload/file") as ws:
        await ws.send(pieces())
        while (line := await ws.recv()).endswith("so far"):
            pass
        check(line == f"{len(data)} octets, sha256 {hashlib.sha256(data).hexdigest()}", line)


async def silent_client_is_kept_through_an_outage():
    async with connect(9003, "/echo") as ws:
        # The server's Ping comes after 20 s of silence, into the outage.
        await asyncio.sleep(19)
        print("outage 6", flush=True)
        await asyncio.sleep(11)
        await ws.send("still here")
        check(await ws.recv() == "still here", "another echo")


async def shutdown_tells_everyone():
    async with contextlib.AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(connect(9004, "/echo")) for _ in range(5)]
        gone = await connect(9004, "/echo", local_addr=(VANISHED, 0))
        await gone.send("here")
        await gone.recv()
        print("vanish", flush=True)
        print("shutdown", flush=True)
        for ws in guests:
            await ws.wait_closed()
            check(ws.close_code == 1001, f"{ws.close_code}")
    gone.transport.abort()
    # The report of the server comes meanwhile.
    await asyncio.sleep(12)


CASES = [
    plain_echo_comes_in_order,
    compressed_echo_comes_in_order,
    twenty_in_a_chat_read_one_order,
    upload_arrives_whole,
    silent_client_is_kept_through_an_outage,
    shutdown_tells_everyone,
]


async def clients():
    async def run(case):
        name = case.__name__.replace("_", " ")
        begun = time.monotonic()
        try:
            await asyncio.wait_for(case(), SECONDS_PER_CASE)
            print(f"ok {name} ({time.monotonic() - begun:.0f} s)", flush=True)
            return 0
        except Exception as error:
            why = str(error) or type(error).__name__
            print(f"FAIL {name}: {why}".replace("\n", " "), flush=True)
            return 1

    sys.exit(1 if sum(await asyncio.gather(*map(run, CASES))) else 0)


asyncio.run(clients() if sys.argv[1:] == ["clients"] else main())
