"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), in NumPy."""

import numpy as np

from cconv.functional._arguments import activation, floats, like, real, whole
from cconv.functional._out import with_out

__all__ = ["local_response_norm", "local_response_norm_backward"]


@with_out
def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """y_c = x_c / (k + alpha/size * sum of x_j^2)^beta, j over the `size` channels around c.

    Parameters
    ----------
    x : ndarray (N, C, spatial...), float32 or float64
    size : int, channels in the sum: size//2 before c, (size-1)//2 after it, fewer at the ends
    alpha, beta, k : float; alpha is divided by `size`, as in torch and Caffe and not in the paper

    Returns
    -------
    y : ndarray like `x`, in the memory order of `x`

    Raises
    ------
    ValueError
        For x with fewer than two axes, a size below 1, and parameters that are not finite.
    TypeError
        For other dtypes.
    """
    x, _, options = _checked(x, size, alpha, beta, k)
    return _normalised(x, _scale(x, *options), options)


@with_out
def local_response_norm_backward(dy, x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Gradient of `local_response_norm` for x.

    With s_c the sum in brackets, dx_c = dy_c s_c^-beta - 2 alpha beta/size * x_c * sum of dy_j x_j s_j^(-beta-1)
    over the j whose window holds c.

    Parameters
    ----------
    dy, x : ndarray (N, C, spatial...)
    others : as in `local_response_norm`

    Returns
    -------
    dx : ndarray like `x`, in the memory order of `x`

    Raises
    ------
    ValueError, TypeError
        As `local_response_norm`.
    """
    x, channels_last, options = _checked(x, size, alpha, beta, k)
    size, alpha, beta, _ = options
    dy = like(dy, "dy", x.shape, channels_last, x.dtype)
    scale = _scale(x, *options)
    power = scale**-beta
    inner = dy * x
    inner *= power
    inner /= scale
    dx = _windows(inner, (size - 1) // 2, size // 2)
    dx *= x
    dx *= -2 * alpha * beta / size
    power *= dy
    dx += power
    return dx


def _checked(x, size, alpha, beta, k):
    x = floats(x, "x")
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C, spatial...), got {x.shape}")
    x, channels_last = activation(x, "x", x.ndim)
    numbers = [real(value, name) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))]
    return x, channels_last, (whole(size, "size", 1), *numbers)


def _windows(values, before, after):
    """Sums over the channels c - before ... c + after."""
    channels = values.shape[1]
    total = values.copy(order="K")
    for step in range(1, min(before, channels - 1) + 1):
        total[:, step:] += values[:, :-step]
    for step in range(1, min(after, channels - 1) + 1):
        total[:, :-step] += values[:, step:]
    return total


def _scale(x, size, alpha, beta, k):
    scale = _windows(np.square(x), size // 2, (size - 1) // 2)
    scale *= alpha / size
    scale += k
    return scale


def _normalised(x, scale, options):
    np.power(scale, -options[2], out=scale)
    scale *= x
    return scale
