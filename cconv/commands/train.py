"""`cconv train`"""

import inspect
import math
import sys
from pathlib import Path

from cconv.commands import runs
from cconv.commands.arguments import add_data, add_threads, add_verb, load_data, number, set_threads, whole_number

# Share of the image that the ink of a digit fills; predict brings other images to it.
_FRAMES = {"digits": 6 / 7, "mnist": 5 / 7, "fashion_mnist": None}
# What trains LeNet-5 well: epochs, batch size, pixels of random shift, peak learning rate of each optimiser.
_RECIPES = {
    "digits": {"epochs": 30, "batch_size": 32, "shift": 2, "sgd": 0.05, "adam": 0.003},
    "mnist": {"epochs": 3, "batch_size": 64, "shift": 0, "sgd": 0.05, "adam": 0.002},
    "fashion_mnist": {"epochs": 10, "batch_size": 64, "shift": 0, "sgd": 0.05, "adam": 0.002},
}
_FASHION = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CLASSES = 10


def add(verbs):
    verb = add_verb(
        verbs, "train", run, "train a network; without arguments LeNet-5 on handwritten digits, offline",
        "Train a network and write a run folder: model.safetensors (the checkpoint), metrics.jsonl (a line an epoch)\n"
        "and, with matplotlib installed, accuracy.png. The digits are part of the package; MNIST and Fashion-MNIST are\n"
        "read from --data-root, $CCONV_DATA or the cache, or downloaded (pip install cconv[data]).",
        [
            "cconv train                                    LeNet-5 on 1,797 digits, some seconds",
            "cconv train --data mnist                       60,000 digits, 3 epochs",
            "cconv train lenet5 --variant 1998 --epochs 10  the network as published",
            "cconv train --lr 0.1 --batch-size 64 --seed 7 --out runs/mine",
        ],
    )  # fmt: skip
    verb.add_argument("network", nargs="?", default="lenet5", metavar="NETWORK", help="name of a network (lenet5)")
    add_data(verb, "digits", "digits")
    verb.add_argument("--variant", help="form of the network, such as modern, 1998 or d2l for lenet5")
    verb.add_argument(
        "--epochs",
        metavar="N",
        type=whole_number(1, 10**6),
        help="passes over the data (30; mnist 3; fashion_mnist 10)",
    )
    verb.add_argument(
        "--batch-size", metavar="N", type=whole_number(1, 10**6), help="images a step (32; 64 for the larger sets)"
    )
    verb.add_argument(
        "--lr",
        metavar="X",
        type=number(0),
        help="learning rate at its peak (sgd 0.05; adam 0.002 or 0.003; an eighth for 1998)",
    )
    verb.add_argument("--momentum", metavar="X", type=number(0), help="of sgd (0.9)")
    verb.add_argument("--weight-decay", metavar="X", type=number(0), default=0.0, help="L2 penalty (0)")
    verb.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd", help="sgd unless given")
    verb.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="course of the learning rate: cosine rises for a tenth and falls to 0 (default)",
    )
    verb.add_argument(
        "--shift",
        metavar="N",
        type=whole_number(0, 1000),
        help="move training images by up to N pixels at random (digits 2, else 0)",
    )
    verb.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder (runs/NETWORK-DATA-NNN); what it holds is replaced"
    )
    verb.add_argument(
        "--seed", metavar="N", type=whole_number(0), default=0, help="of weights and order: same seed, same bits (0)"
    )
    add_threads(verb)
    verb.add_argument("--quiet", action="store_true", help="no progress, only the result")


def run(arguments):
    from cconv.callbacks import JSONLogger, LearningRateScheduler, ModelCheckpoint
    from cconv.data import RandomShift
    from cconv.model import Model

    set_threads(arguments)
    net = _network(arguments)
    optimizer = _optimizer(arguments)
    train, test = load_data(arguments.data, arguments.data_root, _side(net))
    recipe = _RECIPES[arguments.data]
    epochs = arguments.epochs or recipe["epochs"]
    batch_size = arguments.batch_size or recipe["batch_size"]
    shift = recipe["shift"] if arguments.shift is None else arguments.shift
    model = Model(net, optimizer=optimizer)
    model.notes = {"network": arguments.network, "data": arguments.data, "frame": _FRAMES[arguments.data]}
    if arguments.data == "fashion_mnist":
        model.notes["classes"] = list(_FASHION)
    folder = arguments.out or runs.new_folder(arguments.network, arguments.data)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / runs.CHECKPOINT
    callbacks = [
        ModelCheckpoint(str(checkpoint).replace("{", "{{").replace("}", "}}")),
        JSONLogger(folder / "metrics.jsonl"),
    ]
    if arguments.schedule == "cosine":
        callbacks.append(LearningRateScheduler(_cosine(optimizer.lr, epochs), by_batch=True))
    if not arguments.quiet:
        images = f"{len(train[0]):,} training and {len(test[0]):,} test images"
        print(
            f"{arguments.network} on {arguments.data}: {images}, {epochs} epochs of batches of {batch_size}",
            file=sys.stderr,
        )
    try:
        history = model.fit(
            *train, batch_size, epochs, validation_data=test, callbacks=callbacks, rng=arguments.seed,
            verbose=0 if arguments.quiet else 1, augment=RandomShift(shift) if shift else None,
        )  # fmt: skip
    except KeyboardInterrupt:
        kept = f"the checkpoint of epoch {model.epoch} is {checkpoint}" if model.epoch else "no epoch was complete"
        print(f"\ncconv: interrupted; {kept}", file=sys.stderr)
        return 130
    picture = _draw(history.history, folder / "accuracy.png")
    print(f"test accuracy {100 * history.history['val_accuracy'][-1]:.2f} %")
    if not arguments.quiet:
        print(f"wrote {folder}/: {runs.CHECKPOINT}, metrics.jsonl{', accuracy.png' if picture else ''}")
        print("next:")
        print(f"  cconv evaluate {checkpoint}")
        print(f"  cconv predict {checkpoint} IMAGE")
    return 0


def _network(arguments):
    from cconv import models

    options = {"num_classes": _CLASSES, "in_channels": 1, "rng": arguments.seed}
    if arguments.variant is not None:
        options["variant"] = arguments.variant
    try:
        return models.create(arguments.network, **options)
    except TypeError as error:
        raise ValueError(f"{arguments.network}: {error}") from error


def _side(net):
    """Height of the images that the network was made for."""
    return (net.config or {}).get("arguments", {}).get("input_size", 28)


def _optimizer(arguments):
    from cconv import optim

    lr = arguments.lr if arguments.lr is not None else _RECIPES[arguments.data][arguments.optimizer]
    if arguments.lr is None and arguments.variant == "1998":
        # Its outputs are squared distances, an order of magnitude steeper than logits.
        lr /= 8
    options = {"weight_decay": arguments.weight_decay} if arguments.weight_decay else {}
    if arguments.optimizer == "adam":
        if arguments.momentum is not None:
            raise ValueError("--momentum belongs to --optimizer sgd")
        if options and "weight_decay" not in inspect.signature(optim.Adam).parameters:
            raise ValueError("--weight-decay belongs to --optimizer sgd")
        return optim.Adam(lr, **options)
    return optim.SGD(lr, momentum=0.9 if arguments.momentum is None else arguments.momentum, **options)


def _cosine(peak, epochs):
    """A straight rise to `peak` in the first tenth, half a cosine down to 0 (Loshchilov and Hutter 2017)."""

    def rate(epoch, lr):
        done = min(epoch / epochs, 1)
        return peak * min(10 * done + 0.01, 1) * 0.5 * (1 + math.cos(math.pi * done))

    return rate


def _draw(history, path):
    """Accuracy curves as a picture; False when matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    epochs = range(1, len(history["accuracy"]) + 1)
    axes.plot(epochs, history["accuracy"], marker=".", label="training")
    axes.plot(epochs, history["val_accuracy"], marker=".", label="test")
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    return True
