# SPDX-License-Identifier: MIT
"""The network rows: benchmarks/network measures them, this reads them."""
import json
import os
import subprocess

from . import peers


def numbers_only(values):
    return [float(v) for v in values
            if isinstance(v, (int, float)) and not isinstance(v, bool)]


def cells(rows):
    """The list that the program wrote as cells of the record; ValueError where
    it is no such list."""
    if not isinstance(rows, list):
        raise ValueError("not a list")
    found = []
    for row in rows:
        try:
            results = {str(name): {
                "state": "ok", "why": str(one.get("why", "")), "size": None,
                "full": None, "runs": [], "cores": 0,
                "values": numbers_only(one["values"])}
                for name, one in row["results"].items()}
            for one in results.values():
                if not one["values"]:
                    one["state"] = "skipped"
                    one["why"] = one["why"] or "no values"
            found.append({
                "row": str(row["row"]), "title": str(row["title"]),
                "unit": str(row["unit"]), "group": "network", "threads": None,
                "higher_is_better": bool(row["higher_is_better"]),
                "rounds": max((len(one["values"])
                               for one in results.values()), default=0),
                "results": results})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("a row without %s" % error) from None
    return found


def run(command, seconds):
    """Empty, or why it failed. What it prints goes where this prints."""
    child = None
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                 start_new_session=True)
        if child.wait(timeout=seconds):
            return "failed: benchmarks/network: exit status %d" \
                % child.returncode
    except OSError as error:
        return "failed: benchmarks/network: %s" % error
    except subprocess.TimeoutExpired:
        return "benchmarks/network was stopped after %.0f s" % seconds
    finally:
        if child:   # its servers are of its group: it may end them itself
            peers.end_group(child, 5)
    return ""


def measure(program, build, out, quick, seconds, more=()):
    """(cells, why): the cells measured, and what went wrong, if anything."""
    path = os.path.join(out, "network.json")
    if os.path.exists(path):
        os.unlink(path)
    command = [program, "--json", path, "--build", build,
               "--seconds", "%.0f" % seconds]
    why = run(command + ["--quick"] * quick + list(more), seconds + 45)
    try:
        with open(path) as file:
            return cells(json.load(file)), why
    except (OSError, ValueError) as error:
        return [], why or "failed: benchmarks/network: %s" % error
