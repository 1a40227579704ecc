"""How many requests, and how many round trips one after the other, reading over S3 costs: counted at the server.

Each request takes 20 ms there.  Counts are promises and asserted as such; seconds are told, and held only against what no
machine of the tests should need.
"""

import json
import os
import subprocess
import time

import conftest
import h5py
import mounting
import pytest
import twins
import writer
from servers.s3 import S3, flags
from test_samples import DOMAINS

DELAY = 20  # milliseconds of each request
AT_ONCE = 64  # requests in flight of one mount
LOOSE = 5.0  # seconds beyond the promised ones: two cores that other tests share


def is_chunk(key):
    """Whether a key is that of a chunk; others are JSON of objects, or names that are looked for."""
    name = key.rsplit("/", 1)[-1]
    return name[5:8] == "-c-" or (key.startswith("db/") and not name.endswith(".json"))


def trips_of(server):
    """Round trips one after the other: by what can have waited for what, or by time, whichever is less.

    Where the machine is busy, some of many requests at once are answered faster than others, and the fast ones make a chain
    that is longer than what the client waited for.
    """
    stats = server.stats()
    spans = [entry["answered"] - entry["arrived"] for entry in server.requests() if entry["status"] not in (0, 499)]
    if not spans:
        return 0
    return min(stats["chain"], round(stats["wall_ms"] * 1000 / (sum(spans) / len(spans))))


def report(name, server, trips, seconds, limit):
    """Tells a measurement beside its limits, and holds the counts against them."""
    stats, seen = server.stats(), trips_of(server)
    conftest.COUNTED["round trips, " + name] = "%d requests, %d round trips (limit %d), %.0f ms (limit %.0f)" % (
        stats["requests"], seen, trips, seconds * 1000, limit * 1000)
    assert seen <= trips, stats
    assert seconds <= limit + LOOSE


def groups_of(bucket, key, depth, number):
    """A domain of `number` objects, root included, `depth` levels below the root: a chain of groups, datasets in the last."""
    domain = writer.Domain(bucket, key)
    parent = domain.root
    for level in range(depth - 1):
        parent = domain.group(parent, "level%d" % level)
    for i in range(number - depth):
        domain.dataset("d%04d" % i, writer.I32, (10,), (10,), parent=parent)
    domain.write()
    return domain


def summarize(bucket, domain):
    """`.info.json` and `.summary.json` as a server of 1.0 leaves them, younger than every object."""
    prefix = "db/%s/" % domain.object_key(domain.root).split("/")[1]
    datasets = {number: {"lastModified": value["lastModified"], "num_chunks": 0, "allocated_bytes": 0, "logical_bytes": 40,
                         "linked_bytes": 0, "num_linked_chunks": 0}
                for number, value in domain.objects.items() if number[0] == "d"}
    bucket.put_json(prefix + ".info.json", {
        "lastModified": domain.clock, "num_groups": sum(number[0] == "g" for number in domain.objects) - 1,
        "num_datatypes": 0, "datasets": datasets, "num_chunks": 0, "allocated_bytes": 0, "metadata_bytes": 1000,
        "linked_bytes": 0, "num_linked_chunks": 0, "logical_bytes": 40 * len(datasets), "bucket": "bucket",
        "scan_start": time.time() - 200, "scan_complete": time.time() - 100, "md5_sum": "0" * 32})
    summary = {}
    for number, value in domain.objects.items():
        keys = ("type", "shape", "attributes", "links", "creationProperties", "layout", "created", "lastModified")
        summary[number] = {name: value[name] for name in keys if name in value}
    bucket.put_json(prefix + ".summary.json", summary)
    # Everything else was written before.
    for path in (bucket.folder / prefix).rglob("*"):
        if path.is_file():
            age = 100 if path.name == ".summary.json" else 1000
            os.utime(path, (time.time() - age,) * 2)
    domain_path = bucket.folder / domain.key / ".domain.json"
    os.utime(domain_path, (time.time() - 1000,) * 2)


def opened(path):
    """Seconds until a file is open and its root is listed."""
    begun = time.perf_counter()
    with h5py.File(path) as file:
        assert len(file)
    return time.perf_counter() - begun


@pytest.mark.parametrize("depth", [1, 5])
def test_a_domain_of_1000_objects(depth, tmp_path):
    """Cold: depth + 2 + 1000/64 round trips; again at once: no request; after the TTL: two at most."""
    bucket = writer.Bucket(tmp_path / "bucket")
    groups_of(bucket, "many.h5", depth, 1000)
    ttl = 3
    with S3({"bucket": bucket.folder}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", "--metadata-ttl", ttl, *flags(server.endpoint), folder=tmp_path) as mount:
        server.quiet()
        server.reset()
        seconds = opened(mount / "many.h5")
        done = time.monotonic()
        trips = depth + 2 + -(-1000 // AT_ONCE)
        report("1,000 objects, depth %d, cold" % depth, server, trips, seconds, trips * DELAY / 1000 + 0.2)
        keys = [entry["key"] for entry in server.requests() if entry["method"] == "GET"]
        assert len(keys) == len(set(keys)), "read twice"
        server.reset()
        again = opened(mount / "many.h5")
        if time.monotonic() - done < ttl:
            assert server.stats()["requests"] == 0
            report("1,000 objects, depth %d, again" % depth, server, 0, again, 0.010)
        time.sleep(ttl + 0.5)
        server.reset()
        later = opened(mount / "many.h5")
        stats = server.stats()
        report("1,000 objects, depth %d, after the TTL" % depth, server, 2, later, 2 * DELAY / 1000)
        # v2 objects that nothing vouches for are compared one by one; here there is no .info.json.
        conftest.COUNTED["requests after the TTL, no .info.json, depth %d" % depth] = stats["requests"]


@pytest.mark.parametrize("depth", [1, 5])
def test_a_domain_with_a_summary(depth, tmp_path):
    """2 + LIST pages round trips, no object of its own; after the TTL two requests at most."""
    bucket = writer.Bucket(tmp_path / "bucket")
    summarize(bucket, groups_of(bucket, "many.h5", depth, 1000))
    with S3({"bucket": bucket.folder}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", "--metadata-ttl", 3, *flags(server.endpoint), folder=tmp_path) as mount:
        server.quiet()
        server.reset()
        seconds = opened(mount / "many.h5")
        pages = 2  # of at most 1,000 keys: the objects, and a few more
        report("1,000 objects, depth %d, summary" % depth, server, 2 + pages, seconds,
               (2 + pages) * DELAY / 1000 + 0.05)
        single = [entry["key"] for entry in server.requests()
                  if entry["key"].endswith((".dataset.json", ".group.json")) and entry["method"] == "GET"]
        # The root may be read while the summary is not known yet.
        assert len(single) <= 1, single[:5]
        time.sleep(3.5)
        server.reset()
        later = opened(mount / "many.h5")
        stats = server.stats()
        report("1,000 objects, depth %d, summary, after the TTL" % depth, server, 2, later, 2 * DELAY / 1000)
        assert stats["requests"] <= 2, stats


READ_ONE = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    print(repr(file[sys.argv[2]][tuple(map(int, sys.argv[3].split(",")))].item()))
"""


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "S4", "S5"])
def test_one_element_of_a_twin(name, tmp_path, interpreters):
    """All cold: few round trips that depend on each other, no metadata twice, one chunk of data bytes."""
    bucket = writer.Bucket(tmp_path / "bucket")
    twin = twins.ALL[name](bucket)
    others = {path.name: path for path in tmp_path.iterdir() if path.is_dir() and path.name != "bucket"}
    path, variable = next((path, variable) for path, variable in twin.variables.items() if variable.present)
    index = sorted(variable.present)[1]
    place = [at * part + min(3, part - 1) for at, part in zip(index, variable.chunk)]
    with S3({"bucket": bucket.folder, **others}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), "--region", "us-east-1", folder=tmp_path / "m") as mount:
        server.quiet()
        server.reset()
        begun = time.perf_counter()
        done = subprocess.run([interpreters["3.16"], "-c", READ_ONE, mount / twin.key, path, ",".join(map(str, place))],
                              capture_output=True, text=True, check=False, timeout=60)
        seconds = time.perf_counter() - begun
        assert done.returncode == 0, done.stderr + mount.log()
        assert done.stdout.strip() == repr(variable.element(tuple(place)).item())
        stats, entries = server.stats(), server.requests()
        gets = [entry for entry in entries if entry["method"] in ("GET", "HEAD")]
        metadata = [entry["key"] for entry in gets if entry["bucket"] == "bucket" and not is_chunk(entry["key"])]
        data = [entry for entry in gets if entry["bucket"] != "bucket" or is_chunk(entry["key"])]
        chunk = variable.dtype.itemsize
        for part in variable.chunk:
            chunk *= part
        linked = [entry for entry in data if entry["bucket"] != "bucket"]
        chunks = linked if linked else data
        conftest.COUNTED["one element of twin %s" % name] = (
            "%d round trips, %d requests (%d of metadata), %d bytes of data (chunk: %d), %.0f ms" % (
                trips_of(server), stats["requests"], len(metadata), sum(entry["bytes"] for entry in chunks), chunk,
                seconds * 1000))
        trace = "\n".join(json.dumps(entry) for entry in entries[:60])
        assert len(metadata) == len(set(metadata)), trace
        assert len([entry for entry in chunks if entry["bytes"]]) == 1, trace
        # What cannot be compressed is a little longer than it was.
        assert sum(entry["bytes"] for entry in chunks) <= chunk * 1.001, trace
        # A path of several folders costs their names too; S1 and S2 are what was promised.
        if name in ("S1", "S2"):
            assert trips_of(server) <= 6, trace


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_ncdump_h_reads_no_chunk(version, stores, tmp_path):
    """The header of every sample costs metadata alone."""
    with S3({"hsdstest": stores[version]}) as server, mounting.mounted(
            "s3://hsdstest", *flags(server.endpoint), folder=tmp_path) as mount:
        for name in DOMAINS:
            if not name.startswith(version):
                continue
            # Some samples are no netCDF files: what of them was read counts all the same.
            subprocess.run(["ncdump", "-h", mount / "home/admin" / name[6:]], capture_output=True, check=False, timeout=60)
        chunks = [entry["key"] for entry in server.requests()
                  if entry["method"] != "LIST" and is_chunk(entry["key"])]
        conftest.COUNTED["ncdump -h of all samples %s" % version] = "%d requests, %d of chunks" % (
            server.stats()["requests"], len(chunks))
        assert not chunks, chunks[:10]


def test_a_folder_of_10000_domains(tmp_path):
    """Listed at the rate of 64 requests in flight; again within the TTL without any."""
    bucket = writer.Bucket(tmp_path / "bucket")
    twins.folders(bucket, 10000)
    with S3({"bucket": bucket.folder}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", "--metadata-ttl", 60, *flags(server.endpoint), folder=tmp_path) as mount:
        server.quiet()
        server.reset()
        begun = time.perf_counter()
        shown = subprocess.run(["ls", mount / "many"], capture_output=True, text=True, check=True, timeout=120)
        seconds = time.perf_counter() - begun
        assert len(shown.stdout.splitlines()) == 10000
        stats = server.stats()
        # Pages of a listing come one after the other: each names where the next begins.
        pages = -(-10000 // 1000)
        trips = pages + -(-stats["requests"] // AT_ONCE) + 2
        report("ls of 10,000 domains, cold", server, trips, seconds, trips * DELAY / 1000)
        assert stats["peak_in_flight"] <= AT_ONCE
        server.reset()
        begun = time.perf_counter()
        subprocess.run(["ls", mount / "many"], capture_output=True, check=True, timeout=120)
        seconds = time.perf_counter() - begun
        assert server.stats()["requests"] == 0
        report("ls of 10,000 domains, again", server, 0, seconds, 0.5)
