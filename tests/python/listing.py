"""What a server answered (`tests/data/hsds/expected/*.jsonl`), in the form that `dump.py` writes down.

Both dialects of the schema end in one form here: types without the keys that say nothing, shapes with `None` for no
limit, the chunk shape that is in effect, values of attributes as the stream a server would send.
"""

import base64
import json
import struct

REFERENCE_TEXT = 48  # bytes of an object reference in a stream
DECLARED = {1: 1, 2: 2, 3: 3}  # filters that every libhdf5 has: deflate, shuffle, fletcher32


def number(name):
    """`H5T_STD_I32LE` as `<i4`; where the order is left out it is little-endian."""
    kind = {"H5T_STD_I": "i", "H5T_STD_U": "u", "H5T_IEEE_F": "f"}
    for prefix, letter in kind.items():
        if name.startswith(prefix):
            rest = name[len(prefix):]
            bits = int(rest.rstrip("LBE"))
            order = ">" if rest.endswith("BE") else "<"
            return "%s%d" % (letter, bits // 8) if bits == 8 else "%s%s%d" % (order, letter, bits // 8)
    raise ValueError("no number type: %s" % name)


def datatype(what, paths):
    """A type of the schema in the words of `dump.Types`; `paths` leads from an id to where the object hangs."""
    if isinstance(what, str):
        return number(what)
    plain = plain_datatype(what, paths)
    if what.get("id"):
        return {"committed": paths.get(what["id"]), "type": plain}
    return plain


def plain_datatype(what, paths):
    """The same, without regard to a type's being committed."""
    kind = what["class"]
    if kind in ("H5T_INTEGER", "H5T_FLOAT"):
        return number(what["base"])
    if kind == "H5T_STRING":
        variable = what["length"] == "H5T_VARIABLE"
        padding = what.get("strPad", "H5T_STR_NULLTERM" if variable else "H5T_STR_NULLPAD")
        return {"string": "vlen" if variable else what["length"],
                "charset": what.get("charSet", "H5T_CSET_ASCII")[len("H5T_CSET_"):],
                "padding": padding[len("H5T_STR_"):]}
    if kind == "H5T_COMPOUND":
        return {"compound": [[field["name"], datatype(field["type"], paths)] for field in what["fields"]]}
    if kind == "H5T_ENUM":
        return {"enum": datatype(what["base"], paths), "members": [list(pair) for pair in sorted(members(what).items())]}
    if kind == "H5T_VLEN":
        return {"sequence": datatype(what["base"], paths)}
    if kind == "H5T_ARRAY":
        return {"array": what["dims"], "of": datatype(what["base"], paths)}
    if kind == "H5T_OPAQUE":
        return {"opaque": what["size"], "tag": what.get("tag", "")}
    if kind == "H5T_REFERENCE":
        return "object" if what["base"] == "H5T_STD_REF_OBJ" else "region"
    raise ValueError("no such class: %s" % kind)


def members(what):
    """Names and values of an enumeration, from either dialect."""
    found = what.get("members", what.get("mapping"))
    if isinstance(found, dict):
        return found
    return {member["name"]: member["value"] for member in found}


def shape(what, with_limits):
    """A dataspace in the words of `dump.shape`."""
    if what["class"] == "H5S_NULL":
        return "null"
    if what["class"] == "H5S_SCALAR":
        return "scalar"
    dims = what["dims"]
    if not with_limits:
        return dims
    if not what.get("maxdims"):
        return {"dims": dims, "limits": dims}
    return {"dims": dims, "limits": [None if limit in (0, "H5S_UNLIMITED") else limit for limit in what["maxdims"]]}


def encode(what, value):
    """Stream bytes of one element of a schema type, from its JSON value."""
    if isinstance(what, str):
        return encode_number(number(what), value)
    kind = what["class"]
    if kind in ("H5T_INTEGER", "H5T_FLOAT"):
        return encode_number(number(what["base"]), value)
    if kind == "H5T_STRING":
        raw = value.encode("utf-8", "surrogateescape")
        if what["length"] == "H5T_VARIABLE":
            return struct.pack("<I", len(raw)) + raw
        return raw.ljust(what["length"], b"\0")
    if kind == "H5T_COMPOUND":
        return b"".join(encode(field["type"], part) for field, part in zip(what["fields"], value, strict=True))
    if kind == "H5T_ENUM":
        return encode(what["base"], int(value))
    if kind == "H5T_VLEN":
        body = b"".join(encode(what["base"], part) for part in value)
        return struct.pack("<I", len(body)) + body
    if kind == "H5T_ARRAY":
        return b"".join(encode(what["base"], part) for part in flatten(value, len(what["dims"])))
    if kind == "H5T_OPAQUE":
        return base64.b64decode(value).ljust(what["size"], b"\0")
    if kind == "H5T_REFERENCE" and what["base"] == "H5T_STD_REF_OBJ":
        return (value or "").encode().ljust(REFERENCE_TEXT, b"\0")
    raise ValueError("no stream form for %s" % kind)


def encode_number(name, value):
    """Bytes of a number; a float is rounded to its type as the JSON's reader must."""
    order = name[0] if name[0] in "<>" else "<"
    letter = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
              "f2": "e", "f4": "f", "f8": "d"}[name.lstrip("<>")]
    return struct.pack(order + letter, float(value) if letter in "efd" else int(value))


def flatten(value, depth):
    """Leaves of nested lists, `depth` levels down, in C order."""
    if depth == 0:
        yield value
        return
    for part in value:
        yield from flatten(part, depth - 1)


def attribute(what, paths):
    """An attribute: type, shape, and the one stream its value has."""
    line = {"type": datatype(what["type"], paths), "shape": shape(what["shape"], with_limits=False)}
    rank = len(what["shape"].get("dims", []))
    line["streams"] = [""]
    if line["shape"] != "null":
        values = flatten(what["value"], rank)
        line["streams"] = [b"".join(encode(what["type"], value) for value in values).hex()]
    return line


def chunk(entry):
    """The chunk shape in effect: of the top-level layout where it has one, else of the one asked for."""
    if entry["shape"]["class"] != "H5S_SIMPLE":
        return None
    asked = (entry.get("creationProperties") or {}).get("layout") or {}
    kept = entry.get("layout") or {}
    kind = asked.get("class")
    if kind == "H5D_CONTIGUOUS_REF":
        return None
    if kind in ("H5D_CHUNKED_REF", "H5D_CHUNKED_REF_INDIRECT"):
        return asked.get("hyper_dims", asked["dims"])
    if kept.get("dims"):
        # Servers up to 0.9 give every dataset chunks, whatever was asked for, and say so.
        return kept["dims"]
    return asked["dims"] if kind == "H5D_CHUNKED" else None


def filters(entry):
    """Filters that the presented file declares: the listed ones where every libhdf5 has them all, else none."""
    listed = (entry.get("creationProperties") or {}).get("filters") or []
    ids = [listing.get("id") for listing in listed]
    if any(number not in DECLARED for number in ids):
        return []
    return [number for number in (2, 1, 3) if number in ids]


def fill(entry):
    """Stream bytes of the fill value as hex; `None` where there is none or it is zero."""
    properties = entry.get("creationProperties") or {}
    value = properties.get("fillValue")
    if value is None:
        return None
    if properties.get("fillValue_encoding") == "base64":
        raw = base64.b64decode(value)
    else:
        raw = encode(entry["type"], value)
    return raw.hex() if any(raw) else None


def dataset(entry, paths):
    """A dataset's line."""
    line = {"kind": "dataset", "type": datatype(entry["type"], paths), "shape": shape(entry["shape"], with_limits=True),
            "chunk": chunk(entry), "filters": filters(entry), "fill": fill(entry)}
    value = entry.get("value")
    if value and value.get("status") == 200:
        line["value"] = {"sha256": value["sha256"], "len": value["len"], "head": value["head"]}
    elif value:
        line["failed"] = "value"
    return line


def read(path):
    """Lines of one listing in the form of `dump.py`, and the id of each path."""
    with open(path, encoding="utf-8") as source:
        entries = [json.loads(line) for line in source]
    ids = {entry["path"]: entry["id"] for entry in entries if "id" in entry}
    paths = {number: path for path, number in ids.items()}
    return [line_of(entry, paths) for entry in entries], ids


def line_of(entry, paths):
    """One entry of a listing."""
    if "same_as" in entry:
        return {"path": entry["path"], "same_as": entry["same_as"]}
    if entry["kind"] == "link":
        if entry["class"] == "H5L_TYPE_SOFT":
            return {"path": entry["path"], "soft": entry["h5path"]}
        return {"path": entry["path"], "external": [entry["file"], entry["h5path"]]}
    if entry["kind"] == "dataset":
        line = dataset(entry, paths)
    elif entry["kind"] == "datatype":
        line = {"kind": "datatype", "type": plain_datatype(entry["type"], paths)}
    else:
        line = {"kind": "group"}
    line["path"] = entry["path"]
    attributes = entry["attributes"]
    if "status" in attributes:
        line["attributes_failed"] = True
    else:
        line["attributes"] = {name: attribute(what, paths) for name, what in attributes.items()}
    return line
