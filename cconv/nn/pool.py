"""Pooling layers. They keep places in the window (one byte an output) for backward, not indices."""

import numpy as np

from cconv.functional import pool as F
from cconv.functional._arguments import activation, paddings, spatial, whole
from cconv.nn.base import Layer

_FLOAT32 = np.dtype(np.float32).num


class _Pool(Layer):
    """What the layers share: from an input shape to the prepared geometry."""

    rank = None

    def _geometry(self, input_size):
        """Arguments of the prepared pooling for an input of this spatial size."""
        raise NotImplementedError

    def _prepare(self, shape, dtype_number=_FLOAT32, channels_last=False):
        name = type(self).__name__
        if len(shape) != self.rank + 2 or 0 in shape[2:]:
            raise ValueError(f"{name} takes (N, C) and {self.rank} spatial axes that are not empty, got shape {shape}")
        return F.prepared(name, shape, dtype_number, channels_last, **self._geometry(shape[2:]))

    def _prepare_for(self, x):
        x, channels_last = activation(x, "x", self.rank + 2)
        return x, channels_last, self._prepare(x.shape, x.dtype.num, channels_last)

    def output_shape(self, input_shape):
        return self._prepare(tuple(input_shape)).output_shape


class _WindowPool(_Pool):
    """A pool whose window slides."""

    def _set_window(self, kernel_size, stride, padding, dilation):
        self.kernel_size = spatial(kernel_size, self.rank, "kernel_size")
        self.stride = self.kernel_size if stride is None else spatial(stride, self.rank, "stride")
        self.dilation = spatial(dilation, self.rank, "dilation")
        self.padding = padding
        # Checks the padding now; named paddings depend on the input's size, numbers do not.
        window = F.window(self.rank, self.kernel_size, self.kernel_size, self.stride, padding, self.dilation)
        self._window = None if isinstance(padding, str) else window

    def _sliding(self, input_size):
        if self._window is not None:
            return self._window
        pads = paddings(self.padding, self.rank, input_size, self.kernel_size, self.stride, self.dilation)
        return {"kernel": self.kernel_size, "stride": self.stride, "pads": pads, "dilation": self.dilation}

    def extra_repr(self):
        return f"kernel_size={_short(self.kernel_size)}, stride={_short(self.stride)}, padding={self.padding!r}"


def _short(sizes):
    return sizes[0] if len(set(sizes)) == 1 else sizes


class _MaxPool(_WindowPool):
    """Maximum of every window.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode : as in cconv.functional.max_pool2d, in
        torch's order. With return_indices the output is (y, indices).
    """

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        self._set_window(kernel_size, stride, padding, dilation)
        self.return_indices = F.flag(return_indices, "return_indices")
        self.ceil_mode = F.flag(ceil_mode, "ceil_mode")

    def _geometry(self, input_size):
        return {"ceil_mode": self.ceil_mode, **self._sliding(input_size)}

    def __call__(self, x):
        if self.return_indices:
            return self.forward(x, False)[0]
        x, _, pooling = self._prepare_for(x)
        return pooling.max(x)

    def forward(self, x, train):
        x, channels_last, pooling = self._prepare_for(x)
        dtype = x.dtype
        if not self.return_indices and pooling.has_places():
            y, places = pooling.max_with_places(x)

            def backward(dy, need_dx=True):
                if not need_dx:
                    return None
                return pooling.max_backward(F.gradient(dy, pooling, channels_last, dtype), places)

            return y, backward

        y, indices = pooling.max_with_indices(x)
        return (y, indices) if self.return_indices else y, _by_indices(pooling, indices, channels_last, dtype)


def _by_indices(pooling, indices, channels_last, dtype):
    # The caller may own `indices` too, so the core checks them again.
    def backward(dy, need_dx=True):
        if not need_dx:
            return None
        return pooling.max_backward_indices(F.gradient(dy, pooling, channels_last, dtype), indices)

    return backward


class _Averaging:
    """Forward and backward of every layer that averages."""

    def __call__(self, x):
        x, _, pooling = self._prepare_for(x)
        return pooling.average(x)

    def forward(self, x, train):
        x, channels_last, pooling = self._prepare_for(x)
        dtype = x.dtype

        def backward(dy, need_dx=True):
            if not need_dx:
                return None
            return pooling.average_backward(F.gradient(dy, pooling, channels_last, dtype))

        return pooling.average(x), backward


class _AvgPool(_Averaging, _WindowPool):
    """Average of every window.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override : as in
        cconv.functional.avg_pool2d
    """

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        self._set_window(kernel_size, stride, padding, 1)
        self._options = F.average_options(ceil_mode, count_include_pad, divisor_override)
        self.ceil_mode, self.count_include_pad = self._options["ceil_mode"], self._options["count_include_pad"]
        self.divisor_override = divisor_override

    def _geometry(self, input_size):
        return {**self._options, **self._sliding(input_size)}


class _AdaptivePool(_Pool):
    """A pool told the size of its output; None entries keep the input's size."""

    def _set_output(self, output_size):
        self.output_size = output_size
        F.adaptive_size(self.rank, (1,) * self.rank, output_size)

    def _geometry(self, input_size):
        return {"output": F.adaptive_size(self.rank, input_size, self.output_size)}

    def extra_repr(self):
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_Averaging, _AdaptivePool):
    """Average over regions that divide the input evenly.

    Parameters
    ----------
    output_size : int, or one int or None an axis
    """

    def __init__(self, output_size):
        self._set_output(output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    """Maximum over regions that divide the input evenly.

    Parameters
    ----------
    output_size : int, or one int or None an axis
    return_indices : bool, with it the output is (y, indices)
    """

    def __init__(self, output_size, return_indices=False):
        self._set_output(output_size)
        self.return_indices = F.flag(return_indices, "return_indices")

    def forward(self, x, train):
        x, channels_last, pooling = self._prepare_for(x)
        y, indices = pooling.max_with_indices(x)
        return (y, indices) if self.return_indices else y, _by_indices(pooling, indices, channels_last, x.dtype)


class _MaxUnpool(_Pool):
    """Values put back where maxima came from, zeros elsewhere: `layer(x, indices)`.

    Parameters
    ----------
    kernel_size, stride, padding : of the MaxPool it reverses; they give the output size unless the call names one
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        self.kernel_size = spatial(kernel_size, self.rank, "kernel_size")
        self.stride = self.kernel_size if stride is None else spatial(stride, self.rank, "stride")
        self.padding = spatial(padding, self.rank, "padding", 0)

    def _large(self, input_size):
        size = tuple(
            (n - 1) * s - 2 * p + k
            for n, k, s, p in zip(input_size, self.kernel_size, self.stride, self.padding, strict=True)
        )
        if min(size) < 1:
            raise ValueError(f"MaxUnpool: input size {tuple(input_size)} gives the output size {size}")
        return tuple(whole(n, "output_size") for n in size)

    def _geometry(self, input_size):
        return {"output": self._large(input_size)}

    def __call__(self, x, indices, output_size=None):
        return self.forward(x, False, indices, output_size)[0]

    def forward(self, x, train, indices=None, output_size=None):
        if indices is None:
            raise TypeError(f"{type(self).__name__} needs the indices of a max pooling")
        x, channels_last = F.image(x, "x", self.rank)
        indices = F.positions(indices, "indices", x.shape, channels_last)
        if output_size is None:
            size = self._large(x.shape[2:])
        else:
            size = spatial(tuple(output_size)[-self.rank :], self.rank, "output_size")
        pooling = F.prepared(type(self).__name__, x.shape, x.dtype.num, channels_last, output=size)
        dtype = x.dtype

        def backward(dy, need_dx=True):
            if not need_dx:
                return None
            return pooling.unpool_backward(F.gradient(dy, pooling, channels_last, dtype), indices)

        return pooling.unpool(x, indices), backward

    def extra_repr(self):
        return f"kernel_size={_short(self.kernel_size)}, stride={_short(self.stride)}, padding={_short(self.padding)}"


def _of_rank(base, name, rank):
    head, rule, rest = (base.__doc__ or "").partition("\n\n    Parameters\n")
    doc = f"{head}\n\n    Arrays have {rank} spatial {'axis' if rank == 1 else 'axes'}.{rule}{rest}"
    return type(name, (base,), {"rank": rank, "__doc__": doc, "__module__": __name__})


MaxPool1d, MaxPool2d, MaxPool3d = (_of_rank(_MaxPool, f"MaxPool{r}d", r) for r in (1, 2, 3))
AvgPool1d, AvgPool2d, AvgPool3d = (_of_rank(_AvgPool, f"AvgPool{r}d", r) for r in (1, 2, 3))
AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = (
    _of_rank(_AdaptiveAvgPool, f"AdaptiveAvgPool{r}d", r) for r in (1, 2, 3)
)
AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = (
    _of_rank(_AdaptiveMaxPool, f"AdaptiveMaxPool{r}d", r) for r in (1, 2, 3)
)
MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = (_of_rank(_MaxUnpool, f"MaxUnpool{r}d", r) for r in (1, 2, 3))
