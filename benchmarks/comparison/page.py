# SPDX-License-Identifier: MIT
"""index.html: one file, nothing from outside, light and dark, narrow screens."""
import html

from . import charts, markdown, numbers, rows, verdicts

STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--bg);
  color: var(--fg); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
p, li { max-width: 46rem; } small, .dim { color: var(--dim); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px;
  margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
th:first-child { position: sticky; left: 0; background: var(--bg);
  text-align: left; white-space: normal; min-width: 8rem; }
th small { display: block; font-weight: 400; }
tr:first-child th { white-space: normal; vertical-align: bottom; }
td small { display: block; } td.text { text-align: left; }
td.best { font-weight: 700; } .win { color: var(--win); }
.loss { color: var(--loss); } .bad { color: var(--loss); font-weight: 700; }
.own { border-left: 2px solid var(--dim); border-right: 2px solid var(--dim); }
.charts { display: grid; gap: 1.2rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.charts svg { width: 100%; max-width: 27rem; height: auto; }
li { overflow-wrap: anywhere; }
"""


def esc(what):
    return html.escape(str(what))


def td(name, cell):
    result = cell["results"].get(name)
    own = " own" if name == rows.SUBJECT else ""
    if result is None:
        return '<td class="%s"></td>' % own.strip()
    if not verdicts.usable(result):
        css = "bad" if result["state"] in ("wrong", "failed") else "dim"
        return '<td class="%s%s" title="%s">%s</td>' % (
            css, own, esc(result["why"]),
            esc(markdown.WORDS.get(result["state"], "\u2013")))
    stats = result["stats"]
    best = " best" if name == cell["best"] else ""
    ratio = ""
    if name != rows.SUBJECT and result["ratio"]:
        css = "win" if result["ratio"] > 1 else "loss"
        ratio = '<small class="%s">x%s</small>' % (
            css, numbers.show(result["ratio"]))
    ends = "%s to %s, %d values" % (
        numbers.show(stats["min"]), numbers.show(stats["max"]),
        stats["count"])
    spread = "<small>\u00b1 %s</small>" % numbers.percent(stats["spread"]) \
        if stats["spread"] is not None else ""
    return '<td class="%s" title="%s">%s%s%s%s</td>' % (
        (own + best).strip(), esc(ends), numbers.show(stats["median"]),
        markdown.marks(result), ratio, spread.replace("\u00b1 ", ""))


def goals_td(goals):
    out = ""
    for goal in goals:
        css = "" if goal["met"] is None else "win" if goal["met"] else "bad"
        out += '%s<small class="%s">%s</small>' % (
            esc(goal["text"]), css,
            esc(verdicts.verdict_text(goal, plain=True)))
    return '<td class="text">%s</td>' % out


def table(cells):
    names = verdicts.columns(cells)
    goals = any(cell["goals"] for cell in cells)
    out = ['<div class="wide"><table><tr><th>row</th>']
    out += ["<th>%s</th>" % esc(name) for name in names]
    out += ["<th>goal of weft</th>" if goals else "", "</tr>"]
    for cell in cells:
        out.append("<tr><th>%s<small>%s</small></th>" % (
            esc(cell["title"]), esc(cell["unit"])))
        out += [td(name, cell) for name in names]
        out += [goals_td(cell["goals"]) if goals else "", "</tr>"]
    return "".join(out) + "</table></div>"


def summary(cells):
    told = verdicts.against(cells)
    if not told:
        return ""
    out = ['<div class="wide"><table><tr><th>peer</th><th>rows</th>'
           "<th>weft faster</th><th>weft slower</th>"
           "<th>within the spread</th><th>geometric mean</th></tr>"]
    for name, one in told.items():
        css = "win" if one["mean"] > 1 else "loss"
        out.append("<tr><th>%s</th><td>%d</td><td>%d</td><td>%d</td><td>%d"
                   '</td><td class="%s">x%s</td></tr>' % (
                       esc(name), len(one["ratios"]), one["faster"],
                       one["slower"], one["even"], css,
                       numbers.show(one["mean"])))
    return "".join(out) + "</table></div>"


def section(title, text):
    """A section that markdown.sections() made: bullets or a line."""
    lines = text.splitlines()
    if lines and lines[0].startswith("- "):
        body = "<ul>%s</ul>" % "".join(
            "<li>%s</li>" % esc(line[2:]) for line in lines)
    else:
        body = "<p>%s</p>" % esc(text)
    return "<h2>%s</h2>%s" % (esc(title), body)


def report(record):
    title = "weft beside its peers"
    out = ['<!doctype html><html lang="en"><head><meta charset="utf-8">',
           '<meta name="viewport" content="width=device-width, '
           'initial-scale=1"><title>%s</title>' % title,
           "<style>%s%s%s</style></head><body>" % (
               charts.COLOURS, STYLE, charts.STYLE),
           "<h1>%s</h1>" % title,
           "<p>The same work by each peer, in turns in a new order each round; "
           "all answers checked. Every ratio is the peer's time by weft's: "
           '<span class="win">above 1 weft is faster</span>, '
           '<span class="loss">below 1 it is slower</span>. Under it stands '
           "the spread, (max \u2212 min) / median. The best of a row is bold; "
           "<em>sequential</em> is a plain program without a scheduler, for "
           "orientation.</p>",
           '<p class="dim">%s</p>' % esc(markdown.machine(record)).replace("**", "")]
    if record["interrupted"]:
        out.append('<p class="bad">Interrupted: incomplete.</p>')
    notes = markdown.footnotes(record)
    if notes:
        out.append('<p class="dim">%s</p>' % esc(notes))
    sections = markdown.sections(record)
    out += [section(*each) for each in sections[:2]]
    for name, cells in verdicts.groups(record):
        each, _ = charts.bars(name, cells)
        out += ["<h2>%s</h2>" % esc(name), table(cells), summary(cells),
                '<div class="charts">%s</div>' % "".join(each)]
    each, _ = charts.scaling(record)
    if each:
        out += ["<h2>Speed by threads</h2><p>1 is weft on the fewest threads; "
                "higher is faster; both axes are logarithmic.</p>",
                '<div class="charts">%s</div>' % "".join(each)]
    out += [section(*each) for each in sections[2:]]
    out.append("</body></html>\n")
    return "".join(out)
