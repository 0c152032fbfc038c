/* SPDX-License-Identifier: MIT */
/* The machine as hwloc sees it, boiled down to one array.
 *
 * At open each allowed PU becomes a place, and the places are put in the order
 * in which workers take them: first one PU of every core, in hwloc's logical
 * order (depth first through the tree, so neighbours share what can be
 * shared), then the cores' second PUs, and so on. The n-th worker takes the
 * n-th place, and all questions but binding are answered from the array.
 *
 * hwloc looks at little here: cores, L3, packages and nodes, no I/O, and not
 * through cpuid, for which it would bind this thread to every CPU in turn.
 */
#include "base/topo.h"

#include <hwloc.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"

/* Same core, L3, node and package, package, neither. */
#define DISTANCES 5

/* All set before the topo is shared. */
struct topo {
    hwloc_topology_t hw;
    hwloc_cpuset_t mask; /* the allowed PUs */
    double quota;
    unsigned cores;
    unsigned pus;
    bool whole; /* mask is every PU that is online */
    bool here;  /* hw describes the machine we run on */
    struct topo_place places[];
};

static int hwloc_error(void)
{
    return errno > 0 ? -errno : -EIO;
}

static int configure(hwloc_topology_t hw, const char *synthetic)
{
    static const hwloc_obj_type_t wanted[] = {
        HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_CORE};
    /* Disallowed PUs are kept to tell a whole mask from a partial one. */
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED;

#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES |
             HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
    if (hwloc_topology_set_flags(hw, flags))
        return hwloc_error();
    if (hwloc_topology_set_all_types_filter(hw, HWLOC_TYPE_FILTER_KEEP_NONE))
        return hwloc_error();
    for (size_t i = 0; i < array_len(wanted); i++)
        if (hwloc_topology_set_type_filter(hw, wanted[i],
                                           HWLOC_TYPE_FILTER_KEEP_ALL))
            return hwloc_error();
    /* A node that is neither a package nor a cache hangs on a group. */
    if (hwloc_topology_set_type_filter(hw, HWLOC_OBJ_GROUP,
                                       HWLOC_TYPE_FILTER_KEEP_STRUCTURE))
        return hwloc_error();
    if (synthetic)
        return hwloc_topology_set_synthetic(hw, synthetic) ? -EINVAL : 0;
    /* Builds without that component refuse its name: nothing to turn off. */
    (void)hwloc_topology_set_components(
        hw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    return 0;
}

static int load(hwloc_topology_t *out, const char *synthetic)
{
    hwloc_topology_t hw;
    int rc;

    errno = 0;
    if (hwloc_topology_init(&hw))
        return hwloc_error();
    rc = configure(hw, synthetic);
    if (!rc && hwloc_topology_load(hw))
        rc = hwloc_error();
    if (rc)
        hwloc_topology_destroy(hw);
    else
        *out = hw;
    return rc;
}

/* The PUs allowed by the cgroup, by the thread's affinity and by the caller. */
static int allowed_pus(hwloc_topology_t hw, const char *cpus,
                       hwloc_cpuset_t *out)
{
    hwloc_cpuset_t set =
        hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(hw));
    hwloc_cpuset_t more = hwloc_bitmap_alloc();
    int rc = -ENOMEM;

    if (!set || !more)
        goto fail;
    rc = -EINVAL;
    hwloc_bitmap_and(set, set, hwloc_topology_get_topology_cpuset(hw));
    if (hwloc_topology_is_thissystem(hw) &&
        !hwloc_get_cpubind(hw, more, HWLOC_CPUBIND_THREAD))
        hwloc_bitmap_and(set, set, more);
    if (cpus) {
        if (hwloc_bitmap_list_sscanf(more, cpus))
            goto fail;
        hwloc_bitmap_and(set, set, more);
    }
    if (hwloc_bitmap_iszero(set))
        goto fail;
    hwloc_bitmap_free(more);
    *out = set;
    return 0;
fail:
    hwloc_bitmap_free(more);
    hwloc_bitmap_free(set);
    return rc;
}

static unsigned ancestor(hwloc_topology_t hw, hwloc_obj_type_t type,
                         hwloc_obj_t pu)
{
    hwloc_obj_t o = hwloc_get_ancestor_obj_by_type(hw, type, pu);

    return o ? o->logical_index : W_TOPO_NONE;
}

static void describe(hwloc_topology_t hw, hwloc_obj_t pu, struct topo_place *p)
{
    int node = hwloc_bitmap_first(pu->nodeset);
    hwloc_obj_t o =
        node < 0 ? NULL
                 : hwloc_get_numanode_obj_by_os_index(hw, (unsigned)node);

    p->pu = pu->os_index;
    p->core = ancestor(hw, HWLOC_OBJ_CORE, pu);
    if (p->core == W_TOPO_NONE) {
        /* Some VMs hide cores: then each PU is one, numbered past the rest. */
        int known = hwloc_get_nbobjs_by_type(hw, HWLOC_OBJ_CORE);

        p->core = pu->logical_index + (known > 0 ? (unsigned)known : 0);
    }
    p->l3 = ancestor(hw, HWLOC_OBJ_L3CACHE, pu);
    p->package = ancestor(hw, HWLOC_OBJ_PACKAGE, pu);
    p->node = o ? o->logical_index : W_TOPO_NONE;
}

/* Adds the level-th allowed PU of each core that has so many. */
static void fill_level(struct topo *t, unsigned level)
{
    unsigned core = W_TOPO_NONE;
    unsigned seen = 0;
    hwloc_obj_t pu = NULL;

    while ((pu = hwloc_get_next_obj_by_type(t->hw, HWLOC_OBJ_PU, pu))) {
        struct topo_place p;

        if (!hwloc_bitmap_isset(t->mask, pu->os_index))
            continue;
        describe(t->hw, pu, &p);
        seen = p.core == core ? seen + 1 : 0;
        core = p.core;
        if (seen == level)
            t->places[t->pus++] = p;
    }
}

int w_topo_open(struct topo **out, const char *synthetic, const char *cpus)
{
    hwloc_topology_t hw = NULL;
    hwloc_cpuset_t mask = NULL;
    struct topo *t;
    unsigned pus;
    int rc = load(&hw, synthetic);

    if (rc)
        return rc;
    rc = allowed_pus(hw, cpus, &mask);
    if (rc)
        goto fail_mask;
    pus = (unsigned)hwloc_bitmap_weight(mask);
    t = sys_calloc(1, sizeof(*t) + pus * sizeof(t->places[0]));
    if (!t) {
        rc = -ENOMEM;
        goto fail_alloc;
    }
    t->hw = hw;
    t->mask = mask;
    t->here = hwloc_topology_is_thissystem(hw);
    t->quota = t->here ? w_topo_quota("") : 0;
    t->whole =
        hwloc_bitmap_isincluded(hwloc_topology_get_topology_cpuset(hw), mask);
    for (unsigned level = 0; t->pus < pus; level++) {
        fill_level(t, level);
        if (!level)
            t->cores = t->pus;
    }
    *out = t;
    return 0;
fail_alloc:
    hwloc_bitmap_free(mask);
fail_mask:
    hwloc_topology_destroy(hw);
    return rc;
}

void w_topo_close(struct topo *t)
{
    if (!t)
        return;
    hwloc_bitmap_free(t->mask);
    hwloc_topology_destroy(t->hw);
    sys_free(t);
}

unsigned w_topo_cores(const struct topo *t)
{
    return t->cores;
}

unsigned w_topo_default_workers(const struct topo *t)
{
    return w_topo_cap(t->cores, t->quota);
}

void w_topo_place(const struct topo *t, unsigned n, struct topo_place *places)
{
    for (unsigned i = 0; i < n; i++)
        places[i] = t->places[i % t->pus];
}

static unsigned distance(const struct topo_place *a, const struct topo_place *b)
{
    if (a->core == b->core)
        return 0;
    if (a->l3 == b->l3 && a->l3 != W_TOPO_NONE)
        return 1;
    if (a->package != b->package)
        return 4;
    return a->node == b->node ? 2 : 3;
}

void w_topo_victims(const struct topo *t, const struct topo_place *places,
                    unsigned n, unsigned self, unsigned *order)
{
    unsigned count[DISTANCES] = {0};
    unsigned start[DISTANCES] = {0};
    unsigned seen[DISTANCES] = {0};

    (void)t;
    assert(self < n);
    for (unsigned i = 0; i < n; i++)
        if (i != self)
            count[distance(&places[self], &places[i])]++;
    for (unsigned d = 1; d < DISTANCES; d++)
        start[d] = start[d - 1] + count[d - 1];
    for (unsigned i = 0; i < n; i++) {
        unsigned d;
        unsigned turn;

        if (i == self)
            continue;
        d = distance(&places[self], &places[i]);
        /* Member self % count of its distance comes first. */
        turn = seen[d]++ + count[d] - self % count[d];
        order[start[d] + turn % count[d]] = i;
    }
}

bool w_topo_can_bind(const struct topo *t, unsigned n)
{
    return t->here && t->whole && n <= t->pus &&
           (t->quota <= 0 || t->quota >= n);
}

static int bind_to(const struct topo *t, hwloc_const_cpuset_t set)
{
    /* hwloc would feign success. */
    if (!t->here)
        return -ENOTSUP;
    SYS_MAY_FAIL(EPERM);
    errno = 0;
    return hwloc_set_cpubind(t->hw, set, HWLOC_CPUBIND_THREAD) ? hwloc_error()
                                                               : 0;
}

int w_topo_bind(const struct topo *t, const struct topo_place *p)
{
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    int rc = -ENOMEM;

    if (set && !hwloc_bitmap_only(set, p->pu))
        rc = bind_to(t, set);
    hwloc_bitmap_free(set);
    return rc;
}

int w_topo_unbind(const struct topo *t)
{
    return bind_to(t, t->mask);
}

/* The cgroup quota. hwloc knows nothing of it.
 *
 * Mount points are taken where systemd and every container runtime put them;
 * /proc/self/mountinfo would find others, which nobody has. A container that
 * shares its host's cgroup namespace sees a path that its own mount lacks:
 * missing directories are skipped on the way up, and the root is its own.
 */
typedef double quota_fn(const char *dir);

static ssize_t slurp(const char *path, char *buf, size_t size)
{
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    size_t len = 0;
    ssize_t n;

    if (fd < 0)
        return fd;
    do {
        n = sys_read(fd, buf + len, size - 1 - len);
        if (n > 0)
            len += (size_t)n;
    } while (n > 0 || n == -EINTR);
    sys_close(fd);
    buf[len] = '\0';
    return n < 0 ? n : (ssize_t)len;
}

static ssize_t slurp_in(const char *dir, const char *file, char *buf,
                        size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, file);

    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    return slurp(path, buf, size);
}

static double ratio(long long quota, long long period)
{
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* "150000 100000", or "max 100000" for no limit. */
static double quota_v2(const char *dir)
{
    char text[64];
    char *end;
    long long quota;

    if (slurp_in(dir, "cpu.max", text, sizeof text) <= 0)
        return 0;
    quota = strtoll(text, &end, 10);
    return end == text ? 0 : ratio(quota, strtoll(end, NULL, 10));
}

/* A quota of -1 is no limit. */
static double quota_v1(const char *dir)
{
    char quota[32];
    char period[32];

    if (slurp_in(dir, "cpu.cfs_quota_us", quota, sizeof quota) <= 0 ||
        slurp_in(dir, "cpu.cfs_period_us", period, sizeof period) <= 0)
        return 0;
    return ratio(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static double lower(double a, double b)
{
    if (a <= 0 || b <= 0)
        return a > b ? a : b;
    return a < b ? a : b;
}

/* The lowest quota from group up to the mount's root. */
static double walk(const char *root, const char *mount, const char *group,
                   quota_fn *read_quota)
{
    char dir[PATH_MAX];
    int top = snprintf(dir, sizeof dir, "%s/sys/fs/cgroup%s", root, mount);
    double best = 0;
    size_t room;
    char *slash;

    if (top < 0 || (size_t)top >= sizeof dir)
        return 0;
    /* "/.." leads out of our cgroup namespace; a group too deep for a path
     * cannot be read. Either way the root is all we can ask.
     */
    room = sizeof dir - (size_t)top;
    if (!strstr(group, "/..") && strlen(group) < room)
        memcpy(dir + top, group, strlen(group) + 1);
    while ((slash = strrchr(dir + top, '/'))) {
        best = lower(best, read_quota(dir));
        *slash = '\0';
    }
    return lower(best, read_quota(dir));
}

static bool names_cpu(const char *controllers)
{
    const char *s = controllers;

    while (s) {
        if (!strncmp(s, "cpu", 3) && (!s[3] || s[3] == ','))
            return true;
        s = strchr(s, ',');
        s = s ? s + 1 : NULL;
    }
    return false;
}

/* line is hierarchy:controllers:group, with no controllers in v2. */
static double quota_of(const char *root, char *line)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    int n;

    if (!group)
        return 0;
    *controllers++ = '\0';
    *group++ = '\0';
    if (!*controllers)
        return lower(walk(root, "", group, quota_v2),
                     walk(root, "/unified", group, quota_v2));
    if (!names_cpu(controllers))
        return 0;
    n = snprintf(mount, sizeof mount, "/%s", controllers);
    if (n < 0 || (size_t)n >= sizeof mount)
        return 0;
    return lower(walk(root, mount, group, quota_v1),
                 walk(root, "/cpu", group, quota_v1));
}

double w_topo_quota(const char *root)
{
    /* Some dozen lines with a path each; what does not fit is not seen. */
    const size_t size = 64UL * 1024;
    char *text = sys_malloc(size);
    char *rest = text;
    double best = 0;
    char *line;

    if (!text)
        return 0;
    /* slurp_in puts the slash that "" still lacks. */
    if (slurp_in(root, "proc/self/cgroup", text, size) > 0)
        while ((line = strsep(&rest, "\n")))
            best = lower(best, quota_of(root, line));
    sys_free(text);
    return best;
}
