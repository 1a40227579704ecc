"""HDF5 files that only show themselves as they are, or that were left in an odd state by the library, through a mount."""

import contextlib
import ctypes
import os
import subprocess
import sys

import h5py
import mounting
import numpy as np
import pytest
from test_commands import told

VALUES = np.arange(6000, dtype="i4").reshape(60, 100)


def fill(file):
    """Some data, in chunks and in one piece."""
    file.create_dataset("x", data=VALUES, chunks=(7, 50), compression="gzip")
    file["y"] = VALUES
    file["y"].attrs["units"] = "K"


def family(folder):
    """A family of two members."""
    with h5py.File(folder / "run%d.h5", "w", driver="family", memb_size=30_000) as file:
        fill(file)
    return {"run0.h5": "it is one of several files that make one", "run1.h5": "it is no HDF5 file"}


def split(folder, **more):
    """Metadata in one file, elements in the other."""
    with h5py.File(folder / "run", "w", driver="split", meta_ext=b"-m.h5", raw_ext=b"-r.h5", **more) as file:
        fill(file)
    return {"run-m.h5": "it is one of several files that make one", "run-r.h5": "it is no HDF5 file"}


def split_latest(folder):
    """The same, whose superblock has no room for what the driver says, but an extension."""
    return split(folder, libver="latest")


def written(folder):
    """A copy of a file that a writer has open."""
    with h5py.File(folder / "open.part", "w", libver="latest") as file:
        fill(file)
        file.flush()
        (folder / "run.h5").write_bytes((folder / "open.part").read_bytes())
    (folder / "open.part").unlink()
    return {"run.h5": "it is open for writing, or was not closed"}


def swmr(folder):
    """A copy of a file that is written while others read."""
    with h5py.File(folder / "open.part", "w", libver="latest") as file:
        fill(file)
        file.swmr_mode = True
        file["y"][0, 0] = 7
        file.flush()
        (folder / "run.h5").write_bytes((folder / "open.part").read_bytes())
    (folder / "open.part").unlink()
    return {"run.h5": "it is open for writing, or was not closed"}


def cut(folder):
    """Half of a file, as one that is still being uploaded; and so little that nothing tells what it is."""
    with h5py.File(folder / "run.h5", "w") as file:
        fill(file)
    size = (folder / "run.h5").stat().st_size
    (folder / "little.h5").write_bytes((folder / "run.h5").read_bytes()[:5])
    os.truncate(folder / "run.h5", size // 2)
    reason = "it is cut off: it ends at byte %d and should end at byte %d" % (size // 2, size)
    return {"run.h5": reason, "little.h5": "it is no HDF5 file"}


def foreign(folder):
    """What others give such names: classic netCDF, HDF4, nothing at all."""
    (folder / "classic.nc").write_bytes(b"CDF\x01" + bytes(100))
    (folder / "old.hdf").write_bytes(b"\x0e\x03\x13\x01" + bytes(100))
    (folder / "empty.h5").write_bytes(b"")
    return dict.fromkeys(("classic.nc", "old.hdf", "empty.h5"), "it is no HDF5 file")


@pytest.mark.parametrize("make", [family, split, split_latest, written, swmr, cut, foreign], ids=lambda make: make.__name__)
def test_the_attribute_and_the_log_say_why_a_file_is_shown_as_it_is(make, tmp_path):
    """Byte for byte, with the same reason in both."""
    folder = tmp_path / "files"
    folder.mkdir()
    reasons = make(folder)
    assert {path.name for path in folder.iterdir()} == set(reasons)
    mount = mounting.Mount(folder, "--store-root", folder, folder=tmp_path).start()
    try:
        for name, reason in reasons.items():
            point = mount.point / name
            assert os.getxattr(point, "user.h5mount.shown").decode() == "as it is: " + reason, name
            assert point.read_bytes() == (folder / name).read_bytes(), name
            lines = [line for line in mount.log().splitlines() if name in line and "shown as it is" in line]
            assert len(lines) == 1 and reason in lines[0], mount.log()
    finally:
        mount.stop()


def test_members_of_a_family_are_opened_as_one_through_the_mount(tmp_path):
    """The library's driver puts them together, as from the original."""
    folder = tmp_path / "files"
    folder.mkdir()
    family(folder)
    with mounting.mounted(folder, "--store-root", folder, folder=tmp_path) as point:
        with h5py.File(point / "run%d.h5", "r", driver="family", memb_size=30_000) as file:
            assert (file["x"][()] == VALUES).all() and (file["y"][()] == VALUES).all()
            assert file["y"].attrs["units"] == "K"


class ImageConfiguration(ctypes.Structure):
    """What the library is told of the image of a cache (`H5AC_cache_image_config_t`)."""

    _fields_ = [("version", ctypes.c_int), ("generate", ctypes.c_bool), ("resize", ctypes.c_bool), ("age", ctypes.c_int)]


def library():
    """The HDF5 library that h5py has loaded."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        paths = [line.split()[-1] for line in maps if "/libhdf5-" in line or "/libhdf5.so" in line]
    # Other packages bring libraries of their own, which know nothing of the objects of h5py's.
    return ctypes.CDLL(min(paths, key=lambda path: "h5py" not in path))


@contextlib.contextmanager
def imaged(path, latest, image=True):
    """A file whose metadata go into an image when it is closed, or one that is like it but for that."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST if latest else h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_LATEST)
    configure = library().H5Pset_mdc_image_config
    configure.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    assert configure(access.id, ctypes.byref(ImageConfiguration(1, image, False, -1))) == 0
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    with h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        yield file


@pytest.mark.parametrize("latest", [False, True], ids=["old", "latest"])
def test_metadata_in_the_image_of_a_cache_are_read_from_there(latest, tmp_path):
    """Groups, attributes, every way to find a chunk, and texts whose heaps lie in the image."""
    folder = tmp_path / "files"
    folder.mkdir()
    words = ["word %d" % number * (number % 7) for number in range(300)]
    # The library itself does not open all images that it writes ("non-parent entry has children"): a twin is compared.
    for path in (folder / "image.h5", tmp_path / "twin.h5"):
        with imaged(path, latest, path.stem == "image") as file:
            for number in range(30):
                file.create_group("many/g%02d" % number).attrs["text"] = "of group %d" % number
            for number in range(20):
                file["many"].attrs["a%02d" % number] = np.arange(number)
            fill(file)
            file.create_dataset("grows", data=VALUES, chunks=(4, 9), maxshape=(None, 100))
            file.create_dataset("grows2", data=VALUES, chunks=(8, 8), maxshape=(None, None), compression="gzip")
            file.create_dataset("words", data=words, dtype=h5py.string_dtype(), chunks=(100,))
            file.create_dataset("kept", data=words[:40], dtype=h5py.string_dtype())
        assert (b"MDCI" in path.read_bytes()) == (path.stem == "image")
    deepdiff = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "h5deepdiff.py")
    with mounting.mounted(folder, "--store-root", folder, folder=tmp_path) as point:
        assert os.getxattr(point / "image.h5", "user.h5mount.shown") == b"laid out anew"
        with h5py.File(point / "image.h5", "r") as file:
            assert (file["grows2"][()] == VALUES).all() and list(file["words"].asstr()[()]) == words
            assert list(file["kept"].asstr()[()]) == words[:40]
        command = [sys.executable, deepdiff, str(tmp_path / "twin.h5"), str(point / "image.h5")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    code, document = told("check", "--store-root", folder, folder / "image.h5")
    assert (code, document["faults"]) == (0, [])
