"""The results as a table for people, as JSON, and as a page of the documentation."""

import json
import os
import pathlib
import platform

# Bytes of a measurement below which what the daemon does for a gigabyte cannot be told.
LITTLE = 10_000_000


def verdict(row):
    """In a word."""
    return {True: "ok", False: "short", None: "not available"}[row["reached"]]


def record(row):
    """A row as the results keep it."""
    return {"name": row.name, "about": row.about, "goal": row.goal, "figure": row.figure, "reached": row.reached,
            "samples": {name: sample.to_json() for name, sample in row.samples.items()}, "failed": row.failed}


def machine():
    """Where, and how busy it was before the first row."""
    return {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()}


def lines(row):
    """A row for a terminal: the verdict, then every contender."""
    yield "%-11s %-46s %-14s %s   (goal: %s)" % (row["name"], row["about"], verdict(row), row["figure"], row["goal"])
    for name, s in row["samples"].items():
        more = "" if s["bytes"] < LITTLE or "CPU s per GB" not in s else "  %.2f CPU s/GB" % s["CPU s per GB"]
        more += "" if "rss" not in s else "  RSS %d MiB" % (s["rss"] >> 20)
        yield "    %-18s %8.3f s %8.0f MB/s  opened in %6.3f s  %6d requests, %d at peak  %.3f x bytes%s" % (
            name, s["seconds"], s["MB/s"], s["open"], s["requests"], s["peak"], s.get("fetched / needed", 0), more)
    for name, why in row["failed"].items():
        yield "    %-18s %s" % (name, why[:150])


def page(results):
    """The page `docs/benchmarks.md`."""
    about = results["machine"]
    out = ["# Benchmarks", "",
           "Made by `scripts/bench --write-docs` from a run of `scripts/bench`: %s stores, %d ms per request, %d cores, Linux %s, "
           "load before each row in the table." % (results["size"], results["delay_ms"], about["cores"], about["kernel"]), "",
           "All contenders reach one S3 in memory through one proxy, on the same machine, one after the other; ratios hold within this "
           "run only. Seconds and requests are of reading, and those of opening stand apart, except for `cold` and `objects`; bytes are what the proxy "
           "passed on over what was read: what a contender fetched while it opened is not among them. Goals are what was set out to be reached.", "",
           "| measure | goal | measured | | load |", "|---|---|---|---|---|"]
    out += ["| %s | %s | %s | %s | %.1f |" % (row["about"], row["goal"], row["figure"], verdict(row), row.get("load", about["load"][0]))
            for row in results["rows"]]
    out += ["", "| measure | who | seconds | opening | MB/s | requests | at peak | bytes | CPU s per GB | peak RSS, MiB |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in results["rows"]:
        for name, s in row["samples"].items():
            cost = "%.2f" % s["CPU s per GB"] if "CPU s per GB" in s and s["bytes"] >= LITTLE else ""
            memory = "%d" % (s["rss"] >> 20) if "rss" in s else ""
            out.append("| %s | %s | %.3f | %.3f | %.0f | %d | %d | %.3f | %s | %s |" % (
                row["name"], name, s["seconds"], s["open"], s["MB/s"], s["requests"], s["peak"], s.get("fetched / needed", 0), cost, memory))
        out += ["| %s | %s | failed: %s | | | | | | | |" % (row["name"], name, why.replace("|", "/").replace("\n", " ")[:100])
                for name, why in row["failed"].items()]
    return "\n".join(out) + "\n"


def write(path, results):
    """The results as JSON."""
    pathlib.Path(path).write_text(json.dumps(results, indent=1) + "\n")
