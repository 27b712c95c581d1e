"""Write the fuzzer's first inputs: some of every operation, mode and length, always the same ones."""

import random
import sys
from pathlib import Path

OPERATIONS, PER_OPERATION = 13, 24

folder = Path(sys.argv[1])
for operation in range(OPERATIONS):
    for i in range(PER_OPERATION):
        rng = random.Random(operation * 1000 + i)
        body = bytes(rng.choice((rng.randrange(160), rng.randrange(256))) for _ in range(rng.choice((24, 48, 96))))
        mode = rng.randrange(128) | (0x80 if i % 4 == 0 else 0)
        (folder / f"seed-{operation:02d}-{i:02d}").write_bytes(bytes([operation, mode, i]) + body)
