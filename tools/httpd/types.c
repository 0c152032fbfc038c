/* SPDX-License-Identifier: MIT */
/* Content types by extension: a sorted table, looked up when a file enters the
 * cache. Text is served as UTF-8; a name without an extension is text if it is
 * one of those that source trees and packages carry. */
#include "types.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UTF8 "; charset=utf-8"

/* Sorted by extension. */
static const struct type types[] = {
    {"7z", "application/x-7z-compressed", false},
    {"aac", "audio/aac", false},
    {"apng", "image/apng", false},
    {"atom", "application/atom+xml", true},
    {"avif", "image/avif", false},
    {"bmp", "image/bmp", true},
    {"bz2", "application/x-bzip2", false},
    {"c", "text/plain" UTF8, true},
    {"cc", "text/plain" UTF8, true},
    {"conf", "text/plain" UTF8, true},
    {"cpp", "text/plain" UTF8, true},
    {"css", "text/css" UTF8, true},
    {"csv", "text/csv" UTF8, true},
    {"deb", "application/vnd.debian.binary-package", false},
    {"epub", "application/epub+zip", false},
    {"flac", "audio/flac", false},
    {"gif", "image/gif", false},
    {"gz", "application/gzip", false},
    {"h", "text/plain" UTF8, true},
    {"htm", "text/html" UTF8, true},
    {"html", "text/html" UTF8, true},
    {"ico", "image/vnd.microsoft.icon", true},
    {"ics", "text/calendar" UTF8, true},
    {"jar", "application/java-archive", false},
    {"jpeg", "image/jpeg", false},
    {"jpg", "image/jpeg", false},
    {"js", "text/javascript" UTF8, true},
    {"json", "application/json", true},
    {"jsonl", "application/jsonl", true},
    {"log", "text/plain" UTF8, true},
    {"m4a", "audio/mp4", false},
    {"md", "text/markdown" UTF8, true},
    {"mjs", "text/javascript" UTF8, true},
    {"mp3", "audio/mpeg", false},
    {"mp4", "video/mp4", false},
    {"mpeg", "video/mpeg", false},
    {"ogg", "audio/ogg", false},
    {"opus", "audio/ogg", false},
    {"otf", "font/otf", true},
    {"pdf", "application/pdf", false},
    {"pl", "text/plain" UTF8, true},
    {"png", "image/png", false},
    {"ps", "application/postscript", true},
    {"py", "text/plain" UTF8, true},
    {"rs", "text/plain" UTF8, true},
    {"rss", "application/rss+xml", true},
    {"rst", "text/plain" UTF8, true},
    {"rtf", "application/rtf", true},
    {"sh", "text/plain" UTF8, true},
    {"svg", "image/svg+xml", true},
    {"tar", "application/x-tar", false},
    {"tex", "text/plain" UTF8, true},
    {"tgz", "application/gzip", false},
    {"tif", "image/tiff", false},
    {"tiff", "image/tiff", false},
    {"toml", "application/toml", true},
    {"ts", "text/plain" UTF8, true},
    {"ttf", "font/ttf", true},
    {"txt", "text/plain" UTF8, true},
    {"wasm", "application/wasm", true},
    {"wav", "audio/wav", false},
    {"webm", "video/webm", false},
    {"webp", "image/webp", false},
    {"woff", "font/woff", false},
    {"woff2", "font/woff2", false},
    {"xhtml", "application/xhtml+xml", true},
    {"xml", "application/xml", true},
    {"xz", "application/x-xz", false},
    {"yaml", "application/yaml", true},
    {"yml", "application/yaml", true},
    {"zip", "application/zip", false},
    {"zst", "application/zstd", false},
};

static const char *const plain_names[] = {
    "AUTHORS", "BUGS",    "CHANGES",   "ChangeLog", "COPYING", "CREDITS",
    "HACKING", "INSTALL", "LICENSE",   "Makefile",  "NEWS",    "README",
    "THANKS",  "TODO",    "changelog", "copyright",
};

static int compare(const void *key, const void *member)
{
    return strcasecmp(key, ((const struct type *)member)->ext);
}

const struct type *hd_type(const char *path)
{
    static const struct type binary = {"", "application/octet-stream", false};
    static const struct type plain = {"", "text/plain" UTF8, true};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    const struct type *t;

    if (dot && dot != name) {
        t = bsearch(dot + 1, types, sizeof types / sizeof *types, sizeof *types,
                    compare);
        return t ? t : &binary;
    }
    for (size_t i = 0; i < sizeof plain_names / sizeof *plain_names; i++)
        if (!strcmp(name, plain_names[i]))
            return &plain;
    return &binary;
}
