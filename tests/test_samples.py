"""What a Model says of samples, targets and arguments that do not fit."""

import numpy as np
import pytest

import cconv
from cconv import nn
from cconv.callbacks import CSVLogger

RNG = np.random.default_rng(3)
X, Y = RNG.random((20, 1, 28, 28), np.float32), RNG.integers(0, 10, 20)


def lenet(**options):
    return cconv.Model(cconv.models.lenet5(rng=0), **options)


@pytest.mark.parametrize("shape", [(1, 20, 20), (1, 2, 2), (3, 28, 28), (28, 28), (784,), (1, 28, 28, 1)])
@pytest.mark.parametrize("verb", ["fit", "evaluate", "train_on_batch", "predict", "validation"])
def test_samples_of_another_shape(verb, shape):
    model, x = lenet(), np.zeros((20, *shape), np.float32)
    before = model.net.state_dict()
    with pytest.raises(ValueError, match=r"(validation )?x has samples of shape .* made for images of 28x28: \w+\("):
        if verb == "predict":
            model.predict(x)
        elif verb == "validation":
            model.fit(X, Y, validation_data=(x, Y), verbose=0)
        else:
            getattr(model, verb)(x, Y)
    assert all((value == before[key]).all() for key, value in model.net.state_dict().items())


@pytest.mark.parametrize(
    "y, error, words",
    [
        (Y + 1, ValueError, "y holds class 10"), (Y - 5, ValueError, "y holds class -5"),
        (Y.astype(float), TypeError, "class numbers"), (Y.astype(str), TypeError, "class numbers"), (Y > 4, TypeError, "bool"),
        (np.eye(10, dtype=int)[Y], TypeError, "or probabilities, floats"), (Y[:, None], TypeError, r"\(20, 1\)"),
        (np.eye(12)[Y], ValueError, "probabilities of shape"), (Y[:5], ValueError, "same length"), (3, ValueError, "same length"),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit(y, error, words):
    with pytest.raises(error, match=words):
        lenet().fit(X, y, verbose=0)


def test_targets_in_any_float():
    expected = lenet().fit(X, Y, verbose=0).history["accuracy"]
    results = [
        lenet().fit(X, np.eye(10, dtype=dtype)[Y], verbose=0).history for dtype in (np.float32, np.float64, np.float16)
    ]
    assert results[0] == results[1] == results[2] and results[0]["accuracy"] == expected
    for dtype in (np.float32, np.float64):
        model = cconv.Model(nn.Sequential(nn.Flatten(), nn.Linear(784, 2, rng=0)), "mse", metrics=())
        history = model.fit(X, RNG.random((20, 2)).astype(dtype), verbose=0).history
        assert np.isfinite(history["loss"]).all()


def test_arguments_of_another_kind(tmp_path):
    for optimizer in ("adam", cconv.optim.Adam, 0.1):
        with pytest.raises(TypeError, match="optimizer must be an object"):
            lenet(optimizer=optimizer)
    for data in ((X, Y, Y), X):
        with pytest.raises(ValueError, match="validation_data must be"):
            lenet().fit(X, Y, validation_data=data, verbose=0)
    with pytest.raises(TypeError, match="augment must be callable"):
        lenet().fit(X, Y, augment=3, verbose=0)
    with pytest.raises(TypeError, match=r"input_shape must be that of one sample, such as \(1, 28, 28\), got 28"):
        lenet().summary(28)
    with pytest.raises(TypeError, match="resnet18 got an unexpected keyword argument 'depth'; it takes num_classes, "):
        cconv.models.create("resnet18", depth=3)
    with pytest.raises(ValueError, match=r"Normalize: mean of shape \(2, 1, 1\) does not fit"):
        cconv.data.Normalize((0.1, 0.2))(np.zeros((1, 3, 4, 4), np.float32))
    lenet().fit(X, Y, callbacks=CSVLogger(tmp_path / "log"), verbose=0)
    assert (tmp_path / "log").read_text().startswith("epoch,loss")


def test_errors_of_saving_name_the_path(tmp_path):
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "none" / "m", FileNotFoundError)):
        with pytest.raises(error) as caught:
            lenet().save(path)
        assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
