"""A checkpoint costs no more memory than its bytes say."""

import pytest
import small_model

import cconv
from cconv import checkpoint


@pytest.mark.parametrize("features", [30_000, 10**7, 2**40])
def test_a_described_layer_larger_than_the_file_costs_nothing(tmp_path, features):
    """The description of the network is as untrusted as the rest of the file."""
    import resource

    small_model.small_model().save(tmp_path / "m")
    tensors, metadata = checkpoint.read(tmp_path / "m")
    forged = metadata["architecture"].replace("64", str(features)).replace("10", str(features))
    assert forged != metadata["architecture"]
    checkpoint.write(tmp_path / "m", tensors, {**metadata, "architecture": forged})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(checkpoint.CheckpointError):
        cconv.Model.load(tmp_path / "m")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
