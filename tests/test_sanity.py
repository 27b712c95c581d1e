"""`cconv check` and `cconv bench`: what they print, their exit status, and that wrong networks are found."""

import re

import numpy as np
import pytest

from cconv import benchmark, cli, data, models, nn, sanity


class Deaf(nn.Linear):
    """A layer that never learns: its gradients are wrong."""

    def forward(self, x, train):
        y, inner = super().forward(x, train)

        def backward(dy, need_dx=True):
            dx = inner(dy, need_dx)
            self.weight.grad[...] = 0
            self.bias.grad[...] = 0
            return dx

        return y, backward


@pytest.fixture(scope="module")
def samples():
    (x, y), _ = data.digits(8)
    return x[:50], y[:50]


@pytest.mark.row("8.03")
def test_check(capsys):
    assert cli.main(["check"]) == 0
    text = capsys.readouterr().out
    assert text.count("ok    ") == 4 and "all 4 checks passed" in text
    assert "2.302585, ln 10 = 2.302585" in text and "accuracy 1.00" in text


def test_wrong_gradients_are_found(samples):
    net = nn.Sequential(nn.Flatten(), Deaf(64, 10, rng=0))
    before = net.state_dict()
    assert not sanity.gradients(net, samples[0][:2]).passed
    assert not sanity.overfit(net, *samples, epochs=2).passed
    right = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, rng=0))
    shown = []
    checks = sanity.run(right, *samples, 10, shown.append)
    assert all(check.passed for check in checks) and shown == checks
    assert all((before[name] == array).all() for name, array in right.state_dict().items())


def test_a_failed_check_is_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(sanity, "overfit", lambda *_: sanity.Check("fifty samples are learnt by heart", False, "no"))
    assert cli.main(["check"]) == 1
    assert "FAILED  fifty" in capsys.readouterr().out


def test_unknown_network(capsys):
    assert cli.main(["check", "nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.row("2.08")
def test_bench(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "LAYERS", benchmark.LAYERS[3:4])
    monkeypatch.setattr(benchmark, "torch_there", lambda: False)
    assert cli.main(["bench", "--batch-size", "1", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "GFLOP/s of float32" in text and "PyTorch is not installed" in text
    rows = {row.algorithm.rstrip("*"): row for row in benchmark.convolutions(1, 1)}
    assert {"winograd", "direct", "im2col"} <= set(rows) and re.search(r"\*", text)
    assert max(error for error in rows["winograd"].errors) <= 2e-5
    for name in ("direct", "im2col"):
        assert max(rows[name].errors) <= 5e-6


def test_bench_beside_torch():
    pytest.importorskip("torch", reason="torch is the oracle")
    x, w, dy = np.ones((1, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32), np.ones((1, 3, 4, 4), np.float32)
    options = {"stride": 1, "padding": 1, "groups": 1}
    seconds, results = benchmark._torch(x, w, dy, options, 1, slice(0, 1))
    assert len(seconds) == 3 and [r.shape for r in results] == [(1, 3, 4, 4), (1, 2, 4, 4), (3, 2, 3, 3)]


def test_zero_scores_give_ln_c(samples):
    net = models.lenet5(rng=0, num_classes=7)
    x = np.zeros((8, 1, 28, 28), np.float32)
    assert sanity.initial_loss(net, x, np.arange(8) % 7, 7).passed
