"""HDF5 files made here, laid out anew by a mount and read through it."""

import contextlib
import os
import subprocess
import sys

import h5py
import mounting
import numpy as np
import pytest


@pytest.fixture(name="shown")
def mounted(tmp_path):
    """A folder, and where its files are shown."""
    folder = tmp_path / "files"
    folder.mkdir()

    def show(name):
        point = stack.enter_context(mounting.mounted(folder, "--store-root", folder, folder=tmp_path))
        assert os.getxattr(point / name, "user.h5mount.shown") == b"laid out anew"
        return point / name

    with contextlib.ExitStack() as stack:
        yield folder, show


def test_strings_whose_heaps_fill_many_blocks(shown):
    """One chunk of 30,000 strings, whose heaps lie across many blocks of 256 KiB."""
    folder, show = shown
    strings = np.array(["%05d %s" % (n, "x" * (n % 61)) for n in range(30_000)], dtype=object)
    with h5py.File(folder / "strings.h5", "w") as file:
        file.create_dataset("names", data=strings, dtype=h5py.string_dtype(), chunks=(30_000,))
        file.create_dataset("small", data=strings[:50], dtype=h5py.string_dtype())
    with h5py.File(show("strings.h5"), "r") as file:
        assert (file["names"].asstr()[()] == strings).all()
        assert (file["small"].asstr()[()] == strings[:50]).all()


def test_chunks_of_several_megabytes_here_and_there(shown):
    """Large chunks, filtered and not, whole and by the byte."""
    folder, show = shown
    values = np.random.default_rng(3).integers(0, 1000, (4, 1500, 1000)).astype("f4")
    with h5py.File(folder / "maps.h5", "w", libver="latest") as file:
        file.create_dataset("plain", data=values, chunks=(1, 1500, 1000))
        file.create_dataset("gz", data=values, chunks=(1, 500, 1000), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("whole", data=values)
    with h5py.File(show("maps.h5"), "r") as file:
        for name in ("plain", "gz", "whole"):
            assert file[name][2, 700, 33] == values[2, 700, 33]
            assert (file[name][:, 10, 10] == values[:, 10, 10]).all()
            assert (file[name][()] == values).all()


@pytest.mark.parametrize("size", [512, 8192])
def test_a_user_block_stands_before_the_file(shown, size):
    """As MATLAB writes one: its bytes and its size stay, and all is found behind it."""
    folder, show = shown
    values = np.random.default_rng(7).integers(0, 1000, (50, 300))
    with h5py.File(folder / "run.mat", "w", userblock_size=size) as file:
        file.create_dataset("x", data=values, chunks=(7, 90), compression="gzip")
        file.create_dataset("plain", data=values)
        file.create_dataset("text", data=[b"ab", b"c" * 100], dtype=h5py.string_dtype())
        file["ref"] = file["x"].ref
    text = b"MATLAB 7.3 MAT-file, by hand".ljust(size, b" ")
    with open(folder / "run.mat", "r+b") as file:
        file.write(text)
    point = show("run.mat")
    with open(point, "rb") as file:
        assert file.read(size) == text
    with h5py.File(point, "r") as file:
        assert file.userblock_size == size
        assert (file["x"][()] == values).all() and (file["plain"][()] == values).all()
        assert list(file["text"][()]) == [b"ab", b"c" * 100]
        assert file[file["ref"][()]] == file["x"]


def test_virtual_datasets_find_their_sources_through_the_mount(shown):
    """Sources beside the file and in it; one that is missing, and what no source covers, give the fill value."""
    folder, show = shown
    (folder / "parts").mkdir()
    values = np.arange(40, dtype="i4").reshape(4, 10)
    for number in range(3):
        with h5py.File(folder / "parts" / ("%d.h5" % number), "w") as file:
            file.create_dataset("x", data=values[number], chunks=(4,), compression="gzip")
    with h5py.File(folder / "all.h5", "w", libver="latest") as file:
        file["own"] = values[3]
        layout = h5py.VirtualLayout(shape=(5, 10), dtype="i4")
        for number in range(2):
            layout[number] = h5py.VirtualSource("parts/%d.h5" % number, "x", shape=(10,))
        layout[2] = h5py.VirtualSource("parts/missing.h5", "x", shape=(10,))
        layout[3] = h5py.VirtualSource(".", "own", shape=(10,))
        file.create_virtual_dataset("all", layout, fillvalue=-7)
    with h5py.File(show("all.h5"), "r") as file:
        assert file["all"].is_virtual and len(file["all"].virtual_sources()) == 4
        expected = np.full((5, 10), -7)
        expected[[0, 1, 3]] = values[[0, 1, 3]]
        assert (file["all"][()] == expected).all()
    done = subprocess.run(
        [mounting.binary(), "explain", str(folder / "all.h5"), "/all[0:2,3]"],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 3 and "/all: has no chunks: its elements are made of other datasets" in done.stderr


def test_raw_files_are_found_through_the_mount(shown):
    """Elements in raw files, which libhdf5 looks for where it is told to."""
    folder, show = shown
    values = np.arange(100, dtype="<i2")
    (folder / "a.raw").write_bytes(b"head" + values[:60].tobytes())
    (folder / "b.raw").write_bytes(values[60:].tobytes())
    with h5py.File(folder / "raw.h5", "w") as file:
        parts = [("a.raw", 4, 120), ("b.raw", 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("x", shape=(100,), dtype="<i2", external=parts)
        file["beside"] = 5
    point = show("raw.h5")
    read = "import h5py, sys; f = h5py.File(sys.argv[1]); print(f['x'].external, f['x'][()].sum(), f['beside'][()])"
    told = [
        subprocess.run(
            [sys.executable, "-c", read, str(path)],
            env=dict(os.environ, HDF5_EXTFILE_PREFIX="${ORIGIN}"),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for path in (folder / "raw.h5", point)
    ]
    assert told[0] == told[1] and " 4950 5" in told[0]


def test_values_of_many_megabytes(shown):
    """Strings and sequences that are longer than any of HSDS, in attributes too."""
    folder, show = shown
    long = np.array(["x" * 3_000_000, "", "y" * 1_200_000 + "z"], dtype=object)
    numbers = np.arange(700_000)
    with h5py.File(folder / "long.h5", "w") as file:
        file.create_dataset("text", data=long, dtype=h5py.string_dtype(), chunks=(2,))
        rows = file.create_dataset("rows", shape=(2,), dtype=h5py.vlen_dtype("i8"))
        rows[1] = numbers
        file.attrs.create("note", "n" * 2_000_000, dtype=h5py.string_dtype())
    with h5py.File(show("long.h5"), "r") as file:
        assert (file["text"].asstr()[()] == long).all()
        assert (file["rows"][1] == numbers).all() and len(file["rows"][0]) == 0
        assert file.attrs["note"] == "n" * 2_000_000
