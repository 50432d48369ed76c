"""Random sequences of frames, into our engine and into Python `websockets`: the same verdict on each.

    against_websockets.py REPLAY COUNT [SEED]

REPLAY is the program `replay` of this package. Each accepted difference is a line of `agree`.
"""
import codecs
import random
import struct
import subprocess
import sys
import zlib

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

NAMES = {Opcode.TEXT: "text", Opcode.BINARY: "binary", Opcode.PING: "ping", Opcode.PONG: "pong"}


def frame(rng, server, first, payload, wrong_mask=False, size=None):
    masked = server != wrong_mask
    length = len(payload)
    size = size or (7 if length < 126 else 16 if length < 65536 else 64)
    bit = 128 if masked else 0
    head = bytes([first])
    if size == 7:
        head += bytes([bit | length])
    elif size == 16:
        head += bytes([bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    key = rng.randbytes(4)
    return head + key + bytes(octet ^ key[at % 4] for at, octet in enumerate(payload))


TEXTS = ["", "Hello", "grüße €", "😀", "a" * 125, "b" * 126, "c" * 300, "\ud7ff\ue000", "x" * 70000]
BROKEN = [b"\xed\xa0\x80", b"\xc3", b"\xff", b"\xf4\x90\x80\x80", b"ok\xe2\x82", b"\xc0\xaf"]


def payload(rng):
    kind = rng.randrange(10)
    if kind < 6:
        return rng.choice(TEXTS[:-1] if rng.randrange(20) else TEXTS).encode()
    if kind < 8:
        return rng.choice(TEXTS[:7]).encode() + rng.choice(BROKEN) + rng.choice([b"", b"\xbf\xbf"])
    return rng.randbytes(rng.randrange(200))


def close_body(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return b""
    if kind == 1:
        return b"\x03"
    code = rng.choice([1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999, 1004, 1005, 1006, 1015, 999, 2000, 5000, 0, 65535])
    return struct.pack("!H", code) + (rng.choice(TEXTS[:5]).encode() if kind < 6 else rng.choice(BROKEN))[:123]


def sequence(rng, server, deflate):
    octets = b""
    packer = zlib.compressobj(wbits=-15)
    for _ in range(rng.randrange(1, 9)):
        kind = rng.randrange(40)
        if kind < 12:
            octets += frame(rng, server, 0x80 | rng.choice([1, 2]), payload(rng))
        elif kind < 20:
            rest, first = payload(rng), rng.choice([1, 2])
            for _ in range(rng.randrange(1, 4)):
                cut = rng.randrange(len(rest) + 1)
                octets += frame(rng, server, first, rest[:cut])
                rest, first = rest[cut:], 0
                if rng.randrange(3) == 0:
                    octets += frame(rng, server, 0x89, b"between")
            octets += frame(rng, server, 0x80, rest)
        elif kind < 26:
            octets += frame(rng, server, 0x80 | rng.choice([9, 10]), rng.randbytes(rng.choice([0, 1, 125])))
        elif kind < 30 and deflate:
            plain = payload(rng)
            packed = bytearray(packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            damaged = rng.randrange(4) == 0 and packed
            if damaged:
                packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
            octets += frame(rng, server, 0xC0 | rng.choice([1, 2]), bytes(packed))
            if damaged:
                # If that left a block open, theirs goes on in it with the next message, and ours, whose
                # messages have an inflater each, does not.
                break
        elif kind < 32:
            octets += frame(rng, server, 0x88, close_body(rng))
        elif kind < 36:
            first = rng.randrange(256)
            if deflate and first & 0x4F in (0x41, 0x42):
                # Noise as compressed data is for the target `inflate`: where it ends inside a block, theirs
                # goes on in it with the next message, or takes the octets after a last block for nothing.
                first &= ~0x40
            octets += frame(rng, server, first, rng.randbytes(rng.randrange(10)))
        elif kind == 36:
            octets += frame(rng, server, 0x82, rng.randbytes(20), wrong_mask=True)
        elif kind == 37:
            octets += frame(rng, server, 0x82, rng.randbytes(rng.choice([5, 126])), size=rng.choice([16, 64]))
        elif kind == 38:
            octets += frame(rng, server, 0x80 | rng.choice([8, 9, 10]), rng.randbytes(126))
        else:
            octets += rng.randbytes(rng.randrange(8))
    if rng.randrange(5) == 0:
        octets = octets[: rng.randrange(len(octets) + 1)]
    return octets


def theirs(server, deflate, octets):
    """The verdict of `websockets`. It leaves UTF-8 of text to the layer above, which is played here."""
    extensions = [PerMessageDeflate(False, False, 15, 15)] if deflate else []
    protocol = Protocol(SERVER if server else CLIENT, state=OPEN, max_size=1 << 20)
    protocol.extensions = extensions
    protocol.receive_data(octets)
    words, data, opcode, decoder = [], b"", None, None
    for event in protocol.events_received():
        if event.opcode in (Opcode.PING, Opcode.PONG):
            words.append(f"{NAMES[event.opcode]}:{bytes(event.data).hex()}")
        elif event.opcode == Opcode.CLOSE:
            break
        else:
            if event.opcode != Opcode.CONT:
                data, opcode = b"", event.opcode
                decoder = codecs.getincrementaldecoder("utf-8")()
            data += bytes(event.data)
            if opcode == Opcode.TEXT:
                try:
                    decoder.decode(bytes(event.data), event.fin)
                except UnicodeDecodeError:
                    return " ".join([*words, "fail:1007"])
            if event.fin:
                words.append(f"{NAMES[opcode]}:{data.hex()}")
                opcode = None
    error = protocol.parser_exc
    if isinstance(error, UnicodeDecodeError):
        words.append("fail:1007")
    elif isinstance(error, PayloadTooBig):
        words.append("fail:1009")
    elif isinstance(error, ProtocolError):
        words.append("fail:1002")
    elif protocol.close_rcvd is not None:
        words.append(f"close:{protocol.close_rcvd.code}:{protocol.close_rcvd.reason.encode().hex()}")
    else:
        words.append("open")
    return " ".join(words)


def agree(ours, other, octets):
    if ours == other:
        return True
    mine, its = ours.split(), other.split()
    # Theirs takes a length that is not in its shortest form, which RFC 6455 §5.2 forbids.
    if mine[-1] == "fail:1002" and its[: len(mine) - 1] == mine[:-1] and any(long for *_, long in frames(octets)):
        return True
    # Python's decoder may hold octets back that no others can make valid: it fails in a later fragment.
    if mine[-1] == "fail:1007" and its[-1] in ("fail:1007", "open") and its[: len(mine) - 1] == mine[:-1]:
        return all(word.startswith(("ping", "pong")) for word in its[len(mine) - 1 : -1])
    if mine[:-1] != its[:-1]:
        return False
    # Of a frame that breaks a rule and is longer than any message may be, theirs tells the latter.
    if (mine[-1], its[-1]) == ("fail:1002", "fail:1009"):
        return any(length > 1 << 20 for _, length in headers(octets))
    # Theirs takes no Close within a message in fragments, where RFC 6455 §5.4 lets control frames be.
    if mine[-1].startswith("close:") and its[-1] == "fail:1002":
        code = int(mine[-1].split(":")[1])
        return code in range(1000, 1004) or code in range(1005, 1015) or code in range(3000, 5000)
    # Theirs reads a frame whole before it judges it.
    if its[-1] == "open" and mine[-1].startswith("fail:"):
        return True
    # Of a Close with two faults theirs tells that of the reason, ours that of the code before it.
    if (mine[-1], its[-1]) == ("fail:1002", "fail:1007"):
        return any(opcode == 8 and is_broken(body[2:]) for opcode, body, _ in frames(octets))
    # Theirs fails compressed data that is corrupt with 1002, ours with 1007, as text that is no UTF-8.
    return (mine[-1], its[-1]) == ("fail:1007", "fail:1002")


def is_broken(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def headers(octets):
    return [(opcode, length) for opcode, length, *_ in parsed(octets)]


def frames(octets):
    """Opcode, payload and whether the length has a longer form than it needs."""
    return [(opcode, *rest) for opcode, _, *rest in parsed(octets)]


def parsed(octets):
    at = 0
    while at + 2 <= len(octets):
        opcode, length, masked = octets[at] & 15, octets[at + 1] & 127, octets[at + 1] & 128
        at, long = at + 2, False
        for mark, size, least in ((126, 2, 126), (127, 8, 65536)):
            if octets[at - 1] & 127 == mark:
                length = int.from_bytes(octets[at : at + size], "big")
                long = length < least
                at += size
                break
        key = octets[at : at + 4] if masked else bytes(4)
        at += 4 if masked else 0
        yield opcode, length, bytes(octet ^ key[n % 4] for n, octet in enumerate(octets[at : at + length])), long
        at += length


def main():
    program, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        flags = rng.randrange(4)
        cases.append((flags, sequence(rng, flags & 1 == 1, flags & 2 == 2)))
    sent = b"".join(struct.pack("!IB", len(octets) + 1, flags) + octets for flags, octets in cases)
    done = subprocess.run([program, "verdicts"], input=sent, stdout=subprocess.PIPE, check=True)
    verdicts = done.stdout.decode().splitlines()
    assert len(verdicts) == count, f"{len(verdicts)} verdicts on {count} sequences"
    failed, kinds = 0, {}
    for (flags, octets), ours in zip(cases, verdicts):
        other = theirs(flags & 1 == 1, flags & 2 == 2, octets)
        end = ours.split()[-1].split(":")[0:2]
        kinds[":".join(end)] = kinds.get(":".join(end), 0) + 1
        if not agree(ours, other, octets):
            failed += 1
            if failed <= 5:
                print(f"FAIL flags {flags} {octets.hex()[:400]}\n  ours   {ours[-300:]}\n  theirs {other[-300:]}")
    print("ends:", ", ".join(f"{name} {number}" for name, number in sorted(kinds.items())))
    print(f"websockets: {count} sequences, {failed} differ (seed {seed})")
    sys.exit(failed != 0)


main()
