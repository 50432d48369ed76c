"""Two Python `websockets` clients get replies of their own and messages to many, compressed.

    python_mixed.py client ws://ADDRESS/PATH

The server sends back what comes to /broadcast?reply, and sends it to everyone there. Each client
looks at every message: what it is, and that those of a kind come in order. Ends in one line for each
client, `ok NAME` or `FAIL NAME: why`.
"""

import asyncio
import re
import sys
from urllib.parse import urljoin

from websockets.asyncio.client import connect

# Of its own; with its replies and what both send to everyone a client gets three times as many.
MESSAGES = 3334
NAMES = ["a", "b"]
IN_FLIGHT = 16
# So often everybody is silent for longer than the server waits before it lets a connection rest.
PAUSE_EVERY = 417
PAUSE = 0.1
SECONDS = 55

WORDS = "alpha beta gamma delta price volume symbol null true 12.5 987654 update".split()


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def message(name, number):
    words = []
    state = number * 7919 + ord(name)
    for _ in range(state % 97 * (state % 5)):
        state = (state * 1103515245 + 12345) % 2**31
        words.append(WORDS[(state >> 16) % len(WORDS)])
    return f'{{"from":"{name}","number":{number},"text":"{" ".join(words)}"}}'


class Client:
    def __init__(self, name, ws):
        self.name = name
        self.ws = ws
        self.sent = 0
        self.replies = 0
        self.to_many = dict.fromkeys(NAMES, 0)

    async def fill(self):
        while self.sent < min(MESSAGES, self.replies + IN_FLIGHT):
            if self.sent % PAUSE_EVERY == PAUSE_EVERY - 1:
                await asyncio.sleep(PAUSE)
            await self.ws.send(message(self.name, self.sent))
            self.sent += 1

    def take(self, text):
        name, number = re.match(r'\{"from":"(.)","number":(\d+),', text).groups()
        number = int(number)
        check(text == message(name, number), f"another message {number} of {name} came")
        if name == self.name and number == self.replies:
            self.replies += 1
        else:
            expected = self.to_many[name]
            check(number == expected, f"{number} of {name} came in place of {expected}")
            self.to_many[name] += 1

    def has_all(self):
        return self.replies == MESSAGES and set(self.to_many.values()) == {MESSAGES}

    async def run(self):
        (agreed,) = self.ws.protocol.extensions
        check(agreed.name == "permessage-deflate", f"agreed on {agreed}")
        check(not agreed.remote_no_context_takeover, "that is without context takeover")
        await self.fill()
        while not self.has_all():
            self.take(await self.ws.recv())
            await self.fill()


async def as_client(url):
    url = urljoin(url, "/broadcast?reply")
    options = {"ping_interval": None, "proxy": None}
    async with connect(url, **options) as one, connect(url, **options) as other:
        clients = [Client(name, ws) for name, ws in zip(NAMES, [one, other])]
        runs = [asyncio.wait_for(client.run(), SECONDS) for client in clients]
        results = await asyncio.gather(*runs, return_exceptions=True)
    failed = 0
    for client, result in zip(clients, results):
        if result is None:
            print(f"ok mixed-{client.name}", flush=True)
        else:
            why = f"{str(result) or type(result).__name__}; {client.to_many}"
            print(f"FAIL mixed-{client.name}: {' '.join(why.split())}", flush=True)
            failed += 1
    return failed


match sys.argv[1:]:
    case ["client", url]:
        failed = asyncio.run(as_client(url))
    case _:
        sys.exit(__doc__)
sys.exit(1 if failed else 0)
