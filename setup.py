"""Build of cconv: the C core as static libraries, thin Cython extensions that link them.

CCONV_DEVELOPER=1 turns on strict warnings as errors; CCONV_SANITIZE=address,undefined (or thread)
builds everything under those sanitizers.
"""

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

SOURCE = Path("src/cconv")
HEADERS = sorted(str(p) for pattern in ("*.h", "*.inc") for p in SOURCE.rglob(pattern))
MACHINE = platform.machine().lower()

# Python's own flags may ask for debug information of variables, with which GCC takes half as long again; lines are
# enough for a trace or a profile.
COMMON = ["-std=gnu11", "-O3", "-g1", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math"]
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror"]

ISA_FLAGS = {"generic": []}
if MACHINE in ("x86_64", "amd64"):
    ISA_FLAGS["avx2"] = ["-mavx2", "-mfma"]
    ISA_FLAGS["avx512"] = [
        "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512",
    ]  # fmt: skip
elif MACHINE in ("aarch64", "arm64"):
    ISA_FLAGS["neon"] = []

sanitizers = os.environ.get("CCONV_SANITIZE", "")
SANITIZE = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-O1"] if sanitizers else []
# Python's own -fwrapv hides signed overflow from UBSan, and GCC takes four times as long with both.
CHECKED = [*SANITIZE, "-fno-wrapv"] if sanitizers else []
CORE_FLAGS = COMMON + (STRICT if os.environ.get("CCONV_DEVELOPER") else []) + CHECKED
THREADS = [] if sys.platform == "win32" else ["-pthread"]


def library(name, sources, flags=()):
    options = {
        "sources": sources,
        "include_dirs": [str(SOURCE)],
        "cflags": [*CORE_FLAGS, *THREADS, *flags],
        "obj_deps": {"": [*HEADERS, "setup.py"]},
    }
    return name, options


def core_libraries():
    """Libraries in link order: whatever needs another one stands before it."""
    core = sorted(str(p) for p in SOURCE.rglob("*.c") if p.parent.name != "isa")
    isa = [
        library(f"cconv_{name}", [str(SOURCE / "isa" / f"{name}.c")], ["-ffp-contract=fast", *flags])
        for name, flags in ISA_FLAGS.items()
    ]
    return [library("cconv_core", core), *isa]


class BuildLibraries(build_clib):
    """Builds the libraries side by side: each instruction set takes the compiler long."""

    def build_libraries(self, libraries):
        build = super().build_libraries
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda one: build([one]), libraries))


class BuildExtensions(build_ext):
    """Builds the static libraries first, so that `build_ext --inplace` is one command."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self):
        if self.distribution.has_c_libraries():
            self.run_command("build_clib")
        super().run()


LIBRARIES = core_libraries()
extensions = [
    Extension(
        f"cconv.{path.stem}",
        [str(path)],
        include_dirs=[str(SOURCE), numpy.get_include()],
        libraries=[] if sys.platform == "win32" else ["m"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O2", "-g1", *THREADS, *SANITIZE],
        extra_link_args=[*THREADS, *([] if sys.platform == "darwin" or sanitizers else ["-Wl,-S"]), *SANITIZE],
        depends=[*HEADERS, *map(str, SOURCE.rglob("*.c"))],
    )
    for path in sorted(Path("cconv").glob("*.pyx"))
]

setup(
    packages=[str(p.parent).replace(os.sep, ".") for p in sorted(Path("cconv").rglob("__init__.py"))],
    package_data={"cconv": ["py.typed"], "cconv.data": ["*.npz"]},
    include_package_data=False,
    libraries=LIBRARIES,
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "binding": True,
            "embedsignature": True,
        },
    ),
    cmdclass={"build_clib": BuildLibraries, "build_ext": BuildExtensions},
)
