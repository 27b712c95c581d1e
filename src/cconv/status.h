/* status.h -- what every public function of the core returns.
 *
 * A negative status means that no output was written. The bindings turn it into a Python exception.
 */
#ifndef CC_STATUS_H
#define CC_STATUS_H

typedef enum cc_status {
    CC_OK = 0,
    CC_ERR_ARGUMENT = -1,    /* a value outside its range: ValueError */
    CC_ERR_SHAPE = -2,       /* shapes that do not fit together: ValueError */
    CC_ERR_OVERFLOW = -3,    /* a size beyond 64-bit arithmetic or the address space: ValueError */
    CC_ERR_MEMORY = -4,      /* no memory: MemoryError */
    CC_ERR_INDEX = -5,       /* an index array points outside its plane: IndexError */
    CC_ERR_UNSUPPORTED = -6, /* this algorithm cannot do this geometry: ValueError */
    CC_ERR_NO_BLAS = -7      /* the BLAS pointers were not handed over yet: RuntimeError */
} cc_status;

/* A sentence about the status; static storage. */
const char *cc_status_string(cc_status status);

/* Return early from a function whose callee failed. */
#define CC_TRY(expression)                          \
    do {                                            \
        const cc_status cc_try_status = (expression); \
        if (cc_try_status != CC_OK)                 \
            return cc_try_status;                   \
    } while (0)

#endif
