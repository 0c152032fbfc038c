/* SPDX-License-Identifier: MIT */
/* Linked with the objects of src/base and nothing of the floors above: a
 * reference upwards does not link. Running it shows that the floor works
 * without a runtime. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/heap.h"
#include "base/sys.h"

int main(void)
{
    struct heap h = {0};
    struct heap_node late, soon;
    int pipe_end[2];
    char said[64] = "";

    heap_insert(&h, &late, 2);
    heap_insert(&h, &soon, 1);
    if (h.root != &soon) {
        puts("the heap's root is not its least node");
        return 1;
    }
    if (pipe(pipe_end) < 0 || sys_dup3(pipe_end[1], 2, 0) < 0)
        return 1;
    w_warn("%s", "alone");
    if (sys_read(pipe_end[0], said, sizeof said - 1) <= 0 ||
        strcmp(said, "weft: alone\n")) {
        printf("w_warn wrote '%s'\n", said);
        return 1;
    }
    return 0;
}
