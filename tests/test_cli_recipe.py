"""`cconv train` with its optimisers, schedules and changes of the images, as users type it."""

import json

import numpy as np
import pytest
from command_line import cli, failure, usage_error

import cconv
from cconv import optim
from cconv.commands import recipe
from cconv.commands.datasets import described

QUICK = ["train", "--epochs", 2, "--batch-size", 128, "--quiet", "--threads", 1]
CLASSES = {
    "sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta, "lars": optim.LARS,
}  # fmt: skip


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", CLASSES)
def test_every_optimizer_learns(inside, capfd, name):
    status, out, err = cli(capfd, *QUICK, "--optimizer", name, "--out", "run")
    assert (status, err) == (0, "") and out.startswith("test accuracy")
    first, second = losses(inside / "run")
    assert second < first
    model = cconv.Model.load(inside / "run" / "model.safetensors")
    assert type(model.optimizer) is CLASSES[name]


@pytest.mark.parametrize("name", ["cosine", "one-cycle", "step", "exponential", "plateau", "constant"])
def test_every_schedule(inside, capfd, name):
    warmup = ["--warmup", 0.5] if name not in ("one-cycle", "plateau") else []
    status, out, err = cli(capfd, *QUICK, "--schedule", name, *warmup, "--out", "run")
    assert (status, err) == (0, "")
    first, second = losses(inside / "run")
    assert second < first


def test_schedules_end_where_they_say():
    arguments = recipe_arguments("--lr", "0.4")
    for name, rates in {
        "cosine": (0.004, 0.4, 0.2, 0.0), "one-cycle": (0.016, None, None, 0.4 / 25e4), "step": (0.4, 0.4, 0.04, 0.004),
        "exponential": (0.4, None, 0.04, 0.004), "constant": (0.4, 0.4, 0.4, 0.4),
    }.items():  # fmt: skip
        arguments.schedule = name
        schedule = recipe._schedule(arguments, 0.4, 20)
        for epoch, rate in zip((0, 2, 10, 20), rates, strict=True):
            if rate is not None:
                assert abs(schedule(epoch) - rate) < 0.011 if name == "cosine" else np.isclose(schedule(epoch), rate)


def test_learning_rates_fit_the_network(no_draws):
    """At the rate for batch norm VGG stays at chance, and NiN ends in NaN."""
    for words, net, rate in (
        ([], cconv.models.lenet5(), 0.05), (["--variant", "1998"], cconv.models.lenet5(variant="1998"), 0.05 / 8),
        (["vgg11"], cconv.models.vgg11(variant="cifar10"), 0.005),
        (["vgg11", "--optimizer", "adam"], cconv.models.vgg11(variant="cifar10"), 0.0003),
        (["vgg11", "--batch-norm"], cconv.models.vgg11(variant="cifar10", batch_norm=True), 0.05),
        (["vgg11", "--lr", "0.3"], cconv.models.vgg11(variant="cifar10"), 0.3),
        (["nin", "--data", "cifar10"], cconv.models.nin(variant="cifar10"), 0.02),
        (["lenet5", "--data", "cifar10"], cconv.models.lenet5(in_channels=3), 0.02),
        (["resnet20", "--data", "cifar10"], cconv.models.resnet20(), 0.2),
        (["alexnet", "--data", "cifar10"], cconv.models.alexnet(variant="d2l"), 0.02),
    ):  # fmt: skip
        arguments = recipe_arguments(*words)
        assert np.isclose(recipe.optimizer(arguments, described(arguments.data, None), net).lr, rate)


def recipe_arguments(*words):
    from cconv.cli import parser

    return parser().parse_args(["train", *words])


def test_everything_at_once_and_resumed(inside, capfd):
    words = [
        "--optimizer", "sgd", "--nesterov", "--momentum", 0.8, "--lr", 0.1, "--weight-decay", 1e-3, "--no-decay", "bias,norm",
        "--clip-norm", 1, "--accumulate", 2, "--label-smoothing", 0.1, "--ema", 0.9, "--patience", 5, "--shift", 1, "--flip",
        "--jitter", 0.2, "--cutout", 4, "--mixup", 0.2, "--cutmix", 1, "--schedule", "one-cycle", "--batch-norm",
    ]  # fmt: skip
    assert cli(capfd, *QUICK, *words, "--out", "run")[0] == 0
    model = cconv.Model.load(inside / "run" / "model.safetensors")
    assert repr(model.optimizer).endswith(
        "momentum=0.8, weight_decay=0.001, nesterov=True, dampening=0.0, clip_norm=1.0, accumulate=2, "
        "no_decay=('bias', 'norm'), ema=0.9)"
    )
    assert model.loss.label_smoothing == 0.1
    status, out, err = cli(capfd, "evaluate", "run")
    (x, y), test = cconv.data.digits()
    assert f"{100 * model.evaluate(*test)['accuracy']:.2f}" in out
    # What was saved last stands at the end: nothing is left to do, and nothing changes.
    before = (inside / "run" / "model.safetensors").read_bytes()
    assert cli(capfd, "train", "--resume", "run", "--quiet")[0] == 0
    assert (inside / "run" / "model.safetensors").read_bytes() == before


def test_patience_ends_a_run(inside, capfd):
    words = ["train", "--epochs", 9, "--batch-size", 128, "--quiet", "--lr", 0, "--patience", 2, "--out", "run"]
    assert cli(capfd, *words)[0] == 0
    assert len(losses(inside / "run")) == 3
    assert cli(capfd, "train", "--resume", "run", "--quiet")[0] == 0
    assert len(losses(inside / "run")) == 3


def test_a_run_can_be_resumed_from_its_first_moment(inside, capfd, monkeypatch):
    assert cli(capfd, *QUICK, "--out", "straight")[0] == 0
    assert cli(capfd, *QUICK, "--seed", 5, "--out", "run")[0] == 0
    monkeypatch.setattr(cconv.Model, "fit", lambda *_, **__: (_ for _ in ()).throw(ValueError("no power")))
    assert "no power" in failure(capfd, *QUICK, "--out", "run")
    monkeypatch.undo()
    monkeypatch.chdir(inside)
    assert cli(capfd, "train", "--resume", "run", "--quiet", "--threads", 1)[0] == 0
    ends = [(inside / run / "model.safetensors").read_bytes() for run in ("straight", "run")]
    assert ends[0] == ends[1]
    assert losses(inside / "run") == losses(inside / "straight")


def test_a_resumed_run_cannot_change(inside, capfd):
    assert cli(capfd, *QUICK, "--out", "run")[0] == 0
    assert "epochs cannot change" in failure(capfd, "train", "--resume", "run", "--epochs", 5)
    assert cli(capfd, "train", "--resume", "run", "--quiet", "--epochs", 2)[0] == 0
    path = inside / "run" / "arguments.json"
    kept = json.loads(path.read_text())
    # As a version wrote it that knew fewer options.
    path.write_text(json.dumps({key: value for key, value in kept.items() if key not in ("ema", "mixup")}))
    assert cli(capfd, "train", "--resume", "run", "--quiet")[0] == 0


def test_wrong_options(inside, capfd):
    for words, part in (
        (("--optimizer", "sdg"), "adamw"), (("--ema", 1), "below 1"), (("--ema", "nan"), "below 1"),
        (("--clip-norm", 0), "above 0"), (("--label-smoothing", 2), "at most 1"), (("--no-decay", "weights"), "'weights'"),
        (("--schedule", "linear"), "one-cycle"), (("--patience", 0), "from 1"), (("--jitter", -1), "at least 0"),
        (("--lr", "inf"), "at least 0"),
    ):  # fmt: skip
        assert part in usage_error(capfd, "train", *words)
    for words, part in (
        (("--optimizer", "adam", "--momentum", 0.9), "--momentum"), (("--optimizer", "lars", "--nesterov"), "--nesterov"),
        (("--schedule", "one-cycle", "--warmup", 1), "--warmup"), (("--nesterov", "--momentum", 0), "nesterov"),
    ):  # fmt: skip
        assert part in failure(capfd, "train", *words)
    assert not (inside / "runs").exists()
