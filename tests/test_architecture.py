"""The arrows of the house: who may import, include, allocate and start threads. See src/cconv/README.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, PACKAGE = ROOT / "src" / "cconv", ROOT / "cconv"
PYTHON = sorted(PACKAGE.rglob("*.py"))
C = sorted(p for p in CORE.rglob("*") if p.suffix in (".c", ".h", ".inc"))
CODE = [
    p
    for folder in ("src", "cconv", "tests", "benchmarks", "examples")
    for p in sorted((ROOT / folder).rglob("*"))
    if p.suffix in (".py", ".pyx", ".pxd", ".c", ".h", ".inc") and "build" not in p.parts
]

# From bottom to top: a module imports from its own level or below.
LEVELS = [
    "cconv._*", "cconv.runtime", "cconv.functional", "cconv.nn", "cconv.optim", "cconv.models", "cconv.model",
]  # fmt: skip

# Files that may be longer than MAXIMUM_LINES, with the reason.
MAXIMUM_LINES = 400
LONG = {}


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Absolute names of the modules a Python file imports, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def level(module):
    if re.match(r"cconv\._[a-z]", module):
        return 0
    return next((i for i, name in enumerate(LEVELS) if i and f"{module}.".startswith(f"{name}.")), None)


def code_of(path):
    """Text of a C file without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)


def offenders(pattern, paths, allowed=()):
    found = [f"{p.relative_to(ROOT)}: {m}" for p in paths for m in re.findall(pattern, code_of(p))]
    return [f for f in found if not f.startswith(tuple(allowed))]


def test_python_arrows_point_down():
    for path in PYTHON:
        own = level(module_of(path))
        for name in imports(path):
            assert own is None or level(name) is None or level(name) <= own, f"{path} imports {name}"


def test_bindings_are_imported_by_functional_alone():
    """Besides, `_runtime` hands out memory to layers; networks (models) import no binding at all."""
    allowed = ("cconv/__init__.py", "cconv/runtime.py", "cconv/functional/", "cconv/optim/", "cconv/data/")
    for path in PYTHON:
        place = path.relative_to(ROOT).as_posix()
        bindings = {name for name in imports(path) if level(name) == 0}
        if not place.startswith("cconv/models/"):
            bindings.discard("cconv._runtime")
        assert place.startswith(allowed) or not bindings, f"{path} imports {bindings}"


def test_training_does_not_know_the_zoo():
    """cconv/model.py trains any network; only the command line knows the names of models."""
    training = [p for p in PYTHON if p.parent == PACKAGE and p.stem in ("model", "callbacks", "history", "progress")]
    assert not [n for p in training for n in imports(p) if n.startswith("cconv.models")]


def test_no_sideways_includes():
    """A concept's folder includes its own headers and those below it, never another concept's."""
    below = {"kernels", "gemm", "im2col"}
    for path in C:
        folder = path.parent.relative_to(CORE).as_posix()
        for name in re.findall(r'#include "([^"]+)"', path.read_text()):
            bases = [path.parent / name, CORE / name]
            target = next((b.resolve() for b in bases if b.exists()), None)
            assert target is not None, f"{path}: {name} does not exist"
            other = target.parent.relative_to(CORE.resolve()).as_posix()
            assert other in (".", folder) or other in below, f"{path} includes {name}"
            if folder == "." and path.name not in ("context.h", "kernels.h"):
                assert other == ".", f"{path}: a foundation includes {name}"


def test_memory_and_threads_have_their_places():
    foundations = ["arena.c", "pages.c", "context.c", "parallel.c", "watch.c", "watch.h", "gemm/blas.c"]
    allowed = [f"src/cconv/{name}" for name in foundations]
    assert offenders(r"\b(?:malloc|calloc|realloc|aligned_alloc|free)\s*\(", C, allowed) == []
    assert offenders(r"\bpthread_\w+", C, allowed) == []
    assert offenders(r"\balloca\s*\(|#pragma omp", C) == []


def test_bindings_ask_after_every_call():
    """`check` follows every call of the core: it also tells that Ctrl-C made the core stop early."""
    for path in sorted(PACKAGE.glob("_*.pyx")):
        for block in re.findall(r"with nogil:\n((?:.*\n){1,8})", path.read_text()):
            assert "check(" in block or "cc_arena_alloc" in block, f"{path}: {block}"


def test_instruction_sets_have_their_places():
    allowed = ["src/cconv/isa/", "src/cconv/kernels/", "src/cconv/cpu.c"]
    intrinsics = r"\b_mm\d*_\w+|\b__m(?:128|256|512)\w*|immintrin\.h|arm_neon\.h|__AVX\w*|target\s*\(\""
    assert offenders(intrinsics, C, allowed) == []


def test_no_file_for_everything():
    names = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [p for p in CODE if p.stem.strip("_") in names or p.parent.name in names] == []


def test_no_unsafe_call():
    me = Path(__file__)
    unsafe = r"import pickle|pickle\.\w+\(|(?<![\w.])eval\(|\bexec\(|allow_pickle=True|shell=True|extractall\("
    python = [p for p in CODE if p.suffix in (".py", ".pyx") and p != me]
    assert [f"{p}: {m}" for p in python for m in re.findall(unsafe, p.read_text())] == []


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_file_length(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MAXIMUM_LINES or path.relative_to(ROOT).as_posix() in LONG, (
        f"{lines} lines: look for two words in it"
    )


def test_the_tree_names_no_machine():
    """No path of somebody's machine and no host of a package registry."""
    words = ["/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "/t" + "mp/", "/wo" + "rk/"]
    words += ["py" + "pi.org", "python" + "hosted", "ana" + "conda.org", "cran.r-" + "project"]
    documents = [p for p in ROOT.glob("*") if p.suffix in (".md", ".toml", ".py", ".in")]
    documents += [*(ROOT / ".ci").glob("*"), *ROOT.glob("src/**/*.md"), *ROOT.glob("cconv/**/*.md")]
    found = [f"{p}: {w}" for p in CODE + documents if p.is_file() for w in words if w in p.read_text()]
    assert found == []
