"""Compares what `dump.py` saw in a file with what a server answered, object by object.

`differences` knows no exception: it takes two lists of lines and names whatever is not equal.  What is shown
differently on purpose is put into the expected lines first, by `allowed.py`.
"""


def differences(expected, seen):
    """Every difference as one line of text: `path: aspect: expected ... | seen ...`."""
    expected = {line["path"]: line for line in expected}
    seen = {line["path"]: line for line in seen}
    found = ["%s: missing" % path for path in expected if path not in seen]
    found += ["%s: not expected" % path for path in seen if path not in expected]
    for path in expected.keys() & seen.keys():
        found += ["%s: %s" % (path, text) for text in of_object(expected[path], seen[path])]
    return sorted(found + of_link_counts(expected, seen))


def of_object(expected, seen):
    """Differences of two lines for one path."""
    for aspect in ("same_as", "soft", "external", "kind"):
        if expected.get(aspect) != seen.get(aspect):
            yield differ(aspect, expected.get(aspect), seen.get(aspect))
    if expected.get("kind") in ("dataset", "datatype") and expected["type"] != seen.get("type"):
        yield differ("type", expected["type"], seen.get("type"))
    if expected.get("kind") == "dataset" and seen.get("kind") == "dataset":
        yield from of_dataset(expected, seen)
    if "attributes" in expected:
        yield from of_attributes(expected["attributes"], seen.get("attributes", {}))


def of_dataset(expected, seen):
    """Shape, storage and values of two datasets."""
    if expected["shape"] != seen["shape"]:
        yield differ("shape", expected["shape"], seen["shape"])
    empty = expected["shape"] == "null" or 0 in expected["shape"]["dims"] if expected["shape"] != "scalar" else False
    if not empty:
        for aspect in ("chunk", "filters"):
            if expected[aspect] != seen[aspect]:
                yield differ(aspect, expected[aspect], seen[aspect])
    if expected["fill"] != without_zero(seen.get("fill")):
        yield differ("fill", expected["fill"], seen.get("fill"))
    if "value" in expected:
        yield from of_value(expected["value"], seen.get("value", {}))


def of_value(expected, seen):
    """The value stream; an expected digest is one of those that `dump.py` offers."""
    if "error" in seen:
        yield differ("value", "%d bytes" % expected["len"], seen["error"])
    elif expected["sha256"] not in seen.get("sha256", []):
        yield differ("value", (expected["len"], expected["head"]), (seen.get("len"), seen.get("head")))


def of_attributes(expected, seen):
    """All attributes of an object."""
    for name in sorted(expected.keys() | seen.keys()):
        if name not in seen or name not in expected:
            yield "attribute %r: %s" % (name, "missing" if name in expected else "not expected")
            continue
        one, other = expected[name], seen[name]
        for aspect in ("type", "shape"):
            if one[aspect] != other[aspect]:
                yield differ("attribute %r %s" % (name, aspect), one[aspect], other[aspect])
        if "error" in other or one["streams"][0] not in other["streams"]:
            yield differ("attribute %r value" % name, one["streams"], other.get("streams", other.get("error")))


def of_link_counts(expected, seen):
    """Reference counts: one for each hard link, and the root's own."""
    counts = {path: 1 for path, line in expected.items() if line.get("kind") in ("group", "dataset")}
    for line in expected.values():
        if line.get("same_as") in counts:
            counts[line["same_as"]] += 1
    return ["%s: %s" % (path, differ("links", count, seen[path].get("links")))
            for path, count in counts.items() if path in seen and seen[path].get("links") != count]


def without_zero(fill):
    """A fill value of zero bytes says as much as none."""
    return fill if fill and any(bytes.fromhex(fill)) else None


def differ(aspect, expected, seen):
    """Text of one difference, cut to what a terminal bears."""
    return "%s: expected %s | seen %s" % (aspect, str(expected)[:300], str(seen)[:300])
