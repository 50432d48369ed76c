"""nginx and HAProxy in front of the demo, over HTTP and with the PROXY protocol, with the
configurations of the guide.

    proxies.py DEMO ARG...        the words that start the demo

INTEROP_GUIDE names docs/proxies.md, INTEROP_CONF behind_nginx.conf, INTEROP_NGINX and
INTEROP_HAPROXY the programs, INTEROP_SCRATCH a directory for what is written. A Chromium goes
through nginx that ends TLS, and to a demo that ends it itself: chromium_wss.mjs, which has its own
cases and variables.
"""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "examples"))

from cases import check, connect, run, same  # noqa: E402
from front_ends import SCRATCH, certificate, free_port, haproxy, nginx, tied, with_ports  # noqa: E402
from websockets.asyncio.client import connect as websocket  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

GUIDE = Path(os.environ["INTEROP_GUIDE"]).read_text()
CONF = Path(os.environ["INTEROP_CONF"]).read_text()
numbers = itertools.count()
# The limit of connections from one address.
MAX_PER_IP = 2


def of_guide(title):
    """The configuration in the guide that begins with this comment."""
    blocks = re.findall(r"```(?:nginx|haproxy)\n# (.*)\n((?s:.*?))```", GUIDE)
    return dict(blocks)[title]


@contextlib.asynccontextmanager
async def demo(*arguments):
    """Starts the demo; gives its address, and a function that gives its log."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / f"demo-{next(numbers)}.log"
    with path.open("w") as log:
        words = [*sys.argv[1:], "--listen", "127.0.0.1:0", *arguments]
        server = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        line = await server.stdout.readline()
        yield line.decode().split()[2], path.read_text
    finally:
        server.terminate()
        await server.wait()


@contextlib.asynccontextmanager
async def behind(how, front):
    """The demo behind a front end; gives the address of that, and the demo's log."""
    async with demo("--behind", how, "--max-per-ip", str(MAX_PER_IP)) as (address, log):
        ports = {"8080": free_port(), "8443": free_port(), "9001": address.split(":")[1]}
        async with front(ports):
            yield f"127.0.0.1:{ports['8080']}", log


def unchanged(text):
    return text


def nginx_http(ports, change=unchanged):
    text = change(with_ports(CONF, ports))
    return nginx(f"nginx-{ports['8080']}", ports["8080"], http=text)


def nginx_stream(ports, change=unchanged):
    text = change(with_ports(of_guide("nginx with the PROXY protocol"), ports))
    return nginx(f"nginx-{ports['8080']}", ports["8080"], stream=text)


def haproxy_http(ports, change=unchanged):
    text = change(with_ports(of_guide("haproxy with headers"), ports))
    return haproxy(f"haproxy-{ports['8080']}", ports["8080"], text)


def haproxy_v2(ports, change=unchanged):
    text = change(with_ports(of_guide("haproxy with the PROXY protocol"), ports))
    return haproxy(f"haproxy-{ports['8080']}", ports["8080"], text)


def haproxy_v1(ports):
    return haproxy_v2(ports, lambda text: text.replace("send-proxy-v2", "send-proxy"))


FRONTS = [
    ("nginx with X-Forwarded-For", "x-forwarded-for", nginx_http),
    ("nginx with the PROXY protocol", "proxy-protocol", nginx_stream),
    ("HAProxy with X-Forwarded-For", "x-forwarded-for", haproxy_http),
    ("HAProxy with Forwarded", "forwarded", haproxy_http),
    ("HAProxy with the PROXY protocol 1", "proxy-protocol", haproxy_v1),
    ("HAProxy with the PROXY protocol 2", "proxy-protocol", haproxy_v2),
]


def from_address(path, address, client, **options):
    """A connection from one of this machine's addresses."""
    return connect(path, address, local_addr=(client, 0), **options)


def who(told):
    """The address of `ADDRESS:PORT by SCHEME`."""
    return told.split()[0].rsplit(":", 1)[0]


async def knows_the_client(address, log):
    async with from_address("/whoami", address, "127.1.0.7") as ws:
        told = await ws.recv()
        same(who(told), "127.1.0.7")
        same(told.split()[2], "ws")
    # Nor do health checks fill the log.
    check("transport failed" not in log(), log())


async def echoes_a_megabyte(address, _log):
    async with from_address("/echo", address, "127.1.0.8", max_size=None) as ws:
        message = os.urandom(1_000_000)
        await ws.send(message)
        check(await ws.recv() == message, "another message came back")


# T-B8
async def opens_300_from_300_addresses(address, _log):
    clients = [f"127.1.{n // 250}.{1 + n % 250}" for n in range(300)]
    async with contextlib.AsyncExitStack() as stack:
        for batch in (clients[n : n + 50] for n in range(0, 300, 50)):
            opening = [from_address("/whoami", address, client) for client in batch]
            opened = await asyncio.gather(*(stack.enter_async_context(one) for one in opening))
            told = await asyncio.gather(*(ws.recv() for ws in opened))
            same([who(one) for one in told], batch)


async def limits_and_logs_the_client_itself(address, log):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_PER_IP):
            await stack.enter_async_context(from_address("/whoami", address, "127.1.2.1"))
        try:
            async with from_address("/whoami", address, "127.1.2.1"):
                raise AssertionError("one more opened")
        except InvalidStatus as error:
            same(error.response.status_code, 503)
        lines = [line for line in log().splitlines() if "max_per_ip" in line]
        check(lines and "127.1.2.1:" in lines[-1], f"the log says {lines}")
        async with from_address("/whoami", address, "127.1.2.2") as other:
            same(who(await other.recv()), "127.1.2.2")


# T-B22
async def believes_no_client(address, _log):
    lies = {
        "X-Forwarded-For": "10.9.9.9",
        "Forwarded": 'for=10.9.9.9, for="10.9.9.8";proto=https',
        "X-Real-IP": "10.9.9.9",
    }
    torn = {"X-Forwarded-For": '10.9.9.9, "', "Forwarded": 'for="10.9.9.9'}
    for headers in (lies, torn, {**lies, "X-Forwarded-Proto": "https"}):
        async with from_address("/whoami", address, "127.1.3.1", additional_headers=headers) as ws:
            told = await ws.recv()
            same((who(told), told.split()[2]), ("127.1.3.1", "ws"))


CASES = [
    knows_the_client,
    echoes_a_megabyte,
    opens_300_from_300_addresses,
    limits_and_logs_the_client_itself,
    believes_no_client,
]


def case_of(name, how, front, case):
    async def one():
        async with behind(how, front) as (address, log):
            await case(address, log)

    one.__name__ = f"{name} {case.__name__}"
    return one


def pin(path):
    """The hash of a certificate's public key, by which Chromium knows it."""
    words = ["openssl", "x509", "-in", path, "-noout", "-pubkey"]
    key = subprocess.run(words, check=True, capture_output=True).stdout
    words = ["openssl", "pkey", "-pubin", "-outform", "der"]
    der = subprocess.run(words, check=True, capture_output=True, input=key).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


async def nginx_that_ends_tls():
    cert, key = certificate("localhost", "localhost", "127.0.0.1")
    trusting = ssl.create_default_context(cafile=cert)
    files = ["--tls-cert", str(cert), "--tls-key", str(key)]
    async with demo("--behind", "x-forwarded-for") as (plain, _), demo(*files) as (direct, _):
        ports = {"8080": free_port(), "8443": free_port(), "9001": plain.split(":")[1]}
        listen = of_guide("nginx with TLS").replace("/etc/nginx/cert.pem", str(cert))
        listen = listen.replace("/etc/nginx/key.pem", str(key))
        text = CONF.replace("    listen 8080;\n", f"    listen 8080;\n{listen}")
        async with nginx("nginx-tls", ports["8443"], http=with_ports(text, ports)):
            url = f"wss://localhost:{ports['8443']}/whoami"
            async with websocket(url, ssl=trusting, proxy=None) as ws:
                same((await ws.recv()).split()[2], "wss")
            script = Path(__file__).parent / "chromium_wss.mjs"
            urls = [f"https://localhost:{port}" for port in (direct.split(":")[1], ports["8443"])]
            words = tied(["node", script, pin(cert), *urls])
            chromium = await asyncio.create_subprocess_exec(*words)
            same(await chromium.wait(), 0)


# Beyond the server's heartbeat of 20 s, and below it.
LONGER, SHORTER = 23, 10


@contextlib.asynccontextmanager
async def silent(how, front, seconds):
    """A connection that says nothing, through a front end with timeouts of so many seconds."""

    def impatient(ports):
        return front(ports, lambda text: text.replace("60s", f"{seconds}s"))

    async with behind(how, impatient) as (address, _):
        async with connect("/echo", address, ping_interval=None) as ws:
            yield ws


async def outlives(how, front):
    async with silent(how, front, LONGER) as ws:
        await asyncio.sleep(LONGER + 2)
        await ws.send("still here")
        same(await ws.recv(), "still here")


async def is_cut(how, front):
    async with silent(how, front, SHORTER) as ws:
        begun = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionClosed):
            await ws.recv()
        took = asyncio.get_running_loop().time() - begun
        check(took < LONGER, f"it was cut after {took:.0f} s")


# In this order the last has less than a case's 20 s to wait.
TIMEOUTS = {
    "timeouts below the heartbeat cut a silent connection": is_cut,
    "timeouts beyond the heartbeat cut none": outlives,
}
# They take their time beside the other cases.
waiting = {}


async def begin_to_be_silent():
    ways = [FRONTS[0], FRONTS[1], FRONTS[2], FRONTS[5]]
    for name, act in TIMEOUTS.items():
        acts = [asyncio.create_task(act(how, front)) for _, how, front in ways]
        waiting[name] = asyncio.gather(*acts)


def end_of(name):
    async def one():
        await waiting[name]

    one.__name__ = name
    return one


run(
    begin_to_be_silent,
    *(case_of(name, how, front, case) for name, how, front in FRONTS for case in CASES),
    nginx_that_ends_tls,
    *map(end_of, TIMEOUTS),
)
