"""Seeds for `handshake`: heads as the `websockets` package writes them, and hand-made ones."""
import pathlib, sys
from websockets.client import ClientProtocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
out = pathlib.Path(sys.argv[1]) / "handshake"
out.mkdir(parents=True, exist_ok=True)
n = 0
def put(prefix, body):
    global n
    (out / f"seed-{n:03}").write_bytes(bytes(prefix) + body)
    n += 1
variants = [dict(), dict(client_max_window_bits=True), dict(server_max_window_bits=9, client_max_window_bits=10),
            dict(server_no_context_takeover=True, client_no_context_takeover=True, server_max_window_bits=15)]
for kw in variants:
    c = ClientProtocol(parse_uri("ws://a.example:81/chat?x=1"), origin="http://a.example:81",
        extensions=[ClientPerMessageDeflateFactory(**kw)], subprotocols=["chat.v1", "chat.v3"])
    r = c.connect(); head = r.serialize()
    for what in (0, 8, 16): put([what, 0], head)
    put([0, 15, 1, 0, 20, 50, 3, 3, 3, 3], head)
    s = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()], subprotocols=["chat.v1"])
    s.receive_data(head)
    for ev in s.events_received():
        resp = s.accept(ev).serialize()
        resp = b"\r\n".join(b"Sec-WebSocket-Accept: \x01" if l.lower().startswith(b"sec-websocket-accept") else l for l in resp.split(b"\r\n"))
        put([4, 0], resp); put([12, 0], resp); put([4, 0], b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + resp + b"\x81\x02hi")
base = b"GET http://h.example/x HTTP/1.1\r\nHost: h.example\r\nUpgrade: h2c, WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: x-xor, x-trailer;a=\"b\", permessage-deflate; client_max_window_bits=\"9\", foo; bar=\"a\\\\b\"\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: chat.v2\r\n\r\n"
put([0, 0], base); put([8, 0], base); put([16, 0], base + b"\x81\x80abcd")
put([0, 0], b"\r\n\r\n" + base.replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8, 13"))
put([0, 0], b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
for l in [b"permessage-deflate; client_max_window_bits, permessage-deflate\nfoo;bar=\"a b\"", b"a;b;c=1;d=\"2\",,,e", b"ws://[::1]:80/a?b#c", b"wss://user@h/%zz", b"h.example:8080", b"dGhlIHNhbXBsZSBub25jZQ=="]:
    put([7, 0], l); put([7, 8, 3, 2, 2, 2], l)
for r in [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 8\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
          b"HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \x01\r\nSec-WebSocket-Extensions: x-xor\r\nSec-WebSocket-Extensions: permessage-deflate;server_max_window_bits=10;client_max_window_bits=11, x-trailer\r\nContent-Length: 0\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n"]:
    put([4, 0], r); put([12, 0], r)
print(n)
