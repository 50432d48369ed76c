"""Seeds for `nats`: topics, headers, what nodes tell each other, positions."""
import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1]) / "nats"
folder.mkdir(parents=True, exist_ok=True)
rng = random.Random(4222)
octets = [b"\0" + text.encode() for text in ("", "room/1", "a.b", "=41", "=2E", "Zürich", "a.b.p.x=20y", "*", ">")]
octets += [b"\x01" + rng.randbytes(rng.randrange(3, 60)) for _ in range(40)]
octets += [b"\x03" + text for text in (
    b'{"from":"0000000000000abc","node":"n-1","body":"heartbeat"}',
    b'{"from":"1","body":{"digest":{"at":7,"low":"0","high":"ffffffffffffffff","topics":[["a",1],["b",2]]}}}',
    b'{"from":"1","body":{"delta":{"after":1,"version":2,"changes":[[1,"me"],[2,null]]}}}',
    b'{"from":"1","body":{"ask":[["room",1]]}}',
    b'{"from":"1","body":{"lists":[{"topic":"room","version":1,"piece":0,"pieces":1,"members":[[1,"me"]]}]}}',
)]
octets += [b"\x04" + text for text in (b"1f3a.42.1764510000000", b"0.0.0", b"+1.2.3", b"1.2", b"ffffffffffffffff.18446744073709551615.0")]
for number, text in enumerate(octets):
    (folder / f"seed-{number:03}").write_bytes(text)
