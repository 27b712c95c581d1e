"""What is installed: no sources, small, typed, with its data and its command. (`.ci/run` builds and measures the wheel.)"""

import importlib.metadata
import importlib.resources
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import cconv

PACKAGE = Path(cconv.__file__).parent
IN_PLACE = (PACKAGE.parent / "setup.py").exists()
installed_only = pytest.mark.skipif(IN_PLACE, reason="cconv is imported from its source tree, built in place")


def test_typed_and_with_its_data():
    files = importlib.resources.files("cconv")
    assert (files / "py.typed").is_file()
    assert (files / "data" / "digits.npz").is_file()


@installed_only
def test_no_sources_installed():
    sources = [p for p in PACKAGE.rglob("*") if p.suffix in (".c", ".h", ".inc", ".pyx", ".pxd", ".a", ".o")]
    assert sources == []


@installed_only
def test_installed_size():
    files = [p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    size = sum(p.stat().st_size for p in files)
    assert size <= 12e6, {p.name: p.stat().st_size for p in files if p.stat().st_size > 3e5}


@installed_only
def test_version_is_that_of_the_package():
    assert importlib.metadata.version("cconv") == cconv.__version__


@installed_only
def test_the_command_runs_from_another_folder(tmp_path):
    command = shutil.which("cconv", path=sysconfig.get_path("scripts"))
    assert command is not None
    for arguments in ([command, "info"], [sys.executable, "-m", "cconv", "info"]):
        answer = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        assert cconv.__version__ in answer.stdout


def test_every_folder_of_the_package_is_installed():
    """A folder without __init__.py would be left out of the wheel silently."""
    source = Path(__file__).parents[1] / "cconv"
    folders = {p.parent.relative_to(source) for p in source.rglob("*.py")}
    assert [f for f in folders if not (source / f / "__init__.py").exists()] == []
    assert [f for f in folders if not (PACKAGE / f / "__init__.py").exists()] == []
