"""The sample stores as buckets: everything that `test_samples.py` and `test_tools.py` ask, over S3.

The servers hold the same objects as the folders, behind a proxy that delays each request.
"""

import contextlib

import conftest
import images
import mounting
import pytest
import tools
from servers.proxy import Proxy
from servers.s3 import S3, flags
from test_samples import DOMAINS, differences
from test_tools import CASES, does_the_same

BUCKET = "hsdstest"  # the name that links inside the samples use
DELAY = 5  # milliseconds before each request: enough that what waits for what decides, little enough for a suite
# `test_cloud_faults.py` reads every object with the first of them too, through a proxy that does worse.
READERS = [pytest.param(("3.16", 0), marks=pytest.mark.long, id="h5py3.16-pb0"),
           pytest.param(("3.8", 1 << 20), id="h5py3.8-pb1048576")]
# A file of each kind that the programs make most of.
FEW = [("1.0.2", "nc4.nc"), ("1.0.2", "types.h5"), ("0.9.4", "links.h5")]


@pytest.fixture(scope="module")
def clouds(stores):
    """Both sample stores, each a bucket of a server of its own, mounted; by version."""
    with contextlib.ExitStack() as stack:
        running = {}
        for version, store in stores.items():
            server = stack.enter_context(S3({BUCKET: store}))
            proxy = stack.enter_context(Proxy(server.port, delay_ms=DELAY))
            running[version] = stack.enter_context(mounting.mounted("s3://" + BUCKET, *flags(proxy.endpoint)))
        yield running


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", DOMAINS)
def test_every_object_is_as_the_server_answered(name, reader, stores, clouds, interpreters, sources, tmp_path):
    """Kind, type, shape, chunks, filters, fill, attributes, links and values of every object of one domain."""
    version = name[:5]
    found = differences(name, reader, stores[version], clouds[version], interpreters, sources, tmp_path, "S3")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_the_tree_is_that_of_the_folder(version, clouds, mounts):
    """The same folders and files, of the same sizes; a plain object with the same bytes."""
    seen = {}
    for where, mount in (("cloud", clouds[version]), ("folder", mounts[version])):
        paths = sorted(mount.point.rglob("*"))
        seen[where] = [(str(path.relative_to(mount.point)), path.is_dir(), path.is_dir() or path.stat().st_size)
                       for path in paths]
    assert seen["cloud"] == seen["folder"]
    if version == "0.9.4":
        plain = [(mount / "files/linksrc.h5").read_bytes() for mount in (clouds[version], mounts[version])]
        assert plain[0] == plain[1]


@pytest.mark.parametrize("name", DOMAINS)
def test_the_image_is_that_of_the_folder(name, clouds, mounts):
    """Byte by byte: an image is a function of the metadata, wherever they come from."""
    version, domain = name[:5], name[6:]
    one, other = (images.pieces(mount / "home/admin" / domain) for mount in (clouds[version], mounts[version]))
    assert one == other


@pytest.mark.parametrize("tool", tools.TOOLS, ids=repr)
@pytest.mark.parametrize("version, domain", [case for case in FEW if case in CASES])
def test_does_on_ours_what_it_does_on_the_source(tool, version, domain, clouds, sources, tmp_path):
    """Programs as people have them."""
    does_the_same(tool, version, domain, clouds[version], sources, tmp_path)
