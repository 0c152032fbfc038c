# SPDX-License-Identifier: MIT
"""compare.md, and its place in RESULTS.md."""
from . import numbers, rows, verdicts

BEGIN = "<!-- compare begin -->"
END = "<!-- compare end -->"

LEGEND = """\
Each cell: the median, its spread (max - min) / median in brackets, and after
the x the peer's time by weft's: above 1 weft is faster, below 1 it is slower.
The best of a row is **bold**. {marks}"""


def marks(result):
    text = ""
    if result["size"] is not None and result["size"] != result["full"]:
        text += "\u2020"
    if len(result["values"]) == 1:
        text += "\u2021"
    return text


WORDS = {"slow": "too slow", "wrong": "WRONG", "failed": "FAILED",
         "skipped": "\u2013"}


def figure(name, cell):
    result = cell["results"].get(name)
    if result is None:
        return ""
    if not verdicts.usable(result):
        return WORDS.get(result["state"], "\u2013")
    text = numbers.show(result["stats"]["median"])
    if name == cell["best"]:
        text = "**%s**" % text
    text += marks(result)
    if result["stats"]["spread"] is not None:
        text += " [%s]" % numbers.percent(result["stats"]["spread"])
    if name != rows.SUBJECT and result["ratio"]:
        text += " x%s" % numbers.show(result["ratio"])
    return text


def line(cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(cells):
    names = verdicts.columns(cells)
    goals = any(cell["goals"] for cell in cells)
    head = ["row", "unit"] + names + (["goal of weft", ""] if goals else [])
    out = [line(head), line(["---", "---"] + ["---:"] * len(names)
                            + (["---", "---"] if goals else []))]
    for cell in cells:
        goals_of = cell["goals"]
        out.append(line([cell["title"], cell["unit"]]
                        + [figure(name, cell) for name in names]
                        + (["; ".join(goal["text"] for goal in goals_of),
                            "; ".join(map(verdicts.verdict_text, goals_of))]
                           if goals else [])))
    return "\n".join(out)


def summary(cells):
    told = verdicts.against(cells)
    if not told:
        return ""
    out = [line(["peer", "rows", "weft faster", "weft slower",
                 "within the spread", "geometric mean of the ratios"]),
           line(["---"] + ["---:"] * 5)]
    for name, one in told.items():
        out.append(line([name, str(len(one["ratios"])), str(one["faster"]),
                         str(one["slower"]), str(one["even"]),
                         "x" + numbers.show(one["mean"])]))
    return "\n".join(out)


def machine(record):
    m = record["machine"]
    load = "load average %s before, %s after" % (
        record["load_start"][0], (record["load_end"] or ["?"])[0])
    text = "%s%s, %s cores, %s GiB; %s, Linux %s; %s." % (
        m["processor"], " (virtual)" if m["virtual"] else "", m["cores"],
        m["memory_gib"], m["system"], m["kernel"], load)
    others = record.get("others")
    if others:
        text += " Meanwhile other programs used %g cores%s." % (
            others["cores"], ", other machines %g" % others["stolen"]
            if others["stolen"] else "")
        if others["cores"] + others["stolen"] > 0.1 * m["cores"]:
            text += " **The machine was not idle: these figures do not " \
                "count.**"
    return text + " Commit %s, %s%s." % (
        m["commit"] or "unknown", record["started"],
        ", --quick" if record["options"]["quick"] else "")


def versions(record):
    out = []
    for name, peer in record["peers"].items():
        if peer["state"] == "ready":
            out.append("- %s: %s" % (name, peer["version"] or "no version"))
    for name, peer in record["peers"].items():
        if peer["state"] != "ready":
            out.append("- %s: not measured: %s" % (name, peer["why"]))
    return "\n".join(out)


def footnotes(record):
    cells = record["cells"]
    results = [r for cell in cells for r in cell["results"].values()
               if verdicts.usable(r)]
    text = []
    if any("\u2020" in marks(r) for r in results):
        text.append("\u2020 ran a smaller size, since the full one takes it "
                    "seconds; the unit is the same.")
    if any("\u2021" in marks(r) for r in results):
        text.append("\u2021 one value only: no spread known.")
    return " ".join(text)


def bullets(items):
    return "\n".join("- " + item for item in items)


def goals(cells):
    met, missed, unknown = verdicts.goals(cells)
    head = "%d met, %d missed, %d with no one to compare with" % (
        len(met), len(missed), len(unknown))
    return bullets([head] + [
        "missed: %s%s: %s; it is %s x %s%s" % (
            cell["title"], verdicts.at(cell["threads"]), goal["text"],
            numbers.show(goal["ratio"]), goal["against"],
            ", within the spread" if goal["noise"] else "")
        for cell, goal in missed])


def sections(record):
    """(title, Markdown) of everything that is no table of a group."""
    cells = record["cells"]
    found = [("Where weft is behind the best", bullets(
        "%s%s: %s takes %.2f of weft's time%s"
        % (cell["title"], verdicts.at(cell["threads"]), name, ratio,
           ", within the spread" if noise else "")
        for cell, name, ratio, noise in verdicts.losses(cells))
        or "Nowhere in this run."),
             ("The goals of weft", goals(cells))]
    troubles = verdicts.troubles(record)
    if troubles:
        found.append(("Left out, failed, wrong", bullets(
            "%s: %s: %s" % trouble for trouble in troubles)))
    cores = verdicts.used_cores(record)
    if cores:
        found.append(("Programs that used more cores than threads", bullets(
            "%s: %s used %.1f cores (collector, compiler or "
            "helper threads)" % one for one in cores)))
    if record["notes"]:
        found.append(("Notes on this run", bullets(record["notes"])))
    shown = {cell["row"]: cell["title"] for cell in cells}
    found.append(("What the rows do", bullets(
        "%s: %s" % (title, rows.ABOUT[key])
        for key, title in shown.items() if key in rows.ABOUT)))
    found.append(("Versions", versions(record)))
    return found


def report(record):
    out = ["Measured by `benchmarks/compare%s`: up to %d rounds a row, the "
           "peers in turns in a new order each round, all answers checked."
           % (" --quick" if record["options"]["quick"] else "",
              record["options"]["runs"]), "", machine(record), ""]
    if record["interrupted"]:
        out += ["**Interrupted: incomplete.**", ""]
    out += [LEGEND.format(marks=footnotes(record)).strip(), ""]
    told, rest = sections(record)[:2], sections(record)[2:]
    for title, text in told:
        out += ["### " + title, "", text, ""]
    for title, cells in verdicts.groups(record):
        out += ["### " + title, "", table(cells), ""]
        told = summary(cells)
        if told:
            out += [told, ""]
    for title, text in rest:
        out += ["### " + title, "", text, ""]
    return "\n".join(out).rstrip() + "\n"


def replace(text, part):
    """text with `part` between the two marker lines; ValueError where they
    are not there once each, in this order, alone on their lines."""
    lines = text.split("\n")
    at = [i for i, each in enumerate(lines) if each.strip() == BEGIN]
    to = [i for i, each in enumerate(lines) if each.strip() == END]
    if len(at) != 1 or len(to) != 1 or at[0] > to[0]:
        raise ValueError("no single pair of lines %s and %s" % (BEGIN, END))
    return "\n".join(lines[:at[0] + 1] + ["", part.strip("\n"), ""]
                     + lines[to[0]:])
