/* kernels.h -- the one door to instruction-set specific code.
 *
 * Each concept declares its routines as a struct of pointers in kernels/<concept>.h and writes them once in
 * kernels/<concept>.inc, which isa/<set>.c compiles with that set's flags. Nothing above this
 * table knows what AVX is.
 */
#ifndef CC_KERNELS_H
#define CC_KERNELS_H

#include "kernels/activation.h"
#include "kernels/depthwise.h"
#include "kernels/eltwise.h"
#include "kernels/gemm.h"
#include "kernels/lanes.h"
#include "kernels/norm.h"
#include "kernels/optim.h"
#include "kernels/winograd.h"
#include "kernels/pool.h"
#include "kernels/softmax.h"
#include "kernels/stencil.h"

typedef struct cc_kernels {
    const char *name; /* "generic", "avx2", ... */
    int lanes;        /* floats in a vector */
    cc_activation_kernels activation;
    cc_depthwise_kernels depthwise;
    cc_eltwise_kernels eltwise;
    cc_gemm_kernels gemm;
    cc_lanes_kernels lanes_chain;
    cc_norm_kernels norm;
    cc_optim_kernels optim;
    cc_winograd_kernels winograd[CC_WINOGRAD_FORMS];
    cc_pool_kernels pool;
    cc_softmax_kernels softmax;
    cc_stencil_kernels stencil;
} cc_kernels;

extern const cc_kernels cc_kernels_generic;
#if defined(__x86_64__)
extern const cc_kernels cc_kernels_avx2;
extern const cc_kernels cc_kernels_avx512;
#elif defined(__aarch64__)
extern const cc_kernels cc_kernels_neon;
#endif

#endif
