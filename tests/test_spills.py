"""The inner loops of the register tiles keep their sums in registers: no vector goes by way of the stack."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "c"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("make", "cc", "objdump"))), reason="no make, C compiler or objdump here"
)


def run(*command):
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


MACHINE = run("cc", "-dumpmachine").strip() if shutil.which("cc") else ""

if MACHINE.startswith("x86_64"):
    ISAS = ("avx2", "avx512")
    MULTIPLY_ADD, VECTOR, STACK = r"^vfn?madd\d+ps", r"%[xyz]mm", r"\(%rsp"
elif MACHINE.startswith("aarch64"):
    ISAS = ("neon",)
    MULTIPLY_ADD, VECTOR, STACK = r"^fmla", r"\b[qv]\d+", r"\[sp"
else:
    ISAS = ()


def functions(listing):
    """{name: [(address, instruction), ...]} of a disassembly."""
    found, body = {}, None
    for line in listing.splitlines():
        if start := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            body = found[start[1]] = []
        elif step := re.match(r"\s*([0-9a-f]+):\s+(.*)", line):
            body.append((int(step[1], 16), step[2]))
    return found


def inner_loops(body):
    """Instructions between a jump backwards and where it goes, where no such pair lies within."""
    loops = []
    for address, instruction in body:
        jump = re.match(r"(?:j|b[. ]|cbn?z|tbn?z).*?\b([0-9a-f]+) <", instruction)
        if jump and int(jump[1], 16) <= address:
            loops.append((int(jump[1], 16), address))
    inner = [(s, e) for s, e in loops if not any((s, e) != (t, f) and s <= t and f <= e for t, f in loops)]
    return [[i for a, i in body if start <= a <= end] for start, end in inner]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    build = os.environ.get("CCONV_DRIVER") or tmp_path_factory.mktemp("isa")
    folder = Path(build) / MACHINE / "core" / "isa"
    run("make", "-s", "-C", HERE, f"BUILD={build}", *(folder / f"{isa}.o" for isa in ISAS))
    return folder


@pytest.mark.parametrize("isa", ISAS)
def test_tiles_do_not_spill(built, isa):
    tiles = 0
    for name, body in functions(run("objdump", "-d", "--no-show-raw-insn", built / f"{isa}.o")).items():
        size = re.match(r"gemm_tile_(?:t_)?(\d+)x(\d+)", name)
        if not size:
            continue
        framed = any(re.match(r"mov\s+%rsp,%rbp", i) for _, i in body)
        stack = STACK + r"|\(%rbp" if framed else STACK
        loops = [loop for loop in inner_loops(body) if any(re.match(MULTIPLY_ADD, i) for i in loop)]
        assert loops, name
        for loop in loops:
            multiply_adds = sum(bool(re.match(MULTIPLY_ADD, i)) for i in loop)
            assert multiply_adds % (int(size[1]) * int(size[2])) == 0, name
            assert not [i for i in loop if re.search(VECTOR, i) and re.search(stack, i)], name
        tiles += 1
    assert tiles >= 20
