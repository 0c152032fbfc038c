# SPDX-License-Identifier: MIT
"""SVG by hand: a bar chart a row of the peers' times by weft's on a log scale,
and a panel a row of how the peers scale. Colours are the page's variables;
a chart that stands alone brings them with it."""
import html
import math

from . import markdown, numbers, rows, verdicts

WIDTH = 360
LEFT, RIGHT = 96, 306
STEP = 17
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
LOW, HIGH = 0.05, 200.0

COLOURS = """
:root { --fg: #1b1f24; --dim: #5c6570; --line: #d5dae0; --bg: #ffffff;
  --win: #2563ab; --loss: #c2570c; --own: #1b1f24; --ref: #9aa3ad; }
@media (prefers-color-scheme: dark) {
  :root { --fg: #e4e8ec; --dim: #9aa5b1; --line: #353c45; --bg: #14181d;
    --win: #6aa9ee; --loss: #f0924a; --own: #e4e8ec; --ref: #6b7480; } }
"""
STYLE = """
svg text { font: 11px system-ui, sans-serif; fill: var(--fg); }
svg .dim { fill: var(--dim); } svg .end { text-anchor: end; }
svg .mid { text-anchor: middle; } svg .head { font-weight: 600; }
svg .strong { font-weight: 600; }
svg .win { fill: var(--win); } svg .loss { fill: var(--loss); }
svg .own { fill: var(--own); } svg .ref { fill: var(--ref); }
svg .grid { stroke: var(--line); } svg .one { stroke: var(--dim); }
svg .whisker { stroke: var(--fg); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 1.5; stroke: var(--ref); }
svg polyline.own { stroke: var(--own); stroke-width: 3; }
svg polyline.win { stroke: var(--win); } svg polyline.loss { stroke: var(--loss); }
"""


def text(x, y, what, css=""):
    return '<text x="%.1f" y="%.1f" class="%s">%s</text>' % (
        x, y, css, html.escape(what))


def rule(x1, y1, x2, y2, css):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (
        x1, y1, x2, y2, css)


def svg(body, height, label, alone=False):
    style = "<style>%s%s</style><rect width='100%%' height='100%%' " \
        "fill='var(--bg)'/>" % (COLOURS, STYLE) if alone else ""
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
            'role="img" aria-label="%s">%s%s</svg>'
            % (WIDTH, height, html.escape(label, quote=True), style, body))


def domain(cells):
    """One scale for all rows of a group."""
    ratios = [result["ratio"] for cell in cells
              for result in cell["results"].values() if result["ratio"]]
    low = max(min(ratios + [0.5]), LOW) * 0.95
    high = min(max(ratios + [2.0]), HIGH) * 1.05
    return low, high


def scale(ratio, span):
    low, high = span
    ratio = min(max(ratio, low), high)
    return LEFT + (RIGHT - LEFT) * math.log(ratio / low) / math.log(high / low)


def ranked(cell):
    """Fastest first; those without a figure last."""
    def key(name):
        result = cell["results"][name]
        return (result["ratio"] is None, result["ratio"] or 0, name)
    return sorted(cell["results"], key=key)


def bar(name, cell, y, span):
    result = cell["results"][name]
    own = name == rows.SUBJECT
    css = "own" if own else "ref" if name == rows.REFERENCE \
        else "win" if (result["ratio"] or 1) > 1 else "loss"
    out = [text(LEFT - 6, y + 10, name, "end" + (" strong" if own else ""))]
    if not result["ratio"]:
        why = markdown.WORDS.get(result["state"], "no figure")
        return out + [text(LEFT + 4, y + 10, why, "dim")]
    one, x = scale(1, span), scale(result["ratio"], span)
    left, width = min(one, x), max(abs(x - one), 2.0)
    if own:
        left -= 1
    out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="10" '
               'class="%s"/>' % (left, y + 1.5, width, css))
    stats = result["stats"]
    if stats["spread"]:
        ends = [scale(result["ratio"] * stats[key] / stats["median"], span)
                for key in ("min", "max")]
        if cell["higher_is_better"]:
            ends = [scale(result["ratio"] * stats["median"] / stats[key], span)
                    for key in ("max", "min") if stats[key] > 0]
        if len(ends) == 2:
            out.append(rule(ends[0], y + 6.5, ends[1], y + 6.5, "whisker"))
    figure = "%s %s" % (numbers.show(stats["median"]), cell["unit"]) \
        if own else "x" + numbers.show(result["ratio"])
    out.append(text(WIDTH - 2, y + 10, figure + markdown.marks(result),
                    "end " + ("strong" if own else css)))
    return out


def row_chart(cell, span):
    """(body, height) of one row."""
    names = ranked(cell)
    bottom = 24 + STEP * len(names)
    out = [text(0, 12, cell["title"], "head")]
    for tick in TICKS:
        if span[0] <= tick <= span[1]:
            x = scale(tick, span)
            out.append(rule(x, 20, x, bottom, "one" if tick == 1 else "grid"))
            out.append(text(x, bottom + 12, "%g" % tick, "dim mid"))
    for number, name in enumerate(names):
        out += bar(name, cell, 22 + STEP * number, span)
    return "".join(out), bottom + 18


def bars(title, cells):
    """[(name, svg)] of a group, and the whole group as one that stands
    alone."""
    cells = [cell for cell in cells if any(
        result["ratio"] for result in cell["results"].values())]
    if not cells:
        return [], ""
    span = domain(cells)
    each, stack, y = [], [text(0, 14, title + ": peer's time / weft's, log "
                               "scale", "head")], 30
    for cell in cells:
        body, height = row_chart(cell, span)
        each.append(svg(body, height, "%s: times relative to weft"
                        % cell["title"]))
        stack.append('<g transform="translate(0 %d)">%s</g>' % (y, body))
        y += height + 14
    return each, svg("".join(stack), y, title, alone=True)


# --- scaling -----------------------------------------------------------------


def speeds(record):
    """{row: {peer: {threads: speed}}}, speed by weft's at the fewest
    threads, of the rows that were measured at several."""
    found = {}
    for cell in record["cells"]:
        if cell["threads"]:
            found.setdefault(cell["row"], []).append(cell)
    table = {}
    for key, cells in found.items():
        cells.sort(key=lambda cell: cell["threads"])
        first = (cells[0]["results"].get(rows.SUBJECT) or {}).get("stats")
        if len(cells) < 2 or not first or cells[0]["unit"] == "bytes":
            continue
        lines = {}
        for cell in cells:
            for name, result in cell["results"].items():
                speed = numbers.ratio(
                    first["median"], result["stats"]["median"]) \
                    if result["stats"] else None
                if speed and name != rows.REFERENCE:
                    lines.setdefault(name, {})[cell["threads"]] = speed
        table[key] = (cells[0]["title"], lines)
    return table


def spaced(places, gap=11):
    """Pushes labels apart, the order kept."""
    last = None
    for name in sorted(places, key=places.get):
        if last is not None and places[name] < last + gap:
            places[name] = last + gap
        last = places[name]
    return places


def panel(title, lines, threads):
    """(body, height): threads to the right, speed upwards, both log."""
    height = 170
    values = [v for one in lines.values() for v in one.values()] + [1.0]
    low, high = max(min(values), 0.02) * 0.9, max(values) * 1.1
    left, right = 30, 250

    def x_of(n):
        return left + (right - left) * (
            math.log(n / threads[0]) / math.log(threads[-1] / threads[0]))

    def y_of(v):
        return 24 + (height - 44) * math.log(high / max(v, low)) \
            / math.log(high / low)

    out = [text(0, 12, title, "head")]
    for n in threads:
        out += [rule(x_of(n), 20, x_of(n), height - 20, "grid"),
                text(x_of(n), height - 6, "%d" % n, "dim mid")]
    for tick in TICKS:
        if low <= tick <= high:
            out += [rule(left, y_of(tick), right, y_of(tick),
                         "one" if tick == 1 else "grid"),
                    text(left - 4, y_of(tick) + 4, "%g" % tick, "dim end")]
    ends = {}
    order = sorted(lines, key=lambda name: name == rows.SUBJECT)
    for name in order:
        points = sorted(lines[name].items())
        own = "own" if name == rows.SUBJECT else ""
        out.append('<polyline class="%s" points="%s"/>' % (own, " ".join(
            "%.1f,%.1f" % (x_of(n), y_of(v)) for n, v in points)))
        ends[name] = y_of(points[-1][1])
    for name, y in spaced(ends).items():
        out.append(text(right + 6, y + 4, "%s %s" % (
            name, numbers.show(sorted(lines[name].items())[-1][1])),
            "strong" if name == rows.SUBJECT else ""))
        height = max(height, int(y) + 8)
    return "".join(out), height


def scaling(record):
    """([svg a row], the whole), empty where one number of threads was run."""
    table = speeds(record)
    threads = sorted({cell["threads"] for cell in record["cells"]
                      if cell["threads"]})
    if len(threads) < 2 or not table:
        return [], ""
    each, y = [], 30
    stack = [text(0, 14, "Speed by threads; 1 is weft on %d" % threads[0],
                  "head")]
    for title, lines in table.values():
        body, height = panel(title, lines, threads)
        each.append(svg(body, height, "%s: speed by threads" % title))
        stack.append('<g transform="translate(0 %d)">%s</g>' % (y, body))
        y += height + 14
    return each, svg("".join(stack), y, "Speed by threads", alone=True)


def files(record):
    """{file name: SVG} of the charts that stand alone."""
    found = {}
    for title, cells in verdicts.groups(record):
        _, whole = bars(title, cells)
        if whole:
            name = "".join(c if c.isalnum() else "-" for c in title.lower())
            found[name.replace("--", "-") + ".svg"] = whole
    _, whole = scaling(record)
    if whole:
        found["scaling.svg"] = whole
    return found
