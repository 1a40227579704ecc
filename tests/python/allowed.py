"""Where the presented file differs on purpose from what a server answered, and what must stand there instead.

Every entry names its reason.  The expected lines are changed, not the comparison: at each of these places the file is
still held to one value, except where the server itself failed and nothing says what would be right.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys

import dump

DIMENSION_SCALE = b"DIMENSION_SCALE"
LONG = {b"g-": b"groups/", b"d-": b"datasets/", b"t-": b"datatypes/"}
ANY = "any"  # a server failed on it, the schema forbids it, and the file may refuse it too

# (version, domain, path) of values the servers could not answer, and where the right value is known from:
# a source file's dataset, zero bytes of a length, or nowhere.
SERVER_FAILED = {
    ("0.9.4", "linked.h5", "/fletcher_only"): ("source", "linksrc.h5", "/fletcher_only"),
    ("0.9.4", "linked.h5", "/many_1d"): ("source", "linksrc.h5", "/many_1d"),
    ("0.9.4", "rest.h5", "/compact_decl"): ("zeros", 80),
    # Chunks that the schema forbids: a clipped edge chunk, plain bytes under a compressor.
    ("1.0.2", "hand.h5", "/gz_clipped_edge"): (ANY,),
    ("1.0.2", "hand.h5", "/gz_uncompressed_chunk"): (ANY,),
}


def adjust(lines, version, domain, store, ids, sources):
    """Changes the expected lines of one domain in place; returns the reasons that applied, one for each place."""
    reasons = []
    for line in lines:
        reasons += dimension_scale(line)
        reasons += shuffle_only(line, store, ids)
        reasons += server_failed(line, version, domain, sources)
        reasons += external(line)
        reasons += mixed_ids(line, store, ids)
        if line.get("attributes_failed"):
            reasons.append("%s: the server failed on the attributes of this object" % line["path"])
    return reasons


def dimension_scale(line):
    """`CLASS` is written as HDF5's own dimension scales write it, else netCDF does not open the file."""
    attribute = line.get("attributes", {}).get("CLASS")
    if not attribute or bytes.fromhex(attribute["streams"][0]).rstrip(b"\0") != DIMENSION_SCALE:
        return []
    attribute["type"] = {"string": 16, "charset": "ASCII", "padding": "NULLTERM"}
    attribute["streams"] = [(DIMENSION_SCALE + b"\0").hex()]
    return ["%s: CLASS of a dimension scale is NULLTERM/16" % line["path"]]


def shuffle_only(line, store, ids):
    """Servers store such chunks raw and un-shuffle them when they read them back; the stored bytes are the data."""
    if line.get("filters") != [2] or "value" not in line:
        return []
    itemsize = int(line["type"][-1])
    stream = stored_raw(store, ids[line["path"]], line["shape"]["dims"], line["chunk"], itemsize)
    line["value"] = {"sha256": hashlib.sha256(stream).hexdigest(), "len": len(stream), "head": stream[:32].hex()}
    return ["%s: shuffle alone was never applied by the writer" % line["path"]]


def server_failed(line, version, domain, sources):
    """What stands where a server had no answer."""
    if line.get("failed") != "value":
        return []
    known = SERVER_FAILED[(version, domain, line["path"])]
    if known[0] == "source":
        line["value"] = source_value(sources / known[1], known[2])
    elif known[0] == "zeros":
        line["value"] = {"sha256": hashlib.sha256(bytes(known[1])).hexdigest(), "len": known[1], "head": ""}
    return ["%s: the server failed on this value" % line["path"]]


def external(line):
    """A link to a domain by its path in the store leads there inside the mount: relative to the file's own folder."""
    if "external" not in line or not line["external"][0].startswith("/"):
        return []
    line["external"][0] = os.path.relpath(line["external"][0], "/home/admin")
    return ["%s: an external link is relative to its file" % line["path"]]


def mixed_ids(line, store, ids):
    """Both forms of an id stand in one dataset; the file knows objects, not forms, so both are read as the long one."""
    if line.get("type") != "object" or "value" not in line:
        return []
    stream = stored_raw(store, ids[line["path"]], line["shape"]["dims"], line["chunk"] or line["shape"]["dims"], 48)
    if hashlib.sha256(stream).hexdigest() != line["value"]["sha256"]:
        return []
    texts = [stream[at:at + 48].rstrip(b"\0") for at in range(0, len(stream), 48)]
    if len({b"/" in text for text in texts if text}) < 2:
        return []
    long = b"".join((text and LONG.get(text[:2], b"") + text).ljust(48, b"\0") for text in texts)
    line["value"] = {"sha256": hashlib.sha256(long).hexdigest(), "len": len(long), "head": long[:32].hex()}
    return ["%s: ids in two forms" % line["path"]]


def source_value(file, path):
    """The value of a dataset in a source file, as `dump.py` writes it down."""
    done = subprocess.run([sys.executable, dump.__file__, file], capture_output=True, text=True, check=True)
    for line in map(json.loads, done.stdout.splitlines()):
        if line["path"] == path:
            value = line["value"]
            return {**value, "sha256": value["sha256"][0]}
    raise KeyError(path)


def stored_raw(store, number, dims, chunk, itemsize):
    """The value of an unfiltered dataset of a v2 store, put together from its chunk objects."""
    digits = number[2:].replace("-", "")
    folder = store / "db" / ("%s-%s" % (digits[:8], digits[8:16])) / "d"
    folder = folder / ("%s-%s-%s" % (digits[16:20], digits[20:26], digits[26:]))
    value = bytearray(itemsize * product(dims))
    for index in itertools.product(*(range(-(-dim // part)) for dim, part in zip(dims, chunk))):
        name = folder / "_".join(map(str, index))
        if not name.exists():
            continue
        raw = name.read_bytes()
        first = [i * part for i, part in zip(index, chunk)]
        shape = [min(part, dim - at) for part, dim, at in zip(chunk, dims, first)]
        for row in itertools.product(*(range(extent) for extent in shape[:-1])):
            source = flat([*row, 0], chunk) * itemsize
            target = flat([a + b for a, b in zip(first, [*row, 0])], dims) * itemsize
            value[target:target + shape[-1] * itemsize] = raw[source:source + shape[-1] * itemsize]
    return bytes(value)


def flat(position, dims):
    """Position in C order."""
    number = 0
    for at, dim in zip(position, dims):
        number = number * dim + at
    return number


def product(dims):
    """Number of elements."""
    number = 1
    for dim in dims:
        number *= dim
    return number
