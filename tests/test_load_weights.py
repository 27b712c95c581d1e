"""Beginning with the weights of another task."""

import pytest

import cconv
from cconv import models
from cconv.checkpoint import CheckpointError, load_weights


def test_layers_that_keep_their_weights(tmp_path):
    cconv.Model(models.resnet20(num_classes=7, rng=0)).save(tmp_path / "m")
    old, fresh = models.resnet20(num_classes=7, rng=0).state_dict(), models.resnet20(num_classes=3, rng=1).state_dict()
    net = models.resnet20(num_classes=3, rng=1)
    with pytest.raises(CheckpointError, match="fc.weight"):
        load_weights(net, tmp_path / "m")
    assert load_weights(net, tmp_path / "m", skip="fc") is net
    for key, array in net.state_dict().items():
        expected = fresh if key.startswith("fc.") else old
        assert array.tobytes() == expected[key].tobytes()
    load_weights(net, tmp_path / "m", skip=("fc", "layer1.0", "conv1.weight"))
    with pytest.raises(ValueError, match="no layer 'layer'"):
        load_weights(net, tmp_path / "m", skip="layer")
    with pytest.raises(CheckpointError, match="unexpected: .*bn1"):
        load_weights(models.lenet5(), tmp_path / "m", skip="fc1")
