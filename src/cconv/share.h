/* share.h -- what a thread still has to do of a job whose items any thread may take. */
#ifndef CC_SHARE_H
#define CC_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* As large as a cache line. */
typedef struct cc_share {
    atomic_llong next;
    int64_t end;
    char apart[48];
} cc_share;

/* Where part p of n items begins; n near 2^63 does not overflow. */
static inline int64_t cc_share_begin(int64_t n, int parts, int p)
{
    return n / parts * p + (p < n % parts ? p : n % parts);
}

/* Cut n items into near-equal shares. */
void cc_share_deal(cc_share *shares, int count, int64_t n);

/* Some of what is left, at most `most` items; false: nothing is. Bites shrink with what is left, so that threads end
 * together even where one of them is held up. */
bool cc_share_take(cc_share *share, int64_t most, int64_t *begin, int64_t *end);

#endif
