"""The index of a million chunks: what it costs to open a file that has one, for each of the six kinds of index.

The files lie in a directory of this machine, so that nothing is measured but reading them. libhdf5's time is that of opening the
file and counting the chunks, for which it goes through the whole index once and does nothing else. Ours is that of opening the
file in a fresh mount, when the place of every chunk is known; and for comparison that of counting them through the mount, for which
libhdf5 reads the whole index that we present.
"""

import pathlib

import h5py
import numpy
from contenders import job
from measures import Row, gather, middle

import mounting

NUMBER = {"full": 1_000_000, "quick": 100_000}
WIDTH = 1000  # chunks of a row
ROWS = 50  # of them written at a time
# The format, and the largest extents: `None` where they are those that there are.
KINDS = {
    "single": ("latest", None), "implicit": ("latest", None), "fixed array": ("latest", None),
    "extensible array": ("latest", (None, WIDTH)), "v2 B-tree": ("latest", (None, None)), "v1 B-tree": ("earliest", None)}
# What a mount takes to open anything, in seconds: two indexes of six have nothing to read.
LITTLE = 0.01
ROOM = 64  # bytes of memory a chunk


def name(kind):
    """Of the file with such an index."""
    return kind.replace(" ", "-") + ".h5"


def write(folder, number):
    """One file of each kind, of `number` chunks of one element; all chunks of the one with a single chunk together."""
    for kind, (form, most) in KINDS.items():
        with h5py.File(folder / name(kind), "w", libver=(form, "v108" if form == "earliest" else form)) as file:
            shape = (number // WIDTH, WIDTH)
            how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            how.set_chunk(shape if kind == "single" else (1, 1))
            # Chunks that all have their place from the start need no index.
            how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY if kind == "implicit" else h5py.h5d.ALLOC_TIME_INCR)
            largest = shape if most is None else tuple(h5py.h5s.UNLIMITED if end is None else end for end in most)
            space = h5py.h5s.create_simple(shape, largest)
            data = h5py.Dataset(h5py.h5d.create(file.id, b"data", h5py.h5t.IEEE_F64LE, space, how))
            for row in range(0, shape[0], ROWS):
                data[row:row + ROWS] = numpy.arange(row * WIDTH, (row + ROWS) * WIDTH, dtype="f8").reshape(ROWS, WIDTH)
    return {"file": name("single"), "dataset": "data", "dims": list(shape), "chunks": number, "stored": 0, "raw": number * 8}


def row(c):
    """A million chunks in each of the six kinds of index, on local disk."""
    known = c.stores.get("chunk-index")
    folder = pathlib.Path(known["folder"]) / "store"

    def local(kind):
        return c.world.read([job("chunks", {"path": str(folder / name(kind))}, known, [])], whole=True)

    def us(kind, how):
        with mounting.mounted(folder, environment={"RUST_LOG": "warn"}) as mount:
            return c.world.read([job(how, {"path": str(mount / name(kind))}, known, [])], mount.process.pid, whole=True)

    makers = {}
    for kind in KINDS:
        makers["libhdf5, " + kind] = lambda kind=kind: middle(lambda: local(kind))
        makers["us, " + kind] = lambda kind=kind: middle(lambda: us(kind, "h5py"))
        makers["both, " + kind] = lambda kind=kind: middle(lambda: us(kind, "chunks"))
    told = gather(Row("chunk-index", "opening a file of %d chunks, six kinds of index" % known["chunks"],
                      "<= 2 x libhdf5, <= %d B a chunk at peak" % ROOM, {}), **makers)
    if told.failed:
        return told

    def times(kind):
        return max(told.samples["us, " + kind].seconds - LITTLE, 0) / told.samples["libhdf5, " + kind].seconds

    def room(kind):
        return (told.samples["us, " + kind].rss - told.samples["us, single"].rss) / known["chunks"]
    slow, large = max(KINDS, key=times), max(KINDS, key=room)
    told.figure = "%.2f x at most (%s), %.0f B (%s)" % (times(slow), slow, room(large), large)
    told.reached = times(slow) <= 2 and room(large) <= ROOM
    return told
