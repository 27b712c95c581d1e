import numpy as np
import pytest

from cconv import nn
from cconv.models import lenet5
from cconv.summary import summary


@pytest.mark.row("1.15")
def test_totals_are_the_sums_of_the_rows():
    table = summary(lenet5(), (1, 28, 28))
    assert table.params == sum(row.params for row in table) == 61_706
    assert table.macs == sum(row.macs for row in table) == 416_520
    assert len(table) == len(list(table)) == len(table.rows)


def test_rows():
    table = summary(lenet5(), (1, 28, 28), batch_size=4)
    row = table[0]
    assert (row.name, row.type, row.output_shape) == ("conv1", "Conv2d", (4, 6, 28, 28))
    assert (row.params, row.macs, row.activation_bytes) == (156, 4 * 117_600, 4 * 4 * 6 * 28 * 28)
    assert summary(lenet5().astype(np.float64), (1, 28, 28))[0].activation_bytes == 8 * 6 * 28 * 28


def test_table_as_text():
    lines = str(summary(lenet5(variant="1998"), (1, 28, 28))).splitlines()
    assert lines[0].split()[:2] == ["layer", "type"] and lines[2].split()[:1] == ["input"]
    assert lines[-1].split()[:2] == ["total", "60,000"]
    for name in ("C1", "S2", "C3", "S4", "C5", "F6"):
        assert any(line.startswith(f"{name} ") for line in lines)


def test_branches_and_shared_layers():
    shared = nn.Linear(6, 6)
    net = nn.Sequential(nn.Sum(shared, nn.Sequential()), nn.Concat({"a": shared, "b": nn.Sequential(nn.Linear(6, 2))}))
    table = summary(net, (6,))
    assert [(row.name, row.params) for row in table] == [
        ("0.0", 42), ("0", 0), ("1.a", 0), ("1.b.0", 14), ("1", 0),
    ]  # fmt: skip
    assert table.macs == net.macs((1, 6)) == 36 + 36 + 12 and table[-1].output_shape == (1, 8)


@pytest.mark.row("1.21")
def test_receptive_field():
    fields = {row.name: row.receptive_field for row in summary(lenet5(), (1, 28, 28))}
    assert [fields[n] for n in ("conv1", "pool1", "conv2", "pool2", "fc1")] == [
        (5, 5), (6, 6), (14, 14), (16, 16), None,
    ]  # fmt: skip
    old = {row.name: row.receptive_field for row in summary(lenet5(variant="1998", input_size=32), (1, 32, 32))}
    assert [old[n] for n in ("C1", "S2", "C3", "S4", "C5")] == [(5, 5), (6, 6), (14, 14), (16, 16), (32, 32)]
    two, three = (summary(nn.Sequential([nn.Conv2d(1, 1, 3) for _ in range(n)]), (1, 9, 9))[-1] for n in (2, 3))
    assert two.receptive_field == (5, 5) and three.receptive_field == (7, 7)
    branches = nn.Sum(nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=2, dilation=2), nn.Sequential())
    assert summary(branches, (1, 9, 9))[-1].receptive_field == (5, 5)


def test_runs_nothing():
    class Stone(nn.Layer):
        def forward(self, x, train):
            raise AssertionError("ran")

    assert summary(nn.Sequential(Stone()), (1000, 1000, 1000), batch_size=1000)[0].activation_bytes == 4 * 10**12


def test_bad_input():
    with pytest.raises(TypeError, match="net must be a Layer"):
        summary(3, (1, 28, 28))
    with pytest.raises(ValueError, match="input_shape"):
        summary(lenet5(), (0, 28, 28))
    with pytest.raises(ValueError, match="batch_size"):
        summary(lenet5(), (1, 28, 28), batch_size=0)
    with pytest.raises(ValueError):
        summary(lenet5(), (3, 28, 28))
    with pytest.raises(ValueError):
        summary(lenet5(), (28, 28))
