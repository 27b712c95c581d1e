"""The command line over data sets, networks and interruptions."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command_line import cli
from test_cifar import write_cifar10


@pytest.mark.parametrize("network", ["resnet20", "lenet5", "nin"])
def test_train_on_cifar_and_predict_in_colour(inside, capfd, network):
    write_cifar10(inside / "cifar10")
    words = ["train", network, "--data", "cifar10", "--data-root", inside, "--epochs", 1, "--batch-size", 4, "--quiet"]
    status, out, err = cli(capfd, *words, "--out", "run", "--label-smoothing", 0.1)
    assert (status, err) == (0, "") and out.startswith("test accuracy")
    assert cli(capfd, "evaluate", "run", "--data-root", inside)[1].endswith(out)
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 50)).astype(np.uint8)
    np.save("image.npy", image)
    np.save("last.npy", np.moveaxis(image, 0, -1))
    status, first, err = cli(capfd, "predict", "run", "image.npy", "--top", 2)
    assert (status, err) == (0, "") and first.split()[0] in (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    assert cli(capfd, "predict", "run", "last.npy", "--top", 2)[1] == first
    pillow = pytest.importorskip("PIL.Image", reason="pictures are read and written by Pillow")
    pillow.fromarray(np.moveaxis(image, 0, -1)).save("image.png")
    assert cli(capfd, "predict", "run", "image.png", "--top", 2)[1] == first


def test_train_on_folders(inside, capfd):
    pillow = pytest.importorskip("PIL.Image", reason="pictures are read and written by Pillow")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, colour in (("red", (220, 20, 20)), ("blue", (20, 20, 220))):
            (inside / "photos" / part / name).mkdir(parents=True)
            for k in range(6):
                pixels = np.clip(np.array(colour) + rng.integers(-20, 20, (34, 30, 3)), 0, 255).astype(np.uint8)
                pillow.fromarray(pixels).save(inside / "photos" / part / name / f"{k}.png")
    words = ["train", "resnet20", "--data", "photos", "--size", 32, "--epochs", 2, "--batch-size", 4, "--quiet"]
    status, out, err = cli(capfd, *words, "--out", "run", "--lr", 0.02)
    assert (status, err) == (0, "")
    status, out, _ = cli(capfd, "predict", "run", inside / "photos" / "test" / "red" / "0.png")
    assert status == 0 and set(out.split()) >= {"red", "blue"}
    (inside / "photos" / "test" / "red" / "5.png").write_bytes(b"")
    status, out, err = cli(capfd, "evaluate", "run")
    assert status == 1 and "5.png" in err and err.count("\n") == 1


def test_grey_digits_in_a_colour_network(inside, capfd):
    status, out, err = cli(capfd, "train", "resnet20", "--epochs", 1, "--batch-size", 128, "--quiet", "--size", 16)
    assert (status, err) == (0, "")


def test_resume_errors_are_one_line(inside, capfd):
    for make, word in (
        (lambda: None, "arguments.json"), (lambda: (inside / "run").mkdir(), "arguments.json"),
        (lambda: (inside / "run" / "arguments.json").write_text("[1"), "arguments.json"),
        (lambda: (inside / "run" / "arguments.json").write_text('{"network": 3}'), "arguments"),
    ):  # fmt: skip
        make()
        status, out, err = cli(capfd, "train", "--resume", "run")
        assert status == 1 and word in err and err.count("\n") == 1 and "Traceback" not in err


def digest(run):
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def start(folder, *words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "cconv", "train", *map(str, words)]
    # Into a file: a pipe would have to be closed at every way out, and could fill.
    with open(folder / "errors", "w") as errors:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments_ends_like_the_unbroken_run(tmp_path, sign):
    """CCONV_KILLS is the number of moments (2); whatever was saved last is complete, and the end is the same to the bit."""
    words = ["--epochs", 2, "--batch-size", 32, "--save-every", 0, "--threads", 1, "--seed", 2]
    begin = time.monotonic()
    straight = start(tmp_path, *words, "--out", "straight")
    assert straight.wait(300) == 0, (tmp_path / "errors").read_text()
    length = time.monotonic() - begin
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    for moment in range(int(os.environ.get("CCONV_KILLS", "2"))):
        run = tmp_path / f"run{moment}"
        status, kills = None, 0
        while status != 0:
            assert kills < 40
            going_on = (run / "arguments.json").exists()
            process = start(tmp_path, *(["--resume", run.name] if going_on else [*words, "--out", run.name]))
            try:
                # The later attempts get longer: a busy machine must not keep the run from ever ending.
                status = process.wait(rng.uniform(0, length * (1 + kills)))
                assert status == 0, (tmp_path / "errors").read_text()
            except subprocess.TimeoutExpired:
                process.send_signal(sign)
                status = process.wait(60)
                kills += 1
        assert digest(run) == digest(tmp_path / "straight"), f"{kills} kills"
        assert metrics(run) == metrics(tmp_path / "straight"), f"{kills} kills"
        assert not list(run.glob("*.tmp*")) or sign == signal.SIGKILL
