/* pages.h -- addresses and memory from the system, huge pages where it has them. */
#ifndef CC_PAGES_H
#define CC_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define CC_HUGE_PAGE ((size_t)2 << 20)

/* `span` addresses, beginning at a huge page, without memory where the system can do that; NULL: there are none. */
char *cc_pages_span(size_t span);

/* Memory for a part of them. */
bool cc_pages_back(char *address, size_t bytes);

void cc_pages_release(char *memory, size_t span);

/* What is free in the heap of the C library goes back to the system, where that can be done. */
void cc_heap_trim(void);

#endif
