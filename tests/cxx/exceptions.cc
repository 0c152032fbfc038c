// SPDX-License-Identifier: MIT
// Exceptions stay with their task: each task waits inside a handler, on
// several workers, and must find its own exception afterwards.
#include <cstdio>
#include <stdexcept>
#include <string>

#include <weft.h>

static long handles(void *arg)
{
    long me = (long)arg, wrong = 0;

    for (int i = 0; i < 200; i++) {
        std::string mine = std::to_string(me) + "/" + std::to_string(i);

        try {
            throw std::runtime_error(mine);
        } catch (const std::runtime_error &) {
            if (i % 10 == 0)
                (void)weft_sleep(100 * WEFT_US);
            else
                (void)weft_yield();
            try {
                throw; // the one being handled
            } catch (const std::runtime_error &e) {
                wrong += e.what() != mine;
            }
        }
        wrong += std::uncaught_exceptions() != 0;
    }
    return wrong;
}

static long all(void *)
{
    weft_task *t[64];
    weft_group g;
    long wrong = 0;

    weft_with_group(&g) {
        for (long i = 0; i < 64; i++)
            if (weft_spawn_task(&g, handles, (void *)i, &t[i]))
                return -1;
        for (auto *task : t)
            wrong += weft_await(task);
    }
    return wrong;
}

int main()
{
    weft_options o = {};
    long wrong;

    o.workers = 4;
    wrong = weft_run_with(&o, all, nullptr);
    std::printf("%ld exceptions went astray\n", wrong);
    return wrong != 0;
}
