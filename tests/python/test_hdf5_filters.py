"""HDF5 files whose chunks went through filters that hardly any library has: a mount shows them without any filter.

A process of its own writes the files with hdf5plugin, and says what it reads of them; this one has no plugin.
"""

import json
import os
import subprocess
import sys

import h5py
import mounting
import numpy
import pytest

# What test_zfp_*.h5 were allowed to lose, and a file of PyTables.
ACCURACY = 0.01
LZO = "PyTables__PyTables/tables/tests/Tables_lzo1_shuffle.h5"

WRITE = """
import hashlib, json, sys
import h5py, hdf5plugin, numpy as np
rng = np.random.default_rng(17)
shape, chunks = (90, 130), (32, 50)
values = {
    "i2": rng.integers(-300, 300, shape).astype("<i2"),
    "f4": np.round(rng.normal(size=shape), 2).astype("<f4"),
    "f8be": np.round(rng.normal(size=shape), 1).astype(">f8"),
    "u1": rng.integers(0, 5, shape).astype("u1"),
    "i4": np.arange(shape[0] * shape[1]).reshape(shape).astype("<i4") // 50,
    "c": np.array([(i, i / 4, b"name") for i in range(shape[0] * shape[1])], "<u2,<f8,S5").reshape(shape),
}
filters = {
    "zstd": hdf5plugin.Zstd(),
    "zstd19": hdf5plugin.Zstd(clevel=19),
    "lz4": hdf5plugin.LZ4(),
    "lz4small": hdf5plugin.LZ4(nbytes=512),
    "bzip2": hdf5plugin.BZip2(),
    "bits": hdf5plugin.Bitshuffle(cname="none"),
    "bits_lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "bits_zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "bits_blocks": hdf5plugin.Bitshuffle(nelems=64, cname="none"),
    "lzf": {"compression": "lzf"},
}
for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd", "snappy"):
    for shuffle in range(3):
        filters["blosc_%s_%d" % (cname, shuffle)] = hdf5plugin.Blosc(cname=cname, shuffle=shuffle)
for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
    for shuffle in range(3):
        filters["blosc2_%s_%d" % (cname, shuffle)] = hdf5plugin.Blosc2(cname=cname, filters=shuffle)
told = {}
with h5py.File(sys.argv[1] + "/many.h5", "w") as file, h5py.File(sys.argv[1] + "/other.h5", "w") as other:
    for name, chosen in filters.items():
        for kind, value in values.items():
            file.create_dataset(name + "/" + kind, data=value, chunks=chunks, **dict(chosen))
        # One chunk is never written, one is all the same, and each may be of one dimension.
        hole = file.create_dataset(name + "/hole", shape=(300,), dtype="i4", chunks=(100,), fillvalue=9, **dict(chosen))
        hole[:200] = np.repeat([7, 8], [100, 100])
        cube = rng.integers(0, 9, (11, 13, 17)).astype("f4")
        file.create_dataset(name + "/cube", data=cube, chunks=(5, 6, 17), **dict(chosen))
    for kind in ("i2", "i4", "u1"):
        file.create_dataset("scaled/" + kind, data=values[kind], chunks=chunks, scaleoffset=0)
    file.create_dataset("scaled/f4", data=values["f4"], chunks=chunks, scaleoffset=2)
    file.create_dataset("scaled/f8be", data=values["f8be"], chunks=chunks, scaleoffset=3)
    file.create_dataset("scaled/filled", data=values["i2"], chunks=chunks, scaleoffset=0, fillvalue=-77)
    narrow = h5py.h5t.STD_I16LE.copy()
    narrow.set_precision(11)
    wide = h5py.h5t.STD_U32BE.copy()
    wide.set_precision(17)
    wide.set_offset(3)
    for name, kind in {"narrow": narrow, "wide": wide, "whole": h5py.h5t.IEEE_F32BE}.items():
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk(chunks)
        create.set_filter(h5py.h5z.FILTER_NBIT)
        file.require_group("nbit")
        space = h5py.h5s.create_simple(shape)
        dataset = h5py.h5d.create(file["nbit"].id, name.encode(), kind, space, create)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values["i4"].astype("f4" if name == "whole" else "i4")))
    # ZFP takes numbers of four and eight bytes along one to four axes; what it makes of them is no longer what was written.
    modes = {
        "reversible": {"reversible": True}, "rate": {"rate": 9.5}, "precision": {"precision": 13},
        "accuracy": {"accuracy": 0.01}, "expert": {"minbits": 70, "maxbits": 900, "maxprec": 40, "minexp": -12}, "default": {},
    }
    for mode, options in modes.items():
        for kind in ("i4", "i8", "f4", "f8"):
            # Accuracy means nothing to integers.
            zfp = hdf5plugin.Zfp(**(options if "f" in kind or mode != "accuracy" else {}))
            for sides, part in (((300,), (77,)), (shape, chunks), ((11, 13, 17), (5, 6, 9)), ((7, 6, 5, 9), (4, 3, 5, 6)),
                                ((3, 40, 30), (1, 9, 13))):
                value = np.cumsum(rng.normal(size=sides), -1) * 1e6 // 1 / 100
                name = "zfp/%s/%s/%s" % (mode, kind, "x".join(map(str, sides)))
                file.create_dataset(name, data=value.astype(kind), chunks=part, **zfp)
    odd = rng.integers(0, 1 << 32, (40, 40), "u4").view("f4")
    odd[:5] = np.array([[np.nan], [np.inf], [-np.inf], [-0.0], [1e-42]])
    file.create_dataset("zfp/odd", data=odd, chunks=(17, 19), **hdf5plugin.Zfp(reversible=True))
    other.create_dataset("x", data=values["f4"], chunks=chunks, **hdf5plugin.Sperr(absolute=0.1))
    other["y"] = 3
with h5py.File(sys.argv[1] + "/many.h5") as file:
    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            told[name] = [str(node.dtype), hashlib.sha256(node[()].tobytes()).hexdigest()]
    file.visititems(visit)
print(json.dumps(told))
"""

READ = """
import hashlib, json, sys
import h5py
told, filters = {}, {}
with h5py.File(sys.argv[1]) as file:
    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            told[name] = [str(node.dtype), hashlib.sha256(node[()].tobytes()).hexdigest()]
            filters[name] = node.id.get_create_plist().get_nfilters()
    file.visititems(visit)
print(json.dumps([told, filters]))
"""


def run(code, *words):
    """What a process of its own prints, which has only the plugins that it imports."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(300)
def test_no_reader_needs_a_plugin(tmp_path):
    """Each filter with each kind of element: what hdf5plugin reads of the file, a library without it reads of the mount."""
    folder = tmp_path / "files"
    folder.mkdir()
    expected = run(WRITE, folder)
    assert len(expected) > 400
    with mounting.mounted(folder, "--store-root", folder, folder=tmp_path) as point:
        assert os.getxattr(point / "many.h5", "user.h5mount.shown") == b"laid out anew"
        found, filters = run(READ, point / "many.h5")
        assert os.getxattr(point / "other.h5", "user.h5mount.shown").startswith(b"as it is: /x: its chunks went through")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert not any(filters.values())


@pytest.mark.parametrize("name", ["silx-kit__hdf5plugin/src/H5Z-ZFP/test/test_zfp_be.h5",
                                  "silx-kit__hdf5plugin/src/H5Z-ZFP/test/test_zfp_110050.h5"])
def test_zfp_of_other_machines(tmp_path, name):
    """Files with a dataset as it was and as older versions packed it, one of them on a machine with the highest byte first."""
    file = mounting.REPOSITORY / "tests" / "data" / "hdf5" / "good" / name
    with mounting.mounted(file, folder=tmp_path) as point:
        with h5py.File(point / file.name) as shown:
            original, packed = shown["original"], shown["compressed"]
            assert packed.dtype == original.dtype and not packed.id.get_create_plist().get_nfilters()
            wrong = numpy.abs(packed[()] - original[()])
            assert wrong.max() <= ACCURACY and original[()].std() > 1


def test_lzo_of_pytables(tmp_path):
    """A table that PyTables packed, with the checksum of its bytes."""
    file = mounting.REPOSITORY / "tests" / "data" / "hdf5" / "good" / LZO
    with mounting.mounted(file, folder=tmp_path) as point:
        with h5py.File(point / file.name) as shown:
            rows = shown["tuple0"][()]
            assert rows["var2"].tolist() == list(range(100)) and rows["var1"][0]
