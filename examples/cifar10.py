"""CIFAR-10 on two cores: a small residual network in minutes, ResNet-20 and a small VGG for comparison.

    python examples/cifar10.py [resnet9 | resnet20 | vgg] [--epochs N] [--seed N] [--samples N] [--save FILE]

Each test image is judged together with its mirror image, as training has seen both; the line before tells what single
images give. CIFAR-10 is read from $CCONV_DATA or the cache, or downloaded (pip install cconv[data]).
"""

import argparse
import time

import numpy as np

import cconv
from cconv import nn
from cconv.callbacks import Callback, LearningRateScheduler
from cconv.data import Compose, Cutout, RandomCrop, RandomHorizontalFlip, cifar10
from cconv.optim.schedules import OneCycleLR

# Epochs and peak learning rate of each.
RECIPES = {"resnet9": (22, 0.15), "resnet20": (20, 0.2), "vgg": (15, 0.1)}


def resnet9(rng, width=32):
    """Eight convolutions, two shortcuts and one dense layer, after D. Page, How to train your ResNet (2018).

    As there, pools come first, so that less is to be normalised, and logits are an eighth of what the dense layer gives: it
    reads maxima, which are large, and would be too steep for the learning rate of the convolutions.
    """

    def block(channels_in, channels_out, pool=1):
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False, rng=rng)
        pooled = [conv, nn.MaxPool2d(pool)] if pool > 1 else [conv]
        return nn.Sequential(*pooled, nn.BatchNorm2d(channels_out), nn.ReLU())

    def residual(channels):
        return nn.Sum(nn.Identity(), nn.Sequential(block(channels, channels), block(channels, channels)))

    return nn.Sequential(
        block(3, width),
        block(width, 2 * width, pool=2), residual(2 * width),
        block(2 * width, 4 * width, pool=2),
        block(4 * width, 8 * width, pool=2), residual(8 * width),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10, rng=rng), nn.Normalize(0.0, 8.0),
    )  # fmt: skip


def vgg(rng):
    """Six convolutions in three pairs, each pair behind the pool of the one before."""
    layers, channels_in = [], 3
    for channels in (32, 64, 128):
        for _ in range(2):
            conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False, rng=rng)
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
            channels_in = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(128 * 4 * 4, 10, rng=rng))


def network(name, rng):
    if name == "resnet20":
        return cconv.models.resnet20(rng=rng)
    return {"resnet9": resnet9, "vgg": vgg}[name](np.random.default_rng(rng))


class AlternatingFlip(Callback):
    """Mirrors all images before each epoch, half of them from the start; chance would show many twice the same way (K. Jordan,
    94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024)."""

    def __init__(self, x):
        self.x = x
        x[::2] = x[::2, ..., ::-1].copy()

    def on_epoch_begin(self, epoch, logs=None):
        self.x[...] = self.x[..., ::-1].copy()


def fit(model, x, y, epochs, seed, callbacks):
    augment = Compose([RandomCrop(32, 4), RandomHorizontalFlip(), Cutout(8)])
    model.fit(x, y, 128, epochs, rng=seed, augment=augment, callbacks=callbacks)


def fit_growing(model, x, y, epochs, seed, callbacks):
    """While the learning rate is high, 24x24 pixels of each image teach as much, in two thirds of the time."""
    callbacks = [*callbacks, AlternatingFlip(x)]
    small = 10 * epochs // 22
    model.fit(x, y, 128, small, rng=seed, augment=RandomCrop(24), callbacks=callbacks)
    augment = Compose([RandomCrop(32, 4), Cutout(8)])
    model.fit(x, y, 128, epochs, rng=seed, augment=augment, callbacks=callbacks, initial_epoch=small)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", choices=RECIPES, default="resnet9")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, help="train on the first N images alone")
    parser.add_argument("--save", metavar="FILE", help="write the trained model, for cconv.Model.load")
    arguments = parser.parse_args()
    epochs, rate = RECIPES[arguments.network]
    epochs = arguments.epochs or epochs
    (x, y), test = cifar10(raw=True)
    normalize = nn.Normalize(x.mean(axis=(0, 2, 3)) / 255, x.std(axis=(0, 2, 3)) / 255)
    model = cconv.Model(
        nn.Sequential(normalize, network(arguments.network, arguments.seed)),
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        optimizer=cconv.optim.SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-4),
    )
    schedule = OneCycleLR(rate, epochs, pct_start=0.25, final_div_factor=100)
    begin = time.perf_counter()
    (fit_growing if arguments.network == "resnet9" else fit)(
        model, x[: arguments.samples], y[: arguments.samples], epochs, arguments.seed,
        [LearningRateScheduler(schedule, by_batch=True)],
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    if arguments.save:
        model.save(arguments.save)
    x, y = test
    mirrored = np.ascontiguousarray(x[..., ::-1])
    single = model.predict(x)
    both = single + model.predict(mirrored)
    print(f"test accuracy of single images {100 * np.mean(single.argmax(1) == y):.2f} %; with their mirror images:")
    print(f"test accuracy {100 * np.mean(both.argmax(1) == y):.2f} % after {seconds:.0f} s")


if __name__ == "__main__":
    main()
