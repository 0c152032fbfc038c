/* SPDX-License-Identifier: MIT */
/* Stacks: their place, their limit, their guard, and what comes back. */
#include "core/stack.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/context.h"
#include "core/unit.h"

static void entry(void)
{
    abort();
}

static struct stack *take(struct stack_pool *p)
{
    unsigned n;

    return w_stack_take(p, 1, &n);
}

static void are_apart_and_writable(void **state)
{
    struct stack_pool p;
    struct stack *s[100];

    (void)state;
    w_stack_pool_open(&p, 100000, 0, entry);
    for (int i = 0; i < 100; i++) {
        s[i] = take(&p);
        assert_non_null(s[i]);
        assert_true((size_t)(s[i]->top - s[i]->limit) >= 100000 - 2048);
        assert_true((uintptr_t)s[i]->top % 16 == 0);
        memset(s[i]->limit, i, 64);
        assert_true((char *)s[i]->sp > s[i]->limit &&
                    (char *)s[i]->sp < s[i]->top);
        for (int k = 0; k < i; k++)
            assert_true(s[i]->limit >= s[k]->top || s[k]->limit >= s[i]->top);
    }
    assert_int_equal(load_relaxed(&p.handed), 100);
    for (int i = 0; i < 100; i++) {
        s[i]->next = NULL;
        w_stack_give(&p, s[i]);
    }
    assert_int_equal(load_relaxed(&p.handed), 0);
    w_stack_pool_close(&p);
}

static void limit_is_kept(void **state)
{
    struct stack_pool p;

    (void)state;
    w_stack_pool_open(&p, STACK_MIN, 20, entry);
    for (int i = 0; i < 20; i++)
        assert_non_null(take(&p));
    assert_null(take(&p));
    w_stack_pool_close(&p);
}

static void last_given_is_first_taken(void **state)
{
    struct stack_pool p;
    struct stack *a, *b;

    (void)state;
    w_stack_pool_open(&p, STACK_DEFAULT, 0, entry);
    a = take(&p);
    b = take(&p);
    a->next = NULL;
    w_stack_give(&p, a);
    b->next = NULL;
    w_stack_give(&p, b);
    assert_ptr_equal(take(&p), b);
    assert_ptr_equal(take(&p), a);
    w_stack_pool_close(&p);
}

/* More than the pool keeps warm: the rest gives its pages back, and is as good
 * as new when it is taken again. */
static void cold_ones_start_anew(void **state)
{
    struct stack_pool p;
    struct stack *chain = NULL;

    (void)state;
    w_stack_pool_open(&p, STACK_MIN, 0, entry);
    for (int i = 0; i < 1500; i++) {
        struct stack *s = take(&p);

        assert_non_null(s);
        s->top[-64] = 1;
        s->next = chain;
        chain = s;
    }
    w_stack_give(&p, chain);
    assert_true(stack_pool_is_rich(&p));
    w_stack_trim(&p); /* they were needed a moment ago */
    assert_true(stack_pool_is_rich(&p));
    w_stack_trim(&p);
    assert_false(stack_pool_is_rich(&p));
    assert_non_null(p.cold);
    for (int i = 0; i < 1500; i++) {
        struct stack *s = take(&p);

        assert_non_null(s);
        assert_true((char *)s->sp < s->top && (char *)s->sp > s->top - 256);
    }
    assert_null(p.cold);
    w_stack_pool_close(&p);
}

static void guard_kills(void **state)
{
    struct stack_pool p;
    struct stack *s[2];
    int status;

    (void)state;
    w_stack_pool_open(&p, STACK_MIN, 0, entry);
    s[0] = take(&p);
    s[1] = w_stack_single(&p, 1 << 20);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL);
            *(volatile char *)(s[i]->limit - 1) = 1;
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    w_stack_single_free(&p, s[1]);
    w_stack_pool_close(&p);
}

/* ---- the switch -------------------------------------------------------- */

static void *main_sp, *other_sp;
static uint64_t turns;
static double carried;

static void other(void)
{
    double x = 0.5;

    for (;;) {
        turns++;
        x += 1;
        carried = x;
        context_switch(&other_sp, main_sp);
    }
}

static void switch_keeps_what_is_live(void **state)
{
    static char memory[65536];
    uint64_t a = 1, b = 2, c = 3, d = 5, e = 7, f = 11;
    double x = 1.5;

    (void)state;
    other_sp = context_make(memory + sizeof memory, other);
    for (int i = 1; i <= 1000; i++) {
        context_switch(&main_sp, other_sp);
        a += b, b += c, c += d, d += e, e += f, f += a;
        x += carried;
        assert_int_equal(turns, i);
    }
    assert_true(x == 1.5 + 1000 * 1001 / 2 + 500);
    assert_true(a != 0 && f != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_apart_and_writable),
        cmocka_unit_test(limit_is_kept),
        cmocka_unit_test(last_given_is_first_taken),
        cmocka_unit_test(cold_ones_start_anew),
        cmocka_unit_test(guard_kills),
        cmocka_unit_test(switch_keeps_what_is_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
