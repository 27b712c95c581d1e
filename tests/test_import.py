"""`import cconv` is cheap, and a source tree that was not built says so."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = (
    "scipy", "tqdm", "safetensors", "matplotlib", "sklearn", "pooch", "PIL", "onnx", "torch",
    "ctypes.util", "multiprocessing", "concurrent", "argparse", "asyncio",
)  # fmt: skip


def run(code, folder):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["cconv", "cconv.functional"])
def test_import_brings_no_heavy_module(name, tmp_path):
    import cconv

    code = (
        f"import sys, numpy; before = set(sys.modules); sys.path.append({str(Path(cconv.__file__).parents[1])!r})\n"
        f"import {name}\n"
        f"print(*sorted({{m.split('.')[0] for m in set(sys.modules) - before}} & {set(HEAVY)!r}))"
    )
    answer = run(code, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


def test_unbuilt_source_tree_is_not_picked_up_silently(tmp_path):
    for source in (ROOT / "cconv").rglob("*.py"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    answer = run("import cconv", tmp_path)
    assert answer.returncode != 0
    assert "ImportError" in answer.stderr
    assert str(tmp_path / "cconv") in answer.stderr
    assert "without its compiled core" in answer.stderr


def test_the_package_under_test_is_not_one_without_its_core():
    import cconv

    assert any(p.suffix in (".so", ".pyd") for p in Path(cconv.__file__).parent.iterdir())


def test_docstrings_may_be_stripped(tmp_path):
    import cconv

    code = f"import sys; sys.path.append({str(Path(cconv.__file__).parents[1])!r}); import cconv.nn, cconv.models"
    answer = subprocess.run([sys.executable, "-OO", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
