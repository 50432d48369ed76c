"""The example `tls`: what it tells of a client, and a certificate that is renewed."""

import asyncio
import contextlib
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import SCRATCH, check, run, same  # noqa: E402
from front_ends import certificate  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import InvalidMessage  # noqa: E402

FIRST = certificate("first", "localhost")
SECOND = certificate("second", "localhost")
CURRENT = SCRATCH / "current.pem", SCRATCH / "current.key"


def show(files):
    for source, target in zip(files, CURRENT):
        shutil.copy(source, target)


@contextlib.asynccontextmanager
async def example(*arguments):
    """Gives the process and its port."""
    show(FIRST)
    words = [*sys.argv[1:], "127.0.0.1:0", *CURRENT, *arguments]
    server = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    try:
        line = await server.stdout.readline()
        yield server, int(line.decode().rsplit(":", 1)[1])
    finally:
        server.terminate()
        await server.wait()


def connection(port, roots, own=None):
    context = ssl.create_default_context(cafile=roots[0])
    if own:
        context.load_cert_chain(*own)
    return connect(f"wss://localhost:{port}/", ssl=context, proxy=None)


async def it_tells_what_was_agreed_on():
    async with example() as (_, port), connection(port, FIRST) as ws:
        told = await ws.recv()
        check(told.startswith("TLSv1_3, TLS13_"), told)
        check(told.endswith(", for localhost, and 0 certificates of yours"), told)


async def a_client_may_show_its_certificate():
    authority = certificate("authority", "authority")
    own = certificate("client", "client.example", issuer=authority)
    async with example(authority[0]) as (_, port):
        for shown, number in ((own, 1), (None, 0)):
            async with connection(port, FIRST, shown) as ws:
                told = await ws.recv()
                check(told.endswith(f"and {number} certificates of yours"), told)
        try:
            # One that nobody known has issued.
            async with connection(port, FIRST, SECOND) as ws:
                await ws.recv()
            raise AssertionError("a stranger's certificate was taken")
        except InvalidMessage:
            pass


async def it_reads_its_certificate_again_and_keeps_its_connections():
    async with example() as (server, port), connection(port, FIRST) as old:
        await old.recv()
        show(SECOND)
        server.send_signal(signal.SIGHUP)
        same(await server.stdout.readline(), b"new connections see the new certificate\n")
        async with connection(port, SECOND) as new:
            await new.recv()
        await old.send("still here")
        same(await old.recv(), "still here")
        CURRENT[1].write_text("no key")
        server.send_signal(signal.SIGHUP)
        line = (await server.stdout.readline()).decode()
        check(line.startswith("the old certificate remains: ") and "current.key" in line, line)
        async with connection(port, SECOND) as new:
            await new.recv()


run(
    it_tells_what_was_agreed_on,
    a_client_may_show_its_certificate,
    it_reads_its_certificate_again_and_keeps_its_connections,
)
