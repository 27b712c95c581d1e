"""Layers and losses under the names and conventions of CS231n."""

import numpy as np

import cconv.functional as F

__all__ = [
    "affine_forward",
    "affine_backward",
    "relu_forward",
    "relu_backward",
    "batchnorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "layernorm_forward",
    "layernorm_backward",
    "dropout_forward",
    "dropout_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
    "conv_forward_naive",
    "conv_forward_fast",
    "conv_forward_im2col",
    "conv_backward_naive",
    "conv_forward_strides",
    "conv_backward_fast",
    "conv_backward_im2col",
    "conv_backward_strides",
    "max_pool_forward_naive",
    "max_pool_backward_naive",
    "max_pool_forward_fast",
    "max_pool_forward_im2col",
    "max_pool_forward_reshape",
    "max_pool_backward_fast",
    "max_pool_backward_im2col",
    "max_pool_backward_reshape",
    "svm_loss",
    "softmax_loss",
]


def _floats(x, *others):
    """`x` as float32 or float64, and the others in its type."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    return (x, *(np.asarray(other, x.dtype) for other in others))


# Affine layers and ReLU


def affine_forward(x, w, b):
    """out = x w + b with x (N, d1, ..., dk) taken as (N, D), w (D, M), b (M,): out (N, M), cache."""
    x, w, b = _floats(x, w, b)
    rows = x.reshape(len(x), -1)
    return F.linear(rows, w.T, b), (x.shape, rows, w)


def affine_backward(dout, cache):
    """(dx of the shape of x, dw (D, M), db (M,))."""
    shape, rows, w = cache
    dx, dw, db = F.linear_backward(np.asarray(dout, rows.dtype), rows, w.T)
    return dx.reshape(shape), dw.T, db


def relu_forward(x):
    """(max(x, 0), cache)."""
    (x,) = _floats(x)
    return F.relu(x), x


def relu_backward(dout, cache):
    """dx."""
    return F.relu_backward(np.asarray(dout, cache.dtype), cache)


# Normalisation and dropout


def batchnorm_forward(x, gamma, beta, bn_param):
    """Batch norm of x (N, D); also of (N, D, ...), every axis but 1 being the batch.

    Parameters
    ----------
    x : array
    gamma, beta : array (D,)
    bn_param : dict
        "mode" is "train" (the batch's mean and biased variance) or "test" (the running ones); "eps" (1e-5);
        "momentum" (0.9): running = momentum * running + (1 - momentum) * batch; "running_mean" and "running_var"
        (zeros), which training writes.

    Returns
    -------
    out, cache

    Raises
    ------
    ValueError
        For another mode, and shapes that do not fit.
    """
    mode = bn_param["mode"]
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    x, gamma, beta = _floats(x, gamma, beta)
    running_mean = np.asarray(bn_param.get("running_mean", np.zeros(x.shape[1], x.dtype)))
    running_var = np.asarray(bn_param.get("running_var", np.zeros(x.shape[1], x.dtype)))
    if mode == "train":
        out, mean, rstd = F.batch_norm_forward(x, gamma, beta, eps)
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * x.var(axis=axes)
    elif mode == "test":
        out = F.batch_norm_inference(x, running_mean, running_var, gamma, beta, eps)
        mean, rstd = running_mean, 1 / np.sqrt(running_var + eps)
    else:
        raise ValueError(f'the mode of batch norm must be "train" or "test", got {mode!r}')
    return out, (x, mean, rstd, gamma, mode)


def batchnorm_backward(dout, cache):
    """(dx, dgamma, dbeta)."""
    x, mean, rstd, gamma, mode = cache
    dout = np.asarray(dout, x.dtype)
    if mode == "train":
        return F.batch_norm_backward(dout, x, mean, rstd, gamma)
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean, rstd, gamma = (value.reshape(-1, *[1] * (x.ndim - 2)) for value in (mean, rstd, gamma))
    dx = (dout * gamma * rstd).astype(x.dtype)
    return dx, (dout * (x - mean) * rstd).sum(axis=others), dout.sum(axis=others)


batchnorm_backward_alt = batchnorm_backward


def layernorm_forward(x, gamma, beta, ln_param):
    """Layer norm of every row of x (N, D), gamma and beta (D,); ln_param may have "eps" (1e-5)."""
    x, gamma, beta = _floats(x, gamma, beta)
    eps = ln_param.get("eps", 1e-5)
    return F.layer_norm(x, x.shape[1:], gamma.reshape(x.shape[1:]), beta.reshape(x.shape[1:]), eps), (x, gamma, eps)


def layernorm_backward(dout, cache):
    """(dx, dgamma, dbeta)."""
    x, gamma, eps = cache
    dx, dgamma, dbeta = F.layer_norm_backward(
        np.asarray(dout, x.dtype), x, x.shape[1:], gamma.reshape(x.shape[1:]), eps
    )
    return dx, dgamma.reshape(gamma.shape), dbeta.reshape(gamma.shape)


def dropout_forward(x, dropout_param):
    """Inverted dropout: in mode "train" keep each element with probability "p" and divide it by p.

    A "seed" gives the same mask every time; else NumPy's global generator gives the seed.
    """
    (x,) = _floats(x)
    p, mode = dropout_param["p"], dropout_param["mode"]
    if mode == "test":
        return x, (dropout_param, None)
    if mode != "train":
        raise ValueError(f'the mode of dropout must be "train" or "test", got {mode!r}')
    seed = dropout_param.get("seed")
    seed = int(np.random.randint(2**31 - 1)) if seed is None else int(seed)
    return F.dropout(x, 1 - p, seed), (dropout_param, seed)


def dropout_backward(dout, cache):
    """dx."""
    dropout_param, seed = cache
    return dout if seed is None else F.dropout(dout, 1 - dropout_param["p"], seed)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """Batch norm of every channel of x (N, C, H, W), gamma and beta (C,); see `batchnorm_forward`."""
    return batchnorm_forward(x, gamma, beta, bn_param)


spatial_batchnorm_backward = batchnorm_backward


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    """Group norm of x (N, C, H, W) in G groups; gamma and beta have C values, such as shape (1, C, 1, 1)."""
    x, gamma, beta = _floats(x, gamma, beta)
    eps = gn_param.get("eps", 1e-5)
    return F.group_norm(x, G, gamma.reshape(-1), beta.reshape(-1), eps), (x, gamma, G, eps)


def spatial_groupnorm_backward(dout, cache):
    """(dx, dgamma, dbeta), the last two of gamma's shape."""
    x, gamma, groups, eps = cache
    dx, dgamma, dbeta = F.group_norm_backward(np.asarray(dout, x.dtype), x, groups, gamma.reshape(-1), eps)
    return dx, dgamma.reshape(gamma.shape), dbeta.reshape(gamma.shape)


# Convolution and pooling


def _conv_forward(x, w, b, conv_param, algo):
    x, w, b = _floats(x, w, b)
    options = {"stride": conv_param["stride"], "padding": conv_param["pad"], "algo": algo}
    return F.conv2d(x, w, b, **options), (x, w, options)


def _conv_backward(dout, cache):
    x, w, options = cache
    dout = np.asarray(dout, x.dtype)
    dx = F.conv2d_backward_data(dout, w, x.shape[2:], **options)
    dw = F.conv2d_backward_weight(x, dout, w.shape[2:], **options)
    return dx, dw, dout.sum(axis=(0, 2, 3))


def conv_forward_naive(x, w, b, conv_param):
    """Convolution of x (N, C, H, W) with w (F, C, HH, WW) plus b (F,), by its definition: (out, cache)."""
    return _conv_forward(x, w, b, conv_param, "reference")


def conv_forward_fast(x, w, b, conv_param):
    """As `conv_forward_naive`, by the algorithm that suits the shape."""
    return _conv_forward(x, w, b, conv_param, "auto")


def conv_forward_im2col(x, w, b, conv_param):
    """As `conv_forward_naive`, by im2col and a matrix product."""
    return _conv_forward(x, w, b, conv_param, "im2col")


def conv_backward_naive(dout, cache):
    """(dx, dw, db)."""
    return _conv_backward(dout, cache)


conv_forward_strides = conv_forward_fast


conv_backward_fast = conv_backward_im2col = conv_backward_strides = conv_backward_naive


def max_pool_forward_naive(x, pool_param):
    """Maximum over windows; pool_param has "pool_height", "pool_width" and "stride"."""
    (x,) = _floats(x)
    window = pool_param["pool_height"], pool_param["pool_width"]
    out, places = F.max_pool2d(x, window, pool_param["stride"], return_indices=True)
    return out, (x.shape, places)


def max_pool_backward_naive(dout, cache):
    """dx; of equal values the first receives the gradient."""
    shape, places = cache
    return F.max_pool2d_backward(*_floats(dout), places, shape[2:])


max_pool_forward_fast = max_pool_forward_im2col = max_pool_forward_reshape = max_pool_forward_naive


max_pool_backward_fast = max_pool_backward_im2col = max_pool_backward_reshape = max_pool_backward_naive


# Losses


def svm_loss(x, y):
    """(mean multi-class hinge loss of scores x (N, C) and classes y (N,), its gradient)."""
    (x,) = _floats(x)
    return F.hinge_loss(x, y), F.hinge_loss_backward(x, y)


def softmax_loss(x, y):
    """(mean cross-entropy of scores x (N, C) and classes y (N,), its gradient)."""
    (x,) = _floats(x)
    return F.cross_entropy(x, y), F.cross_entropy_backward(x, y)
