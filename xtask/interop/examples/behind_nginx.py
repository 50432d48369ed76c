"""The example `behind_nginx`, behind nginx with the configuration that lies beside it."""

import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import connect, run, same, started  # noqa: E402
from front_ends import free_port, nginx, with_ports  # noqa: E402

CONF = Path(os.environ["INTEROP_CONF"])


@contextlib.asynccontextmanager
async def behind_nginx():
    async with started() as address:
        port = free_port()
        text = with_ports(CONF.read_text(), {"8080": port, "9001": address.split(":")[1]})
        async with nginx("nginx", port, http=text):
            yield f"127.0.0.1:{port}"


def connect_from(client, address, **options):
    return connect("/", address, local_addr=(client, 0), **options)


async def every_client_is_known_by_its_own_address():
    async with behind_nginx() as address, contextlib.AsyncExitStack() as stack:
        # More than one client may open.
        for n in range(300):
            client = f"127.1.{n // 250}.{1 + n % 250}"
            ws = await stack.enter_async_context(connect_from(client, address))
            same(await ws.recv(), f"you are {client}, and came by ws")
        await ws.send("hello")
        same(await ws.recv(), "hello")


async def what_a_client_says_of_itself_is_not_believed():
    headers = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=10.0.0.1"}
    async with behind_nginx() as address:
        async with connect_from("127.1.0.7", address, additional_headers=headers) as ws:
            same(await ws.recv(), "you are 127.1.0.7, and came by ws")


async def pages_of_the_same_host_may_connect():
    async with behind_nginx() as address:
        async with connect_from("127.1.0.7", address, origin=f"http://{address}") as ws:
            same(await ws.recv(), "you are 127.1.0.7, and came by ws")


run(
    every_client_is_known_by_its_own_address,
    what_a_client_says_of_itself_is_not_believed,
    pages_of_the_same_host_may_connect,
)
