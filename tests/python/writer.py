"""Writes stores to the letter of the schema, object by object, without any server.

A `Domain` collects groups, datasets and committed types and writes their JSON at the end; chunks go to the bucket as
they come, as the bytes they are given.  Both key schemas (v1 and v2) and both JSON dialects are there, because stores
hold both.
"""

import hashlib
import json
import pathlib
import random

CREATED = 1500000000  # seconds since the epoch at which everything made here begins
PRIMES = (29, 31, 37, 41, 43, 47, 53, 59, 61, 67)  # a chunk's partition is a weighted sum of its index
ACLS = {"admin": dict.fromkeys(("create", "read", "update", "delete", "readACL", "updateACL"), True)}

# Predefined types as the schema writes them.
I8, I32, I64 = ({"class": "H5T_INTEGER", "base": "H5T_STD_I%dLE" % bits} for bits in (8, 32, 64))
U8, U16 = ({"class": "H5T_INTEGER", "base": "H5T_STD_U%dLE" % bits} for bits in (8, 16))
F32, F64 = ({"class": "H5T_FLOAT", "base": "H5T_IEEE_F%dLE" % bits} for bits in (32, 64))
TEXT = {"class": "H5T_STRING", "length": "H5T_VARIABLE", "charSet": "H5T_CSET_UTF8", "strPad": "H5T_STR_NULLTERM"}
OBJECT = {"class": "H5T_REFERENCE", "base": "H5T_STD_REF_OBJ", "length": 48}
REGION = {"class": "H5T_REFERENCE", "base": "H5T_STD_REF_DSETREG", "length": "H5T_VARIABLE"}


def fixed(length):
    """A fixed string type."""
    return {"class": "H5T_STRING", "length": length, "charSet": "H5T_CSET_ASCII", "strPad": "H5T_STR_NULLPAD"}


def compound(**fields):
    """A compound type."""
    return {"class": "H5T_COMPOUND", "fields": [{"name": name, "type": what} for name, what in fields.items()]}


def simple(dims, limits=None):
    """A dataspace; no dims for a scalar."""
    if dims is None:
        return {"class": "H5S_SCALAR"}
    shape = {"class": "H5S_SIMPLE", "dims": list(dims)}
    if limits is not None:
        shape["maxdims"] = list(limits)
    return shape


class Bucket:
    """A bucket on disk: keys are paths."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "db").mkdir(exist_ok=True)

    def put(self, key, value):
        """One object."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)

    def put_json(self, key, value):
        """One JSON object, written as Python's own writer does it: with NaN."""
        self.put(key, json.dumps(value).encode())

    def folders(self, key):
        """Folder objects above a domain."""
        parts = key.split("/")[:-1]
        for i in range(len(parts)):
            path = "/".join(parts[:i + 1]) + "/.domain.json"
            if not (self.folder / path).exists():
                self.put_json(path, {"owner": "admin", "acls": ACLS, "created": CREATED, "lastModified": CREATED})


class Domain:
    """One file of a store."""

    def __init__(self, bucket, key, schema=2, seed=None):
        self.bucket = bucket
        self.key = key
        self.schema = schema
        self.random = random.Random(seed or key)
        self.half = "%016x" % self.random.getrandbits(64)
        self.objects = {}
        self.clock = CREATED
        rotated = "".join("%x" % ((int(digit, 16) + 8) % 16) for digit in self.half)
        self.root = self.make("g", self.half + rotated, {"links": {}, "attributes": {}})

    def now(self):
        """Another second for each thing made: order of creation is order of `created`."""
        self.clock += 1
        return self.clock

    def make(self, letter, digits, value):
        """Registers an object under a new id."""
        digits = digits or (self.half if self.schema == 2 else "%016x" % self.random.getrandbits(64)) + (
            "%016x" % self.random.getrandbits(64))
        cuts = (8, 16, 20, 26) if self.schema == 2 else (8, 12, 16, 20)
        parts = [digits[a:b] for a, b in zip((0, *cuts), (*cuts, 32))]
        number = "%s-%s" % (letter, "-".join(parts))
        root = getattr(self, "root", number)
        self.objects[number] = {"id": number, "root": root, "created": self.now(), "lastModified": self.now(), **value}
        return number

    def object_key(self, number):
        """Key of an object's JSON."""
        if self.schema == 1:
            return hashed(number)
        digits = number[2:].replace("-", "")
        if number == self.root:
            return "db/%s-%s/.group.json" % (digits[:8], digits[8:16])
        name = {"g": ".group.json", "d": ".dataset.json", "t": ".datatype.json"}[number[0]]
        return self.folder(number) + name

    @staticmethod
    def folder(number):
        """Prefix of the keys of an object that is no root (v2)."""
        digits = number[2:].replace("-", "")
        return "db/%s-%s/%s/%s-%s-%s/" % (
            digits[:8], digits[8:16], number[0], digits[16:20], digits[20:26], digits[26:])

    def chunk_key(self, number, index, partitions=0):
        """Key of a chunk."""
        text = "_".join(map(str, index))
        if self.schema == 1:
            return hashed("c-%s_%s" % (number[2:], text))
        if partitions > 1:
            part = sum(at * PRIMES[d % 10] for d, at in enumerate(index)) % partitions
            return self.folder(number) + "p%d/%s" % (part, text)
        return self.folder(number) + text

    def link(self, parent, name, number):
        """A hard link."""
        self.objects[parent]["links"][name] = {"class": "H5L_TYPE_HARD", "id": number, "created": self.now()}

    def soft(self, parent, name, path):
        """A soft link."""
        self.objects[parent]["links"][name] = {"class": "H5L_TYPE_SOFT", "h5path": path, "created": self.now()}

    def group(self, parent=None, name=None):
        """A group, linked unless it has no name."""
        number = self.make("g", None, {"links": {}, "attributes": {}})
        if name is not None:
            self.link(parent or self.root, name, number)
        return number

    def attribute(self, number, name, what, value, dims=None):
        """An attribute."""
        self.objects[number]["attributes"][name] = {
            "type": what, "shape": simple(dims), "value": value, "created": self.now()}

    def dataset(self, name, what, dims, chunk=None, parent=None, limits=None, filters=None, top_layout=True, **more):
        """A dataset; `chunk` makes it chunked, `layout=` sets the whole layout, other keys are creation properties.

        The top-level layout is what servers up to 0.9 keep beside the one that was asked for; 1.0 writes none.
        """
        layout = more.pop("layout", None)
        if layout is None:
            layout = {"class": "H5D_CHUNKED", "dims": list(chunk)} if chunk else {"class": "H5D_CONTIGUOUS"}
        value = {"type": what, "shape": simple(dims, limits), "attributes": {},
                 "creationProperties": {"layout": layout, **({"filters": filters} if filters else {}), **more}}
        if top_layout:
            value["layout"] = {"class": "H5D_CHUNKED", "dims": list(chunk or layout.get("dims") or dims or [1])}
        number = self.make("d", None, value)
        if name is not None:
            self.link(parent or self.root, name, number)
        return number

    def chunk(self, number, index, value, partitions=0):
        """The stored bytes of a chunk."""
        self.bucket.put(self.chunk_key(number, index, partitions), value)

    def write(self):
        """Writes every object; the domain last, as a writer must."""
        for number, value in self.objects.items():
            if self.schema == 1:
                value["domain"] = "/" + self.key
            self.bucket.put_json(self.object_key(number), value)
        self.bucket.folders(self.key)
        self.bucket.put_json(self.key + "/.domain.json", {
            "root": self.root, "owner": "admin", "acls": ACLS, "created": CREATED, "lastModified": self.clock})
        return self


def hashed(number):
    """Key of a v1 object: five digits of a digest, then its id."""
    return "%s-%s" % (hashlib.md5(number.encode()).hexdigest()[:5], number)
