"""What is measured of a plain HDF5 file that was written as the guides advise: in pages, with its metadata in front.

The rows are those of /raw, over a file with the same values; it is shown laid out anew, and where nobody asks for that, as it is.
"""

import functools

from measures import Row, gather, judged, judged_random, middle, page_cache_row, rate_row, rows, steps

# Left to itself the program shows such a file as it is: there is little to gain.
ANEW = ("--hdf5", "relayout")


def cold(c):
    """The first chunk after a mount with nothing cached, from opening on."""
    first = functools.partial(c.us, "paged", [[[7, 8]]], whole=True)
    row = gather(Row("paged-cold", "first chunk of a paged HDF5 file, cold mount", "<= 5 round trips", {}),
                 us=lambda: middle(lambda: first(*ANEW)), **{"us, as it is": lambda: middle(first)},
                 s3fs=lambda: c.s3fs("paged", [[[7, 8]]]))
    return judged(row, lambda s: "%d round trips" % s["us"].chain, lambda s: s["us"].chain <= 5)


def random_chunks(c):
    """Chunks anywhere, one by one."""
    chosen = rows(c.store("paged"), 200)
    picks = [[[at, at + 1]] for at in chosen]
    row = gather(Row("paged-random", "%d random chunks of it, one by one" % len(chosen),
                     "<= 1.10 x bare serial, no GET more, <= 1.025 x bytes", {}),
                 bare=lambda: c.bare("paged", chosen, in_flight=1), us=lambda: c.us("paged", picks, *ANEW),
                 **{"us, as it is": lambda: c.us("paged", picks), "s3fs tuned": lambda: c.s3fs("paged", picks, tuned=True)},
                 local=lambda: c.local("paged", picks))
    return judged_random(row, chosen)


def sequential(c):
    """h5py from front to back, no limit."""
    row = rate_row(c, "paged-seq", "h5py sequential, no limit", ">= 0.6 x bare, <= 1.02 x bytes", 0.6, "paged", options=ANEW,
                   others=("s3fs", "local"))
    gather(row, **{"us, as it is": lambda: c.us("paged", steps(c.store("paged")))})
    if row.reached:
        row.reached = row.samples["us"].fetched <= 1.02 * row.samples["us"].bytes
    return row


def dd(c):
    """The presented file as it is, no limit."""
    row = rate_row(c, "paged-dd", "dd, cold, no limit", ">= 0.7 x bare", 0.7, "paged", "plain", options=ANEW)
    return gather(row, **{"us, as it is": lambda: c.us("paged", [], kind="plain")})


def page_cache(c):
    """Once more."""
    return page_cache_row(c, "paged-warm", "the same again, out of the page cache", "paged", *ANEW)


ROWS = {"paged-cold": cold, "paged-random": random_chunks, "paged-seq": sequential, "paged-dd": dd, "paged-warm": page_cache}
