"""The example `hyper` of ws-tower: an echo in a server of hyper's own, over both versions of HTTP."""

import os

from cases import ADDRESS, connect, run, same
from http2 import BINARY, TEXT, close_frame, http2
from websockets.exceptions import InvalidStatus


async def echoes_by_http1():
    async with connect("/echo", max_size=None) as ws:
        for size in (0, 1, 65_536, 1_000_000):
            message = os.urandom(size)
            await ws.send(message)
            same(await ws.recv() == message, True)
        await ws.close(4000)
        same(ws.close_code, 4000)


async def echoes_by_http2():
    async with http2(ADDRESS) as http:
        first, second = await http.open(), await http.open()
        for size in (0, 1, 65_536, 1_000_000):
            await first.echoes(BINARY, os.urandom(size))
            await second.echoes(TEXT, b"beside it")
        await first.send(close_frame(4000))
        await first.expect_close(4000)
        await second.echoes(TEXT, b"still here")


async def other_paths_get_404():
    try:
        async with connect("/nothing"):
            raise AssertionError("it was admitted")
    except InvalidStatus as error:
        same(error.response.status_code, 404)
    async with http2(ADDRESS) as http:
        same((await http.ask("/nothing", ends=True)).headers[":status"], "404")


run(echoes_by_http1, echoes_by_http2, other_paths_get_404)
