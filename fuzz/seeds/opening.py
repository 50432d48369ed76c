"""Seeds for `upgrade`, `proxy` and `client`: requests, lists of header lines, what proxies write, answers."""
import pathlib
import struct
import sys

root = pathlib.Path(sys.argv[1])
count = {}


def put(target, octets):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    count[target] = count.get(target, 0) + 1
    (folder / f"seed-{count[target]:03}").write_bytes(octets)


def head(first, *lines):
    return "\r\n".join([first, *lines, "", ""]).encode()


KEY = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
HOST = "Host: a.example"
EXTRAS = [
    [],
    ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
    ["Sec-WebSocket-Protocol: chat.v1, chat.v3", "Sec-WebSocket-Protocol: chat.v2"],
    ["Authorization: Bearer key", "Cookie: a=b; c=\"d\"", "Origin: http://a.example"],
    ["Authorization: Basic YTpi", "Origin: http://evil.example"],
    ["Sec-WebSocket-Version: 8"],
    ["Content-Length: 3"],
    ["Transfer-Encoding: chunked"],
    ["Expect: 100-continue"],
]
for flags in (0, 1):
    for path in ("/", "/room/7?x=y", "/gated", "/nowhere", "http://a.example/room/%41"):
        for extra in EXTRAS:
            request = head(f"GET {path} HTTP/1.1", HOST, *KEY, *extra)
            put("upgrade", bytes([flags]) + request)
        put("upgrade", bytes([flags]) + request + b"\x81\x85abcd\x09\x07\x0f\x08\x0e")
        put("upgrade", bytes([flags]) + head(f"GET {path} HTTP/1.0", HOST))
        lines = "\n".join([path, HOST, *[line.replace(": ", ":") for line in KEY], "origin:http://a.example"])
        put("upgrade", bytes([flags | 4, 0]) + lines.encode())
        lines = "\n".join([path, ":protocol:websocket", "sec-websocket-version:13", "authorization:Bearer key"])
        put("upgrade", bytes([flags | 12, 0]) + lines.encode())
        put("upgrade", bytes([flags | 28, 0, 2]) + lines.encode())
put("upgrade", b"\0" + b"POST / HTTP/1.1\r\nHost: h\r\n\r\n")

for line in ("TCP4 192.0.2.1 10.0.0.1 4711 80", "TCP6 2001:db9::7 ::1 65535 0", "UNKNOWN", "UNKNOWN a b c", "TCP4 1 2 3 4"):
    put("proxy", b"\0PROXY " + line.encode() + b"\r\nGET / HTTP/1.1\r\n")
V2 = b"\r\n\r\n\0\r\nQUIT\n"
for command in (0x20, 0x21, 0x22, 0x11):
    for family, size in ((0, 0), (0x11, 12), (0x12, 12), (0x21, 36), (0x31, 216), (0x11, 11)):
        put("proxy", b"\0" + V2 + bytes([command, family]) + struct.pack("!H", size) + bytes(range(size)) + b"GET /")
        put("proxy", b"\0" + V2 + bytes([command, family]) + struct.pack("!H", size + 7) + bytes(range(size)) + b"\x04\0\x04abcdGET /")
for how in range(32):
    put("proxy", bytes([1, how, 1, 2, 3, 4, 3, 5, 6, 7]) + b"GET /")
for which in (2, 3):
    for how in range(64):
        put("proxy", bytes([which, how]) + b"203.0.113.9")
        put("proxy", bytes([which, how]) + b'for=203.0.113.9;host="a,for=10.1.1.1\\"\nfor="[2001:db8::1]";proto=http, for="x')

ANSWER = head(
    "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: \x01")[:-2]
FRAMES = b"\x81\x05Hello\x89\x00\x01\x02ab\x80\x01c\x82\x7e\x00\x80" + bytes(128) + b"\x88\x02\x03\xe8"
for flags in range(16):
    put("client", bytes([flags]) + ANSWER + b"\r\n" + FRAMES)
    put("client", bytes([flags]) + ANSWER + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x88\x00")
    put("client", bytes([flags]) + ANSWER + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n\x83\x00")
    put("client", bytes([flags]) + b"HTTP/1.1 401 No\r\nContent-Length: 3\r\nWWW-Authenticate: Bearer\r\n\r\nabc")
    put("client", bytes([flags]) + b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER + b"\r\n" + FRAMES[:9])
    put("client", bytes([flags]) + b"HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
print(count)
