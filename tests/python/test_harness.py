"""The comparison itself: it passes where nothing differs and speaks up where something does."""

import copy
import json
import subprocess
import sys

import allowed
import compare
import conftest
import dump
import listing
import pytest

# What the loaders of the samples lost or changed on the way into the store, as the first words of a difference.
LOST = {
    "names.h5": [],
    "order.h5": [],
    "bulk.h5": [],
    "layouts.h5": ["/fletcher: filters", "/gzip_shuffle_fletcher: filters", "/scaleoffset_f: filters",
                   "/scaleoffset_i: filters", "/lat: attribute 'NAME'", "/lon: attribute 'NAME'",
                   "/lat: attribute 'REFERENCE_LIST' type", "/lon: attribute 'REFERENCE_LIST' type"],
    "attrs.h5": ["/g: attribute 'array_type'", "/g: attribute 'enum' type", "/g: attribute 'fstr_utf8'",
                 "/g: attribute 'objref'", "/g: attribute 'vstr_ascii' type"],
    "links.h5": ["/: links", "/root_loop: not expected"],
    "types.h5": ["/arrays/bfloat16", "/arrays/bitfield: type", "/arrays/compound_padded: type", "/arrays/int_12bit",
                 "/scalars/null", "/scalars/str_nullterm: type", "/scalars/str_spacepad", "/uses_ctype: type"],
}


def lines_of(domain, sources, stores, tmp_path):
    """Expected lines of the 1.0.2 store, and what its source file holds."""
    expected, ids = listing.read(conftest.DATA / "expected" / ("posix-1.0.2.%s.jsonl" % domain))
    allowed.adjust(expected, "1.0.2", domain, stores["1.0.2"], ids, sources)
    names = tmp_path / "ids.json"
    names.write_text(json.dumps(ids))
    done = subprocess.run([sys.executable, dump.__file__, sources / domain, "--ids", names],
                          capture_output=True, text=True, check=True)
    return expected, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("domain", sorted(LOST))
def test_sources_equal_the_listings_but_for_known_losses(domain, sources, stores, tmp_path):
    """The comparison, applied to the files that were loaded: what differs is what the loaders are known to lose."""
    expected, seen = lines_of(domain, sources, stores, tmp_path)
    found = [text for text in compare.differences(expected, seen) if ": chunk: " not in text]
    unknown = [text for text in found if not text.startswith(tuple(LOST[domain]))]
    assert not unknown
    assert all(any(text.startswith(lost) for text in found) for lost in LOST[domain])


@pytest.mark.parametrize("change", [
    ("/scalars/i4", lambda line: line["value"].update(sha256=["0" * 64]), "value"),
    ("/scalars/i4", lambda line: line.update(type=">i4"), "type"),
    ("/arrays/vlen_i4", lambda line: line.update(shape={"dims": [4], "limits": [None]}), "shape"),
    ("/arrays/vlen_i4", lambda line: line.update(value={"error": "Input/output error"}), "value"),
    ("/ctypes/ct_compound", lambda line: line["attributes"].clear(), "attribute"),
    ("/ctypes/ct_compound", lambda line: line["attributes"]["note"].update(streams=["00"]), "attribute"),
    ("/refs", lambda line: line.update(links=2), "links"),
    ("/refs", lambda line: line.update(path="/other"), "missing"),
], ids=lambda change: change[0] + "-" + change[2])
def test_a_difference_is_seen(change, sources, stores, tmp_path):
    """One thing changed in what was seen is one difference more."""
    path, spoil, word = change
    expected, seen = lines_of("types.h5", sources, stores, tmp_path)
    before = compare.differences(expected, seen)
    spoiled = copy.deepcopy(seen)
    spoil(next(line for line in spoiled if line["path"] == path))
    more = set(compare.differences(expected, spoiled)) - set(before)
    assert any(text.startswith(path) and word in text for text in more)
