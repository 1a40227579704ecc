"""HDF5 and netCDF-4 files made on the spot, of what the loaders of both HSDS lines can carry.

    fresh.py FOLDER SEED
"""

import pathlib
import sys

import h5py
import netCDF4
import numpy


def numbers(path, random):
    """Every integer and float in both orders; shapes of rank 0 to 4; chunks, filters, fill values, limits."""
    with h5py.File(path, "w") as file:
        for order in "<>":
            for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
                dtype = numpy.dtype(order + kind)
                values = random.integers(0, 100, (7, 3)).astype(dtype)
                name = "%s_%s" % (kind, "le" if order == "<" else "be")
                file.create_dataset("all/" + name, data=values)
                file["all"].attrs[name] = values[0]
        file["scalar"] = numpy.float64(random.random())
        file.create_dataset("rank1", data=random.random(1000), chunks=(130,))
        file.create_dataset("rank3", data=random.integers(0, 9, (20, 30, 40)), chunks=(7, 11, 13), compression="gzip")
        file.create_dataset("rank4", data=random.random((4, 5, 6, 7)).astype("f4"), chunks=(2, 2, 3, 7),
                            compression="gzip", shuffle=True)
        file.create_dataset("grows", data=random.random((50, 20)), maxshape=(None, 20), chunks=(16, 20))
        file.create_dataset("filled", shape=(100, 100), dtype="i4", fillvalue=-7, chunks=(10, 100))
        file["filled"][20:30] = random.integers(1, 50, (10, 100))
        file.create_dataset("wide", data=random.integers(0, 1000, (600, 1100)).astype("u2"), chunks=(300, 550),
                            compression="gzip", shuffle=True)


def texts(path, random):
    """Strings of both kinds, sequences, compounds, enumerations, complex numbers."""
    words = ["", "a", "two words", "日本語", "x" * 300]
    with h5py.File(path, "w") as file:
        file.create_dataset("variable", data=[words[i] for i in random.integers(0, len(words), 40)],
                            dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=numpy.array([b"abc", b"de", b"fghij"], "S5"))
        sequences = file.create_dataset("sequences", (12,), h5py.vlen_dtype("i4"))
        for i in range(12):
            sequences[i] = random.integers(0, 1000, i % 5 + 1)
        record = numpy.zeros(30, [("when", "i8"), ("where", "f4", (3,)), ("name", "S6")])
        record["when"] = random.integers(0, 1 << 40, 30)
        record["where"] = random.random((30, 3))
        record["name"] = b"site"
        file.create_dataset("records", data=record, chunks=(8,))
        file.create_dataset("colours", data=random.integers(0, 3, 20).astype("i2"),
                            dtype=h5py.enum_dtype({"RED": 0, "GREEN": 1, "BLUE": 2}, "i2"))
        file.create_dataset("waves", data=random.random(9) + 1j * random.random(9))
        file["variable"].attrs["note"] = "für alle"
        file["records"].attrs["flags"] = numpy.array([True, False])


def tree(path, random):
    """Groups, links of every kind, a cycle, many attributes."""
    with h5py.File(path, "w") as file:
        for i in range(5):
            group = file.create_group("g%d/inner" % i)
            group.attrs["level"] = i
            group["values"] = random.integers(0, 10, i + 1)
        file["again"] = file["g0/inner/values"]
        file["g1/inner/up"] = file["g1"]
        file["soft"] = h5py.SoftLink("/g2/inner/values")
        file["outside"] = h5py.ExternalLink("numbers.h5", "/scalar")
        for i in range(200):
            file["g4"].attrs["attribute %03d" % i] = random.random()


def climate(path, random):
    """A netCDF-4 file: dimensions with and without variables, groups, an unlimited dimension, packed values."""
    with netCDF4.Dataset(path, "w") as file:
        file.title = "made on the spot"
        for name, size in (("time", None), ("lat", 9), ("lon", 12), ("bnds", 2)):
            file.createDimension(name, size)
        for name, units in (("time", "days since 2000-01-01"), ("lat", "degrees_north"), ("lon", "degrees_east")):
            variable = file.createVariable(name, "f8", (name,))
            variable.units = units
            variable[:] = numpy.arange(6.0 if name == "time" else file.dimensions[name].size)
        field = file.createVariable("tas", "i2", ("time", "lat", "lon"), zlib=True, chunksizes=(2, 9, 12),
                                    fill_value=-9999)
        field.scale_factor = 0.01
        field[:] = random.random((6, 9, 12)) * 30
        file.createVariable("lat_bnds", "f4", ("lat", "bnds"))[:] = random.random((9, 2))
        station = file.createGroup("station")
        station.createDimension("id", 4)
        station.createVariable("height", "f4", ("id",))[:] = random.random(4)


def make(folder, seed):
    """All of them; returns their paths."""
    folder = pathlib.Path(folder)
    made = []
    for name, maker in (("numbers.h5", numbers), ("texts.h5", texts), ("tree.h5", tree), ("climate.nc", climate)):
        maker(folder / name, numpy.random.default_rng(seed))
        made.append(folder / name)
    return made


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]))
