"""What the scripts of the examples share. Every case ends in one line, `ok NAME` or
`FAIL NAME: why`, and has 20 seconds.

A script is started with HOST:PORT, which is `ADDRESS` here, or with the words that start its
example, which `started` does.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from websockets.asyncio.client import connect as plain_connect

SECONDS_PER_CASE = 20
ADDRESS = sys.argv[1]
SCRATCH = Path(os.environ["INTEROP_SCRATCH"])


def connect(path, address=ADDRESS, **options):
    """A connection without compression and a proxy."""
    return plain_connect(f"ws://{address}{path}", **{"compression": None, "proxy": None, **options})


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def same(found, expected):
    check(found == expected, f"{found!r} came, not {expected!r}")


@contextlib.asynccontextmanager
async def started(*arguments, address="127.0.0.1:0"):
    """Starts the example, and stops it at the end; gives its address."""
    example = await asyncio.create_subprocess_exec(
        *sys.argv[1:], address, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        while line := await example.stdout.readline():
            if line.startswith(b"listening on "):
                yield line.decode().split()[2]
                return
        raise AssertionError("the example ended before it listened")
    finally:
        if example.returncode is None:
            example.terminate()
        await example.wait()


def run(*cases):
    """Runs the cases, async functions that are named after what they show, and ends the script."""

    async def each():
        failed = 0
        for case in cases:
            name = case.__name__.replace("_", " ")
            try:
                await asyncio.wait_for(case(), SECONDS_PER_CASE)
                print("ok", name, flush=True)
            except Exception as error:
                failed += 1
                why = str(error) or type(error).__name__
                print(f"FAIL {name}: {why}".replace("\n", " "), flush=True)
        return failed

    sys.exit(1 if asyncio.run(each()) else 0)
