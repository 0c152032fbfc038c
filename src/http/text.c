/* SPDX-License-Identifier: MIT */
/* Everything here is small and judged by its grammar alone: what does not match
 * is refused, never guessed. */
#include "http/text.h"

#include <errno.h>
#include <strings.h>

/* RFC 9110's tchar: what methods and field names are made of. */
const bool w_http_is_token[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    ['!'] = true,         ['#'] = true,         ['$'] = true,
    ['%'] = true,         ['&'] = true,         ['\''] = true,
    ['*'] = true,         ['+'] = true,         ['-'] = true,
    ['.'] = true,         ['^'] = true,         ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

/* reg-name, IP-literal and port; a '%' begins an escape. */
const bool w_http_is_authority[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    ['-'] = true,         ['.'] = true,         ['_'] = true,
    ['~'] = true,         ['!'] = true,         ['$'] = true,
    ['&'] = true,         ['\''] = true,        ['('] = true,
    [')'] = true,         ['*'] = true,         ['+'] = true,
    [','] = true,         [';'] = true,         ['='] = true,
    [':'] = true,         ['['] = true,         [']'] = true,
    ['%'] = true,
};

bool w_http_next_element(struct slice *list, struct slice *element)
{
    const char *p = list->p, *end, *last;

    if (!p)
        return false;
    end = p + list->n;
    last = list->n ? memchr(p, ',', list->n) : NULL;
    *list = last ? text_between(last + 1, end) : (struct slice){NULL, 0};
    if (!last)
        last = end;
    while (p < last && text_blank(*p))
        p++;
    while (last > p && text_blank(last[-1]))
        last--;
    *element = text_between(p, last);
    return true;
}

bool w_http_weight_allows(struct slice params)
{
    const char *p = params.p, *end = p + params.n;

    while (p < end && (text_blank(*p) || *p == ';'))
        p++;
    if (p == end)
        return true;
    if (end - p < 3 || (p[0] | 0x20) != 'q' || p[1] != '=')
        return false;
    for (p += 2; p < end; p++)
        if (*p >= '1' && *p <= '9')
            return true;
        else if (*p != '0' && *p != '.')
            return false;
    return false;
}

/* --- paths ---------------------------------------------------------------- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at p, which may be an escape of three. -1: a bad one. */
static int decode(const char **p, const char *end)
{
    const char *s = *p;
    int high, low;

    if (*s != '%') {
        *p = s + 1;
        return (unsigned char)*s;
    }
    if (end - s < 3 || (high = hex(s[1])) < 0 || (low = hex(s[2])) < 0)
        return -1;
    *p = s + 3;
    low |= high << 4;
    /* A slash that was escaped is no separator, and no file name has one. */
    return low && low != '/' ? low : -1;
}

/* Ends the segment that begins at `start`: where the next one goes, -1 if it
 * is "..". */
static long close_segment(const char *out, size_t start, size_t n)
{
    size_t len = n - start;

    if (len == 2 && out[start] == '.' && out[start + 1] == '.')
        return -1;
    return len == 1 && out[start] == '.' ? (long)start : (long)n;
}

long w_http_path_decode(struct slice path, char *out, size_t size)
{
    const char *p = path.p, *end = p + path.n;
    size_t n = 0, start = 0;
    long rc;

    if (!path.n || *p != '/')
        return -EINVAL;
    while (p < end) {
        bool slash = *p == '/';
        int byte = decode(&p, end);

        if (byte <= 0)
            return -EINVAL;
        if (slash) {
            if ((rc = close_segment(out, start, n)) < 0)
                return -EINVAL;
            n = (size_t)rc;
            if (n == start) /* an empty or "." segment leaves nothing */
                continue;
        }
        if (n + 1 >= size)
            return -ENAMETOOLONG;
        out[n++] = (char)byte;
        if (slash)
            start = n;
    }
    if ((rc = close_segment(out, start, n)) < 0)
        return -EINVAL;
    if ((size_t)rc >= size)
        return -ENAMETOOLONG;
    out[rc] = '\0';
    return rc;
}

/* --- dates ---------------------------------------------------------------- */

static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct date {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day, hour, minute, second;
};

/* Days from 1970-01-01 and back, in eras of 400 years whose years begin in
 * March (Hinnant's days_from_civil). */
static int64_t days_from(const struct date *d)
{
    int64_t y = d->year - (d->month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((d->month + 9) % 12) + 2) / 5 + d->day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void from_days(struct date *d, int64_t n)
{
    int64_t z = n + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    d->day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    d->month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    d->year = yoe + era * 400 + (d->month <= 2);
}

static void two(char *out, unsigned n)
{
    out[0] = (char)('0' + n / 10 % 10);
    out[1] = (char)('0' + n % 10);
}

void w_http_date_format(char out[HTTP_DATE_LEN + 1], int64_t seconds)
{
    const int64_t least = -62167219200, most = 253402300799;
    int64_t t = seconds < least ? least : seconds > most ? most : seconds;
    int64_t n = (t - least) / 86400;
    unsigned rest = (unsigned)((t - least) % 86400);
    struct date d;

    from_days(&d, n + least / 86400);
    memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", HTTP_DATE_LEN + 1);
    memcpy(out, days[(n + 6) % 7], 3); /* the year 0 began on a Saturday */
    two(out + 5, d.day);
    memcpy(out + 8, months[d.month - 1], 3);
    two(out + 12, (unsigned)(d.year / 100));
    two(out + 14, (unsigned)(d.year % 100));
    two(out + 17, rest / 3600);
    two(out + 20, rest / 60 % 60);
    two(out + 23, rest % 60);
}

/* Matches text against a form of letters: each digit of a number is the letter
 * of its part, b a month's name, all else stands for itself. */
static bool match(struct slice text, const char *form, struct date *d)
{
    unsigned year = 0;

    if (text.n != strlen(form))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        unsigned digit = (unsigned char)c - (unsigned)'0', *part = NULL;

        switch (form[i]) {
        case 'y':
            part = &year;
            break;
        case 'D': /* padded with a blank */
            if (c == ' ')
                continue;
            /* fallthrough */
        case 'd':
            part = &d->day;
            break;
        case 'h':
            part = &d->hour;
            break;
        case 'm':
            part = &d->minute;
            break;
        case 's':
            part = &d->second;
            break;
        case 'b':
            for (d->month = 1; d->month <= 12; d->month++)
                if (!memcmp(text.p + i, months[d->month - 1], 3))
                    break;
            i += 2;
            continue;
        }
        if (!part && c != form[i])
            return false;
        if (part && digit > 9)
            return false;
        if (part)
            *part = *part * 10 + digit;
    }
    d->year = year;
    return true;
}

/* RFC 9110: a year of two digits that seems more than 50 years ahead is past.
 */
static int64_t century(int64_t year, int64_t now)
{
    const int64_t most = 253402300799;
    struct date d;

    from_days(&d, (now < 0 ? 0 : now > most ? most : now) / 86400);
    year += d.year / 100 * 100;
    if (year > d.year + 50)
        year -= 100;
    else if (year <= d.year - 50)
        year += 100;
    return year;
}

static bool sane(const struct date *d)
{
    static const uint8_t longest[12] = {31, 29, 31, 30, 31, 30,
                                        31, 31, 30, 31, 30, 31};
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);

    if (d->month > 12 || !d->day || d->day > longest[d->month - 1] ||
        (d->month == 2 && d->day == 29 && !leap))
        return false;
    return d->hour < 24 && d->minute < 60 && d->second <= 60;
}

int w_http_date_parse(struct slice text, int64_t now, int64_t *seconds)
{
    struct date d = {0};
    struct slice rest;
    bool found = false;
    size_t n = 0;

    for (unsigned i = 0; i < array_len(days) && !found; i++) {
        n = strlen(days[i]);
        if (text.n > n && !memcmp(text.p, days[i], n) && text.p[n] == ',') {
            rest = text_between(text.p + n, text.p + text.n);
            found = match(rest, ", dd-b00-yy hh:mm:ss GMT", &d);
            if (!found)
                return -EINVAL;
            d.year = century(d.year, now);
        } else if (text.n > 3 && !memcmp(text.p, days[i], 3)) {
            rest = text_between(text.p + 3, text.p + text.n);
            found = match(rest, ", dd b00 yyyy hh:mm:ss GMT", &d);
            if (!found) {
                d = (struct date){0};
                found = match(rest, " b00 Dd hh:mm:ss yyyy", &d);
            }
        }
    }
    if (!found || !sane(&d))
        return -EINVAL;
    *seconds = days_from(&d) * 86400 + d.hour * 3600 + d.minute * 60 + d.second;
    return 0;
}

/* --- ranges, entity tags, types ------------------------------------------- */

/* 1*DIGIT at *p; what is too large counts as UINT64_MAX. False: no digit. */
static bool number(const char **p, const char *end, uint64_t *out)
{
    const char *s = *p;
    uint64_t n = 0;

    for (; s < end && *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (unsigned)(*s - '0'), &n))
            n = UINT64_MAX / 10 + 1; /* overflows again with the next digit */
    if (s == *p)
        return false;
    *p = s;
    *out = n;
    return true;
}

/* 1: *r is it; 0: it lies beyond the end; -EINVAL. */
static int one_range(struct slice e, uint64_t size, struct http_range *r)
{
    const char *p = e.p, *end = p + e.n;
    uint64_t a = 0, b = UINT64_MAX;
    bool first = number(&p, end, &a);

    if (p == end || *p++ != '-')
        return -EINVAL;
    if (p == end ? !first : !number(&p, end, &b) || p != end)
        return -EINVAL;
    if (!first) { /* the last b bytes */
        a = b < size ? size - b : 0;
        if (!b)
            return 0;
        b = UINT64_MAX;
    }
    if (b < a)
        return -EINVAL;
    if (a >= size)
        return 0;
    *r = (struct http_range){a, (b < size ? b + 1 : size) - a};
    return 1;
}

int w_http_ranges(struct slice field, uint64_t size, struct http_range *out,
                  unsigned max)
{
    unsigned asked = 0;
    struct slice list, e;
    int n = 0;

    if (field.n < 6 || strncasecmp(field.p, "bytes=", 6) != 0)
        return -EINVAL;
    list = text_between(field.p + 6, field.p + field.n);
    while (w_http_next_element(&list, &e)) {
        struct http_range r;
        int rc;

        if (!e.n)
            continue;
        if ((rc = one_range(e, size, &r)) < 0)
            return rc;
        if (asked++ == max)
            return -E2BIG;
        if (rc)
            out[n++] = r;
    }
    return n ? n : asked ? -ERANGE : -EINVAL;
}

/* An opaque tag at *p, behind its W/: with its quotes. */
static bool next_tag(const char **p, const char *end, struct slice *tag)
{
    const char *s = *p, *start;

    if (end - s >= 2 && s[0] == 'W' && s[1] == '/')
        s += 2;
    start = s;
    if (s == end || *s++ != '"')
        return false;
    while (s < end && *s != '"' && *s != 0x7f && (unsigned char)*s > 0x20)
        s++;
    if (s == end || *s++ != '"')
        return false;
    *tag = text_between(start, s);
    *p = s;
    return true;
}

bool w_http_etag_match(struct slice list, struct slice etag)
{
    const char *p = list.p, *end = p + list.n;
    const char *own = etag.p, *own_end = own + etag.n;
    struct slice mine, tag;

    if (list.n == 1 && *p == '*')
        return true;
    if (!next_tag(&own, own_end, &mine) || own != own_end)
        return false;
    while (p < end) {
        if (text_blank(*p) || *p == ',') {
            p++;
            continue;
        }
        if (!next_tag(&p, end, &tag))
            return false;
        if (tag.n == mine.n && !memcmp(tag.p, mine.p, tag.n))
            return true;
        while (p < end && text_blank(*p))
            p++;
        if (p < end && *p != ',')
            return false;
    }
    return false;
}

/* Sorted by extension. */
static const struct {
    char extension[8];
    const char *type;
} types[] = {
    {"7z", "application/x-7z-compressed"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/plain; charset=utf-8"},
    {"cc", "text/plain; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/plain; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"log", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"ogg", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ps", "application/postscript"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tiff", "image/tiff"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

const char *w_http_mime(struct slice path)
{
    size_t low = 0, high = array_len(types), n = 0;
    char extension[sizeof types[0].extension] = "";

    while (n < path.n && path.p[path.n - 1 - n] != '.' &&
           path.p[path.n - 1 - n] != '/')
        n++;
    /* No dot, or a hidden file's: that is no extension. */
    if (n + 1 >= path.n || path.p[path.n - 1 - n] != '.' ||
        path.p[path.n - 2 - n] == '/' || n >= sizeof extension)
        return "application/octet-stream";
    for (size_t i = 0; i < n; i++) {
        char c = path.p[path.n - n + i];

        extension[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(extension, types[mid].extension);

        if (!order)
            return types[mid].type;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return "application/octet-stream";
}
