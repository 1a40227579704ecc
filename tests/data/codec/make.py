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


def zfp_frames():
    """Every kind of number, count of axes and mode; blocks that are cut at the edges, numbers that floats have few of."""
    pack = Pack("zfp")
    rng = np.random.default_rng(3)
    shapes = [(1, 13), (9, 6), (5, 6, 1, 7), (5, 3, 6, 2)]
    kinds = ["<i4", "<i8", "<f4", "<f8"]

    def add(name, data, **mode):
        with h5py.File("x.h5", "w", driver="core", backing_store=False) as f:
            dataset = f.create_dataset("d", data=data, chunks=data.shape, **hdf5plugin.Zfp(**mode))
            mask, stored = dataset.id.read_direct_chunk((0,) * data.ndim)
            assert mask == 0
            values = dataset.id.get_create_plist().get_filter(0)[2]
            f.flush()
            dataset.id.refresh()  # so that it is read through the filter, not out of the cache
            plain = f["d"][()]
        assert not mode.get("reversible") or plain.tobytes() == data.tobytes()
        pack.add(name, stored, plain.tobytes(), ",".join(map(str, values)))

    for kind, shape in itertools.product(kinds, shapes):
        data = np.round(np.cumsum(rng.normal(size=shape), -1) * 1000, 1)
        # ZFP leaves integers two bits of their own.
        data = (data * (1 if kind == "<i4" else 2**30)).astype(kind) if "i" in kind else data.astype(kind)
        axes = sum(side > 1 for side in shape)
        modes = {
            "rate": {"rate": 7.3}, "low": {"rate": 40 / 4**axes}, "precision": {"precision": 11},
            "accuracy": {"accuracy": 0.03125}, "reversible": {"reversible": True},
            "expert": {"minbits": 90, "maxbits": 700, "maxprec": 17, "minexp": -20}, "default": {},
        }
        for mode, options in modes.items():
            if "f" in kind or mode != "accuracy":
                add(f"{kind[1:]}-{axes}-{mode}", data, **options)
    for kind in kinds[2:]:
        whole = "<u" + kind[2]
        data = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(kind).max, np.finfo(kind).tiny, 1] * 2, kind)
        add(f"{kind[1:]}-special", data, reversible=True)
        add(f"{kind[1:]}-bits", rng.integers(0, np.iinfo(whole).max, (9, 9), whole).view(kind), reversible=True)
        add(f"{kind[1:]}-zeros", np.zeros((9, 9), kind), reversible=True)
        add(f"{kind[1:]}-mostly-zeros", np.diag(np.arange(9)).astype(kind), rate=9)
        small = (np.finfo(kind).tiny * rng.random((7, 5)) * [1, 10, 1000, 10**6, 10**9]).astype(kind)
        add(f"{kind[1:]}-small", small, precision=20)
        add(f"{kind[1:]}-large", (np.finfo(kind).max * rng.random((6, 5))).astype(kind), precision=24)
    for kind in kinds[:2]:
        limits = np.iinfo(kind)
        add(f"{kind[1:]}-whole-range", rng.integers(limits.min, limits.max, (6, 7, 5), kind), reversible=True)
    pack.close()


def lzo_frames():
    """As PyTables' filter 305 puts them together: what Debian's liblzo2 makes, its checksum of the plain bytes, their length."""
    library = ctypes.CDLL("liblzo2.so.2")
    memory = ctypes.create_string_buffer(1 << 20)
    pack = Pack("lzo")
    far = noise(3000, 2)
    contents = {
        "ramp": ramp(700, 4), "noise": noise(500), "zeros": bytes(9000), "tiny": b"\1\2\3", "one": b"\7",
        "text": b"if Peter Piper picked a peck of pickled peppers, " * 30,
        # Copies from near, from more than 2, 16 and 32 KiB away, behind runs of few and of many bytes.
        "mixed": b"".join(far[at:at + 3 + at % 9] + noise(at % 5, at) + far[:at % 40] for at in range(0, 2900, 7)),
        "far": far + bytes(14_000) + far[:900] + noise(40) + bytes(17_000) + far[1000:1900] + b"x" + far[5:25],
    }
    for name, plain in contents.items():
        for method in ["1", "1_15", "999"]:
            out = ctypes.create_string_buffer(len(plain) + len(plain) // 16 + 67)
            length = ctypes.c_size_t(len(out))
            done = getattr(library, f"lzo1x_{method}_compress")(
                plain, ctypes.c_size_t(len(plain)), out, ctypes.byref(length), memory)
            assert done == 0
            library.lzo_adler32.restype = ctypes.c_uint32
            checksum = library.lzo_adler32(1, plain, ctypes.c_size_t(len(plain)))
            trailer = checksum.to_bytes(4, "little") + len(plain).to_bytes(4, "little")
            pack.add(f"{name}-{method}", out.raw[:length.value] + trailer, plain)
    pack.close()


PACKS = {"blosc": blosc_frames, "hdf5": hdf5_filters, "bitshuffle": bitshuffle_frames, "plugin": plugin_blosc,
         "zfp": zfp_frames, "lzo": lzo_frames}
for name in sys.argv[2:] or PACKS:
    PACKS[name]()
print(
    "numcodecs", numcodecs.__version__, "c-blosc", blosc.VERSION_STRING, "h5py", h5py.__version__,
    "hdf5", h5py.version.hdf5_version, "hdf5plugin", hdf5plugin.version, "numpy", np.__version__,
)
