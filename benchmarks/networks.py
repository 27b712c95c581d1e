"""What the benchmarks run: the networks, their batches, and their twins in torch."""

from dataclasses import dataclass, field

import numpy as np

from cconv import models

LR, MOMENTUM = 1e-4, 0.9


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    title : as it is printed
    network : name in cconv.models, and of a function in torch_networks
    arguments : of cconv.models.create
    input_shape : one sample
    num_classes, batch_size : int
    """

    title: str
    network: str
    arguments: dict = field(repr=False)
    input_shape: tuple
    num_classes: int
    batch_size: int

    def create(self, seed=0):
        """The network of cconv; `seed=None` is as random as any."""
        channels = self.input_shape[0]
        return models.create(
            self.network, num_classes=self.num_classes, in_channels=channels, rng=seed, **self.arguments
        )

    def batch(self, seed=0):
        """Images and labels."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.batch_size, *self.input_shape), np.float32)
        return x, rng.integers(0, self.num_classes, self.batch_size)


_GREY, _SMALL, _IMAGE = (1, 28, 28), (3, 32, 32), (3, 224, 224)
CASES = {
    "lenet5-64": Case("LeNet-5, 28x28, batch 64", "lenet5", {}, _GREY, 10, 64),
    "lenet5-512": Case("LeNet-5, 28x28, batch 512", "lenet5", {}, _GREY, 10, 512),
    "resnet20-128": Case("ResNet-20, 32x32, batch 128", "resnet20", {}, _SMALL, 10, 128),
    "nin-64": Case("NiN, 32x32, batch 64", "nin", {"variant": "cifar10"}, _SMALL, 10, 64),
    "resnet18-cifar-32": Case("ResNet-18, 32x32, batch 32", "resnet18", {"variant": "cifar10"}, _SMALL, 10, 32),
    "vgg16-bn-cifar-64": Case(
        "VGG-16-BN, 32x32, batch 64", "vgg16", {"variant": "cifar10", "batch_norm": True}, _SMALL, 10, 64
    ),
    "alexnet-32": Case("AlexNet, 224x224, batch 32", "alexnet", {}, _IMAGE, 1000, 32),
    "googlenet-16": Case("GoogLeNet, 224x224, batch 16", "googlenet", {}, _IMAGE, 1000, 16),
    "resnet18-16": Case("ResNet-18, 224x224, batch 16", "resnet18", {}, _IMAGE, 1000, 16),
    "vgg16-4": Case("VGG-16, 224x224, batch 4", "vgg16", {}, _IMAGE, 1000, 4),
}


def chosen(names):
    """The cases called `names` (or whose network is called so), all for None."""
    if not names:
        return dict(CASES)
    found = {key: case for key, case in CASES.items() if key in names or case.network in names}
    unknown = set(names) - set(found) - {case.network for case in found.values()}
    if unknown:
        raise SystemExit(f"no network {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    return found
