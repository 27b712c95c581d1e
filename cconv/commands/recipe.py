"""How `cconv train` trains: optimiser, course of the learning rate, regularisation and changes of the images."""

import argparse

from cconv.commands.arguments import number, whole_number

# Optimiser -> its learning rate where the data set's own is not for it; adam's serves adamw and rmsprop.
_RATES = {"adagrad": 0.05, "adadelta": 1.0, "lars": 5.0}
_OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "lars")
# Those with a momentum, and what it is unless given.
_MOMENTUM = {"sgd": 0.9, "lars": 0.9, "rmsprop": 0.0}
_SCHEDULES = ("cosine", "one-cycle", "step", "exponential", "plateau", "constant")


def add_arguments(verb):
    """Declare the options; each says what it is without it."""
    share = number(0, 1)
    steps = verb.add_argument_group("steps")
    steps.add_argument(
        "--optimizer", choices=_OPTIMIZERS, default="sgd", metavar="NAME",
        help=f"{', '.join(_OPTIMIZERS)} (sgd); lars is for batches of thousands",
    )  # fmt: skip
    steps.add_argument(
        "--lr", metavar="X", type=number(0),
        help="learning rate at its peak (sgd 0.05, cifar 0.2; adam, adamw and rmsprop 0.002 or 0.003; adagrad 0.05; "
        "adadelta 1; lars 5; a tenth for networks without batch norm, but for lenet5 on digits)",
    )  # fmt: skip
    steps.add_argument("--momentum", metavar="X", type=number(0), help="of sgd and lars (0.9) and rmsprop (0)")
    steps.add_argument("--nesterov", action="store_true", help="Nesterov's form of sgd's momentum")
    steps.add_argument("--clip-norm", metavar="X", type=number(0, above=True), help="scale gradients down to this norm")
    steps.add_argument(
        "--accumulate", metavar="N", type=whole_number(1, 10**6), default=1,
        help="batches whose gradients make one step, for large batches in little memory (1)",
    )  # fmt: skip
    course = verb.add_argument_group("course of the learning rate")
    course.add_argument(
        "--schedule", choices=_SCHEDULES, default="cosine", metavar="NAME",
        help="cosine falls to 0 (default); one-cycle rises for 30 %% and falls to 0; step divides by 10 after a half and "
        "three quarters; exponential falls to a hundredth; plateau divides by 10 when the test loss has not fallen for "
        "5 epochs; constant",
    )  # fmt: skip
    course.add_argument(
        "--warmup", metavar="E", type=number(0),
        help="epochs in which the rate rises to its peak (a tenth of all with cosine, else 0; not for one-cycle, plateau)",
    )  # fmt: skip
    regular = verb.add_argument_group("against learning by heart")
    regular.add_argument(
        "--weight-decay", metavar="X", type=number(0), help="L2 penalty, decoupled in adamw (0; cifar 5e-4; adamw 0.01)"
    )
    regular.add_argument(
        "--no-decay", metavar="WHAT", type=_kinds, default=[],
        help="what weight decay leaves alone: bias, norm or bias,norm (nothing)",
    )  # fmt: skip
    regular.add_argument(
        "--label-smoothing", metavar="X", type=share, default=0.0,
        help="share of the target given to all classes, such as 0.1 (0)",
    )  # fmt: skip
    regular.add_argument(
        "--ema", metavar="X", type=number(0, 1, below=True),
        help="evaluate and predict with a running average of the weights over the last 1/(1-X) steps or so, such as "
        "0.99; use one much shorter than the run",
    )  # fmt: skip
    regular.add_argument(
        "--patience", metavar="N", type=whole_number(1, 10**6),
        help="end when the test loss has not fallen for N epochs (never)",
    )  # fmt: skip
    images = verb.add_argument_group("random changes of training images")
    images.add_argument(
        "--shift", metavar="N", type=whole_number(0, 1000),
        help="move by up to N pixels (digits 2, cifar 4, else 0)",
    )  # fmt: skip
    images.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="mirror left to right (cifar and folders, not digits)"
    )
    images.add_argument("--jitter", metavar="X", type=share, default=0.0, help="brightness and contrast by up to X (0)")
    images.add_argument(
        "--cutout", metavar="N", type=whole_number(0, 1000), default=0, help="blacken a square of N pixels (0)"
    )
    images.add_argument(
        "--mixup", metavar="A", type=number(0), default=0.0,
        help="blend pairs of images and their labels by shares of Beta(A, A), such as 0.2 (0)",
    )  # fmt: skip
    images.add_argument(
        "--cutmix", metavar="A", type=number(0), default=0.0,
        help="put a piece of one image into another, labels by area, such as 1 (0)",
    )  # fmt: skip


KEPT = {
    "lr", "momentum", "nesterov", "weight_decay", "no_decay", "optimizer", "clip_norm", "accumulate", "schedule", "warmup",
    "label_smoothing", "ema", "patience", "shift", "flip", "jitter", "cutout", "mixup", "cutmix",
}  # fmt: skip


def _kinds(text):
    from cconv.optim.decay import kinds_of

    try:
        return list(kinds_of(text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def loss(arguments):
    from cconv import nn

    smoothing = arguments.label_smoothing
    return nn.CrossEntropyLoss(label_smoothing=smoothing) if smoothing else "cross_entropy"


def optimizer(arguments, data_set, net):
    """The optimiser for `net`.

    Raises
    ------
    ValueError
        For an option that belongs to another optimiser.
    """
    from cconv import optim

    name = arguments.optimizer
    classes = (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.LARS)
    cls = dict(zip(_OPTIMIZERS, classes, strict=True))[name]
    options = {
        "clip_norm": arguments.clip_norm, "accumulate": arguments.accumulate, "no_decay": arguments.no_decay,
        "ema": arguments.ema,
    }  # fmt: skip
    if name in _MOMENTUM:
        options["momentum"] = _MOMENTUM[name] if arguments.momentum is None else arguments.momentum
    elif arguments.momentum is not None:
        raise ValueError(f"--momentum belongs to --optimizer {' or '.join(_MOMENTUM)}")
    if arguments.nesterov:
        if name != "sgd":
            raise ValueError("--nesterov belongs to --optimizer sgd")
        options["nesterov"] = True
    if arguments.weight_decay is not None or name != "adamw":
        options["weight_decay"] = data_set.weight_decay if arguments.weight_decay is None else arguments.weight_decay
    return cls(_peak(arguments, data_set, net), **options)


def _peak(arguments, data_set, net):
    if arguments.lr is not None:
        return arguments.lr
    from cconv import nn

    lr = _RATES.get(arguments.optimizer, data_set.lr[arguments.optimizer != "sgd"])
    if arguments.variant == "1998":
        # Its outputs are squared distances, an order of magnitude steeper than logits.
        return lr / 8
    normed = any(isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) for _, layer in net.named_layers())
    small = arguments.network == "lenet5" and data_set.channels == 1
    # Without batch norm deeper networks do not leave the beginning at the rate that is best with it.
    return lr if normed or small else lr / 10


def callbacks(arguments, data_set, net, epochs):
    """What changes the learning rate and ends the training."""
    from cconv.callbacks import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau

    found = [EarlyStopping(patience=arguments.patience)] if arguments.patience else []
    if arguments.schedule == "plateau":
        found.append(ReduceLROnPlateau(patience=5))
    schedule = _schedule(arguments, _peak(arguments, data_set, net), epochs)
    return found if schedule is None else [LearningRateScheduler(schedule, by_batch=True), *found]


def _schedule(arguments, peak, epochs):
    from cconv.optim import schedules

    name, warmup = arguments.schedule, arguments.warmup
    if name in ("plateau", "one-cycle") and warmup is not None:
        raise ValueError(f"--warmup does not go with --schedule {name}")
    if name == "plateau":
        return None
    if name == "one-cycle":
        return schedules.OneCycleLR(peak, epochs)
    if name == "cosine":
        schedule = schedules.CosineAnnealingLR(peak, epochs)
        return schedules.LinearWarmup(schedule, epochs / 10 if warmup is None else warmup, 0.01)
    if name == "step":
        schedule = schedules.MultiStepLR(peak, (epochs / 2, 3 * epochs / 4))
    elif name == "exponential":
        schedule = schedules.ExponentialLR(peak, 0.01 ** (1 / epochs))
    else:
        schedule = schedules.ConstantLR(peak)
    return schedules.LinearWarmup(schedule, warmup, 0.01) if warmup else schedule


def augment(arguments, data_set):
    """The changes of the training images, or None."""
    from cconv import data

    shift = data_set.shift if arguments.shift is None else arguments.shift
    flip = data_set.flip if arguments.flip is None else arguments.flip
    classes, jitter = data_set.classes, arguments.jitter
    changes = [
        data.RandomShift(shift) if shift else None,
        data.RandomHorizontalFlip() if flip else None,
        data.ColorJitter(jitter, jitter) if jitter else None,
        data.Cutout(arguments.cutout) if arguments.cutout else None,
        data.Mixup(classes, arguments.mixup) if arguments.mixup else None,
        data.CutMix(classes, arguments.cutmix) if arguments.cutmix else None,
    ]
    changes = [change for change in changes if change is not None]
    return data.Compose(changes) if changes else None
