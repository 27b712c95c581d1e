#define _GNU_SOURCE
#include "pages.h"

#include <stdlib.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <stdint.h>
#include <sys/mman.h>

char *cc_pages_span(size_t span)
{
    /* One huge page more, cut off again, puts the start on a huge-page boundary. */
    char *raw = mmap(NULL, span + CC_HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    const size_t head = (CC_HUGE_PAGE - (uintptr_t)raw % CC_HUGE_PAGE) % CC_HUGE_PAGE;
    if (head > 0)
        munmap(raw, head);
    munmap(raw + head + span, CC_HUGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    madvise(raw + head, span, MADV_HUGEPAGE);
#endif
    return raw + head;
}

bool cc_pages_back(char *address, size_t bytes) { return mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0; }

void cc_pages_release(char *memory, size_t span) { munmap(memory, span); }
#else
char *cc_pages_span(size_t span) { return aligned_alloc(CC_HUGE_PAGE, span); }

bool cc_pages_back(char *address, size_t bytes) { return address != NULL && bytes > 0; }

void cc_pages_release(char *memory, size_t span)
{
    (void)span;
    free(memory);
}
#endif

void cc_heap_trim(void)
{
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
