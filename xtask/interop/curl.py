"""curl at the example `axum_echo`: what each layer in front of it does to an answer, over both
versions of HTTP.

    curl.py HOST:PORT
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "examples"))

from cases import ADDRESS, check, run, same  # noqa: E402

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


async def curl(*options, path="/echo", **headers):
    """The status, the headers and the body; a WebSocket is left after a moment."""
    words = ["curl", "-q", "-s", "-i", "-N", "--max-time", "1", *options]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    process = await asyncio.create_subprocess_exec(
        *words, f"http://{ADDRESS}{path}", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    head, _, body = output.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    found = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), found, body


async def upgrade_is_answered_through_all_layers():
    for options in ((), ("--compressed",)):
        status, headers, body = await curl(*options, **UPGRADE)
        same((status, body), (101, b""))
        same(headers["sec-websocket-accept"], "s3pplmbitxaq9kygzzhzrbk+xoo=")
        # CORS adds what means nothing to a WebSocket.
        same(headers["access-control-allow-origin"], "*")
        absent = {"content-encoding", "content-length", "transfer-encoding"}
        check(absent.isdisjoint(headers), f"the answer has {headers}")


async def cors_admits_no_page_of_another_site():
    for origin in ("https://evil.example", "null"):
        status, headers, _ = await curl(Origin=origin, **UPGRADE)
        same((status, headers["access-control-allow-origin"]), (403, "*"))
    status, *_ = await curl(Origin=f"http://{ADDRESS}", **UPGRADE)
    same(status, 101)


async def preflight_is_answered_by_cors():
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    status, headers, _ = await curl("-X", "OPTIONS", **asked)
    same((status, headers["access-control-allow-methods"]), (200, "*"))


async def client_that_takes_no_encoding_is_refused_by_compression():
    none = {"Accept-Encoding": "identity;q=0, *;q=0"}
    same((await curl(**none, **UPGRADE))[0], 406)
    # The server goes on, and nothing of that is left.
    same((await curl(**UPGRADE))[0], 101)


async def plain_request_is_told_what_to_do():
    status, headers, body = await curl()
    same((status, headers["upgrade"], headers["sec-websocket-version"]), (426, "websocket", "13"))
    check(body, "it says nothing")
    same((await curl(path="/nothing"))[0], 404)
    same((await curl("-d", "body", **UPGRADE))[0], 405)


async def plain_request_over_http2_is_told_what_to_do():
    status, headers, _ = await curl("--http2-prior-knowledge")
    same((status, headers["allow"]), (405, "connect"))
    same((await curl("--http2-prior-knowledge", path="/nothing"))[0], 404)


async def offer_of_http2_does_not_keep_from_a_websocket():
    """`Upgrade: h2c` is no WebSocket, and not taken up."""
    status, headers, _ = await curl("--http2")
    same((status, headers["upgrade"]), (426, "websocket"))


run(
    upgrade_is_answered_through_all_layers,
    cors_admits_no_page_of_another_site,
    preflight_is_answered_by_cors,
    client_that_takes_no_encoding_is_refused_by_compression,
    plain_request_is_told_what_to_do,
    plain_request_over_http2_is_told_what_to_do,
    offer_of_http2_does_not_keep_from_a_websocket,
)
