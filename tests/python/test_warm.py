"""`h5mount warm`, and the extended attributes behind it."""

import json
import os
import random
import subprocess

import chunkcodecs
import conftest
import h5py
import mounting
import numpy as np
import pytest
import writer
from servers.gate import Gate
from servers.s3 import S3, flags
from test_read_ahead import AT_ONCE, F32, chunks, stored


def warm(*arguments, code=0, output=False):
    """What the command says, on standard output where it failed only if that is wanted."""
    done = subprocess.run([mounting.binary(), "warm", *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 or output else done.stderr


@pytest.fixture(name="mount")
def mounted(tmp_path):
    """A mount of 500 chunks of 16 KiB, 25 of which were never written, and its server."""
    bucket, values = stored(tmp_path, (500, 64, 64), (1, 64, 64))
    for path in sorted(path for path in bucket.folder.rglob("*_0_0") if path.is_file())[:25]:
        path.unlink()
    with S3({"bucket": bucket.folder}) as server, mounting.mounted(
            "s3://bucket", *flags(server.endpoint), folder=tmp_path) as point:
        yield point, server, values


def test_a_thousand_points(tmp_path):
    """1,000 random elements of 2,000 chunks: 60 round trips at most, and none of their chunks is asked for again."""
    bucket, values = stored(tmp_path, (2000, 64, 64), (1, 64, 64))
    generator = random.Random(5)
    points = [(generator.randrange(2000), generator.randrange(64), generator.randrange(64)) for _ in range(1000)]
    listed = tmp_path / "points.txt"
    listed.write_text("# time, y, x\n" + "".join("%d, %d %d\n" % point for point in points), encoding="ascii")
    with S3({"bucket": bucket.folder}) as server, Gate(server, AT_ONCE) as gate, mounting.mounted(
            "s3://bucket", *flags(gate.endpoint), "--region", "us-east-1", "--immutable", folder=tmp_path) as point:
        os.stat(point / "data.h5")
        gate.quiet()
        gate.reset()
        server.reset()
        told = json.loads(warm("--json", "--points", listed, point / "data.h5", "/data"))
        gate.quiet()
        wanted = len({time for time, _, _ in points})
        asked = {entry["key"] for entry in chunks(server.requests())}
        conftest.COUNTED["round trips, 1,000 points warmed"] = "%d (limit 60), %d chunks" % (len(gate.waves), wanted)
        assert len(gate.waves) <= 60
        assert (told["chunks"], told["failed"], len(asked)) == (wanted, 0, wanted)
        server.reset()
        with h5py.File(point / "data.h5") as file:
            for place in points[:200]:
                assert file["data"][place] == values[place]
        assert not asked & {entry["key"] for entry in chunks(server.requests())}


def test_all_of_a_file_and_a_part(mount):
    """What was never written is counted apart; a second time asks for nothing but that."""
    point, server, _ = mount
    told = json.loads(warm("--json", point / "data.h5", "data[100:300]"))
    assert (told["chunks"], told["failed"], told["datasets"]) == (200, 0, 1)
    told = json.loads(warm("--json", point / "data.h5"))
    assert (told["chunks"], told["absent"], told["bytes"]) == (500, 25, 475 << 14)
    server.reset()
    assert "500 chunks of 1 dataset: 7.4 MiB here, 25 never written" in warm(point / "data.h5").replace("7.42", "7.4")
    assert len(chunks(server.requests())) <= 25


def test_what_means_nothing_is_told(mount, tmp_path):
    """Each with its exit code."""
    point, _, _ = mount
    file = point / "data.h5"
    assert "no dataset" in warm(file, "/none", code=3)
    assert "7000" in warm(file, "/data[7000]", code=2)
    (tmp_path / "bad.txt").write_text("1 2 3\n1 2\n", encoding="ascii")
    assert "line 2" in warm("--points", tmp_path / "bad.txt", file, "/data", code=2)
    (tmp_path / "plain").write_text("x", encoding="ascii")
    assert "no mount of h5mount" in warm(tmp_path / "plain", code=4)


def test_a_program_asks_by_itself(mount):
    """The answer comes when all is there, and says what it is."""
    point, server, _ = mount
    file = point / "data.h5"
    assert os.getxattr(file, "user.h5mount.datasets") == b"/data"
    grid = os.getxattr(file, "user.h5mount.grid./data").decode().splitlines()
    assert grid == ["shape 500,64,64", "chunk 1,64,64", "chunk_bytes 16384"]
    server.reset()
    answer = os.getxattr(file, "user.h5mount.warm./data[10:20, 3, :]").decode().splitlines()
    assert answer[0] == "chunks 10"
    assert len(chunks(server.requests())) == 10
    assert os.getxattr(file, "user.h5mount.warm./data#400-402,404").startswith(b"chunks 4\n")
    assert os.getxattr(file, "user.h5mount.warm./data#500").startswith(b"error ")
    assert os.getxattr(file, "user.h5mount.warm./else").startswith(b"error ")
    with pytest.raises(OSError):
        os.getxattr(file, "user.h5mount.grid./else")
    # Names that ask for something are not among those that are listed.
    assert not [name for name in os.listxattr(file) if "warm" in name]


FILLED = """
import sys, hdf5plugin, h5py
with h5py.File(sys.argv[1]) as file:
    values = file["data"][()]
print((values[16:32] == 1).all() and (values[:16] == -9999).all() and (values[32:] == -9999).all())
"""


def test_a_fill_value_is_what_it_was(tmp_path, interpreters):
    """With filters as they are stored, what was never written is the fill value after warming as well as before.

    The plugin for Blosc is loaded in a process of its own, so that no other test sees it.
    """
    bucket = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(bucket, "data.h5")
    number = domain.dataset("data", F32, (64, 64), (16, 64), filters=[chunkcodecs.DEFLATE], fillValue=-9999.0)
    domain.chunk(number, (1, 0), chunkcodecs.frame(np.ones((16, 64), "f4")))
    domain.write()
    with mounting.mounted(bucket.folder, "--filters", "stored", folder=tmp_path) as point:
        assert "4 chunks" in warm(point / "data.h5")
        done = subprocess.run([interpreters["3.16"], "-c", FILLED, point / "data.h5"], capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.stdout == "True\n", done.stderr[-2000:]


def test_what_has_no_datasets_is_told(mount):
    """A folder has none."""
    point, _, _ = mount
    assert "is a folder" in warm(point / ".", code=2)


def test_what_the_memory_let_go_is_told(tmp_path):
    """More than fits: it was read, and what is not kept is counted; a disk cache keeps it, and what is pinned stays there."""
    bucket, _ = stored(tmp_path, (96, 512, 512), (1, 512, 512))
    with S3({"bucket": bucket.folder}) as server:
        limit = ("--memory-limit", "32M")
        with mounting.mounted("s3://bucket", *flags(server.endpoint), *limit, folder=tmp_path / "a") as point:
            told = json.loads(warm("--json", point / "data.h5"))
            assert told["bytes"] == 96 << 20 and told["gone"] >= 96 - 24 and "--memory-limit leaves 24 MiB" in told["reason"]
            assert "no --cache-dir" in warm("--pin", point / "data.h5", code=1, output=True)
        disk = (*limit, "--cache-dir", tmp_path / "cache", "--cache-size", "64M")
        with mounting.mounted("s3://bucket", *flags(server.endpoint), *disk, folder=tmp_path / "b") as point:
            assert json.loads(warm("--json", "--pin", point / "data.h5", "data[:16]"))["failed"] == 0
            assert "half of --cache-size" in warm("--pin", point / "data.h5", code=1, output=True)
            warm("--unpin", point / "data.h5", "data[16:]")
        with mounting.mounted("s3://bucket", *flags(server.endpoint), *disk, "--immutable", folder=tmp_path / "c") as point:
            warm(point / "data.h5", "data[16:]")
            server.reset()
            warm(point / "data.h5", "data[:16]")
            assert not chunks(server.requests())
            warm("--unpin", point / "data.h5")
            warm(point / "data.h5", "data[16:]")
            server.reset()
            warm(point / "data.h5", "data[:16]")
            assert chunks(server.requests())


def test_what_was_warmed_is_on_disk_when_that_is_said(tmp_path):
    """More than waits for a disk at a time: a mount that begins then needs no request for it. What does not fit is told."""
    bucket, values = stored(tmp_path, (96, 512, 512), (1, 512, 512))
    generator = random.Random(7)
    points = [(time, generator.randrange(512), generator.randrange(512)) for time in range(96)]
    listed = tmp_path / "points.txt"
    listed.write_text("".join("%d %d %d\n" % point for point in points), encoding="ascii")
    with S3({"bucket": bucket.folder}) as server:
        disk = (*flags(server.endpoint), "--memory-limit", "32M", "--cache-dir", tmp_path / "cache")
        with mounting.mounted("s3://bucket", *disk, folder=tmp_path / "a") as point:
            # Read before: in memory, and on disk if that had time for it.
            with h5py.File(point / "data.h5") as file:
                file["data"][:40].sum()
            told = json.loads(warm("--json", "--points", listed, point / "data.h5", "/data"))
            assert (told["chunks"], told["failed"], told["gone"], told["unkept"]) == (96, 0, 0, 0)
        with mounting.mounted("s3://bucket", *disk, "--immutable", folder=tmp_path / "b") as point:
            server.reset()
            with h5py.File(point / "data.h5") as file:
                for place in points:
                    assert file["data"][place] == values[place]
            assert not chunks(server.requests())
        small = (*flags(server.endpoint), "--memory-limit", "32M", "--cache-dir", tmp_path / "small", "--cache-size", "48M")
        with mounting.mounted("s3://bucket", *small, folder=tmp_path / "c") as point:
            told = json.loads(warm("--json", point / "data.h5"))
            assert told["gone"] + told["unkept"] >= 48 and "--cache-size is 48 MiB" in told["reason"], told
            assert "--cache-size is 48 MiB" in warm(point / "data.h5")


def test_what_is_shown_as_it_is_has_nothing_to_warm(tmp_path):
    """It says why."""
    files = tmp_path / "files"
    files.mkdir()
    with h5py.File(files / "whole.h5", "w") as file:
        file["values"] = np.arange(10)
    (files / "cut.h5").write_bytes((files / "whole.h5").read_bytes()[:-1])
    with mounting.mounted(files, folder=tmp_path / "mount") as point:
        for selection in ([], ["/values"]):
            said = warm(point / "cut.h5", *selection, code=2)
            assert "shown as it is" in said and "cut off" in said, said
