"""The two sample stores, mounted: every object as the server that wrote it answered, through several libhdf5."""

import json
import os
import pathlib
import subprocess

import allowed
import compare
import conftest
import dump
import listing
import pytest

DOMAINS = sorted(
    (path.name[len("posix-"):-len(".jsonl")]) for path in (conftest.DATA / "expected").glob("posix-*.jsonl"))
READERS = [("3.16", 0), ("3.16", 1 << 20), ("3.8", 0), ("3.8", 1 << 20)]


def dumped(python, file, ids, page_buffer, folder):
    """Lines that `dump.py` writes under one interpreter."""
    names = folder / "ids.json"
    names.write_text(json.dumps(ids))
    done = subprocess.run(
        [python, dump.__file__, file, "--ids", names, "--page-buffer", str(page_buffer)],
        capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def differences(name, reader, store, mount, interpreters, sources, folder, where="store"):
    """Compares every object of one domain, seen through a mount, with what the server answered; counts what it did."""
    version, domain = name[:5], name[6:]
    h5py, page_buffer = reader
    expected, ids = listing.read(conftest.DATA / "expected" / ("posix-%s.jsonl" % name))
    reasons = allowed.adjust(expected, version, domain, store, ids, sources)
    seen = dumped(interpreters[h5py], mount / "home/admin" / domain, ids, page_buffer, folder)
    found = compare.differences(expected, seen)
    label = "h5py %s%s, %s %s" % (h5py, ", page buffer" if page_buffer else "", where, version)
    conftest.count(label + ": objects compared", len(expected))
    conftest.count(label + ": differences", len(found))
    conftest.count(label + ": places shown differently on purpose", len(reasons))
    return found


@pytest.mark.parametrize("reader", READERS, ids=["h5py%s-pb%d" % reader for reader in READERS])
@pytest.mark.parametrize("name", DOMAINS)
def test_every_object_is_as_the_server_answered(name, reader, stores, mounts, interpreters, sources, tmp_path):
    """Kind, type, shape, chunks, filters, fill, attributes, links and values of every object of one domain."""
    version = name[:5]
    found = differences(name, reader, stores[version], mounts[version], interpreters, sources, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_folders_and_names(version, stores, mounts):
    """A folder is a directory, a domain a file, another object too; what belongs to the schema is hidden."""
    mount = mounts[version].point
    shown = sorted(str(path.relative_to(mount)) for path in mount.rglob("*"))
    domains = [name[6:] for name in DOMAINS if name.startswith(version)]
    wanted = ["home", "home/admin"] + ["home/admin/" + domain for domain in domains]
    if version == "0.9.4":
        wanted += ["files", "files/linksrc.h5"]
        # An HDF5 file is laid out anew: `test_hdf5_corpus` compares such.
        assert os.getxattr(mount / "files/linksrc.h5", "user.h5mount.shown") == b"laid out anew"
    assert shown == sorted(wanted)
    assert all((mount / "home/admin" / domain).is_file() for domain in domains)


def test_two_mounts_show_the_same_bytes(mounts, stores, tmp_path):
    """The image is a function of the metadata: another mount, which read other files before, shows the same bytes."""
    import mounting
    with mounting.mounted(stores["1.0.2"] / "home/admin", folder=tmp_path) as other:
        for domain in ("types.h5", "nc4.nc", "order.h5", "links.h5"):
            one = pathlib.Path(mounts["1.0.2"] / "home/admin" / domain).read_bytes()
            assert (other / domain).read_bytes() == one
