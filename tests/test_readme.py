"""The README's examples run, and its commands are those that `.ci/run` runs."""

import re
import runpy
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(marker, language):
    found = re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1, f"README.md must have one {language} block marked {marker}"
    return found[0]


def run(code, folder):
    script = folder / "example.py"
    script.write_text(code)
    return runpy.run_path(str(script))


def test_layers_example(capsys, tmp_path):
    names = run(block("test: layers", "python"), tmp_path)
    result = names["model"].evaluate(names["x_test"], names["y_test"])
    assert result["accuracy"] > 0.9
    assert str(result["accuracy"])[:4] in capsys.readouterr().out


def test_kernels_example(tmp_path):
    names = run(block("test: kernels", "python"), tmp_path)
    assert names["y"].shape == (8, 16, 32, 32)
    assert names["dw"].shape == (16, 3, 3, 3)
    middle = np.einsum("oihw,nihw->no", names["w"].astype("f8"), names["x"][:, :, 9:12, 9:12].astype("f8"))
    np.testing.assert_allclose(names["y"][:, :, 10, 10], middle, rtol=1e-4)


def test_explain(tmp_path):
    names = run(block("test: explain", "python"), tmp_path)
    assert "C^T" in names["page"].text()


def test_examples_are_short():
    assert len([line for line in block("test: layers", "python").splitlines() if line.strip()]) <= 12
    assert len([line for line in block("test: kernels", "python").splitlines() if line.strip()]) <= 5


def test_commands_are_one_line_each():
    for name in ("train", "test"):
        assert len(block(f"ci: {name}", "bash").splitlines()) == 1


def test_links_lead_somewhere():
    for document in ("README.md", "CONTRIBUTING.md", "src/cconv/README.md"):
        path = ROOT / document
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{document}: {link}"
