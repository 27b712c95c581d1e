"""Weights that PyTorch code of each family made load unchanged and give the same logits."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from cconv import Model, checkpoint, models
from cconv.checkpoint import CheckpointError

torch = pytest.importorskip("torch", reason="torch makes the weights")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks have the networks in torch")

VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


@pytest.fixture
def twins(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "torch_networks", raising=False)
    yield importlib.import_module("torch_networks"), importlib.import_module("torch_twins")
    sys.modules.pop("torch_networks", None)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads of two programs that wait for each other take long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Title -> network here, arguments, input, what makes it in torch from (benchmarks' twins, tests' twins).
FAMILIES = {
    "lenet5": ("lenet5", {}, (1, 28, 28), lambda b, t: b.lenet5(1, 10)),
    "alexnet": ("alexnet", {"num_classes": 10}, (3, 224, 224), lambda b, t: b.alexnet(3, 10)),
    "vgg11-bn": (
        "vgg11", {"num_classes": 10, "batch_norm": True}, (3, 64, 64), lambda b, t: t.vgg(VGG11, 3, 10, True),
    ),
    "vgg16-cifar10": ("vgg16", {"variant": "cifar10"}, (3, 32, 32), lambda b, t: b.vgg16(3, 10, "cifar10")),
    "vgg16-bn-cifar10": (
        "vgg16", {"variant": "cifar10", "batch_norm": True}, (3, 32, 32), lambda b, t: b.vgg16(3, 10, "cifar10", True),
    ),
    "nin": ("nin", {"variant": "cifar10"}, (3, 32, 32), lambda b, t: b.nin(3, 10)),
    "googlenet": ("googlenet", {"num_classes": 10}, (3, 96, 96), lambda b, t: b.googlenet(3, 10)),
    "googlenet-aux": (
        "googlenet", {"num_classes": 10, "aux_logits": True}, (3, 96, 96),
        lambda b, t: t.with_auxiliaries(b.googlenet(3, 10), b.conv_bn, 10),
    ),
    "resnet18": ("resnet18", {"num_classes": 10}, (3, 96, 96), lambda b, t: b.resnet18(3, 10)),
    "resnet18-cifar10": (
        "resnet18", {"variant": "cifar10"}, (3, 32, 32), lambda b, t: b.resnet18(3, 10, "cifar10"),
    ),
    "resnet50": ("resnet50", {"num_classes": 10}, (3, 96, 96), lambda b, t: t.ResNet50(3, 10)),
    "resnet20": ("resnet20", {}, (3, 32, 32), lambda b, t: b.resnet20(3, 10)),
}  # fmt: skip


def made(net, seed=0):
    """Fill a network on the meta device so that signals keep their size and normalisation does something."""
    rng = np.random.default_rng(seed)
    net = net.to_empty(device="cpu").eval()
    for name, value in [*net.named_parameters(), *net.named_buffers()]:
        if value.ndim > 1:
            # Drawing a hundred million numbers takes long; a period that divides no row will do.
            draw = rng.standard_normal(min(value.numel(), 1_000_003), np.float32)
            draw = np.resize(draw * np.float32(np.sqrt(2 / value[0].numel())), value.shape)
        elif "num_batches" in name:
            draw = np.int64(3)
        elif name.endswith(("running_var", "weight")):
            draw = rng.uniform(0.5, 1.0, value.shape)
        else:
            draw = rng.normal(0, 0.1, value.shape)
        value.data.copy_(torch.as_tensor(draw))
    return net


@pytest.mark.parametrize("title", FAMILIES)
def test_logits(title, twins, tmp_path, no_draws):
    from safetensors.torch import save_file

    network, arguments, shape, make = FAMILIES[title]
    with torch.device("meta"):
        theirs = make(*twins)
    theirs = made(theirs)
    x = np.random.default_rng(1).standard_normal((2, *shape), np.float32)
    with torch.no_grad():
        # Logits up to 10, as trained networks give: an absolute tolerance means the same for all.
        *_, weight, bias = (value for name, value in theirs.named_parameters() if not name.startswith("aux"))
        largest = theirs(torch.from_numpy(x)).abs().max()
        weight *= 10 / largest
        bias *= 10 / largest
        expected = theirs(torch.from_numpy(x)).numpy()
    assert np.abs(expected).max() == pytest.approx(10, rel=1e-3) and expected.std(axis=1).min() > 0.01
    net = models.create(network, **arguments)
    if sum(value.numel() for value in theirs.parameters()) < 30_000_000:
        save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
        checkpoint.load_weights(net, tmp_path / "weights.safetensors")
    else:
        net.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    # What inference runs, layer by layer and fused.
    for logits in (net(x), Model(net).predict(x)):
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_load_weights_of_a_model(tmp_path):
    model = Model(models.lenet5(rng=0))
    model.save(tmp_path / "m")
    net = checkpoint.load_weights(models.lenet5(rng=1), tmp_path / "m")
    assert all((a == b).all() for a, b in zip(net.state_dict().values(), model.net.state_dict().values(), strict=True))


def test_load_weights_that_do_not_fit(tmp_path):
    net = models.lenet5(rng=0)
    before = {name: array.tobytes() for name, array in net.state_dict().items()}
    state = net.state_dict()
    state["conv9.weight"] = state.pop("conv1.weight")
    state["fc3.bias"] = np.zeros(7, np.float32)
    checkpoint.write(tmp_path / "odd.safetensors", state, {})
    with pytest.raises(CheckpointError) as error:
        checkpoint.load_weights(net, tmp_path / "odd.safetensors")
    for part in (
        "odd.safetensors", "missing: conv1.weight", "unexpected: conv9.weight", "fc3.bias: (7,) instead of (10,)",
    ):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(CheckpointError, match="wrong shape"):
        checkpoint.load_weights(net, tmp_path / "odd.safetensors", strict=False)
    assert {name: array.tobytes() for name, array in net.state_dict().items()} == before
    del state["fc3.bias"]
    state["fc3.weight"] = np.ones((10, 84), np.float32)
    checkpoint.write(tmp_path / "some.safetensors", state, {})
    assert (checkpoint.load_weights(net, tmp_path / "some.safetensors", strict=False).fc3.weight.data == 1).all()
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "some.safetensors").read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cut"):
        checkpoint.load_weights(net, tmp_path / "cut.safetensors")
