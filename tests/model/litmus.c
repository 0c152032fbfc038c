/* SPDX-License-Identifier: MIT */
/* The checker checked: litmus tests with all the outcomes that the memory model
 * allows (each must be seen) and none that it forbids. The third and fourth
 * digit are used where two do not tell all. */
#include <stdatomic.h>

#include "model.h"

static _Atomic int x, y;
static int r[4], data;

#define LD(p, o) atomic_load_explicit(p, memory_order_##o)
#define ST(p, v, o) atomic_store_explicit(p, v, memory_order_##o)
#define ADD(p, v, o) atomic_fetch_add_explicit(p, v, memory_order_##o)
#define FENCE(o) atomic_thread_fence(memory_order_##o)

static void zero(void)
{
    ST(&x, 0, relaxed);
    ST(&y, 0, relaxed);
    data = 0;
    for (int i = 0; i < 4; i++)
        r[i] = 0;
    m_name(&x, sizeof x, "x");
    m_name(&y, sizeof y, "y");
    m_name(&data, sizeof data, "data");
    m_name(r, sizeof r, "r");
}

static void told(void)
{
    m_outcome(r[0], r[1], r[2], r[3]);
}

#define T(name, ...)                                                           \
    static void name(void)                                                     \
    {                                                                          \
        __VA_ARGS__                                                            \
    }

/* Store buffering. */
T(sb_a, ST(&x, 1, release); r[0] = LD(&y, acquire);)
T(sb_b, ST(&y, 1, release); r[1] = LD(&x, acquire);)
T(sbsc_a, ST(&x, 1, seq_cst); r[0] = LD(&y, seq_cst);)
T(sbsc_b, ST(&y, 1, seq_cst); r[1] = LD(&x, seq_cst);)
T(sbf_a, ST(&x, 1, relaxed); FENCE(seq_cst); r[0] = LD(&y, relaxed);)
T(sbf_b, ST(&y, 1, relaxed); FENCE(seq_cst); r[1] = LD(&x, relaxed);)
T(sbfw_b, ST(&y, 1, relaxed); FENCE(acq_rel); r[1] = LD(&x, relaxed);)
T(sbm_a, ST(&x, 1, relaxed); atomic_signal_fence(memory_order_seq_cst);
  r[0] = LD(&y, relaxed);)
T(sbm_b, ST(&y, 1, relaxed); (void)m_membarrier(1 << 3);
  r[1] = LD(&x, relaxed);)
T(sbx_a, ADD(&x, 1, seq_cst); r[0] = LD(&y, seq_cst);)

/* Message passing. */
T(mp_w, ST(&x, 1, relaxed); ST(&y, 1, release);)
T(mp_r, r[0] = LD(&y, acquire); r[1] = LD(&x, relaxed);)
T(mpx_w, ST(&x, 1, relaxed); ST(&y, 1, relaxed);)
T(mpx_r, r[0] = LD(&y, relaxed); r[1] = LD(&x, relaxed);)
T(mpf_w, ST(&x, 1, relaxed); FENCE(release); ST(&y, 1, relaxed);)
T(mpf_r, r[0] = LD(&y, relaxed); FENCE(acquire); r[1] = LD(&x, relaxed);)
T(mpd_w, data = 1; ST(&y, 1, release);)
T(mpd_r, r[0] = LD(&y, acquire); if (r[0]) r[1] = data;)

/* Load buffering: this checker does not look for 11 of relaxed loads. */
T(lb_a, r[0] = LD(&x, acquire); ST(&y, 1, release);)
T(lb_b, r[1] = LD(&y, acquire); ST(&x, 1, release);)

/* Independent reads of independent writes. */
T(iriw_x, ST(&x, 1, seq_cst);)
T(iriw_y, ST(&y, 1, seq_cst);)
T(iriw_c, r[0] = LD(&x, seq_cst); r[1] = LD(&y, seq_cst);)
T(iriw_d, r[2] = LD(&y, seq_cst); r[3] = LD(&x, seq_cst);)
T(iriwf_x, ST(&x, 1, relaxed);)
T(iriwf_y, ST(&y, 1, relaxed);)
T(iriwf_c, r[0] = LD(&x, relaxed); FENCE(seq_cst); r[1] = LD(&y, relaxed);)
T(iriwf_d, r[2] = LD(&y, relaxed); FENCE(seq_cst); r[3] = LD(&x, relaxed);)
T(iriwa_x, ST(&x, 1, release);)
T(iriwa_y, ST(&y, 1, release);)
T(iriwa_c, r[0] = LD(&x, acquire); r[1] = LD(&y, acquire);)
T(iriwa_d, r[2] = LD(&y, acquire); r[3] = LD(&x, acquire);)

/* Coherence: two reads never see stores in the wrong order. */
T(co_w, ST(&x, 1, relaxed); ST(&x, 2, relaxed);)
T(co_r, r[0] = LD(&x, relaxed); r[1] = LD(&x, relaxed);)

/* A release sequence: the add of another thread passes the store's data on; a
 * plain store instead of it does not. */
T(rs_w, data = 1; ST(&y, 1, release);)
T(rs_m, (void)ADD(&y, 2, relaxed);)
T(rs_r, r[0] = LD(&y, acquire); if (r[0] & 1) r[1] = data;)
T(rsx_w, ST(&x, 1, relaxed); ST(&y, 1, release);)
T(rsx_m, while (LD(&y, relaxed) != 1) m_pause(); ST(&y, 3, relaxed);)
T(rsx_r, r[0] = LD(&y, acquire); r[1] = LD(&x, relaxed);)

/* Write-to-read causality over three threads. */
T(wrc_a, ST(&x, 1, relaxed);)
T(wrc_b, r[0] = LD(&x, relaxed); ST(&y, 1, release);)
T(wrc_c, r[1] = LD(&y, acquire); r[2] = LD(&x, relaxed);)

/* Counters lose nothing; a compare-and-swap wins once. */
T(add, (void)ADD(&x, 1, relaxed);)
T(sum, r[0] = LD(&x, relaxed);)
T(cas_a, int e = 0; r[0] = atomic_compare_exchange_strong_explicit(
             &x, &e, 1, memory_order_relaxed, memory_order_relaxed);)
T(cas_b, int e = 0; r[1] = atomic_compare_exchange_strong_explicit(
             &x, &e, 1, memory_order_relaxed, memory_order_relaxed);)

/* Faults that must be found. */
T(race_w, data = 1; ST(&y, 1, relaxed);)
T(skip_m, while (LD(&y, relaxed) != 1) m_pause(); ST(&y, 3, release);)
T(sleeper, m_futex_wait(&x, 0, -1);)
T(late_waker, if (LD(&x, relaxed) == 0) ST(&x, 1, relaxed);)
T(spinner, while (!LD(&x, relaxed)) m_pause();)
T(frame, ST(&y, 1, release); ST(&x, 1, relaxed); m_gone(&data, sizeof data);)
T(late_reader, if (LD(&x, relaxed)) r[0] = data;)

static void sum_told(void)
{
    sum();
    told();
}

#define L(id, ...) {.name = #id, .setup = zero, .check = told,             \
                      .preemptions = 4, .stale = 4, __VA_ARGS__}

const struct m_scenario m_scenarios[] = {
    L(sb_acquire_release, .thread = {sb_a, sb_b},
      .outcomes = "0000 0100 1000 1100"),
    L(sb_seq_cst, .thread = {sbsc_a, sbsc_b}, .outcomes = "0100 1000 1100"),
    L(sb_fences, .thread = {sbf_a, sbf_b}, .outcomes = "0100 1000 1100"),
    L(sb_weak_fence, .thread = {sbf_a, sbfw_b},
      .outcomes = "0000 0100 1000 1100"),
    L(sb_membarrier, .thread = {sbm_a, sbm_b}, .outcomes = "0100 1000 1100"),
    L(sb_light_alone, .thread = {sbm_a, sbf_b},
      .outcomes = "0000 0100 1000 1100"),
    L(sb_add_store, .thread = {sbx_a, sbsc_b}, .outcomes = "0100 1000 1100"),
    L(sb_sc_and_relaxed, .thread = {sbsc_a, sb_b},
      .outcomes = "0000 0100 1000 1100"),
    L(mp_release_acquire, .thread = {mp_w, mp_r}, .outcomes = "0000 0100 1100"),
    L(mp_relaxed, .thread = {mpx_w, mpx_r},
      .outcomes = "0000 0100 1000 1100"),
    L(mp_relaxed_write, .thread = {mpx_w, mp_r},
      .outcomes = "0000 0100 1000 1100"),
    L(mp_relaxed_read, .thread = {mp_w, mpx_r},
      .outcomes = "0000 0100 1000 1100"),
    L(mp_fences, .thread = {mpf_w, mpf_r}, .outcomes = "0000 0100 1100"),
    L(mp_fence_and_acquire, .thread = {mpf_w, mp_r},
      .outcomes = "0000 0100 1100"),
    L(mp_release_and_fence, .thread = {mp_w, mpf_r},
      .outcomes = "0000 0100 1100"),
    L(mp_one_fence, .thread = {mpf_w, mpx_r},
      .outcomes = "0000 0100 1000 1100"),
    L(mp_data, .thread = {mpd_w, mpd_r}, .outcomes = "0000 1100"),
    L(lb, .thread = {lb_a, lb_b}, .outcomes = "0000 0100 1000"),
    L(iriw_seq_cst, .thread = {iriw_x, iriw_y, iriw_c, iriw_d},
      .outcomes = "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 "
                  "1011 1100 1101 1110 1111"),
    L(iriw_fences, .thread = {iriwf_x, iriwf_y, iriwf_c, iriwf_d},
      .outcomes = "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 "
                  "1011 1100 1101 1110 1111"),
    L(iriw_acquire, .thread = {iriwa_x, iriwa_y, iriwa_c, iriwa_d},
      .outcomes = "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 "
                  "1011 1100 1101 1110 1111"),
    L(coherence, .thread = {co_w, co_r},
      .outcomes = "0000 0100 0200 1100 1200 2200"),
    L(release_sequence, .thread = {rs_w, rs_m, rs_r},
      .outcomes = "0000 1100 2000 3100"),
    L(broken_sequence, .thread = {rsx_w, rsx_m, rsx_r},
      .outcomes = "0000 0100 1100 3000 3100"),
    L(causality, .thread = {wrc_a, wrc_b, wrc_c},
      .outcomes = "0000 0010 0100 0110 1000 1010 1110"),
    {.name = "counter", .setup = zero, .thread = {add, add, add},
     .check = sum_told, .outcomes = "3000"},
    L(one_cas_wins, .thread = {cas_a, cas_b}, .outcomes = "0100 1000"),
    L(finds_race, .thread = {race_w, mpd_r}, .fails = "race on data"),
    L(finds_broken_sequence, .thread = {rs_w, skip_m, rs_r},
      .fails = "race on data"),
    L(finds_sleep, .thread = {sleeper, late_waker},
      .fails = "nobody can go on"),
    L(finds_endless_loop, .thread = {spinner, rs_m},
      .fails = "spins for ever"),
    L(finds_late_touch, .thread = {frame, late_reader}, .fails = "gone"),
    {.name = NULL},
};
