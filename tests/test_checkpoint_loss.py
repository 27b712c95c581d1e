"""A checkpoint holds the loss with its options, so that a resumed training goes on with it."""

import numpy as np
import pytest
import small_model

import cconv
from cconv import nn
from cconv.checkpoint import CheckpointError


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(weight=np.linspace(0.5, 1.5, 10, dtype=np.float32), ignore_index=3),
        nn.FocalLoss(gamma=1.5),
        "hinge",
    ],
    ids=repr,
)
def test_losses_with_options_continue_to_the_bit(tmp_path, loss):
    (x, y), _ = small_model.small_data()
    straight, first = (cconv.Model(small_model.small_net(), loss) for _ in range(2))
    straight.fit(x, y, epochs=2, verbose=0)
    first.fit(x, y, epochs=1, verbose=0)
    first.save(tmp_path / "m")
    second = cconv.Model.load(tmp_path / "m")
    assert type(second.loss) is type(straight.loss) and second.loss_name == straight.loss_name
    second.fit(x, y, epochs=2, verbose=0, resume=True)
    assert small_model.weights(second) == small_model.weights(straight)


def test_a_loss_of_ones_own_is_given_to_load(tmp_path):
    class Half(nn.CrossEntropyLoss):
        def forward(self, outputs, target):
            loss, backward = super().forward(outputs, target)
            return loss / 2, lambda: backward() / 2

    (x, y), _ = small_model.small_data()
    model = cconv.Model(small_model.small_net(), Half())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="loss="):
        cconv.Model.load(tmp_path / "m")
    again = cconv.Model.load(tmp_path / "m", loss=Half())
    assert again.evaluate(x, y) == model.evaluate(x, y)
