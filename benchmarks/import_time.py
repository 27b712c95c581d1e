"""What `import cconv` costs over `import numpy`, in milliseconds: medians over fresh interpreters, taken in turns.

    python benchmarks/import_time.py [--runs 15] [--limit 60]

With --limit the exit status is 1 when the cost exceeds it.
"""

import argparse
import statistics
import subprocess
import sys

CODE = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def milliseconds(statement):
    answer = subprocess.run([sys.executable, "-c", CODE.format(statement)], capture_output=True, text=True, check=True)
    return 1e3 * float(answer.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--limit", type=float)
    arguments = parser.parse_args()

    statements = {"numpy": "import numpy", "cconv": "import numpy, cconv"}
    for statement in statements.values():
        milliseconds(statement)  # fills the caches of the file system and of byte code
    times = {name: [] for name in statements}
    for _ in range(arguments.runs):
        for name, statement in statements.items():
            times[name].append(milliseconds(statement))
    numpy, cconv = (statistics.median(times[name]) for name in statements)
    print(f"import numpy {numpy:.1f} ms, with cconv {cconv:.1f} ms: cconv costs {cconv - numpy:.1f} ms")
    if arguments.limit is not None and cconv - numpy > arguments.limit:
        sys.exit(f"more than the limit of {arguments.limit} ms")


if __name__ == "__main__":
    main()
