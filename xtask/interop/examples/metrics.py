"""Scrapes the example `metrics` after Python `websockets` has done known things.

The page is read by Prometheus' own parser for Python and compared whole: every sample, by name,
labels and value, but for what depends on the machine.
"""

import asyncio
import urllib.error
import urllib.request
from collections import Counter

from cases import ADDRESS, check, connect, run, same
from prometheus_client.parser import text_string_to_metric_families

HANDSHAKE = {
    "Host": ADDRESS,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
DURATION = "websocket_connection_duration_seconds"
ROUND_TRIP = "websocket_round_trip_seconds"


def of(name, **labels):
    return (name, tuple(sorted(labels.items())))


def at_first():
    """What a new server shows."""
    names = ["echo_octets_total"]
    names += [f"websocket_{name}" for name in ["connections", "topics", "subscriptions", "queue_bytes", "memory_bytes"]]
    counters = ["connections_opened", "transports_failed", "handlers_dropped", "broadcasts", "deliveries", "dropped"]
    counters += ["evicted"]
    names += [f"websocket_{name}_total" for name in counters]
    keys = [of(name) for name in names]
    # What these clients make the server hold is less than is counted.
    kinds = ["receiving", "sending", "shared", "extensions", "requests", "transport"]
    keys += [of("websocket_held_bytes", kind=kind) for kind in kinds]
    for direction in ["received", "sent"]:
        keys += [of("websocket_messages_total", direction=direction, type=type) for type in ["text", "binary"]]
        keys += [of("websocket_bytes_total", direction=direction, stage=stage) for stage in ["payload", "wire"]]
    for histogram in [DURATION, ROUND_TRIP]:
        keys += [of(f"{histogram}_count"), of(f"{histogram}_bucket", le="+Inf")]
    return Counter({key: 0 for key in keys})


# What must be there: the cases add to it.
WANTED = at_first()


def page():
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=10) as response:
        same(response.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return response.read().decode()


async def scraped():
    found = {}
    for family in text_string_to_metric_families(await asyncio.to_thread(page)):
        check(family.documentation, f"{family.name} has no HELP")
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            check(key not in found, f"{key} comes twice")
            found[key] = sample.value
    return found


def depends_on_the_machine(key):
    """Sums of times and the buckets below the last one; a quarter of the memory."""
    name, labels = key
    if name == "websocket_held_limit_bytes":
        return True
    return name.endswith("_sum") or (name.endswith("_bucket") and ("le", "+Inf") not in labels)


async def settled():
    """Waits for the values: a turn is counted at its end, just after its octets were written."""
    wrong = ["nothing was scraped"]
    for _ in range(100):
        found = await scraped()
        keys = WANTED.keys() | {key for key in found if not depends_on_the_machine(key)}
        wrong = [
            f"{key} is {found.get(key)}, not {WANTED.get(key)}"
            for key in sorted(keys)
            if found.get(key) != WANTED.get(key)
        ]
        if not wrong:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("; ".join(wrong))


def wire(received, sent):
    WANTED[of("websocket_bytes_total", direction="received", stage="wire")] += received
    WANTED[of("websocket_bytes_total", direction="sent", stage="wire")] += sent


def echoed(type, *lengths):
    for direction in ["received", "sent"]:
        WANTED[of("websocket_messages_total", direction=direction, type=type)] += len(lengths)
        WANTED[of("websocket_bytes_total", direction=direction, stage="payload")] += sum(lengths)
    WANTED[of("echo_octets_total")] += sum(lengths)
    # Short frames: a header of two octets, and the masking key of a client.
    wire(sum(lengths) + 6 * len(lengths), sum(lengths) + 2 * len(lengths))


def opened():
    WANTED[of("websocket_connections")] += 1
    WANTED[of("websocket_connections_opened_total")] += 1


def ended(code):
    WANTED[of("websocket_connections")] -= 1
    WANTED[of("websocket_closes_total", code=code, by="client")] += 1
    WANTED[of(f"{DURATION}_count")] += 1
    WANTED[of(f"{DURATION}_bucket", le="+Inf")] += 1


def closed(code):
    ended(code)
    wire(8, 4)


async def answer(headers, method="GET"):
    """Status of the answer to a handshake; hangs up."""
    reader, writer = await asyncio.open_connection(*ADDRESS.rsplit(":", 1))
    lines = [f"{method} / HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    status = await reader.readline()
    writer.close()
    return int(status.split()[1])


async def a_new_server_shows_every_metric():
    found = await settled()
    check(found[of("websocket_held_limit_bytes")] > 1 << 20, "there is memory")


async def messages_by_direction_and_type():
    async with connect("/") as ws:
        opened()
        for message in ["hello", "you", "", b"\x00" * 100, b"binary"]:
            await ws.send(message)
            same(await ws.recv(), message)
        echoed("text", 5, 3, 0)
        echoed("binary", 100, 6)
        # A control frame is no message.
        await (await ws.ping(b"1234"))
        wire(10, 6)
        await settled()
    closed("1000")
    await settled()


async def closes_of_clients_have_few_codes():
    for n in range(100):
        ws = await connect("/")
        await ws.close(3000 + 20 * n)
        opened()
        closed("3xxx" if n < 50 else "4xxx")
    await settled()


async def a_lost_connection_is_1006():
    same(await answer(HANDSHAKE), 101)
    opened()
    ended("1006")
    await settled()


async def rejections_by_cause():
    for cause, status, headers in [
        ("unsupported_version", 426, {"Sec-WebSocket-Version": "8"}),
        ("unsupported_version", 426, {"Sec-WebSocket-Version": "99"}),
        ("key", 400, {"Sec-WebSocket-Key": "cause"}),
        ("origin", 403, {"Origin": "http://elsewhere.example"}),
        ("malformed_head", 400, {"X": 'cause="made up"\0'}),
    ]:
        same(await answer({**HANDSHAKE, **headers}), status)
        WANTED[of("websocket_handshakes_rejected_total", cause=cause)] += 1
    await settled()


async def times_are_histograms():
    found = await settled()
    for histogram in [DURATION, ROUND_TRIP]:
        buckets = [
            (float(dict(labels)["le"]), value)
            for (name, labels), value in found.items()
            if name == f"{histogram}_bucket"
        ]
        buckets.sort()
        same(len(buckets), 13)
        counts = [value for _, value in buckets]
        same(counts, sorted(counts))
    # All of them were short, and nobody was silent for so long that a Ping was due.
    check(0 < found[of(f"{DURATION}_sum")] < 100, f"{found[of(f'{DURATION}_sum')]} s in all")
    same(found[of(f"{ROUND_TRIP}_sum")], 0)


async def other_pages_are_not_found():
    try:
        await asyncio.to_thread(urllib.request.urlopen, f"http://{ADDRESS}/", timeout=10)
        raise AssertionError("something is there")
    except urllib.error.HTTPError as error:
        same(error.code, 404)
    await settled()


run(
    a_new_server_shows_every_metric,
    messages_by_direction_and_type,
    closes_of_clients_have_few_codes,
    a_lost_connection_is_1006,
    rejections_by_cause,
    times_are_histograms,
    other_pages_are_not_found,
)
