"""Programs that read HDF5 and netCDF files, what each prints about one, and what of that says nothing about the data.

Addresses, times of change, storage sizes and the file's own name differ between any two files; they are taken out
before outputs are compared.
"""

import os
import pathlib
import re
import subprocess
import sys

LIMIT = 60  # seconds for one program on one sample file; the slowest takes two
HERE = pathlib.Path(__file__).resolve().parent

# Lines that tell of the file's making, not of its content.
NOISE = re.compile("|".join([
    r"^\s*(Location|Modified|Storage|Allocated|Raw data|Superblock|File information|Filename|Files?):",
    r"^\s*Opened \"", r"^HDF5 \"", r"^HDF5: infinite loop", r"^netcdf \S+ \{", r"^Driver:", r"^\s*:history =",
    r"^\s*// global attributes", r"^\s*SUBDATASET_\d+_NAME", r"^\s*:NCO =", r"^\s*NC_GLOBAL#history",
]))
# What stands for an address in a line that is kept.
ADDRESS = [(re.compile(r"\b(GROUP|DATASET|DATATYPE|ATTRIBUTE) \d+ "), r"\1 "), (re.compile(r"-1:\d+/|\b1:\d+\b"), "1:@")]


class Tool:
    """One program: its command line on a file, and its name."""

    def __init__(self, name, *command, output=None, keep=None):
        self.name = name
        self.command = command
        self.keep = re.compile(keep or "")  # the lines that count, where that is easier said than which do not
        self.output = output  # a file it writes, named OUT in the command

    def __repr__(self):
        return self.name

    def run(self, file, folder):
        """Runs it: (`ok`, `error` or `crash`), and the lines of its output that count."""
        out = folder / (self.output or "unused")
        command = [str(part).replace("FILE", str(file)).replace("OUT", str(out)) for part in self.command]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        environment.pop("HDF5_USE_FILE_LOCKING", None)  # no program may need a flag
        done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False, env=environment, cwd=folder)
        if done.returncode < 0 or done.returncode >= 128:
            return "crash", done.stderr.decode(errors="replace").splitlines()
        if done.returncode:
            return "error", done.stderr.decode(errors="replace").splitlines()
        text = done.stdout.decode(errors="surrogateescape").replace(str(file), "FILE")
        return "ok", [line for line in normal(text) if self.keep.search(line)]


def normal(text):
    """The lines that count."""
    lines = []
    for line in text.splitlines():
        if line.strip() and not NOISE.search(line):
            for pattern, stand_in in ADDRESS:
                line = pattern.sub(stand_in, line)
            lines.append(line.rstrip())
    return lines


READ = [sys.executable, HERE / "readers.py"]
TOOLS = [
    Tool("h5dump", "h5dump", "FILE"),
    Tool("h5dump-H", "h5dump", "-H", "FILE"),
    Tool("h5ls", "h5ls", "-r", "FILE"),
    Tool("h5ls-v", "h5ls", "-rv", "FILE"),
    # All else of h5stat is sizes of metadata, which are ours.
    Tool("h5stat", "h5stat", "FILE", keep="# of unique|Max. dimension|Max. # of attr|# of objects with"),
    Tool("h5repack", "h5repack", "FILE", "OUT", output="repacked.h5"),
    Tool("h5repack-f", "h5repack", "-f", "GZIP=1", "FILE", "OUT", output="repacked.h5"),
    Tool("h5repack-f-S", "h5repack", "-f", "SHUF", "-f", "GZIP=1", "-S", "FSM_AGGR", "FILE", "OUT", output="repacked.h5"),
    Tool("ncdump", "ncdump", "FILE"),
    Tool("ncdump-h", "ncdump", "-h", "FILE"),
    Tool("nccopy", "nccopy", "FILE", "OUT", output="copied.nc"),
    Tool("netcdf4", *READ, "netcdf4", "FILE"),
    Tool("xarray-netcdf4", *READ, "xarray-netcdf4", "FILE"),
    Tool("xarray-h5netcdf", *READ, "xarray-h5netcdf", "FILE"),
    Tool("ncks", "ncks", "--cdl", "FILE"),
    Tool("gdalinfo", "gdalinfo", "FILE"),
]
