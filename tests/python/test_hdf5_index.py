"""Indexes of HDF5 files whose metadata lie strewn about: what a walk over everything asks for, first and with an index, counted
exactly.
"""

import os
import subprocess
import sys

import conftest
import h5py
import mounting
import numpy
import pytest
from servers.gate import Gate
from servers.s3 import S3, flags

sys.path.append(str(mounting.REPOSITORY / "bench"))
import strewn  # noqa: E402

PLAN = strewn.Plan(variables=120, groups=9, chunks=1_500, attributes=960, long=(40, 100))
NAME = "strewn.h5"
WALK = """
import sys, h5py
objects, attributes = [0], [0]
def visit(name, thing):
    objects[0] += 1
    attributes[0] += len(dict(thing.attrs.items()))
    if isinstance(thing, h5py.Dataset):
        thing.shape, thing.dtype, thing.chunks, thing.compression
with h5py.File(sys.argv[1]) as file:
    file.visititems(visit)
print(objects[0], attributes[0])
"""


@pytest.fixture(scope="module", name="original")
def made(tmp_path_factory):
    """The folder with the file; 16 MB in all."""
    folder = tmp_path_factory.mktemp("strewn") / "bucket"
    folder.mkdir()
    strewn.write(folder / NAME, PLAN)
    return folder


@pytest.fixture(name="server")
def served(original):
    """An S3 with the file in a bucket."""
    with S3() as server:
        server.bucket("bucket", public=True)
        server.put("bucket", NAME, (original / NAME).read_bytes())
        yield server


def shown(server, folder, *options):
    """The file through a mount."""
    return mounting.mounted("s3://bucket", *flags(server.endpoint), *options, folder=folder)


def walk(server, interpreters, mount):
    """Walks over everything in a process of its own; what was asked for, as method and key, and the bytes of it."""
    before = len(server.requests())
    done = subprocess.run([interpreters["3.16"], "-c", WALK, mount / NAME], capture_output=True, check=True, timeout=120, text=True)
    assert done.stdout.split() == ["129", "960"]
    asked = server.requests()[before:]
    return [(entry["method"], entry["key"]) for entry in asked], sum(entry["bytes"] for entry in asked)


def index(server, *options):
    """Runs `h5mount index`; what it says."""
    done = subprocess.run([mounting.binary(), "index", *flags(server.endpoint), *options, "s3://bucket"], capture_output=True,
                          check=False, timeout=120, text=True)
    return done.returncode, done.stdout


def test_a_walk_over_a_strewn_file_asks_for_few_ranges_and_then_for_nothing(server, original, interpreters, tmp_path):
    """The first walk; the same after a restart with the disk cache."""
    cache = tmp_path / "cache"
    with shown(server, tmp_path / "first", "--cache-dir", cache) as mount:
        asked, fetched = walk(server, interpreters, mount)
    # The head and a look beside it, the places that the root group names, and with the next round all of the file.
    assert asked.count(("GET", NAME)) == 12 and asked.count(("GET", ".%s.h5mount-index" % NAME)) == 1 and len(asked) == 13
    assert fetched <= 1.1 * (original / NAME).stat().st_size
    with shown(server, tmp_path / "second", "--cache-dir", cache) as mount:
        assert walk(server, interpreters, mount) == ([], 0)


def test_of_a_large_strewn_file_little_but_its_metadata_is_read(interpreters, tmp_path):
    """Holes for chunks: 400 MB of them, and between them some 400 kB of metadata in 150 places."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1, 1 << 18))
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(folder / NAME, "w", libver=("earliest", "v108")) as file:
        for at in range(150):
            group = file.require_group("group_%d" % (at % 9))
            space = h5py.h5s.create_simple((5, 1 << 19))
            data = h5py.h5d.create(group.id, b"v%d" % at, h5py.h5t.STD_U8LE, space, properties)
            h5py.Dataset(data).attrs["number"] = at
    with S3() as server:
        server.bucket("bucket", public=True, folder=str(folder))
        with shown(server, tmp_path / "a") as mount:
            before = len(server.requests())
            with h5py.File(mount / NAME) as file:
                names = []
                file.visititems(lambda name, thing: names.append((name, thing.attrs.get("number"))))
            asked = server.requests()[before:]
    assert len(names) == 159 and sum(number for _, number in names if number is not None) == sum(range(150))
    # The head, a look beside it, and each place once or twice.
    assert len(asked) == 159
    # A header and the node of a chunk index each take 2.8 kB.
    assert sum(entry["bytes"] for entry in asked) <= (1 << 20) + 3 * 150 * 2800


def test_a_walk_with_an_index_beside_the_file_takes_two_requests(server, interpreters, tmp_path):
    """On any node: nothing is kept on its disk."""
    code, told = index(server)
    assert code == 0 and told.startswith("%s: 130 objects, 1500 chunks, " % NAME), told
    assert "at s3://bucket/.%s.h5mount-index" % NAME in told
    with shown(server, tmp_path / "a") as mount:
        asked, fetched = walk(server, interpreters, mount)
        assert sorted(asked) == [("GET", ".%s.h5mount-index" % NAME), ("GET", NAME)]
        assert fetched < (1 << 20) + 100_000
        assert [path.name for path in mount.point.iterdir()] == [NAME]


def test_values_through_an_index_are_those_of_the_file(server, original, interpreters, tmp_path):
    """Everything, from a folder of indexes; and after the file was replaced, that of the new one."""
    code, told = index(server, "--index-dir", str(tmp_path / "indexes"))
    assert code == 0 and str(tmp_path / "indexes") in told, told
    with shown(server, tmp_path / "a", "--index-dir", tmp_path / "indexes") as mount:
        assert walk(server, interpreters, mount) == ([], 0)
        same(mount / NAME, original / NAME)
    other = tmp_path / "other.h5"
    strewn.write(other, strewn.Plan(variables=50, groups=3, chunks=400, attributes=100, long=(7, 60)))
    server.put("bucket", NAME, other.read_bytes())
    with shown(server, tmp_path / "b", "--index-dir", tmp_path / "indexes") as mount:
        same(mount / NAME, other)


def same(shown_path, path):
    """Every dataset and attribute of two files."""
    with h5py.File(shown_path) as file, h5py.File(path) as wanted:
        names = []
        wanted.visititems(lambda name, thing: names.append(name))
        for name in names:
            assert dict(file[name].attrs.items()).keys() == dict(wanted[name].attrs.items()).keys()
            for key, value in wanted[name].attrs.items():
                assert numpy.array_equal(file[name].attrs[key], value)
            if isinstance(wanted[name], h5py.Dataset):
                assert file[name][()].tobytes() == wanted[name][()].tobytes(), name


def test_index_tells_of_each_file_what_was_done(server):
    """Written, not needed, and why not."""
    server.put("bucket", "tiny.h5", b"\x89HDF\r\n\x1a\n")
    server.put("bucket", "classic.nc", b"CDF\x01" + bytes(2 << 20))
    code, told = index(server)
    lines = dict(line.split(": ", 1) for line in told.splitlines()[:-1])
    assert code == 0 and lines.keys() == {NAME, "tiny.h5", "classic.nc"}
    assert lines["classic.nc"] == "none: it is shown as it is: it is no HDF5 file"
    assert lines["tiny.h5"].startswith("none: it is shown as it is: ")
    assert told.splitlines()[-1].startswith("1 index of 3 files written")


def test_one_variable_drags_in_little_of_what_lies_behind_it(server, original, tmp_path):
    """What the kernel reads past its end is a few chunks, and nobody takes these for a reader."""
    with h5py.File(original / NAME) as file:
        data = file[PLAN.name(PLAN.long)]
        values = data[()]
        stored = sum(data.id.get_chunk_info(at).size for at in range(data.id.get_num_chunks()))
    with shown(server, tmp_path / "a") as mount, h5py.File(mount / NAME) as file:
        data = file[PLAN.name(PLAN.long)]
        server.quiet()
        server.reset()
        assert (data[()] == values).all()
        server.quiet()
        asked = [entry["bytes"] for entry in server.requests()]
    # Twice 128 KiB of it are 12 chunks of 100; without this it would be three times as much, in some dozen places.
    assert stored <= sum(asked) <= 1.2 * stored, asked
    assert len(asked) <= 30, asked


def test_who_reads_a_file_from_end_to_end_is_followed_through_its_variables(server, tmp_path):
    """Chunks of some hundred variables come many at a time."""
    with Gate(server, 64) as gate, mounting.mounted(
            "s3://bucket", *flags(gate.endpoint), "--region", "us-east-1", folder=tmp_path / "a") as mount:
        os.stat(mount / NAME)
        gate.quiet()
        gate.reset()
        server.reset()
        copied = subprocess.run(["cat", mount / NAME], capture_output=True, check=True, timeout=120).stdout
        gate.quiet()
        waves, asked = len(gate.waves), [entry["bytes"] for entry in server.requests()]
    (tmp_path / "copy.h5").write_bytes(copied)
    with h5py.File(tmp_path / "copy.h5") as copy:
        assert copy[PLAN.name(PLAN.long)].shape == (100, 5120)
    conftest.COUNTED["round trips, 31 MB of 120 variables from end to end"] = "%d, %d requests" % (waves, len(asked))
    assert waves <= 60, waves
