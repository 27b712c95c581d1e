"""Arguments that several verbs share."""

import argparse
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill

from cconv.commands import datasets


def whole_number(low, high=2**62):
    """An argparse type: whole numbers from `low` to `high`."""

    def convert(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}, got {value}")
        return value

    return convert


def number(low, high=float("inf"), above=False, below=False):
    """An argparse type: finite numbers from `low` to `high`, `above` and `below` without the ends."""
    words = [f"{'above' if above else 'at least'} {low:g}"]
    if high < float("inf"):
        words.append(f"{'below' if below else 'at most'} {high:g}")

    def convert(text):
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
        inside = low <= value <= high and value < float("inf")
        if not inside or (above and value == low) or (below and value == high):
            raise argparse.ArgumentTypeError(f"must be {' and '.join(words)}, got {text}")
        return value

    return convert


def add_verb(verbs, name, run, summary, text, examples):
    """Declare the verb `name`; its --help shows `text` and `examples`."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=fill(" ".join(text.split()), min(get_terminal_size().columns, 100) - 2),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


def add_data(verb, default, note):
    verb.add_argument(
        "--data",
        type=_data_set,
        default=default,
        metavar="NAME",
        help=f"{', '.join(datasets.TABLE)}, or a folder with train/CLASS and test/CLASS ({note})",
    )
    verb.add_argument(
        "--data-root", metavar="DIR", type=Path, help="folder with the data files (else $CCONV_DATA, cache, download)"
    )


def _data_set(text):
    if text not in datasets.TABLE and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(datasets.TABLE)} or a folder, got {text!r}")
    return text


def add_network(verb):
    verb.add_argument("network", nargs="?", default="lenet5", metavar="NETWORK", help="name of a network (lenet5)")
    verb.add_argument("--variant", help="form of the network")
    verb.add_argument(
        "--classes", metavar="N", type=whole_number(1, 10**6), help="classes (those of the published network)"
    )
    verb.add_argument(
        "--channels", metavar="N", type=whole_number(1, 10**6), help="input channels (those of the published network)"
    )
    verb.add_argument("--size", metavar="N", type=whole_number(1, 10**6), help="height and width of the images")


def network(arguments):
    """(network, shape of an image) of what `add_network` declared."""
    import inspect

    from cconv import models

    chosen = {"variant": arguments.variant, "num_classes": arguments.classes, "in_channels": arguments.channels}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if arguments.network in models.names() and arguments.size is not None:
        if "input_size" in inspect.signature(getattr(models, arguments.network)).parameters:
            chosen["input_size"] = arguments.size
    try:
        net = models.create(arguments.network, **chosen, rng=0)
    except TypeError as error:
        raise ValueError(f"{arguments.network}: {error}") from error
    shape = models.input_shape(net)
    return net, shape if arguments.size is None else (shape[0], arguments.size, arguments.size)


def add_threads(verb):
    verb.add_argument(
        "--threads", metavar="N", type=whole_number(1, 256), help="threads (all cores this process may use)"
    )


def set_threads(arguments):
    if arguments.threads is not None:
        import cconv

        cconv.set_num_threads(arguments.threads)
