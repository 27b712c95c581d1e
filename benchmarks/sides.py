"""One network run by cconv, by torch in either memory format, and by ONNX Runtime, behind one face.

A side has `train()` (one step: forward, cross-entropy, backward, SGD; returns the loss) and `infer()` (returns the
outputs as a NumPy array), or lacks one of them.
"""

import io
import warnings

import numpy as np
from networks import LR, MOMENTUM


def cconv_side(case):
    import cconv
    from cconv import nn, optim

    net = case.create()
    x, y = case.batch()

    class Side:
        model = cconv.Model(net, optimizer=optim.SGD(LR, momentum=MOMENTUM), metrics=())

        def train(self):
            return self.model.train_on_batch(x, y)["loss"]

        def infer(self):
            return self.model.predict(x, batch_size=case.batch_size)

        def set_dropout(self, on):
            _set_dropout((layer for _, layer in net.named_layers()), nn.Dropout, on)

        def state(self):
            return net.state_dict()

    return Side()


def torch_side(case, channels_last, state=None):
    import torch
    import torch_networks

    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    net = torch_networks.build(case)
    if state is not None:
        net.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()})
    net = net.to(memory_format=memory_format)
    x, y = case.batch()
    x, y = torch.from_numpy(x).to(memory_format=memory_format), torch.from_numpy(y)
    optimizer = torch.optim.SGD(net.parameters(), LR, momentum=MOMENTUM)
    cross_entropy = torch.nn.CrossEntropyLoss()

    class Side:
        def train(self):
            net.train()
            optimizer.zero_grad(set_to_none=True)
            loss = cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        def infer(self):
            net.eval()
            with torch.inference_mode():
                return net(x).numpy()

        def set_dropout(self, on):
            _set_dropout(net.modules(), torch.nn.Dropout, on)

        def onnx(self):
            net.eval()
            return _exported(net, torch.from_numpy(case.batch()[0]))

    return Side()


def onnxruntime_side(case, model, threads):
    """`model` is what `torch_side(...).onnx()` returned."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: case.batch()[0]}

    class Side:
        def infer(self):
            return session.run(None, feed)[0]

    return Side()


def _exported(net, x):
    """The network as ONNX bytes, by the exporter that needs no package besides onnx."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), buffer, dynamo=False)
    return buffer.getvalue()


def _set_dropout(layers, kind, on):
    for layer in layers:
        if isinstance(layer, kind):
            if on:
                layer.p = layer.published_p
            else:
                layer.published_p, layer.p = layer.p, 0.0


def check(case, sides, steps=2, loss_tolerance=1e-3, output_tolerance=1e-3):
    """All sides compute the same: outputs in inference, and the losses of the first steps without dropout, of which
    the second also depends on gradients and optimiser.

    Outputs agree within `output_tolerance` of the largest one, losses within `loss_tolerance` of themselves.
    Convolutions by Winograd's algorithm, in either program, are what needs so much.

    Raises
    ------
    AssertionError
        Naming the side and the numbers.
    """
    reference, *others = sides.items()
    outputs = {name: side.infer() for name, side in sides.items()}
    largest = np.abs(outputs[reference[0]]).max()
    for name, _ in others:
        error = np.abs(outputs[name] - outputs[reference[0]]).max() / largest
        assert error <= output_tolerance, f"{case.title}: outputs of {name} are {error:.1e} away from {reference[0]}'s"
    trained = {name: side for name, side in sides.items() if hasattr(side, "train")}
    for side in trained.values():
        side.set_dropout(False)
    for step in range(steps):
        losses = {name: side.train() for name, side in trained.items()}
        expected = losses[reference[0]]
        assert all(abs(loss - expected) <= loss_tolerance * abs(expected) for loss in losses.values()), (
            f"{case.title}: losses of step {step + 1} differ: {losses}"
        )
    for side in trained.values():
        side.set_dropout(True)
