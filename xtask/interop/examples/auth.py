"""The example `auth`: tokens, cookies, what is refused, and all connections of one user at once."""

import base64
import http.client

from cases import ADDRESS, check, connect, run, same
from websockets.exceptions import ConnectionClosed, InvalidStatus

ROBOT = {"Authorization": "Bearer 0123456789"}


def get(path, **headers):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def basic(credentials):
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def sign_in():
    """A cookie, as a browser gets it."""
    answer = get("/sign-in", Authorization=basic("ann:sesame"))
    same((answer.status, answer.headers["Location"]), (303, "/"))
    cookie, *rules = answer.headers["Set-Cookie"].split("; ")
    check("HttpOnly" in rules and "SameSite=Strict" in rules, f"the cookie has the rules {rules}")
    return {"Cookie": f"theme=dark; {cookie}"}


async def refused(path, headers, status):
    try:
        async with connect(path, additional_headers=headers):
            raise AssertionError("it was admitted")
    except InvalidStatus as error:
        same(error.response.status_code, status)
        return error.response.headers


async def token_is_admitted():
    async with connect("/chat", additional_headers=ROBOT) as ws:
        same(await ws.recv(), "hello, robot")
        await ws.send("what one says")
        same(await ws.recv(), "what one says")


async def cookie_is_admitted():
    async with connect("/chat", additional_headers=sign_in()) as ws:
        same(await ws.recv(), "hello, ann")


async def who_says_nothing_or_lies_gets_401():
    for lie in ({}, {"Authorization": "Bearer 0123456780"}, {"Cookie": "session=0"}):
        headers = await refused("/chat", lie, 401)
        same(headers["WWW-Authenticate"], "Bearer")


async def who_may_not_gets_403():
    await refused("/staff", sign_in(), 403)
    async with connect("/staff", additional_headers=ROBOT) as ws:
        same(await ws.recv(), "hello, robot")


async def page_of_another_site_gets_403_in_spite_of_its_cookie():
    await refused("/chat", {**sign_in(), "Origin": "https://evil.example"}, 403)
    async with connect("/chat", additional_headers=sign_in(), origin=f"http://{ADDRESS}") as ws:
        same(await ws.recv(), "hello, ann")


async def sign_in_asks_for_the_password():
    for headers in ({}, {"Authorization": basic("ann:guess")}):
        answer = get("/sign-in", **headers)
        same((answer.status, answer.headers["WWW-Authenticate"]), (401, 'Basic realm="chat"'))
    page = get("/")
    check(b"new WebSocket" in page.read(), "the page is not there")


# RT-54
async def kicked_user_loses_all_connections_and_sessions():
    sessions = [sign_in(), sign_in()]
    ann = [await connect("/chat", additional_headers=session) for session in sessions * 2]
    async with connect("/staff", additional_headers=ROBOT) as robot:
        await robot.send("kick ann")
        for ws in ann:
            same(await ws.recv(), "hello, ann")
            try:
                await ws.recv()
                raise AssertionError("a connection was not closed")
            except ConnectionClosed as error:
                same((error.rcvd.code, error.rcvd.reason), (1008, "signed out"))
        for session in sessions:
            await refused("/chat", session, 401)
        same(await robot.recv(), "hello, robot")
        await robot.send("still here")
        same(await robot.recv(), "still here")


async def only_staff_kicks():
    async with connect("/chat", additional_headers=sign_in()) as ws:
        await ws.recv()
        await ws.send("kick ann")
        same(await ws.recv(), "kick ann")


run(
    token_is_admitted,
    cookie_is_admitted,
    who_says_nothing_or_lies_gets_401,
    who_may_not_gets_403,
    page_of_another_site_gets_403_in_spite_of_its_cookie,
    sign_in_asks_for_the_password,
    kicked_user_loses_all_connections_and_sessions,
    only_staff_kicks,
)
