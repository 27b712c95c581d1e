"""Settings of the process: exact mode, and naming every algorithm choice."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cconv
from cconv import functional as F
from cconv import nn


@pytest.fixture
def restored():
    yield
    cconv.set_exact(False)


def test_exact_mode_takes_no_winograd(restored):
    rng = np.random.default_rng(0)
    x = np.asarray(rng.standard_normal((2, 32, 16, 16)), np.float32)
    w = np.asarray(rng.standard_normal((32, 32, 3, 3)), np.float32)
    layer = nn.Conv2d(32, 32, 3, padding=1, bias=False, rng=0)
    layer.weight.data = w
    x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)

    def results():
        y, backward = layer.forward(x, True)
        layer.weight.zero_grad()
        return y, backward(y), layer.weight.grad.copy(), F.conv2d(x, w, padding=1), layer(x)

    fast = results()
    assert not cconv.get_exact()
    cconv.set_exact(True)
    exact = results()
    assert cconv.get_exact()
    y = F.conv2d(x, w, padding=1, algo="direct")
    expected = (
        y,
        F.conv2d_backward_data(y, w, (16, 16), padding=1, algo="direct"),
        F.conv2d_backward_weight(x, y, 3, padding=1, algo="direct"),
        y,
        y,
    )
    for got, direct, wino in zip(exact, expected, fast, strict=True):
        np.testing.assert_array_equal(got, direct)
        assert not np.array_equal(got, wino)
    np.testing.assert_array_equal(
        F.conv2d(x, w, padding=1, algo="winograd"), fast[3], "an algorithm asked for by name is taken"
    )
    cconv.set_exact(False)
    for got, before in zip(results(), fast, strict=True):
        np.testing.assert_array_equal(got, before)


@pytest.mark.parametrize("value", [1, None, "yes", np.True_])
def test_exact_is_a_bool(value):
    with pytest.raises(TypeError, match="exact must be True or False"):
        cconv.set_exact(value)
    assert not cconv.get_exact()


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, cconv
from cconv import functional as F, models, nn
layer = nn.Conv2d(32, 32, 3, padding=1, rng=0)
x = np.ones((2, 32, 16, 16), np.float32)
for _ in range(2):
    y, backward = layer.forward(x, True)
    backward(y)
cconv.set_exact(True)
layer(x)
F.conv2d(x, layer.weight.data, algo="im2col")
cconv.Model(models.lenet5(rng=0)).predict(np.zeros((3, 1, 28, 28), np.float32))
"""


def say(verbose):
    environment = {**os.environ, "CCONV_VERBOSE": verbose}
    package = str(Path(cconv.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", CODE, package], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return done.stderr.splitlines()


def test_verbose_names_every_choice_once():
    lines = say("1")
    assert all(line.startswith("cconv: conv ") for line in lines) and len(set(lines)) == len(lines)
    where = "x (2, 32, 16, 16) (float32, channels-last), weight (32, 32, 3, 3)"
    chosen = [line for line in lines if where in line and "padding ((1, 1), (1, 1))" in line]
    assert [line.split()[2] for line in chosen] == ["forward", "backward_data", "backward_weight", "forward"]
    for line in chosen[:3]:
        assert ": winograd (" in line and "pointwise does not fit" in line and line.endswith("next direct)"), line
    assert ": direct (" in chosen[3] and "winograd is not exact" in chosen[3]
    assert any(line.endswith(": im2col, as asked") for line in lines)
    assert any(line.startswith("cconv: conv chain of x (3, 1, 28, 28)") for line in lines)


@pytest.mark.parametrize("verbose", ["", "0"])
def test_silent_otherwise(verbose):
    assert say(verbose) == []
