"""Data sets as `(x_train, y_train), (x_test, y_test)`, and batches of arrays."""

# ruff: noqa: F401
from cconv.data import transforms
from cconv.data.cifar import cifar10, cifar100
from cconv.data.digits import digits
from cconv.data.folder import ImageFolder
from cconv.data.loader import DataLoader
from cconv.data.mnist import fashion_mnist, mnist
from cconv.data.source import Resized, Source
from cconv.data.split import train_test_split
from cconv.data.transforms import (
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    Mixup,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
    Resize,
)
