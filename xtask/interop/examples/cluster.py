"""The example `cluster`: a chat over three servers, one of which is killed."""

import asyncio
import contextlib
import json
import sys
import urllib.request

from cases import check, connect, run, same

servers = []
example = None


async def start():
    """Starts the example once; it runs until the script ends."""
    global example
    if example:
        return
    example = await asyncio.create_subprocess_exec(
        *sys.argv[1:], "127.0.0.1:0", stdout=asyncio.subprocess.PIPE
    )
    while len(servers) < 3:
        line = await asyncio.wait_for(example.stdout.readline(), 15)
        check(line, "the example ended before it listened")
        if line.startswith(b"listening on "):
            servers.append(line.decode().split()[2])


class Guest:
    """Somebody at one of the servers."""

    def __init__(self, ws, name):
        self.ws, self.name, self.at, self.texts, self.members = ws, name, None, [], {}
        self.recovered = None

    async def read(self):
        told = json.loads(await self.ws.recv())
        self.at = told.get("at") or self.at
        if "message" in told:
            self.texts.append(told["message"]["text"])
        self.recovered = told.get("recovered", self.recovered)
        for member in told.get("here", []) + ([told["joined"]] if "joined" in told else []):
            self.members[member["id"]] = member["name"]
        if "left" in told:
            self.members.pop(told["left"]["id"], None)
        check("refused" not in told, f"refused: {told}")

    @property
    def here(self):
        return set(self.members.values())

    async def until(self, ready):
        while not ready():
            await self.read()


@contextlib.asynccontextmanager
async def guest(number, name, since=None):
    await start()
    async with connect("/chat", servers[number]) as ws:
        await ws.send(json.dumps({"name": name, "since": since}))
        guest = Guest(ws, name)
        await guest.until(lambda: guest.recovered and name in guest.here)
        yield guest


async def every_server_has_the_page():
    await start()
    for server in servers:
        get = urllib.request.urlopen
        page = await asyncio.to_thread(lambda: get(f"http://{server}/").read().decode())
        check(all(f'"{other}"' in page for other in servers), "the page lacks a server")


async def guests_at_two_servers_see_each_other():
    async with guest(0, "ann") as ann, guest(1, "bob") as bob:
        await ann.until(lambda: "bob" in ann.here)
        await bob.until(lambda: "ann" in bob.here)
        for number in range(10):
            await (ann, bob)[number % 2].ws.send(f"hello {number}")
        await ann.until(lambda: len(ann.texts) == 10)
        await bob.until(lambda: len(bob.texts) == 10)
        same(ann.texts, bob.texts)
        same(sorted(ann.texts), [f"hello {number}" for number in range(10)])
        await bob.ws.close()
        await ann.until(lambda: "bob" not in ann.here)


async def guest_goes_on_at_the_third_server():
    async with guest(0, "ann") as ann:
        await ann.ws.send("the last that cid sees")
        async with guest(1, "cid") as cid:
            await cid.ws.send("and of its own")
            await cid.until(lambda: "and of its own" in cid.texts)
            seen = cid.at
        missed = [f"missed {number}" for number in range(1000)]
        for text in missed:
            await ann.ws.send(text)
        await ann.until(lambda: missed[-1] in ann.texts)
        async with guest(2, "cid", since=seen) as cid:
            await ann.ws.send("live again")
            await cid.until(lambda: "live again" in cid.texts)
            same(cid.texts, [*missed, "live again"])
            same(cid.recovered, "All(1000)")


async def position_of_another_time_is_lost():
    async with guest(0, "dan", since="1.2.3") as dan:
        same(dan.recovered, "Lost")


async def server_is_killed_and_its_guests_go_on():
    async with guest(0, "ann") as ann, guest(1, "eve") as eve, guest(2, "fay") as fay:
        await ann.until(lambda: {"eve", "fay"} <= ann.here)
        await ann.ws.send("before")
        await fay.until(lambda: "before" in fay.texts)
        await fay.ws.send("/kill")
        try:
            while True:
                await fay.read()
        except Exception as end:
            check("ConnectionClosed" in type(end).__name__, f"another end: {end!r}")
        await ann.ws.send("while fay is away")
        await eve.until(lambda: "while fay is away" in eve.texts)
        async with guest(1, "fay", since=fay.at) as fay:
            await ann.ws.send("after")
            await fay.until(lambda: "after" in fay.texts)
            same(fay.texts, ["while fay is away", "after"])


async def killed_server_is_started_again():
    for _ in range(150):
        with contextlib.suppress(OSError):
            async with guest(2, "gus"):
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the third server does not come back")


async def dead_servers_guests_are_gone():
    async with guest(0, "ann") as ann, guest(1, "hal") as hal:
        await ann.until(lambda: "hal" in ann.here)
        await hal.ws.send("/kill")
        await ann.until(lambda: "hal" not in ann.here)


async def example_ends_in_order():
    example.terminate()
    same(await asyncio.wait_for(example.wait(), 15), 0)
    for server in servers:
        host, port = server.split(":")
        for _ in range(150):
            try:
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                await asyncio.sleep(0.1)
            except OSError:
                break
        else:
            raise AssertionError(f"{server} still listens")


run(
    every_server_has_the_page,
    guests_at_two_servers_see_each_other,
    guest_goes_on_at_the_third_server,
    position_of_another_time_is_lost,
    server_is_killed_and_its_guests_go_on,
    killed_server_is_started_again,
    dead_servers_guests_are_gone,
    example_ends_in_order,
)
