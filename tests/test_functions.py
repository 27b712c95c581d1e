"""What every function of cconv.functional promises: any strides, nothing modified, errors that name the argument."""

import inspect
import numbers

import numpy as np
import pytest
from contract import disguises

from cconv import functional as F

RNG = np.random.default_rng(0)
SIZES = {1: (7,), 2: (6, 7), 3: (5, 6, 4)}
ERRORS = (TypeError, ValueError, IndexError, MemoryError, OverflowError)


def normal(*shape):
    return RNG.standard_normal(shape)


X, DY = normal(2, 4, 3, 5), normal(2, 4, 3, 5)
W4, B4 = RNG.random(4) + 0.5, normal(4)
PROBABILITIES, BITS = RNG.random(X.shape) * 0.9 + 0.05, (RNG.random(X.shape) < 0.5).astype(float)
CLASSES = RNG.integers(4, size=(2, 3, 5))

# Arguments of each function in one working call; the _backward functions take dy besides.
CALLS = {
    name: {"x": X}
    for name in (
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "logsigmoid", "tanh",
        "scaled_tanh", "hardsigmoid", "hardswish", "hardtanh", "softplus", "softsign",
    )
}  # fmt: skip
CALLS |= {
    "threshold": {"x": X, "threshold": 0.1, "value": 2.0},
    "prelu": {"x": X, "weight": W4},
    "local_response_norm": {"x": X, "size": 3},
    "layer_norm": {"x": X, "normalized_shape": (3, 5), "weight": normal(3, 5), "bias": normal(3, 5)},
    "group_norm": {"x": X, "num_groups": 2, "weight": W4, "bias": B4},
    "instance_norm": {"x": X, "weight": W4, "bias": B4},
}
CALLS |= {
    f"{name}_backward": {"dy": DY} | {key: value for key, value in call.items() if key not in ("bias", "value")}
    for name, call in CALLS.items()
}
LOSSES = {
    name: {"x": PROBABILITIES, "target": BITS}
    for name in (
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sigmoid_focal_loss", "kl_div",
    )
}  # fmt: skip
LOSSES |= {
    "hinge_embedding_loss": {"x": X, "target": 2 * BITS - 1},
    "binary_cross_entropy": {"x": PROBABILITIES, "target": BITS, "weight": W4[:, None, None]},
    "binary_cross_entropy_with_logits": {"x": X, "target": BITS, "weight": DY**2, "pos_weight": W4[:, None, None]},
    "cross_entropy": {"logits": X, "target": CLASSES, "weight": W4},
    "nll_loss": {"log_probabilities": X, "target": CLASSES, "weight": W4},
    "hinge_loss": {"x": X, "target": CLASSES},
    "multi_margin_loss": {"x": X, "target": CLASSES, "weight": W4},
    "focal_loss": {"x": X, "target": CLASSES, "weight": W4},
}
CALLS |= LOSSES | {f"{name}_backward": call for name, call in LOSSES.items()}
CALLS |= {
    "cross_entropy_forward": LOSSES["cross_entropy"],
    "softmax": {"x": X},
    "log_softmax": {"x": X},
    "softmax_backward": {"dy": DY, "y": F.softmax(X)},
    "log_softmax_backward": {"dy": DY, "y": F.log_softmax(X)},
    "dropout": {"x": X},
    "alpha_dropout": {"x": X},
    "alpha_dropout_backward": {"dy": DY},
    "pad": {"x": X, "pad": (1, 2, -1, 1)},
    "pad_backward": {"dy": normal(2, 4, 3, 8), "pad": (1, 2, -1, 1)},
    "linear": {"x": normal(3, 5), "weight": normal(4, 5), "bias": B4},
    "linear_backward": {"dy": normal(3, 4), "x": normal(3, 5), "weight": normal(4, 5)},
    "im2col": {"x": X, "kernel_size": 2},
    "col2im": {"cols": normal(2, 16, 8), "output_size": (3, 5), "kernel_size": 2},
    "batch_norm_forward": {"x": X, "weight": W4, "bias": B4},
    "batch_norm_backward": {"dy": DY, "x": X, "mean": B4, "rstd": W4, "weight": W4},
    "batch_norm_inference": {"x": X, "running_mean": B4, "running_var": W4, "weight": W4, "bias": B4},
    "batch_norm_running": {"running_mean": B4, "running_var": W4, "mean": B4, "var": W4, "count": 9},
}
for rank, size in SIZES.items():
    x, half = normal(2, 4, *size), tuple(n // 2 for n in size)
    small = normal(2, 4, *half)
    indices = RNG.integers(np.prod(size), size=small.shape)
    weight, back = normal(6, 2, *(3,) * rank), normal(4, 3, *(3,) * rank)
    y = normal(2, 6, *(n - 2 for n in size))
    wide = normal(2, 6, *(n + 2 for n in size))
    ranked = {
        "max_pool#d": {"x": x, "kernel_size": 2},
        "max_pool#d_backward": {"dy": small, "indices": indices, "input_size": size},
        "avg_pool#d": {"x": x, "kernel_size": 2},
        "avg_pool#d_backward": {"dy": small, "input_size": size, "kernel_size": 2},
        "lp_pool#d": {"x": x, "norm_type": 2, "kernel_size": 2},
        "lp_pool#d_backward": {"dy": small, "x": x, "norm_type": 2, "kernel_size": 2},
        "adaptive_avg_pool#d": {"x": x, "output_size": 2},
        "adaptive_avg_pool#d_backward": {"dy": small, "input_size": size},
        "adaptive_max_pool#d": {"x": x, "output_size": 2},
        "adaptive_max_pool#d_backward": {"dy": small, "indices": indices, "input_size": size},
        "max_unpool#d": {"x": small, "indices": indices, "output_size": size},
        "max_unpool#d_backward": {"dy": x, "indices": indices},
        "conv#d": {"x": x, "weight": weight, "bias": normal(6), "groups": 2},
        "conv#d_backward_data": {"dy": y, "weight": weight, "input_size": size, "groups": 2},
        "conv#d_backward_weight": {"x": x, "dy": y, "kernel_size": 3, "groups": 2},
        "conv_transpose#d": {"x": x, "weight": back, "bias": normal(6), "groups": 2},
        "conv_transpose#d_backward_data": {"dy": wide, "weight": back, "input_size": size, "groups": 2},
        "conv_transpose#d_backward_weight": {"x": x, "dy": wide, "kernel_size": 3, "groups": 2},
    }
    CALLS |= {name.replace("#", str(rank)): call for name, call in ranked.items()}

NOT_ARRAYS = {"conv_algorithms"}
NAMES = sorted(CALLS)
STATISTICS = {"mean", "var", "rstd", "running_mean", "running_var"}  # in any precision


def results(name, call):
    got = getattr(F, name)(**call)
    return [np.asarray(each) for each in (got if isinstance(got, (tuple, list)) else [got])]


def arrays(call):
    return [key for key, value in call.items() if isinstance(value, np.ndarray)]


def test_every_function_has_a_call():
    functions = {name for name, value in vars(F).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert functions - NOT_ARRAYS == set(CALLS)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_of_any_kind(name):
    """Strides (zero ones too), byte order and alignment make no difference; nothing is modified."""
    call = CALLS[name]
    kept = {key: call[key].copy() for key in arrays(call)}
    expected = results(name, call)
    for key in arrays(call):
        np.testing.assert_array_equal(call[key], kept[key], f"{key} was modified")
        if call[key].ndim < 2:
            continue
        for kind, other in disguises(call[key]) if call[key].dtype.kind == "f" else ():
            for got, wanted in zip(results(name, call | {key: other}), expected, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{kind} {key}")
        flat = np.broadcast_to(call[key][:1], call[key].shape)
        for got, wanted in zip(
            results(name, call | {key: flat}), results(name, call | {key: flat.copy()}), strict=True
        ):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{key} without strides")


@pytest.mark.parametrize("name", NAMES)
def test_not_an_array(name):
    """Other element types and axes than it takes are errors that name the argument."""
    call = CALLS[name]
    optional = {key for key, p in inspect.signature(getattr(F, name)).parameters.items() if p.default is None}
    for key in arrays(call):
        value = call[key]
        bad = [
            "x", object(), {}, value.astype(complex), value.astype(object), value.astype(str), value.astype(bool),
            np.ma.masked_array(value, value > 1),
        ]  # fmt: skip
        bad += [] if key in optional else [None]
        if value.dtype.kind == "i":
            bad.append(value.astype(float))
        elif key not in STATISTICS:
            bad.append(value.astype(np.float16))
        for other in bad:
            with pytest.raises(ERRORS, match=key):
                getattr(F, name)(**call | {key: other})
                pytest.fail(
                    f"{name} takes {type(other)} of {getattr(other, 'dtype', None)} {np.shape(other)} for {key}"
                )


@pytest.mark.parametrize("name", NAMES)
def test_other_shapes(name):
    """Shapes that do not fit are errors before anything happens."""
    call = CALLS[name]
    for key in arrays(call):
        for other in (np.zeros((3,) * 9), call[key][..., None], call[key][:0], call[key][..., :0], np.zeros(())):
            try:
                getattr(F, name)(**call | {key: other.astype(call[key].dtype)})
            except ERRORS as error:
                assert str(error)


SAMPLES = {"x", "dy", "y", "target", "logits", "log_probabilities", "cols", "indices"}  # have a batch


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"batch_norm_running"}))
def test_empty_batch(name):
    """No samples: no rows in the results, parameters' gradients of 0, the mean of no losses."""
    call = CALLS[name]
    expected = results(name, call)
    keys = SAMPLES & set(arrays(call))
    if "entropy_with_logits" in name:
        keys.add("weight")
    empty = call | {key: call[key][:0] for key in keys}
    for got, full in zip(results(name, empty), expected, strict=True):
        assert got.dtype == full.dtype
        if got.shape == full.shape:
            assert not np.nan_to_num(got, nan=0).any()
        else:
            assert got.shape == (0, *full.shape[1:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value", "ignore:divide by zero")
def test_options_of_any_kind(name):
    """Whatever an option is given, the function returns or raises one of a few errors; text is never a number."""
    call = CALLS[name]
    for key, parameter in inspect.signature(getattr(F, name)).parameters.items():
        if key in arrays(call):
            continue
        for other in (
            None, True, False, "", "2", -1, 0, 2**31, 2**63, 2**70, 10**400, -(10**400), 0.5, 1e300, np.nan, np.inf,
            -np.inf, 1j, (), (1,), (1, 2, 3, 4, 5), (None, 1), ("1", 1), [[1]], {}, object(), b"2", np.float32(2),
            np.int8(2), np.array(2), np.array([1, 2]), np.zeros((0, 2)), slice(2), print,
        ):  # fmt: skip
            try:
                getattr(F, name)(**call | {key: other})
            except (TypeError, ValueError, IndexError, MemoryError) as error:
                flag = isinstance(parameter.default, bool)
                number = isinstance(other, numbers.Real) and isinstance(other, bool) == flag
                fits = number or isinstance(other, np.ndarray) or np.ndim(other)  # but not to the other arguments
                assert key in str(error) or fits, f"{key}={other!r}: {error}"
            else:
                text = isinstance(parameter.default, str) or key == "padding"
                assert not isinstance(other, (str, bytes)) or text, f"{key}={other!r} passes"
