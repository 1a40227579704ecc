"""Writes down what an HDF5 file holds, one JSON object a line, through libhdf5 and nothing else.

Runs alone under any interpreter with h5py 3.8 or newer, so that several versions of libhdf5 can be asked the same
questions.  Values are read in the file's own type (no conversion by HDF5 or numpy) and written as HSDS streams them:
members packed, a variable-length element as u32 byte count and its bytes, an object reference as the 48 bytes of its
id.  Ids come from `--ids`, a JSON object from path to id.

    dump.py FILE [--ids IDS.json] [--page-buffer BYTES]

`compare.py` reads the lines; `listing.py` makes the same form out of a server's own answers.
"""

import argparse
import ctypes
import glob
import hashlib
import json
import os
import struct
import sys

import h5py
import numpy
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5s, h5t

POINTER = ctypes.sizeof(ctypes.c_void_p)
SEQUENCE = struct.Struct("=QQ")  # hvl_t in memory: length, address
REFERENCE_TEXT = 48  # bytes of an object reference in an HSDS stream
HEAD = 32  # bytes of a stream that are written out, enough to see what kind of difference there is

NUMBERS = [("%s%s%d" % (order, kind, size), getattr(h5t, name))
           for order, suffix in (("<", "LE"), (">", "BE"))
           for kind, size, name in [("i", s, "STD_I%d%s" % (s * 8, suffix)) for s in (1, 2, 4, 8)]
           + [("u", s, "STD_U%d%s" % (s * 8, suffix)) for s in (1, 2, 4, 8)]
           + [("f", s, "IEEE_F%d%s" % (s * 8, suffix)) for s in (4, 8)]]
if hasattr(h5t, "IEEE_F16LE"):
    NUMBERS += [("<f2", h5t.IEEE_F16LE), (">f2", h5t.IEEE_F16BE)]
PADDING = {h5t.STR_NULLTERM: "NULLTERM", h5t.STR_NULLPAD: "NULLPAD", h5t.STR_SPACEPAD: "SPACEPAD"}
CHARSET = {h5t.CSET_ASCII: "ASCII", h5t.CSET_UTF8: "UTF8"}


def text(name):
    """A name from libhdf5 as text; bytes that are no UTF-8 become surrogates."""
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


class Types:
    """Datatypes as JSON values, in the words that `listing.py` uses too."""

    def __init__(self, file):
        self.file = file

    def describe(self, tid):
        """A JSON value that is equal where two datatypes mean the same."""
        what = self.plain(tid)
        if tid.committed():
            return {"committed": self.file.path_of(tid), "type": what}
        return what

    def plain(self, tid):
        """The same, without regard to a type's being committed."""
        kind = tid.get_class()
        if kind in (h5t.INTEGER, h5t.FLOAT):
            return self.number(tid)
        if kind == h5t.STRING:
            length = "vlen" if tid.is_variable_str() else tid.get_size()
            return {"string": length, "charset": CHARSET[tid.get_cset()], "padding": PADDING[tid.get_strpad()]}
        if kind == h5t.COMPOUND:
            return self.compound(tid)
        if kind == h5t.ENUM:
            members = [(text(tid.get_member_name(i)), int(tid.get_member_value(i))) for i in range(tid.get_nmembers())]
            return {"enum": self.describe(tid.get_super()), "members": sorted(members)}
        if kind == h5t.VLEN:
            return {"sequence": self.describe(tid.get_super())}
        if kind == h5t.ARRAY:
            return {"array": list(tid.get_array_dims()), "of": self.describe(tid.get_super())}
        if kind == h5t.OPAQUE:
            return {"opaque": tid.get_size(), "tag": text(tid.get_tag())}
        if kind == h5t.REFERENCE:
            return "object" if tid.equal(h5t.STD_REF_OBJ) else "region"
        return {"class": int(kind), "size": tid.get_size()}

    def number(self, tid):
        """`<i4`, `>f8` and the like; what is none of these is spelled out."""
        for name, standard in NUMBERS:
            if tid.equal(standard):
                return name.lstrip("<>") if name.endswith("1") else name
        what = {"number": tid.get_size(), "order": int(tid.get_order()), "precision": tid.get_precision(),
                "offset": tid.get_offset()}
        if tid.get_class() == h5t.FLOAT:
            what["fields"] = list(tid.get_fields())
            if what["fields"] == [15, 10, 5, 0, 10] and what["precision"] == 16:
                return "<f2" if tid.get_order() == h5t.ORDER_LE else ">f2"
        return what

    def compound(self, tid):
        """Members in order; offsets only where they are not packed."""
        members, offsets, end = [], [], 0
        for i in range(tid.get_nmembers()):
            member = tid.get_member_type(i)
            members.append([text(tid.get_member_name(i)), self.describe(member)])
            offsets.append(tid.get_member_offset(i))
        what = {"compound": members}
        packed = []
        for i in range(tid.get_nmembers()):
            packed.append(end)
            end += tid.get_member_type(i).get_size()
        if offsets != packed or end != tid.get_size():
            what["offsets"] = offsets + [tid.get_size()]
        return what


class Stream:
    """Elements in memory (in the file's type) as the bytes a server sends."""

    def __init__(self, file, long_ids):
        self.file = file
        self.long_ids = long_ids

    def packer(self, tid):
        """A function from the memory of one element to its stream bytes, or `None` where the two are equal."""
        kind = tid.get_class()
        if kind == h5t.STRING and tid.is_variable_str():
            return self.string
        if kind == h5t.VLEN:
            return self.sequence(tid.get_super())
        if kind == h5t.REFERENCE:
            return self.reference if tid.equal(h5t.STD_REF_OBJ) else self.region
        if kind == h5t.ARRAY:
            return self.array(tid)
        if kind == h5t.COMPOUND:
            return self.compound(tid)
        return None

    @staticmethod
    def string(memory):
        address = int.from_bytes(memory[:POINTER], sys.byteorder)
        value = ctypes.string_at(address) if address else b""
        return struct.pack("<I", len(value)) + value

    def sequence(self, base):
        pack, size = self.packer(base), base.get_size()

        def one(memory):
            count, address = SEQUENCE.unpack(memory[:SEQUENCE.size])
            value = ctypes.string_at(address, count * size) if count else b""
            value = self.elements(value, pack, size)
            return struct.pack("<I", len(value)) + value
        return one

    def array(self, tid):
        base = tid.get_super()
        pack, size = self.packer(base), base.get_size()
        return pack and (lambda memory: self.elements(memory, pack, size))

    def compound(self, tid):
        parts, end, same = [], 0, True
        for i in range(tid.get_nmembers()):
            member = tid.get_member_type(i)
            pack, at, size = self.packer(member), tid.get_member_offset(i), member.get_size()
            same = same and pack is None and at == end
            end = at + size
            parts.append((pack, at, size))
        if same and end == tid.get_size():
            return None
        return lambda memory: b"".join(
            pack(memory[at:at + size]) if pack else memory[at:at + size] for pack, at, size in parts)

    @staticmethod
    def elements(memory, pack, size):
        """Stream bytes of elements of `size` bytes, back to back in memory."""
        if pack is None:
            return memory
        return b"".join(pack(memory[at:at + size]) for at in range(0, len(memory), size))

    def reference(self, memory):
        address = int.from_bytes(memory[:8], sys.byteorder)
        if not address:
            return bytes(REFERENCE_TEXT)
        return self.file.id_at(address, self.long_ids).encode().ljust(REFERENCE_TEXT, b"\0")

    @staticmethod
    def region(memory):
        if any(memory):
            raise ValueError("a region reference that is not null has no stream form here")
        return struct.pack("<I", 0)


class File:
    """One open file: its objects by address and by path."""

    def __init__(self, path, ids, page_buffer):
        access = h5p.create(h5p.FILE_ACCESS)
        if page_buffer:
            set_page_buffer(access, page_buffer)
        self.id = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, fapl=access)
        self.ids = ids
        self.paths = {}
        self.types = Types(self)

    def path_of(self, object_id):
        """Path under which the walk met an object first."""
        return self.paths.get(h5o.get_info(object_id).addr)

    def id_at(self, address, long_ids):
        """Id text of the object whose header is at `address`."""
        path = self.paths.get(address, "?%d" % address)
        name = self.ids.get(path, path)
        if not long_ids:
            return name
        return {"g": "groups/", "d": "datasets/", "t": "datatypes/"}.get(name[:1], "") + name

    def find(self):
        """Every object, depth first by name: (path, object id), and what else hangs under names as lines."""
        found, lines = [], []

        def visit(object_id, path):
            address = h5o.get_info(object_id).addr
            if address in self.paths:
                lines.append({"path": path, "same_as": self.paths[address]})
                return
            self.paths[address] = path
            found.append((path, object_id))
            if isinstance(object_id, h5g.GroupID):
                for name in sorted((text(n) for n in object_id), key=str):
                    visit_link(object_id, name, ("" if path == "/" else path) + "/" + name)

        def visit_link(group, name, path):
            raw = name.encode("utf-8", "surrogateescape")
            info = group.links.get_info(raw)
            if info.type == h5l.TYPE_HARD:
                visit(h5o.open(group, raw), path)
            elif info.type == h5l.TYPE_SOFT:
                lines.append({"path": path, "soft": text(group.links.get_val(raw))})
            else:
                file, target = group.links.get_val(raw)
                lines.append({"path": path, "external": [text(file), text(target)]})

        visit(h5g.open(self.id, b"/"), "/")
        return found, lines

    def value(self, read, tid, count):
        """What `read(buffer, type)` gives as a stream; two of them, with short and with long ids, where that matters."""
        size = tid.get_size()
        buffer = numpy.zeros(max(count * size, 1), dtype="u1")
        if count:
            read(buffer, tid)
        memory = buffer.tobytes()[:count * size]
        streams = []
        for long_ids in (False, True):
            stream = Stream(self, long_ids)
            streams.append(stream.elements(memory, stream.packer(tid), size))
        return streams[:1] if streams[0] == streams[1] else streams

    def attributes(self, object_id):
        """Attributes by name."""
        found = {}
        for i in range(h5a.get_num_attrs(object_id)):
            attribute = h5a.open(object_id, index=i)
            tid, space = attribute.get_type(), attribute.get_space()
            what = {"type": self.types.describe(tid), "shape": shape(space, with_limits=False)}
            try:
                streams = self.value(lambda buffer, kind: attribute.read(buffer, mtype=kind), tid,
                                     space.get_simple_extent_npoints())
                what["streams"] = [stream.hex() for stream in streams]
            except (OSError, ValueError) as error:
                what["error"] = str(error)
            found[text(attribute.name)] = what
        return found

    def dataset(self, dataset):
        """All that is to be known of a dataset."""
        tid, space, create = dataset.get_type(), dataset.get_space(), dataset.get_create_plist()
        what = {"kind": "dataset", "type": self.types.describe(tid), "shape": shape(space, with_limits=True)}
        what["chunk"] = list(create.get_chunk()) if create.get_layout() == h5d.CHUNKED else None
        what["filters"] = [create.get_filter(i)[0] for i in range(create.get_nfilters())]
        if create.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            what["fill"] = self.fill(create, tid)
        if what["shape"] != "null":
            try:
                streams = self.value(lambda buffer, kind: read_dataset(dataset, buffer, kind), tid,
                                     space.get_simple_extent_npoints())
                what["value"] = {"sha256": [hashlib.sha256(stream).hexdigest() for stream in streams],
                                 "len": len(streams[0]), "head": streams[0][:HEAD].hex()}
            except (OSError, ValueError) as error:
                what["value"] = {"error": str(error)}
        return what

    def fill(self, create, tid):
        """Bytes of the fill value; `None` for types with members of varying length, gaps or references."""
        if Stream(self, False).packer(tid) is not None:
            return None
        value = numpy.zeros((), dtype=tid.dtype)
        create.get_fill_value(value)
        return value.tobytes().hex()

    def lines(self):
        """One JSON value for each object and each further link."""
        found, lines = self.find()
        for path, object_id in found:
            if isinstance(object_id, h5d.DatasetID):
                line = self.dataset(object_id)
            elif isinstance(object_id, h5t.TypeID):
                line = {"kind": "datatype", "type": self.types.plain(object_id)}
            else:
                line = {"kind": "group"}
            line["path"] = path
            line["links"] = h5o.get_info(object_id).rc
            line["attributes"] = self.attributes(object_id)
            lines.append(line)
        return sorted(lines, key=lambda line: line["path"])


def read_dataset(dataset, buffer, kind):
    """All elements into `buffer`, one dimension of memory for any number of dimensions in the file."""
    space = dataset.get_space()
    dataset.read(h5s.create_simple((space.get_simple_extent_npoints(),)), space, buffer, mtype=kind)


def shape(space, with_limits):
    """`null`, `scalar`, or dims (and how far they may grow, `null` for no limit)."""
    kind = space.get_simple_extent_type()
    if kind == h5s.NULL:
        return "null"
    if kind == h5s.SCALAR:
        return "scalar"
    dims = list(space.get_simple_extent_dims())
    if not with_limits:
        return dims
    limits = space.get_simple_extent_dims(True)
    return {"dims": dims, "limits": [None if limit == h5s.UNLIMITED else limit for limit in limits]}


def set_page_buffer(access, size):
    """H5Pset_page_buffer_size, called in the very libhdf5 that h5py uses (older h5py does not wrap it)."""
    if hasattr(access, "set_page_buffer_size"):
        access.set_page_buffer_size(size, 0, 0)
        return
    folder = os.path.join(os.path.dirname(os.path.dirname(h5py.__file__)), "h5py.libs")
    library = ctypes.CDLL(sorted(glob.glob(os.path.join(folder, "libhdf5-*.so*")))[0])
    library.H5Pset_page_buffer_size.argtypes = [ctypes.c_int64, ctypes.c_size_t, ctypes.c_uint, ctypes.c_uint]
    if library.H5Pset_page_buffer_size(access.id, size, 0, 0) < 0:
        raise OSError("H5Pset_page_buffer_size failed")


def main():
    """Writes the lines of one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--ids", help="JSON object from path to id")
    parser.add_argument("--page-buffer", type=int, default=0, help="bytes of libhdf5's page buffer, 0 for none")
    options = parser.parse_args()
    ids = {}
    if options.ids:
        with open(options.ids, encoding="utf-8") as source:
            ids = json.load(source)
    for line in File(options.file, ids, options.page_buffer).lines():
        print(json.dumps(line))


if __name__ == "__main__":
    main()
