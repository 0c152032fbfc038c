/* SPDX-License-Identifier: MIT */
/* Placement, victim order, binding and quotas.
 *
 * Machines are invented with hwloc's synthetic topologies, cgroup trees with
 * mkdtemp; only the binding tests look at the machine they run on. Every
 * description names its NUMA nodes: where none is named hwloc 2.9 inserts them
 * with an overlapping memcpy, which Valgrind reports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/topo.h"

#define BIG "package:2 [numa] l3:8 core:8 pu:2"
#define BIG_CORES 128u
#define BIG_PUS 256u

static struct topo *open_topo(const char *synthetic, const char *cpus)
{
    struct topo *t = NULL;

    assert_int_equal(w_topo_open(&t, synthetic, cpus), 0);
    assert_non_null(t);
    return t;
}

static void test_two_cores(void **state)
{
    struct topo *t = open_topo("package:1 [numa] l3:1 core:2 pu:1", NULL);
    struct topo_place p[5];
    unsigned order[1];

    (void)state;
    assert_int_equal(w_topo_cores(t), 2);
    assert_int_equal(w_topo_default_workers(t), 2);
    w_topo_place(t, 5, p);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(p[i].core, i % 2);
        assert_int_equal(p[i].pu, i % 2);
        assert_int_equal(p[i].l3, 0);
        assert_int_equal(p[i].package, 0);
        assert_int_equal(p[i].node, 0);
    }
    w_topo_victims(t, p, 2, 0, order);
    assert_int_equal(order[0], 1);
    w_topo_victims(t, p, 2, 1, order);
    assert_int_equal(order[0], 0);
    w_topo_close(t);
}

static void test_one_core(void **state)
{
    struct topo *t = open_topo("[numa] pu:1", NULL);
    struct topo_place p[3];
    unsigned order[2] = {9, 9};

    (void)state;
    assert_int_equal(w_topo_cores(t), 1);
    assert_int_equal(w_topo_default_workers(t), 1);
    w_topo_place(t, 3, p);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(p[i].pu, 0);
    w_topo_victims(t, p, 1, 0, order);
    assert_int_equal(order[0], 9);
    w_topo_victims(t, p, 3, 1, order);
    assert_int_equal(order[0] + order[1], 2);
    assert_int_not_equal(order[0], order[1]);
    w_topo_close(t);
}

static void test_big_cores_first(void **state)
{
    static struct topo_place p[BIG_PUS + 3];
    struct topo *t = open_topo(BIG, NULL);

    (void)state;
    assert_int_equal(w_topo_cores(t), BIG_CORES);
    assert_int_equal(w_topo_default_workers(t), BIG_CORES);
    w_topo_place(t, BIG_PUS + 3, p);
    for (unsigned i = 0; i < BIG_CORES; i++) {
        assert_int_equal(p[i].core, i);
        assert_int_equal(p[i].pu, 2 * i);
        assert_int_equal(p[i].l3, i / 8);
        assert_int_equal(p[i].package, i / 64);
        assert_int_equal(p[i].node, i / 64);
    }
    for (unsigned i = BIG_CORES; i < BIG_PUS; i++) {
        assert_int_equal(p[i].core, i - BIG_CORES);
        assert_int_equal(p[i].pu, 2 * (i - BIG_CORES) + 1);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_memory_equal(&p[BIG_PUS + i], &p[i], sizeof p[i]);
    w_topo_close(t);
}

/* The kernel often numbers all first siblings before all second ones. */
static void test_kernel_numbering(void **state)
{
    struct topo *t = open_topo(
        "package:2 [numa] core:2 pu:2(indexes=0,4,1,5,2,6,3,7)", NULL);
    struct topo_place p[8];

    (void)state;
    w_topo_place(t, 8, p);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(p[i].pu, i);
        assert_int_equal(p[i].core, i % 4);
        assert_int_equal(p[i].package, i % 4 / 2);
    }
    w_topo_close(t);
}

static void test_nodes(void **state)
{
    struct topo *t = open_topo("package:2 numa:2 core:2 pu:1", NULL);
    struct topo_place p[8];

    (void)state;
    w_topo_place(t, 8, p);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(p[i].node, i / 2);
        assert_int_equal(p[i].package, i / 4);
    }
    w_topo_close(t);
}

static void test_no_l3(void **state)
{
    struct topo *t = open_topo("package:2 [numa] core:2 pu:1", NULL);
    struct topo_place p[4];
    unsigned order[3];

    (void)state;
    w_topo_place(t, 4, p);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(p[i].l3, W_TOPO_NONE);
    /* The lack of a cache is not a cache they share. */
    w_topo_victims(t, p, 4, 1, order);
    assert_int_equal(order[0], 0);
    w_topo_close(t);
}

static void test_restricted(void **state)
{
    /* Core 0 keeps both PUs, cores 1 and 64 one each, core 2 its second. */
    struct topo *t = open_topo(BIG, "0-2,5,128");
    struct topo_place p[6];
    static const unsigned pu[] = {0, 2, 5, 128, 1, 0};
    static const unsigned core[] = {0, 1, 2, 64, 0, 0};

    (void)state;
    assert_int_equal(w_topo_cores(t), 4);
    assert_int_equal(w_topo_default_workers(t), 4);
    w_topo_place(t, 6, p);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(p[i].pu, pu[i]);
        assert_int_equal(p[i].core, core[i]);
    }
    assert_int_equal(p[3].package, 1);
    w_topo_close(t);

    t = open_topo(BIG, "200-1000");
    assert_int_equal(w_topo_cores(t), 28);
    w_topo_close(t);
}

static void test_bad_arguments(void **state)
{
    struct topo *t;

    (void)state;
    assert_int_equal(w_topo_open(&t, "no such machine", NULL), -EINVAL);
    assert_int_equal(w_topo_open(&t, BIG, "many"), -EINVAL);
    assert_int_equal(w_topo_open(&t, BIG, "256-300"), -EINVAL);
    assert_int_equal(w_topo_open(&t, NULL, "many"), -EINVAL);
    w_topo_close(NULL);
}

/* Written anew, not taken from the code under test. */
static unsigned rank_of(const struct topo_place *a, const struct topo_place *b)
{
    return a->core == b->core         ? 0
           : a->l3 == b->l3           ? 1
           : a->package == b->package ? 2
                                      : 3;
}

/* most: how many workers may begin a rank of their order with the same one. */
static void check_victims(const struct topo *t, unsigned n, unsigned most)
{
    static struct topo_place p[2 * BIG_PUS];
    static unsigned order[2 * BIG_PUS];
    static unsigned firsts[4][2 * BIG_PUS];

    assert_true(n <= 2 * BIG_PUS);
    memset(firsts, 0, sizeof firsts);
    w_topo_place(t, n, p);
    for (unsigned self = 0; self < n; self++) {
        static bool seen[2 * BIG_PUS];
        unsigned last = 0;
        bool begun = false;

        memset(seen, 0, sizeof seen);
        order[n - 1] = UINT_MAX;
        w_topo_victims(t, p, n, self, order);
        assert_int_equal(order[n - 1], UINT_MAX);
        for (unsigned i = 0; i + 1 < n; i++) {
            unsigned rank;

            assert_true(order[i] < n);
            assert_int_not_equal(order[i], self);
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
            rank = rank_of(&p[self], &p[order[i]]);
            assert_true(rank >= last);
            if (!begun || rank > last)
                firsts[rank][order[i]]++;
            begun = true;
            last = rank;
        }
    }
    for (unsigned r = 0; r < 4; r++)
        for (unsigned w = 0; w < n; w++)
            assert_true(firsts[r][w] <= most);
}

static void test_victims(void **state)
{
    static const unsigned even[] = {2, 8, 16, 64, 128, 256, 512};
    static const unsigned uneven[] = {1, 3, 13, 65, 100, 129, 300};
    struct topo *t = open_topo(BIG, NULL);

    (void)state;
    for (size_t i = 0; i < array_len(even); i++)
        check_victims(t, even[i], 2);
    /* A worker alone in its package is everybody's first there. */
    for (size_t i = 0; i < array_len(uneven); i++)
        check_victims(t, uneven[i], uneven[i]);
    w_topo_close(t);
}

static void test_victims_exact(void **state)
{
    struct topo *t = open_topo("package:2 [numa] l3:2 core:2 pu:2", NULL);
    /* Cores 0 .. 7, then 8 and 9: the siblings of 0 and 1. */
    static const unsigned want0[] = {8, 1, 9, 2, 3, 4, 5, 6, 7};
    static const unsigned want5[] = {4, 7, 6, 9, 0, 1, 2, 3, 8};
    struct topo_place p[10];
    unsigned order[9];

    (void)state;
    w_topo_place(t, 10, p);
    w_topo_victims(t, p, 10, 0, order);
    assert_memory_equal(order, want0, sizeof order);
    w_topo_victims(t, p, 10, 5, order);
    assert_memory_equal(order, want5, sizeof order);
    w_topo_close(t);
}

/* In a package of several nodes the own node comes before the others. */
static void test_victims_nodes(void **state)
{
    struct topo *t = open_topo("package:2 numa:2 l3:2 core:1 pu:1", NULL);
    struct topo_place p[8];
    unsigned order[7];

    (void)state;
    w_topo_place(t, 8, p);
    w_topo_victims(t, p, 8, 3, order);
    assert_int_equal(order[0], 2);
    assert_true(order[1] < 2 && order[2] < 2);
    for (unsigned i = 3; i < 7; i++)
        assert_true(order[i] >= 4);
    w_topo_close(t);
}

static void test_cap(void **state)
{
    (void)state;
    assert_int_equal(w_topo_cap(8, 0), 8);
    assert_int_equal(w_topo_cap(8, 0.01), 1);
    assert_int_equal(w_topo_cap(8, 1), 1);
    assert_int_equal(w_topo_cap(8, 1.5), 2);
    assert_int_equal(w_topo_cap(8, 7.999), 8);
    assert_int_equal(w_topo_cap(8, 8), 8);
    assert_int_equal(w_topo_cap(8, 1e18), 8);
    assert_int_equal(w_topo_cap(0, 0), 1);
}

/* -- cgroup trees -------------------------------------------------------- */

static char root[] = "/tmp/test_topo.XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int root_open(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int root_close(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below root and makes the directories it needs. */
static void put(const char *path, const char *text)
{
    char name[4096];
    int n = snprintf(name, sizeof name, "%s%s", root, path);
    FILE *f;

    assert_true(n > 0 && (size_t)n < sizeof name);
    for (char *s = name + strlen(root) + 1; (s = strchr(s, '/')); s++) {
        *s = '\0';
        assert_true(!mkdir(name, 0700) || errno == EEXIST);
        *s = '/';
    }
    f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Quotas of these tests have few enough digits to be exact in thousandths. */
#define assert_quota(thousandths)                                              \
    assert_int_equal((int)(w_topo_quota(root) * 1000 + 0.5), thousandths)

static void test_quota_nothing(void **state)
{
    (void)state;
    assert_quota(0);
    put("/proc/self/cgroup", "");
    assert_quota(0);
    put("/proc/self/cgroup", "nonsense\n:\n::\n0::\n");
    assert_quota(0);
}

static void test_quota_v2(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
    assert_quota(0);
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
    assert_quota(0);
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "150000 100000\n");
    assert_quota(1500);
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "");
    assert_quota(0);
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "100000\n");
    assert_quota(0);
    put("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "100000 0\n");
    assert_quota(0);
}

static void test_quota_v2_nested(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    assert_quota(4000);
    put("/sys/fs/cgroup/a/cpu.max", "25000 10000\n");
    assert_quota(2500);
    put("/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    assert_quota(2500);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_quota(2500);
    /* A sibling's quota is not ours. */
    put("/sys/fs/cgroup/a/x/cpu.max", "1000 100000\n");
    assert_quota(2500);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
    assert_quota(500);
}

/* A container: the mount's root is the container's own group. */
static void test_quota_v2_container(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    put("/proc/self/cgroup", "0::/\n");
    assert_quota(2000);
    put("/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    assert_quota(2000);
    put("/x/cpu.max", "100000 100000\n");
    put("/proc/self/cgroup", "0::/../../../x\n");
    assert_quota(2000);
}

static void test_quota_v1(void **state)
{
    static const char lines[] = "5:memory:/m\n"
                                "4:cpuset:/s\n"
                                "3:cpu,cpuacct:/a/b\n"
                                "1:name=systemd:/cpu\n";

    (void)state;
    put("/proc/self/cgroup", lines);
    put("/sys/fs/cgroup/cpuset/s/cpu.cfs_quota_us", "1000\n");
    put("/sys/fs/cgroup/cpuset/s/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    assert_quota(0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "350000\n");
    assert_quota(3500);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n");
    assert_quota(3500);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "20000\n");
    assert_quota(2500);
    /* Where only the short name is mounted. */
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_quota(1500);
}

static void test_quota_hybrid(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "1:memory:/m\n0::/h\n");
    put("/sys/fs/cgroup/unified/h/cpu.max", "75000 100000\n");
    assert_quota(750);
}

/* A path that no buffer holds still leaves the root's quota to be found. */
static void test_quota_long_path(void **state)
{
    static char line[3 * PATH_MAX];
    size_t n = (size_t)snprintf(line, sizeof line, "0::");

    (void)state;
    while (n + 3 < sizeof line) {
        line[n++] = '/';
        line[n++] = 'd';
    }
    line[n++] = '\n';
    line[n] = '\0';
    put("/proc/self/cgroup", line);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_quota(2000);
}

/* -- this machine -------------------------------------------------------- */

/* Runs on a thread of its own, so that the test's thread keeps its mask. */
struct probe {
    cpu_set_t before;
    cpu_set_t bound;
    cpu_set_t after;
    struct topo_place place;
    int open;
    int bind;
    int unbind;
    unsigned cores;
    unsigned workers;
    bool can_bind;
    bool can_bind_many;
};

static void look(struct probe *p)
{
    struct topo *t;

    sched_getaffinity(0, sizeof p->before, &p->before);
    p->open = w_topo_open(&t, NULL, NULL);
    if (p->open)
        return;
    p->cores = w_topo_cores(t);
    p->workers = w_topo_default_workers(t);
    p->can_bind = w_topo_can_bind(t, 1);
    p->can_bind_many = w_topo_can_bind(t, CPU_SETSIZE * 64);
    w_topo_place(t, 1, &p->place);
    p->bind = w_topo_bind(t, &p->place);
    sched_getaffinity(0, sizeof p->bound, &p->bound);
    p->unbind = w_topo_unbind(t);
    sched_getaffinity(0, sizeof p->after, &p->after);
    w_topo_close(t);
}

static void *look_free(void *arg)
{
    look(arg);
    return NULL;
}

static void *look_from_last(void *arg)
{
    cpu_set_t set;
    int cpu = CPU_SETSIZE;

    sched_getaffinity(0, sizeof set, &set);
    while (cpu-- > 0)
        if (CPU_ISSET(cpu, &set))
            break;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    look(arg);
    return NULL;
}

static void probe(void *(*fn)(void *), struct probe *p)
{
    pthread_t thread;

    memset(p, 0, sizeof *p);
    assert_int_equal(pthread_create(&thread, NULL, fn, p), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(p->open, 0);
    assert_int_equal(p->bind, 0);
    assert_int_equal(p->unbind, 0);
    assert_int_equal(CPU_COUNT(&p->bound), 1);
    assert_true(CPU_ISSET(p->place.pu, &p->bound));
    assert_true(CPU_EQUAL(&p->before, &p->after));
    assert_false(p->can_bind_many);
}

static void test_here(void **state)
{
    double quota = w_topo_quota("");
    struct probe p;

    (void)state;
    probe(look_free, &p);
    assert_in_range(p.cores, 1, (unsigned)CPU_COUNT(&p.before));
    assert_int_equal(p.workers, w_topo_cap(p.cores, quota));
    if (CPU_COUNT(&p.before) == sysconf(_SC_NPROCESSORS_ONLN))
        assert_int_equal(p.can_bind, quota <= 0 || quota >= 1);
    else
        assert_false(p.can_bind);
}

static void test_here_masked(void **state)
{
    struct probe p;

    (void)state;
    probe(look_from_last, &p);
    assert_int_equal(CPU_COUNT(&p.before), 1);
    assert_int_equal(p.cores, 1);
    assert_int_equal(p.workers, 1);
    assert_true(CPU_ISSET(p.place.pu, &p.before));
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        assert_false(p.can_bind);
}

/* An invented machine must not be mistaken for this one. */
static void test_synthetic_is_not_bound(void **state)
{
    struct topo *t = open_topo("[numa] package:1 core:1 pu:1", NULL);
    struct topo_place p;

    (void)state;
    w_topo_place(t, 1, &p);
    assert_false(w_topo_can_bind(t, 1));
    assert_int_equal(w_topo_bind(t, &p), -ENOTSUP);
    assert_int_equal(w_topo_unbind(t), -ENOTSUP);
    w_topo_close(t);
}

#define with_root(f) cmocka_unit_test_setup_teardown(f, root_open, root_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_cores),
        cmocka_unit_test(test_one_core),
        cmocka_unit_test(test_big_cores_first),
        cmocka_unit_test(test_kernel_numbering),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_no_l3),
        cmocka_unit_test(test_restricted),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_victims),
        cmocka_unit_test(test_victims_exact),
        cmocka_unit_test(test_victims_nodes),
        cmocka_unit_test(test_cap),
        with_root(test_quota_nothing),
        with_root(test_quota_v2),
        with_root(test_quota_v2_nested),
        with_root(test_quota_v2_container),
        with_root(test_quota_v1),
        with_root(test_quota_hybrid),
        with_root(test_quota_long_path),
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_here_masked),
        cmocka_unit_test(test_synthetic_is_not_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
