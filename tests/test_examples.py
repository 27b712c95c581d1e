"""The examples run: the offline ones whole, those on real data on a few of its images."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cifar import write_cifar10

import cconv

FOLDER = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not part of this installation")


def run(*words, **environment):
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, str(FOLDER / words[0]), *map(str, words[1:])]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.row("8.03")
def test_fifty_samples_are_learnt_by_heart():
    table = [line.split() for line in run("overfit50.py").splitlines()[2:5]]
    assert all("1.00" in row for row in table)
    # Deeper networks need a larger scale.
    assert [float(row[2]) for row in table] == sorted((float(row[2]) for row in table), reverse=True)


@pytest.mark.row("7.08", "7.09")
def test_batch_norm_lab():
    lines = [line.split() for line in run("batch_norm_lab.py").splitlines()[1:-1]]
    accuracy = {(row[0], row[1], row[2]): float(row[4]) for row in lines}
    assert len(accuracy) == 24
    for (kind, lr, scale), value in accuracy.items():
        if kind == "with" and float(lr) in (0.01, 0.1):
            assert value > 85 and not value < accuracy["without", lr, scale]


@pytest.mark.row("9.03")
def test_old_weights_help():
    before, afresh, tuned, frozen = map(float, re.findall(r"([\d.]+) %", run("finetune.py")))
    assert before > 97 and min(tuned, frozen) > afresh + 5


@pytest.mark.row("6.18")
def test_plain_and_residual(tmp_path):
    write_cifar10(tmp_path / "cifar10")
    out = run("plain_and_residual.py", "--epochs", 1, CCONV_DATA=str(tmp_path))
    assert [line.split(":")[0] for line in out.splitlines()[:-1]] == [
        "plain-20",
        "plain-56",
        "residual-20",
        "residual-56",
    ]


@pytest.mark.parametrize("network", ["resnet9", "resnet20", "vgg"])
def test_cifar10(tmp_path, network):
    write_cifar10(tmp_path / "cifar10")
    words = ["cifar10.py", network, "--epochs", 1, "--save", tmp_path / "m"]
    single = r"test accuracy of single images [\d.]+ %; with their mirror images:\n"
    assert re.fullmatch(single + r"test accuracy [\d.]+ % after \d+ s\n", run(*words, CCONV_DATA=str(tmp_path)))
    assert cconv.Model.load(tmp_path / "m").loss.label_smoothing == 0.1


@pytest.mark.skipif("CCONV_DATA" not in os.environ, reason="CCONV_DATA names no folder with the real MNIST")
def test_lenet5_on_mnist():
    out = run("lenet5_mnist.py", "--epochs", 3)
    assert float(out.split()[2]) < 1.2
