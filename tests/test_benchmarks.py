"""The parts of the benchmarks that can be wrong without anybody noticing."""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not part of this installation")


@pytest.fixture
def load(monkeypatch):
    """Imports a module of the benchmarks' folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = {path.stem for path in FOLDER.glob("*.py")}
    for name in names & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module
    for name in names & set(sys.modules):
        del sys.modules[name]


@pytest.fixture
def torch():
    """torch on one thread: two programs' threads that wait for each other take long on a busy machine."""
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def test_torch_twins(load, no_draws, torch):
    """Every twin takes the weights of its network, name by name and shape by shape."""
    networks, twins = load("networks"), load("torch_networks")
    for case in networks.CASES.values():
        with torch.device("meta"):
            theirs = {key: tuple(value.shape) for key, value in twins.build(case).state_dict().items()}
        net = case.create()
        ours = dict(net.named_parameters()) | dict(net.named_buffers())
        assert {key: value.data.shape for key, value in ours.items()} == theirs, case.title
        assert net.output_shape((case.batch_size, *case.input_shape)) == (case.batch_size, case.num_classes)


@pytest.mark.parametrize("name", ["lenet5-64", "resnet20-128"])
def test_sides_agree(load, name, torch):
    networks, sides = load("networks"), load("sides")
    case = networks.CASES[name]
    case = type(case)(**{**vars(case), "batch_size": 4})
    ours = sides.cconv_side(case)
    theirs = sides.torch_side(case, True, ours.state())
    sides.check(case, {"cconv": ours, "torch": theirs})
    twisted = {
        key: value * (1.1 if key == "fc.bias" or key == "fc3.bias" else 1) for key, value in ours.state().items()
    }
    with pytest.raises(AssertionError, match="outputs of torch"):
        sides.check(case, {"cconv": ours, "torch": sides.torch_side(case, False, twisted)})


def test_interleaved_takes_turns(load):
    calls = []
    times = load("timing").interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 0)
    assert all(len(values) >= 3 and min(values) > 0 for values in times.values())
    blocks = [name for i, name in enumerate(calls[4:]) if i == 0 or calls[4 + i - 1] != name]
    assert blocks == ["a", "b"] * 3


FACTS = {
    "cconv": "1.0", "isa": "avx2", "torch": "2.0", "onnxruntime": None, "threads": 2, "processor": "a processor",
    "cores": 2, "date": "2026-01-02T03:04:05", "commit": "abc",
}  # fmt: skip


def results():
    return [
        {"case": "n", "title": "Net", "task": "train", "side": side, "median": seconds, "minimum": seconds, "runs": 3}
        for side, seconds in (("cconv", 0.004), ("torch", 0.01), ("torch channels_last", 0.008))
    ]


def test_report_replaces_the_table_alone(load, tmp_path):
    report = load("report")
    text = report.markdown({"machine": FACTS, "results": results()}, None)
    assert "| Net | 4.00 | 10.0 | 8.00 | 2.00x |" in text
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n")
    for _ in range(2):
        report.write_readme(readme, text)
        assert readme.read_text() == f"above\n{report.BEGIN}\n{text}\n{report.END}\nbelow\n"
    readme.write_text("nothing")
    with pytest.raises(SystemExit, match="benchmarks: begin"):
        report.write_readme(readme, text)
    assert readme.read_text() == "nothing"


def test_chart(load, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    load("report").draw({"machine": FACTS, "results": results()}, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000


def test_layers_walk(load):
    case = load("networks").CASES["resnet20-128"]
    rows = list(load("bench_layers").convolutions({"resnet20-128": case}))
    assert [row[1] for row in rows] == [
        "conv1", "layer1.0.conv1", "layer2.0.conv1", "layer2.0.conv2", "layer3.0.conv1", "layer3.0.conv2",
    ]  # fmt: skip
    x = np.ones(rows[0][3], np.float32)
    assert rows[0][2].output_shape(x.shape) == (128, 16, 32, 32)
    assert json.dumps([row[3] for row in rows])


def test_activations(load):
    bench = load("bench_activations")
    x, dy = np.random.default_rng(0).standard_normal((2, 99), np.float32)
    for name in ("gelu", "relu"):
        rows = dict(bench.measure(name, x, dy, 0))
        assert set(rows) == {"forward", "backward"} and min(min(row.values()) for row in rows.values()) > 0


@pytest.mark.row("2.06")
def test_crossover_of_transforms(load):
    bench = load("bench_fft")
    assert bench.crossover((3, 5, 7, 9), (1, 2, 3, 4), (2, 1, 2, 2)) == 5
    assert bench.crossover((3, 5, 7, 9), (1, 2, 3, 4), (2, 1, 4, 2)) == 9
    assert bench.crossover((3, 5), (1, 2), (2, 3)) is None
    for dtype in (np.float32, np.float64):
        auto, fft = bench.measure((1, 2, 3, 12), (3, 5), 1, dtype, time.perf_counter)
        assert len(auto) == len(fft) == 2 and min(auto + fft) > 0
    run = bench.passes((1, 2, 12, 12), (3, 2, 5, 5), "auto", np.float64)
    with pytest.raises(AssertionError, match="y of fft"):
        bench.check(run, lambda: [1.001 * a for a in run()], 1e-6)
