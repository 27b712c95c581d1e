"""Convolution as a product of Fourier transforms, for large kernels.

With X and W the transforms of the padded image and of the kernel, zeros between its elements where it is dilated,

    y = inverse(X conj(W))     dx = inverse(dY W)     dw = inverse(X conj(dY))

summed over what a matrix product sums over: input channels, output channels, images. A stride takes every s-th element of
the first, and puts zeros between those of dy. An image of n elements an axis costs n log n, whatever the kernel size.

Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2013 (arXiv:1312.5851).
"""

import math

import numpy as np

from cconv import _conv, _runtime, runtime
from cconv.functional._arguments import like, parameter

# Complex numbers of the transforms that exist at a time, at least those of one image and one kernel.
BLOCK = 1 << 22


def _cut(count, size):
    """Slices of 0 .. count, of about equal length, none longer than `size` (but at least 1)."""
    pieces = -(-count // max(1, min(size, count)))
    return [slice(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]


class Convolution(_conv.Convolution):
    """One geometry, as its base class; scipy.fft does the passes, on one thread.

    Errors are relative to the largest values: about 1e-6 of the norm of y in float32, 1e-15 in float64. A NaN or an Inf
    anywhere in an image or a kernel makes NaN of everything it is transformed with: all outputs of that image, or of that
    output channel.
    """

    name = "fft"

    def __init__(self, n, channels, out_channels, groups, input_size, kernel_size, stride, pads, dilation, *rest):
        super().__init__(
            n, channels, out_channels, groups, input_size, kernel_size, stride, pads, dilation, *rest, "auto"
        )
        from scipy.fft import next_fast_len

        self._rank, self._groups = len(input_size), groups
        self._inner = (n, groups, channels // groups, out_channels // groups)
        self._before, self._stride, self._dilation = tuple(before for before, _ in pads), stride, dilation
        # The part of the padded image that windows see; circular convolution of this length wraps nothing around.
        reach = [(out - 1) * s + d * (k - 1) + 1
                 for out, s, k, d in zip(self.y_shape[2:], stride, kernel_size, dilation, strict=True)]  # fmt: skip
        self._size = tuple(next_fast_len(r, real=True) for r in reach)
        self._seen = tuple(
            max(0, min(size, r - before)) for size, r, before in zip(input_size, reach, self._before, strict=True)
        )
        self._zero = (0,) * self._rank
        self._one = (1,) * self._rank

    def algorithm(self, which):
        return self.name

    def _grouped(self, array, shape):
        """`array` with its channels as (groups, channels of a group), without a copy."""
        return array.reshape(shape[0], self._groups, -1 if math.prod(shape) else 0, *shape[2:])

    def _blocks(self):
        """(groups, outputs of a group, list of images) that are done at a time."""
        n, groups, inputs, outputs = self._inner
        places = math.prod(self._size[:-1]) * (self._size[-1] // 2 + 1)
        room = BLOCK // places
        for g in _cut(groups, room // (inputs * outputs)):
            many = g.stop - g.start
            for o in _cut(outputs, room // (inputs * many)):
                yield g, o, _cut(n, room // (many * (inputs + o.stop - o.start)))

    def _spectrum(self, array, start, step):
        """Transforms of array (rows, groups, columns, spatial...), as (frequency..., groups, rows, columns)."""
        from scipy.fft import rfftn

        spatial = array.shape[3:]
        stuffed = np.zeros((*self._size, array.shape[1], array.shape[0], array.shape[2]), self.dtype)
        at = tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(start, step, spatial, strict=True))
        if all(spatial):
            stuffed[at] = array.transpose(*range(3, array.ndim), 1, 0, 2)
        return rfftn(stuffed, axes=range(self._rank), workers=1, overwrite_x=True)

    def _inverse(self, spectrum, start, step, count):
        """The elements start, start + step, ... of the image with this transform, as (rows, groups, columns, spatial...)."""
        from scipy.fft import irfftn

        image = irfftn(spectrum, s=self._size, axes=range(self._rank), workers=1, overwrite_x=True)
        at = tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(start, step, count, strict=True))
        rank = self._rank
        return image[at].transpose(rank + 1, rank, rank + 2, *range(rank))

    def _image(self, x):
        """x as (images, groups, channels, spatial...), what no window sees cut off."""
        x = self._grouped(like(x, "x", self.x_shape, self.x_channels_last, self.dtype), self.x_shape)
        return x[(..., *(slice(0, n) for n in self._seen))]

    def _kernel(self, weight):
        """weight as (outputs, groups, inputs, kernel...)."""
        weight = like(weight, "weight", self.w_shape, False, self.dtype)
        _, groups, inputs, outputs = self._inner
        return weight.reshape(groups, outputs, inputs, *self.w_shape[2:]).swapaxes(0, 1)

    def _gradient(self, dy):
        return self._grouped(like(dy, "dy", self.y_shape, self.y_channels_last, self.dtype), self.y_shape)

    def _say(self, which):
        if runtime.verbose:
            runtime.say(f"conv {which} of {self.describe()}: fft, as asked")

    def _is_empty(self):
        return 0 in self._inner or 0 in self._seen

    def forward(self, x, weight, bias=None, residual=None, relu=False, scale=None, out=None, mosaic=False):
        """y = conv(x, weight) * scale + bias, then + residual, then relu; in `out` where it fits. scale has a value a channel.

        `mosaic` is for other algorithms.
        """
        x, kernel = self._image(x), self._kernel(weight)
        bias, scale = (
            parameter(a, name, self.y_shape[1:2], self.dtype) for a, name in ((bias, "bias"), (scale, "scale"))
        )
        if residual is not None:
            residual = like(residual, "residual", self.y_shape, self.y_channels_last, self.dtype)
        self._say("forward")
        y = _runtime.empty(self.y_shape, self.dtype, self.y_channels_last, out)
        if self._is_empty():
            y[...] = 0
        else:
            grouped = self._grouped(y, self.y_shape)
            for g, o, images in self._blocks():
                w = np.conj(self._spectrum(kernel[o, g], self._zero, self._dilation)).swapaxes(-1, -2)
                for n in images:
                    products = np.matmul(self._spectrum(x[n, g], self._before, self._one), w)
                    grouped[n, g, o] = self._inverse(products, self._zero, self._stride, self.y_shape[2:])
        column = (-1, *self._one)
        if scale is not None:
            y *= scale.reshape(column)
        if bias is not None:
            y += bias.reshape(column)
        if residual is not None:
            y += residual
        return np.maximum(y, 0, out=y) if relu else y

    def backward_data(self, dy, weight, residual=None, bias=None, out=None, mosaic=False):
        """dx + residual + bias (in_channels,), a new array."""
        dy, kernel = self._gradient(dy), self._kernel(weight)
        bias = parameter(bias, "bias", self.x_shape[1:2], self.dtype)
        dx = _runtime.empty(self.x_shape, self.dtype, self.x_channels_last, out)
        dx[...] = 0 if residual is None else like(residual, "residual", self.x_shape, self.x_channels_last, self.dtype)
        self._say("backward_data")
        if not self._is_empty():
            grouped = self._grouped(dx, self.x_shape)[(..., *(slice(0, n) for n in self._seen))]
            for g, o, images in self._blocks():
                w = self._spectrum(kernel[o, g], self._zero, self._dilation)
                for n in images:
                    products = np.matmul(self._spectrum(dy[n, g, o], self._zero, self._stride), w)
                    grouped[n, g] += self._inverse(products, self._before, self._one, self._seen)
        if bias is not None:
            dx += bias.reshape(-1, *self._one)
        return dx

    def backward_weight(self, x, dy, dw):
        """Add the weight gradient to dw."""
        x, dy = self._image(x), self._gradient(dy)
        if dw.shape != self.w_shape or dw.dtype != self.dtype or not dw.flags.c_contiguous:
            raise ValueError(f"dw must be contiguous {self.dtype} of shape {self.w_shape}, got {dw.dtype} {dw.shape}")
        self._say("backward_weight")
        if self._is_empty():
            return
        _, groups, inputs, outputs = self._inner
        grouped = dw.reshape(groups, outputs, inputs, *self.w_shape[2:]).swapaxes(0, 1)
        for g, o, images in self._blocks():
            total = 0
            for n in images:
                d = np.conj(self._spectrum(dy[n, g, o], self._zero, self._stride)).swapaxes(-1, -2)
                total += np.matmul(d, self._spectrum(x[n, g], self._before, self._one))
            grouped[o, g] += self._inverse(total, self._zero, self._dilation, self.w_shape[2:])
