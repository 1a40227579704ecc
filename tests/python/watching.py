"""Which files and folders of a store are opened, and how often, as the kernel tells (inotify)."""

import collections
import ctypes
import os
import pathlib
import struct

EVENT = struct.Struct("iIII")
OPEN, IS_DIRECTORY, NONBLOCK = 0x20, 0x40000000, os.O_NONBLOCK
LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Counts openings below a folder, from `with` to its end; folders made later are not seen."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.opened = collections.Counter()

    def __enter__(self):
        self.file = LIBC.inotify_init1(NONBLOCK)
        self.paths = {}
        for path, _, _ in os.walk(self.folder):
            number = LIBC.inotify_add_watch(self.file, os.fsencode(path), OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", path)
            self.paths[number] = pathlib.Path(path)
        self.drain()
        self.opened.clear()
        return self

    def drain(self):
        """Takes the events that are there."""
        while True:
            try:
                raw = os.read(self.file, 1 << 20)
            except BlockingIOError:
                return
            at = 0
            while at < len(raw):
                number, mask, _, length = EVENT.unpack_from(raw, at)
                name = raw[at + EVENT.size:at + EVENT.size + length].rstrip(b"\0").decode("utf-8", "surrogateescape")
                at += EVENT.size + length
                if number in self.paths:
                    kind = "folder" if mask & IS_DIRECTORY else "file"
                    # A folder tells of its own opening too, without a name; its parent's word counts.
                    if name or number == 1:
                        self.opened[kind, str((self.paths[number] / name).relative_to(self.folder))] += 1

    def count(self, kind="file", ending=""):
        """Openings so far of files (or folders) whose path ends so."""
        self.drain()
        return sum(number for (what, path), number in self.opened.items() if what == kind and path.endswith(ending))

    def most(self, ending=""):
        """Openings of the one opened most."""
        self.drain()
        return max((number for (what, path), number in self.opened.items() if what == "file" and path.endswith(ending)),
                   default=0)

    def __exit__(self, *_):
        os.close(self.file)
