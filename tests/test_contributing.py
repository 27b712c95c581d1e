"""Documents that name files name files that exist, and build flags written twice agree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = r"`((?:src/cconv|cconv|tests|benchmarks|docs|examples)/[\w./-]+\.\w+)`"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "src/cconv/README.md"])
def test_named_files_exist(document):
    named = set(re.findall(FILE, (ROOT / document).read_text()))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_map_of_the_core_names_what_exists():
    core = ROOT / "src" / "cconv"
    text = (core / "README.md").read_text().split("## What stands where")[1].split("```")[1]
    for name in re.findall(r"\b[\w/]+(?:\.[hc]|/)(?=\s|,|:|$)", text):
        assert any((folder / name).exists() for folder in (core, core / "conv", core / "gemm")), name
    for folder in core.iterdir():
        assert not folder.is_dir() or f"{folder.name}/" in text, f"{folder.name}/ is not on the map"


def test_the_driver_is_built_with_the_flags_of_setup():
    setup, makefile = (ROOT / "setup.py").read_text(), (ROOT / "tests" / "c" / "Makefile").read_text()
    flags = set(re.findall(r'"(-[mWf][\w=-]+)"', setup)) - {"-fvisibility=hidden"}
    assert flags
    assert [flag for flag in flags if not re.search(rf"(?<!\S){re.escape(flag)}(?!\S)", makefile)] == []
