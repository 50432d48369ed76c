"""Seeds for `failing`, `threads` and `pair`, whose octets are decisions: random ones, of a fixed seed."""
import pathlib
import random
import sys

root = pathlib.Path(sys.argv[1])
rng = random.Random(7936)
for target in ("failing", "threads", "pair"):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(60):
        octets = bytearray(rng.randbytes(rng.randrange(40, 400)))
        (folder / f"seed-{number:03}").write_bytes(octets)
