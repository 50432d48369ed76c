"""The example `rooms`: a pattern of the path, two versions of a subprotocol, and quotas."""

import json
import time

from cases import check, connect, run, same
from websockets.exceptions import InvalidStatus


def room(name, *versions):
    return connect(f"/room/{name}", subprotocols=versions)


async def ask(ws, **message):
    await ws.send(json.dumps(message))


async def told(ws):
    return json.loads(await ws.recv())


async def settled(ws):
    """What was asked before has been done when the answer to this comes."""
    await ask(ws, leave="a room that nobody joins")
    same(await told(ws), {"refused": "you are not in this room"})


async def both_versions_hear_each_other():
    async with room("tea", "rooms.v1") as old, room("tea", "rooms.v2", "rooms.v1") as new:
        same((old.subprotocol, new.subprotocol), ("rooms.v1", "rooms.v2"))
        await settled(new)
        await old.send("hello")
        guest, text = (await old.recv()).split(": ")
        same(text, "hello")
        same(await told(new), {"room": "tea", "from": guest, "said": "hello"})
        await ask(new, say="good day", room="tea")
        same((await told(new))["said"], "good day")
        same((await old.recv()).split(": ")[1], "good day")


async def rooms_hear_nothing_of_others():
    async with room("tea", "rooms.v1") as tea, room("cake", "rooms.v1") as cake:
        for ws, text in ((tea, "in tea"), (cake, "in cake")):
            await ws.send(text)
            check((await ws.recv()).endswith(f": {text}"), "another text came")


async def escapes_of_a_room_are_decoded():
    async with room("t%C3%A9%20time", "rooms.v2") as ws:
        await ask(ws, say="hello", room="té time")
        same((await told(ws))["room"], "té time")


async def room_is_joined_and_left():
    async with room("tea", "rooms.v2") as ws, room("cake", "rooms.v1") as cake:
        await ask(ws, say="hello", room="cake")
        same(await told(ws), {"refused": "you are not in this room"})
        await ask(ws, join="cake")
        await ask(ws, say="hello", room="cake")
        same((await told(ws))["room"], "cake")
        check((await cake.recv()).endswith(": hello"), "the room did not hear it")
        await ask(ws, leave="cake")
        await settled(ws)
        await cake.send("gone?")
        await cake.recv()
        await ask(ws, say="still in tea", room="tea")
        same((await told(ws))["said"], "still in tea")


async def other_subprotocols_get_400():
    for versions in ((), ("rooms.v3",)):
        try:
            async with room("tea", *versions):
                raise AssertionError("it was admitted")
        except InvalidStatus as error:
            same(error.response.status_code, 400)


# RT-53
async def quota_of_rooms_holds():
    async with room("0", "rooms.v2") as ws:
        for number in range(1, 8):
            await ask(ws, join=str(number))
        await ask(ws, join="8")
        same(await told(ws), {"refused": "you are in 8 rooms: leave one of them"})
        await ask(ws, join="7")
        await ask(ws, leave="0")
        await ask(ws, join="8")
        await ask(ws, say="now", room="8")
        same((await told(ws))["room"], "8")


# RT-53
async def quota_of_messages_slows_the_client_down():
    async with room("fast", "rooms.v1") as ws:
        begun = time.monotonic()
        for number in range(50):
            await ws.send(str(number))
        for number in range(50):
            check((await ws.recv()).endswith(f": {number}"), "the order is another one")
        took = time.monotonic() - begun
        check(took > 0.9, f"50 messages took {took:.2f} s, with 20 ms for each")


async def what_is_no_request_is_refused():
    async with room("tea", "rooms.v2") as ws:
        for text in ("hello", "[]", '{"say":"hello"}', '{"join":7}', '{"join":""}' * 2):
            await ws.send(text)
            check("refused" in await told(ws), f"{text} was taken")
        await ask(ws, join="x" * 300)
        check("refused" in await told(ws), "a name of 300 octets was taken")


run(
    both_versions_hear_each_other,
    rooms_hear_nothing_of_others,
    escapes_of_a_room_are_decoded,
    room_is_joined_and_left,
    other_subprotocols_get_400,
    quota_of_rooms_holds,
    quota_of_messages_slows_the_client_down,
    what_is_no_request_is_refused,
)
