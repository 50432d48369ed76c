"""The example `axum` of ws-tower: sessions by a form, a chat of those who have one, and metrics."""

import http.client

from cases import ADDRESS, check, connect, run, same
from http2 import TEXT, frame, http2
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus


def request(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request(method, path, body=body, headers=headers)
    return connection.getresponse()


def sign_in(name):
    """A cookie, as a browser gets it."""
    answer = request("POST", "/sign-in", f"name={name}")
    same((answer.status, answer.headers["Location"]), (303, "/"))
    cookie, *rules = answer.headers["Set-Cookie"].split("; ")
    check("HttpOnly" in rules and "SameSite=Strict" in rules, f"the cookie has the rules {rules}")
    return {"Cookie": f"theme=dark; {cookie}"}


def chat(name, **options):
    return connect("/chat", additional_headers=sign_in(name), **options)


async def hears(ws, text):
    """Waits for a line: those of another case may come before it."""
    while await ws.recv() != text:
        pass


async def refused(headers, status):
    try:
        async with connect("/chat", additional_headers=headers):
            raise AssertionError("it was admitted")
    except InvalidStatus as error:
        same(error.response.status_code, status)


async def page_is_served():
    answer = request("GET", "/")
    check(b"new WebSocket" in answer.read(), "the page is not there")
    same(request("POST", "/sign-in", "name=").status, 400)


async def who_has_not_signed_in_gets_401():
    for headers in ({}, {"Cookie": "session=0"}, {"Cookie": "name=ann"}):
        await refused(headers, 401)


async def page_of_another_site_gets_403_in_spite_of_its_cookie():
    await refused({**sign_in("ann"), "Origin": "https://evil.example"}, 403)
    async with chat("ann", origin=f"http://{ADDRESS}") as ws:
        await hears(ws, "ann came")


async def two_chat_with_compression():
    async with chat("ann", compression="deflate") as ann:
        await hears(ann, "ann came")
        agreed = ann.response.headers["Sec-WebSocket-Extensions"]
        check(agreed.startswith("permessage-deflate"), agreed)
        async with chat("bob") as bob:
            for ws in (ann, bob):
                await hears(ws, "bob came")
            for say, name in ((ann, "ann"), (bob, "bob")):
                await say.send("hello" * 1000)
                for ws in (ann, bob):
                    same(await ws.recv(), f"{name}: " + "hello" * 1000)
        same(await ann.recv(), "bob left")


async def third_by_http2():
    cookie = [(name.lower(), value) for name, value in sign_in("eve").items()]
    async with chat("ann") as ann, http2(ADDRESS) as http:
        same((await http.ask("/chat", ends=True)).headers[":status"], "401")
        eve = await http.open("/chat", more=cookie)
        await hears(ann, "eve came")
        await eve.expect(TEXT, b"eve came")
        await eve.send(frame(TEXT, b"hello"))
        await eve.expect(TEXT, b"eve: hello")
        same(await ann.recv(), "eve: hello")


async def metrics_parse():
    async with chat("ann") as ws:
        await ws.recv()
        found = {}
        # Those of other cases may end a moment later.
        while found.get("websocket_connections") != 1:
            answer = request("GET", "/metrics")
            check(answer.headers["Content-Type"].startswith("text/plain"), answer.headers)
            families = text_string_to_metric_families(answer.read().decode())
            found = {one.name: one.value for family in families for one in family.samples}


async def plain_request_is_told_what_to_do():
    answer = request("GET", "/chat", **sign_in("ann"))
    same((answer.status, answer.headers["Sec-WebSocket-Version"]), (426, "13"))


run(
    page_is_served,
    who_has_not_signed_in_gets_401,
    page_of_another_site_gets_403_in_spite_of_its_cookie,
    two_chat_with_compression,
    third_by_http2,
    metrics_parse,
    plain_request_is_told_what_to_do,
)
