"""Seeds for `inflate`: what Python's zlib makes, and messages that the target makes itself."""
import pathlib, random, sys, zlib
d = pathlib.Path(sys.argv[1]) / "inflate"; d.mkdir(parents=True, exist_ok=True)
rng = random.Random(7692); n = 0
def put(b):
    global n; (d / f"seed-{n:03}").write_bytes(b); n += 1
def raw(b, frags=0): # how = 0: as it is
    b = b[:255]; return bytes([0, len(b)]) + b + bytes([frags]) + b"".join(rng.randrange(255).to_bytes(2, "big") for _ in range(frags))
for flags in range(8):
    for wb in (8, 9, 12, 15):
        for level in (0, 1, 6, 9):
            for strategy in (0, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY):
                c = zlib.compressobj(level, zlib.DEFLATED, -max(wb, 9), 8, strategy)
                b = bytes([flags, wb - 8, rng.randrange(8), rng.randrange(6), level])
                for m in (b"Hello", b"Hello", b"{\"price\": 1234.5}" * 9, b"", bytes(range(200)), b"a" * 3000):
                    z = c.compress(m) + c.flush(zlib.Z_SYNC_FLUSH)
                    b += raw(z[:-4], rng.randrange(4))
                put(b)
                b = bytes([flags, wb - 8, 0, rng.randrange(6), level])
                for _ in range(6):
                    how = rng.choice([2, 3, 4, 5, 10, 18, 50, 66, 130, 82])
                    b += bytes([how])
                    b += (rng.randrange(8000).to_bytes(2, "big") + bytes([rng.randrange(256)])) if how % 3 == 0 else bytes([205]) + rng.randrange(6000).to_bytes(2, "big") + bytes([rng.randrange(256)])
                    if how & 64: b += bytes([0]) + rng.randrange(3000).to_bytes(2, "big") + bytes([1 << rng.randrange(8)])
                    if how & 128: b += rng.randrange(3000).to_bytes(2, "big") + bytes([2, 3, 0])
                    b += bytes([1]) + rng.randrange(3000).to_bytes(2, "big")
                put(b)
for tail in (b"\x03\x00", b"\x03\x00\xca\x00", b"\x00", b"\x01\x00\x00\xff\xff", b"\x00\x05\x00\xfa\xffHello\x00", b"\xf2\x00\x11\x00\x00", b"\x06"):
    put(bytes([0, 3, 0, 0, 6]) + raw(tail) + raw(b"\xf2\x48\xcd\xc9\xc9\x07\x00") + raw(tail, 2) + raw(b"\xf2\x00\x11\x00\x00"))
print(n)
