"""The example `upload`, with Python's `websockets`: files arrive whole or not at all."""

import asyncio
import contextlib
import hashlib
import os

from cases import SCRATCH, check, connect, run, same, started
from websockets.exceptions import ConnectionClosed

MOST = 20_000_000
DATA = os.urandom(1000) * 12_000


@contextlib.asynccontextmanager
async def uploading(path):
    async with started(str(SCRATCH), str(MOST)) as address, connect(path, address) as ws:
        yield ws


def answer(data):
    return f"{len(data)} octets, sha256 {hashlib.sha256(data).hexdigest()}"


async def last(ws):
    """What comes after all progress, and the progress."""
    progress = []
    while (line := await ws.recv()).endswith("so far"):
        progress.append(int(line.split()[0]))
    return line, progress


async def closed(ws):
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as error:
        return error.rcvd.code


def parts():
    return [path.name for path in SCRATCH.iterdir() if path.name.endswith(".part")]


async def large_upload_arrives_with_its_progress():
    async with uploading("/upload/large.bin") as ws:
        sending = asyncio.create_task(ws.send(DATA))
        line, progress = await last(ws)
        await sending
        same(line, answer(DATA))
        check(len(progress) >= 10 and progress == sorted(progress), f"progress {progress}")
        check((SCRATCH / "large.bin").read_bytes() == DATA, "another file")


async def fragments_are_one_file():
    async def pieces():
        for at in range(0, len(DATA), 100_000):
            yield DATA[at : at + 100_000]

    async with uploading("/upload/pieces.bin") as ws:
        sending = asyncio.create_task(ws.send(pieces()))
        line, _ = await last(ws)
        await sending
        same(line, answer(DATA))
        check((SCRATCH / "pieces.bin").read_bytes() == DATA, "another file")


async def later_upload_takes_the_place_of_an_earlier():
    async with uploading("/upload/note.txt") as ws:
        for text in ("one", "", "three \u20ac"):
            await ws.send(text)
            same(await ws.recv(), answer(text.encode()))
            same((SCRATCH / "note.txt").read_text(), text)


async def broken_upload_leaves_nothing():
    async with started(str(SCRATCH), str(MOST)) as address:
        ws = await connect("/upload/broken.bin", address)

        async def pieces():
            yield DATA[:1_000_000]
            # It is written as it comes, or the case takes too long.
            while not parts():
                await asyncio.sleep(0.05)
            ws.transport.abort()

        with contextlib.suppress(ConnectionClosed):
            await ws.send(pieces())
        while parts():
            await asyncio.sleep(0.05)
        check(not (SCRATCH / "broken.bin").exists(), "half a file")


async def upload_beyond_the_most_is_1009():
    async with uploading("/upload/huge.bin") as ws:
        with contextlib.suppress(ConnectionClosed):
            await ws.send(bytes(MOST + 1))
        same(await closed(ws), 1009)
        check(not (SCRATCH / "huge.bin").exists() and not parts(), "it was kept")


async def other_directories_cannot_be_reached():
    for name in ("..%2Fother", ".hidden", "a%2Fb", "%00"):
        async with uploading(f"/upload/{name}") as ws:
            same(await closed(ws), 1008)


run(
    large_upload_arrives_with_its_progress,
    fragments_are_one_file,
    later_upload_takes_the_place_of_an_earlier,
    broken_upload_leaves_nothing,
    upload_beyond_the_most_is_1009,
    other_directories_cannot_be_reached,
)
