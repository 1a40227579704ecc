"""What the kernel's settings are worth: each as we set it, and as it could be set otherwise.  Only root may."""

import os
import pathlib
import subprocess

from contenders import job
from measures import Row, gather, middle, rows, steps

# Device read-ahead in KiB: the kernel's own, the largest request, between, ours, and four times as much.
READ_AHEAD = (128, 1024, 2048, 4096, 16384)
CONNECTIONS = pathlib.Path("/sys/fs/fuse/connections")
# Requests in the background: the kernel's own number, a quarter of ours, ours.
BACKGROUND = (12, 16, 64)


def device(path):
    """Numbers of a mount's device."""
    number = os.stat(path).st_dev
    return os.major(number), os.minor(number)


def set_read_ahead(path, kib):
    """What the kernel reads ahead of a sequential reader."""
    pathlib.Path("/sys/class/bdi/%d:%d/read_ahead_kb" % device(path)).write_text("%d\n" % kib)


def set_background(path, number):
    """How many requests of read-ahead the kernel has waiting, and from which on it calls us congested."""
    if not any(CONNECTIONS.iterdir()):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", CONNECTIONS], check=True)
    connection = CONNECTIONS / ("%d" % device(path)[1])
    (connection / "max_background").write_text("%d\n" % number)
    (connection / "congestion_threshold").write_text("%d\n" % (number * 3 // 4))


def under(c, change, value, selections, kind="h5py"):
    """One reading of /raw under a changed setting."""
    store = c.store("raw")

    def once():
        with c.mount("raw") as (path, mount):
            # The mount sets the read-ahead when a file is opened that wants another one: from here on it leaves it alone.
            with open(path, "rb"):
                pass
            change(path, value)
            return c.world.read([job(kind, {"path": path}, store, selections)], mount.process.pid)
    return middle(once)


def settings(c):
    """Sequential and random reads of /raw, and dd, by setting."""
    store = c.store("raw")
    picks = [[[at, at + 1]] for at in rows(store, 200)]
    makers = {}
    for kib in READ_AHEAD:
        makers["ahead %d KiB, seq" % kib] = lambda kib=kib: under(c, set_read_ahead, kib, steps(store))
        makers["ahead %d KiB, random" % kib] = lambda kib=kib: under(c, set_read_ahead, kib, picks)
        makers["ahead %d KiB, dd" % kib] = lambda kib=kib: under(c, set_read_ahead, kib, [], "plain")
    for number in BACKGROUND:
        makers["background %d, dd" % number] = lambda number=number: under(c, set_background, number, [], "plain")
    row = gather(Row("settings", "settings of the kernel, /raw", "ours are the best compromise", {}), **makers)
    row.figure = "see the rows below"
    return row
