"""What a bucket denies is an error and a sentence, never fill; and what it holds may lie in another bucket, or change.

The S3 in memory refuses as S3 does; a 403 on a chunk must not read as a chunk that was never written.
"""

import errno
import os
import time

import h5py
import mounting
import numpy
import pytest
import twins
import writer
from servers.s3 import S3, environment, flags

SIGNED = ["--region", "us-east-1"]
DENIED = {
    "prefix": {"code": "AccessDenied"},
    "archived": {"code": "InvalidObjectState"},
    "kms": {"code": "AccessDenied", "message": "User: u is not authorized to perform: kms:Decrypt on resource: k"},
    "kms-disabled": {"code": "KMS.DisabledException"},
    "expired": {"code": "ExpiredToken"},
    "unknown-key": {"code": "InvalidAccessKeyId"},
}


# Elements of a chunk of 4 MiB: far more than the kernel reads ahead when a file is opened.
CHUNK = 1 << 20


def make(folder, key="file.h5"):
    """A bucket with one file: two chunks of four are present."""
    bucket = writer.Bucket(folder)
    domain = writer.Domain(bucket, key)
    number = domain.dataset("values", writer.I32, (4 * CHUNK,), (CHUNK,), fillValue=-1)
    for index in (0, 1):
        domain.chunk(number, (index,), numpy.full(CHUNK, 10 * index, "<i4").tobytes())
    domain.write()
    return bucket, domain, number


@pytest.fixture
def made(tmp_path):
    """The bucket on a server of its own."""
    bucket, domain, number = make(tmp_path / "bucket")
    with S3({"bucket": bucket.folder}) as server:
        yield server, domain, number


def elements(mount, name="file.h5", part=slice(None)):
    """The values of the file's dataset."""
    with h5py.File(mount / name) as file:
        return file["values"][part]


def refused(mount, **where):
    """Asserts that the data cannot be read, with EIO and a sentence that names the key; gives the sentence."""
    with pytest.raises(OSError) as error:
        elements(mount, **where)
    assert error.value.errno in (errno.EIO, errno.EACCES, None), error.value
    told = [line for line in mount.log().splitlines() if ("WARN" in line or "ERROR" in line) and "db/" in line]
    assert told, mount.log()
    return told[-1]


@pytest.mark.parametrize("why", DENIED)
def test_a_chunk_that_is_refused_is_no_fill(why, made, tmp_path):
    """EIO and a sentence, whatever the reason; as soon as it is allowed again, the values."""
    server, domain, number = made
    with mounting.mounted("s3://bucket", *SIGNED, "--endpoint", server.endpoint, "--request-timeout", 5,
                          folder=tmp_path / "m", environment=environment()) as mount:
        server.rules({"bucket": "bucket", "prefix": domain.folder(number) + "1", "actions": ["get"], **DENIED[why]})
        with h5py.File(mount / "file.h5") as file:
            assert file["values"].shape == (4 * CHUNK,)
        said = refused(mount, part=slice(CHUNK, CHUNK + 5))
        assert domain.chunk_key(number, (1,)) in said, said
        words = {"archived": "archive", "kms": "kms", "kms-disabled": "key", "expired": "expired",
                 "unknown-key": "key", "prefix": "denied"}[why]
        assert words in said.lower() or DENIED[why]["code"].lower() in said.lower(), said
        server.rules()
        assert list(elements(mount, part=slice(None, None, CHUNK))) == [0, 10, -1, -1]


def test_a_bucket_that_denies_listing(made, tmp_path):
    """Missing keys answer 403 there: an error by default, fill with `--missing-as-403`, and never a denied one."""
    server, domain, number = made
    server.rules({"bucket": "bucket", "actions": ["list"], "code": "AccessDenied"})
    options = [*SIGNED, "--endpoint", server.endpoint, "--request-timeout", 5]
    source = "s3://bucket/file.h5"
    with mounting.mounted(source, *options, folder=tmp_path / "a", environment=environment()) as mount:
        # Even the optional objects of a file may be missing or denied: nobody can say.
        refused(mount, part=slice(2 * CHUNK, 2 * CHUNK + 5))
    with mounting.mounted(source, "--missing-as-403", *options, folder=tmp_path / "b",
                          environment=environment()) as mount:
        assert list(elements(mount, part=slice(None, None, CHUNK))) == [0, 10, -1, -1]
    server.rules({"bucket": "bucket", "actions": ["list"], "code": "AccessDenied"},
                 {"bucket": "bucket", "prefix": domain.folder(number) + "1", "actions": ["get"],
                  "code": "InvalidObjectState"})
    with mounting.mounted(source, "--missing-as-403", *options, folder=tmp_path / "c",
                          environment=environment()) as mount:
        refused(mount, part=slice(CHUNK, CHUNK + 5))


def test_nobody_is_let_in(made, tmp_path):
    """A private bucket without a signature: one sentence, no mount."""
    server, _, _ = made
    server.bucket("bucket", public=False)
    with pytest.raises(RuntimeError, match="(?i)denied|403|forbidden"):
        mounting.Mount("s3://bucket", *flags(server.endpoint), folder=tmp_path / "m").start()


def test_an_expired_token_is_renewed_once(made, tmp_path):
    """A profile's `credential_process` gives an old token, then a new one: nobody notices."""
    server, _, _ = made
    server.bucket("bucket", public=False)
    server.rules({"token": "old", "code": "ExpiredToken"})
    counter = tmp_path / "asked"
    script = tmp_path / "credentials.sh"
    script.write_text("""#!/bin/sh
echo x >> %s
test $(wc -l < %s) -gt 1 && token=new || token=old
echo '{"Version": 1, "AccessKeyId": "TESTKEY", "SecretAccessKey": "s", "SessionToken": "'$token'"}'
""" % (counter, counter))
    script.chmod(0o755)
    config = tmp_path / "config"
    config.write_text("[profile renewing]\nregion = us-east-1\ncredential_process = %s\n" % script)
    with mounting.mounted("s3://bucket", "--profile", "renewing", "--endpoint", server.endpoint, folder=tmp_path / "m",
                          environment={**environment(AWS_CONFIG_FILE=str(config)), "AWS_ACCESS_KEY_ID": "",
                                       "AWS_SECRET_ACCESS_KEY": ""}) as mount:
        assert list(elements(mount, part=slice(0, 2 * CHUNK, CHUNK))) == [0, 10]
    assert len(counter.read_text().split()) == 2


def test_a_clock_that_is_wrong_is_told(made, tmp_path):
    """RequestTimeTooSkewed: the sentence speaks of the clock."""
    server, _, _ = made
    server.settings(clock_ahead=3600)
    with pytest.raises(RuntimeError, match="(?i)clock"):
        mounting.Mount("s3://bucket", *SIGNED, "--endpoint", server.endpoint, "--request-timeout", 5,
                       folder=tmp_path / "m", environment=environment()).start()


@pytest.fixture
def linked(tmp_path):
    """A file whose chunks lie in another bucket, and the server with both."""
    bucket = writer.Bucket(tmp_path / "bucket")
    twin = twins.Twin(bucket, "linked.h5")
    sources = tmp_path / "sources"
    sources.mkdir()
    variable = twins.Variable("values", "<i4", (4096, 4096), (1024, 1024))
    with h5py.File(sources / "data.h5", "w") as file:
        twin.linked(variable, file, "sources/data.h5", [(0, 0), (1, 2), (3, 3)])
    twin.domain.write()
    for path in sources.iterdir():
        os.utime(path, (writer.CREATED - 1000,) * 2)
    with S3({"bucket": bucket.folder, "sources": sources}) as server:
        yield server, variable, sources


def test_linked_data_in_another_region(linked, tmp_path):
    """Each bucket is signed for where it is, without being told."""
    server, variable, _ = linked
    server.bucket("sources", region="eu-west-1", public=False)
    server.bucket("bucket", public=False)
    with mounting.mounted("s3://bucket", "--endpoint", server.endpoint, folder=tmp_path / "m",
                          environment=environment()) as mount:
        assert elements(mount, "linked.h5", (1030, 2050)) == variable.element((1030, 2050))
    assert {entry["status"] for entry in server.requests() if entry["bucket"] == "sources"} <= {200, 206, 301}


def test_a_target_that_is_rewritten_or_gone(linked, tmp_path):
    """ESTALE for other bytes under the same name, EIO for none; never a mixture."""
    server, variable, sources = linked
    with mounting.mounted("s3://bucket", *flags(server.endpoint), folder=tmp_path / "m") as mount:
        with h5py.File(mount / "linked.h5") as file:
            assert file["values"][0, 0] == variable.element((0, 0))
            server.put("sources", "data.h5", (sources / "data.h5").read_bytes()[:-1] + b"!")
            with pytest.raises(OSError) as error:
                file["values"][1030, 2050]
            assert error.value.errno in (errno.ESTALE, None)
        assert "data.h5" in mount.log()
    server.delete("sources", "data.h5")
    with mounting.mounted("s3://bucket", *flags(server.endpoint), folder=tmp_path / "n") as mount:
        with pytest.raises(OSError):
            elements(mount, "linked.h5", (0, 0))
        assert "data.h5" in mount.log()


def test_a_target_younger_than_the_dataset_is_told(linked, tmp_path):
    """In the log and in the extended attribute; with `--strict` it is refused."""
    server, variable, _ = linked
    # The description is as old as its object in the bucket, which was made just now.
    server.object("sources", "data.h5", modified=int(time.time()) + 100)
    with mounting.mounted("s3://bucket", *flags(server.endpoint), folder=tmp_path / "m") as mount:
        assert elements(mount, "linked.h5", (0, 0)) == variable.element((0, 0))
        assert "data.h5" in mount.log()
        told = b"".join(os.getxattr(mount / "linked.h5", name) for name in os.listxattr(mount / "linked.h5"))
        assert b"data.h5" in told, os.listxattr(mount / "linked.h5")
    with mounting.mounted("s3://bucket", "--strict", *flags(server.endpoint), folder=tmp_path / "n") as mount:
        with pytest.raises(OSError):
            elements(mount, "linked.h5", (0, 0))


@pytest.mark.parametrize("target", ["file", "http"])
def test_links_to_elsewhere_are_refused(target, tmp_path):
    """Unless `--allow-links` names them."""
    bucket = writer.Bucket(tmp_path / "bucket")
    twin = twins.Twin(bucket, "linked.h5")
    sources = tmp_path / "sources"
    sources.mkdir()
    variable = twins.Variable("values", "<i4", (4096, 4096), (1024, 1024))
    with S3({"sources": sources}) as other:
        uri = "file://%s/data.h5" % sources if target == "file" else other.endpoint + "/sources/data.h5"
        with h5py.File(sources / "data.h5", "w") as file:
            twin.linked(variable, file, uri, [(0, 0), (1, 2)])
        other.put("sources", "data.h5", (sources / "data.h5").read_bytes())
        twin.domain.write()
        with S3({"bucket": bucket.folder}) as server:
            with mounting.mounted("s3://bucket", *flags(server.endpoint), folder=tmp_path / "m") as mount:
                with h5py.File(mount / "linked.h5") as file:
                    assert file["values"].shape == (4096, 4096)
                with pytest.raises(OSError):
                    elements(mount, "linked.h5", (0, 0))
                assert "--allow-links " + target + ":" in mount.log()
                told = b"".join(os.getxattr(mount / "linked.h5", name) for name in os.listxattr(mount / "linked.h5"))
                assert b"--allow-links" in told, told
            assert not other.requests() or target == "file" or {e["method"] for e in other.requests()} == {"PUT"}
            with mounting.mounted("s3://bucket", "--allow-links", target + ":", *flags(server.endpoint),
                                  folder=tmp_path / "n") as mount:
                assert elements(mount, "linked.h5", (0, 0)) == variable.element((0, 0))
