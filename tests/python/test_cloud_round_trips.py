"""How many requests, and how many round trips one after the other, reading over S3 costs.

Each is measured twice.  Behind a `Gate` round trips are counted, exactly and whatever else the machine does.  With 20 ms for
each request seconds are told, and held only against what no machine of the tests should need.  Requests are counted at the
server.
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
from servers.gate import Gate
from servers.s3 import S3, flags
from test_samples import DOMAINS

DELAY = 20  # milliseconds of each request
AT_ONCE = 64  # requests in flight of one mount
LOOSE = 5.0  # seconds beyond the promised ones: two cores that other tests share


def is_chunk(key):
    """Whether a key is that of a chunk; others are JSON of objects, or names that are looked for."""
    name = key.rsplit("/", 1)[-1]
    return name[5:8] == "-c-" or (key.startswith("db/") and not name.endswith(".json"))


def told(name, seconds, limit):
    """Tells a time beside its limit, and holds it against the limit and what a busy machine adds."""
    conftest.COUNTED["time, " + name] = "%.0f ms (limit %.0f)" % (seconds * 1000, limit * 1000)
    assert seconds <= limit + LOOSE


def counted(name, waves, limit):
    """Tells round trips beside their limit, and holds them against it."""
    conftest.COUNTED["round trips, " + name] = "%d (limit %d), %d requests" % (len(waves), limit, sum(map(len, waves)))
    trace = "\n".join("%2d %s" % (at, ", ".join(wave[:4])) for at, wave in enumerate(waves))
    assert len(waves) <= limit, trace


def groups_of(bucket, key, depth, number):
    """A domain of `number` objects, root included, `depth` levels below the root: a chain of groups, datasets in the last.

    Its objects are as a server of 1.0 writes them.
    """
    domain = writer.Domain(bucket, key)
    parent = domain.root
    for level in range(depth - 1):
        parent = domain.group(parent, "level%d" % level)
    for i in range(number - depth):
        domain.dataset("d%04d" % i, writer.I32, (10,), (10,), parent=parent, top_layout=False)
    domain.write()
    return domain


def scan(bucket, domain):
    """`.info.json` as a server of 1.0 leaves it after a scan."""
    datasets = {number: {"lastModified": value["lastModified"], "num_chunks": 0, "allocated_bytes": 0, "logical_bytes": 40,
                         "linked_bytes": 0, "num_linked_chunks": 0}
                for number, value in domain.objects.items() if number[0] == "d"}
    bucket.put_json(below(domain) + ".info.json", {
        "lastModified": domain.clock, "num_groups": sum(number[0] == "g" for number in domain.objects) - 1,
        "num_datatypes": 0, "datasets": datasets, "num_chunks": 0, "allocated_bytes": 0, "metadata_bytes": 1000,
        "linked_bytes": 0, "num_linked_chunks": 0, "logical_bytes": 40 * len(datasets), "bucket": "bucket",
        "scan_start": time.time() - 200, "scan_complete": time.time() - 100, "md5_sum": "0" * 32})


def below(domain):
    """What keys of a domain's objects begin with."""
    return "db/%s/" % domain.object_key(domain.root).split("/")[1]


def summarize(bucket, domain):
    """`.info.json` and `.summary.json` as a server of 1.0 leaves them, younger than every object."""
    scan(bucket, domain)
    keys = ("type", "shape", "attributes", "links", "creationProperties")
    bucket.put_json(below(domain) + ".summary.json", {
        number: {name: value[name] for name in keys if name in value} for number, value in domain.objects.items()})
    # Everything else was written before.
    for path in (bucket.folder / below(domain)).rglob("*"):
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


def listed(path):
    """Opens a file and lists its root, in a process of its own: HDF5 would hold up the threads of this one."""
    subprocess.run(["h5ls", path], stdout=subprocess.DEVNULL, check=True, timeout=120)


def waves_of(folder, buckets, work):
    """What passes a gate while `work` is done with a fresh mount."""
    with S3(buckets) as server, Gate(server, AT_ONCE) as gate, mounting.mounted(
            "s3://bucket", *flags(gate.endpoint), "--region", "us-east-1", "--metadata-ttl", 600, folder=folder) as mount:
        gate.quiet()
        gate.reset()
        work(mount)
        gate.quiet()
        return gate.waves


@pytest.mark.parametrize("depth", [1, 5])
def test_a_domain_of_1000_objects(depth, tmp_path):
    """Cold: depth + 2 + 1000/64 round trips; again at once: no request; after the TTL: two at most."""
    bucket = writer.Bucket(tmp_path / "bucket")
    groups_of(bucket, "many.h5", depth, 1000)
    name = "1,000 objects, depth %d" % depth
    trips = depth + 2 + -(-1000 // AT_ONCE)
    counted(name, waves_of(tmp_path / "gate", {"bucket": bucket.folder}, lambda mount: listed(mount / "many.h5")), trips)
    ttl = 5
    with S3({"bucket": bucket.folder}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", "--metadata-ttl", ttl, *flags(server.endpoint), folder=tmp_path) as mount:
        server.quiet()
        server.reset()
        begun = time.monotonic()
        seconds = opened(mount / "many.h5")
        told(name + ", cold", seconds, trips * DELAY / 1000 + 0.2)
        keys = [entry["key"] for entry in server.requests() if entry["method"] == "GET"]
        assert len(keys) == len(set(keys)), "read twice"
        assert server.stats()["peak_in_flight"] == AT_ONCE
        server.reset()
        again = opened(mount / "many.h5")
        asked = server.stats()["requests"]
        # What was seen is believed from when it was asked for.
        if time.monotonic() - begun < ttl:
            assert asked == 0
            told(name + ", again", again, 0.010)
        time.sleep(ttl + 0.5)
        after_the_ttl(name, mount, server)


def after_the_ttl(name, mount, server):
    """A known file costs two requests: one for its name, one for all of its objects."""
    server.reset()
    later = opened(mount / "many.h5")
    requests = server.stats()["requests"]
    conftest.COUNTED["requests, %s, after the TTL" % name] = "%d (limit 2)" % requests
    assert requests <= 2, server.requests()
    told(name + ", after the TTL", later, 2 * DELAY / 1000)


@pytest.mark.parametrize("depth", [1, 5])
def test_a_domain_with_a_summary(depth, tmp_path):
    """2 + LIST pages round trips, no object of its own; after the TTL two requests at most."""
    bucket = writer.Bucket(tmp_path / "bucket")
    summarize(bucket, groups_of(bucket, "many.h5", depth, 1000))
    name = "1,000 objects, summary, depth %d" % depth
    pages = 2  # of at most 1,000 keys: the objects, and a few more
    counted(name, waves_of(tmp_path / "gate", {"bucket": bucket.folder}, lambda mount: listed(mount / "many.h5")), 2 + pages)
    with S3({"bucket": bucket.folder}, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", "--metadata-ttl", 3, *flags(server.endpoint), folder=tmp_path) as mount:
        server.quiet()
        server.reset()
        told(name + ", cold", opened(mount / "many.h5"), (2 + pages) * DELAY / 1000 + 0.05)
        single = [entry["key"] for entry in server.requests()
                  if entry["key"].endswith((".dataset.json", ".group.json")) and entry["method"] == "GET"]
        # The root is read while the summary is not known yet.
        assert len(single) <= 1, single[:5]
        time.sleep(3.5)
        after_the_ttl(name, mount, server)


READ_ONE = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    print(repr(file[sys.argv[2]][tuple(map(int, sys.argv[3].split(",")))].item()))
"""


@pytest.mark.parametrize("name, scanned", [(name, False) for name in ("S1", "S2", "S3", "S4", "S5")] + [("S2", True)])
def test_one_element_of_a_twin(name, scanned, tmp_path, interpreters):
    """All cold: few round trips that depend on each other, no metadata twice, one chunk of data bytes."""
    bucket = writer.Bucket(tmp_path / "bucket")
    twin = twins.ALL[name](bucket)
    if scanned:
        scan(bucket, twin.domain)
    buckets = {path.name: path for path in tmp_path.iterdir() if path.is_dir()}
    path, variable = next((path, variable) for path, variable in twin.variables.items() if variable.present)
    index = sorted(variable.present)[1]
    place = [at * part + min(3, part - 1) for at, part in zip(index, variable.chunk)]

    def read(mount):
        done = subprocess.run([interpreters["3.16"], "-c", READ_ONE, mount / twin.key, path, ",".join(map(str, place))],
                              capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr + mount.log()
        assert done.stdout.strip() == repr(variable.element(tuple(place)).item())

    about = "one element of twin %s%s" % (name, ", scanned" if scanned else "")
    waves = waves_of(tmp_path / "gate", buckets, read)
    # A name on the path is a round trip, but for the first, which the listing of the root gave. S1 and S2 are what was
    # promised; S3 and S4 are like S2, and S5 lies four groups deep.
    counted(about, waves, {"S5": 9}.get(name, 6))
    with S3(buckets, delay_ms=DELAY) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), "--region", "us-east-1", folder=tmp_path / "m") as mount:
        server.quiet()
        server.reset()
        begun = time.perf_counter()
        read(mount)
        seconds = time.perf_counter() - begun
        stats, entries = server.stats(), server.requests()
    gets = [entry for entry in entries if entry["method"] in ("GET", "HEAD")]
    metadata = [entry["key"] for entry in gets if entry["bucket"] == "bucket" and not is_chunk(entry["key"])]
    data = [entry for entry in gets if entry["bucket"] != "bucket" or is_chunk(entry["key"])]
    chunk = variable.dtype.itemsize
    for part in variable.chunk:
        chunk *= part
    linked = [entry for entry in data if entry["bucket"] != "bucket"]
    chunks = linked if linked else data
    conftest.COUNTED[about] = "%d requests (%d of metadata), %d bytes of data (chunk: %d), %.0f ms" % (
        stats["requests"], len(metadata), sum(entry["bytes"] for entry in chunks), chunk, seconds * 1000)
    trace = "\n".join(json.dumps(entry) for entry in entries[:60])
    assert len(metadata) == len(set(metadata)), trace
    assert len([entry for entry in chunks if entry["bytes"]]) == 1, trace
    # What cannot be compressed is a little longer than it was.
    assert sum(entry["bytes"] for entry in chunks) <= chunk * 1.001, trace


HEADERS = {"ncdump -h": ["ncdump", "-h"], "h5dump -H": ["h5dump", "-H"], "h5ls -r": ["h5ls", "-r"]}


@pytest.mark.parametrize("program", HEADERS)
@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_headers_take_no_chunk(version, program, stores, tmp_path):
    """The header of every sample costs metadata alone."""
    with S3({"hsdstest": stores[version]}) as server, mounting.mounted(
            "s3://hsdstest", *flags(server.endpoint), folder=tmp_path) as mount:
        for name in DOMAINS:
            if not name.startswith(version):
                continue
            # Some samples are no netCDF files: what of them was read counts all the same.
            subprocess.run([*HEADERS[program], mount / "home/admin" / name[6:]], capture_output=True, check=False, timeout=60)
        chunks = [entry["key"] for entry in server.requests()
                  if entry["method"] != "LIST" and is_chunk(entry["key"])]
        conftest.COUNTED["%s of all samples %s" % (program, version)] = "%d requests, %d of chunks" % (
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
        trips = -(-10000 // 1000) + -(-stats["requests"] // AT_ONCE) + 2
        told("ls of 10,000 domains, cold", seconds, trips * DELAY / 1000)
        assert stats["peak_in_flight"] == AT_ONCE
        server.reset()
        begun = time.perf_counter()
        subprocess.run(["ls", mount / "many"], capture_output=True, check=True, timeout=120)
        seconds = time.perf_counter() - begun
        assert server.stats()["requests"] == 0
        told("ls of 10,000 domains, again", seconds, 0.5)
    waves = waves_of(tmp_path / "gate", {"bucket": bucket.folder}, lambda mount: len(os.listdir(mount / "many")))
    counted("ls of 10,000 domains", waves, trips)
