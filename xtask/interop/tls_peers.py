"""The demo over TLS with odd handshakes by `openssl s_client`, and a certificate that is renewed.

    tls_peers.py DEMO ARG...        the words that start the demo
"""

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "examples"))

from cases import check, run, same  # noqa: E402
from front_ends import SCRATCH, certificate  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402

HOSTS = ["localhost", "127.0.0.1"]
CERT, KEY = certificate("first", *HOSTS)
REQUEST = (
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
# A masked Close with 1000.
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


@contextlib.asynccontextmanager
async def demo(cert=CERT, key=KEY):
    """Gives the process, and its port. It must still run at the end."""
    words = ["--listen", "127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key)]
    words += ["--max-per-ip", "2000"]
    server = await asyncio.create_subprocess_exec(*sys.argv[1:], *words, stdout=subprocess.PIPE)
    try:
        line = await server.stdout.readline()
        yield server, int(line.decode().split()[2].rsplit(":", 1)[1])
        check(server.returncode is None, "the server ended")
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def s_client(port, *options):
    """What `openssl s_client` prints: what came, and what it says of the connection."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(CERT)]
    client = await asyncio.create_subprocess_exec(
        *words, *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    client.stdin.write(REQUEST)
    printed = b""
    while more := await client.stdout.read(65536):
        printed += more
        # What comes before the 101 would be refused.
        if b"HTTP/1.1 101 " in printed and not client.stdin.is_closing():
            client.stdin.write(CLOSE)
            client.stdin.close()
    await client.wait()
    return printed.decode(errors="replace")


async def opens(port, *options):
    printed = await s_client(port, "-servername", "localhost", "-ign_eof", *options)
    check("HTTP/1.1 101 " in printed, printed[-300:])
    return printed


async def refuses(port, why, *options):
    printed = await s_client(port, "-ign_eof", *options)
    check("HTTP/1.1" not in printed, "it opened")
    check(why in printed, printed[:600])


async def speaks_1_3_and_1_2():
    async with demo() as (_, port):
        for version, name in (("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")):
            printed = await opens(port, version)
            check(f"New, {name}" in printed or name in printed, f"no {name}")
            check("Verify return code: 0 (ok)" in printed, "it does not verify")


async def speaks_no_older_version():
    async with demo() as (_, port):
        for version in ("-tls1_1", "-tls1"):
            # Without its own refusal of them.
            await refuses(port, "SSL alert number", version, "-cipher", "DEFAULT@SECLEVEL=0")
        await opens(port)


async def chooses_http_1_1_by_alpn_or_refuses():
    async with demo() as (_, port):
        printed = await opens(port, "-alpn", "h2,http/1.1")
        check("ALPN protocol: http/1.1" in printed, "no ALPN")
        printed = await opens(port)
        check("No ALPN negotiated" in printed, "ALPN without an offer")
        for version in ("-tls1_3", "-tls1_2"):
            await refuses(port, "alert no application protocol", "-alpn", "h2,spdy/3", version)


async def has_a_certificate_for_clients_that_name_no_host_or_another():
    async with demo() as (_, port):
        for options in (["-noservername"], ["-servername", "other.example"]):
            printed = await s_client(port, "-ign_eof", *options)
            check("HTTP/1.1 101 " in printed and "CN = first" in printed, printed[-300:])


async def agrees_on_no_weak_cipher():
    async with demo() as (_, port):
        weak = ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"]
        for cipher in weak:
            await refuses(
                port, "alert handshake failure", "-tls1_2", "-cipher", f"{cipher}@SECLEVEL=0"
            )
        await opens(port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")


async def resumes_a_session():
    async with demo() as (_, port):
        session = str(SCRATCH / "session.pem")
        for version in ("-tls1_2", "-tls1_3"):
            await opens(port, version, "-sess_out", session)
            printed = await opens(port, version, "-sess_in", session)
            check("Reused, " in printed, f"{version}: nothing was resumed")


async def renegotiates_nothing():
    async with demo() as (_, port):
        # `R` at the beginning of a line asks for it.
        client = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        client.stdin.write(b"R\n")
        printed = (await asyncio.wait_for(client.stdout.read(), 15)).decode(errors="replace")
        await client.wait()
        refused = "no renegotiation" in printed or "unexpected" in printed or "error" in printed
        check("RENEGOTIATING" in printed and refused, printed[-300:])
        await opens(port)


# RT-50
async def answers_plain_text_with_an_alert():
    async with demo() as (_, port):
        for sent in (REQUEST, REQUEST + os.urandom(32 * 1024), b"\0" * 100, b"SSH-2.0-x\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            came = await reader.read()
            writer.close()
            # RFC 8446 6: an alert is a record of type 21, and 2 is fatal.
            check(came[:1] == b"\x15" and came[5:6] == b"\x02", f"{came!r} came")
        await opens(port)


# RT-50
async def waits_for_no_half_of_a_hello():
    async with demo() as (_, port):
        hello = client_hello()
        begun = asyncio.get_running_loop().time()
        connections = []
        for end in (0, 1, 5, 6, len(hello) // 2, len(hello) - 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(hello[:end])
            connections.append((reader, writer))
        # One half that ends, and one that a reset ends.
        for cut in (1, 2):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(hello[: len(hello) // 2])
            await writer.drain()
            writer.transport.abort() if cut == 1 else writer.close()
        await opens(port)
        for reader, writer in connections:
            with contextlib.suppress(ConnectionError):
                same(await reader.read(), b"")
            writer.close()
        took = asyncio.get_running_loop().time() - begun
        # `ServerLimits::head_timeout`
        check(9 < took < 40, f"it waited for {took:.1f} s")


async def Python_websockets_over_wss():
    script = Path(__file__).parent / "python_websockets.py"
    # Whom Python believes.
    environment = {**os.environ, "SSL_CERT_FILE": str(CERT)}
    async with demo() as (_, port):
        words = [sys.executable, script, "client", f"wss://localhost:{port}/echo", "echo.v1"]
        # Its cases are lines of the output.
        peer = await asyncio.create_subprocess_exec(*words, env=environment)
        same(await peer.wait(), 0)


def client_hello():
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def renews_its_certificate_under_1000_connections():
    cert, key = SCRATCH / "current.pem", SCRATCH / "current.key"
    shutil.copy(CERT, cert)
    shutil.copy(KEY, key)
    second, second_key = certificate("second", *HOSTS)
    before = ssl.create_default_context(cafile=CERT)
    after = ssl.create_default_context(cafile=second)
    async with demo(cert, key) as (server, port), contextlib.AsyncExitStack() as stack:

        def open_one(context):
            url = f"wss://localhost:{port}/echo"
            return connect(url, ssl=context, proxy=None, compression=None, ping_interval=None)

        opened = []
        for _ in range(20):
            batch = [stack.enter_async_context(open_one(before)) for _ in range(50)]
            opened += await asyncio.gather(*batch)
        # What does not fit together changes nothing.
        shutil.copy(second, cert)
        server.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        async with open_one(before):
            pass
        shutil.copy(second_key, key)
        server.send_signal(signal.SIGHUP)
        while True:
            try:
                ws = await stack.enter_async_context(open_one(after))
                break
            except ssl.SSLCertVerificationError:
                # It still reads them; a case has its 20 s.
                await asyncio.sleep(0.05)
        await ws.send("new")
        same(await ws.recv(), "new")
        try:
            async with open_one(before):
                raise AssertionError("the old certificate was shown")
        except ssl.SSLCertVerificationError:
            pass
        same(len(opened), 1000)
        for ws in opened:
            await ws.send("still here")
        for ws in opened:
            same(await ws.recv(), "still here")


run(
    speaks_1_3_and_1_2,
    speaks_no_older_version,
    chooses_http_1_1_by_alpn_or_refuses,
    has_a_certificate_for_clients_that_name_no_host_or_another,
    agrees_on_no_weak_cipher,
    resumes_a_session,
    renegotiates_nothing,
    answers_plain_text_with_an_alert,
    waits_for_no_half_of_a_hello,
    renews_its_certificate_under_1000_connections,
    Python_websockets_over_wss,
)
