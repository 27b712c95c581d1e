"""Pictures: figures that hold what they should, without changing the model or opening windows."""

import sys

import numpy as np
import pytest

import cconv
from cconv import models, nn, plot

pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")


@pytest.fixture(scope="module")
def trained():
    (x, y), (x_test, y_test) = cconv.data.digits()
    model = cconv.Model(models.lenet5(rng=0), optimizer=cconv.optim.SGD(0.05, momentum=0.9))
    history = model.fit(x[:600], y[:600], 32, 2, validation_data=(x_test, y_test), verbose=0)
    return model, history, x_test, y_test


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def drawn(figure):
    """Not a blank page."""
    return pixels(figure).std() > 1


def test_every_picture_is_drawn(trained):
    model, history, x, y = trained
    outputs = model.predict(x)
    matrix = cconv.metrics.confusion_matrix(outputs, y)
    figures = [
        plot.learning_curves(history), plot.learning_curves(history.history), plot.filters(model.net),
        plot.confusion(matrix), plot.confusion(matrix, [f"digit {k}" for k in range(10)]),
        plot.misclassified(x, y, outputs), plot.gradient_flow(model, x[:32], y[:32]), plot.saliency(model, x[:4], y[:4]),
    ]  # fmt: skip
    assert all(drawn(figure) for figure in figures)
    net = nn.Sequential(nn.Conv2d(1, 6, 5, rng=0), nn.ReLU(), nn.MaxPool2d(2))
    assert drawn(plot.activations(net, x[0]))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_model_stays_as_it_was(trained):
    model, _, x, y = trained
    before = {key: value.copy() for key, value in model.net.state_dict().items()}
    plot.gradient_flow(model, x[:16], y[:16])
    plot.saliency(model, x[:2], y[:2])
    for key, value in model.net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert all(not parameter.grad.any() for parameter in model.net.parameters())


def test_gallery_shows_the_surest_mistake_first(trained):
    _, _, x, y = trained
    outputs = np.zeros((len(y), 10))
    outputs[np.arange(len(y)), y] = 1
    outputs[5, (y[5] + 1) % 10], outputs[9, (y[9] + 1) % 10] = 2, 9
    figure = plot.misclassified(x, y, outputs)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{(y[k] + 1) % 10} ({y[k]})" for k in (9, 5)]
    assert drawn(plot.misclassified(x, y, np.eye(10)[y]))


def test_wrong_arguments_and_missing_extra(monkeypatch, trained):
    model, _, x, y = trained
    for call, word in (
        (lambda: plot.learning_curves({}), "history"), (lambda: plot.filters(nn.Linear(2, 2)), "Conv2d"),
        (lambda: plot.confusion(np.zeros((2, 3))), "matrix"), (lambda: plot.saliency(model, x[0], y[:1]), "x "),
        (lambda: plot.confusion(np.zeros((3, 3)), ["a"]), "classes"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            call()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"cconv\[plot\]"):
        plot.confusion(np.eye(2))
