"""The command line: `cconv VERB ...`, the same as `python -m cconv VERB ...`. One module of commands/ a verb."""

import argparse
import os
import sys

from cconv import __version__
from cconv.commands import bench, check, evaluate, explain, info, predict, profile, summary, train

_VERBS = (train, evaluate, predict, summary, explain, check, profile, bench, info)
_EXPECTED = (ValueError, TypeError, OSError, ImportError, MemoryError, ArithmeticError, RuntimeError, LookupError)


class _Parser(argparse.ArgumentParser):
    """Wrong usage is told in one line; the options are a screen away, behind --help."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (`{self.prog} --help` tells more)\n")


def parser():
    """The parser of the whole command line."""
    top = _Parser(
        prog="cconv",
        description="Train classic CNNs on an ordinary CPU.",
        epilog="Start with `cconv train`: it trains LeNet-5 on handwritten digits, offline, in seconds.\n"
        "`cconv VERB --help` explains a verb, with examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"cconv {__version__}")
    verbs = top.add_subparsers(metavar="VERB", dest="verb")
    for verb in _VERBS:
        verb.add(verbs)
    return top


def main(argv=None):
    """Run one command line; returns the exit status: 0, 1 after a failure, 2 for wrong usage, 130 after Ctrl-C."""
    top = parser()
    arguments = top.parse_args(argv)
    if arguments.verb is None:
        top.print_help()
        return 0
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\ncconv: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _EXPECTED as error:
        if os.environ.get("CCONV_VERBOSE"):
            raise
        print(f"cconv: error: {_line(error)}", file=sys.stderr)
        return 1


def _line(error):
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
