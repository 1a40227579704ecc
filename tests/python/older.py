"""Stores as older and rarer writers left them, made from the schema: one domain for each thing that is special.

Each maker writes a domain and returns what must be read: a value for each path.
"""

import base64
import itertools
import struct

import chunkcodecs as codecs
import h5py
import numpy
import writer
from writer import Domain

SHAPE, CHUNK = (100, 70), (32, 32)  # edges in both dimensions


def field(dtype="f4", shape=SHAPE):
    """Values that compress, and of which no two are equal."""
    return numpy.arange(numpy.prod(shape), dtype=dtype).reshape(shape)


def cut(values, chunk):
    """Chunks with their index: whole ones, the edges filled up with zeros, as the schema wants them."""
    counts = [-(-dim // part) for dim, part in zip(values.shape, chunk)]
    for index in itertools.product(*map(range, counts)):
        whole = numpy.zeros(chunk, values.dtype)
        place = tuple(slice(i * part, (i + 1) * part) for i, part in zip(index, chunk))
        part = values[place]
        whole[tuple(slice(0, dim) for dim in part.shape)] = part
        yield index, whole


def put(domain, number, values, chunk, encode, partitions=0):
    """All chunks of a dataset, each through `encode`."""
    for index, part in cut(values, chunk):
        domain.chunk(number, index, encode(part), partitions)


def v1(bucket):
    """Schema v1: no prefix for a file, keys that begin with a digest; written by 0.1 to 0.4 with true HDF5 filters."""
    domain = Domain(bucket, "old/v1.h5", schema=1)
    group = domain.group(domain.root, "group")
    raw = domain.dataset("raw", writer.F32, SHAPE, CHUNK)
    packed = domain.dataset("packed", writer.F32, SHAPE, CHUNK, group,
                            filters=[codecs.SHUFFLE, codecs.DEFLATE])
    domain.attribute(group, "units", writer.TEXT, "K")
    put(domain, raw, field(), CHUNK, lambda part: part.tobytes())
    put(domain, packed, field(), CHUNK, lambda part: codecs.deflated(part, shuffle=True))
    domain.write()
    return {"/raw": field(), "/group/packed": field()}


def encoded(bucket):
    """Every chunk encoding, one dataset each, and one dataset whose chunks are all different."""
    domain = Domain(bucket, "old/encoded.h5")
    both = [codecs.SHUFFLE, codecs.DEFLATE]
    ways = {
        "zlib": ([codecs.DEFLATE], codecs.deflated),
        "zlib_shuffled": (both, lambda part: codecs.deflated(part, shuffle=True)),
        "zlib_fletcher": (both, lambda part: codecs.deflated(part, shuffle=True) + b"\x01\x02\x03\x04"),
        "blosc_zlib": ([codecs.DEFLATE], codecs.frame),
        "blosc_zlib_bits": (both, lambda part: codecs.frame(part, shuffle=codecs.BITS)),
        "blosc_lz4_bits": ([codecs.LZ4], lambda part: codecs.frame(part, "lz4", codecs.BITS)),
        "blosc_lz4hc": ([codecs.LZ4], lambda part: codecs.frame(part, "lz4hc", codecs.BYTES, 4)),
        "blosc_zstd_bits": ([codecs.ZSTD], lambda part: codecs.frame(part, "zstd", codecs.BITS)),
        "blosc_zstd_bits4": ([codecs.ZSTD], lambda part: codecs.frame(part, "zstd", codecs.BITS, 4)),
        "blosc_blosclz": ([codecs.BLOSC], lambda part: codecs.frame(part, "blosclz", codecs.BYTES, 4)),
        "blosc_small_blocks": ([codecs.LZ4], lambda part: codecs.frame(part, "lz4", codecs.BYTES, 4, 512)),
        "blosc_small_bits": ([codecs.ZSTD], lambda part: codecs.frame(part, "zstd", codecs.BITS, 4, 1024)),
        "blosc_stored": ([codecs.LZ4], codecs.stored),
        "blosc_level0": ([codecs.ZSTD], lambda part: codecs.frame(part, "zstd", level=0)),
        "bitshuffle_lz4": ([codecs.BITSHUFFLE], codecs.bitshuffled),
        "bitshuffle_raw": ([codecs.BITSHUFFLE], lambda part: part.tobytes()),
    }
    wanted = {}
    for name, (filters, encode) in ways.items():
        number = domain.dataset(name, writer.F32, SHAPE, CHUNK, filters=filters)
        put(domain, number, field(), CHUNK, encode)
        wanted["/" + name] = field()
    mixed = [encode for filters, encode in ways.values() if filters in (both, [codecs.LZ4], [codecs.ZSTD])]
    mixed.append(lambda part: codecs.deflated(part, shuffle=True))
    number = domain.dataset("mixed", writer.F32, SHAPE, CHUNK, filters=both)
    for (index, part), encode in zip(cut(field(), CHUNK), itertools.cycle(mixed)):
        domain.chunk(number, index, encode(part))
    wanted["/mixed"] = field()
    number = domain.dataset("blosc_snappy", writer.U8, (5000,), (5000,), filters=[codecs.LZ4])
    same = numpy.full(5000, 7, "u1")
    domain.chunk(number, (0,), codecs.snappy(same))
    wanted["/blosc_snappy"] = same
    domain.write()
    return wanted


def shapes(bucket):
    """Partitions, absent chunks, fill values, limits, scalars, empty extents; layouts of both lines."""
    domain = Domain(bucket, "old/shapes.h5")
    wanted = {}
    # Partitions count only in the layout whose dims are in effect; 1.0 writes that one alone.
    number = domain.dataset("partitioned", writer.I32, SHAPE, limits=SHAPE, top_layout=False,
                            layout={"class": "H5D_CHUNKED", "dims": list(CHUNK), "partition_count": 4})
    put(domain, number, field("i4"), CHUNK, lambda part: part.tobytes(), partitions=4)
    wanted["/partitioned"] = field("i4")
    number = domain.dataset("sparse", writer.F64, SHAPE, CHUNK, fillValue=-2.5, filters=[codecs.DEFLATE])
    domain.chunk(number, (1, 1), codecs.deflated(numpy.full(CHUNK, 3.0)))
    sparse = numpy.full(SHAPE, -2.5)
    sparse[32:64, 32:64] = 3.0
    wanted["/sparse"] = sparse
    number = domain.dataset("contradicting", writer.I32, SHAPE, CHUNK)
    domain.objects[number]["layout"] = {"class": "H5D_CHUNKED", "dims": [50, 70]}
    put(domain, number, field("i4"), (50, 70), lambda part: part.tobytes())
    wanted["/contradicting"] = field("i4")
    number = domain.dataset("scalar", writer.I64, None)
    domain.chunk(number, (0,), struct.pack("<q", 12345678901))
    wanted["/scalar"] = numpy.int64(12345678901)
    domain.dataset("empty", writer.F32, (0, 5), (4, 5), limits=(0, 5))
    wanted["/empty"] = numpy.zeros((0, 5), "f4")
    number = domain.dataset("contiguous", writer.U16, SHAPE)
    domain.chunk(number, (0, 0), field("u2").tobytes())
    wanted["/contiguous"] = field("u2")
    value = base64.b64encode(struct.pack("<f", 1.5)).decode()
    domain.dataset("never_written", writer.F32, (10,), (4,), fillValue=value, fillValue_encoding="base64")
    wanted["/never_written"] = numpy.full(10, 1.5, "f4")
    domain.dataset("nan_fill", writer.F32, (10,), (4,), fillValue=float("nan"))
    wanted["/nan_fill"] = numpy.full(10, numpy.nan, "f4")
    domain.write()
    return wanted


def computed(bucket):
    """An initializer gives what no chunk holds; a stored chunk wins."""
    domain = Domain(bucket, "old/computed.h5")
    domain.dataset("arange", writer.I64, (1000,), (300,), initializer=["arange", "--start=5", "--step=3"])
    number = domain.dataset("arange_stored", writer.F64, (100,), (40,), initializer=["arange", "--start=0", "--step=0.5"])
    domain.chunk(number, (1,), numpy.full(40, -1.0).tobytes())
    domain.write()
    halves = numpy.arange(100) * 0.5
    halves[40:80] = -1.0
    return {"/arange": numpy.arange(1000, dtype="i8") * 3 + 5, "/arange_stored": halves}


def image(bucket, file):
    """A domain that holds an HDF5 file as bytes, in chunks of 2 MiB; returns these bytes."""
    raw = file.read_bytes()
    domain = Domain(bucket, "old/image.h5")
    values = numpy.frombuffer(raw, "u1")
    number = domain.dataset("h5image", writer.U8, values.shape, (2 << 20,))
    put(domain, number, values, (2 << 20,), lambda part: part.tobytes())
    domain.write()
    return raw


def selection(kind, dims, parts):
    """A selection as 1.0 serialises it: kind 1 points, 2 slab, 3 all; u32 numbers."""
    out = b"HSEL" + struct.pack("<BBBBH", 1, 0, kind, 1, len(dims)) + struct.pack("<%dI" % len(dims), *dims) + b"\0"
    for part in parts:
        if isinstance(part, slice):
            out += struct.pack("<BIII", 0, part.start, part.stop, part.step or 1)
        else:
            out += struct.pack("<BI%dI" % len(part), 1, len(part), *part)
    return out


def region(number, selected):
    """A region reference as an element of a dataset."""
    name = number.encode()
    blob = b"HRRF" + struct.pack("<BH", 1, len(name)) + name + struct.pack("<I", len(selected)) + selected + b"\xff"
    return struct.pack("<I", len(blob)) + blob


def references(bucket):
    """Object and region references in datasets, null ones among them."""
    domain = Domain(bucket, "old/references.h5")
    target = domain.dataset("target", writer.I32, (10, 20))
    domain.chunk(target, (0, 0), field("i4", (10, 20)).tobytes())
    group = domain.group(domain.root, "group")
    number = domain.dataset("objects", writer.OBJECT, (4,))
    texts = ["datasets/" + target, "groups/" + group, "", target]
    domain.chunk(number, (0,), b"".join(text.encode().ljust(48, b"\0") for text in texts))
    number = domain.dataset("regions", writer.REGION, (4,))
    slab = selection(2, (10, 20), [slice(2, 6, 1), slice(3, 15, 4)])
    points = selection(1, (10, 20), [[1, 3, 9], [0, 5, 19]])
    domain.chunk(number, (0,), b"".join([region(target, slab), region(target, points), struct.pack("<I", 0),
                                         region(target, selection(3, (10, 20), []))]))
    domain.write()
    return {"/target": field("i4", (10, 20))}


def linked(bucket):
    """Datasets whose chunks lie in HDF5 files, in this bucket and in another, in all three layouts."""
    files = bucket.folder / "files"
    files.mkdir(exist_ok=True)
    other = bucket.folder.parent / "other"
    other.mkdir(exist_ok=True)
    domain = Domain(bucket, "old/linked.h5")
    wanted = {}
    with h5py.File(files / "source.h5", "w") as source:
        source["contiguous"] = field("f8")
        source.create_dataset("packed", data=field(), chunks=CHUNK, compression="gzip", shuffle=True)
        source.create_dataset("checked", data=field(), chunks=CHUNK, fletcher32=True)
        source.create_dataset("both", data=field(), chunks=CHUNK, compression="gzip", shuffle=True, fletcher32=True)
        source.flush()
        at = source["contiguous"].id.get_offset()
        domain.dataset("contiguous", writer.F64, SHAPE, layout={
            "class": "H5D_CONTIGUOUS_REF", "file_uri": uri(bucket, "files/source.h5"), "offset": at, "size": 56000})
        wanted["/contiguous"] = field("f8")
        filters = {"packed": [codecs.SHUFFLE, codecs.DEFLATE], "checked": [], "both": [codecs.SHUFFLE, codecs.DEFLATE]}
        for name, listed in filters.items():
            places = chunk_places(source[name])
            domain.dataset(name, writer.F32, SHAPE, filters=listed, layout={
                "class": "H5D_CHUNKED_REF", "file_uri": uri(bucket, "files/source.h5"), "dims": list(CHUNK),
                "chunks": {"_".join(map(str, index)): place for index, place in places.items()}})
            wanted["/" + name] = field()
            indirect(domain, name + "_indirect", places, listed, file_uri=uri(bucket, "files/source.h5"))
            wanted["/" + name + "_indirect"] = field()
        hyper = chunk_places(source["packed"])
        indirect(domain, "hyper", hyper, filters["packed"], file_uri=uri(bucket, "files/source.h5"), hyper=True)
        wanted["/hyper"] = field()
    wanted["/many_files"] = many_files(bucket, domain, other)
    domain.write()
    return wanted


def uri(bucket, key):
    """A `file_uri` as servers on a POSIX store write it: from the bucket's own name on."""
    return "%s/%s" % (bucket.folder.name, key)


def chunk_places(dataset):
    """Offset and size of each chunk of an HDF5 dataset, by index."""
    places = {}
    for i in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(i)
        index = tuple(at // part for at, part in zip(info.chunk_offset, dataset.chunks))
        places[index] = [info.byte_offset, info.size]
    return places


def indirect(domain, name, places, filters, hyper=False, **layout):
    """A dataset whose chunks are named by a table, an anonymous dataset of the same domain."""
    counts = [-(-dim // part) for dim, part in zip(SHAPE, CHUNK)]
    rows = numpy.zeros(counts, [("offset", "<i8"), ("size", "<i4")])
    for index, (offset, size) in places.items():
        rows[index] = (offset, size)
    table = domain.dataset(None, writer.compound(offset=writer.I64, size=writer.I32), counts, counts)
    domain.chunk(table, [0] * len(counts), rows.tobytes())
    dims = {"dims": [96, 64], "hyper_dims": list(CHUNK)} if hyper else {"dims": list(CHUNK)}
    domain.dataset(name, writer.F32, SHAPE, filters=filters, layout={
        "class": "H5D_CHUNKED_REF_INDIRECT", "chunk_table": table, **dims, **layout})


def many_files(bucket, domain, folder):
    """One file for each chunk, as in series of daily files: the table names them; one day is missing."""
    days, shape = 6, (5, 8)
    values = numpy.zeros((days, *shape), "f4")
    rows = []
    for day in range(days):
        if day == 3:
            rows.append(struct.pack("<qi", 0, 0) + text(""))
            values[day] = -999
            continue
        values[day] = field("f4", shape) + day
        path = folder / ("day%d.h5" % day)
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=values[day][None], chunks=(1, *shape), compression="gzip")
            offset, size = chunk_places(file["x"])[(0, 0, 0)]
        rows.append(struct.pack("<qi", offset, size) + text("%s/%s" % (folder.name, path.name)))
    table = domain.dataset(None, writer.compound(offset=writer.I64, size=writer.I32, file_uri=writer.TEXT),
                           (days, 1, 1), (days, 1, 1))
    domain.chunk(table, (0, 0, 0), b"".join(rows))
    domain.dataset("many_files", writer.F32, (days, *shape), fillValue=-999.0, filters=[codecs.DEFLATE], layout={
        "class": "H5D_CHUNKED_REF_INDIRECT", "dims": [1, *shape], "chunk_table": table})
    return values


def text(value):
    """An element of a variable-length string."""
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def types(bucket):
    """Types no loader makes: sequences of compounds and of strings, text in chunks, a committed type in use."""
    domain = Domain(bucket, "old/types.h5")
    number = domain.dataset("words", writer.TEXT, (7,), (3,), filters=[codecs.DEFLATE])
    words = ["", "eins", "zwei", "drei", "日本", "", "z" * 1000]
    for i in range(3):
        part = (words + ["", ""])[3 * i:3 * i + 3]
        raw = numpy.frombuffer(b"".join(map(text, part)), "u1")
        domain.chunk(number, (i,), codecs.frame(raw))
    pairs = {"class": "H5T_VLEN", "size": "H5T_VARIABLE", "base": writer.compound(a=writer.I32, b=writer.F64)}
    number = domain.dataset("pairs", pairs, (3,))
    lists = [[(1, 0.5)], [], [(2, 1.5), (3, 2.5)]]
    domain.chunk(number, (0,), b"".join(
        struct.pack("<I", 12 * len(some)) + b"".join(struct.pack("<id", *pair) for pair in some) for some in lists))
    committed = domain.make("t", None, {"type": writer.compound(x=writer.I32, y=writer.I32), "attributes": {}})
    domain.link(domain.root, "point", committed)
    for name in ("one", "two"):
        number = domain.dataset(name, {**writer.compound(x=writer.I32, y=writer.I32), "id": committed}, (4,))
        domain.chunk(number, (0,), numpy.arange(8, dtype="<i4").tobytes())
    domain.write()
    points = numpy.arange(8, dtype="<i4").view([("x", "<i4"), ("y", "<i4")])
    return {"/words": words, "/pairs": lists, "/one": points, "/two": points}
