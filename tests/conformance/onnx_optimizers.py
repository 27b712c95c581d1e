"""ONNX's training operators by cconv.optim: one step on given parameters, gradients and state."""

import numpy as np

from cconv import nn, optim

OPERATORS = {}

# Beyond this step the corrections of a start from zero are 1, which is how ONNX treats step 0.
LATE = 10**9


def one_step(optimizer, steps, tensors, slots):
    """New parameters and new state, tensor by tensor; `tensors` are parameters, gradients, then state."""
    count = len(tensors) // (2 + len(slots))
    net = nn.Layer()
    for i, x in enumerate(tensors[:count]):
        setattr(net, f"x{i}", nn.Parameter(x))
    optimizer.bind(net)
    optimizer.steps = steps
    optimizer.grad[...] = np.concatenate([g.ravel() for g in tensors[count : 2 * count]])
    for i, slot in enumerate(slots):
        group = tensors[(2 + i) * count : (3 + i) * count]
        optimizer.state[slot][...] = np.concatenate([v.ravel() for v in group])
    optimizer.step()
    ends = np.cumsum([x.size for x in tensors[:count]])[:-1]
    flat = [optimizer.data, *(optimizer.state[slot] for slot in slots)]
    return tuple(part.copy() for array in flat for part in np.split(array, ends))


def adam(options, rate, step, *tensors):
    optimizer = optim.Adam(
        float(rate), (options.get("alpha", 0.9), options.get("beta", 0.999)), options.get("epsilon", 1e-6),
        options.get("norm_coefficient", 0.0),
    )  # fmt: skip
    return one_step(optimizer, int(step) - 1 if step else LATE, tensors, ("exp_avg", "exp_avg_sq"))


def momentum(options, rate, step, *tensors):
    share = options["beta"] if step else 1.0
    nesterov = options["mode"] == "nesterov"
    optimizer = optim.SGD(
        float(rate), options["alpha"], options["norm_coefficient"], nesterov, 0.0 if nesterov else 1 - share
    )
    return one_step(optimizer, LATE, tensors, ("momentum_buffer",))


def adagrad(options, rate, step, *tensors):
    optimizer = optim.Adagrad(
        float(rate), options.get("decay_factor", 0.0), options.get("norm_coefficient", 0.0),
        eps=options.get("epsilon", 1e-6),
    )  # fmt: skip
    return one_step(optimizer, int(step), tensors, ("sum",))


OPERATORS["Adagrad"] = adagrad
OPERATORS["Adam"] = adam
OPERATORS["Momentum"] = momentum
