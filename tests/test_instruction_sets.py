"""Instruction sets besides the one that is taken here: Winograd's tests, whose tiles differ most, told to use them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = "test_winograd.py", "test_winograd_strided.py", "test_winograd_dilated.py"
TESTS = [Path(__file__).with_name(name) for name in NAMES]
CHOSEN = "test_tails or test_geometry or test_schedules or test_not_finite or test_same_bits"
OTHERS = sorted({"generic", "avx2", "avx512", "neon"} - {os.environ.get("CCONV_ISA")})


@pytest.mark.parametrize("isa", OTHERS)
def test_winograd(isa):
    environment = {**os.environ, "CCONV_ISA": isa}
    probe = [sys.executable, "-c", "import cconv; cconv.get_num_threads()"]
    if subprocess.run(probe, env=environment, capture_output=True).returncode != 0:
        pytest.skip(f"this machine or build has no {isa}")
    pytest_command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "-q", "-p", "no:cacheprovider"]
    answer = subprocess.run([*pytest_command, "-k", CHOSEN, *TESTS], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout[-4000:]
