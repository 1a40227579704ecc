"""`--filters declared|hidden|stored`: equal values through each, and the filters that each promises.

Stored chunks need the plugin for Blosc, which is loaded in a process of its own, so that no other test sees it.
"""

import json
import subprocess
import sys

import conftest
import mounting
import numpy
import older
import pytest
import writer

MODES = ("declared", "hidden", "stored")
DEFLATE, SHUFFLE, BLOSC = 1, 2, 32001

READ = """
import hashlib, json, sys
if sys.argv[2] == "stored":
    import hdf5plugin
import h5py, numpy
found = {}
def visit(name, node):
    if not isinstance(node, h5py.Dataset):
        return
    create = node.id.get_create_plist()
    one = {"filters": [create.get_filter(i)[0] for i in range(create.get_nfilters())], "values": [], "masks": [], "vary": False}
    one["options"] = [list(create.get_filter(i)[2]) for i in range(create.get_nfilters())]
    if node.chunks and one["filters"]:
        infos = [node.id.get_chunk_info(i) for i in range(min(node.id.get_num_chunks(), 50))]
        one["masks"] = sorted({info.filter_mask for info in infos})
        one["whole"] = all(info.size % 4096 == 0 for info in infos)
    try:
        value = node[()]
        if isinstance(value, h5py.Empty):
            value = "empty"
        value = numpy.asarray(value)
        text = str(value.dtype) + str(value.shape)
        plain = not value.dtype.hasobject
        one["values"] = hashlib.sha256(text.encode() + (value.tobytes() if plain else b"")).hexdigest()
        one["vary"] = not plain
    except (OSError, TypeError) as error:
        one["values"] = type(error).__name__
    found["/" + name] = one
with h5py.File(sys.argv[1]) as file:
    file.visititems(visit)
print(json.dumps(found))
"""


def read(file, mode):
    """What a process of its own finds in a file: for each dataset its values, filters and masks."""
    done = subprocess.run([sys.executable, "-c", READ, file, mode], capture_output=True, text=True, check=False,
                          timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def through_each(store, files):
    """By mode and file, what is read."""
    found = {}
    for mode in MODES:
        with mounting.mounted(store, "--filters", mode) as mount:
            found[mode] = {file: read(mount / file, mode) for file in files}
    return found


def compare(found):
    """Equal values, and what every mode promises of filters and masks. The kinds of stored datasets, counted."""
    kinds = {"blosc": 0, "zlib": 0, "plain": 0}
    for file, datasets in found["declared"].items():
        for name, declared in datasets.items():
            hidden, stored = found["hidden"][file][name], found["stored"][file][name]
            assert declared["values"] == hidden["values"] == stored["values"], (file, name)
            assert hidden["filters"] == [], (file, name)
            assert set(declared["filters"]) <= {1, 2, 3}, (file, name)
            # Every declared filter is skipped.
            assert set(declared["masks"]) <= {(1 << len(declared["filters"])) - 1}, (file, name)
            if stored["filters"] == [BLOSC]:
                kinds["blosc"] += 1
                assert not stored["vary"] and stored["whole"] and len(stored["options"][0]) == 7, (file, name)
                assert set(stored["masks"]) <= {0}, (file, name)
            elif stored["filters"] and stored["masks"] == [0]:
                kinds["zlib"] += 1
                assert stored["filters"] in ([DEFLATE], [SHUFFLE, DEFLATE]) and stored["whole"], (file, name)
            else:
                kinds["plain"] += 1
                assert stored == declared, (file, name)
    for kind, number in kinds.items():
        conftest.count("--filters stored: datasets as " + kind, number)
    return kinds


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_all_modes_show_equal_values(version, stores):
    """The sample stores: Blosc frames, and zlib streams of linked files."""
    folder = stores[version] / "home/admin"
    files = sorted("home/admin/" + path.name for path in folder.iterdir() if not path.name.startswith("."))
    kinds = compare(through_each(stores[version], files))
    assert kinds["blosc"] > 10 and kinds["plain"] > 50
    assert kinds["zlib"] > 5 or version != "0.9.4"


def test_chunks_of_every_writer_become_frames(tmp_path):
    """Every encoding a store may hold, side by side in one dataset too; absent chunks with a fill value."""
    bucket = writer.Bucket(tmp_path / "bucket")
    wanted = {"old/encoded.h5": older.encoded(bucket), "old/shapes.h5": older.shapes(bucket)}
    found = through_each(bucket.folder, list(wanted))
    kinds = compare(found)
    assert kinds["blosc"] >= 15
    stored = found["stored"]["old/encoded.h5"]
    for name in ("zlib", "zlib_shuffled", "blosc_zstd_bits4", "blosc_stored", "mixed", "blosc_snappy"):
        assert stored["/" + name]["filters"] == [BLOSC], name
    # The codec is told: blosclz, lz4, lz4hc, snappy, zlib, zstd.
    told = {name: stored["/" + name]["options"][0][6] for name in ("blosc_lz4_bits", "zlib", "blosc_zstd_bits")}
    assert told == {"blosc_lz4_bits": 1, "zlib": 4, "blosc_zstd_bits": 5}
    # Bitshuffle stands alone under a filter that has no slack for what follows a chunk.
    assert stored["/bitshuffle_lz4"]["filters"] == []


def test_the_stored_bytes_are_those_of_the_store(tmp_path):
    """A chunk of the presented file begins with the object's bytes, and zeros follow."""
    bucket = writer.Bucket(tmp_path / "bucket")
    older.encoded(bucket)
    code = """
import h5py, sys, numpy
with h5py.File(sys.argv[1]) as file:
    mask, chunk = file["blosc_lz4_bits"].id.read_direct_chunk((0, 0))
    sys.stdout.buffer.write(chunk)
"""
    with mounting.mounted(bucket.folder, "--filters", "stored") as mount:
        done = subprocess.run([sys.executable, "-c", code, mount / "old/encoded.h5"], capture_output=True, check=True,
                              timeout=60)
    objects = {path.read_bytes() for path in bucket.folder.rglob("*_0") if path.is_file()}
    objects |= {path.read_bytes() for path in bucket.folder.rglob("0_0") if path.is_file()}
    frame = done.stdout[:int.from_bytes(done.stdout[12:16], "little")]
    assert frame in objects
    assert not numpy.frombuffer(done.stdout[len(frame):], "u1").any()
