"""What the tests of every family of networks check."""

import json

import numpy as np

from cconv import Model, models, nn, optim
from cconv.summary import summary


def check_counts(name, arguments, input_shape, params, macs, layers):
    """`layers` is (convolutions, linear layers, channels of batch norm); returns the summary."""
    net = models.create(name, **arguments)
    assert models.input_shape(net) == input_shape
    table = summary(net, input_shape)
    assert table.params == sum(p.size for p in net.parameters()) == params
    assert table.macs == net.macs((1, *input_shape)) == macs
    assert net.output_shape((1, *input_shape)) == table[-1].output_shape
    found = [layer for _, layer in net.named_layers()]
    counts = [sum(isinstance(layer, kind) for layer in found) for kind in (nn.Conv2d, nn.Linear)]
    channels = sum(layer.num_features for layer in found if isinstance(layer, nn.BatchNorm2d))
    assert (*counts, channels) == layers
    return table


def shapes_of(table, names):
    """Output shapes (without batch axis) of the rows called `names`."""
    rows = {row.name: row.output_shape[1:] for row in table}
    return [rows[name] for name in names]


def check_training(net, input_shape, num_classes, lr, batch_size=4, steps=3):
    """A few steps on one batch lower the loss; the network runs in inference and can be rebuilt."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch_size, *input_shape)).astype(np.float32)
    y = np.arange(batch_size) % num_classes
    model = Model(net, optimizer=optim.SGD(lr, momentum=0.9))
    losses = [model.train_on_batch(x, y)["loss"] for _ in range(steps)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0], losses
    outputs = model.predict(x)
    assert outputs.shape == (batch_size, num_classes) and np.isfinite(outputs).all()
    return losses


def check_description(net):
    """The architecture survives JSON."""
    rebuilt = nn.build(json.loads(json.dumps(nn.describe(net))))
    assert repr(rebuilt) == repr(net) and rebuilt.config == net.config
    assert list(rebuilt.state_dict()) == list(net.state_dict())


def check_seed(name, arguments):
    """The seed decides every weight."""
    first, again, other = (models.create(name, **arguments, rng=seed).state_dict() for seed in (0, 0, 1))
    weights = [key for key in first if first[key].ndim > 1]
    assert all((first[key] == again[key]).all() for key in first)
    assert all((first[key] != other[key]).any() for key in weights)
