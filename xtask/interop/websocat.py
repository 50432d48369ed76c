"""websocat as a foreign client of an echo server.

    websocat.py client ws://ADDRESS/PATH [SUBPROTOCOL]      that the server speaks, if it does

INTEROP_WEBSOCAT names the program. It sends a line of its standard input as a text message, or what
it has read as a binary one, and prints what comes back. Every case is a process and a connection of
its own and ends in one line, `ok NAME` or `FAIL NAME: why`.
"""

import os
import subprocess
import sys

SIZES = [1, 125, 126, 65_535, 65_536, 1_000_000]
SECONDS_PER_CASE = 20


def text_of(size):
    """A line of `size` octets with its end, with characters of one to four."""
    line = ("aé€😀" * (size // 10 + 1)).encode()[: size - 1].decode(errors="ignore").encode()
    return line + b"." * (size - 1 - len(line)) + b"\n"


def binary_of(size):
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def exchange(url, options, sent):
    """Sends it all, then a Close, and waits for the server's; what came back, and the log."""
    # Longer than any message, else it would cut them.
    command = [os.environ["INTEROP_WEBSOCAT"], "-v", "-B", "2000000", *options, "-", url]
    ended = subprocess.run(command, input=sent, capture_output=True, timeout=SECONDS_PER_CASE)
    log = ended.stderr.decode(errors="replace")
    check(ended.returncode == 0, f"it ended with status {ended.returncode}: {log}")
    check("Received WebSocket close message" in log, "no Close came back")
    return ended.stdout, log


def echo(url, options, sent):
    received, _ = exchange(url, options, sent)
    check(received == sent, f"sent {len(sent)} octets, got {len(received)}, or other ones")


def subprotocol(url, spoken):
    _, log = exchange(url, ["-t", "--protocol", f"x.unknown, {spoken or 'x.other'}"], b"hello\n")
    # Names of headers may be in any case.
    agreed = [line for line in log.lower().splitlines() if "sec-websocket-protocol" in line]
    wanted = [f", sec-websocket-protocol: {spoken}"] if spoken else []
    check(agreed == wanted, f"it agreed on {agreed}, not {wanted}")


def ping(url):
    """Sends Pings until a Pong came, with its input left open."""
    command = [os.environ["INTEROP_WEBSOCAT"], "-v", "-t", "-E", "--ping-interval", "1", "-", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            check(any(b"Received a pong" in line for line in process.stderr), "no Pong came")
        finally:
            process.kill()


def cases(url, spoken):
    for size in SIZES:
        yield f"text-{size}", lambda size=size: echo(url, ["-t"], text_of(size))
        yield f"binary-{size}", lambda size=size: echo(url, ["-b"], binary_of(size))
    yield "text-100-messages", lambda: echo(url, ["-t"], b"".join(map(text_of, range(1, 101))))
    yield "ping", lambda: ping(url)
    yield "subprotocol", lambda: subprotocol(url, spoken)
    for code in (1000, 3000, 4999):
        options = ["-t", "--close-status-code", str(code), "--close-reason", "that was all"]
        yield f"close-{code}", lambda options=options: echo(url, options, b"last\n")


def as_client(url, spoken):
    failed = 0
    for name, run in cases(url, spoken):
        try:
            run()
            print(f"ok {name}", flush=True)
        except Exception as error:
            print(f"FAIL {name}: {' '.join(str(error).split())}", flush=True)
            failed += 1
    return failed


match sys.argv[1:]:
    case ["client", url]:
        failed = as_client(url, None)
    case ["client", url, spoken]:
        failed = as_client(url, spoken)
    case _:
        sys.exit(__doc__)
sys.exit(1 if failed else 0)
