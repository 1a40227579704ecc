"""HDF5 files of other programs, laid out anew: each is compared with itself, object by object, through libhdf5.

The files of `tests/data/hdf5` always; with `H5MOUNT_CORPUS` set to a folder with the same kind of list, those instead.
What differs by design stands here by file, and in docs/hdf5.md with its reason.
"""

import errno
import json
import os
import pathlib
import subprocess
import sys

import conftest
import h5py
import mounting
import numpy
import pytest

SUBSET = mounting.REPOSITORY / "tests" / "data" / "hdf5"
DEEPDIFF = mounting.REPOSITORY / "tools" / "h5deepdiff.py"
SUFFIXES = tuple(
    ".h5 .hdf5 .hdf .he5 .nc .nc4 .mat .jld2 .nxs .nexus .nxspe .h5oina .emd .cgns .med .silo .exo .h5m .h5ad .h5mu .loom"
    " .cool .mcool .scool .biom .fast5 .nwb .snirf .ims .h5md .sofa .bag".split()
)
PATIENCE = 120  # seconds for one comparison; the largest takes a few

# Categories of h5deepdiff that may differ, by the end of the file's path.
BY_DESIGN = {
    # The shuffle filter is declared with the size that elements have here.
    "flavored_vlarrays-format1.6.h5": {"filters"},
    # Told never to fill what was not written, libhdf5 gives whatever its buffer holds; here it is the fill value.
    "FValue.h5": {"data"},
    "FValue_int64.h5": {"data"},
    "FValue_uint64.h5": {"data"},
    # More than 64 attributes lie in a heap, without an index of their order.
    "issue672.nc": {"corder"},
    "preliminary_NOAA-19_asc_d20130630_c20140325.nc": {"corder"},
    "20210403T004056_20210403T005056_F00.nc": {"corder"},
    # References that lead to nothing are null.
    "swath_wrong_dim_rp.h5": {"attrdata"},
    "trefer_obj_del.h5": {"data"},
}

# Why files may be shown as they are: parts of the fact `shown`.
AS_IT_IS = (
    "which is not undone here",
    "references of 64 bytes",
    "more than a file laid out anew has room for",
    "it is paged already",
)


def corpus():
    """The folder, and the files of a class in it."""
    folder = pathlib.Path(os.environ.get("H5MOUNT_CORPUS", SUBSET))
    rows = [line.split("\t") for line in (folder / "MANIFEST.tsv").read_text().splitlines()[1:]]
    files = {"good": [], "corrupt": []}
    for row in rows:
        path = next(path for path in (folder / row[0], folder / "open" / row[0]) if path.exists())
        if row[6] in files and path.suffix.lower() in SUFFIXES:
            files[row[6]].append(path)
    return folder, files


@pytest.fixture(scope="module")
def mounted():
    """The folder of files, mounted."""
    folder, _ = corpus()
    mount = mounting.Mount(folder, "--immutable", "--store-root", folder).start()
    try:
        yield folder, mount
    finally:
        mount.stop()


def shown(path):
    """What is said of how a file is shown."""
    return os.getxattr(path, "user.h5mount.shown").decode()


def is_gain(line):
    """Whether a difference is what laying a file out anew is for: no reader needs a filter that not every library has."""
    hidden = line.startswith("filters ") and line.endswith("| B ()")
    return hidden or (line.startswith("data ") and line.endswith("data unreadable in A"))


def compare(original, presented):
    """Categories that differ, by h5deepdiff, and what it says of them; gains are counted and left out."""
    command = [sys.executable, str(DEEPDIFF), "--json", "--max", "10000", str(original), str(presented)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines = json.loads(done.stdout)["lines"]
    gains = [line for line in lines if is_gain(line)]
    conftest.count("HDF5 datasets that need no filter any more", len([line for line in gains if "filters" in line]))
    lines = [line for line in lines if line not in gains]
    return {line.split()[0] for line in lines}, lines


@pytest.mark.timeout(3600)  # a whole corpus takes minutes
def test_good_files_are_what_they_were(mounted):
    """Every object, attribute and element of each good file."""
    folder, mount = mounted
    faults, counts = [], {"anew": 0, "equal": 0, "by design": 0, "as it is": 0}
    for path in corpus()[1]["good"]:
        name = str(path.relative_to(folder))
        presented = mount.point / name
        told = shown(presented)
        differing, lines = compare(path, presented)
        allowed = next((cats for end, cats in BY_DESIGN.items() if name.endswith(end)), set())
        if told.startswith("as it is"):
            counts["as it is"] += 1
            if not any(reason in told for reason in AS_IT_IS):
                faults.append("%s: %s" % (name, told))
            allowed = set()
        else:
            counts["anew"] += 1
            counts["equal" if not differing else "by design"] += 1
        if differing - allowed:
            faults.append("%s: %s" % (name, lines[:3]))
    for what, number in counts.items():
        conftest.count("HDF5 files %s" % what, number)
    assert counts["anew"] >= 50 and counts["equal"] >= 40
    assert not faults, "\n".join(faults)


def test_filters_of_h5py_are_undone(tmp_path):
    """LZF, and gzip with a checksum, through a mount: the values that h5py wrote."""
    values = numpy.random.default_rng(5).integers(0, 50, (300, 70)).astype("i2")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        for name, chosen in {"lzf": {"compression": "lzf"}, "both": {"compression": "lzf", "shuffle": True},
                             "gzip": {"compression": "gzip", "fletcher32": True, "shuffle": True}}.items():
            file.create_dataset(name, data=values, chunks=(64, 32), **chosen)
    mount = mounting.Mount(tmp_path / "run.h5", folder=tmp_path / "mount").start()
    try:
        assert shown(mount.point / "run.h5") == "laid out anew"
        with h5py.File(mount.point / "run.h5") as file:
            assert file["lzf"].compression is None and file["gzip"].compression == "gzip"
            for name in file:
                assert (file[name][:] == values).all(), name
    finally:
        mount.stop()


def test_a_replaced_file_is_stale_and_then_the_new_one(tmp_path):
    """Bytes of two states never mix: what was not read of the old one is ESTALE, the next open shows the new one."""
    store = tmp_path / "store"
    store.mkdir()

    def write(value):
        with h5py.File(store / "next.h5", "w") as file:
            file.create_dataset("x", data=numpy.full((64, 4096), value), chunks=(1, 4096), compression="gzip")
        os.replace(store / "next.h5", store / "run.h5")

    write(1.0)
    mount = mounting.Mount(store, "--store-root", store, "--metadata-ttl", "0", folder=tmp_path).start()
    try:
        with h5py.File(mount.point / "run.h5") as file:
            assert file["x"][0, 0] == 1.0
            write(2.0)
            with pytest.raises(OSError, match="errno = %d" % errno.ESTALE):
                file["x"][60]
        with h5py.File(mount.point / "run.h5") as file:
            assert (file["x"][:] == 2.0).all()
    finally:
        mount.stop()


@pytest.mark.timeout(3600)
def test_damaged_files_harm_nobody(mounted):
    """Each can be asked for, and read by libhdf5 or refused; the mount lives on."""
    folder, mount = mounted
    read = "import h5py, sys\nf = h5py.File(sys.argv[1])\nf.visititems(lambda n, o: None)"
    asked = 0
    for path in corpus()[1]["corrupt"]:
        presented = mount.point / path.relative_to(folder)
        assert shown(presented), path
        command = [sys.executable, "-c", read, str(presented)]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode in (0, 1), "%s: %d" % (path, done.returncode)
        assert mount.process.poll() is None, "the mount died of %s" % path
        asked += 1
    assert asked >= 3
    assert "panicked" not in mount.log()


def test_commands_say_why_a_file_is_shown_as_it_is(tmp_path):
    """`ls`, `check` and `explain`, of a file that only has the name of one, and of one that is laid out anew."""
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01 and so on")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["x"] = numpy.arange(10)

    def told(command, name, *more):
        words = [mounting.binary(), command, str(tmp_path / name), *more]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr

    for command, more, code in (("ls", (), 0), ("check", (), 0), ("explain", ("/x",), 3)):
        found, text = told(command, "classic.nc", *more)
        assert found == code and "it is no HDF5 file" in text, (command, found, text)
    code, text = told("check", "run.h5")
    assert code == 0 and text.endswith("1 file, 2 objects, 1 chunk (80 B plain) read: no fault\n"), text
    code, text = told("explain", "run.h5", "/x[3:5]")
    assert code == 0 and "run.h5" in text and "2 elements in 1 of 1 chunk" in text, text
