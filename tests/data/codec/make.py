"""Writes the frames in this folder with the programs that other people use. See ORIGIN.md.

Each pack is two files: NAME.bin, the stored bytes one after the other, and NAME.tsv, a line for each of them:
name, offset, stored length, plain length, md5 of the plain bytes, then what the pack's test needs.
"""

import ctypes
import hashlib
import io
import itertools
import os
import random
import sys

import h5py
import hdf5plugin
import numcodecs
import numpy as np
from numcodecs import blosc

HERE = sys.argv[1] if len(sys.argv) > 1 else "."


class Pack:
    def __init__(self, name):
        self.name, self.blob, self.lines = name, io.BytesIO(), []

    def add(self, name, stored, plain, *more):
        at = self.blob.tell()
        self.blob.write(stored)
        self.lines.append(
            "\t".join([name, str(at), str(len(stored)), str(len(plain)), hashlib.md5(plain).hexdigest(), *map(str, more)])
        )

    def close(self):
        with open(os.path.join(HERE, self.name + ".bin"), "wb") as f:
            f.write(self.blob.getvalue())
        with open(os.path.join(HERE, self.name + ".tsv"), "w") as f:
            f.write("\n".join(self.lines) + "\n")
        print(self.name, len(self.lines), "frames", self.blob.tell(), "bytes")


def ramp(count, size):
    """Elements that count upwards slowly: every shuffle and every codec finds something to do."""
    return b"".join((i // 3).to_bytes(8, "little")[:size].ljust(size, b"\0") for i in range(count))


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


def snappy(plain, size, flag, blocksize):
    """A frame by Debian's libblosc1: numcodecs is built without snappy."""
    library = ctypes.CDLL("libblosc.so.1")
    out = ctypes.create_string_buffer(len(plain) + 16)
    length = library.blosc_compress_ctx(
        5, flag, ctypes.c_size_t(size), ctypes.c_size_t(len(plain)), plain, out, ctypes.c_size_t(len(out)),
        b"snappy", ctypes.c_size_t(blocksize), 1,
    )
    assert length > 0
    return out.raw[:length]


def blosc_frames():
    pack = Pack("blosc")
    shuffles = {"none": blosc.NOSHUFFLE, "byte": blosc.SHUFFLE, "bit": blosc.BITSHUFFLE}
    for codec, (shuffle, flag), size in itertools.product(
        ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"], shuffles.items(), [1, 2, 3, 4, 8, 20]
    ):
        contents = {
            "ramp": (ramp(700, size), 0),
            "noise": (noise(333), 0),
            "tiny": (b"\1\2\3\4\5", 0),
            # Several blocks, the last one short and not a whole number of eight elements; noise in the middle makes
            # some of the splits stored and others compressed.
            "blocks": (ramp(900, size) + noise(500) + ramp(133, size), 2048),
        }
        for content, (plain, blocksize) in contents.items():
            if content == "tiny" and size not in (1, 8):
                continue
            if codec == "snappy":
                pack.add(f"{codec}-{shuffle}-{size}-{content}", snappy(plain, size, flag, blocksize), plain)
                continue
            # numcodecs takes the element size from the array's dtype.
            if len(plain) % size == 0:
                array = np.frombuffer(plain, dtype=np.dtype(("V", size)))
            else:
                array = np.frombuffer(plain, dtype="u1")
            stored = blosc.compress(array, codec.encode(), 5, flag, blocksize)
            assert bytes(blosc.decompress(stored)) == plain
            pack.add(f"{codec}-{shuffle}-{size}-{content}", bytes(stored), plain)
    # Blocks as the library cuts them by itself (256 KiB), as HSDS asks for them: one byte an element.
    for codec, (shuffle, flag) in itertools.product(["lz4", "zlib", "zstd"], shuffles.items()):
        plain = ramp(34_000, 8)
        stored = blosc.compress(np.frombuffer(plain, "u1"), codec.encode(), 5, flag, 0)
        pack.add(f"{codec}-{shuffle}-1-large", bytes(stored), plain)
    plain = bytes(1 << 20)
    pack.add("zlib-none-1-zeros", bytes(blosc.compress(np.frombuffer(plain, "u1"), b"zlib", 5, 0, 0)), plain)
    pack.close()


def first_chunk(**options):
    data = options.pop("data")
    with h5py.File("x.h5", "w", driver="core", backing_store=False) as f:
        dataset = f.create_dataset("d", data=data, chunks=data.shape, **options)
        mask, stored = dataset.id.read_direct_chunk((0,) * data.ndim)
        assert mask == 0
        return stored


def hdf5_filters():
    pack = Pack("hdf5")
    for name, data in {
        "u1": np.frombuffer(ramp(999, 1), "u1"),
        "i2": np.arange(-500, 501, dtype="<i2"),
        "f4": np.sin(np.arange(1001, dtype="<f4")),
        "f8": np.cumsum(np.random.default_rng(7).normal(size=777)),
        "c16": np.exp(1j * np.arange(301.0)),
        "v3": np.frombuffer(ramp(511, 3), dtype=np.dtype(("V", 3))),
        "v12": np.frombuffer(ramp(211, 12), dtype=np.dtype(("V", 12))),
    }.items():
        plain = data.tobytes()
        size = data.dtype.itemsize
        for filters in ["d", "s", "f", "sd", "sf", "df", "sdf"]:
            options = {}
            if "d" in filters:
                options["compression"] = 4
            if "s" in filters:
                options["shuffle"] = True
            if "f" in filters:
                options["fletcher32"] = True
            # h5py writes shuffle, deflate, fletcher32 in this order.
            pack.add(f"{name}-{filters}", first_chunk(data=data, **options), plain, size, filters)
    pack.close()


def bitshuffle_frames():
    pack = Pack("bitshuffle")
    for dtype, count in itertools.product(["u1", "<u2", "<f4", "<f8", "V3", "V24"], [1, 7, 8, 9, 64, 1000, 5003]):
        size = np.dtype(dtype).itemsize
        data = np.frombuffer(ramp(count, size), dtype=dtype)
        for block in [0, 64]:
            stored = first_chunk(data=data, **hdf5plugin.Bitshuffle(nelems=block, cname="lz4"))
            pack.add(f"{dtype.strip('<')}-{count}-{block}", stored, data.tobytes(), size)
    pack.close()


def plugin_blosc():
    pack = Pack("plugin")
    data = np.repeat(np.arange(500, dtype="<i4"), 6)
    for codec, shuffle in itertools.product(["blosclz", "lz4", "lz4hc", "zlib", "zstd"], [0, 1, 2]):
        stored = first_chunk(data=data, **hdf5plugin.Blosc(cname=codec, clevel=5, shuffle=shuffle))
        pack.add(f"{codec}-{shuffle}", stored, data.tobytes())
    pack.close()


blosc_frames()
hdf5_filters()
bitshuffle_frames()
plugin_blosc()
print(
    "numcodecs", numcodecs.__version__, "c-blosc", blosc.VERSION_STRING, "h5py", h5py.__version__,
    "hdf5", h5py.version.hdf5_version, "hdf5plugin", hdf5plugin.version, "numpy", np.__version__,
)
