"""The command line, as users type it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from command_line import cli, failure, usage_error

import cconv
from cconv.cli import main
from cconv.data import digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of `cconv train`, as long as it takes by default."""
    folder = tmp_path_factory.mktemp("trained")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "cconv", "train"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout, result.stderr


def test_train_without_arguments(trained):
    folder, out, err = trained
    accuracy = float(re.search(r"test accuracy ([\d.]+) %", out)[1])
    assert accuracy >= 97
    run = folder / "runs" / "lenet5-digits-001"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert f"{100 * lines[-1]['val_accuracy']:.2f}" == f"{accuracy:.2f}"
    assert "cconv evaluate runs" in out and "cconv predict runs" in out
    assert f"epoch {len(lines)}/{len(lines)}" in err
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return
    for name in ("curves", "filters", "confusion", "mistakes"):
        assert (run / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_says_the_same(trained, capfd, monkeypatch):
    folder, out, _ = trained
    monkeypatch.chdir(folder)
    expected = re.search(r"test accuracy [\d.]+ %", out)[0]
    checkpoint = "runs/lenet5-digits-001/model.safetensors"
    for words in ([], [checkpoint], ["runs/lenet5-digits-001"], [checkpoint, "--data", "digits", "--threads", "1"]):
        status, out, err = cli(capfd, "evaluate", *words)
        assert (status, err) == (0, "") and expected in out
    cconv.set_num_threads(2)


def test_predict_in_every_spelling(trained, capfd, monkeypatch, tmp_path):
    folder, _, _ = trained
    monkeypatch.chdir(folder)
    run = "runs/lenet5-digits-001"
    x, y = digits(raw=True)[1]
    right = 0
    for n in range(10):
        np.save(tmp_path / "image.npy", x[n, 0])
        status, out, err = cli(capfd, "predict", tmp_path / "image.npy")
        assert (status, err) == (0, "") and len(out.splitlines()) == 3
        right += out.startswith(f"{y[n]} ")
        for words in ([run, tmp_path / "image.npy"], [tmp_path / "image.npy", "--checkpoint", run]):
            assert cli(capfd, "predict", *words)[1] == out
    assert right >= 9
    chances = [
        float(c) for c in re.findall(r"([\d.]+) %", cli(capfd, "predict", tmp_path / "image.npy", "--top", 99)[1])
    ]
    assert len(chances) == 10 and chances == sorted(chances, reverse=True) and abs(sum(chances) - 100) < 1
    usage_error(capfd, "predict", "a", "b", "c")
    usage_error(capfd, "predict", "a", "b", "--checkpoint", "c")


def test_predict_takes_scans(trained, capfd, monkeypatch, tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="pictures are read and written by Pillow")
    folder, _, _ = trained
    monkeypatch.chdir(folder)
    x, y = digits(raw=True)[1]
    right = 0
    for n in range(20):
        paper = np.full((300, 400), 240, np.uint8)
        drawn = np.asarray(image_module.fromarray(255 - x[n, 0]).resize((140, 140)))
        paper[80:220, 50:190] = np.minimum(paper[80:220, 50:190], drawn)
        image_module.fromarray(paper).save(tmp_path / "scan.png")
        right += cli(capfd, "predict", tmp_path / "scan.png")[1].startswith(f"{y[n]} ")
    assert right >= 18


def test_train_options_and_numbered_folders(inside, capfd):
    words = ["train", "lenet5", "--epochs", 1, "--batch-size", 64, "--quiet", "--seed", 3, "--threads", 1]
    for _ in range(2):
        status, out, err = cli(capfd, *words)
        assert (status, err) == (0, "") and re.fullmatch(r"test accuracy [\d.]+ %\n", out)
    first, second = (inside / "runs" / f"lenet5-digits-00{n}" / "model.safetensors" for n in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    more = ["--optimizer", "adam", "--lr", 0.001, "--schedule", "constant", "--shift", 0, "--out", "there/it is {x}"]
    assert cli(capfd, *words, *more)[0] == 0
    assert cli(capfd, *words, *more)[0] == 0
    assert (inside / "there" / "it is {x}" / "model.safetensors").exists()
    assert len((inside / "there" / "it is {x}" / "metrics.jsonl").read_text().splitlines()) == 1
    assert cli(capfd, *words, "--momentum", 0.5, "--weight-decay", 1e-4, "--lr", 0.02, "--variant", "d2l")[0] == 0


def test_failures_are_one_line(inside, capfd):
    assert "there is no network 'lenet6'" in failure(capfd, "train", "lenet6")
    assert "variant" in failure(capfd, "train", "--variant", "1999")
    assert "train-images-idx3-ubyte" in failure(capfd, "train", "--data", "mnist", "--data-root", inside)
    assert "--momentum" in failure(capfd, "train", "--optimizer", "adam", "--momentum", 0.9)
    assert not (inside / "runs").exists()
    assert "run `cconv train` first" in failure(capfd, "evaluate")
    assert "missing.safetensors" in failure(capfd, "evaluate", "missing.safetensors")
    (inside / "text").write_text("no checkpoint")
    assert "text" in failure(capfd, "evaluate", "text")
    np.save("image.npy", np.zeros((28, 28)))
    assert "text" in failure(capfd, "predict", "text", "image.npy")
    assert "no.png" in failure(capfd, "predict", "text", "no.png")
    (inside / "file").write_text("")
    assert "file" in failure(capfd, "train", "--out", "file", "--quiet", "--epochs", 1)


def test_diverging_training_is_one_line(inside, capfd):
    err = failure(capfd, "train", "--lr", 1e30, "--schedule", "constant", "--epochs", 3, "--quiet")
    assert "epoch" in err and "learning rate" in err


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["train", "--epochs", "0"],
        ["train", "--epochs", "many"],
        ["train", "--batch-size", "-1"],
        ["train", "--lr", "nan"],
        ["train", "--lr", "-1"],
        ["train", "--data", "imagenet"],
        ["train", "--seed", "-1"],
        ["train", "--threads", "0"],
        ["train", "--optimizer", "lbfgs"],
        ["predict"],
        ["train", "a", "b"],
    ],
)
def test_wrong_usage(capfd, words):
    assert "error:" in usage_error(capfd, *words)


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "summary", "profile", "info"])
def test_help_teaches(capfd, verb):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    out = capfd.readouterr().out
    assert stop.value.code == 0 and f"examples:\n  cconv {verb}" in out or "cconv info" in out


def test_help_and_version(capfd):
    assert "cconv train" in cli(capfd)[1]
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and cconv.__version__ in capfd.readouterr().out


def test_summary_and_info(capfd):
    status, out, _ = cli(capfd, "summary")
    assert status == 0 and "61,706" in out
    assert "60,000" in cli(capfd, "summary", "lenet5", "--variant", "1998")[1]
    assert "276,066,304" in cli(capfd, "summary", "googlenet", "--variant", "d2l")[1]
    assert "40,551,040" in cli(capfd, "summary", "resnet20")[1]
    assert "28 x 28" in out and "32 x 32" in cli(capfd, "summary", "--size", 32, "--channels", 3)[1]
    assert "no network" in failure(capfd, "summary", "nonsense")
    assert "isa" in cli(capfd, "info")[1]


@pytest.mark.row("2.10")
def test_profile(capfd):
    status, out, err = cli(capfd, "profile", "--batch-size", 16, "--steps", 1, "--threads", 1)
    head, step, columns, *rows, total, memory = out.splitlines()
    assert status == 0 and err == "" and head == "lenet5, 16 x 1 x 28 x 28, 10 classes"
    assert re.match(r"step of 16 samples: [\d.]+ us; 1 threads?, peaks [\d.]+ GFLOP/s, [\d.]+ GB/s$", step)
    assert columns.split()[:2] == ["layer", "type"] and "% step" in columns and "algorithm (next)" in columns
    assert (
        rows[0].startswith("conv1")
        and rows[0].endswith("lanes")
        and [row.split()[0] for row in rows[-3:]] == ["loss", "optimizer", "rest"]
    )
    assert total.split()[0] == "total" and total.endswith("100.0") and re.match(r"memory: [\d.]+ MB", memory)
    small = cli(capfd, "profile", "resnet20", "--size", 16, "--classes", 7, "--batch-size", 2, "--steps", 1)[1]
    assert small.startswith("resnet20, 2 x 3 x 16 x 16, 7 classes") and "layer1.0.conv1+bn1" in small
    assert "no network" in failure(capfd, "profile", "nonsense")
    assert "variant" in failure(capfd, "profile", "lenet5", "--variant", "2050")
    assert "--batch-size" in usage_error(capfd, "profile", "--batch-size", "0")


@pytest.mark.skipif("CCONV_DATA" not in os.environ, reason="CCONV_DATA names no folder with the real MNIST")
def test_mnist_in_three_epochs(inside, capfd, monkeypatch):
    monkeypatch.setenv("CCONV_DATA", DATA)
    status, out, _ = cli(capfd, "train", "--data", "mnist", "--quiet")
    assert status == 0 and float(re.search(r"test accuracy ([\d.]+) %", out)[1]) >= 98.5


DATA = os.environ.get("CCONV_DATA", "")
