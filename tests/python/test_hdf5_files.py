"""HDF5 files made here, laid out anew by a mount and read through it."""

import contextlib
import os

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
