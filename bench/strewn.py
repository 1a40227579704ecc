"""An HDF5 file as many years of a programme leave it: thousands of objects in the earliest format, written as they came.

Its metadata lie strewn between its chunks: every dataset's header, the heaps and symbol tables of its group, the nodes of its
chunk index. The values do not matter, the places do; all are made from one seed. Alone: `python bench/strewn.py FILE [TIMES]`.
"""

import pathlib
import sys
import zlib

import h5py
import numpy

SEED = 6
GROUPS = 63
CHUNKS = 10_914  # in all
ATTRIBUTES = 8_000  # in all, some eight on each dataset
VARIABLES = 987
LONG = (40, 300)  # the variable that is read alone, and its chunks, which lie together
CHUNK = 20 << 10  # bytes of a chunk before gzip, which makes about half of them
POOL = 64  # chunks of different bytes: a file of gigabytes is written at once, and no cache is helped by so few
WORDS = ("long_name", "units", "valid_range", "standard_name", "cell_methods", "coordinates", "history", "comment", "source")


class Plan:
    """Sizes of a file: of the full one, or of one of so many variables for a test."""

    def __init__(self, variables=VARIABLES, groups=GROUPS, chunks=CHUNKS, attributes=ATTRIBUTES, chunk=CHUNK, long=LONG):
        random = numpy.random.default_rng(SEED)
        self.groups, self.chunk, self.long = groups, chunk, long[0]
        # Some variables have many chunks, most a few.
        shares = random.pareto(1.5, variables) + 0.3
        self.counts = numpy.maximum(1, (shares / shares.sum() * (chunks - long[1])).astype(int))
        self.counts[long[0]] = long[1]
        others = [at for at in range(variables) if at != long[0]]
        while self.counts.sum() != chunks:  # what rounding left
            step = 1 if self.counts.sum() < chunks else -1
            at = others[int(random.integers(len(others)))]
            self.counts[at] = max(1, self.counts[at] + step)
        self.attributes = [attributes // variables + (at < attributes % variables) for at in range(variables)]

    def name(self, at):
        """Path of a variable."""
        return "group_%02d/variable_%03d" % (at % self.groups, at)


def write(path, plan, times=1):
    """Writes the file, its chunks `times` as large."""
    elements = plan.chunk * times // 4
    random = numpy.random.default_rng(SEED)
    shuffled = random.permutation(len(plan.counts))
    # Of nine different bytes: what gzip makes half of.
    pool = [zlib.compress(random.integers(0, 9, elements * 4, "u1").tobytes(), 1) for _ in range(POOL)]
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        for at in shuffled:
            data = file.create_dataset(plan.name(at), (int(plan.counts[at]), elements), "<f4", chunks=(1, elements),
                                       compression="gzip", maxshape=(None, elements))
            for number in range(plan.attributes[at]):
                value = ("%s of variable %d" % (WORDS[number % 9], at)) * (1 + number % 3)
                data.attrs["%s_%d" % (WORDS[number % 9], number)] = numpy.bytes_(value) if number % 4 else [at * 0.5, number]
            for row in range(int(plan.counts[at])):
                data.id.write_direct_chunk((row, 0), pool[int(random.integers(POOL))])
    return pathlib.Path(path)


def main():
    """See the top."""
    write(sys.argv[1], Plan(), int(sys.argv[2]) if len(sys.argv) > 2 else 1)


if __name__ == "__main__":
    main()
