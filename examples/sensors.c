/* SPDX-License-Identifier: MIT */
/* sensors.c - sensors with rates of their own, and rules that watch them.
 *
 *     async def sensor(name, period, bus):
 *         while True:
 *             await bus.put((name, read(name)))
 *             await asyncio.sleep(period)
 *
 *     async with asyncio.timeout(1.2): ... rules ...
 *
 * One task, the monitor, owns the rules and all that is known of the sensors:
 * it needs no lock. It learns by channel, which carries values, not pointers.
 */
#include <stdio.h>
#include <weft.h>

#define SENSORS 3
#define RULES 3

enum { BOILER, PUMP, TANK };

struct sample {
    int sensor, number;
    double value;
};

/* The pretended devices: the boiler gets hot at its 15th sample and cools at
 * its 25th, the pump dies after 20. */
static double measure(int sensor, int n)
{
    if (sensor == BOILER)
        return n >= 15 && n < 25 ? 95.0 : 60.0;
    return sensor == PUMP ? 3.2 : 0.5;
}

static const struct {
    const char *name;
    int64_t period;
    int samples; /* 0: for ever */
} devices[SENSORS] = {
    [BOILER] = {"boiler", 20 * WEFT_MS, 0},
    [PUMP] = {"pump", 10 * WEFT_MS, 20},
    [TANK] = {"tank", 50 * WEFT_MS, 0},
};

struct sensor {
    int number;
    weft_chan *bus;
};

static long sensor(void *arg)
{
    struct sensor *self = arg;
    struct sample s = {.sensor = self->number};
    int last = devices[s.sensor].samples;
    weft_ticker k;
    long rc = weft_ticker_start(&k, devices[s.sensor].period);

    while (rc >= 0 && (!last || s.number < last)) {
        if ((rc = weft_ticker_wait(&k)) < 0)
            break;
        s.value = measure(s.sensor, s.number);
        rc = weft_chan_send(self->bus, &s);
        s.number++;
    }
    return rc < 0 ? rc : 0;
}

struct known {
    long samples;
    int hot_in_a_row;
    int64_t heard; /* when, last */
};

static int too_hot(const struct known *k)
{
    return k[BOILER].hot_in_a_row >= 3;
}

static int pump_silent(const struct known *k)
{
    return weft_now() - k[PUMP].heard > 500 * WEFT_MS;
}

static int tank_silent(const struct known *k)
{
    return weft_now() - k[TANK].heard > 10 * WEFT_SEC;
}

static const struct {
    const char *name;
    int (*holds)(const struct known *k);
} rules[RULES] = {
    {"boiler too hot", too_hot},
    {"pump silent", pump_silent},
    {"tank silent", tank_silent},
};

static void judge(const struct known *known, int *raised)
{
    for (int i = 0; i < RULES; i++) {
        int holds = rules[i].holds(known);

        if (holds != raised[i])
            printf("%s: %s\n", holds ? "ALARM" : "over", rules[i].name);
        raised[i] = holds;
    }
}

static long monitor(weft_chan *bus, struct known *known)
{
    int raised[RULES] = {0};
    struct sample s;
    int rc;

    while ((rc = weft_chan_recv(bus, &s)) == 0) {
        struct known *k = &known[s.sensor];
        int hot = s.sensor == BOILER && s.value > 90;

        k->samples++;
        k->heard = weft_now();
        k->hot_in_a_row = hot ? k->hot_in_a_row + 1 : 0;
        judge(known, raised);
    }
    return rc;
}

static long sensors(void *arg)
{
    struct sample buffer[8];
    struct known known[SENSORS] = {{0}};
    struct sensor devs[SENSORS];
    weft_chan bus;
    weft_group g;
    long rc = weft_chan_init(&bus, buffer, sizeof buffer[0], 8);

    (void)arg;
    if (rc < 0)
        return rc;
    for (int i = 0; i < SENSORS; i++) {
        devs[i] = (struct sensor){i, &bus};
        known[i].heard = weft_now();
    }
    weft_with_group(&g) {
        for (int i = 0; i < SENSORS; i++)
            if ((rc = weft_spawn(&g, sensor, &devs[i])) < 0)
                return rc;
        weft_with_timeout(1200 * WEFT_MS)
            rc = monitor(&bus, known);
        weft_group_cancel(&g);
    }
    for (int i = 0; i < SENSORS; i++)
        printf("%s: %ld samples\n", devices[i].name, known[i].samples);
    return rc == -ETIMEDOUT ? 0 : rc; /* the end that was meant */
}

int main(void)
{
    long rc = weft_run(sensors, NULL);

    if (rc < 0)
        fprintf(stderr, "sensors: %s\n", weft_strerror(rc));
    return rc < 0;
}
