"""Synthetic stores with the shape of real public ones: full metadata, few chunks, values that need no copy to check.

A value is a function of its dataset and its position, so any element of any present chunk can be computed.  Which
chunks are present is chosen by whoever makes the twin; all others are fill, as they would be in a store that was never
finished.  Shapes, types, chunk shapes and layouts are those of the public stores; the names S1 to S8 are used in
`docs/` too.
"""

import functools
import json
import struct

import chunkcodecs as codecs
import h5py
import numpy
import writer
from writer import Domain

MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # splitmix64


def values(seed, positions, dtype):
    """Elements of dataset `seed` at flat positions: integers of all bits, floats that are whole numbers below 2^20."""
    with numpy.errstate(over="ignore"):
        mixed = numpy.asarray(positions, "u8") + numpy.uint64(seed * MIX[0] & (1 << 64) - 1)
        mixed = (mixed ^ mixed >> numpy.uint64(30)) * numpy.uint64(MIX[1])
        mixed = (mixed ^ mixed >> numpy.uint64(27)) * numpy.uint64(MIX[2])
        mixed ^= mixed >> numpy.uint64(31)
    dtype = numpy.dtype(dtype)
    if dtype.kind == "f":
        return (mixed & numpy.uint64(0xFFFFF)).astype(dtype)
    return mixed.astype("u%d" % dtype.itemsize).view("=%s%d" % (dtype.kind, dtype.itemsize)).astype(dtype)


class Variable:
    """One dataset of a twin: its shape, and what is in a chunk."""

    def __init__(self, name, dtype, dims, chunk, fill=0):
        self.name = name
        self.dtype = numpy.dtype(dtype)
        self.dims = tuple(dims)
        self.chunk = tuple(chunk)
        self.fill = fill
        self.seed = sum((i + 1) * byte for i, byte in enumerate(name.encode()))
        self.present = set()

    @functools.cached_property
    def counts(self):
        """Chunks along each dimension."""
        return tuple(-(-dim // part) for dim, part in zip(self.dims, self.chunk))

    def at(self, index):
        """Expected values of the part of the dataset that a chunk covers, the overhanging edge with them."""
        grids = numpy.ogrid[tuple(slice(i * part, (i + 1) * part) for i, part in zip(index, self.chunk))]
        flat = numpy.zeros((), "u8")
        for grid, dim in zip(grids, self.dims):
            flat = flat * numpy.uint64(dim) + grid.astype("u8")
        return values(self.seed, flat, self.dtype)

    def element(self, position):
        """Expected value of one element."""
        index = tuple(at // part for at, part in zip(position, self.chunk))
        if index not in self.present:
            return self.dtype.type(self.fill)
        flat = 0
        for at, dim in zip(position, self.dims):
            flat = flat * dim + at
        return values(self.seed, flat, self.dtype)[()]

    @property
    def type(self):
        """The schema's type."""
        order = "BE" if self.dtype.byteorder == ">" else "LE"
        kind = {"f": "H5T_IEEE_F", "i": "H5T_STD_I", "u": "H5T_STD_U"}[self.dtype.kind]
        name = "%s%d%s" % (kind, self.dtype.itemsize * 8, order)
        return {"class": "H5T_FLOAT" if self.dtype.kind == "f" else "H5T_INTEGER", "base": name}


class Twin:
    """A domain and its variables by path."""

    def __init__(self, bucket, key, schema=2):
        self.bucket = bucket
        self.domain = Domain(bucket, key, schema)
        self.variables = {}
        self.key = key

    def sharded(self, variable, present, encode=None, filters=None, parent=None, limits=None, **more):
        """A variable whose chunks are objects of the bucket."""
        if variable.fill:
            more["fillValue"] = variable.fill
        number = self.domain.dataset(variable.name, variable.type, variable.dims, variable.chunk, parent=parent,
                                     filters=filters, limits=limits, **more)
        for index in present:
            part = variable.at(index)
            self.domain.chunk(number, index, encode(part) if encode else part.tobytes())
            variable.present.add(tuple(index))
        self.variables[variable.name] = variable
        return number

    def linked(self, variable, file, uri, present, filters=(), rows_per_chunk=None):
        """A variable whose chunks lie in an HDF5 file, named by a table; chunks not present have size 0 there."""
        options = {"compression": "gzip", "shuffle": True} if filters else {}
        dataset = file.create_dataset(variable.name, variable.dims, variable.dtype, chunks=variable.chunk, **options)
        for index in present:
            first = [i * part for i, part in zip(index, variable.chunk)]
            place = tuple(slice(a, min(a + part, dim)) for a, part, dim in zip(first, variable.chunk, variable.dims))
            whole = variable.at(index)
            dataset[place] = whole[tuple(slice(0, p.stop - p.start) for p in place)]
            variable.present.add(tuple(index))
        file.flush()
        rows = numpy.zeros(variable.counts, [("offset", "<i8"), ("size", "<i4")])
        for i in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(i)
            rows[tuple(a // part for a, part in zip(info.chunk_offset, variable.chunk))] = (info.byte_offset, info.size)
        cut = rows_per_chunk or variable.counts
        table = self.domain.dataset(None, writer.compound(offset=writer.I64, size=writer.I32), variable.counts, cut)
        for index in numpy.ndindex(*(-(-count // part) for count, part in zip(variable.counts, cut))):
            whole = numpy.zeros(cut, rows.dtype)
            part = rows[tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, cut))]
            if part["size"].any():
                whole[tuple(slice(0, dim) for dim in part.shape)] = part
                self.domain.chunk(table, index, whole.tobytes())
        self.domain.dataset(variable.name, variable.type, variable.dims, filters=list(filters), top_layout=False, layout={
            "class": "H5D_CHUNKED_REF_INDIRECT", "dims": list(variable.chunk), "chunk_table": table, "file_uri": uri})
        self.variables[variable.name] = variable

    def site_table(self, sites):
        """`meta` and `time_index` as in the NREL files."""
        meta = writer.compound(latitude=writer.F64, longitude=writer.F64, elevation=writer.F64, timezone=writer.I64,
                               country=writer.fixed(30), state=writer.fixed(30), county=writer.fixed(30),
                               urban=writer.fixed(30), population=writer.I64, landcover=writer.I64)
        self.domain.dataset("meta", meta, (sites,), (10000,))
        times = self.domain.dataset("time_index", writer.fixed(19), (24,), (24,))
        hours = b"".join(b"2020-01-01 %02d:00:00" % hour for hour in range(24))
        self.domain.chunk(times, (0,), hours)


def spread(counts, number, seed=1):
    """Some chunk indices: the first, the last, and others anywhere."""
    random = numpy.random.default_rng(seed)
    chosen = {tuple(0 for _ in counts), tuple(count - 1 for count in counts)}
    while len(chosen) < number:
        chosen.add(tuple(int(random.integers(count)) for count in counts))
    return sorted(chosen)


def zlib_shuffled(part):
    """What servers up to 0.5 wrote."""
    return codecs.deflated(part, shuffle=True)


BOTH = [codecs.SHUFFLE, codecs.DEFLATE]


def s1(bucket):
    """wtk-us: schema v1, 37 variables of 736,416 chunks each, times as text, one coordinate pair a cell."""
    twin = Twin(bucket, "wtk-us.h5", schema=1)
    for i in range(37):
        variable = Variable("variable_%02d" % i, "<f4", (61368, 1602, 2976), (24, 89, 186))
        twin.sharded(variable, spread(variable.counts, 3, i) if i < 2 else [], zlib_shuffled, BOTH)
    pairs = writer.compound(lat=writer.F32, lon=writer.F32)
    twin.domain.dataset("coordinates", pairs, (1602, 2976), (801, 1488))
    twin.domain.dataset("datetime", writer.fixed(14), (61368,), (61368,))
    twin.domain.dataset("status", writer.U8, (61368,), (61368,))
    twin.domain.attribute(twin.domain.root, "history", writer.TEXT, "a twin")
    twin.domain.write()
    return twin


def linked_sites(bucket, key, names, dtype, dims, chunk, filters=(), attributes=None):
    """A file of the (time, site) kind whose chunks lie in one HDF5 file of another bucket."""
    twin = Twin(bucket, key)
    folder = bucket.folder.parent / "sources"
    folder.mkdir(exist_ok=True)
    name = key.replace("/", "_")
    with h5py.File(folder / name, "w") as file:
        for i, variable in enumerate(Variable(name, dtype, dims, chunk) for name in names):
            present = spread(variable.counts, 3, i) if i < 2 else []
            twin.linked(variable, file, "%s/%s" % (folder.name, name), present, filters)
    twin.site_table(dims[1])
    twin.domain.dataset("coordinates", writer.F32, (dims[1], 2), (100000, 2))
    for attribute, value in (attributes or {}).items():
        twin.domain.attribute(twin.domain.root, attribute, writer.TEXT, value)
    twin.domain.write()
    return twin


def s2(bucket):
    """nsrdb: linked, uncompressed, both edges partial."""
    return linked_sites(bucket, "nsrdb/v3/nsrdb_2020.h5", ["ghi", *("var_%02d" % i for i in range(25))], "<u2",
                        (17568, 2018392), (2688, 372))


def s2b(bucket):
    """nsrdb, aggregated."""
    return linked_sites(bucket, "nsrdb/GOES/aggregated/v4.0.0.h5", ["ghi", *("var_%02d" % i for i in range(24))],
                        "<u2", (17568, 2018267), (2000, 500), attributes={"version": "4.0.1"})


def s3(bucket):
    """wtk, conus: compressed chunks behind the links."""
    return linked_sites(bucket, "wtk/conus/wtk_conus_2012.h5", ["windspeed_%02d" % i for i in range(30)], "<u2",
                        (8784, 2488136), (336, 2976), BOTH, {"Version": "v1.0.0"})


def s4(bucket):
    """US_wave: floats, names and attributes with dashes."""
    return linked_sites(bucket, "US_wave/Alaska/Alaska_wave_1991.h5",
                        ["mean_zero-crossing_period", *("wave_%02d" % i for i in range(9))], "<f4",
                        (2920, 3894283), (448, 1116), attributes={"ref_IEC62600-101": "text", "version": "v1.0.0"})


def s5(bucket, days=5):
    """NCEP3: a file for each chunk, blanks in names, a fill value of -999; only the first days exist."""
    twin = Twin(bucket, "NASA/NCEP3/ncep3.he5")
    folder = bucket.folder.parent / "daily"
    folder.mkdir(exist_ok=True)
    group = twin.domain.root
    for name in ("HDFEOS", "GRIDS", "NCEP", "Data Fields"):
        group = twin.domain.group(group, name)
    variable = Variable("Tair_2m", "<f4", (7855, 720, 1440), (1, 720, 1440), fill=-999)
    rows = []
    for day in range(days):
        path = folder / ("day%04d.h5" % day)
        with h5py.File(path, "w") as file:
            data = file.create_dataset("x", data=variable.at((day, 0, 0)), chunks=variable.chunk, compression="gzip",
                                       compression_opts=1)
            info = data.id.get_chunk_info(0)
        name = ("%s/%s" % (folder.name, path.name)).encode()
        rows.append(struct.pack("<qiI", info.byte_offset, info.size, len(name)) + name)
        variable.present.add((day, 0, 0))
    table = twin.domain.dataset(None, writer.compound(offset=writer.I64, size=writer.I32, file_uri=writer.TEXT),
                                (7855, 1, 1), (7855, 1, 1))
    twin.domain.chunk(table, (0, 0, 0), b"".join(rows) + bytes(16) * (7855 - days))
    twin.domain.dataset(variable.name, variable.type, variable.dims, parent=group, fillValue=-999.0,
                        filters=[codecs.DEFLATE], top_layout=False, layout={
                            "class": "H5D_CHUNKED_REF_INDIRECT", "dims": list(variable.chunk), "chunk_table": table})
    twin.variables["HDFEOS/GRIDS/NCEP/Data Fields/Tair_2m"] = variable
    twin.domain.write()
    return twin


def s6(bucket):
    """ghcn: three billion records of 32 bytes; snp500: records of 35 bytes, packed."""
    twin = Twin(bucket, "ghcn.h5")
    record = writer.compound(station=writer.fixed(11), date=writer.fixed(8), element=writer.fixed(4),
                             value={"class": "H5T_INTEGER", "base": "H5T_STD_I16LE"}, m=writer.fixed(1),
                             q=writer.fixed(1), s=writer.fixed(1), time=writer.fixed(4))
    number = twin.domain.dataset("data", record, (3018181465,), (91268,), filters=BOTH[1:])
    dtype = numpy.dtype([("station", "S11"), ("date", "S8"), ("element", "S4"), ("value", "<i2"), ("m", "S1"),
                         ("q", "S1"), ("s", "S1"), ("time", "S4")])
    part = numpy.zeros(91268, dtype)
    part["station"], part["element"], part["date"] = b"USW00094728", b"TMAX", b"20200101"
    part["value"] = values(6, numpy.arange(91268), "<i2")
    twin.domain.chunk(number, (20000,), codecs.frame(part, typesize=1))
    twin.domain.dataset("stations", record, (120000,), (91268,))
    quote = writer.compound(date=writer.fixed(10), symbol=writer.fixed(4), sector=writer.I8,
                            **{name: writer.F32 for name in ("open", "high", "low", "close", "volume")})
    twin.domain.dataset("dset", quote, (3207353,), (50000,))
    twin.domain.write()
    twin.records = (20000, part)
    return twin


def s7(bucket):
    """tasmax: netCDF-4 through schema v1, an unlimited dimension, gzip, big-endian bounds."""
    twin = Twin(bucket, "tasmax.nc", schema=1)
    field = Variable("tasmax", "<f4", (600, 3105, 7025), (1, 369, 836), fill=1e20)
    number = twin.sharded(field, spread(field.counts, 3), zlib_shuffled, BOTH, limits=(0, 3105, 7025))
    sizes = {"time": 600, "lat": 3105, "lon": 7025}
    scales = {}
    for i, (name, size) in enumerate(sizes.items()):
        axis = Variable(name, "<f8", (size,), (size,))
        scales[name] = twin.sharded(axis, [(0,)], limits=(0 if name == "time" else size,))
        for attribute, text in (("CLASS", "DIMENSION_SCALE"), ("NAME", name)):
            twin.domain.attribute(scales[name], attribute, writer.fixed(len(text)), text)
        entry = writer.compound(dataset=writer.OBJECT, dimension=writer.I32)
        twin.domain.attribute(scales[name], "REFERENCE_LIST", entry, [["datasets/" + number, i]], (1,))
        twin.domain.attribute(scales[name], "_Netcdf4Dimid", writer.I32, i)
    axes = {"class": "H5T_VLEN", "size": "H5T_VARIABLE", "base": writer.OBJECT}
    twin.domain.attribute(number, "DIMENSION_LIST", axes, [["datasets/" + scales[name]] for name in sizes], (3,))
    twin.domain.attribute(number, "_FillValue", writer.F32, [1e20], (1,))
    bounds = Variable("lat_bnds", ">f4", (3105, 2), (3105, 2))
    twin.sharded(bounds, [(0, 0)])
    twin.domain.write()
    return twin


def s8(bucket):
    """ncdb: sharded, 16 variables."""
    twin = Twin(bucket, "ncdb.h5")
    for i in range(16):
        variable = Variable("var_%02d" % i, "<u2", (8760, 522485), (2000, 500))
        twin.sharded(variable, spread(variable.counts, 3, i) if i < 2 else [], codecs.frame, BOTH)
    twin.domain.write()
    return twin


def billion(bucket):
    """A dataset of 10^9 chunks without filters, and another with them."""
    twin = Twin(bucket, "billion.h5")
    for name, filters, encode in (("plain", None, None), ("packed", BOTH, zlib_shuffled)):
        variable = Variable(name, "<u2", (16000, 16000, 16000), (16, 16, 16))
        twin.sharded(variable, spread(variable.counts, 4), encode, filters)
    twin.domain.write()
    return twin


def objects(bucket, number=1000):
    """A domain of many objects."""
    twin = Twin(bucket, "objects.h5")
    for i in range(number):
        group = twin.domain.group(twin.domain.root, "group_%03d" % (i // 100)) if i % 100 == 0 else group
        variable = Variable("d%04d" % i, "<i4", (10,), (10,))
        twin.sharded(variable, [(0,)] if i % 100 == 0 else [], parent=group)
    twin.domain.write()
    return twin


def links(bucket, number=10000):
    """A group of many links, all to one object."""
    twin = Twin(bucket, "links.h5")
    target = twin.domain.dataset("target", writer.I32, (3,), (3,))
    group = twin.domain.group(twin.domain.root, "group")
    for i in range(number):
        twin.domain.link(group, "link %05d" % i, target)
    twin.domain.write()
    return twin


def attributes(bucket, number=10000):
    """An object with many attributes."""
    twin = Twin(bucket, "attributes.h5")
    for i in range(number):
        twin.domain.attribute(twin.domain.root, "attribute %05d" % i, writer.I64, i)
    twin.domain.write()
    return twin


def folders(bucket, number):
    """A folder of many domains without anything in them."""
    for i in range(number):
        twin = Domain(bucket, "many/d%06d.h5" % i)
        bucket.put("many/d%06d.h5/.domain.json" % i, json.dumps(
            {"root": twin.root, "owner": "admin", "acls": writer.ACLS, "created": 1, "lastModified": 1}).encode())
    bucket.folders("many/x")


ALL = {"S1": s1, "S2": s2, "S2b": s2b, "S3": s3, "S4": s4, "S5": s5, "S6": s6, "S7": s7, "S8": s8,
       "billion": billion, "objects": objects, "links": links, "attributes": attributes}
