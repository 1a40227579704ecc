"""Runs the benchmark: see `scripts/bench`."""

import argparse
import json
import os
import pathlib
import platform
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests" / "python")]

import chunk_index  # noqa: E402
import kernel  # noqa: E402
import measures  # noqa: E402
import paged  # noqa: E402
import table  # noqa: E402
import world  # noqa: E402
from contenders import Contenders  # noqa: E402
from stores import Stores  # noqa: E402

RESULTS = ROOT / "target" / "bench" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
ROWS = {**measures.ROWS, **paged.ROWS, "chunk-index": chunk_index.row, "settings": kernel.settings}


def arguments():
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures h5mount beside what people use today.")
    parser.add_argument("--quick", action="store_true", help="smaller stores: less than four minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(ROWS), help="these rows, anew; the others stay as they were measured before: %(choices)s")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md from the results of full runs")
    return parser.parse_args()


def measured(run, contenders):
    """One row, as the results keep it."""
    try:
        return table.record(run(contenders))
    except measures.Missing as missing:
        return {"name": run.__name__, "about": run.__doc__, "goal": "", "figure": "needs %s" % missing, "reached": None,
                "samples": {}, "failed": {}}


def before(size):
    """The results of a run before, of which some rows are measured anew; `None` where there are none of this size."""
    if not RESULTS.is_file():
        return None
    results = json.loads(RESULTS.read_text())
    return results if results["size"] == size else None


def main():
    """See the top."""
    asked = arguments()
    if asked.write_docs:
        results = json.loads(RESULTS.read_text())
        if results["size"] != "full":
            sys.exit("the last run was a quick one: run scripts/bench first")
        PAGE.write_text(table.page(results))
        return
    size = "quick" if asked.quick else "full"
    results = before(size) if asked.only else None
    results = results or {"size": size, "delay_ms": world.DELAY, "machine": table.machine(), "rows": []}
    print("%d cores, Linux %s, load %s before" % (os.cpu_count(), platform.release(), os.getloadavg()), flush=True)
    begun = time.monotonic()
    reached = []
    with world.World(ROOT / "target" / "release") as surroundings:
        contenders = Contenders(surroundings, Stores(RESULTS.parent, size))
        for name in asked.only or ROWS:
            load = os.getloadavg()[0]
            row = {**measured(ROWS[name], contenders), "name": name, "load": load}
            reached.append(row["reached"])
            rows = {**{row["name"]: row for row in results["rows"]}, name: row}
            results["rows"] = [rows[name] for name in ROWS if name in rows]
            print("\n".join(table.lines(row)), flush=True)
            table.write(RESULTS, results)
    print("%d ok, %d short, %d not available; %.0f s; %s" % (
        reached.count(True), reached.count(False), reached.count(None), time.monotonic() - begun, RESULTS.relative_to(ROOT)))


if __name__ == "__main__":
    main()
