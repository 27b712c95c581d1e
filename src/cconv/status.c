#include "status.h"

const char *cc_status_string(cc_status status)
{
    switch (status) {
    case CC_OK: return "success";
    case CC_ERR_ARGUMENT: return "an argument is outside its range";
    case CC_ERR_SHAPE: return "the shapes do not fit together";
    case CC_ERR_OVERFLOW: return "a size overflows";
    case CC_ERR_MEMORY: return "out of memory";
    case CC_ERR_INDEX: return "an index is out of bounds";
    case CC_ERR_UNSUPPORTED: return "the algorithm cannot do this geometry";
    case CC_ERR_NO_BLAS: return "BLAS has not been loaded";
    }
    return "unknown status";
}
