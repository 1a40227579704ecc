"""What is measured: one function a row of the table. Each returns a `Row`; `table` prints them.

A row's ratio is of times within this run, ours over the other's unless it says so; `goal` is what was set out to be reached.
"""

import contextlib
import dataclasses
import functools
import random
import subprocess
import tempfile

import mounting
from contenders import job
from world import LONGEST

REPEATS = 3  # of what is short: the median is told
SMALL = 2048  # chunks that are read of very many


@dataclasses.dataclass
class Row:
    """One line of the table."""

    name: str
    about: str
    goal: str
    samples: dict
    figure: str = ""
    reached: bool | None = None
    failed: dict = dataclasses.field(default_factory=dict)


class Missing(Exception):
    """This build of the program cannot do what a row needs."""


def gather(row, **makers):
    """Runs the contenders of a row one after the other; what fails is noted, and the others go on."""
    for name, make in makers.items():
        try:
            row.samples[name] = make()
        except Exception as error:  # a row of a benchmark must not end the benchmark
            row.failed[name] = "%s: %s" % (type(error).__name__, error)
    return row


def middle(make):
    """The sample in the middle of three."""
    samples = sorted((make() for _ in range(REPEATS)), key=lambda sample: sample.seconds)
    return samples[len(samples) // 2]


def judged(row, figure, reached):
    """With its figure, where the samples that it needs are there: functions of them."""
    try:
        row.figure, row.reached = figure(row.samples), bool(reached(row.samples))
    except (KeyError, ZeroDivisionError):
        row.reached = None
    return row


def ratio(samples, ours, other):
    """Our time over another's."""
    return samples[ours].seconds / samples[other].seconds


def steps(store, step=1):
    """A dataset from front to back, some rows at a time."""
    end = store["dims"][0]
    return [[[at, min(at + step, end)]] for at in range(0, end, step)]


def rows(store, number, seed=1):
    """Chunks anywhere, each once; two of five at most, so that what was guessed right by chance does not look like skill."""
    return random.Random(seed).sample(range(store["dims"][0]), min(number, store["dims"][0] * 2 // 5))


def rate_row(c, name, about, goal, wanted, store, kind="h5py", others=(), options=(), **weather):
    """A sequential read against the bare client: our share of its rate."""
    known = c.store(store)
    c.world.weather(**weather)
    try:
        makers = {"bare": lambda: middle(lambda: c.bare(store)),
                  "us": lambda: middle(lambda: c.us(store, steps(known), *options, kind=kind))}
        for other in others:
            makers[other] = lambda other=other: getattr(c, other)(store, steps(known))
        row = gather(Row(name, about, goal, {}), **makers)
    finally:
        c.world.weather()
    return judged(row, lambda s: "%.2f x bare" % (s["us"].rate / s["bare"].rate),
                  lambda s: s["us"].rate >= wanted * s["bare"].rate)


def cold(c):
    """The first chunk after a mount with nothing cached, from opening on."""
    row = gather(Row("cold", "first chunk after a cold mount", "<= 5 round trips", {}),
                 us=lambda: middle(lambda: c.us("raw", [[[7, 8]]], whole=True)),
                 s3fs=lambda: c.s3fs("raw", [[[7, 8]]]))
    return judged(row, lambda s: "%d round trips" % s["us"].chain, lambda s: s["us"].chain <= 5)


def cold_cached(c):
    """The first chunk after a restart, with metadata in the disk cache."""
    if "--cache-dir" not in c.flags:
        raise Missing("--cache-dir")

    def restarted():
        with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as cache:
            c.us("raw", [[[7, 8]]], "--cache-dir", cache, whole=True)
            return c.us("raw", [[[9, 10]]], "--cache-dir", cache, whole=True)
    row = gather(Row("cold-cached", "the same after a restart, metadata on disk", "<= 2 round trips", {}), us=restarted)
    return judged(row, lambda s: "%d round trips" % s["us"].chain, lambda s: s["us"].chain <= 2)


def listed(c):
    """The first chunk of a file that is known already."""
    row = gather(Row("listed", "first chunk of an open file", "one GET, <= 1.4 round trips", {}),
                 us=lambda: middle(lambda: c.us("raw", [[[7, 8]]])))
    return judged(row, lambda s: "%d GET, %.2f round trips" % (s["us"].requests, s["us"].seconds / 0.020),
                  lambda s: s["us"].requests == 1 and s["us"].seconds <= 1.4 * 0.020)


def random_chunks(c):
    """Chunks anywhere, one by one."""
    store = c.store("raw")
    chosen = rows(store, 200)
    picks = [[[at, at + 1]] for at in chosen]
    row = gather(Row("random", "%d random chunks of /raw, one by one" % len(chosen), "<= 1.10 x bare serial, no GET more, <= 1.025 x bytes", {}),
                 bare=lambda: c.bare("raw", chosen, in_flight=1), us=lambda: c.us("raw", picks),
                 s3fs=lambda: c.s3fs("raw", picks), **{"s3fs tuned": lambda: c.s3fs("raw", picks, tuned=True)},
                 rclone=lambda: c.rclone("raw", picks), zarr=lambda: c.zarr("raw", picks), local=lambda: c.local("raw", picks))
    return judged_random(row, chosen)


def judged_random(row, chosen):
    """Reads here and there against a bare client that asks for one chunk after the other."""
    return judged(row, lambda s: "%.2f x bare, %d GETs, %.3f x bytes" % (
        ratio(s, "us", "bare"), s["us"].requests, s["us"].fetched / s["us"].bytes),
        lambda s: ratio(s, "us", "bare") <= 1.10 and s["us"].requests <= len(chosen) and s["us"].fetched <= 1.025 * s["us"].bytes)


def random_shared(c):
    """The same by sixteen processes."""
    chosen = rows(c.store("raw"), 200)
    picks = [[[at, at + 1]] for at in chosen]
    parts = [picks[at::16] for at in range(16)]
    row = gather(Row("random16", "the same, by 16 processes", ">= 8 x one process, or bare's rate", {}),
                 bare=lambda: c.bare("raw", chosen, in_flight=64), one=lambda: c.us("raw", picks),
                 us=lambda: c.us("raw", None, processes=parts))
    return judged(row, lambda s: "%.1f x one, %.2f x bare" % (1 / ratio(s, "us", "one"), ratio(s, "us", "bare")),
                  lambda s: ratio(s, "one", "us") >= 8 or s["us"].rate >= 0.95 * s["bare"].rate)


def again(c):
    """The same chunks by a new open in the same mount."""
    store = c.store("raw")
    picks = [[[at, at + 1]] for at in rows(store, 200)]

    def second():
        # The first reading takes as long as a version of a store without `.info.json` lasts by itself.
        with c.mount("raw", "--metadata-ttl", "60") as (path, mount):
            reader = [job("h5py", {"path": path}, store, picks)]
            c.world.read(reader, mount.process.pid)
            return c.world.read(reader, mount.process.pid)
    row = gather(Row("again", "the same again, new open", "0 requests, <= 0.05 s", {}), us=second,
                 local=lambda: c.local("raw", picks))
    return judged(row, lambda s: "%d requests, %.3f s" % (s["us"].requests, s["us"].seconds),
                  lambda s: s["us"].requests == 0 and s["us"].seconds <= 0.05)


def dd_capped(c):
    """A file as it is, all connections together limited."""
    return rate_row(c, "dd-capped", "dd of /raw, cold, 400 MB/s in all", ">= 0.9 x bare", 0.9, "raw", "plain", mbps_total=400)


def dd(c):
    """A file as it is, without limits."""
    return rate_row(c, "dd", "dd of /raw, cold, no limit", ">= 0.7 x bare", 0.7, "raw", "plain")


def sequential_capped(c):
    """h5py, all connections together limited."""
    return rate_row(c, "seq-capped", "h5py sequential /raw, 400 MB/s in all", ">= 0.85 x bare", 0.85, "raw", mbps_total=400)


def sequential_connections(c):
    """h5py, each connection limited."""
    return rate_row(c, "seq-conn", "h5py sequential /raw, 100 MB/s per connection", ">= 0.85 x bare", 0.85, "raw",
                    mbps_per_connection=100)


def sequential(c):
    """h5py, without limits, among all others."""
    row = rate_row(c, "seq", "h5py sequential /raw, no limit", ">= 0.6 x bare, <= 1.02 x bytes", 0.6, "raw",
                   others=("s3fs", "rclone", "s3fs_fuse", "zarr", "tensorstore", "hsds", "local"))
    if row.reached:
        row.reached = row.samples["us"].fetched <= 1.02 * row.samples["us"].bytes
    return row


def whole(c):
    """All of /raw in one call."""
    row = gather(Row("whole", "the whole of /raw in one call", "<= tensorstore", {}),
                 bare=lambda: c.bare("raw"), us=lambda: middle(lambda: c.us("raw", [[]])),
                 tensorstore=lambda: middle(lambda: c.tensorstore("raw", [[]])), zarr=lambda: c.zarr("raw", [[]]),
                 **{"s3fs tuned": lambda: c.s3fs("raw", [[]], tuned=True)}, hsds=lambda: c.hsds("raw", [[]]))
    return judged(row, lambda s: "%.2f x tensorstore" % ratio(s, "us", "tensorstore"),
                  lambda s: ratio(s, "us", "tensorstore") <= 1)


def compressed(c, store, zarr):
    """A compressed store, against libhdf5 on a local file with the same values."""
    known = c.store(store)
    makers = {"bare": lambda: c.bare(store), "local": lambda: c.local(store, steps(known)),
              "us": lambda: c.us(store, steps(known))}
    if zarr:
        makers.update(zarr=lambda: c.zarr(store, steps(known)), tensorstore=lambda: c.tensorstore(store, steps(known)),
                      hsds=lambda: c.hsds(store, steps(known)))
    row = gather(Row(store, "h5py sequential /" + store, ">= 3 x the local file", {}), **makers)
    return judged(row, lambda s: "%.2f x the local file's rate" % ratio(s, "local", "us"),
                  lambda s: ratio(s, "local", "us") >= 3)


def gz(c):
    """shuffle and deflate."""
    return compressed(c, "gz", True)


def blosc(c):
    """Blosc frames."""
    return compressed(c, "blosc", False)


def linked(c):
    """The chunks of /gz behind links into a plain file."""
    return compressed(c, "linked", False)


def parts(c):
    """Eight processes, each with its own part."""
    store = c.store("raw")
    size = store["dims"][0] // 8
    shares = [steps(store)[at * size:(at + 1) * size] for at in range(8)]
    row = gather(Row("parts8", "8 processes, each its own part of /raw", ">= 0.8 x bare, no chunk twice", {}),
                 bare=lambda: c.bare("raw"), us=lambda: c.us("raw", None, processes=shares))
    return judged(row, lambda s: "%.2f x bare, %d GETs" % (s["us"].rate / s["bare"].rate, s["us"].requests),
                  lambda s: s["us"].rate >= 0.8 * s["bare"].rate and s["us"].requests <= len(store["keys"]))


def column(c):
    """A time series of one site through the linked twin."""
    store = c.store("s2")
    at = store["column"]
    wide = store["counts"][1]
    picks = [[[0, store["dims"][0]], [at, at + 1]]]
    chosen = [row * wide + at // store["chunk"][1] for row in range(store["counts"][0])]
    row = gather(Row("s2-column", "twin S2, one column (7 chunks of 2 MB)", "<= 3 round trips + transfer", {}),
                 bare=lambda: c.bare("s2", chosen), us=lambda: middle(lambda: c.us("s2", picks)),
                 s3fs=lambda: c.s3fs("s2", picks), **{"s3fs tuned": lambda: c.s3fs("s2", picks, tuned=True)},
                 hsds=lambda: c.hsds("s2", picks))
    return judged(row, lambda s: "%d round trips, %.2f x bare" % (s["us"].chain, ratio(s, "us", "bare")),
                  lambda s: s["us"].chain <= 3)


def map_row(c):
    """One moment at all sites of the linked twin."""
    store = c.store("s2")
    picks = [[[store["row"], store["row"] + 1]]]
    row = gather(Row("s2-row", "twin S2, a map row (%d chunks)" % store["counts"][1], ">= 32 in flight at peak", {}),
                 us=lambda: c.us("s2", picks))
    return judged(row, lambda s: "%d in flight, %d requests" % (s["us"].peak, s["us"].requests), lambda s: s["us"].peak >= 32)


def points(c):
    """Points anywhere in the linked twin."""
    store = c.store("s2")
    picks = [[[a, a + 1], [b, b + 1]] for a, b in store["points"]]
    row = gather(Row("s2-points", "twin S2, %d random points" % len(picks), "<= one round trip a point", {}),
                 us=lambda: c.us("s2", picks))
    return judged(row, lambda s: "%d round trips" % s["us"].chain, lambda s: s["us"].chain <= len(picks))


def points_warmed(c):
    """The same points, warmed before."""
    if not c.has_command("warm"):
        raise Missing("h5mount warm")
    store = c.store("s2")
    picks = [[[a, a + 1], [b, b + 1]] for a, b in store["points"]]

    def warmed():
        # The chunks of these points are more than the memory limit, so they are kept on disk.
        with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as cache, c.mount("s2", "--cache-dir", cache) as (path, mount):
            listing = mount.folder / "points"
            listing.write_text("".join("%d %d\n" % tuple(point) for point in store["points"]))
            c.world.proxy.reset()
            subprocess.run([mounting.binary(), "warm", path, "/" + store["dataset"], "--points", str(listing)], check=True,
                           capture_output=True, timeout=300)
            trips = c.world.proxy.stats()["chain"]
            sample = c.world.read([job("h5py", {"path": path}, store, picks)], mount.process.pid)
            sample.chain += trips
            return sample
    row = gather(Row("s2-warm", "the same with warm --points before", "<= 60 round trips", {}), us=warmed)
    return judged(row, lambda s: "%d round trips" % s["us"].chain, lambda s: s["us"].chain <= 60)


def s1_map(c):
    """One map of the twin in schema v1."""
    store = c.store("s1")
    row = gather(Row("s1-map", "twin S1, one map (288 chunks)", ">= 0.5 x bare", {}), bare=lambda: c.bare("s1"),
                 us=lambda: c.us("s1", [[[store["hour"], store["hour"] + 1]]]))
    return judged(row, lambda s: "%.2f x bare" % ratio(s, "bare", "us"), lambda s: ratio(s, "bare", "us") >= 0.5)


def small(c):
    """Many small chunks."""
    store = c.store("small")
    # Of 100,000 chunks, which zarr-python asks for one after the other: an hour at 20 ms each.
    picks = steps(store, 64)[:SMALL // 64]
    row = gather(Row("small", "h5py sequential, %d chunks of /small" % SMALL, ">= 3 x zarr-python", {}),
                 bare=lambda: c.bare("small", list(range(SMALL))),
                 us=lambda: c.us("small", picks), zarr=lambda: c.zarr("small", picks),
                 tensorstore=lambda: c.tensorstore("small", picks), local=lambda: c.local("small", picks))
    return judged(row, lambda s: "%.2f x zarr-python" % ratio(s, "zarr", "us"), lambda s: ratio(s, "zarr", "us") >= 3)


def cube(c):
    """Large cubes along each axis."""
    store = c.store("cube")
    row = Row("cube", "/cube along each axis", ">= 3 x zarr-python, no axis > 2 x another", {})
    length = len(store["present"]) // 3
    for along in range(3):
        picks = [[[at * 96, (at + 1) * 96] for at in index] for index in store["present"][along * length:(along + 1) * length]]
        gather(row, **{"us, axis %d" % along: lambda picks=picks: c.us("cube", picks),
                       "zarr, axis %d" % along: lambda picks=picks: c.zarr("cube", picks)})

    def worst(s):
        return min(ratio(s, "zarr, axis %d" % along, "us, axis %d" % along) for along in range(3))

    def spread(s):
        times = [s["us, axis %d" % along].seconds for along in range(3)]
        return max(times) / min(times)
    return judged(row, lambda s: "%.2f x zarr-python, spread %.2f" % (worst(s), spread(s)),
                  lambda s: worst(s) >= 3 and spread(s) <= 2)


def page_cache_row(c, name, about, store, *options):
    """What the kernel holds already, against a local file of which it does."""
    known = c.store(store)

    def warm():
        with c.mount(store, *options) as (path, mount):
            reader = [job("plain", {"path": path}, known, [])]
            c.world.read(reader, mount.process.pid)
            return middle(lambda: c.world.read(reader, mount.process.pid))
    row = gather(Row(name, about, ">= 4 GB/s, >= 0.9 x a local file", {}), us=warm,
                 local=lambda: middle(lambda: c.local(store, [], kind="plain")))
    return judged(row, lambda s: "%.0f MB/s, %.2f x local" % (s["us"].rate, s["us"].rate / s["local"].rate),
                  lambda s: s["us"].rate >= 4000 and s["us"].rate >= 0.9 * s["local"].rate)


def page_cache(c):
    """/raw once more."""
    return page_cache_row(c, "warm", "/raw again, out of the page cache", "raw")


def objects(c):
    """A file of very many objects, opened twice, and where there is a disk cache after a restart."""
    store = c.store("objects")
    picks = [[]]

    def twice():
        with c.mount("objects") as (path, mount):
            reader = [job("h5py", {"path": path}, {**store, "dataset": "group_000/d0000"}, picks)]
            first = c.world.read(reader, mount.process.pid, whole=True)
            return first, c.world.read(reader, mount.process.pid, whole=True)
    row = Row("objects", "opening a file of %d objects, then again" % store["objects"], "again: <= 3 round trips", {})
    try:
        row.samples["us"], row.samples["us, again"] = twice()
    except Exception as error:  # as in gather
        row.failed["us"] = str(error)
    return judged(row, lambda s: "%.1f s, then %d round trips" % (s["us"].seconds, s["us, again"].chain),
                  lambda s: s["us, again"].chain <= 3)


def objects_indexed(c):
    """The same file behind an index that was written before."""
    if not c.has_command("index") or "--index-dir" not in c.flags:
        raise Missing("h5mount index and --index-dir")
    store = c.store("objects")

    def indexed():
        with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as index:
            flags = ["--endpoint", c.world.proxy.endpoint, "--no-sign-request", "--index-dir", index]
            subprocess.run([mounting.binary(), "index", *flags, "s3://objects"], check=True, capture_output=True, timeout=LONGEST)
            with c.mount("objects", "--index-dir", index) as (path, mount):
                reader = [job("h5py", {"path": path}, {**store, "dataset": "group_000/d0000"}, [[]])]
                return c.world.read(reader, mount.process.pid, whole=True)
    row = gather(Row("objects-index", "opening it with an index", "<= 3 round trips", {}), us=indexed)
    return judged(row, lambda s: "%d round trips, %.2f s" % (s["us"].chain, s["us"].seconds), lambda s: s["us"].chain <= 3)


def walked(c, store, *options):
    """Everything of an HDF5 file looked at, from opening on."""
    known = c.store(store)
    with c.mount(store, *options) as (path, mount):
        return c.world.read([job("walk", {"path": path}, known, [])], mount.process.pid, whole=True)


def local_walk(c, store):
    """The same of the file on this machine's disk."""
    known = c.store(store)
    return c.world.read([job("walk", {"path": "%s/store/%s" % (known["folder"], known["file"])}, known, [])], whole=True)


@contextlib.contextmanager
def indexes(c, store):
    """A folder with the index of a store's files."""
    if not c.has_command("index") or "--index-dir" not in c.flags:
        raise Missing("h5mount index and --index-dir")
    c.store(store)
    with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as folder:
        flags = ["--endpoint", c.world.proxy.endpoint, "--no-sign-request", "--index-dir", folder]
        subprocess.run([mounting.binary(), "index", *flags, "s3://" + store], check=True, capture_output=True, timeout=LONGEST)
        yield folder


def strewn_first(c, store, goal, reached):
    """A walk over a file that nobody has opened before."""
    row = gather(Row(store, "walk over everything, first ever", goal, {}), us=lambda: middle(lambda: walked(c, store)),
                 local=lambda: middle(lambda: local_walk(c, store)))
    metadata = c.store(store)["metadata"]
    return judged(row, lambda s: "%.2f s, %d requests, %.1f x the metadata" % (
        s["us"].seconds, s["us"].requests, s["us"].fetched / metadata), lambda s: reached(s["us"], metadata))


def strewn(c):
    """Of 112 MB."""
    return strewn_first(c, "strewn", "<= 1.0 s, <= 16 requests", lambda us, _: us.seconds <= 1 and us.requests <= 16)


def strewn_large(c):
    """Of 2.1 GB (quick: 330 MB)."""
    return strewn_first(c, "strewn20", "<= 3 s, <= 3 x the metadata's bytes",
                        lambda us, metadata: us.seconds <= 3 and us.fetched <= 3 * metadata)


def strewn_second(c, store):
    """The walk again after a restart, with what the first kept on disk."""
    if "--cache-dir" not in c.flags:
        raise Missing("--cache-dir")

    def restarted():
        with tempfile.TemporaryDirectory(prefix="h5mount-bench-") as cache:
            walked(c, store, "--cache-dir", cache)
            return walked(c, store, "--cache-dir", cache)
    row = gather(Row(store, "the walk again after a restart", "<= 1 request", {}), us=lambda: middle(restarted))
    return judged(row, lambda s: "%.2f s, %d requests" % (s["us"].seconds, s["us"].requests), lambda s: s["us"].requests <= 1)


def strewn_index(c, store):
    """The walk with an index that was written before, on another node."""
    def indexed():
        with indexes(c, store) as folder:
            return middle(lambda: walked(c, store, "--index-dir", folder))
    row = gather(Row(store, "the walk with an index", "<= 0.2 s, <= 3 requests", {}), us=indexed,
                 local=lambda: middle(lambda: local_walk(c, store)))
    return judged(row, lambda s: "%.2f s (%.2f x local), %d requests" % (
        s["us"].seconds, ratio(s, "us", "local"), s["us"].requests), lambda s: s["us"].seconds <= 0.2 and s["us"].requests <= 3)


def strewn_one(c, store):
    """One variable of 300 chunks that lie together, with an index, from opening on."""
    def indexed():
        with indexes(c, store) as folder:
            return middle(lambda: c.us(store, [[]], "--index-dir", folder, whole=True))
    row = gather(Row(store, "one variable (300 chunks) with an index", "<= 0.2 s, <= 1.05 x its stored bytes", {}), us=indexed)
    stored = c.store(store)["stored"]
    return judged(row, lambda s: "%.2f s, %d requests, %.2f x its bytes" % (
        s["us"].seconds, s["us"].requests, s["us"].fetched / stored),
        lambda s: s["us"].seconds <= 0.2 and s["us"].fetched <= 1.05 * stored)


def cpu(c):
    """What a cold gigabyte costs the daemon."""
    row = gather(Row("cpu", "daemon CPU per GB, /raw cold", "<= 0.8 s", {}),
                 us=lambda: middle(lambda: c.us("raw", [], kind="plain")))
    return judged(row, lambda s: "%.2f s" % (s["us"].cpu / s["us"].bytes * 1e9), lambda s: s["us"].cpu / s["us"].bytes * 1e9 <= 0.8)


def memory(c):
    """Most memory that the daemon holds for one stream and for 64 readers."""
    limit = 256 << 20
    options = ["--memory-limit", "256MiB"] if "--memory-limit" in c.flags else []
    store = c.store("raw")
    readers = [steps(store)[at::64] for at in range(64)]

    def opened():
        files = c.store("files")
        with c.mount("files", *options) as (path, mount):
            folder = path.rsplit("/", 1)[0]
            paths = ["%s/%s" % (folder, name) for name in files["files"]]
            return c.world.read([job("many", {"paths": paths}, files, [[]])], mount.process.pid, whole=True)
    row = gather(Row("memory", "peak RSS at 256 MiB: 1 stream, 64 readers, open files", "<= limit + 64 MiB", {}),
                 **{"1 stream": lambda: c.us("raw", steps(store), *options),
                    "64 readers": lambda: c.us("raw", None, *options, processes=readers), "open files": opened})
    held = ("1 stream", "64 readers", "open files")
    row.about += "" if options else " (no --memory-limit in this build)"
    return judged(row, lambda s: "%d, %d, %d MiB" % tuple(s[name].rss >> 20 for name in held),
                  lambda s: bool(options) and max(s[name].rss for name in held) <= limit + (64 << 20))


def disturbed(c, name, about, **weather):
    """A sequential read in bad weather against the same in good."""
    store = c.store("raw")

    def stormy():
        c.world.weather(**weather)
        try:
            return c.us("raw", steps(store), check=True)
        finally:
            c.world.weather()
    row = gather(Row(name, about, "<= 1.5 x undisturbed, no wrong byte", {}),
                 undisturbed=lambda: c.us("raw", steps(store), check=True), us=stormy)
    return judged(row, lambda s: "%.2f x undisturbed" % ratio(s, "us", "undisturbed"),
                  lambda s: ratio(s, "us", "undisturbed") <= 1.5 and s["us"].checksum == s["undisturbed"].checksum)


def refused(c):
    """Every fourth request is refused."""
    return disturbed(c, "503", "every 4th request 503", fail_every=4)


def cut(c):
    """Every fifth body is cut."""
    return disturbed(c, "cut", "every 5th body cut", cut_every=5)


def stalled(c):
    """Bodies that stop in their middle."""
    def slowest():
        c.world.weather(stall_every=10, stall_ms=5000)
        try:
            chosen = rows(c.store("raw"), 30)
            return c.us("raw", [[[at, at + 1]] for at in chosen])
        finally:
            c.world.weather()
    row = gather(Row("stall", "30 chunks, every 10th body stalled for 5 s", "each stall answered within 3 x 250 ms", {}), us=slowest)
    return judged(row, lambda s: "%.2f s" % s["us"].seconds, lambda s: s["us"].seconds <= 30 * 0.028 + 3 * 0.75)


def of(measure, store):
    """A measure of one store."""
    return functools.wraps(measure)(lambda c: measure(c, store))


ROWS = {"cold": cold, "cold-cached": cold_cached, "listed": listed, "random": random_chunks, "random16": random_shared, "again": again,
        "dd-capped": dd_capped, "dd": dd, "seq-capped": sequential_capped, "seq-conn": sequential_connections,
        "seq": sequential, "whole": whole, "gz": gz, "blosc": blosc, "linked": linked, "parts8": parts,
        "s2-column": column, "s2-row": map_row, "s2-points": points, "s2-warm": points_warmed, "s1-map": s1_map,
        "small": small, "cube": cube, "warm": page_cache, "objects": objects, "objects-index": objects_indexed,
        "strewn": strewn, "strewn-second": of(strewn_second, "strewn"), "strewn-index": of(strewn_index, "strewn"),
        "strewn-one": of(strewn_one, "strewn"), "strewn20": strewn_large, "strewn20-second": of(strewn_second, "strewn20"),
        "strewn20-index": of(strewn_index, "strewn20"), "strewn20-one": of(strewn_one, "strewn20"), "cpu": cpu, "memory": memory,
        "503": refused, "cut": cut, "stall": stalled}
