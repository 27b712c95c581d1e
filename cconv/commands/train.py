"""`cconv train`"""

import argparse
import inspect
import json
import sys
from pathlib import Path

from cconv.commands import datasets, pictures, recipe, runs
from cconv.commands.arguments import add_data, add_threads, add_verb, number, set_threads, whole_number

_ARGUMENTS = "arguments.json"


def add(verbs):
    verb = add_verb(
        verbs, "train", run, "train a network; without arguments LeNet-5 on handwritten digits, offline",
        "Train a network and write a run folder: model.safetensors (the checkpoint), metrics.jsonl (a line an epoch)\n"
        "and, with matplotlib installed, pictures. The digits are part of the package; MNIST, Fashion-MNIST and CIFAR\n"
        "are read from --data-root, $CCONV_DATA or the cache, or downloaded (pip install cconv[data]). Ctrl-C keeps\n"
        "what was learnt; --resume goes on with it, and ends with the weights of the unbroken run.",
        [
            "cconv train                                    LeNet-5 on 1,797 digits, some seconds",
            "cconv train --data mnist                       60,000 digits, 3 epochs",
            "cconv train resnet20 --data cifar10            60,000 photographs, 10 classes",
            "cconv train vgg11 --data photos/               photos/train/CLASS/*.jpg and photos/test/CLASS/*.jpg",
            "cconv train lenet5 --variant 1998 --epochs 10  the network as published",
            "cconv train --lr 0.1 --batch-size 64 --seed 7 --out runs/mine",
            "cconv train --resume runs/mine                 goes on where it was interrupted",
            "cconv train --optimizer adamw --weight-decay 0.05 --no-decay bias,norm --clip-norm 1",
            "cconv train resnet18 --data cifar10 --nesterov --schedule one-cycle --label-smoothing 0.1 --cutout 8 --ema 0.99",
        ],
    )  # fmt: skip
    verb.add_argument(
        "network",
        nargs="?",
        default="lenet5",
        metavar="NETWORK",
        help="lenet5 (which is usual), alexnet, vgg11 to vgg19, nin, googlenet, resnet18 to resnet152, resnet20 to resnet110",
    )
    add_data(verb, "digits", "digits")
    verb.add_argument("--variant", help="form of the network, such as modern, 1998 or d2l for lenet5")
    verb.add_argument("--batch-norm", action="store_true", help="the form of lenet5 or vgg with batch norm")
    verb.add_argument("--size", metavar="N", type=whole_number(8, 4096), help="side of the images (the network's own)")
    verb.add_argument(
        "--epochs",
        metavar="N",
        type=whole_number(1, 10**6),
        help="passes over the data (digits and cifar 30, mnist 3, fashion_mnist 10)",
    )
    verb.add_argument(
        "--batch-size", metavar="N", type=whole_number(1, 10**6), help="images a step (32; mnist 64; cifar 128)"
    )
    verb.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder (runs/NETWORK-DATA-NNN); what it holds is replaced"
    )
    verb.add_argument(
        "--resume",
        metavar="DIR",
        type=Path,
        help="run folder to go on with, as it began: only --threads, --quiet and --save-every may be given",
    )
    verb.add_argument(
        "--seed", metavar="N", type=whole_number(0), default=0, help="of weights and order: same seed, same bits (0)"
    )
    verb.add_argument(
        "--save-every", metavar="S", type=number(0), default=60.0, help="seconds between saves within an epoch (60)"
    )
    add_threads(verb)
    verb.add_argument("--quiet", action="store_true", help="no progress, only the result")
    recipe.add_arguments(verb)
    verb.set_defaults(usage_error=verb.error, usual=verb.get_default)


def run(arguments):
    set_threads(arguments)
    if arguments.resume:
        arguments = _resumed(arguments)
    data_set = datasets.described(arguments.data, arguments.size)
    model, shape = _model(arguments, data_set)
    train, test = datasets.load(arguments.data, arguments.data_root, shape)
    epochs = arguments.epochs or data_set.epochs
    batch_size = arguments.batch_size or data_set.batch_size
    steering = recipe.callbacks(arguments, data_set, model.net, epochs)
    augment = recipe.augment(arguments, data_set)
    folder = arguments.resume or arguments.out or runs.new_folder(arguments.network, Path(arguments.data).name)
    checkpoint, callbacks = folder / runs.CHECKPOINT, [*_keeping(arguments, folder), *steering]
    if not arguments.resume:
        _begin(arguments, folder, model)
    if not arguments.quiet:
        images = f"{len(train[0]):,} training and {len(test[0]):,} test images"
        print(
            f"{arguments.network} on {arguments.data}: {images}, {epochs} epochs of batches of {batch_size}",
            file=sys.stderr,
        )
    try:
        model.fit(
            *train, batch_size, epochs, validation_data=test, callbacks=callbacks,
            rng=arguments.seed, verbose=0 if arguments.quiet else 1, augment=augment,
            resume=arguments.resume is not None,
        )  # fmt: skip
    except KeyboardInterrupt:
        model.save(checkpoint)
        print(f"\ncconv: interrupted; to go on: cconv train --resume {folder}", file=sys.stderr)
        return 130
    records = runs.records(folder)
    print(f"test accuracy {100 * records['val_accuracy'][-1]:.2f} %")
    drawn = pictures.draw(model, records, test, data_set.names, folder)
    if not arguments.quiet:
        print(f"wrote {folder}/: {', '.join([runs.CHECKPOINT, runs.METRICS, *drawn])}")
        print("next:")
        print(f"  cconv evaluate {checkpoint}")
        print(f"  cconv predict {checkpoint} IMAGE")
    return 0


def _model(arguments, data_set):
    """The Model to train, new or as the run folder holds it, and the shape of its images."""
    from cconv import models
    from cconv.model import Model

    if arguments.resume:
        model = Model.load(arguments.resume / runs.CHECKPOINT)
        return model, model.input_shape
    net = _network(arguments, data_set)
    model = Model(net, recipe.loss(arguments), recipe.optimizer(arguments, data_set, net))
    model.notes = {"network": arguments.network, "data": arguments.data, "frame": data_set.frame}
    if data_set.names:
        model.notes["classes"] = list(data_set.names)
    channels, *size = models.input_shape(net)
    model.input_shape = (channels, *((arguments.size,) * 2 if arguments.size else size))
    return model, model.input_shape


def _network(arguments, data_set):
    from cconv import models

    if arguments.network not in models.names():
        raise ValueError(f"there is no network {arguments.network!r}; there are {', '.join(models.names())}")
    known = inspect.signature(getattr(models, arguments.network)).parameters
    options = {"num_classes": data_set.classes, "in_channels": data_set.channels, "rng": arguments.seed}
    if "input_size" in known:
        options["input_size"] = arguments.size or (
            data_set.side if arguments.variant is None else known["input_size"].default
        )
        if arguments.variant is not None and arguments.size is None and known["input_size"].default != data_set.side:
            options.pop("input_size")
    if arguments.batch_norm:
        options["batch_norm"] = True
    if arguments.variant is not None:
        options["variant"] = arguments.variant
    try:
        if arguments.variant is None and data_set.side <= 32 and "variant" in known and "input_size" not in known:
            return _small(models, arguments.network, options)
        return models.create(arguments.network, **options)
    except TypeError as error:
        raise ValueError(f"{arguments.network}: {error}") from error


def _small(models, network, options):
    """The form for 32x32 images where the network has one."""
    try:
        return models.create(network, variant="cifar10", **options)
    except ValueError:
        return models.create(network, **options)


def _keeping(arguments, folder):
    """The callbacks that write into the run folder."""
    from cconv.callbacks import JSONLogger, ModelCheckpoint

    path = str(folder / runs.CHECKPOINT).replace("{", "{{").replace("}", "}}")
    saving = ModelCheckpoint(path, every_seconds=arguments.save_every)
    return [saving, JSONLogger(folder / runs.METRICS, append=arguments.resume is not None)]


# What a run is; a resumed one takes it from its folder.
_KEPT = {"network", "data", "data_root", "variant", "batch_norm", "size", "epochs", "batch_size", "seed"} | recipe.KEPT


def _begin(arguments, folder, model):
    """Make the folder of a run that --resume can go on with from its first moment."""
    from cconv.checkpoint import put

    folder.mkdir(parents=True, exist_ok=True)
    # At no moment do arguments stand beside the checkpoint of another run.
    (folder / _ARGUMENTS).unlink(missing_ok=True)
    (folder / runs.METRICS).unlink(missing_ok=True)
    model.save(folder / runs.CHECKPOINT)
    kept = {key: value for key, value in vars(arguments).items() if key in _KEPT}
    content = {key: str(value) if isinstance(value, Path) else value for key, value in kept.items()}
    put(folder / _ARGUMENTS, [json.dumps(content, indent=1).encode() + b"\n"])


def _resumed(arguments):
    """The arguments of the run that `--resume` names; options of later versions as they are unless given."""
    path = arguments.resume / _ARGUMENTS
    try:
        kept = json.loads(path.read_text())
        if not isinstance(kept, dict) or not {"network", "data", "seed"} <= set(kept) <= _KEPT:
            raise ValueError("not the arguments of a run")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    kept = {key: arguments.usual(key) for key in _KEPT} | kept
    if kept["data_root"] is not None:
        kept["data_root"] = Path(kept["data_root"])
    for key in sorted(_KEPT):
        if getattr(arguments, key) not in (arguments.usual(key), kept[key]):
            raise ValueError(f"--resume goes on as the run began: {key.replace('_', '-')} cannot change")
    return argparse.Namespace(**vars(arguments) | kept)
