"""Bytes of one chunk in every encoding that writers of the schema have used."""

import struct
import zlib

import numcodecs.blosc
import numcodecs.lz4
import numpy

NOSHUFFLE, BYTES, BITS = 0, 1, 2  # numcodecs' own numbers for Blosc's shuffles
DEFLATE = {"class": "H5Z_FILTER_DEFLATE", "id": 1, "name": "gzip", "level": 4}
SHUFFLE = {"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"}
FLETCHER = {"class": "H5Z_FILTER_FLETCHER32", "id": 3, "name": "fletcher32"}
LZ4 = {"class": "H5Z_FILTER_LZ4", "id": 32004, "name": "lz4"}
ZSTD = {"class": "H5Z_FILTER_ZSTD", "id": 32015, "name": "zstd"}
BLOSC = {"class": "H5Z_FILTER_BLOSC", "id": 32001, "name": "blosclz"}
BITSHUFFLE = {"class": "H5Z_FILTER_BITSHUFFLE", "id": 32008, "name": "bitshuffle"}


def shuffled(values):
    """HDF5's byte shuffle: first bytes of all elements, then all second bytes."""
    return values.reshape(-1).view("u1").reshape(values.size, values.itemsize).T.tobytes()


def deflated(values, shuffle=False):
    """A zlib stream of the bytes, shuffled first where asked: what HSDS up to 0.5 wrote."""
    return zlib.compress(shuffled(values) if shuffle else values.tobytes(), 4)


def frame(values, codec="zlib", shuffle=NOSHUFFLE, typesize=1, blocksize=0, level=5):
    """A Blosc-1 frame."""
    data = numpy.frombuffer(values.tobytes(), dtype="V%d" % typesize if typesize > 1 else "u1")
    if typesize > 1:
        data = data.view("u%d" % typesize)
    return bytes(numcodecs.blosc.compress(data, codec.encode(), level, shuffle, blocksize))


def stored(values):
    """A Blosc-1 frame that only holds the bytes."""
    raw = values.tobytes()
    return struct.pack("<BBBBIII", 2, 1, 0x02, 1, len(raw), len(raw), len(raw) + 16) + raw


def snappy(values):
    """A Blosc-1 frame with Snappy inside, for values whose bytes are all the same: one literal, then copies of it."""
    raw = values.tobytes()
    assert raw == raw[:1] * len(raw)
    left, length = len(raw) - 1, len(raw)
    out = bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out += bytes([length, 0x00, raw[0]])
    while left:
        step = min(left, 64)
        out += struct.pack("<BH", (step - 1) << 2 | 2, 1)
        left -= step
    body = struct.pack("<Ii", 20, len(out)) + out
    return struct.pack("<BBBBIII", 2, 1, 0x10 | 2 << 5, 1, len(raw), len(raw), len(body) + 16) + body


def bitshuffled(values, block=8192):
    """HDF5's filter 32008 with LZ4: a header, then blocks of transposed bits, what is left of eight elements raw."""
    size = values.itemsize
    step = block // size // 8 * 8
    memory = values.reshape(-1).view("u1").reshape(values.size, size)
    out = [struct.pack(">QI", memory.size, step * size)]
    whole = values.size // 8 * 8
    for at in range(0, whole, step):
        bits = numpy.unpackbits(memory[at:min(at + step, whole)], axis=1, bitorder="little").T
        packed = numcodecs.lz4.compress(numpy.packbits(bits, axis=1, bitorder="little").tobytes())[4:]
        out.append(struct.pack(">I", len(packed)) + packed)
    return b"".join(out) + memory[whole:].tobytes()
