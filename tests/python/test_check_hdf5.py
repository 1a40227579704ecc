"""`h5mount check` of HDF5 files: sound ones made here, and what is told of each kind of damage."""

import os
import pathlib
import shutil

import h5py
import numpy as np
import pytest
from test_commands import h5mount, told


def checked(file):
    """Exit code, faults and account of one file, and the notes on it."""
    code, document = told("check", "--store-root", file.parent, file)
    return code, document["faults"], document.get("hdf5", []), document["notes"]


def fill(file):
    """Objects of all kinds, attributes and links in heaps, every way to find a chunk."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 100, (40, 30)).astype("f4")
    for number in range(40):
        file.require_group("many").create_group("g%02d" % number)
    for number in range(20):
        file["many"].attrs["a%02d" % number] = "text %d" % number
    file.create_dataset("piece", data=values)
    file.create_dataset("none", (10,), "f8")
    file.create_dataset("single", data=values, chunks=(40, 30))
    file.create_dataset("fixed", data=values, chunks=(7, 7), compression="gzip", fletcher32=True)
    file.create_dataset("grows", data=values, chunks=(4, 4), maxshape=(None, 30))
    file.create_dataset("grows2", data=values, chunks=(8, 8), maxshape=(None, None), shuffle=True, compression="lzf")
    file.create_dataset("text", data=["x" * number for number in range(60)], dtype=h5py.string_dtype(), chunks=(9,))
    space = h5py.h5s.create_simple((50,), (50,))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, plist).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.arange(50, dtype="i4"))
    file["committed"] = np.dtype("i8")
    file["soft"] = h5py.SoftLink("/piece")


WAYS = {
    "earliest": {"libver": "earliest"},
    "latest": {"libver": "latest"},
    "order": {"libver": "latest", "track_order": True},
    "paged": {"libver": "latest", "fs_strategy": "page", "fs_page_size": 8192, "fs_persist": True},
    "kept": {"fs_strategy": "fsm", "fs_persist": True},
    "block": {"userblock_size": 1024},
}


def made(folder, way):
    """A sound file."""
    path = folder / ("%s.h5" % way)
    with h5py.File(path, "w", **WAYS[way]) as file:
        fill(file)
    if way in ("paged", "kept"):
        # So that there is free space to be kept.
        with h5py.File(path, "r+") as file:
            del file["fixed"], file["piece"]
    return path


@pytest.mark.parametrize("way", WAYS)
def test_sound_files_have_no_fault_and_hardly_a_byte_without_a_name(way, tmp_path):
    """What is not named is what the library says is free."""
    path = made(tmp_path, way)
    code, faults, (account,), _ = checked(path)
    assert (code, faults, account["overlaps"]) == (0, [], 0)
    size = path.stat().st_size
    named = account["metadata_bytes"] + account["element_bytes"] + account["heap_bytes"]
    assert named <= size
    with h5py.File(path) as file:
        free = file.id.get_freespace()
        block = file.userblock_size
    assert named + account["unnamed_bytes"] >= (size - block) / 2
    if way == "earliest":
        # Nothing was deleted: what is left are ends of blocks that the library sets aside, 2048 bytes a kind.
        assert account["unnamed_bytes"] <= 2 * 2048
    if way in ("paged", "kept"):
        assert account["unnamed_bytes"] >= free > 4000


def test_what_was_deleted_has_no_name(tmp_path):
    """A dataset of 800,000 bytes, unlinked: h5repack gives a file without."""
    path = tmp_path / "left.h5"
    with h5py.File(path, "w") as file:
        file["big"] = np.ones(100_000)
        file["small"] = np.ones(10)
    with h5py.File(path, "r+") as file:
        del file["big"]
        # At the file's end, so that it does not end before.
        file["last"] = np.ones(200_000)
    code, faults, (account,), notes = checked(path)
    assert (code, faults) == (0, [])
    assert 800_000 <= account["unnamed_bytes"] <= 810_000
    assert any("no structure" in note and "h5repack" in note for note in notes)


def damaged(path, at, value):
    """Other bytes in a file."""
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(value)


def test_a_file_cut_off_is_a_fault(tmp_path):
    """Whatever its end is lost."""
    path = made(tmp_path, "earliest")
    os.truncate(path, path.stat().st_size - 10)
    code, (fault,), _, _ = checked(path)
    assert (code, fault["cause"], fault["structure"], fault["byte"]) == (1, "damaged", "superblock", 0)
    assert "copy the file anew" in fault["remedy"]


def test_a_file_that_was_not_closed_is_a_fault(tmp_path):
    """The mark of a writer, in the superblock."""
    with h5py.File(tmp_path / "open.h5", "w", libver="latest") as file:
        fill(file)
        file.flush()
        shutil.copy(tmp_path / "open.h5", tmp_path / "copy.h5")
    code, (fault,), _, _ = checked(tmp_path / "copy.h5")
    assert (code, fault["cause"]) == (1, "unclosed")
    assert "h5clear -s" in fault["remedy"]


def test_a_checksum_that_is_another(tmp_path):
    """A bit of the header of a dataset: it alone is lost, with its name, structure and byte."""
    path = made(tmp_path, "latest")
    with h5py.File(path) as file:
        at = h5py.h5o.get_info(file["grows"].id).addr
    damaged(path, at + 30, b"\xff\xfe")
    code, faults, (account,), _ = checked(path)
    (fault,) = faults
    assert (code, fault["path"], fault["cause"], fault["structure"]) == (1, "/grows", "checksum", "object header")
    assert at <= fault["byte"] <= at + 500
    assert account["structures"] > 20


def test_a_chunk_that_cannot_be_decoded(tmp_path):
    """Its dataset, number and byte are told."""
    path = made(tmp_path, "latest")
    with h5py.File(path) as file:
        info = file["fixed"].id.get_chunk_info_by_coord((7, 14))
    damaged(path, info.byte_offset + 4, b"\x00\xff" * 4)
    code, (fault,), _, _ = checked(path)
    assert (code, fault["path"], fault["chunk"], fault["cause"]) == (1, "/fixed", 1 * 5 + 2, "undecodable")
    assert fault["byte"] == info.byte_offset
    text = h5mount("check", "--store-root", tmp_path, path)
    assert text.returncode == 1 and "/fixed chunk 7: undecodable" in text.stdout


def test_elements_that_lie_on_something_else(tmp_path):
    """A layout message that leads into another dataset's elements."""
    path = tmp_path / "over.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(1000)
        file["b"] = np.zeros(1000)
        first, second = file["a"].id.get_offset(), file["b"].id.get_offset()
    content = path.read_bytes()
    places = [at for at in range(len(content)) if content.startswith(second.to_bytes(8, "little"), at)]
    assert len(places) == 1
    damaged(path, places[0], (first + 800).to_bytes(8, "little"))
    code, (fault,), (account,), _ = checked(path)
    assert (code, fault["cause"], fault["path"], fault["byte"]) == (1, "overlap", "/b", first + 800)
    assert "/a" in fault["reason"] and account["overlaps"] == 1


def test_what_is_shown_as_it_is_is_looked_into_too(tmp_path):
    """A paged file, and one with a filter that nothing here undoes: the rest of it is checked."""
    path = tmp_path / "paged.h5"
    with h5py.File(path, "w", fs_strategy="page", libver="latest") as file:
        file.create_dataset("x", data=np.arange(1000.0), chunks=(100,), compression="gzip")
        info = file["x"].id.get_chunk_info(3)
    code, faults, _, notes = checked(path)
    assert (code, faults) == (0, []) and any("shown as it is" in note for note in notes)
    damaged(path, info.byte_offset, b"\xff" * 20)
    code, (fault,), _, _ = checked(path)
    assert (code, fault["chunk"], fault["cause"]) == (1, 3, "undecodable")


def test_what_is_no_hdf5_file_is_no_fault(tmp_path):
    """A note says that it was not looked into."""
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01 and so on")
    code, faults, accounts, (note,) = checked(tmp_path / "classic.nc")
    assert (code, faults, accounts) == (0, [], []) and "no HDF5 file" in note


DATA = pathlib.Path(__file__).parent.parent / "data" / "hdf5"


def test_files_of_other_projects():
    """Of sound ones none has a fault, of damaged ones most have, each with a structure and a byte, or a chunk."""
    folder = pathlib.Path(os.environ.get("H5MOUNT_CORPUS", DATA))
    folder = folder / "open" if (folder / "open").is_dir() else folder
    code, document = told("check", "--store-root", folder, folder / "good")
    assert (code, document["faults"]) == (0, [])
    assert len(document["hdf5"]) >= 60 and all(account["overlaps"] == 0 for account in document["hdf5"])
    code, document = told("check", "--store-root", folder, folder / "corrupt")
    assert code == 1 and all("byte" in fault for fault in document["faults"] if fault["cause"] != "elements")
    damaged = {fault["file"] for fault in document["faults"]}
    assert len(damaged) >= 0.6 * document["files"], (len(damaged), document["files"])
