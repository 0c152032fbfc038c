/* SPDX-License-Identifier: MIT */
/* The intrusive list and heap, against models: random operations, the same on
 * both sides, compared throughout. The seed is fixed, or WEFT_TEST_SEED. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/list.h"

#define NODES 300
#define STEPS 200000

static uint64_t seed = 1;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

static int set_seed(void **state)
{
    const char *s = getenv("WEFT_TEST_SEED");

    (void)state;
    seed = s ? strtoull(s, NULL, 0) : 20;
    print_message("seed %llu\n", (unsigned long long)seed);
    return 0;
}

/* ---- list --------------------------------------------------------------- */

struct member {
    int number;
    struct list node;
};

static struct member members[NODES];
static int model[NODES], model_n;

static void model_insert(int at, int number)
{
    memmove(&model[at + 1], &model[at],
            (size_t)(model_n - at) * sizeof model[0]);
    model[at] = number;
    model_n++;
}

static int model_remove(int at)
{
    int number = model[at];

    model_n--;
    memmove(&model[at], &model[at + 1],
            (size_t)(model_n - at) * sizeof model[0]);
    return number;
}

static int model_find(int number)
{
    for (int i = 0; i < model_n; i++)
        if (model[i] == number)
            return i;
    return -1;
}

static int number_of(struct list *n)
{
    return container_of(n, struct member, node)->number;
}

static void compare_list(struct list *head)
{
    int i = 0;

    assert_int_equal(list_empty(head), model_n == 0);
    list_each(n, head) {
        assert_true(i < model_n);
        assert_int_equal(number_of(n), model[i]);
        assert_ptr_equal(n->next->prev, n);
        i++;
    }
    assert_int_equal(i, model_n);
}

static void step_list(struct list *head)
{
    int number = (int)dice(NODES), at = model_find(number);
    struct list *node = &members[number].node, *popped;

    assert_int_equal(list_linked(node), at >= 0);
    switch (dice(4)) {
    case 0:
        if (at < 0) {
            list_push_back(head, node);
            model_insert(model_n, number);
        }
        break;
    case 1:
        if (at < 0) {
            list_push_front(head, node);
            model_insert(0, number);
        }
        break;
    case 2:
        if (at >= 0) {
            list_remove(node);
            assert_int_equal(model_remove(at), number);
        }
        break;
    default:
        popped = list_pop_front(head);
        assert_int_equal(popped == NULL, model_n == 0);
        if (popped)
            assert_int_equal(number_of(popped), model_remove(0));
    }
}

static void a_list_does_as_its_model(void **state)
{
    struct list head = {NULL, NULL};

    (void)state;
    model_n = 0;
    assert_true(list_empty(&head)); /* zeroed is empty */
    assert_null(list_pop_front(&head));
    list_lazy_init(&head);
    for (int i = 0; i < NODES; i++)
        members[i].number = i;
    for (int i = 0; i < STEPS; i++) {
        step_list(&head);
        if (i % 64 == 0)
            compare_list(&head);
    }
    list_each(n, &head) /* the walk allows removal */
        list_remove(n);
    assert_true(list_empty(&head));
}

static void a_node_goes_after_the_one_named(void **state)
{
    struct list head, node[3] = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};

    (void)state;
    list_init(&head);
    list_push_back(&head, &node[0]);
    list_push_back(&head, &node[2]);
    list_insert(&node[0], &node[1]);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(list_pop_front(&head), &node[i]);
    assert_true(list_empty(&head));
    assert_false(list_linked(&node[1]));
}

/* ---- heap --------------------------------------------------------------- */

struct item {
    struct heap_node node;
    bool inside;
    long born; /* insertion count: ties leave in this order */
};

static struct item items[NODES];

static bool before(const struct item *a, const struct item *b)
{
    return a->node.key < b->node.key ||
           (a->node.key == b->node.key && a->born < b->born);
}

static struct item *least(void)
{
    struct item *first = NULL;

    for (int i = 0; i < NODES; i++)
        if (items[i].inside && (!first || before(&items[i], first)))
            first = &items[i];
    return first;
}

/* Every child is after its parent, every back link is right. */
static int count_nodes(const struct heap_node *n)
{
    int count = 1;

    for (const struct heap_node *c = n->child, *prev = n; c;
         prev = c, c = c->next) {
        assert_ptr_equal(c->prev, prev);
        assert_true(heap_before(n, c));
        count += count_nodes(c);
    }
    return count;
}

static void compare_heap(const struct heap *h, int n)
{
    struct item *first = least();

    assert_ptr_equal(h->root, first ? &first->node : NULL);
    assert_int_equal(h->root ? count_nodes(h->root) : 0, n);
}

static void a_heap_does_as_its_model(void **state)
{
    struct heap h = {NULL, 0};
    long born = 0;
    int n = 0;

    (void)state;
    memset(items, 0, sizeof items);
    for (int i = 0; i < STEPS; i++) {
        struct item *x = &items[dice(NODES)];

        if (x->inside) { /* anywhere in it */
            heap_remove(&h, &x->node);
            x->inside = false;
            n--;
        } else {
            heap_insert(&h, &x->node, (int64_t)dice(50) - 25);
            x->inside = true;
            x->born = born++;
            n++;
        }
        if (dice(8) == 0 && h.root) {
            x = container_of(h.root, struct item, node);
            heap_remove(&h, h.root);
            x->inside = false;
            n--;
        }
        if (i % 32 == 0)
            compare_heap(&h, n);
    }
}

static void a_heap_sorts_and_keeps_the_order_of_ties(void **state)
{
    struct heap h = {NULL, 0};
    struct item *last = NULL;

    (void)state;
    for (int i = 0; i < NODES; i++) {
        items[i].born = i;
        heap_insert(&h, &items[i].node, (int64_t)dice(20));
    }
    for (int i = 0; i < NODES; i++) {
        struct item *x = container_of(h.root, struct item, node);

        assert_true(!last || before(last, x));
        last = x;
        heap_remove(&h, h.root);
    }
    assert_null(h.root);
}

/* A million siblings: the pairing must need no stack. */
static void a_heap_of_a_million_siblings_needs_no_stack(void **state)
{
    size_t n = 1000000;
    struct heap_node *nodes = calloc(n, sizeof *nodes);
    struct heap h = {NULL, 0};
    int64_t last = INT64_MIN;

    (void)state;
    assert_non_null(nodes);
    heap_insert(&h, &nodes[0], -1);
    for (size_t i = 1; i < n; i++)
        heap_insert(&h, &nodes[i], (int64_t)dice(1u << 30));
    for (size_t i = 0; i < n; i++) {
        if (!h.root || h.root->key < last)
            fail_msg("out of order after %zu", i);
        last = h.root->key;
        heap_remove(&h, h.root);
    }
    assert_null(h.root);
    free(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_does_as_its_model),
        cmocka_unit_test(a_node_goes_after_the_one_named),
        cmocka_unit_test(a_heap_does_as_its_model),
        cmocka_unit_test(a_heap_sorts_and_keeps_the_order_of_ties),
        cmocka_unit_test(a_heap_of_a_million_siblings_needs_no_stack),
    };

    return cmocka_run_group_tests(tests, set_seed, NULL);
}
