"""Every kind of store held against its promises, and the sample stores read from Azure, Google and a web server."""

import contextlib
import os
import subprocess
import time

import mounting
import pytest
from servers import azurite, gcs, web
from servers.moto import Moto
from servers.s3 import S3, environment
from test_samples import DOMAINS, differences

BUCKET = "hsdstest"  # the name that links inside the samples use
READER = ("3.16", 0)
# What a web server without ranges cannot do; each failure has to say that.
RANGES = {"an empty object is an object", "a part of an object is exactly that part",
          "a range past the end is refused as such", "a read is bound to an entity tag"}


def contract():
    """The suite as a program, the newest that is built."""
    built = [mounting.REPOSITORY / "target" / profile / "examples" / "contract" for profile in ("debug", "release")]
    built = [path for path in built if path.exists()]
    assert built, "run cargo build --examples"
    return max(built, key=lambda path: path.stat().st_mtime)


def run(*arguments, **variables):
    """The suite's lines, and its last one as numbers: held, left out, broken."""
    done = subprocess.run([contract(), *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False,
                          env={**os.environ, **environment(), **variables})
    lines = done.stdout.splitlines()
    assert lines and lines[-1].startswith("contract: "), done.stdout + done.stderr
    numbers = [int(part.split()[0]) for part in lines[-1][len("contract: "):].split(", ")]
    assert done.returncode == (1 if numbers[2] else 0)
    return lines, numbers


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """A folder of what a store must hold that is only read."""
    folder = tmp_path_factory.mktemp("seeded")
    subprocess.run([contract(), "--seed", folder], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    """A running Azurite."""
    assert azurite.is_installed(), "run scripts/setup test"
    with azurite.Azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


def unbroken(lines, numbers, held):
    """That all statements hold, and not fewer than there should be."""
    assert numbers[2] == 0, "\n".join(line for line in lines if line.startswith("BROKEN"))
    assert numbers[0] >= held, "\n".join(lines)


def test_a_directory_tree(seeded):
    """What is read."""
    unbroken(*run("file://%s" % seeded), 15)


def test_the_s3_in_memory():
    """Reads, listings and conditional writes."""
    with S3() as server:
        server.bucket("kinds")
        unbroken(*run("--endpoint", server.endpoint, "s3://kinds"), 21)


def test_moto():
    """The same on somebody else's S3."""
    with Moto() as server:
        server.client().create_bucket(Bucket="kinds")
        unbroken(*run("--endpoint", server.endpoint, "s3://kinds"), 21)


def test_azurite(azure):
    """The same on Azure's emulator."""
    azure.make("kinds")
    unbroken(*run("--endpoint", azure.url, "az://%s/kinds" % azurite.ACCOUNT, **azure.environment), 21)


@pytest.mark.parametrize("token", [None, "a-token"])
def test_google(token):
    """The same on Google's interface, with and without signing in."""
    with gcs.Server(["kinds"], token) as server:
        who = [] if token else ["--no-sign-request"]
        unbroken(*run("--endpoint", server.url, *who, "gs://kinds", GOOGLE_BEARER_TOKEN=token or ""), 21)
        if token:
            bare = subprocess.run([contract(), "--endpoint", server.url, "--no-sign-request", "gs://kinds"],
                                  capture_output=True, text=True, timeout=60, check=False)
            assert bare.returncode == 1 and "Forbidden" in bare.stderr


@pytest.mark.parametrize("style", ["good", "untagged", "careless"])
def test_a_web_server(style, seeded):
    """Files by path, whatever the server makes of conditions."""
    with web.Server(seeded, style) as server:
        lines, numbers = run(server.url)
        unbroken(lines, numbers, 11)
        assert "held: a listing that is not promised is refused by name" in lines
        assert "held: a condition that is not promised is refused" in lines


def test_a_web_server_without_ranges_is_told_by_name(seeded):
    """Nothing that needs a part of a file is answered with another part."""
    with web.Server(seeded, "plain") as server:
        lines, _ = run(server.url)
    broken = [line[len("BROKEN: "):] for line in lines if line.startswith("BROKEN: ")]
    assert {line.split(":")[0] for line in broken} == RANGES
    assert all("does not know ranges" in line for line in broken), broken


def test_a_file_elsewhere_is_followed_and_a_circle_ends(seeded):
    """Redirects: to another server, and never without end."""
    folder = "/h5mount-contract"
    with web.Server(seeded) as other:
        redirects = {folder + "/digits": other.url + folder + "/digits", folder + "/empty": folder + "/empty"}
        with web.Server(seeded, redirects=redirects) as server:
            lines, _ = run(server.url)
            circles = sum(path == folder + "/empty" for _, path, _ in server.requests)
        assert any(path == folder + "/digits" for _, path, _ in other.requests)
    broken = {line.split(":")[1].strip() for line in lines if line.startswith("BROKEN: ")}
    # Only the file that sends to itself is not read.
    assert broken == {"an object is read whole", "an empty object is an object"}, lines
    assert circles < 200


class File:
    """A mount of one file, as if it were that of a store."""

    def __init__(self, mount):
        self.mount = mount

    def __truediv__(self, name):
        return self if name == "home/admin" else self.mount.point / name


@pytest.fixture(scope="module")
def clouds(stores, azure, tmp_path_factory):
    """Both sample stores in Azurite and in Google's interface, mounted, and on a web server; by kind and version."""
    with contextlib.ExitStack() as stack:
        running = {}
        for version, store in stores.items():
            # The older store has linked data, whose links name the bucket.
            container = BUCKET if version == "0.9.4" else BUCKET + "2"
            azure.make(container)
            azure.load(container, store)
            source = "az://%s/%s" % (azurite.ACCOUNT, container)
            running["azure", version] = stack.enter_context(mounting.mounted(
                source, "--endpoint", azure.url, environment=azure.environment))
            server = stack.enter_context(gcs.Server([BUCKET], "a-token"))
            gcs.load(server, BUCKET, store)
            running["google", version] = stack.enter_context(mounting.mounted(
                "gs://" + BUCKET, "--endpoint", server.url, environment={"GOOGLE_BEARER_TOKEN": "a-token"}))
            running["web", version] = stack.enter_context(web.Server(store))
        yield running


# Linked data names a bucket, and a web server has none.
WAYS = [(kind, name) for kind in ("azure", "google", "web") for name in DOMAINS if (kind, name[6:]) != ("web", "linked.h5")]


@pytest.mark.parametrize("kind, name", WAYS, ids=["-".join(way) for way in WAYS])
def test_every_object_is_as_the_server_answered(kind, name, stores, clouds, interpreters, sources, tmp_path):
    """Every object of every domain of the sample stores; from a web server, each file by its path."""
    version, domain = name[:5], name[6:]
    with contextlib.ExitStack() as stack:
        mount = clouds[kind, version]
        if kind == "web":
            source = "%s/home/admin/%s" % (mount.url, domain)
            mount = File(stack.enter_context(mounting.mounted(source, folder=tmp_path / "mount")))
        found = differences(name, READER, stores[version], mount, interpreters, sources, tmp_path, kind)
        if kind == "web":
            # Links to files beside the only one that is shown stay as they are stored.
            found = [line for line in found if ": external: expected" not in line]
        assert not found, "\n".join(found)


def test_a_folder_of_a_web_server_cannot_be_listed_and_the_error_says_what_to_name(clouds, tmp_path):
    """A clear sentence, at once."""
    url = clouds["web", "1.0.2"].url + "/home"
    begun = time.monotonic()
    with pytest.raises(RuntimeError) as refused:
        mounting.Mount(url, folder=tmp_path).start()
    assert "name a file" in str(refused.value)
    assert time.monotonic() - begun < 20


def test_a_container_without_credentials_says_where_it_looked(azure):
    """No waiting for a metadata service that is not there, and the remedy for what is public."""
    begun = time.monotonic()
    variables = {**os.environ, **environment(), "HOME": "/nonexistent"}
    done = subprocess.run([contract(), "--endpoint", azure.url, "az://%s/any" % azurite.ACCOUNT], env=variables,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "AZURE_STORAGE_ACCOUNT_KEY" in done.stderr and "--no-sign-request" in done.stderr
    done = subprocess.run([contract(), "gs://any"], env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "GOOGLE_APPLICATION_CREDENTIALS" in done.stderr
    assert time.monotonic() - begun < 10
