"""`cconv explain`"""

import argparse
import re

import numpy as np

from cconv.commands.arguments import add_verb, whole_number


def _sizes(text):
    """ "3x3" as (3, 3); a single number is one axis."""
    if not re.fullmatch(r"\d{1,6}(x\d{1,6}){0,3}", text):
        raise argparse.ArgumentTypeError(f"must be numbers with x between them, such as 3x3; got {text!r}")
    return tuple(int(part) for part in text.split("x"))


def _numbers(text):
    """ "1 2; 3 4" as an array of two rows; one row is one axis."""
    try:
        rows = np.array([[float(word) for word in re.split(r"[,\s]+", row.strip())] for row in text.split(";")])
    except ValueError:
        rows = np.array(np.nan)
    if not np.isfinite(rows).all():
        raise argparse.ArgumentTypeError(
            f"must be rows of equally many finite numbers, such as '1 2; 3 4'; got {text!r}"
        )
    return rows[0] if len(rows) == 1 else rows


def _layer(text):
    """ "3x3:256" as ((3, 3), 256)."""
    kernel, mark, channels = text.partition(":")
    if not mark or not channels.isdecimal() or int(channels) < 1:
        raise argparse.ArgumentTypeError(f"must be KERNEL:CHANNELS, such as 3x3:256; got {text!r}")
    return _sizes(kernel), int(channels)


def _padding(text):
    if text in ("valid", "same", "same_lower", "full"):
        return text
    return _sizes(text)


def add(verbs):
    verb = add_verb(
        verbs, "explain", None, "show how convolution works, on numbers of your own",
        "Show what a layer does, with every number computed by the kernels that also train networks.\n"
        "Kernels and inputs are your own numbers, or 0, 1, 2, ... in the shape you name.",
        [
            "cconv explain shape --input 227x227 --kernel 11x11 --stride 4",
            "cconv explain affine --input 3x3 --kernel 2x2",
            "cconv explain transpose --input 3x3 --kernel 2x2       why backward is the transpose of forward",
            "cconv explain transpose --x '3 1 4; 1 5 9; 2 6 5' --w '1 0; 0 -1'       the same with your numbers",
            "cconv explain pool --x '1 5 2 0; 3 4 8 6' --kernel 2",
            "cconv explain complexity 100x100x256 --conv 1x1:64 --conv 3x3:256",
            "cconv explain winograd --tile 4 --kernel 3 --format latex",
        ],
    )  # fmt: skip
    verb.set_defaults(run=lambda arguments: verb.print_help())
    topics = verb.add_subparsers(metavar="TOPIC", dest="topic")
    for name, page, summary, options in _TOPICS:
        topic = topics.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        for option in options:
            flag, settings = _OPTIONS[option]
            topic.add_argument(flag, **settings)
        topic.add_argument(
            "--format", choices=("text", "markdown", "latex"), default="text", help="how to print it (text)"
        )
        topic.set_defaults(run=run, page=page)


def run(arguments):
    print(getattr(arguments.page(arguments), arguments.format)())


def _shape(arguments):
    from cconv import explain

    sizes, kernel = arguments.input or (3, 3), arguments.kernel or (2,)
    rank = max(len(sizes), len(kernel))
    return explain.output_shape(_spread(sizes, rank), _spread(kernel, rank), **_window(arguments, rank))


def _affine(arguments):
    from cconv import explain

    x, w = _arrays(arguments, most=2)
    window = _window(arguments, x.ndim)
    page = explain.affine_matrix(w, x.shape, **window).page
    return page.add_matrix("with names, C", explain.affine_symbols(w.shape, x.shape, **window))


def _transpose(arguments):
    from cconv import explain

    x, w = _arrays(arguments, most=2)
    return explain.transpose(w, x, _of_rank(arguments.dy, x.ndim), **_window(arguments, x.ndim))


def _backward(arguments):
    from cconv import explain

    x, w = _arrays(arguments)
    return explain.backward(
        _convolution(w, **_window(arguments, x.ndim)), x[None, None], _of_rank(arguments.dy, x.ndim + 2)
    )


def _pool(arguments):
    from cconv import explain, nn

    x = _counted(arguments.input) if arguments.x is None else arguments.x
    kinds = (nn.AvgPool1d, nn.AvgPool2d) if arguments.average else (nn.MaxPool1d, nn.MaxPool2d)
    if x.ndim > len(kinds):
        raise ValueError(f"a map of one or two axes is expected, got shape {x.shape}")
    kernel = _spread(arguments.kernel or (2,), x.ndim)
    if len(kernel) != x.ndim or any(k > n for k, n in zip(kernel, x.shape, strict=True)):
        raise ValueError(f"a window of {_by(kernel)} does not fit into a map of {_by(x.shape)}")
    pool = kinds[x.ndim - 1](kernel, arguments.stride and _spread(arguments.stride, x.ndim))
    return explain.backward(pool, x[None, None], _of_rank(arguments.dy, x.ndim + 2))


def _norm(arguments):
    from cconv import explain, nn

    x = np.atleast_2d(arguments.x)
    # With the same dy everywhere nothing would be left for x.
    dy = np.eye(*x.shape) if arguments.dy is None else np.atleast_2d(arguments.dy)
    return explain.backward(nn.BatchNorm1d(x.shape[1], dtype=np.float64), x, dy)


def _residual(arguments):
    from cconv import explain

    x, w = _arrays(arguments, kernel=3)
    return explain.residual(_convolution(w, padding="same"), x[None, None], _of_rank(arguments.dy, x.ndim + 2))


def _step(arguments):
    from cconv import data, explain, models

    (x, y), _ = data.digits()
    return explain.train_step(models.lenet5(rng=0).astype(np.float64), x[: arguments.samples], y[: arguments.samples])


def _im2col(arguments):
    from cconv import explain

    # A last third number are the channels, as in 227x227x3.
    sizes = arguments.input or (3, 3)
    *sizes, channels = sizes if len(sizes) == 3 else (*sizes, 1)
    x = _counted((channels, *_spread(tuple(sizes), 2))) if arguments.x is None else np.atleast_2d(arguments.x)
    w = None if arguments.w is None else np.atleast_2d(arguments.w)
    kernel = _spread(arguments.kernel or (2,), 2) if w is None else w.shape
    weight = None if w is None else np.broadcast_to(w, (1, x.shape[0] if x.ndim == 3 else 1, *w.shape))
    return explain.im2col(x, kernel, weight, **_window(arguments, 2))


def _commutativity(arguments):
    from cconv import explain

    return explain.commutativity(*_arrays(arguments))


def _kinds(arguments):
    from cconv import explain

    return explain.convolution_or_correlation(*_arrays(arguments))


def _transposed(arguments):
    from cconv import explain

    x, w = _arrays(arguments)
    return explain.transposed(x, w, _spread(arguments.stride, x.ndim))


def _winograd(arguments):
    from cconv import explain

    kernel = arguments.kernel[0] if arguments.w is None else max(arguments.w.shape)
    tile = arguments.tile if arguments.x is None else max(arguments.x.shape) - kernel + 1
    if arguments.x is not None and tile < 1:
        raise ValueError(f"a tile of {_by(arguments.x.shape)} is smaller than a kernel of {kernel}x{kernel}")
    return explain.winograd(tile, kernel, arguments.x, arguments.w)


def _complexity(arguments):
    from cconv import explain, nn

    *sizes, channels = arguments.shape
    if not 1 <= len(sizes) <= 3 or any(len(kernel) not in (1, len(sizes)) for kernel, _ in arguments.conv):
        raise ValueError(
            f"SHAPE needs a size for each axis of the kernels and then channels, such as 100x100x256; got {_by(arguments.shape)}"
        )
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(sizes) - 1]
    layers = []
    for kernel, wanted in arguments.conv:
        layers.append(kind(channels, wanted, _spread(kernel, len(sizes)), padding="same"))
        channels = wanted
    return explain.complexity((arguments.shape[-1], *sizes), layers)


def _dilation(arguments):
    from cconv import explain

    return explain.same_padding(arguments.kernel[0], arguments.dilation[0])


def _depth(arguments):
    from cconv import explain

    return explain.depth_to(arguments.input[0], arguments.kernel[0], arguments.target)


def _by(sizes):
    return "x".join(map(str, sizes))


def _counted(shape):
    """0, 1, 2, ... in this shape."""
    if np.prod(shape, dtype=float) > 10**7:
        raise ValueError(f"{_by(shape)} is too large to look at")
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def _arrays(arguments, kernel=2, most=3):
    """(x, w): the user's numbers, or counted ones in the shapes that were named; a single row beside a matrix is one, too."""
    arrays = [array for array in (arguments.x, arguments.w) if array is not None]
    sizes = [sizes for sizes in (arguments.input, arguments.kernel) if sizes and len(sizes) > 1]
    # Nothing but single numbers was named: one axis if the input was.
    rank = max([array.ndim for array in arrays] + [len(one) for one in sizes], default=1 if arguments.input else 2)
    if rank > most:
        raise ValueError(f"an input of at most {most} axes is expected, such as 3x3; got {rank}")
    x = _counted(_spread(arguments.input or (3,), rank)) if arguments.x is None else arguments.x
    w = _counted(_spread(arguments.kernel or (kernel,), rank)) if arguments.w is None else arguments.w
    return _of_rank(x, rank), _of_rank(w, rank)


def _of_rank(array, rank):
    """With axes of length 1 in front; None stays."""
    return None if array is None else array.reshape((1,) * (rank - array.ndim) + array.shape)


def _convolution(w, **window):
    from cconv import nn

    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[w.ndim - 1]
    layer = kind(1, 1, w.shape, bias=False, dtype=np.float64, **window)
    layer.weight.data[0, 0] = w
    return layer


def _spread(sizes, rank):
    return sizes * rank if len(sizes) == 1 else sizes


def _window(arguments, rank):
    padding = arguments.padding if isinstance(arguments.padding, str) else _spread(arguments.padding, rank)
    return {
        "stride": _spread(arguments.stride, rank),
        "padding": padding,
        "dilation": _spread(arguments.dilation, rank),
    }


_OPTIONS = {
    "input": ("--input", {"type": _sizes, "metavar": "HxW", "help": "size of the input (3x3)"}),
    "kernel": ("--kernel", {"type": _sizes, "metavar": "HxW", "help": "size of the kernel (2x2)"}),
    "x": ("--x", {"type": _numbers, "metavar": "NUMBERS", "help": "the input, instead of --input: '3 1 4; 1 5 9; 2 6 5'"}),
    "w": ("--w", {"type": _numbers, "metavar": "NUMBERS", "help": "the kernel, instead of --kernel: '1 0; 0 -1'"}),
    "dy": ("--dy", {"type": _numbers, "metavar": "NUMBERS", "help": "what arrives from above, one number an output (ones)"}),
    "stride": ("--stride", {"type": _sizes, "default": (1,), "metavar": "N", "help": "stride (1)"}),
    "input4": ("--input", {"type": _sizes, "default": (4, 4), "metavar": "HxW", "help": "size of the map (4x4)"}),
    "kernel3": ("--kernel", {"type": _sizes, "metavar": "HxW", "help": "size of the kernel (3x3)"}),
    "stride0": ("--stride", {"type": _sizes, "metavar": "N", "help": "stride (that of the kernel)"}),
    "average": ("--average", {"action": "store_true", "help": "the mean, not the maximum"}),
    "batch": (
        "--x",
        {
            "type": _numbers, "metavar": "NUMBERS", "default": np.array([[1.0, 4.0], [2.0, 2.0], [6.0, 0.0]]),
            "help": "a row for each sample, a column for each feature ('1 4; 2 2; 6 0')",
        },
    ),
    "samples": ("--samples", {"type": whole_number(1, 1437), "metavar": "N", "default": 6, "help": "size of the batch (6)"}),
    "stride2": ("--stride", {"type": _sizes, "default": (2,), "metavar": "N", "help": "stride (2)"}),
    "padding": (
        "--padding",
        {"type": _padding, "default": (0,), "metavar": "P", "help": "zeros on each side, or valid, same, same_lower, full (0)"},
    ),
    "dilation": ("--dilation", {"type": _sizes, "default": (1,), "metavar": "D", "help": "spacing of the kernel (1)"}),
    "tile": ("--tile", {"type": int, "default": 2, "metavar": "M", "help": "outputs of a tile along one axis (2)"}),
    "tile_x": ("--x", {"type": _numbers, "metavar": "NUMBERS", "help": "a tile of the input, instead of --tile"}),
    "taps": ("--kernel", {"type": _sizes, "default": (3,), "metavar": "R", "help": "size of the kernel (3)"}),
    "length": ("--input", {"type": _sizes, "default": (224,), "metavar": "N", "help": "size to begin with (224)"}),
    "target": ("--target", {"type": int, "default": 4, "metavar": "N", "help": "size to reach (4)"}),
    "shape": ("shape", {"type": _sizes, "metavar": "SHAPE", "help": "height x width x channels, such as 100x100x256"}),
    "conv": (
        "--conv",
        {
            "type": _layer, "action": "append", "required": True, "metavar": "KERNEL:CHANNELS",
            "help": "a convolution that keeps the size; may be given several times",
        },
    ),
}  # fmt: skip
_WINDOW = ("input", "kernel", "stride", "padding", "dilation")
_NUMBERS = ("input", "kernel", "x", "w")
_TOPICS = (
    ("shape", _shape, "the size of a convolution's output", _WINDOW),
    ("kinds", _kinds, "correlation and convolution; narrow, wide, equal width", _NUMBERS),
    ("commutativity", _commutativity, "why wide convolution commutes", _NUMBERS),
    ("affine", _affine, "a convolution as a matrix", (*_WINDOW, "x", "w")),
    ("transpose", _transpose, "why backward is the transpose of forward", (*_WINDOW, "x", "w", "dy")),
    ("backward", _backward, "both gradients of a convolution, path by path", (*_WINDOW, "x", "w", "dy")),
    ("pool", _pool, "a pool forward and backward", ("input4", "kernel", "stride0", "average", "x", "dy")),
    ("norm", _norm, "batch norm forward and backward", ("batch", "dy")),
    ("residual", _residual, "the gradient of a residual block", ("input", "kernel3", "x", "w", "dy")),
    ("step", _step, "one training step of LeNet-5 on digits, in eleven steps", ("samples",)),
    ("im2col", _im2col, "the im2col matrix and how often it repeats a value", (*_WINDOW, "x", "w")),
    ("winograd", _winograd, "Winograd's matrices and what they save", ("tile", "taps", "tile_x", "w")),
    ("complexity", _complexity, "multiply-adds, weights and maps of layers, by every algorithm", ("shape", "conv")),
    ("transposed", _transposed, "transposed and fractionally strided convolution", (*_NUMBERS, "stride2")),
    ("same", _dilation, "the padding that keeps the size, dilated or not", ("taps", "dilation")),
    ("depth", _depth, "how many layers without padding shrink an image to a size", ("length", "taps", "target")),
)
