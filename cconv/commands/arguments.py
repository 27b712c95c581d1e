"""Arguments that several verbs share."""

import argparse
from pathlib import Path

DATA = ("digits", "mnist", "fashion_mnist")


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


def number(low):
    """An argparse type: finite numbers not below `low`."""

    def convert(text):
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
        if not low <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {low:g}, got {text}")
        return value

    return convert


def add_verb(verbs, name, run, summary, text, examples):
    """Declare the verb `name`; its --help shows `text` and `examples`."""
    verb = verbs.add_parser(
        name,
        help=summary,
        description=text,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


def add_data(verb, default, note):
    verb.add_argument("--data", choices=DATA, default=default, help=f"data set ({note})")
    verb.add_argument(
        "--data-root", metavar="DIR", type=Path, help="folder with the data files (else $CCONV_DATA, cache, download)"
    )


def add_threads(verb):
    verb.add_argument(
        "--threads", metavar="N", type=whole_number(1, 256), help="threads (all cores this process may use)"
    )


def set_threads(arguments):
    if arguments.threads is not None:
        import cconv

        cconv.set_num_threads(arguments.threads)


def load_data(name, root, side):
    """(train, test) of the data set `name`, digits at `side` pixels."""
    from cconv import data

    if name == "digits":
        return data.digits(side)
    return getattr(data, name)(root)
