"""Random files in the HSDS schema, written straight to the specification, and what a server would answer of each.

`Domain(seed)` decides everything from its seed: tree, links, types, shapes, attributes, chunk shapes, encodings, holes,
dialect.  `write` puts it below a bucket folder; `listing` gives the lines that `listing.py` makes of a server's answers,
so that `compare.py` can hold a mounted file against them.
"""

import base64
import hashlib
import itertools
import json
import random
import zlib

import numcodecs.blosc
import numpy

import listing

CREATED = 1_700_000_000.0  # any time will do; later objects get later ones, since order of creation is by time
COMPRESSORS = {  # schema class and id by the name HSDS gives it
    "gzip": ("H5Z_FILTER_DEFLATE", 1), "lz4": ("H5Z_FILTER_LZ4", 32004), "zstd": ("H5Z_FILTER_ZSTD", 32015),
    "blosclz": ("H5Z_FILTER_BLOSC", 32001), "lz4hc": ("H5Z_FILTER_LZ4HC", 32005)}
PRIMES = (29, 31, 37, 41, 43, 47, 53, 59, 61, 67)  # of the partition rule
WORDS = ("a", "b c", "time", "lat", "ü", "測", "x%2Fy", ".dot", "Q?#", "long" * 40, "-", "0", "_x", "\U0001f600")


class Domain:
    """One random file."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.old = self.random.random() < 0.5  # the dialect of 0.9, else of 1.0
        half = "%016x" % self.random.getrandbits(64)
        self.half = half
        self.root = self.identify("g", half + "".join("%x" % ((int(digit, 16) + 8) % 16) for digit in half))
        self.clock = CREATED
        self.objects = {}  # id -> document
        self.values = {}  # dataset id -> stream of all its elements
        self.chunks = {}  # key below the bucket -> bytes
        self.groups = []
        self.build()

    # -- ids and time

    @staticmethod
    def identify(kind, digits):
        """Text of an id: 8-8-4-6-6."""
        return "%s-%s-%s-%s-%s-%s" % (kind, digits[:8], digits[8:16], digits[16:20], digits[20:26], digits[26:])

    def fresh(self, kind):
        """A new id of this file."""
        return self.identify(kind, self.half + "%016x" % self.random.getrandbits(64))

    def now(self):
        """The next moment."""
        self.clock += 0.001
        return round(self.clock, 4)

    def key(self, number):
        """Prefix of an object's keys, with a trailing slash."""
        digits = number[2:].replace("-", "")
        prefix = "db/%s-%s/" % (digits[:8], digits[8:16])
        if number == self.root:
            return prefix
        return prefix + "%s/%s-%s-%s/" % (number[0], digits[16:20], digits[20:26], digits[26:])

    # -- the tree

    def build(self):
        """Groups, then datasets, then links between them, then attributes (which may refer to any of them)."""
        self.add_group(self.root)
        for _ in range(self.random.randrange(4)):
            self.hang(self.add_group(self.fresh("g")))
        committed = self.fresh("t")
        kind = self.datatype(1, variable=False)
        self.objects[committed] = {"type": kind, "attributes": {}}
        self.hang(committed)
        for _ in range(self.random.randrange(1, 9)):
            self.hang(self.add_dataset({**kind, "id": committed} if self.random.random() < 0.1 else None))
        for _ in range(self.random.randrange(3)):  # further names, cycles among them
            self.hang(self.random.choice(list(self.objects)))
        for target in ({"class": "H5L_TYPE_SOFT", "h5path": "/no/where"},
                       {"class": "H5L_TYPE_EXTERNAL", "h5path": "/x", "h5domain" if self.old else "file": "other.h5"}):
            if self.random.random() < 0.5:
                self.link(target)
        for document in self.objects.values():
            for name in self.random.sample(WORDS, self.random.randrange(4)):
                document["attributes"][name] = self.attribute()

    def add_group(self, number):
        """An empty group."""
        self.groups.append(number)
        self.objects[number] = {"links": {}, "attributes": {}}
        if self.random.random() < 0.5:
            self.objects[number]["creationProperties"] = {"CreateOrder": 1}
        return number

    def hang(self, number):
        """Links an object under a random group that is older than it, so that a path leads to every object."""
        groups = self.groups[: self.groups.index(number)] if number in self.groups else self.groups
        self.link({"class": "H5L_TYPE_HARD", "id": number}, groups or [self.root])

    def link(self, target, groups=None):
        """Adds a link under a name that is free."""
        links = self.objects[self.random.choice(groups or self.groups)]["links"]
        name = self.random.choice(WORDS)
        if name in links or self.random.random() < 0.8:
            name += str(len(links))
        assert name not in links
        links[name] = {**target, "created": self.now()}

    # -- types and values

    def integer(self):
        """A random integer type."""
        return {"class": "H5T_INTEGER", "base": "H5T_STD_%s%d%s" % (
            self.random.choice("IU"), self.random.choice((8, 16, 32, 64)), self.random.choice(("LE", "BE")))}

    def datatype(self, depth, variable=True):
        """A random type; `depth` more levels may follow."""
        kinds = ["integer", "float", "string", "enum", "boolean"] + (["opaque"] if not self.old else [])
        if depth:
            kinds += ["compound", "compound"] + ([] if self.old else ["array"])
        if variable:
            kinds += ["text", "text", "reference"] + (["sequence"] if depth else [])
        kind = self.random.choice(kinds)
        if kind == "integer":
            return self.integer()
        if kind == "float":
            return {"class": "H5T_FLOAT", "base": "H5T_IEEE_F%d%s" % (
                self.random.choice((16, 32, 64)), self.random.choice(("LE", "BE")))}
        if kind == "string":
            return {"class": "H5T_STRING", "length": self.random.randrange(1, 20), "strPad": "H5T_STR_NULLPAD",
                    "charSet": self.random.choice(("H5T_CSET_ASCII", "H5T_CSET_UTF8"))}
        if kind == "text":
            return {"class": "H5T_STRING", "length": "H5T_VARIABLE", "strPad": "H5T_STR_NULLTERM",
                    "charSet": "H5T_CSET_UTF8"}
        if kind == "opaque":
            return {"class": "H5T_OPAQUE", "size": self.random.randrange(1, 9), "tag": "bytes"}
        if kind == "reference":
            return {"class": "H5T_REFERENCE", "base": "H5T_STD_REF_OBJ", "length": 48}
        if kind in ("enum", "boolean"):
            return self.enumeration(kind == "boolean")
        if kind == "compound":
            fields = [{"name": "f%d" % i, "type": self.datatype(depth - 1, variable)}
                      for i in range(self.random.randrange(2, 5))]
            return {"class": "H5T_COMPOUND", "fields": fields}
        if kind == "array":
            return {"class": "H5T_ARRAY", "dims": [self.random.randrange(1, 4) for _ in range(self.random.randrange(1, 3))],
                    "base": self.datatype(0, variable=False)}
        return {"class": "H5T_VLEN", "size": "H5T_VARIABLE", "base": self.datatype(depth - 1, variable=not self.old)}

    def enumeration(self, boolean):
        """An enumeration in the spelling of the dialect."""
        members = {"FALSE": 0, "TRUE": 1} if boolean else {"RED": 0, "GREEN": 1, "BLUE": 7}
        base = {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"} if boolean else self.integer()
        if self.old:
            return {"class": "H5T_ENUM", "base": base, "mapping": members}
        return {"class": "H5T_ENUM", "base": base,
                "members": [{"name": name, "value": value} for name, value in members.items()]}

    def value(self, kind):
        """A random JSON value of a type."""
        what = kind["class"]
        if what == "H5T_INTEGER":
            bits = width(kind)
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if "STD_I" in kind["base"] else (0, (1 << bits) - 1)
            return self.random.choice((low, high, 0, self.random.randint(low, high)))
        if what == "H5T_FLOAT":
            return self.random.choice((0.0, -0.0, 1.5, -2.25, float("inf"), float("-inf"), float("nan"),
                                       self.random.uniform(-60000, 60000)))
        if what == "H5T_STRING" and kind["length"] == "H5T_VARIABLE":
            return self.random.choice(("", "x", "été", "測" * 5, "y" * self.random.randrange(2000)))
        if what == "H5T_STRING":
            return "".join(self.random.choice("abc xyz") for _ in range(self.random.randrange(kind["length"] + 1)))
        if what == "H5T_OPAQUE":
            return base64.b64encode(self.random.randbytes(kind["size"])).decode()
        if what == "H5T_ENUM":
            return self.random.choice(list(listing.members(kind).values()))
        if what == "H5T_REFERENCE":
            number = self.random.choice(list(self.objects) + [""])
            folder = {"g": "groups/", "d": "datasets/", "t": "datatypes/", "": ""}[number[:1]]
            return folder + number if self.old else number
        if what == "H5T_COMPOUND":
            return [self.value(field["type"]) for field in kind["fields"]]
        if what == "H5T_ARRAY":
            return self.nested(kind["base"], kind["dims"])
        return [self.value(kind["base"]) for _ in range(self.random.choice((0, 1, 3, 50)))]

    def nested(self, kind, dims):
        """Nested lists of values."""
        if not dims:
            return self.value(kind)
        return [self.nested(kind, dims[1:]) for _ in range(dims[0])]

    def attribute(self):
        """A random attribute."""
        kind = self.datatype(2)
        rank = self.random.choice((0, 0, 1, 1, 2))
        if self.random.random() < 0.1:
            return {"type": kind, "shape": {"class": "H5S_NULL"}, "value": None, "created": self.now()}
        dims = [self.random.randrange(0 if self.random.random() < 0.1 else 1, 5) for _ in range(rank)]
        shape = {"class": "H5S_SIMPLE", "dims": dims} if rank else {"class": "H5S_SCALAR"}
        return {"type": kind, "shape": shape, "value": self.nested(kind, dims), "created": self.now()}

    # -- datasets

    def add_dataset(self, kind):
        """A dataset with its chunks; `kind` is a committed type or none."""
        number = self.fresh("d")
        kind = kind or self.datatype(2)
        document = {"type": kind, "attributes": {}, "creationProperties": {}}
        self.objects[number] = document
        rank = self.random.choice((0, 1, 1, 1, 2, 2, 3))
        if not rank:
            document["shape"] = {"class": "H5S_SCALAR"}
            dims, chunk = [], []
            if self.old:
                document["layout"] = {"class": "H5D_CHUNKED", "dims": [1]}
        else:
            dims, chunk = self.extent(document, rank)
        self.fill(document, kind)
        self.filters(document, kind, rank)
        self.store(number, document, dims, chunk)
        return number

    def extent(self, document, rank):
        """Shape, limits and chunk shape."""
        most = {1: 400, 2: 24, 3: 9}[rank]
        dims = [self.random.randrange(1, most) for _ in range(rank)]
        if self.random.random() < 0.05:
            dims[0] = 0
        limits = [self.random.choice((dim, dim, max(dim * 2, 1), None)) for dim in dims]
        chunk = [self.random.randrange(1, max(dim, 1) + 1) for dim in dims]
        unlimited = 0 if self.old else "H5S_UNLIMITED"
        document["shape"] = {"class": "H5S_SIMPLE", "dims": dims}
        if self.random.random() < 0.8 or None in limits:
            document["shape"]["maxdims"] = [unlimited if limit is None else limit for limit in limits]
        layout = {"class": "H5D_CHUNKED", "dims": chunk}
        if self.random.random() < 0.2:
            layout["partition_count"] = self.random.randrange(2, 5)
        if self.old:
            document["layout"] = layout
            if self.random.random() < 0.5:  # what was asked for need not be what is in effect
                document["creationProperties"]["layout"] = {"class": "H5D_CHUNKED", "dims": [1] * rank}
        else:
            document["creationProperties"]["layout"] = layout
        return dims, chunk

    def fill(self, document, kind):
        """A fill value, in one of its two spellings."""
        if kind["class"] not in ("H5T_INTEGER", "H5T_FLOAT", "H5T_STRING") or kind.get("length") == "H5T_VARIABLE":
            return
        if self.random.random() < 0.5:
            value = self.value(kind)
            document["creationProperties"]["fillValue"] = value
            if self.random.random() < 0.3:
                raw = listing.encode(kind, value)
                document["creationProperties"].update(
                    fillValue=base64.b64encode(raw).decode(), fillValue_encoding="base64")

    def filters(self, document, kind, rank):
        """A compressor, with or without shuffle."""
        if not rank or self.random.random() < 0.4:
            return
        name = self.random.choice(list(COMPRESSORS) + ["gzip"] * 4)
        what, number = COMPRESSORS[name]
        filters = [{"class": what, "id": number, "name": name}]
        if name == "gzip":
            filters[0]["level"] = 4
        if self.random.random() < 0.5 and not is_variable(kind):
            filters.insert(0, {"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"})
        document["creationProperties"]["filters"] = filters

    def store(self, number, document, dims, chunk):
        """Chunk objects, some left out, and the stream of the whole value."""
        kind = document["type"]
        properties = document["creationProperties"]
        empty = bytes(0)
        if "fillValue_encoding" in properties:
            empty = base64.b64decode(properties["fillValue"])
        elif "fillValue" in properties:
            empty = listing.encode(kind, properties["fillValue"])
        empty = empty or zero(kind)
        grid = [range(-(-dim // part)) for dim, part in zip(dims, chunk)]
        stream = {}
        for index in itertools.product(*grid):
            present = self.random.random() < 0.8
            body = []
            for inside in itertools.product(*(range(part) for part in chunk)):
                position = tuple(i * part + at for i, part, at in zip(index, chunk, inside))
                within = all(at < dim for at, dim in zip(position, dims))
                # A fixed-size element beyond the extent may hold anything; one of varying length is left unset.
                element = listing.encode(kind, self.value(kind)) if present and (within or not is_variable(kind)) else empty
                body.append(element)
                if within:
                    stream[position] = element
            if present:
                self.chunks[self.chunk_key(number, document, index)] = self.compress(b"".join(body), properties, kind)
        self.values[number] = b"".join(stream[position] for position in sorted(stream))

    def chunk_key(self, number, document, index):
        """Key of a chunk; the partition count stands in the layout whose dims are in effect."""
        layout = document.get("layout") or document["creationProperties"].get("layout") or {}
        count = layout.get("partition_count", 0)
        name = "_".join(map(str, index)) if index else "0"
        if count > 1:
            name = "p%d/%s" % (sum(i * PRIMES[at % 10] for at, i in enumerate(index)) % count, name)
        return self.key(number) + name

    def compress(self, raw, properties, kind):
        """Stored bytes of a chunk, in one of the encodings that servers of some version wrote."""
        names = [entry["name"] for entry in properties.get("filters", [])]
        compressor = next((name for name in names if name in COMPRESSORS), None)
        if compressor is None:
            return raw
        if compressor == "gzip" and self.random.random() < 0.5:
            itemsize = 1 if is_variable(kind) else len(zero(kind))
            if "shuffle" in names and len(raw) % itemsize == 0:
                raw = numpy.frombuffer(raw, "u1").reshape(-1, itemsize).T.tobytes()
            return zlib.compress(raw, 4) + (b"\1\2\3\4" if self.random.random() < 0.3 else b"")
        inner = {"gzip": "zlib"}.get(compressor, compressor)
        return bytes(numcodecs.blosc.compress(
            raw or b"\0", inner.encode(), 5, self.random.choice((numcodecs.blosc.NOSHUFFLE, numcodecs.blosc.SHUFFLE,
                                                                numcodecs.blosc.BITSHUFFLE))))

    # -- what comes out

    def write(self, bucket, path):
        """Writes the file below a bucket's folder."""
        put(bucket, path + "/.domain.json", {"root": self.root, "owner": "admin", "acls": {}, "created": CREATED,
                                             "lastModified": CREATED})
        names = {"g": ".group.json", "d": ".dataset.json", "t": ".datatype.json"}
        for number, document in self.objects.items():
            put(bucket, self.key(number) + names[number[0]],
                {"id": number, "root": self.root, "created": CREATED, "lastModified": self.clock, **document})
        for key, body in self.chunks.items():
            (bucket / key).parent.mkdir(parents=True, exist_ok=True)
            (bucket / key).write_bytes(body)

    def listing(self):
        """Expected lines and ids by path, in the walk's order: depth first, by name."""
        entries, paths = [], {}

        def visit(number, path):
            if number in paths:
                entries.append({"path": path, "same_as": paths[number]})
                return
            paths[number] = path
            document = self.objects[number]
            entries.append({"path": path, "id": number, **self.entry(number, document)})
            for name in sorted(document.get("links", {})):
                below = ("" if path == "/" else path) + "/" + name
                link = document["links"][name]
                if link["class"] == "H5L_TYPE_HARD":
                    visit(link["id"], below)
                else:
                    file = link.get("file", link.get("h5domain"))
                    entries.append({"path": below, "kind": "link", **link, "file": file})

        visit(self.root, "/")
        return [listing.line_of(entry, paths) for entry in entries], {path: number for number, path in paths.items()}

    def entry(self, number, document):
        """An object as a server's listing has it."""
        kind = {"g": "group", "d": "dataset", "t": "datatype"}[number[0]]
        entry = {"kind": kind, **document}
        if kind == "dataset":
            stream = self.values[number]
            entry["value"] = {"status": 200, "sha256": hashlib.sha256(stream).hexdigest(), "len": len(stream),
                              "head": stream[:32].hex()}
        return entry


def width(kind):
    """Bits of a number type."""
    return int("".join(filter(str.isdigit, kind["base"].split("_")[-1])))


def is_variable(kind):
    """Whether elements of a type differ in length in the store."""
    if kind["class"] == "H5T_COMPOUND":
        return any(is_variable(field["type"]) for field in kind["fields"])
    return kind["class"] == "H5T_VLEN" or kind.get("length") == "H5T_VARIABLE"


def zero(kind):
    """Stream bytes of an element that was never written."""
    what = kind["class"]
    if what == "H5T_COMPOUND":
        return b"".join(zero(field["type"]) for field in kind["fields"])
    if what == "H5T_ARRAY":
        return zero(kind["base"]) * product(kind["dims"])
    if is_variable(kind):
        return bytes(4)
    if what == "H5T_REFERENCE":
        return bytes(48)
    if what == "H5T_ENUM":
        return zero(kind["base"])
    if what in ("H5T_STRING", "H5T_OPAQUE"):
        return bytes(kind.get("length", kind.get("size")))
    return bytes(width(kind) // 8)


def product(dims):
    """Number of elements of an array."""
    number = 1
    for dim in dims:
        number *= dim
    return number


def put(bucket, key, document):
    """Writes one JSON object."""
    (bucket / key).parent.mkdir(parents=True, exist_ok=True)
    (bucket / key).write_text(json.dumps(document), encoding="ascii")
