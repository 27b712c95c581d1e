"""PyTorch's own module inputs (ModuleInfo) against the layers and losses of cconv.nn, in training and inference."""

import copy

import numpy as np
import pytest

pytest.importorskip("torch", reason="the inputs come with PyTorch")
pytest.importorskip("expecttest", reason="PyTorch's test samples need it")

import torch
from conformance.torch_modules import COUNTS, INFOS, error_inputs, inputs, rank_of
from conformance.torch_samples import array

from cconv import nn

torch.set_num_threads(1)  # tiny inputs

TOLERANCE = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}

# Error inputs that cconv gives a meaning: which, and why.
EXTENSIONS = {
    f"BatchNorm{rank}d": (lambda kwargs: kwargs["eps"] == 0, "a variance above 0 needs no eps") for rank in (1, 2, 3)
} | {"NLLLoss": (lambda kwargs: kwargs["weight"].dtype == torch.float16, "weights are taken in the dtype of x")}


def arguments(case):
    call = case.constructor_input
    return [array(v) for v in call.args], {name: array(v) for name, v in call.kwargs.items()}


def forward_arguments(case):
    call = case.forward_input
    return (*call.args, *call.kwargs.values())


def prepared(case, name, dtype, train):
    """(torch's module, ours) with the same random parameters and running statistics."""
    call = case.constructor_input
    theirs = INFOS[name].module_cls(*call.args, **call.kwargs).to(getattr(torch, dtype)).train(train)
    args, kwargs = arguments(case)
    ours = getattr(nn, name)(*args, **kwargs)
    with torch.no_grad():
        for key, value in theirs.state_dict().items():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5) if "var" in key else value.normal_()
    if isinstance(ours, nn.Layer):
        ours.astype(dtype).load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return theirs, ours


def running(buffers):
    """Running statistics; the number of batches differs, where empty ones or those of instance norm are counted."""
    return [buffer for name, buffer in buffers if name.startswith("running")]


def run_torch(module, tensors, g=None):
    """[outputs..., gradient of x, gradients of the parameters..., running statistics...], g"""
    x = tensors[0].detach().clone().requires_grad_(True)
    outputs = module(x, *(t.detach() for t in tensors[1:]))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    g = torch.randn_like(outputs[0]) if g is None else g.to(outputs[0].dtype)
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(outputs[0], [x, *parameters], g)
    return [t.detach() for t in (*outputs, *gradients, *running(module.named_buffers()))], g.detach()


def run_layer(layer, name, arrays, train, g):
    x, rank = arrays[0], rank_of(name)
    single = (rank is not None and x.ndim == rank + 1) or (name.endswith("Softmax") and x.ndim == 0)
    y, backward = layer.forward(x[None] if single else x, train)
    outputs = y if isinstance(y, tuple) else (y,)
    layer.zero_grad()
    dx = backward(g[None] if single else g)
    outputs = [y[0] if single else y for y in outputs]
    gradients = [dx[0] if single else dx, *(p.grad for p in layer.parameters())]
    return [*outputs, *gradients, *(buffer.data for buffer in running(layer.named_buffers()))]


def run_loss(loss, arrays, g):
    x, target = arrays
    single = x.ndim < 2 and loss.takes_classes
    if single:
        dx_shape, x = x.shape, x.reshape(1, -1)
        target = target if target.shape == (1,) else target.reshape(1, *target.shape)
    value, backward = loss.forward(x, target)
    value, dx = np.asarray(value, x.dtype), np.asarray(backward())
    if single:
        value, dx = value.reshape(value.shape[1:]), dx.reshape(dx_shape)
    g = np.expand_dims(g, 1) if g.ndim and g.ndim < dx.ndim and not single else g
    return [value, dx * g]


def absolute(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    return module


def check(got, theirs, tensors, expected, g, dtype, name):
    rtol, atol = TOLERANCE[dtype]
    wrong = [
        not (a.shape == b.shape and np.allclose(a, b.numpy(), rtol, atol, equal_nan=True))
        for a, b in zip(got, expected, strict=True)
    ]
    if not any(wrong):
        return
    # As for single operators: torch's float64 decides, products within the rounding of one sum.
    assert dtype == "float32", (name, wrong)
    wide = [t.double() if t.is_floating_point() else t for t in tensors]
    exact, _ = run_torch(copy.deepcopy(theirs).double(), wide, g)
    sums = [0 * b for b in exact]
    if "Conv" in name or name == "Linear":
        sums, _ = run_torch(absolute(copy.deepcopy(theirs).double()), [wide[0].abs()], g.abs())
    for a, b, total in zip(got, exact, sums, strict=True):
        bound = atol + rtol * abs(b) + 4 * np.finfo(np.float32).eps * total
        assert a.shape == b.shape and (abs(a - b.numpy()) <= bound.numpy()).all(), (name, wrong)


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction:", "ignore:Implicit dimension")
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", COUNTS)
def test_inputs(name, dtype, train):
    compared = 0
    for case in inputs(name, dtype, train):
        theirs, ours = prepared(case, name, dtype, train)
        before = copy.deepcopy(theirs)
        tensors = forward_arguments(case)
        if name.startswith("LPPool") and case.desc == "norm":  # torch's power of a negative number is NaN
            tensors = [t.abs() for t in tensors]
        expected, g = run_torch(theirs, tensors)
        arrays = [array(t) for t in tensors]
        if isinstance(ours, nn.Layer):
            got = run_layer(ours, name, arrays, train, array(g))
        else:
            got = run_loss(ours, arrays, array(g))
        check(got, before, tensors, expected, g, dtype, name)
        compared += 1
    assert compared == COUNTS[name]


@pytest.mark.parametrize("name", [name for name in INFOS if INFOS[name].module_error_inputs_func])
def test_error_inputs(name):
    for error in error_inputs(name):
        case = error.module_error_input
        if name in EXTENSIONS and EXTENSIONS[name][0](case.constructor_input.kwargs):
            construct_and_run(name, case)
        else:
            with pytest.raises((ValueError, TypeError, IndexError)):
                construct_and_run(name, case)


def construct_and_run(name, case):
    args, kwargs = arguments(case)
    ours = getattr(nn, name)(*args, **kwargs)
    if case.forward_input is not None:
        arrays = [array(t) for t in forward_arguments(case)]
        ours.forward(*arrays, True) if isinstance(ours, nn.Layer) else ours.forward(*arrays)
