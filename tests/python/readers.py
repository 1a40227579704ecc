"""Reads a file through a Python library and prints all of it: variables, dimensions, attributes, digests of values.

    readers.py netcdf4|xarray-netcdf4|xarray-h5netcdf FILE
"""

import hashlib
import sys


def digest(values):
    """A short digest of an array's bytes; of its text where it holds objects."""
    import numpy
    values = numpy.ma.getdata(values) if isinstance(values, numpy.ma.MaskedArray) else numpy.asarray(values)
    raw = repr(values.tolist()).encode("utf-8", "replace") if values.dtype.hasobject else values.tobytes()
    return hashlib.sha256(raw).hexdigest()[:16]


def netcdf4(path):
    """Everything netCDF4-python shows, groups included."""
    import netCDF4

    def show(group, name):
        for dimension in group.dimensions.values():
            print(name, "dimension", dimension.name, len(dimension), dimension.isunlimited())
        for attribute in group.ncattrs():
            print(name, "attribute", attribute, repr(group.getncattr(attribute)))
        for variable in group.variables.values():
            variable.set_auto_maskandscale(False)
            print(name, "variable", variable.name, variable.dtype, variable.dimensions, variable.shape,
                  digest(variable[...]))
            for attribute in variable.ncattrs():
                print(name, variable.name, "attribute", attribute, repr(variable.getncattr(attribute)))
        for child in group.groups.values():
            show(child, name + child.name + "/")

    with netCDF4.Dataset(path) as dataset:
        show(dataset, "/")


def xarray(path, engine):
    """What xarray makes of the root group."""
    import xarray as xr
    options = {"phony_dims": "sort"} if engine == "h5netcdf" else {}
    with xr.open_dataset(path, engine=engine, decode_times=False, **options) as dataset:
        print("sizes", sorted(dataset.sizes.items()))
        print("attributes", sorted(dataset.attrs.items()))
        for name, variable in sorted(dataset.variables.items()):
            print(name, variable.dims, variable.dtype, digest(variable.values), sorted(variable.attrs.items(), key=str))


if __name__ == "__main__":
    kind, file = sys.argv[1:]
    if kind == "netcdf4":
        netcdf4(file)
    else:
        xarray(file, kind.split("-")[1])
