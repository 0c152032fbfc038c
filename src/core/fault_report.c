/* SPDX-License-Identifier: MIT */
/* The report of a crash: signal, task, and a backtrace from the instruction
 * outwards to the first frame of the worker's stack. All of it runs in a
 * signal handler: write(2), and backtrace_symbols_fd, which is
 * async-signal-safe (it takes the loader's recursive lock); no memory, no
 * stdio, no lock of ours.
 *
 * Frames of code built without frame pointers are not in the chain that the
 * frame pointer begins. What looks like a return address between the stack
 * pointer and that chain is printed with a question mark: it is most often one,
 * and may be left over from an earlier call. */
#include "core/fault.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

#include "base/sys.h"
#include "core/context.h"
#include "core/runtime.h"

#define HEAD 24u        /* frames printed from the inside */
#define TAIL 8u         /* and from the outside, if there are more */
#define GUESSES_MAX 12u
#define SCAN_WORDS 8192u
#define BOOT_BYTES 64u  /* more than w_context_boot has */
#define PATIENCE_MS 2000 /* with another thread's report */

/* Reads whole frames of others, redzones included. */
#if defined(W_ASAN)
#define READS_STACKS __attribute__((no_sanitize("address"), noinline))
#else
#define READS_STACKS W_RACY
#endif

static _Atomic uint32_t told; /* 1: somebody prints, 2: it is printed */

/* ---- text --------------------------------------------------------------- */

struct text {
    size_t n;
    char s[640];
};

static void add(struct text *t, const char *s)
{
    while (*s && t->n < sizeof t->s - 1)
        t->s[t->n++] = *s++;
}

static void add_number(struct text *t, uint64_t v, unsigned base)
{
    char digits[24];
    size_t i = sizeof digits - 1;

    digits[i] = 0;
    do
        digits[--i] = "0123456789abcdef"[v % base];
    while ((v /= base));
    add(t, base == 16 ? "0x" : "");
    add(t, &digits[i]);
}

static void put(struct text *t, const char *end)
{
    add(t, end);
    for (size_t done = 0; done < t->n;) {
        ssize_t k = sys_write(2, t->s + done, t->n - done);

        if (k < 0 && k != -EINTR)
            return;
        done += k > 0 ? (size_t)k : 0;
    }
    t->n = 0;
}

/* ---- the stack ----------------------------------------------------------- */

struct place {
    uintptr_t pc, sp, fp;
    uintptr_t low, high; /* of the stack that sp is in; 0: not known */
    bool booted;         /* it begins with w_context_boot */
};

struct frames {
    size_t n;
    uintptr_t head[HEAD], tail[TAIL];
};

static struct place place_of(const void *context)
{
    const ucontext_t *u = context;
    struct place p = {0};

#if defined(__x86_64__)
    p.pc = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    p.sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
    p.fp = (uintptr_t)u->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    p.pc = (uintptr_t)u->uc_mcontext.pc;
    p.sp = (uintptr_t)u->uc_mcontext.sp;
    p.fp = (uintptr_t)u->uc_mcontext.regs[29];
#endif
    return p;
}

static void bound(struct place *p, const char *limit, const char *top,
                  size_t guard)
{
    if (p->sp < (uintptr_t)limit - guard || p->sp >= (uintptr_t)top)
        return; /* the program put it elsewhere */
    p->low = (uintptr_t)limit;
    p->high = (uintptr_t)top;
    if (p->sp < p->low)
        p->sp = p->low;
    p->sp = w_align_up(p->sp, sizeof p->sp);
}

static bool is_frame(const struct place *p, uintptr_t fp)
{
    return fp >= p->low && fp % sizeof fp == 0 && fp < p->high &&
           p->high - fp >= 2 * sizeof fp;
}

/* Does the chain from fp reach the stack's first frame? In *f, if that is
 * wanted, its return addresses. */
static READS_STACKS bool follow(const struct place *p, uintptr_t fp,
                                struct frames *f)
{
    uintptr_t boot = (uintptr_t)w_context_boot, pc = 0;

    while (is_frame(p, fp)) {
        const uintptr_t *frame = (const uintptr_t *)fp;

        pc = frame[1];
        if (!pc)
            break;
        if (f) {
            if (f->n < HEAD)
                f->head[f->n] = pc;
            f->tail[f->n++ % TAIL] = pc;
        }
        if (frame[0] <= fp)
            break;
        fp = frame[0];
    }
    return pc >= boot && pc < boot + BOOT_BYTES;
}

/* The innermost frame that a chain outwards begins with: the frame pointer's,
 * or, where code uses that register for something else, one that was saved on
 * the stack. Calls that have returned leave such words too: the longest chain
 * counts, and of equal ones the one that was found last. */
static READS_STACKS uintptr_t first_frame(const struct place *p)
{
    const uintptr_t *word = (const uintptr_t *)p->sp;
    uintptr_t best = p->fp;
    size_t longest = 0;

    if (!p->booted || follow(p, p->fp, NULL))
        return p->fp;
    for (unsigned i = 0; i < SCAN_WORDS; i++, word++) {
        struct frames f = {.n = 0};

        if ((uintptr_t)word >= p->high)
            break;
        if (*word > (uintptr_t)word && follow(p, *word, &f) &&
            f.n >= longest) {
            longest = f.n;
            best = *word;
        }
    }
    return best;
}

/* Is there a call in front of pc? */
static READS_STACKS bool follows_call(uintptr_t pc)
{
    const unsigned char *b = (const unsigned char *)pc;

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 */
    struct dl_find_object o;

    if (_dl_find_object((void *)pc, &o) != 0 ||
        pc - (uintptr_t)o.dlfo_map_start < 8)
        return false;
#else
    return false;
#endif
#if defined(__x86_64__)
    if (b[-5] == 0xe8)
        return true;
    for (int n = 2; n <= 7; n++)
        if (n != 5 && b[-n] == 0xff && (b[1 - n] & 0x38) == 0x10)
            return true;
    return false;
#elif defined(__aarch64__)
    return pc % 4 == 0 && (b[-1] >> 2 == 0x25 || /* bl, blr */
                           (b[-1] == 0xd6 && (b[-2] & 0xe0) == 0x20));
#endif
}

/* ---- the backtrace ------------------------------------------------------- */

static void put_frame(size_t n, uintptr_t pc)
{
    struct text t = {0};
    void *address = (void *)pc;

    add(&t, "weft:   #");
    add_number(&t, n, 10);
    put(&t, n < 10 ? "   " : "  ");
    backtrace_symbols_fd(&address, 1, 2);
}

static READS_STACKS void put_guesses(const struct place *p, uintptr_t end)
{
    const uintptr_t *word = (const uintptr_t *)p->sp;
    unsigned found = 0;

    for (unsigned i = 0; i < SCAN_WORDS && found < GUESSES_MAX; i++, word++) {
        struct text t = {0};
        void *address;

        if ((uintptr_t)word >= end)
            return;
        if (!follows_call(*word))
            continue;
        found++;
        address = (void *)*word;
        put(&t, "weft:   ?    ");
        backtrace_symbols_fd(&address, 1, 2);
    }
}

static void put_backtrace(const struct place *p)
{
    struct frames f = {.n = 0};
    size_t skipped, i;

    put_frame(0, p->pc);
    if (p->high) {
        uintptr_t fp = first_frame(p);

        put_guesses(p, is_frame(p, fp) ? fp : p->high);
        (void)follow(p, fp, &f);
    }
    for (i = 0; i < f.n && i < HEAD; i++)
        put_frame(i + 1, f.head[i]);
    skipped = f.n > HEAD + TAIL ? f.n - HEAD - TAIL : 0;
    if (skipped) {
        struct text t = {0};

        add(&t, "weft:   ...  ");
        add_number(&t, skipped, 10);
        put(&t, " frames\n");
    }
    for (i += skipped; i < f.n; i++)
        put_frame(i + 1, f.tail[i % TAIL]);
}

/* ---- who ----------------------------------------------------------------- */

static const char *name_of(int sig)
{
    switch (sig) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    case SIGABRT:
        return "SIGABRT";
    default:
        return "signal";
    }
}

static void add_signal(struct text *t, int sig, const siginfo_t *info)
{
    add(t, name_of(sig));
    if (info->si_code == SI_KERNEL) {
        add(t, " at an address that no pointer has");
    } else if (info->si_code > 0) {
        add(t, " at address ");
        add_number(t, (uintptr_t)info->si_addr, 16);
    } else if (info->si_pid != getpid()) {
        add(t, " sent by process ");
        add_number(t, (uint64_t)info->si_pid, 10);
    }
}

static void add_task(struct text *t, const struct weft_task *task)
{
    add(t, weft_task_name(task));
    add(t, " (spawned at ");
    add(t, weft_task_site(task));
    add(t, ")");
}

static bool in_guard(const siginfo_t *info, const char *limit, size_t guard)
{
    const char *at = info->si_addr;

    return info->si_code > 0 && at < limit && at >= limit - guard;
}

static void tell_worker(struct text *t, struct place *p, struct worker *w,
                        int sig, const siginfo_t *info)
{
    const struct weft_task *task = w->current;
    const struct stack *s = w->stack;

    if (s) {
        p->booted = true;
        bound(p, s->limit, s->top, STACK_GUARD);
    }
    if (task && s && in_guard(info, s->limit, STACK_GUARD)) {
        add(t, "stack overflow in task ");
        add_task(t, task);
        add(t, ": its stack has ");
        add_number(t, (uint64_t)(s->top - s->limit), 10);
        add(t, " bytes");
        return;
    }
    add_signal(t, sig, info);
    add(t, " in ");
    if (task) {
        add(t, "task ");
        add_task(t, task);
        add(t, ", ");
    }
    add(t, "worker ");
    add_number(t, w->index, 10);
    if (!task)
        add(t, ", which runs no task");
}

static void tell_pool(struct text *t, struct place *p, const struct thread *me,
                      int sig, const siginfo_t *info)
{
    if (me->limit)
        bound(p, me->limit, me->limit + me->bytes, THREAD_GUARD);
    if (me->limit && in_guard(info, me->limit, THREAD_GUARD)) {
        add(t, "stack overflow on a thread of ");
        add(t, me->name);
        add(t, ": its stack has ");
        add_number(t, me->bytes, 10);
        add(t, " bytes (options.executor_stack)");
        return;
    }
    if (me->forks_end &&
        in_guard(info, me->forks_end + THREAD_GUARD, THREAD_GUARD)) {
        add(t, "too many forked children that are not joined on a thread of ");
        add(t, me->name);
        add(t, " (options.executor_stack makes more room)");
        return;
    }
    add_signal(t, sig, info);
    add(t, " on a thread of ");
    add(t, me->name);
}

/* False: somebody else has printed, or is at it for too long. */
static bool is_first(void)
{
    uint32_t none = 0;

    if (cas_acq_rel(&told, &none, 1))
        return true;
    /* The default action would cut its report short. */
    for (int i = 0; i < PATIENCE_MS && load_acquire(&told) == 1; i++)
        sys_sleep(WEFT_MS);
    return false;
}

void w_fault_report(int sig, const siginfo_t *info, const void *context)
{
    struct thread *me = w_thread();
    struct worker *w = w_worker();
    struct place p;
    struct text t = {0};

    if (!me || !is_first())
        return;
    p = place_of(context);
    add(&t, "weft: ");
    if (w)
        tell_worker(&t, &p, w, sig, info);
    else
        tell_pool(&t, &p, me, sig, info);
    if (sim_here()) {
        add(&t, ", in a simulation with seed ");
        add_number(&t, w_sim()->seed, 10);
    }
    put(&t, "\n");
    put_backtrace(&p);
    store_release(&told, 2);
}

void w_fault_report_open(void)
{
    store_release(&told, 0);
}
