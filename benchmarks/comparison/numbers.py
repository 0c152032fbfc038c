# SPDX-License-Identifier: MIT
"""Medians, spreads, ratios, majorities: no I/O, no state."""
import collections
import math


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def stats(values):
    """median, min, max, and the spread: (max - min) / median."""
    if not values:
        return None
    middle = median(values)
    low, high = min(values), max(values)
    spread = None
    if len(values) > 1 and middle > 0:
        spread = (high - low) / middle
    return {"count": len(values), "median": middle, "min": low, "max": high,
            "spread": spread}


def ratio(peer, subject, higher_is_better=False):
    """How many times faster the subject is: above 1 it wins."""
    if peer is None or subject is None or peer <= 0 or subject <= 0:
        return None
    return subject / peer if higher_is_better else peer / subject


def overlap(one, other):
    """Did their ranges touch, so that the order may be noise?"""
    return one["min"] <= other["max"] and other["min"] <= one["max"]


def majority(answers):
    """The answer that most gave (a dict by name), None on a tie."""
    counted = collections.Counter(answers.values()).most_common(2)
    if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]


def geometric_mean(values):
    if not values:
        return None
    return math.exp(sum(math.log(v) for v in values) / len(values))


def rounds_for(costs, share, wanted, least=3):
    """How many rounds each peer gets, by the seconds that one costs it. All
    get one; the first `least` may overdraw the row's share of the time by as
    much again, those beyond must keep within it. The cheap come first: a slow
    peer loses rounds before it costs a fast one any."""
    rounds = {name: 1 for name in costs}
    spent = sum(costs.values())
    for number in range(2, wanted + 1):
        limit = 2 * share if number <= least else share
        for name, cost in sorted(costs.items(), key=lambda item: item[1]):
            if rounds[name] != number - 1 or spent + cost > limit:
                continue
            rounds[name] = number
            spent += cost
    return rounds


def show(value):
    """Three significant digits, and no exponent."""
    if value is None:
        return "\u2013"
    if value >= 1000:
        return "%d" % round(value)
    if value >= 100:
        return "%.0f" % value
    if value >= 10:
        return "%.1f" % value
    return "%.2f" % value


def percent(spread):
    if spread is None:
        return "?"
    return "%.0f %%" % (100 * spread)
