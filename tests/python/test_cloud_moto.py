"""moto instead of the S3 in memory: a judge of S3's semantics that others wrote; and a real HSDS that writes to it."""

import pathlib
import tempfile

import conftest
import fresh
import hsds_server
import images
import mounting
import pytest
from servers.moto import Moto
from servers.s3 import environment
from test_live_hsds import FILES, Live, load
from test_samples import DOMAINS, differences

BUCKET = "hsdstest"


# Keys in a page of a listing: so few that every folder and every domain has several.
PAGE = 7


@pytest.fixture(scope="module")
def clouds(stores, tmp_path_factory):
    """Both sample stores on servers of their own, mounted with signed requests; by version."""
    running, servers = {}, []
    try:
        for version, store in stores.items():
            servers.append(Moto(PAGE).__enter__())
            servers[-1].load(BUCKET, store)
            running[version] = mounting.Mount("s3://" + BUCKET, "--endpoint", servers[-1].endpoint,
                                              folder=tmp_path_factory.mktemp("moto"), environment=environment()).start()
        yield running
    finally:
        for mount in running.values():
            mount.stop()
        for server in servers:
            server.stop()


@pytest.mark.parametrize("name", DOMAINS)
def test_the_image_is_that_of_the_folder(name, clouds, mounts):
    """Byte by byte."""
    one, other = (images.pieces_or_error(where[name[:5]] / "home/admin" / name[6:]) for where in (clouds, mounts))
    assert one == other


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_the_tree_is_that_of_the_folder(version, clouds, mounts):
    """Listings of several pages."""
    one, other = ([str(path.relative_to(where[version].point)) for path in sorted(where[version].point.rglob("*"))]
                  for where in (clouds, mounts))
    assert one == other


@pytest.mark.parametrize("name", [name for name in DOMAINS if name.endswith(("types.h5", "nc4.nc"))])
def test_every_object_is_as_the_server_answered(name, clouds, stores, interpreters, sources, tmp_path):
    """Through libhdf5."""
    found = differences(name, ("3.16", 0), stores[name[:5]], clouds[name[:5]], interpreters, sources, tmp_path, "moto")
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A real HSDS that keeps its bucket in moto, loaded by its own client, and the bucket mounted."""
    files = tmp_path_factory.mktemp("fresh")
    fresh.make(files, seed=20260102)
    with Moto() as moto:
        moto.client().create_bucket(Bucket=hsds_server.BUCKET)

        def stored():
            folder = pathlib.Path(tempfile.mkdtemp(dir=files))
            moto.save(hsds_server.BUCKET, folder)
            return folder

        with hsds_server.running("hsds10", tmp_path_factory.mktemp("live"), moto.endpoint) as server:
            load(server, files)
            with mounting.mounted("s3://" + hsds_server.BUCKET, "--endpoint", moto.endpoint, "--metadata-ttl", 1,
                                  folder=tmp_path_factory.mktemp("mount"), environment=environment()) as mount:
                yield Live("1.0.2", server, mount, stored)


@pytest.mark.parametrize("domain", [*FILES, "made.h5"])
def test_the_mount_shows_what_a_real_server_answers(domain, live, interpreters, tmp_path):
    """Every object of a domain that HSDS wrote to S3 seconds ago."""
    found = live.differences(domain, interpreters["3.16"], tmp_path)
    assert not found, "\n".join(found)
