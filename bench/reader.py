"""One reader in a process of its own: opens, says so, waits for the word, reads, and says how long that took.

The job comes as one line of JSON: `kind` and `target` (what to open, and where), `dataset`, `selections` (lists of
pairs of bounds, one a dimension; what is left out is whole), `check` (whether a checksum of all is wanted).
"""

import importlib
import json
import os
import sys
import time
import zlib


class Plain:
    """A file read as it is, as `dd bs=1M` reads it: no memory is copied but the kernel's."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDONLY)

    def everything(self):
        """How many bytes there are, and their checksum, which is not asked for."""
        buffer, total = bytearray(1 << 20), 0
        while True:
            read = os.readv(self.file, [buffer])
            if not read:
                return total
            total += read


def h5py_file(target, dataset):
    """A file by its path."""
    import h5py
    return h5py.File(target["path"])[dataset]


def s3fs_file(target, dataset):
    """A file through fsspec."""
    import h5py
    import s3fs
    system = s3fs.S3FileSystem(anon=True, endpoint_url=target["endpoint"])
    options = target.get("options", {})
    return h5py.File(system.open(target["path"], "rb", **options), **target.get("hdf5", {}))[dataset]


def zarr_array(target, dataset):
    """An array by zarr-python."""
    import zarr
    options = {"anon": True, "endpoint_url": target["endpoint"]}
    return zarr.open_array("s3://%s/%s" % (target["bucket"], dataset), mode="r", zarr_format=2, storage_options=options)


class TensorStore:
    """An array by tensorstore."""

    def __init__(self, target, dataset):
        import tensorstore
        self.array = tensorstore.open({
            "driver": "zarr", "kvstore": {
                "driver": "s3", "bucket": target["bucket"], "path": dataset + "/", "endpoint": target["endpoint"],
                "aws_region": "us-east-1", "aws_credentials": {"type": "anonymous"}}}, open=True).result()

    def __getitem__(self, selection):
        return self.array[selection].read().result()


def hsds_dataset(target, dataset):
    """A dataset that a server gives out."""
    import h5pyd
    return h5pyd.File(target["domain"], "r", endpoint=target["endpoint"], username="admin", password="admin",
                      bucket=target["bucket"])[dataset]


class Many:
    """Files that are all open at once, of each of which one dataset is read."""

    def __init__(self, target, dataset):
        import h5py
        self.files, self.dataset = [h5py.File(path) for path in target["paths"]], dataset

    def __getitem__(self, selection):
        import numpy
        return numpy.stack([file[self.dataset][selection] for file in self.files])


class Walk:
    """A file of which every object and attribute is looked at, and no element."""

    def __init__(self, target, dataset):
        import h5py
        with h5py.File(target["path"]) as file:
            file.visititems(self.visit)

    @staticmethod
    def visit(name, thing):
        """One object."""
        dict(thing.attrs.items())
        if hasattr(thing, "shape"):
            _ = thing.shape, thing.dtype, thing.chunks, thing.compression


class Chunks:
    """A dataset whose chunks are counted: libhdf5 goes through all of its index."""

    def __init__(self, target, dataset):
        import h5py
        with h5py.File(target["path"]) as file:
            self.number = file[dataset].id.get_num_chunks()


# What each kind loads, which is done before anything is measured.
LIBRARIES = {"plain": [], "s3fs": ["h5py", "s3fs"], "zarr": ["zarr", "s3fs"], "tensorstore": ["tensorstore"], "hsds": ["h5pyd"]}
KINDS = {"chunks": Chunks, "many": Many, "walk": Walk, "h5py": h5py_file, "s3fs": s3fs_file, "zarr": zarr_array, "tensorstore": TensorStore, "hsds": hsds_dataset}


def main():
    """See above."""
    job = json.loads(sys.stdin.readline())
    for library in LIBRARIES.get(job["kind"], ["h5py"]):
        importlib.import_module(library)
    begun = time.monotonic()
    plain = job["kind"] == "plain"
    data = Plain(job["target"]["path"]) if plain else KINDS[job["kind"]](job["target"], job["dataset"])
    opened = time.monotonic() - begun
    print("ready", flush=True)
    sys.stdin.readline()
    total, checksum, first = 0, 0, None
    begun = time.monotonic()
    if plain:
        total = data.everything()
    else:
        for selection in job["selections"]:
            part = data[tuple(slice(*pair) for pair in selection)]
            first = first or time.monotonic() - begun
            total += part.nbytes
            if job["check"]:
                checksum = zlib.crc32(part.data, checksum)
    ended = time.monotonic()
    print(json.dumps({"open": opened, "begun": begun, "ended": ended, "first": first, "bytes": total, "checksum": checksum}),
          flush=True)


if __name__ == "__main__":
    main()
