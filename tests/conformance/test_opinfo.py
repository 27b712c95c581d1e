"""PyTorch's own operator samples (OpInfo): forward, backward and error inputs, at torch's own tolerances."""

import inspect

import numpy as np
import pytest

pytest.importorskip("torch", reason="the samples come with PyTorch")
pytest.importorskip("expecttest", reason="PyTorch's test samples need it")


import torch
from conformance.torch_operators import OPERATORS
from conformance.torch_samples import (
    ERRORS,
    EXTENSIONS,
    REFUSED,
    SAMPLES,
    SAMPLES_FLOAT64,
    array,
    call_arrays,
    infos,
    samples,
)

from cconv import functional as F

torch.set_num_threads(1)  # tiny samples

# Arguments that torch differentiates and cconv takes as constants.
CONSTANT = {
    (f"nn.functional.{loss}", "target")
    for loss in (
        "cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "hinge_embedding_loss", "kl_div",
    )
}  # fmt: skip


# Sums of products, whose float32 rounding may exceed the tolerance in either implementation.
PRODUCTS = {"addmm", "matmul", "mm", "nn.functional.linear"} | {
    f"nn.functional.conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3)
}

# rtol, atol of torch.testing.assert_close.
TOLERANCE = {torch.float32: (1.3e-6, 1e-5), torch.float64: (1e-7, 1e-7), torch.int64: (0, 0)}


def close(got, want):
    got = np.asarray(got)
    assert got.shape == want.shape and got.dtype == want.numpy().dtype
    rtol, atol = TOLERANCE[want.dtype]
    return np.allclose(got, want.numpy(), rtol, atol, equal_nan=True)


def run_torch(op, sample, change, g=None):
    """(outputs, {argument: gradients}, g) of torch with `change` applied to every floating tensor."""

    def changed(value):
        if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
            return type(value)(map(changed, value))
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        return change(value.detach()).requires_grad_(value.requires_grad)

    args = tuple(changed(v) for v in (sample.input, *sample.args))
    kwargs = {name: changed(value) for name, value in sample.kwargs.items()}
    outputs = op(*args, **kwargs)
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    g = torch.randn_like(outputs[0]) if g is None else change(g)
    arguments = inspect.signature(OPERATORS[op.name]).bind(*args, **kwargs).arguments
    arguments.update(arguments.pop("kwargs", {}))
    wanted = {}
    for name, value in arguments.items():
        tensors = value if isinstance(value, (list, tuple)) else (value,)
        tensors = [t for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
        if tensors and (op.name, name) not in CONSTANT:
            wanted[name] = tensors
    flat = [t for tensors in wanted.values() for t in tensors]
    gradients = iter(torch.autograd.grad(outputs[0], flat, g))
    return [y.detach() for y in outputs], {n: [next(gradients) for _ in ts] for n, ts in wanted.items()}, g.detach()


def flatten(outputs, gradients):
    return [*outputs, *(g for name in sorted(gradients) for g in gradients[name])]


def compare(op, sample):
    """Outputs and all gradients of one sample."""
    expected, gradients, g = run_torch(op, sample, lambda t: t)
    outputs, backward = call_arrays(OPERATORS[op.name], sample)
    mine = backward(array(g))
    mine = {n: mine[n] if isinstance(mine[n], list) else [mine[n]] for n in gradients}
    got = flatten(outputs if isinstance(outputs, tuple) else (outputs,), mine)
    wrong = [not close(a, b) for a, b in zip(got, flatten(expected, gradients), strict=True)]
    if not any(wrong):
        return
    # Torch's rounding is not ours: its float64 result decides, for sums of products within the rounding of one sum.
    assert g.dtype == torch.float32, (op.name, sample, wrong)
    exact = flatten(*run_torch(op, sample, torch.Tensor.double, g)[:2])
    sums = [0 * abs(b) for b in exact]
    if op.name in PRODUCTS:
        sums = flatten(*run_torch(op, sample, lambda t: t.double().abs(), g)[:2])
    for a, b, total in zip(got, exact, sums, strict=True):
        rtol, atol = TOLERANCE[torch.float32]
        bound = atol + rtol * abs(b) + 4 * np.finfo(np.float32).eps * total
        assert (abs(a - b.numpy()) <= bound.numpy()).all(), (op.name, sample)


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction:")
@pytest.mark.parametrize("layout", ["given", "noncontiguous"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name, dtype, layout):
    compared = refused = 0
    for op, sample in samples(name, dtype, layout):
        if name in REFUSED and REFUSED[name][0](sample):
            with pytest.raises((ValueError, TypeError)):
                call_arrays(OPERATORS[name], sample)
            refused += 1
        else:
            compare(op, sample)
            compared += 1
    assert compared + refused == (SAMPLES if dtype == "float32" else SAMPLES_FLOAT64)[name]
    assert refused == (REFUSED[name][1] if name in REFUSED else 0)


@pytest.mark.parametrize("name", ERRORS)
def test_error_inputs(name):
    rejected = extended = 0
    for op in infos(name):
        for error in op.error_inputs("cpu") if op.error_inputs_func is not None else ():
            sample = error.sample_input
            if name in EXTENSIONS and EXTENSIONS[name][0](sample):
                call_arrays(OPERATORS[name], sample)
                extended += 1
            else:
                with pytest.raises((ValueError, TypeError, IndexError)):
                    call_arrays(OPERATORS[name], sample)
                rejected += 1
    assert rejected + extended == ERRORS[name]
    assert extended == (EXTENSIONS[name][1] if name in EXTENSIONS else 0)


@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize("name", ["nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d"])
def test_dropout(name):
    """Random, so only its laws: 0 or x / (1 - p), the same elements in backward; equal to torch where p says it."""
    compared = 0
    for op, sample in samples(name, "float64"):
        p, training = sample.kwargs.get("p", 0.5), sample.kwargs.get("training", True)
        x = array(sample.input)
        by_channel = not name.endswith("dropout")
        x = x[None] if by_channel and x.ndim == int(name[-2]) + 1 else x
        if not training or p in (0, 1):
            y = F.dropout(x, p if training else 0, per_channel=by_channel)
            assert close(y.reshape(sample.input.shape), op(sample.input, **sample.kwargs).detach())
        else:
            y, mask = (F.dropout(a, p, 3, per_channel=by_channel) for a in (x, np.ones_like(x)))
            assert set(np.unique(mask)) <= {0, 1 / (1 - p)}
            np.testing.assert_allclose(y, x * mask)
            if by_channel:
                assert (mask == mask[(slice(None), slice(None), *(slice(1),) * (x.ndim - 2))]).all()
        compared += 1
    assert compared == {"nn.functional.dropout": 19}.get(name, 13)
