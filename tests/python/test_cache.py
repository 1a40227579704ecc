"""What the disk cache and indexes save after a restart, and that a disk which is damaged, full, foreign or shared costs speed
and never an error or a wrong byte.
"""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import time

import conftest
import mounting
import numpy
import pytest
import writer
from servers.gate import Gate
from servers.s3 import S3, flags

CHUNKS = 32
ELEMENTS = 4096  # of a chunk
BYTES = 4 * ELEMENTS
VALUES = numpy.random.default_rng(7).integers(0, 1 << 30, CHUNKS * ELEMENTS, dtype="<i4")

READ = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    data = file["data"][int(sys.argv[2]):int(sys.argv[3])]
sys.stdout.buffer.write(data.tobytes())
"""
LIST = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    print(len(file))
"""


@pytest.fixture
def bucket(tmp_path):
    """A bucket with one small file."""
    made = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(made, "x.h5")
    data = domain.dataset("data", writer.I32, (CHUNKS * ELEMENTS,), (ELEMENTS,), top_layout=False)
    for at in range(CHUNKS):
        domain.chunk(data, (at,), part(at, at + 1))
    domain.write()
    return made


def part(first, end):
    """Bytes of chunks."""
    return VALUES[first * ELEMENTS:end * ELEMENTS].tobytes()


def run(interpreters, *arguments, seconds=120):
    """Output of a program that reads with h5py, in a process of its own."""
    done = subprocess.run([interpreters["3.16"], "-c", *map(str, arguments)], capture_output=True, check=False,
                          timeout=seconds)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def read(interpreters, mount, first=0, end=CHUNKS):
    """Reads chunks, and holds them against what was written."""
    found = run(interpreters, READ, mount / "x.h5", first * ELEMENTS, end * ELEMENTS)
    assert found == part(first, end)


def cached(server, cache, folder, *more):
    """A mount with a disk cache."""
    return mounting.mounted("s3://bucket", *flags(server.endpoint), "--cache-dir", cache, *more, folder=folder)


def chunks(server):
    """What was asked of chunks: number and bytes."""
    asked = [entry for entry in server.requests() if "/d/" in entry["key"] and not entry["key"].endswith(".json")
             and entry["method"] != "LIST"]
    return len(asked), sum(entry["bytes"] for entry in asked)


def records(cache):
    """Files of a cache that hold something."""
    return [path for path in pathlib.Path(cache).glob("??/*") if path.is_file()]


def warmed(server, cache, folder, interpreters):
    """Reads all once, with a mount that ends."""
    with cached(server, cache, folder) as mount:
        read(interpreters, mount)
    # All chunks, and what describes the file.
    assert len(records(cache)) == CHUNKS + 1


def test_the_first_chunk_after_a_restart(bucket, tmp_path, interpreters):
    """Two round trips: what describes the file is compared, the chunk is read; of a chunk that is kept nothing is sent."""
    cache = tmp_path / "cache"
    with S3({"bucket": bucket.folder}) as server, Gate(server) as gate:
        with cached(gate, cache, tmp_path / "a") as mount:
            run(interpreters, LIST, mount / "x.h5")
        for again, sent in ((1, BYTES), (2, 0)):
            with cached(gate, cache, tmp_path / ("b%d" % again)) as mount:
                gate.quiet()
                gate.reset()
                server.reset()
                read(interpreters, mount, 1, 2)
                gate.quiet()
                assert len(gate.waves) <= 2, gate.waves
                # The kernel reads ahead, others of them too.
                assert [entry["bytes"] for entry in server.requests() if entry["key"].endswith("/1")] == [sent]


def test_a_restart_costs_a_question_for_each_chunk_and_no_byte(bucket, tmp_path, interpreters):
    """Each chunk is asked for once in a version; where nothing changes, not at all."""
    cache = tmp_path / "cache"
    with S3({"bucket": bucket.folder}) as server:
        warmed(server, cache, tmp_path / "a", interpreters)
        assert chunks(server) == (CHUNKS, CHUNKS * BYTES)
        server.reset()
        with cached(server, cache, tmp_path / "b") as mount:
            read(interpreters, mount)
        assert chunks(server) == (CHUNKS, 0)
        server.reset()
        with cached(server, cache, tmp_path / "c", "--immutable") as mount:
            read(interpreters, mount)
        assert chunks(server) == (0, 0)


def test_what_changed_while_nobody_looked(bucket, tmp_path, interpreters):
    """A chunk and a description that were replaced between two mounts are shown as they are now."""
    cache = tmp_path / "cache"
    with S3({"bucket": bucket.folder}) as server:
        warmed(server, cache, tmp_path / "a", interpreters)
        key = next(entry["key"] for entry in server.requests() if entry["key"].endswith("/3"))
        server.put("bucket", key, bytes(BYTES))
        with cached(server, cache, tmp_path / "b") as mount:
            found = run(interpreters, READ, mount / "x.h5", 0, 5 * ELEMENTS)
        assert found == part(0, 3) + bytes(BYTES) + part(4, 5)
        server.delete("bucket", "x.h5/.domain.json")
        with cached(server, cache, tmp_path / "c") as mount:
            assert not (mount / "x.h5").is_file()


def test_damaged_records(bucket, tmp_path, interpreters):
    """A flipped bit in every file, files cut anywhere, empty, too long, or exchanged: right bytes, fetched again."""
    cache = tmp_path / "cache"
    chance = random.Random(5)

    def flip(data):
        at = chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]

    damages = [flip, flip, lambda data: data[:chance.randrange(len(data))], lambda data: b"", lambda data: data + b"x"]
    with S3({"bucket": bucket.folder}) as server:
        warmed(server, cache, tmp_path / "first", interpreters)
        for number, damage in enumerate(damages):
            for path in records(cache):
                path.write_bytes(damage(path.read_bytes()))
            server.reset()
            with cached(server, cache, tmp_path / ("m%d" % number)) as mount:
                read(interpreters, mount)
            assert chunks(server) == (CHUNKS, CHUNKS * BYTES)
            assert len(records(cache)) == CHUNKS + 1
        one, other = records(cache)[:2]
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)
        with cached(server, cache, tmp_path / "exchanged") as mount:
            read(interpreters, mount)


@contextlib.contextmanager
def tmpfs(folder, size):
    """A disk of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s" % size, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts disks")
def test_a_full_disk(bucket, tmp_path, interpreters):
    """Somebody fills the disk to its last byte, before and while it is used; what was kept of it goes first."""
    with S3({"bucket": bucket.folder}) as server, tmpfs(tmp_path / "disk", "2m") as disk:
        (disk / "filler").write_bytes(bytes(1 << 20))
        with cached(server, disk / "cache", tmp_path / "a") as mount:
            read(interpreters, mount)
            with contextlib.suppress(OSError), open(disk / "filler", "ab") as filler:
                while True:
                    filler.write(bytes(4096))
                    filler.flush()
            read(interpreters, mount)
        with cached(server, disk / "cache", tmp_path / "b") as mount:
            read(interpreters, mount)
            assert "full" in mount.log() or "cannot be written" in mount.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts disks")
def test_a_disk_that_may_not_be_written_to(bucket, tmp_path, interpreters):
    """What is there is read; nothing is added, and the log says why."""
    with S3({"bucket": bucket.folder}) as server, tmpfs(tmp_path / "disk", "8m") as disk:
        cache = disk / "cache"
        warmed(server, cache, tmp_path / "a", interpreters)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        server.reset()
        with cached(server, cache, tmp_path / "b") as mount:
            read(interpreters, mount)
            assert "cannot be written" in mount.log()
        assert chunks(server) == (CHUNKS, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_files_of_another_user(bucket, tmp_path, interpreters):
    """They are not believed, whatever they hold."""
    cache = tmp_path / "cache"
    with S3({"bucket": bucket.folder}) as server:
        warmed(server, cache, tmp_path / "a", interpreters)
        for path in records(cache):
            os.chown(path, 12345, 12345)
        server.reset()
        with cached(server, cache, tmp_path / "b") as mount:
            read(interpreters, mount)
        assert chunks(server) == (CHUNKS, CHUNKS * BYTES)


def test_two_daemons_and_one_cache(bucket, tmp_path, interpreters):
    """One writes, the other reads what is there and says so; both give right bytes at the same time."""
    cache = tmp_path / "cache"
    with S3({"bucket": bucket.folder}) as server, cached(server, cache, tmp_path / "a") as one:
        read(interpreters, one, 0, 4)
        with cached(server, cache, tmp_path / "b") as other:
            for first in range(0, CHUNKS, 4):
                read(interpreters, one, first, first + 4)
                read(interpreters, other, first, first + 4)
            assert "another process keeps it" in other.log()
            assert "another process keeps it" not in one.log()


def test_a_cache_that_cannot_be(bucket, tmp_path, interpreters):
    """What is no folder, or one of other files, is refused before anything is mounted, and so is a size without a folder."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_bytes(b"")
    with S3({"bucket": bucket.folder}) as server, cached(server, tmp_path / "cache", tmp_path / "a") as mount:
        read(interpreters, mount)
        (tmp_path / "b").mkdir()
        for flag, value, reason in (("--cache-dir", tmp_path / "file", "no folder"), ("--cache-size", "1G", "--cache-dir"),
                                    ("--cache-dir", tmp_path / "home", "thesis.tex")):
            done = subprocess.run([mounting.binary(), "s3://bucket", tmp_path / "b", *flags(server.endpoint), flag, value],
                                  capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 2 and reason in done.stderr, done.stderr
        inside = subprocess.run([mounting.binary(), "s3://bucket", mount.point, "--cache-dir", mount / "c"],
                                capture_output=True, text=True, check=False, timeout=60)
        assert inside.returncode == 2 and "in the mount itself" in inside.stderr


def many(bucket, number):
    """A file of many objects that HSDS has counted, of more keys than a page of a listing."""
    domain = writer.Domain(bucket, "many.h5")
    for at in range(number - 1):
        domain.dataset("d%05d" % at, writer.I32, (10,), (10,), top_layout=False)
    domain.write()
    datasets = {key: {"num_chunks": 1000} for key in domain.objects if key[0] == "d"}
    below = "db/%s/" % domain.object_key(domain.root).split("/")[1]
    bucket.put_json(below + ".info.json", {
        "num_groups": 0, "num_datatypes": 0, "num_chunks": 1000 * number, "datasets": datasets, "scan_start": time.time() - 99})
    # Counted after all of it was written, both a while ago.
    for path in [*(bucket.folder / below).rglob("*.json"), bucket.folder / "many.h5/.domain.json"]:
        os.utime(path, (time.time() - (500 if path.name == ".info.json" else 1000),) * 2)
    return domain, below


@pytest.mark.parametrize("number", [2000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_file_of_many_objects_after_a_restart(number, tmp_path, interpreters):
    """Three round trips at most, from the disk cache or an index, in a folder or beside the file."""
    bucket = writer.Bucket(tmp_path / "bucket")
    many(bucket, number)
    with S3({"bucket": bucket.folder}) as server, Gate(server) as gate:
        # Through the gate, a hundred thousand requests take too long; where there are few, no more can wait for each other.
        gated = number < 10_000
        endpoint = flags((gate if gated else server).endpoint)

        def trips(name, *more):
            patience = ("--request-timeout", 900)
            with mounting.mounted("s3://bucket", *endpoint, *patience, *more, folder=tmp_path / name) as mount:
                gate.quiet()
                gate.reset()
                server.reset()
                begun = time.perf_counter()
                assert int(run(interpreters, LIST, mount / "many.h5", seconds=900)) == number - 1
                seconds = time.perf_counter() - begun
                gate.quiet()
                requests = server.stats()["requests"]
                found = len(gate.waves) if gated else requests
                conftest.COUNTED["%d objects, %s" % (number, name)] = "%s round trips, %d requests, %.1f s" % (
                    found if gated else "?", requests, seconds)
                return found

        cache, folder = ("--cache-dir", tmp_path / "cache"), ("--index-dir", tmp_path / "indexes")
        assert trips("cold", *cache) > number // 64
        # A large file takes so long to lay out that its name is looked up again meanwhile.
        assert trips("restart", *cache) <= (3 if gated else 6)
        told = subprocess.run([mounting.binary(), "index", "--json", *endpoint, *folder, "s3://bucket"],
                              capture_output=True, text=True, check=True, timeout=900)
        told = json.loads(told.stdout)
        assert (told["files"], told["written"], told["indexes"][0]["objects"]) == (1, 1, number)
        assert trips("index in a folder", *folder) <= (3 if gated else 6)
        told = subprocess.run([mounting.binary(), "index", *flags(server.endpoint), "s3://bucket/many.h5"],
                              capture_output=True, text=True, check=True, timeout=900)
        assert "1 index of 1 file written" in told.stdout, told.stdout
        # The domain; its root and statistics; the index, beside objects that are asked for until it is there: on a busy machine,
        # once more.
        assert trips("index beside the file") <= (4 if gated else number // 10)


def test_an_index_that_is_outdated_or_cannot_be_written(tmp_path, interpreters):
    """It shows nothing old; where none can be written the command says so."""
    bucket = writer.Bucket(tmp_path / "bucket")
    domain, below = many(bucket, 600)
    with S3({"bucket": bucket.folder}) as server:
        folder = ["--index-dir", tmp_path / "indexes"]
        command = [mounting.binary(), "index", *flags(server.endpoint)]
        subprocess.run([*command, *folder, "s3://bucket"], check=True, capture_output=True, timeout=120)
        root = domain.objects[domain.root]
        root["links"].pop("d00000")
        server.put("bucket", domain.object_key(domain.root), json.dumps(root).encode())
        # HSDS has not counted yet: no index of that.
        done = subprocess.run([*command, *folder, "s3://bucket"], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and "has not counted" in done.stdout
        info = json.loads((bucket.folder / below / ".info.json").read_bytes())
        server.put("bucket", below + ".info.json", json.dumps({**info, "num_groups": 1}).encode())
        with mounting.mounted("s3://bucket", *flags(server.endpoint), *folder, folder=tmp_path / "m") as mount:
            assert int(run(interpreters, LIST, mount / "many.h5")) == 598
        server.rules({"actions": ["put"], "code": "AccessDenied"})
        done = subprocess.run([*command, "s3://bucket"], check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1 and "denied" in done.stdout, (done.stdout, done.stderr)
    done = subprocess.run([mounting.binary(), "index", str(bucket.folder)], check=True, capture_output=True, text=True, timeout=60)
    assert "needs none" in done.stdout
