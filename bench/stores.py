"""The stores that are measured: written once, from fixed seeds, and kept under target/bench.

Each has the store itself, a plain HDF5 file with the same values, for some a Zarr copy, and `about.json`: what a reader
needs in order to ask for it, and what a bare client has to fetch.  `measures` asks for stores by name; `world` serves them.
"""

import concurrent.futures
import json
import pathlib
import shutil

import chunk_index
import chunkcodecs as codecs
import h5py
import numcodecs
import numpy
import strewn
import twins
import writer
from writer import Bucket, Domain

VERSION = 4  # of what this file writes: another number makes every store anew
LEVEL = 4  # of deflate, as h5py and HSDS have it where nobody says otherwise
MIB = (1, 512, 512)  # float32: one chunk of 1 MiB


def noise(seed, shape):
    """Values that no codec makes smaller."""
    return numpy.random.default_rng(seed).random(shape, "f4")


def weather(seed, shape):
    """Values as instruments give them: smooth, with noise, to two decimals."""
    size = int(numpy.prod(shape))
    wave = 15 + 10 * numpy.sin(numpy.arange(size, dtype="f4") / 700 + seed / 30)
    spread = numpy.random.default_rng(seed).standard_normal(size, "f4") / 2
    return numpy.round(wave + spread, 2).astype("f4").reshape(shape)


class Kind:
    """A store with one dataset `x`: its shape, its values, and how its chunks are encoded."""

    def __init__(self, full, quick, chunk, values, filters=(), encode=None, zarr=False, present=None):
        self.counts = {"full": full, "quick": quick}
        self.chunk, self.values, self.filters = chunk, values, list(filters)
        self.encode = encode or (lambda part: part.tobytes())
        self.zarr, self.present = zarr, present


def pencils(counts):
    """Three rows of chunks, one along each axis."""
    return [tuple(at if axis == along else 1 + (axis + along) % 2 for axis in range(3))
            for along in range(3) for at in range(counts[along])]


BOTH = [codecs.SHUFFLE, {**codecs.DEFLATE, "level": LEVEL}]
KINDS = {
    "raw": Kind((512, 1, 1), (96, 1, 1), MIB, noise, zarr=True),
    "gz": Kind((1024, 1, 1), (64, 1, 1), MIB, weather, BOTH, lambda part: codecs.deflated(part, shuffle=True), zarr=True),
    # HSDS 0.9 asks for Blosc's zlib with a type of one byte: the shuffle that is declared does nothing.
    "blosc": Kind((1024, 1, 1), (64, 1, 1), MIB, weather, BOTH, lambda part: codecs.frame(part, "zlib", codecs.BYTES)),
    "small": Kind((100_000, 1), (2_000, 1), (1, 5120), noise, zarr=True),
    "cube": Kind((24, 24, 24), (8, 8, 8), (96, 96, 96), noise, zarr=True, present=pencils),
}


class Stores:
    """The folder of all stores of one size."""

    def __init__(self, folder, size):
        self.folder, self.size = pathlib.Path(folder) / size, size
        self.makers = {"linked": self.linked, "s2": self.s2, "s1": self.s1, "objects": self.objects, "files": self.files,
                       "paged": self.paged, "strewn": self.strewn, "strewn20": self.strewn20, "chunk-index": self.chunk_index}

    def get(self, name):
        """What is known of a store; made first where it is not there."""
        folder = self.folder / name
        about = folder / "about.json"
        if about.exists():
            known = json.loads(about.read_text())
            if known["version"] == VERSION:
                return known
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print("making /%s" % name, flush=True)
        maker = self.makers.get(name)
        known = maker(folder) if maker else self.sharded(name, folder, KINDS[name])
        known.update(version=VERSION, name=name, folder=str(folder))
        about.write_text(json.dumps(known))  # last, so that a store that was interrupted is made anew
        return known

    def sharded(self, name, folder, kind):
        """A store of objects, the file with the same values, and the Zarr copy."""
        counts = kind.counts[self.size]
        dims = [count * part for count, part in zip(counts, kind.chunk)]
        present = kind.present(counts) if kind.present else list(numpy.ndindex(*counts))
        bucket = Bucket(folder / "store")
        domain = Domain(bucket, name + ".h5")
        number = domain.dataset("x", writer.F32, dims, kind.chunk, filters=kind.filters)
        (bucket.folder / domain.folder(number)).mkdir(parents=True)
        plain = folder / "plain"
        plain.mkdir()
        options = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True} if kind.filters else {}
        zarr = zarr_array(folder / "zarr", dims, kind) if kind.zarr else None

        def encoded(index):
            part = kind.values(sum(at * 10**(5 * axis) for axis, at in enumerate(reversed(index))), kind.chunk)
            value = kind.encode(part)
            # What libhdf5 itself would have written; for a store that holds just that, the same bytes.
            native = value if kind.encode is KINDS["gz"].encode or not kind.filters else codecs.deflated(part, True)
            if zarr:
                (zarr / ".".join(map(str, index))).write_bytes(
                    zarr_codec().encode(part.reshape(-1)) if kind.filters else value)
            return index, value, native

        stored = 0
        with h5py.File(plain / (name + ".h5"), "w") as file, concurrent.futures.ThreadPoolExecutor(2) as pool:
            data = file.create_dataset("x", dims, "<f4", chunks=kind.chunk, **options)
            # In pieces: a pool that is handed everything at once also keeps all that it has made.
            for at in range(0, len(present), 64):
                for index, value, native in pool.map(encoded, present[at:at + 64]):
                    (bucket.folder / domain.chunk_key(number, index)).write_bytes(value)
                    data.id.write_direct_chunk([i * part for i, part in zip(index, kind.chunk)], native)
                    stored += len(value)
        domain.write()
        keys = [domain.chunk_key(number, index) for index in present]
        raw = len(present) * int(numpy.prod(kind.chunk)) * 4
        return {"file": name + ".h5", "dataset": "x", "dims": dims, "chunk": kind.chunk, "keys": keys,
                "present": present, "stored": stored, "raw": raw, "plain": name + ".h5"}

    def linked(self, folder):
        """The chunks of the plain file of /gz, behind a table of links."""
        target = self.get("gz")
        bucket = Bucket(folder / "store")
        domain = Domain(bucket, "linked.h5")
        source = pathlib.Path(target["folder"]) / "plain" / "gz.h5"
        ranges = table(domain, source, "x", target["dims"], target["chunk"], "gz-plain/gz.h5", BOTH)
        domain.write()
        return {"file": "linked.h5", "dataset": "x", "dims": target["dims"], "chunk": target["chunk"],
                "ranges": ranges, "stored": target["stored"], "raw": target["raw"], "plain": "gz.h5", "source": "gz"}

    def paged(self, folder):
        """An HDF5 file with the values of /raw, written as the guides advise: pages of 4 MiB, metadata in pages of their own."""
        kind = KINDS["raw"]
        counts = kind.counts[self.size]
        dims = [count * part for count, part in zip(counts, kind.chunk)]
        plain = folder / "plain" / "paged.h5"
        plain.parent.mkdir()
        with h5py.File(plain, "w", fs_strategy="page", fs_page_size=4 << 20) as file:
            data = file.create_dataset("x", dims, "<f4", chunks=kind.chunk)
            for index in numpy.ndindex(*counts):
                part = kind.values(sum(at * 10**(5 * axis) for axis, at in enumerate(reversed(index))), kind.chunk)
                data.id.write_direct_chunk([i * part for i, part in zip(index, kind.chunk)], part.tobytes())
        with h5py.File(plain) as file:
            chunks = file["x"].id
            found = [chunks.get_chunk_info(at) for at in range(chunks.get_num_chunks())]
            found.sort(key=lambda info: info.chunk_offset)
        ranges = [(info.byte_offset, info.byte_offset + info.size) for info in found]
        (folder / "store").mkdir()
        (folder / "store" / "paged.h5").hardlink_to(plain)
        stored = len(ranges) * int(numpy.prod(kind.chunk)) * 4
        return {"file": "paged.h5", "dataset": "x", "dims": dims, "chunk": kind.chunk, "ranges": ranges, "stored": stored,
                "raw": stored, "plain": "paged.h5"}

    def s2(self, folder):
        """nsrdb: one linked file of 76 GB, of which only what is read here is written; the rest are holes."""
        dims, chunk = (17568, 2018392 if self.size == "full" else 120_000), (2688, 372)
        variable = twins.Variable("ghi", "<u2", dims, chunk)
        plain = folder / "plain"
        plain.mkdir()
        source = plain / "s2.h5"
        with h5py.File(source, "w") as file:
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk(chunk)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(file.id, b"ghi", h5py.h5t.STD_U16LE, h5py.h5s.create_simple(dims), properties)
        bucket = Bucket(folder / "store")
        twin = twins.Twin(bucket, "s2.h5")
        ranges = table(twin.domain, source, "ghi", dims, chunk, "s2-plain/s2.h5", [], writer.U16)
        for i in range(25):
            twin.domain.dataset("var_%02d" % i, writer.U16, dims, chunk)
        twin.site_table(dims[1])
        twin.domain.write()
        places = numpy.array(ranges)[:, 0].reshape(variable.counts)
        column, row = variable.counts[1] // 2, 5000
        random = numpy.random.default_rng(2)
        points = [[int(random.integers(dim)) for dim in dims] for _ in range(1000 if self.size == "full" else 100)]
        with open(source, "r+b") as file:
            for at in range(variable.counts[0]):
                put(file, places[at, column], 0, variable.at((at, column)))
            line = row // chunk[0], row % chunk[0]
            for at in range(variable.counts[1]):
                part = variable.at((line[0], at))[line[1]]
                put(file, places[line[0], at], line[1] * chunk[1], part)
            for a, b in points:
                value = twins.values(variable.seed, a * dims[1] + b, "<u2")
                put(file, places[a // chunk[0], b // chunk[1]], a % chunk[0] * chunk[1] + b % chunk[1], value)
        return {"file": "s2.h5", "dataset": "ghi", "dims": dims, "chunk": chunk, "ranges": ranges, "column": column * 372,
                "row": row, "points": points, "counts": variable.counts, "plain": "s2.h5", "stored": 0, "raw": 0}

    def s1(self, folder):
        """wtk-us: schema v1, 27 million chunks, of which two hours of maps and one series are there."""
        bucket = Bucket(folder / "store")
        twin = twins.s1(bucket)
        variable = twin.variables["variable_00"]
        number = next(n for n, value in twin.domain.objects.items() if n[0] == "d")
        wanted = [(7, a, b) for a in range(18) for b in range(16)]
        stored = 0
        for index in wanted:
            value = twins.zlib_shuffled(variable.at(index))
            stored += len(value)
            twin.domain.chunk(number, index, value)
        keys = [twin.domain.chunk_key(number, index) for index in wanted]
        return {"file": "wtk-us.h5", "dataset": "variable_00", "dims": variable.dims, "chunk": variable.chunk,
                "keys": keys, "stored": stored, "raw": len(wanted) * 24 * 89 * 186 * 4, "hour": 7 * 24 + 3}

    def objects(self, folder):
        """A file of many objects, without a summary."""
        number = 100_000 if self.size == "full" else 2_000
        bucket = Bucket(folder / "store")
        domain = twins.objects(bucket, number).domain
        # As every server leaves it some seconds after a change; a summary beside it is of servers from 1.0 on.
        datasets = [key for key in domain.objects if key[0] == "d"]
        below = domain.object_key(domain.root).rsplit("/", 1)[0]
        bucket.put_json(below + "/.info.json", {
            "num_groups": len(domain.objects) - len(datasets) - 1, "num_datatypes": 0, "num_chunks": len(datasets) // 100,
            "datasets": {key: {"num_chunks": 1} for key in datasets}})
        return {"file": "objects.h5", "dataset": "d0000", "dims": [10], "objects": number, "stored": 0, "raw": 0}

    def strewn(self, folder, times=1):
        """An HDF5 file in the earliest format, its metadata strewn between its chunks."""
        (folder / "store").mkdir()
        plan = strewn.Plan()
        path = strewn.write(folder / "store" / "strewn.h5", plan, times)
        name = plan.name(plan.long)
        chunks = []
        with h5py.File(path) as file:
            every = []
            file.visititems(lambda at, thing: every.append(at) if isinstance(thing, h5py.Dataset) else None)
            for at in every:
                file[at].id.chunk_iter(lambda info: chunks.append(info.size))
            long = file[name]
            stored = [long.id.get_chunk_info(at) for at in range(long.id.get_num_chunks())]
            dims, chunk = long.shape, long.chunks
        return {"file": "strewn.h5", "dataset": name, "dims": dims, "chunk": chunk,
                "metadata": path.stat().st_size - sum(chunks), "stored": sum(info.size for info in stored),
                "raw": dims[0] * dims[1] * 4}

    def strewn20(self, folder):
        """The same with chunks that make it too large to be read whole."""
        return self.strewn(folder, 20 if self.size == "full" else 3)

    def chunk_index(self, folder):
        """HDF5 files of very many chunks, one for each kind of index."""
        (folder / "store").mkdir()
        return chunk_index.write(folder / "store", chunk_index.NUMBER[self.size])

    def files(self, folder):
        """Many files of one chunk each, to be open at once."""
        bucket = Bucket(folder / "store")
        names = ["f%04d.h5" % at for at in range(1000 if self.size == "full" else 100)]
        for at, name in enumerate(names):
            domain = Domain(bucket, name)
            number = domain.dataset("x", writer.F32, (8192,), (8192,))
            domain.chunk(number, (0,), noise(at, (8192,)).tobytes())
            domain.write()
        return {"file": names[0], "files": names, "dataset": "x", "dims": [8192], "stored": 0, "raw": 0}


def put(file, place, at, values):
    """Values of two bytes each into a chunk, from its element `at` on."""
    file.seek(int(place) + 2 * int(at))
    file.write(numpy.asarray(values, "<u2").tobytes())


def table(domain, source, dataset, dims, chunk, uri, filters, what=writer.F32):
    """A dataset whose chunks lie in an HDF5 file; the range of each."""
    counts = tuple(-(-dim // part) for dim, part in zip(dims, chunk))
    rows = numpy.zeros(counts, [("offset", "<i8"), ("size", "<i4")])

    def note(info):
        rows[tuple(a // part for a, part in zip(info.chunk_offset, chunk))] = (info.byte_offset, info.size)

    with h5py.File(source) as file:
        file[dataset].id.chunk_iter(note)
    number = domain.dataset(None, writer.compound(offset=writer.I64, size=writer.I32), counts, counts)
    domain.chunk(number, (0,) * len(counts), rows.tobytes())
    domain.dataset(dataset, what, dims, filters=filters, top_layout=False, layout={
        "class": "H5D_CHUNKED_REF_INDIRECT", "dims": list(chunk), "chunk_table": number, "file_uri": uri})
    return [(int(row["offset"]), int(row["offset"]) + int(row["size"])) for row in rows.reshape(-1)]


def zarr_codec():
    """What compresses the Zarr copy of a compressed store: the same deflate and byte shuffle, in a frame that zarr-python and tensorstore read."""
    return numcodecs.Blosc(cname="zlib", clevel=LEVEL, shuffle=numcodecs.Blosc.SHUFFLE)


def zarr_array(folder, dims, kind):
    """The folder of an array in Zarr's second format."""
    folder = folder / "x"
    folder.mkdir(parents=True)
    about = {"zarr_format": 2, "shape": dims, "chunks": list(kind.chunk), "dtype": "<f4", "fill_value": 0.0, "order": "C",
             "filters": None, "compressor": zarr_codec().get_config() if kind.filters else None}
    (folder / ".zarray").write_text(json.dumps(about))
    return folder
