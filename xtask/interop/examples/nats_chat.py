"""The example `nats_chat`, twice, beside a backend of nats-py: what the README of ws-nats tells other
programs to do.
"""

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path

import nats
from cases import SCRATCH, check, connect, run, same, started

README = Path(__file__).parents[3] / "ws-nats/README.md"


def backend_of_the_readme():
    """Its program in Python."""
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    check(found, "the README has no program in Python")
    return found[1]


@contextlib.asynccontextmanager
async def nats_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(SCRATCH / f"js{port}")]
    server = await asyncio.create_subprocess_exec(
        os.environ["WS_NATS_SERVER"], *words, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        await server.wait()


@contextlib.asynccontextmanager
async def two_servers():
    """Two of the example, and a client of the test's own for their NATS."""
    async with nats_server() as url:
        async with started(url) as one, started(url) as two:
            client = await nats.connect(url)
            try:
                yield url, client, one, two
            finally:
                await client.close()


async def hears(guest, wanted):
    """Reads until all of that has come."""
    while wanted:
        wanted.discard(await guest.recv())


@contextlib.asynccontextmanager
async def guests(room, *addresses):
    """A guest at each server, once what is published reaches all of them."""
    async with contextlib.AsyncExitStack() as stack:
        all_of_them = []
        for address in addresses:
            all_of_them.append(await stack.enter_async_context(connect(f"/room/{room}", address)))
        names = range(len(all_of_them))
        ready = asyncio.gather(*(hears(guest, {f"?{n}" for n in names}) for guest in all_of_them))
        while not ready.done():
            for n in names:
                await all_of_them[n].send(f"?{n}")
            await asyncio.wait([ready], timeout=0.1)
        await ready
        for n in names:
            await all_of_them[n].send(f"!{n}")
        await asyncio.gather(*(hears(guest, {f"!{n}" for n in names}) for guest in all_of_them))
        yield all_of_them


async def the_backend_of_the_readme_reaches_the_clients_of_all_servers():
    async with two_servers() as (url, _, one, two), guests("room.7", one, two) as both:
        program = backend_of_the_readme().replace("nats://127.0.0.1:4222", url)
        python = await asyncio.create_subprocess_exec(
            os.sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await python.communicate()
        check(out.startswith(b"stored as "), f"the backend said {out!r}")
        for guest in both:
            same(await guest.recv(), '{"from":"billing","text":"paid"}')


async def kinds_and_headers_of_the_readme_mean_what_it_says():
    async with two_servers() as (_, client, one, two), guests("a", one, two) as both:
        publish = client.jetstream().publish
        await publish("ws.h.a", b"\xff")
        await publish("ws.h.a", b"text", headers={"Ws-Kind": "binary"})
        await publish("ws.h.a", b"damaged", headers={"Ws-Kind": "poem"})
        await publish("ws.h.a", b"once", headers={"Nats-Msg-Id": "1"})
        await publish("ws.h.a", b"once", headers={"Nats-Msg-Id": "1"})
        await publish("ws.h.a", "Zürich".encode(), headers={"Ws-Key": "z%C3%BC", "Trace": "7"})
        for guest in both:
            for expected in (b"\xff", b"text", "once", "Zürich"):
                same(await guest.recv(), expected)


async def what_clients_say_is_heard_and_kept_in_one_order():
    async with two_servers() as (_, client, one, two), guests("b", one, two) as both:
        heard = await client.subscribe("ws.live.b")
        await client.flush()
        for number in range(50):
            for guest in both:
                await guest.send(f"{number}")
        came = [[await guest.recv() for _ in range(100)] for guest in both]
        same(came[0], came[1])
        live = [(await heard.next_msg(timeout=5)).data.decode() for _ in range(100)]
        same(live, came[0])
        stored = await client.jetstream().get_last_msg("WS", "ws.h.b")
        same(stored.data.decode(), came[0][-1])


async def ephemeral_topics_are_not_kept():
    async with two_servers() as (_, client, one, two), guests("cursor.c", one, two) as both:
        await client.publish("ws.e.cursor=2Ec", b"10,20")
        for guest in both:
            same(await guest.recv(), "10,20")
        await both[0].send("30,40")
        for guest in both:
            same(await guest.recv(), "30,40")
        same((await client.jetstream().stream_info("WS")).state.messages, 0)


run(
    the_backend_of_the_readme_reaches_the_clients_of_all_servers,
    kinds_and_headers_of_the_readme_mean_what_it_says,
    what_clients_say_is_heard_and_kept_in_one_order,
    ephemeral_topics_are_not_kept,
)
