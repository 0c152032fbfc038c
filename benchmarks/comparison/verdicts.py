# SPDX-License-Identifier: MIT
"""What the figures say. A cell of the record is a row at one number of threads:
finish() adds each peer's statistics and ratio, the best peer and the verdict on
the goal; the rest reads finished cells for the reports."""
from . import numbers, rows


def at(threads):
    """", 2 threads", and nothing for the network's rows."""
    if not threads:
        return ""
    return ", %d thread%s" % (threads, "" if threads == 1 else "s")


def is_variant(name, of):
    return name == of or name.startswith(of + "-")


def usable(result):
    return result["state"] == "ok" and bool(result["values"])


def rivals(cell, among=()):
    """Names of the peers with a figure, weft and the reference left out."""
    return [name for name, result in cell["results"].items()
            if usable(result) and name not in (rows.SUBJECT, rows.REFERENCE)
            and (not among or any(is_variant(name, of) for of in among))]


def best_of(cell, names):
    sign = -1 if cell["higher_is_better"] else 1
    return min(names, default=None, key=lambda name:
               sign * cell["results"][name]["stats"]["median"])


def finish(cell, goals=()):
    results = cell["results"]
    for result in results.values():
        result["stats"] = numbers.stats(result["values"]) \
            if usable(result) else None
    subject = (results.get(rows.SUBJECT) or {}).get("stats")
    for result in results.values():
        result["ratio"] = numbers.ratio(
            result["stats"]["median"], subject["median"],
            cell["higher_is_better"]) if subject and result["stats"] else None
    names = rivals(cell)
    if subject:
        names.append(rows.SUBJECT)
    cell["best"] = best_of(cell, names)
    cell["goals"] = [judge(cell, goal, subject) for goal in goals]
    return cell


def judge(cell, goal, subject):
    verdict = {"text": goal.text(), "met": None, "against": None,
               "ratio": None, "noise": False}
    against = best_of(cell, rivals(cell, goal.peers))
    if not subject or not against:
        return verdict
    peer = cell["results"][against]["stats"]
    ratio = subject["median"] / peer["median"] if peer["median"] else None
    if ratio is None:
        return verdict
    limit = {key: peer[key] * goal.ratio for key in ("min", "max")}
    verdict.update(
        against=against, ratio=ratio, noise=numbers.overlap(subject, limit),
        met=ratio < goal.ratio if goal.strict else ratio <= goal.ratio)
    return verdict


def verdict_text(goal, plain=False):
    """The goal's fate in words."""
    if goal["met"] is None:
        return "no one to compare with"
    word = "met" if goal["met"] else "missed"
    if not goal["met"] and not plain:
        word = "**missed**"
    return "%s (%s x %s)%s" % (word, numbers.show(goal["ratio"]),
                               goal["against"],
                               ", within the spread" if goal["noise"] else "")


def groups(record):
    """(title, cells) in the order of measuring."""
    found = {}
    for cell in record["cells"]:
        title = cell["group"][0].upper() + cell["group"][1:] \
            + at(cell["threads"])
        found.setdefault(title, []).append(cell)
    return list(found.items())


def columns(cells):
    """The peers of these cells: weft first, the reference last."""
    names = {name for cell in cells for name in cell["results"]}
    return sorted(names, key=lambda name: (name != rows.SUBJECT,
                                           name == rows.REFERENCE, name))


def against(cells):
    """{peer: wins, losses, ties by noise, mean} of weft over these cells."""
    found = {}
    for cell in cells:
        subject = (cell["results"].get(rows.SUBJECT) or {}).get("stats")
        for name in rivals(cell):
            result = cell["results"][name]
            if not subject or not result["ratio"]:
                continue
            told = found.setdefault(name, {"faster": 0, "slower": 0,
                                           "even": 0, "ratios": []})
            told["ratios"].append(result["ratio"])
            if numbers.overlap(subject, result["stats"]):
                told["even"] += 1
            else:
                told["faster" if result["ratio"] > 1 else "slower"] += 1
    for told in found.values():
        told["mean"] = numbers.geometric_mean(told["ratios"])
    return dict(sorted(found.items()))


def losses(cells):
    """(cell, name, ratio, noise) of the best rival where weft is behind it,
    the largest loss first."""
    found = []
    for cell in cells:
        name = best_of(cell, rivals(cell))
        ratio = cell["results"][name]["ratio"] if name else None
        if ratio and ratio < 1:
            found.append((cell, name, ratio, numbers.overlap(
                cell["results"][rows.SUBJECT]["stats"],
                cell["results"][name]["stats"])))
    return sorted(found, key=lambda loss: loss[2])


def goals(cells):
    """(met, missed, open): lists of (cell, goal)."""
    found = {True: [], False: [], None: []}
    for cell in cells:
        for goal in cell["goals"]:
            found[goal["met"]].append((cell, goal))
    return found[True], found[False], found[None]


def troubles(record):
    """(where, who, what) of all that failed or was wrong or left out."""
    found = []
    for cell in record["cells"]:
        if cell.get("derived"):
            continue
        where = cell["row"] + at(cell["threads"])
        for name, result in cell["results"].items():
            if result["state"] != "ok" or result["why"]:
                found.append((where, name, "%s: %s"
                              % (result["state"], result["why"])
                              if result["state"] != "ok" else result["why"]))
    return found


def bad(record):
    """Is the exit status 1? A peer that is slow or skipped is no fault."""
    return (any(peer["state"] == "failed"
                for peer in record["peers"].values())
            or any(result["state"] in ("wrong", "failed")
                   for cell in record["cells"]
                   for result in cell["results"].values())
            or any(note.startswith("failed") for note in record["notes"]))


def used_cores(record):
    """(where, peer, cores): programs that used more than their threads."""
    return [(cell["row"] + at(cell["threads"]), name, result["cores"])
            for cell in record["cells"] if cell["threads"]
            for name, result in cell["results"].items()
            if usable(result) and name != rows.REFERENCE
            and result.get("cores", 0) > cell["threads"] + 0.25]
