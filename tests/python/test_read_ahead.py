"""What reading costs in requests, bytes and memory, counted at the server.  No time is held against anything."""

import contextlib
import os
import random
import signal
import subprocess
import time

import conftest
import mounting
import numpy as np
import pytest
import writer
from servers.gate import Gate
from servers.s3 import S3, flags

AT_ONCE = 64  # requests in flight of one mount
F32 = {"class": "H5T_FLOAT", "base": "H5T_IEEE_F32LE"}

READ = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    data = file["data"]
    total = 0.0
    for where in eval(sys.argv[2]):
        total += float(data[where].astype("f8").sum())
print(repr(total))
"""

SCATTERED = """
import concurrent.futures, os, random, sys
import h5py, numpy as np
path, seed, threads, reads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with h5py.File(path, "r") as file:
    data = file["data"]
    columns, deep = data.shape[1], data.chunks[0]
    starts = [data.id.get_chunk_info_by_coord((row, 0)).byte_offset for row in range(0, data.shape[0], deep)]
handle = os.open(path, os.O_RDONLY)
os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
def one(number):
    where = random.Random(seed * 100_003 + number)
    chunk, row = where.randrange(len(starts)), where.randrange(deep)
    seen = np.frombuffer(os.pread(handle, 4 * columns, starts[chunk] + 4 * columns * row), "<f4")
    first = (chunk * deep + row) * columns
    assert (seen == (np.arange(first, first + columns) % 1013)).all(), (chunk, row)
with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    print(sum(1 for _ in pool.map(one, range(reads))))
"""


def stored(folder, shape, chunk, kind=np.float32):
    """A store with one file, `data.h5`, of one dataset; its values, and the keys of its chunks."""
    bucket = writer.Bucket(folder / "bucket")
    domain = writer.Domain(bucket, "data.h5")
    number = domain.dataset("data", F32, shape, chunk)
    values = (np.arange(int(np.prod(shape))) % 1013).astype(kind).reshape(shape)
    counts = [-(-extent // size) for extent, size in zip(shape, chunk)]
    for index in np.ndindex(*counts):
        part = np.zeros(chunk, kind)
        inside = values[tuple(slice(at * size, (at + 1) * size) for at, size in zip(index, chunk))]
        part[tuple(slice(0, extent) for extent in inside.shape)] = inside
        domain.chunk(number, index, part.tobytes())
    domain.write()
    return bucket, values


def chunks(requests):
    """Requests for chunks among those of a server."""
    return [entry for entry in requests if entry["method"] == "GET" and entry["key"].rsplit("/", 1)[-1][0].isdigit()]


def read(python, path, wheres, values):
    """Reads parts of the file in a process of its own, in order, and checks their sum."""
    done = subprocess.run([python, "-c", READ, path, wheres], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = sum(float(values[where].astype("f8").sum()) for where in eval(wheres))
    assert float(done.stdout) == pytest.approx(expected)


def waves_of(tmp_path, bucket, values, python, wheres):
    """The round trips for chunks that depend on each other, and all chunks that were asked for."""
    with S3({"bucket": bucket.folder}) as server, Gate(server, AT_ONCE) as gate, mounting.mounted(
            "s3://bucket", *flags(gate.endpoint), "--region", "us-east-1", "--immutable", folder=tmp_path) as mount:
        os.stat(mount / "data.h5")
        gate.quiet()
        gate.reset()
        server.reset()
        read(python, mount / "data.h5", wheres, values)
        gate.quiet()
        return len(gate.waves), [entry["key"] for entry in chunks(server.requests())]


def test_a_time_series_through_maps(tmp_path, interpreters):
    """A column of seven chunks along the slowest axis: three round trips, and no chunk but these."""
    bucket, values = stored(tmp_path, (7, 512, 512), (1, 128, 128))
    waves, keys = waves_of(tmp_path, bucket, values, interpreters["3.16"], "[(slice(None), 200, 200)]")
    conftest.COUNTED["round trips, a column of 7 chunks"] = "%d (limit 3), %d requests" % (waves, len(keys))
    assert waves <= 3
    assert len(keys) == 7 and len(set(keys)) == 7


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_walk_along_each_axis(axis, tmp_path, interpreters):
    """Planes of a cube, one after the other: each chunk once, and far fewer round trips than chunks."""
    bucket, values = stored(tmp_path, (24, 24, 24), (4, 4, 4))
    wheres = "[tuple([slice(None)] * %d + [slice(at, at + 4)]) for at in range(0, 24, 4)]" % axis
    waves, keys = waves_of(tmp_path, bucket, values, interpreters["3.16"], wheres)
    conftest.COUNTED["round trips, a cube of 216 chunks along axis %d" % axis] = "%d, %d requests" % (waves, len(keys))
    assert len(keys) == 216 == len(set(keys))
    assert waves <= 36, waves


def test_a_scan_and_the_same_again(tmp_path, interpreters):
    """From one end to the other each chunk is asked for once; again, in a new open, nothing is."""
    bucket, values = stored(tmp_path, (4096, 256), (16, 256))
    with S3({"bucket": bucket.folder}) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), folder=tmp_path, environment={}) as mount:
        read(interpreters["3.16"], mount / "data.h5", "[slice(at, at + 16) for at in range(0, 4096, 16)]", values)
        keys = [entry["key"] for entry in chunks(server.requests())]
        assert len(keys) == 256 == len(set(keys))
        server.reset()
        read(interpreters["3.16"], mount / "data.h5", "[slice(at, at + 16) for at in range(0, 4096, 16)]", values)
        assert not chunks(server.requests())


def test_chunks_here_and_there(tmp_path, interpreters):
    """Of chunks read at random each is asked for once, and hardly any other."""
    bucket, values = stored(tmp_path, (2048 * 16, 64), (16, 64))
    places = random.Random(7).sample(range(2048), 150)
    with S3({"bucket": bucket.folder}) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), folder=tmp_path) as mount:
        wheres = "[slice(at * 16, at * 16 + 16) for at in %r]" % places
        read(interpreters["3.16"], mount / "data.h5", wheres, values)
        keys = [entry["key"] for entry in chunks(server.requests())]
        conftest.COUNTED["requests, 150 random chunks"] = "%d (limit 165)" % len(keys)
        assert len(keys) == len(set(keys)) and len(keys) <= 165


def test_a_few_bytes_of_a_large_chunk(tmp_path):
    """One value: a page around it.  A third place in the same chunk: the whole chunk, once."""
    bucket, _ = stored(tmp_path, (4, 1 << 18), (1, 1 << 18))
    with S3({"bucket": bucket.folder}) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), folder=tmp_path) as mount:
        path = mount / "data.h5"
        size = os.stat(path).st_size
        server.reset()
        with open(path, "rb", buffering=0) as file:
            # Chunks are the end of the file but for its last page.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            first = size - 4096 - (4 << 20)
            for at, whole in ((0, False), (300_000, False), (600_000, True), (900_000, True)):
                assert len(os.pread(file.fileno(), 4, first + at)) == 4
                asked = chunks(server.requests())
                assert any(entry["status"] == 200 for entry in asked) == whole, asked
            assert [entry["status"] for entry in asked].count(200) == 1
        assert sum(entry["bytes"] for entry in asked) <= (1 << 20) + (2 << 14)


def test_a_plain_object_is_read_ahead(tmp_path):
    """A file that is no HDF5 comes in blocks, many at a time, each once."""
    bucket = writer.Bucket(tmp_path / "bucket")
    content = np.random.default_rng(1).bytes(40 << 20)
    bucket.put("notes/video.bin", content)
    with S3({"bucket": bucket.folder}) as server, Gate(server, AT_ONCE) as gate, mounting.mounted(
            "s3://bucket", *flags(gate.endpoint), "--region", "us-east-1", folder=tmp_path) as mount:
        os.stat(mount / "notes" / "video.bin")
        gate.quiet()
        gate.reset()
        server.reset()
        done = subprocess.run(["cat", mount / "notes" / "video.bin"], capture_output=True, check=True, timeout=120)
        assert done.stdout == content
        gate.quiet()
        gets = [entry for entry in server.requests() if entry["method"] == "GET"]
        assert sum(entry["bytes"] for entry in gets) <= 1.05 * len(content)
        conftest.COUNTED["round trips, a plain object of 40 MiB"] = "%d, %d requests" % (len(gate.waves), len(gets))
        assert len(gate.waves) <= 12


def peak(process):
    """Most memory that a process has had, in MiB."""
    with open("/proc/%d/status" % process, encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


@contextlib.contextmanager
def little(bucket, limit, folder):
    """A mount of a bucket, with a limit of so many MiB."""
    with S3({"bucket": bucket.folder}) as server, mounting.mounted(
            "s3://bucket", "--memory-limit", "%dMiB" % limit, *flags(server.endpoint), folder=folder) as mount:
        yield mount


def test_memory_stays_within_its_limit(tmp_path, interpreters):
    """Eight programs at a time read 256 MiB through a mount of 64 MiB, and one of them is killed."""
    bucket, values = stored(tmp_path, (256 << 8, 1024), (256, 1024))
    limit = 64
    with little(bucket, limit, tmp_path) as mount:
        before = peak(mount.process.pid)
        code = READ.replace("sys.argv[2]", "sys.stdin.read()")
        programs = []
        for number in range(8):
            places = list(range(256))
            random.Random(number).shuffle(places)
            wheres = "[slice(at * 256, at * 256 + 256) for at in %r]" % (places if number % 2 else sorted(places))
            program = subprocess.Popen([interpreters["3.16"], "-c", code, mount.point / "data.h5"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            program.stdin.write(wheres)
            program.stdin.close()
            programs.append(program)
        time.sleep(0.5)
        programs[0].send_signal(signal.SIGKILL)
        total = float(values.astype("f8").sum())
        for program in programs:
            said = program.stdout.read()
            program.wait(120)
            if program is not programs[0]:
                assert float(said) == pytest.approx(total)
        most = peak(mount.process.pid)
        conftest.COUNTED["memory, 8 readers at 64 MiB"] = "%.0f MiB (limit %d)" % (most, limit + 64)
        assert most <= limit + 64, (before, most)


def test_ten_thousand_reads_at_once_in_little_memory(tmp_path, interpreters):
    """Four programs of 64 threads each read 10,000 pieces anywhere, through a mount of 64 MiB; a fifth is killed meanwhile."""
    bucket, _ = stored(tmp_path, (256 << 8, 1024), (256, 1024))
    limit = 64
    with little(bucket, limit, tmp_path) as mount:
        programs = [subprocess.Popen([interpreters["3.16"], "-c", SCATTERED, mount.point / "data.h5", str(seed), "64", "2500"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for seed in range(5)]
        time.sleep(1)
        programs[4].send_signal(signal.SIGKILL)
        programs[4].communicate(timeout=60)
        for program in programs[:4]:
            out, errors = program.communicate(timeout=180)
            assert out.strip() == "2500", errors[-2000:]
        most = peak(mount.process.pid)
        conftest.COUNTED["memory, 10,000 reads at 64 MiB"] = "%.0f MiB (limit %d)" % (most, limit + 64)
        assert most <= limit + 64
