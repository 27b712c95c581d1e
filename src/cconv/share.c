#include "share.h"

void cc_share_deal(cc_share *shares, int count, int64_t n)
{
    for (int i = 0; i < count; i++) {
        atomic_store_explicit(&shares[i].next, cc_share_begin(n, count, i), memory_order_relaxed);
        shares[i].end = cc_share_begin(n, count, i + 1);
    }
}

bool cc_share_take(cc_share *share, int64_t most, int64_t *begin, int64_t *end)
{
    long long next = atomic_load_explicit(&share->next, memory_order_relaxed);
    int64_t count;
    do {
        const int64_t bite = (share->end - next) / 4;
        if (next >= share->end)
            return false;
        count = bite < 1 ? 1 : bite < most ? bite : most;
    } while (!atomic_compare_exchange_weak_explicit(&share->next, &next, next + count, memory_order_relaxed,
                                                    memory_order_relaxed));
    *begin = next;
    *end = next + count;
    return true;
}
