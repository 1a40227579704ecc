"""Writes through h5pyd, HSDS's own client, what a loader never makes: objects changed after they were made.

Runs under the interpreter that the server was installed for.

    client.py make DOMAIN      a domain with datasets that grew, shrank and were written in part
    client.py change DOMAIN    other values, a new dataset and a new attribute in it
"""

import sys

import h5pyd
import numpy


def make(domain):
    """A domain written step by step."""
    with h5pyd.File(domain, "w") as file:
        grown = file.create_dataset("grown", (10, 6), maxshape=(None, 6), chunks=(4, 6), dtype="f4", fillvalue=-1.0)
        grown[2:5, 1:4] = 7.5
        grown.resize(25, axis=0)
        grown[20:, :] = numpy.arange(30, dtype="f4").reshape(5, 6)
        packed = file.create_dataset("packed", (100, 50), chunks=(30, 30), dtype="i4", compression="gzip")
        packed[10:20, 10:20] = 42
        file.create_dataset("words", data=["one", "two", "three"], dtype=h5pyd.string_dtype())
        file.create_dataset("removed", data=[1, 2, 3])
        del file["removed"]
        group = file.create_group("group")
        group.attrs["version"] = 1
        group["values"] = numpy.arange(5)


def change(domain):
    """The same domain later."""
    with h5pyd.File(domain, "a") as file:
        file["packed"][0:5, 0:5] = 99
        file.create_dataset("group/more", data=numpy.arange(7))
        file["group"].attrs["second"] = "new"


if __name__ == "__main__":
    {"make": make, "change": change}[sys.argv[1]](sys.argv[2])
