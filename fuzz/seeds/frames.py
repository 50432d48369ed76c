"""Seeds for `connection` and `differential`: frames as the `websockets` package writes them."""
import pathlib, random, sys
from websockets.frames import Frame, Opcode, Close
from websockets.extensions.permessage_deflate import PerMessageDeflate
root = pathlib.Path(sys.argv[1])
rng = random.Random(6455)
count = {"connection": 0, "differential": 0}
def put(target, body):
    d = root / target; d.mkdir(parents=True, exist_ok=True)
    (d / f"seed-{count[target]:03}").write_bytes(body); count[target] += 1
def dialogue(mask, ext):
    texts = ["Hello", "", "grüße €", "x" * 130, "{\"price\": 1234.5}" * 10]
    fs = [Frame(Opcode.TEXT, t.encode()) for t in texts]
    fs += [Frame(Opcode.BINARY, bytes(range(64))), Frame(Opcode.PING, b"p"), Frame(Opcode.PONG, b""),
           Frame(Opcode.TEXT, "grü".encode()[:3], fin=False), Frame(Opcode.PING, b"between"), Frame(Opcode.CONT, "grü".encode()[3:], fin=True),
           Frame(Opcode.CLOSE, Close(1000, "bye").serialize())]
    exts = [PerMessageDeflate(False, False, 12, 12)] if ext else []
    return [f.serialize(mask=mask, extensions=exts) for f in fs]
for server in (0, 1):
    for stream in (0, 4):
        for stack in range(10):
            ext = stack in (1, 2)
            fl = server | stream
            setup = bytes([fl]) + bytes([stack]) + (b"" if stack == 0 else bytes([0, 0, 0, 128, 0, 0, 0, 0, 128, 0])) + bytes([0, 0])
            ops = b"".join(bytes([0, len(f)]) + f for f in dialogue(bool(server), ext))
            put("connection", setup + ops)
            # commands: sends, broadcasts, pieces, takes
            cmd = bytes([19, 1, 0, 5]) + b"hello" + bytes([21, 0, 2, 180, 10, 2, 23, 0, 0, 24, 3]) + b"abc" + bytes([22, 1, 0, 200, 2, 88, 2, 26, 2]) + b"de" + bytes([27, 1, 65, 31, 33, 0, 7, 36, 29, 0, 3]) + b"bye"
            put("connection", setup + cmd + ops)
            # generated frames: fragments, deflate, bad lengths
            gen = bytes([6, 0, 20]) + b"a text of 20 letters" + bytes([2, 0, 3, 1, 0, 9, 0]) + bytes([10, 0, 200, 1, 244, 2, 2, 0, 30, 1, 0, 9, 0]) + bytes([10, 4, 200, 1, 0, 0, 0, 5, 255, 0]) + bytes([15, 0x82, 16, 0, 0, 1])
            put("connection", setup + gen)
    setup = bytes([2 | server, 0, 0, 0, 0, 0, 0, 0, 0])
for server in (0, 1):
    fs = dialogue(bool(server), False)
    put("differential", bytes([server, 0, 0]) + b"".join(fs))
    for _ in range(20):
        rng.shuffle(fs); put("differential", bytes([server | rng.choice([0, 2, 4, 6]), rng.randrange(256), rng.randrange(256)]) + b"".join(fs[:rng.randrange(1, 9)]))
