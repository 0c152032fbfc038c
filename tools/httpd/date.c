/* SPDX-License-Identifier: MIT */
/* HTTP dates, without the C library's locale and its lock.
 *
 * The present is kept formatted in four words behind a sequence count: even
 * while they are whole. Who finds them a second old and gets the count writes
 * them anew; who meets a writer formats for itself. The words are atomics, so
 * a torn read is discarded, not undefined. */
#include "date.h"

#include <string.h>
#include <time.h>

static struct {
    _Atomic uint64_t seq;
    _Atomic int64_t second;
    _Atomic uint64_t word[4];
} now;

static char *two(char *p, int v)
{
    *p++ = (char)('0' + v / 10);
    *p++ = (char)('0' + v % 10);
    return p;
}

static char *three(char *p, const char *s)
{
    memcpy(p, s, 3);
    return p + 3;
}

void hd_date_format(char *out, int64_t seconds)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)seconds;
    struct tm tm;
    char *p = out;
    int year;

    /* A file's time may lie outside the four-digit years. */
    if (seconds < 0)
        t = 0;
    else if (seconds > INT64_C(253402300799))
        t = (time_t)INT64_C(253402300799);
    gmtime_r(&t, &tm);
    year = tm.tm_year + 1900;
    p = three(p, days + (size_t)tm.tm_wday * 3);
    *p++ = ',';
    *p++ = ' ';
    p = two(p, tm.tm_mday);
    *p++ = ' ';
    p = three(p, months + (size_t)tm.tm_mon * 3);
    *p++ = ' ';
    p = two(two(p, year / 100), year % 100);
    *p++ = ' ';
    p = two(p, tm.tm_hour);
    *p++ = ':';
    p = two(p, tm.tm_min);
    *p++ = ':';
    p = two(p, tm.tm_sec);
    memcpy(p, " GMT", 4);
}

bool hd_date_parse(struct text date, int64_t *seconds)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    };
    char s[48];

    if (date.n >= sizeof s)
        return false;
    memcpy(s, date.p, date.n);
    s[date.n] = '\0';
    for (size_t i = 0; i < array_len(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(s, forms[i], &tm);

        if (!end || *end)
            continue;
        *seconds = timegm(&tm);
        return true;
    }
    return false;
}

int64_t hd_time(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return ts.tv_sec;
}

static void publish(uint64_t seq, int64_t second, const char *text)
{
    uint64_t word[4] = {0};

    /* acquire: the writes below stay behind the count that announces them */
    if ((seq & 1) || !cas_acquire(&now.seq, &seq, seq + 1))
        return;
    memcpy(word, text, HD_DATE);
    for (int i = 0; i < 4; i++)
        store_release(&now.word[i], word[i]);
    store_release(&now.second, second);
    store_release(&now.seq, seq + 2);
}

void hd_date_now(char *out)
{
    int64_t second = hd_time();
    uint64_t seq = load_acquire(&now.seq);
    uint64_t word[4];

    if (!(seq & 1) && load_acquire(&now.second) == second) {
        /* A word of a later writer brings that writer's odd count with it. */
        for (int i = 0; i < 4; i++)
            word[i] = load_acquire(&now.word[i]);
        if (load_relaxed(&now.seq) == seq) {
            memcpy(out, word, HD_DATE);
            return;
        }
    }
    hd_date_format(out, second);
    publish(seq, second, out);
}
