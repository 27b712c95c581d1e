"""Layers of CS231n that often stand together."""

from cconv.compat.cs231n.layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_forward,
    conv_backward_fast,
    conv_forward_fast,
    max_pool_backward_fast,
    max_pool_forward_fast,
    relu_backward,
    relu_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)

__all__ = [
    "affine_relu_forward",
    "affine_relu_backward",
    "affine_bn_relu_forward",
    "affine_bn_relu_backward",
    "conv_relu_forward",
    "conv_relu_backward",
    "conv_relu_pool_forward",
    "conv_relu_pool_backward",
    "conv_bn_relu_forward",
    "conv_bn_relu_backward",
]


def affine_relu_forward(x, w, b):
    """Affine layer, then ReLU."""
    h, affine = affine_forward(x, w, b)
    out, relu = relu_forward(h)
    return out, (affine, relu)


def affine_relu_backward(dout, cache):
    """(dx, dw, db)."""
    affine, relu = cache
    return affine_backward(relu_backward(dout, relu), affine)


def affine_bn_relu_forward(x, w, b, gamma, beta, bn_param):
    """Affine layer, batch norm, ReLU."""
    h, affine = affine_forward(x, w, b)
    h, norm = batchnorm_forward(h, gamma, beta, bn_param)
    out, relu = relu_forward(h)
    return out, (affine, norm, relu)


def affine_bn_relu_backward(dout, cache):
    """(dx, dw, db, dgamma, dbeta)."""
    affine, norm, relu = cache
    dh, dgamma, dbeta = batchnorm_backward(relu_backward(dout, relu), norm)
    return *affine_backward(dh, affine), dgamma, dbeta


def conv_relu_forward(x, w, b, conv_param):
    """Convolution, then ReLU."""
    h, conv = conv_forward_fast(x, w, b, conv_param)
    out, relu = relu_forward(h)
    return out, (conv, relu)


def conv_relu_backward(dout, cache):
    """(dx, dw, db)."""
    conv, relu = cache
    return conv_backward_fast(relu_backward(dout, relu), conv)


def conv_relu_pool_forward(x, w, b, conv_param, pool_param):
    """Convolution, ReLU, max pooling."""
    h, conv_relu = conv_relu_forward(x, w, b, conv_param)
    out, pool = max_pool_forward_fast(h, pool_param)
    return out, (conv_relu, pool)


def conv_relu_pool_backward(dout, cache):
    """(dx, dw, db)."""
    conv_relu, pool = cache
    return conv_relu_backward(max_pool_backward_fast(dout, pool), conv_relu)


def conv_bn_relu_forward(x, w, b, gamma, beta, conv_param, bn_param):
    """Convolution, batch norm, ReLU."""
    h, conv = conv_forward_fast(x, w, b, conv_param)
    h, norm = spatial_batchnorm_forward(h, gamma, beta, bn_param)
    out, relu = relu_forward(h)
    return out, (conv, norm, relu)


def conv_bn_relu_backward(dout, cache):
    """(dx, dw, db, dgamma, dbeta)."""
    conv, norm, relu = cache
    dh, dgamma, dbeta = spatial_batchnorm_backward(relu_backward(dout, relu), norm)
    return *conv_backward_fast(dh, conv), dgamma, dbeta
