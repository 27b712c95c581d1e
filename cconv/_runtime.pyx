"""The process's context: instruction set, threads, arena, BLAS pointers."""

import os
import sys

import numpy as np

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uintptr_t
cimport numpy as cnp

cnp.import_array()


cdef extern from "stdbool.h":
    ctypedef bint c_bool "bool"

cdef extern from "context.h" nogil:
    ctypedef enum cc_isa:
        CC_ISA_COUNT
    ctypedef struct cc_arena:
        pass
    ctypedef struct cc_pool:
        pass
    ctypedef struct cc_blas:
        pass
    ctypedef struct cc_arena_stats:
        size_t in_use
        size_t peak
        size_t reserved
        uint64_t blocks
        uint64_t calls
    ctypedef struct cc_full_context "cc_context":
        cc_isa isa
        cc_pool *pool
        cc_arena *arena
        cc_blas *blas
    const char *cc_status_string(cc_status status)
    const char *cc_isa_name(cc_isa isa)
    bint cc_isa_usable(cc_isa isa)
    cc_isa cc_isa_best()
    unsigned long cc_fp_mode_get()
    void cc_fp_mode_set(unsigned long mode)
    unsigned long cc_fp_mode_flushing(unsigned long mode)
    cc_status cc_context_create(cc_isa isa, int threads, cc_context **context)
    int cc_pool_threads(const cc_pool *pool)
    void cc_pool_watch(cc_pool *pool, c_bool (*poll)() noexcept nogil)
    bint cc_pool_rehearse(cc_pool *pool, bint on)
    bint cc_pool_interrupted(cc_pool *pool)
    cc_status cc_pool_resize(cc_pool *pool, int threads)
    cc_arena *cc_arena_create()
    void cc_arena_destroy(cc_arena *arena)
    void *cc_arena_alloc(cc_arena *arena, size_t bytes)
    void cc_arena_free(cc_arena *arena, void *block)
    cc_arena_stats cc_arena_get_stats(cc_arena *arena)
    void cc_arena_reset_peak(cc_arena *arena)
    ctypedef struct cc_arena_event:
        int64_t block
        int64_t bytes
    bint cc_arena_record(cc_arena *arena, cc_arena_event *events, size_t capacity)
    void cc_arena_spare(cc_arena *arena, bint on)
    size_t cc_arena_recorded(cc_arena *arena)
    void cc_arena_fail_after(cc_arena *arena, int64_t successes, int persistent)
    void cc_blas_set(cc_blas *blas, void *sgemm, void *dgemm, int (*get_threads)() noexcept nogil,
                     void (*set_threads)(int) noexcept nogil)
    bint cc_blas_ready(const cc_blas *blas)
    enum:
        CC_MAX_THREADS

cdef extern from "pages.h" nogil:
    void cc_heap_trim()

cdef extern from "sink.h" nogil:
    void cc_sink_give(const cc_context *context, const cc_sink *sink, cc_dtype dtype, int64_t begin, int64_t n, void *g)

cdef extern from "Python.h" nogil:
    ctypedef enum PyGILState_STATE:
        pass
    PyGILState_STATE PyGILState_Ensure()
    void PyGILState_Release(PyGILState_STATE state)
    int PyErr_CheckSignals()

cdef extern from "numpy/arrayobject.h":
    int PyArray_SetBaseObject(cnp.ndarray array, object base) except -1


cdef cc_context *the_context = NULL

MAX_THREADS = CC_MAX_THREADS


cdef cc_context *context() noexcept nogil:
    return the_context


cdef inline cc_full_context *full() noexcept nogil:
    return <cc_full_context *>the_context


cdef c_bool signalled() noexcept nogil:
    """Whether a signal's handler raised (Ctrl-C); its exception is set then, and `check` lets it out."""
    cdef PyGILState_STATE state = PyGILState_Ensure()
    cdef bint raised = PyErr_CheckSignals() != 0
    PyGILState_Release(state)
    return raised


cdef int check(cc_status status, str what) except -1:
    if cc_pool_interrupted(full().pool):
        return -1
    if status == CC_OK:
        return 0
    message = f"{what}: {cc_status_string(status).decode()}"
    if status == CC_ERR_MEMORY:
        raise MemoryError(message)
    if status == CC_ERR_INDEX:
        raise IndexError(message)
    if status == CC_ERR_NO_BLAS:
        raise RuntimeError(message)
    raise ValueError(message)


cdef cc_dtype dtype_of(cnp.ndarray array) except *:
    cdef int number = cnp.PyArray_TYPE(array)
    if number == cnp.NPY_FLOAT32:
        return CC_F32
    if number == cnp.NPY_FLOAT64:
        return CC_F64
    raise TypeError(f"expected float32 or float64, got {array.dtype}")


cdef class Block:
    """Owns one arena block; the base object of arrays made by new_array."""
    cdef void *memory

    def __dealloc__(self):
        cc_arena_free(full().arena, self.memory)


cdef cnp.ndarray new_array(tuple shape, int type_number, bint channels_last):
    cdef cnp.npy_intp dims[8]
    cdef int rank = len(shape), i
    cdef int64_t count = 1
    cdef Block block
    cdef cnp.ndarray array
    if rank > 8:
        raise ValueError(f"at most 8 axes, got shape {shape}")
    try:
        for i in range(rank):
            dims[i] = shape[i]
    except OverflowError:
        raise ValueError(f"shape {shape} overflows") from None
    if channels_last and rank > 2:
        for i in range(1, rank - 1):
            dims[i] = shape[i + 1]
        dims[rank - 1] = shape[1]
    for i in range(rank):
        if dims[i] < 0:
            raise ValueError(f"negative size in shape {shape}")
        if dims[i] > 0 and count > (<int64_t>1 << 59) // dims[i]:
            raise ValueError(f"shape {shape} overflows")
        count *= max(dims[i], 1)
    for i in range(rank):
        if dims[i] == 0:
            count = 0
    cdef cnp.dtype descr = cnp.PyArray_DescrFromType(type_number)
    cdef size_t item = <size_t>cnp.PyDataType_ELSIZE(descr)
    block = Block.__new__(Block)
    with nogil:
        block.memory = cc_arena_alloc(full().arena, <size_t>count * item)
    if block.memory == NULL:
        raise MemoryError(f"no memory for an array of shape {shape} and type {descr}")
    array = cnp.PyArray_SimpleNewFromData(rank, dims, type_number, block.memory)
    Py_INCREF(block)
    cnp.PyArray_SetBaseObject(array, block)
    if channels_last and rank > 2:
        return array.transpose((0, rank - 1) + tuple(range(1, rank - 1)))
    return array


cdef cnp.ndarray result_array(out, tuple shape, int type_number, bint channels_last):
    cdef cnp.ndarray array
    if out is None:
        return new_array(shape, type_number, channels_last)
    array = out
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if cnp.PyArray_TYPE(array) != type_number:
        raise TypeError(f"out must be {cnp.PyArray_DescrFromType(type_number)}, got {out.dtype}")
    if channels_last and len(shape) > 2:
        array = out.transpose((0,) + tuple(range(2, len(shape))) + (1,))
    if cnp.PyArray_IS_C_CONTIGUOUS(array):
        return out
    return new_array(shape, type_number, channels_last)


def empty(tuple shape, dtype=np.float32, bint channels_last=False, out=None):
    """An uninitialised array from the arena; NCHW in shape, channels-last in memory when asked. Or `out`, where it is one."""
    number = np.dtype(dtype).num
    if number not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_INT64, cnp.NPY_INT32):
        raise TypeError(f"dtype must be float32, float64, int32 or int64, got {np.dtype(dtype)}")
    return result_array(out, shape, number, channels_last)


cdef class Sink:
    """Takes a gradient as soon as it is computed; `taken` tells whether it has."""

    cdef int claim(self, int64_t size, cc_dtype dtype) except -1:
        """What is to come is a gradient of so many elements."""
        if self.sink == NULL or size != self.size or dtype != self.dtype:
            raise ValueError(f"expected a gradient of {self.size} elements of one dtype, got {size}")
        self.taken = True
        return 0

    cdef int check(self, cnp.ndarray grad) except -1:
        if not cnp.PyArray_IS_C_CONTIGUOUS(grad):
            raise ValueError("expected a contiguous gradient")
        return self.claim(cnp.PyArray_SIZE(grad), dtype_of(grad))

    def take(self, cnp.ndarray grad not None):
        self.check(grad)
        cdef void *data = cnp.PyArray_DATA(grad)
        with nogil:
            cc_sink_give(context(), self.sink, self.dtype, self.begin, self.size, data)
        check(CC_OK, "optimiser step")


def create(isa, int threads):
    """Create the context of the process. `isa` is a name or None for the widest usable one."""
    global the_context
    cdef int index
    cdef cc_isa chosen = cc_isa_best()
    if the_context != NULL:
        raise RuntimeError("the context exists already")
    if isa is not None:
        names = isa_names()
        if isa not in names:
            raise ValueError(f"CCONV_ISA must be one of {', '.join(names)}, got {isa!r}")
        chosen = <cc_isa><int>names.index(isa)
        if not cc_isa_usable(chosen):
            raise ValueError(f"CCONV_ISA={isa} cannot run here; usable: {', '.join(usable_isas())}")
    status = cc_context_create(chosen, threads, &the_context)
    if status != CC_OK:
        raise MemoryError("cconv: " + cc_status_string(status).decode())
    # Python runs signal handlers on its main thread, which this is unless threads import us.
    threading = sys.modules.get("threading")
    if threading is None or threading.current_thread() is threading.main_thread():
        cc_pool_watch(full().pool, signalled)


def isa_names():
    return [cc_isa_name(<cc_isa><int>i).decode() for i in range(<int>CC_ISA_COUNT)]


def usable_isas():
    return [name for i, name in enumerate(isa_names()) if cc_isa_usable(<cc_isa><int>i)]


def isa():
    return cc_isa_name(full().isa).decode()


def get_num_threads():
    return cc_pool_threads(full().pool)


def set_num_threads(int threads):
    cdef cc_status status
    with nogil:
        status = cc_pool_resize(full().pool, threads)
    check(status, "set_num_threads")


cdef public int cconv_get_num_threads() noexcept:
    """For threadpoolctl, which knows a library by the symbols it exports."""
    return cc_pool_threads(full().pool)


def arena_stats():
    """Bytes in live blocks, their peak, bytes taken from the system; counts of blocks and of calls."""
    return dict(cc_arena_get_stats(full().arena))


def arena_reset_peak():
    cc_arena_reset_peak(full().arena)


class arena_recording:
    """`with arena_recording() as events:` what this thread takes from the arena and gives back.

    The first `arena_recorded()` rows of `events`, int64 (capacity, 2), hold addresses and bytes, negative for what was
    given back; events beyond the capacity are counted alone. With `rehearse` the kernels that this thread calls do
    nothing but take memory; what they return is undefined.
    """

    def __init__(self, size_t capacity=1 << 18, bint rehearse=False):
        self.events, self.rehearse = np.empty((capacity, 2), np.int64), rehearse

    def __enter__(self):
        cdef cnp.ndarray events = self.events
        if not cc_arena_record(full().arena, <cc_arena_event *>cnp.PyArray_DATA(events), len(self.events)):
            raise RuntimeError("another thread is recording what the arena does")
        if self.rehearse and not cc_pool_rehearse(full().pool, True):
            cc_arena_record(full().arena, NULL, 0)
            raise RuntimeError("another thread is rehearsing")
        if self.rehearse:
            cc_arena_spare(full().arena, True)
        return self.events

    def __exit__(self, *error):
        if self.rehearse:
            cc_pool_rehearse(full().pool, False)
            cc_arena_spare(full().arena, False)
        cc_arena_record(full().arena, NULL, 0)


def arena_recorded():
    return cc_arena_recorded(full().arena)


def arena_replay(cnp.ndarray events not None):
    """Bytes that a new arena takes from the system when it sees `events` of `arena_recording`, gaps included."""
    cdef cc_arena *arena = cc_arena_create()
    cdef uintptr_t address
    cdef void *block
    if arena == NULL:
        raise MemoryError("no memory for an arena")
    live = {}
    try:
        cc_arena_spare(arena, True)
        for old, nbytes in events.tolist():
            if nbytes > 0:
                block = cc_arena_alloc(arena, nbytes)
                if block == NULL:
                    raise MemoryError(f"no memory for {nbytes} bytes")
                live[old] = <uintptr_t>block
            elif old in live:
                address = live.pop(old)
                cc_arena_free(arena, <void *>address)
        return cc_arena_get_stats(arena).reserved
    finally:
        cc_arena_destroy(arena)


def trim_heap():
    """Give back to the system what is free in the heap that NumPy's arrays come from, where that can be done."""
    cc_heap_trim()


def arena_fail_after(int64_t successes, bint persistent=False):
    """For tests: refuse the arena request after `successes` further ones; a negative number ends it."""
    cc_arena_fail_after(full().arena, successes, persistent)


def blas_ready():
    return cc_blas_ready(full().blas)


def set_blas(dict capsules, uintptr_t get_threads, uintptr_t set_threads):
    """Hand over SciPy's BLAS: scipy.linalg.cython_blas.__pyx_capi__ and two function addresses (or 0)."""
    cdef void *pointers[2]
    for i, name in enumerate(("sgemm", "dgemm")):
        capsule = capsules[name]
        pointers[i] = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))
    cc_blas_set(full().blas, pointers[0], pointers[1], <int (*)() noexcept nogil>get_threads,
                <void (*)(int) noexcept nogil>set_threads)


def get_exact():
    return the_context.exact


def set_exact(bint exact):
    the_context.exact = exact


def fp_mode():
    """The calling thread's floating-point control word."""
    return cc_fp_mode_get()


def set_fp_mode(unsigned long mode):
    cc_fp_mode_set(mode)


def flushing(unsigned long mode):
    """The control word `mode` with denormals flushed to zero."""
    return cc_fp_mode_flushing(mode)
