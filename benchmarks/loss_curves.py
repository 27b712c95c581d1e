"""Loss curves with and without Winograd's algorithm, on real data.

    python benchmarks/loss_curves.py [--steps N] [--threads N] [--png FILE] [--json FILE]

LeNet-5 on MNIST, whose convolutions run as one chain, a wider one whose convolutions run one by one, and ResNet-20 on
CIFAR-10 are trained three times from the same weights on the same batches: `auto` (with Winograd), `set_exact(True)`
(without), and without again from weights of which each differs by one rounding error. The third run tells how far
rounding alone drives two trainings apart; Winograd's curve should be no further from the exact one.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from timing import cores

WINDOW = 25


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of each training (300)")
    parser.add_argument("--threads", type=int, metavar="N", help="all cores")
    parser.add_argument("--png", type=Path, metavar="FILE", help="a picture of the curves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the losses go")
    arguments = parser.parse_args()
    os.environ["CCONV_NUM_THREADS"] = str(arguments.threads or cores())
    import cconv

    curves = {}
    for name, (make, data, lr, batch) in {
        "LeNet-5": (lambda: cconv.models.lenet5(rng=0), cconv.data.mnist, 0.02, 64),
        "LeNet-5, wide": (_wide, cconv.data.mnist, 0.05, 64),
        "ResNet-20": (lambda: cconv.models.resnet20(rng=0), cconv.data.cifar10, 0.1, 128),
    }.items():
        (x, y), _ = data()
        x = (x - x.mean()) / x.std()
        kinds = {"winograd": (False, 0), "exact": (True, 0), "exact, one rounding error away": (True, 1)}
        curves[name] = {
            kind: _train(cconv, make(), x, y, lr, batch, arguments.steps, *how) for kind, how in kinds.items()
        }
        smooth = {kind: np.convolve(losses, np.ones(WINDOW) / WINDOW, "valid") for kind, losses in curves[name].items()}
        apart = {kind: np.abs(one - smooth["exact"]) for kind, one in smooth.items() if kind != "exact"}
        print(
            f"{name}: loss {smooth['exact'][0]:.3f} to {smooth['exact'][-1]:.3f} (means of {WINDOW} steps), from exact:"
        )
        for kind, distance in apart.items():
            print(f"  {kind:32s} mean {distance.mean():.4f}, largest {distance.max():.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(curves) + "\n")
    if arguments.png:
        _draw(curves).savefig(arguments.png, dpi=120)


def _wide():
    from cconv import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2, rng=0), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(32, 32, 5, rng=1), nn.Tanh(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 120, rng=2), nn.ReLU(), nn.Linear(120, 10, rng=3),
    )  # fmt: skip


def _train(cconv, net, x, y, lr, batch, steps, exact, nudge):
    before = cconv.get_exact()
    cconv.set_exact(exact)
    try:
        model = cconv.Model(net, optimizer=cconv.optim.SGD(lr, momentum=0.9, weight_decay=1e-4))
        if nudge:
            model.optimizer.data[...] = np.nextafter(model.optimizer.data, np.float32(np.inf))
        order = np.random.default_rng(0)
        chosen = (order.integers(0, len(x), batch) for _ in range(steps))
        return [model.train_on_batch(x[rows], y[rows])["loss"] for rows in chosen]
    finally:
        cconv.set_exact(before)


def _draw(curves):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, (name, runs) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        for kind, losses in runs.items():
            axes.plot(losses, label=kind, linewidth=0.8)
        axes.set(title=name, xlabel="step", ylabel="loss")
        axes.legend()
    return figure


if __name__ == "__main__":
    main()
