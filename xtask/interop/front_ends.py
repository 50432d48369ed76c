"""nginx and HAProxy in front of a server: each with a configuration of its own, in the foreground,
on free ports of this machine, and with everything it writes in a directory of the test.

INTEROP_NGINX and INTEROP_HAPROXY name the programs.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
from pathlib import Path

SCRATCH = Path(os.environ["INTEROP_SCRATCH"])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tied(words):
    """The words of a command that does not outlive this script."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, words)]


async def listens(process, port):
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        if process.returncode is not None:
            raise AssertionError(f"it ended with {process.returncode}: see the log")
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(words, port):
    """Runs a program that listens on a port."""
    process = await asyncio.create_subprocess_exec(*tied(words), stdout=subprocess.DEVNULL)
    try:
        await asyncio.wait_for(listens(process, port), 10)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def with_ports(text, ports):
    """A configuration with other ports. A front end listens on this machine alone."""
    for old, new in ports.items():
        text = re.sub(rf"\blisten {old}\b", f"listen 127.0.0.1:{new}", text)
        text = re.sub(rf"\bbind :{old}\b", f"bind 127.0.0.1:{new}", text)
        text = re.sub(rf"\b127\.0\.0\.1:{old}\b", f"127.0.0.1:{new}", text)
    return text


@contextlib.asynccontextmanager
async def nginx(name, port, http="", stream=""):
    """nginx with what goes into `http`, or with a block `stream`."""
    directory = SCRATCH / name
    directory.mkdir(parents=True, exist_ok=True)
    temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    paths = "".join(f"    {what}_temp_path {directory}/{what};\n" for what in temporary)
    lines = [
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;" if stream else "",
        "daemon off;",
        # One process, which ends with the test.
        "master_process off;",
        f"pid {directory}/pid;",
        "error_log stderr warn;",
        "events { worker_connections 4096; }",
        f"http {{\n    access_log off;\n{paths}{http}\n}}" if http else "",
        stream,
    ]
    file = directory / "nginx.conf"
    file.write_text("\n".join(lines) + "\n")
    words = [os.environ["INTEROP_NGINX"], "-p", directory, "-e", "stderr", "-c", file]
    async with running(words, port):
        yield


@contextlib.asynccontextmanager
async def haproxy(name, port, text):
    directory = SCRATCH / name
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "haproxy.cfg"
    file.write_text(f"global\n    maxconn 4096\n{text}")
    async with running([os.environ["INTEROP_HAPROXY"], "-db", "-f", file], port):
        yield


def certificate(name, *hosts, issuer=None):
    """A certificate and its key: two paths. It signs itself, or is signed by the `issuer`."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    paths = SCRATCH / f"{name}.pem", SCRATCH / f"{name}.key"
    names = ",".join(f"IP:{host}" if host[0].isdigit() else f"DNS:{host}" for host in hosts)
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split()
    words += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
    if issuer:
        words += ["-CA", issuer[0], "-CAkey", issuer[1], "-addext", "basicConstraints=CA:FALSE"]
    words += ["-out", paths[0], "-keyout", paths[1]]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return paths
