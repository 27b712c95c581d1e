"""Thread counts: arguments, the environment, threadpoolctl, forked children."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cconv
import cconv.functional as F


@pytest.fixture(autouse=True)
def restored():
    before = cconv.get_num_threads()
    yield
    cconv.set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1, 257, True, 1.5, "2.0", None])
def test_bad_counts(n):
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 256"):
        cconv.set_num_threads(n)


def test_threadpoolctl_sees_and_limits():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is in the test extra")
    import cconv.threadpool  # noqa: F401  registers

    cconv.set_num_threads(3)
    ours = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "cconv"]
    assert [info["num_threads"] for info in ours] == [3]
    assert ours[0]["version"] == cconv.__version__
    with threadpoolctl.threadpool_limits(1, user_api="cconv"):
        assert cconv.get_num_threads() == 1
    assert cconv.get_num_threads() == 3


def _in_fresh_process(folder, code, **environment):
    package = str(Path(cconv.__file__).parents[1])
    command = [sys.executable, "-c", f"import sys; sys.path.append({package!r}); " + code]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)


def test_environment(tmp_path):
    code = "import cconv; print(cconv.get_num_threads())"
    assert _in_fresh_process(tmp_path, code, CCONV_NUM_THREADS="5").stdout.split() == ["5"]
    wrong = _in_fresh_process(tmp_path, code, CCONV_NUM_THREADS="many")
    assert wrong.returncode != 0 and "CCONV_NUM_THREADS must be a whole number" in wrong.stderr


def test_threadpoolctl_imported_first_is_enough(tmp_path):
    pytest.importorskip("threadpoolctl", reason="threadpoolctl is in the test extra")
    code = "import threadpoolctl, cconv; print(any(i['user_api'] == 'cconv' for i in threadpoolctl.threadpool_info()))"
    assert _in_fresh_process(tmp_path, code).stdout.split() == ["True"]


def _sum(x, w, queue):
    queue.put(float(F.conv2d(x, w).sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_run_kernels():
    cconv.set_num_threads(2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 8, 16, 16)).astype(np.float32)
    w = rng.standard_normal((16, 8, 3, 3)).astype(np.float32)
    expected = float(F.conv2d(x, w).sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_sum, args=(x, w, queue)) for _ in range(8)]
    for child in children:
        child.start()
    results = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
    assert results == [expected] * len(children)
    assert float(F.conv2d(x, w).sum()) == expected
