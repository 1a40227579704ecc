"""Stores that a real HSDS has just written, read through the mount while that server still runs."""

import json
import os
import time

import allowed
import compare
import conftest
import fresh
import hsds_server
import listing
import mounting
import pytest
from test_samples import dumped

SERVERS = {"1.0.2": "hsds10", "0.9.4": "hsds09"}
TTL = 1  # seconds for which the mount of these tests trusts what it knows
FILES = ("numbers.h5", "texts.h5", "tree.h5", "climate.nc")


class Live:
    """A running server, its bucket mounted; `stored` gives a folder with what is in the bucket now."""

    def __init__(self, version, server, mount, stored=None):
        self.version = version
        self.server = server
        self.mount = mount
        self.stored = stored or (lambda: server.store / hsds_server.BUCKET)

    def answers(self, domain):
        """What the server says of a domain, as `listing.read` gives it, and the ids."""
        path = "/home/admin/" + domain
        flushed = self.server.python("collect.py", "flush", path)
        assert flushed.returncode == 0 and "status" not in flushed.stdout, flushed.stdout + flushed.stderr
        done = self.server.python("collect.py", path)
        assert done.returncode == 0, done.stderr[-2000:]
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        ids = {entry["path"]: entry["id"] for entry in entries if "id" in entry}
        paths = {number: path for path, number in ids.items()}
        lines = [listing.line_of(entry, paths) for entry in entries]
        allowed.adjust(lines, self.version, domain, self.stored(), ids, None)
        return lines, ids

    def differences(self, domain, interpreter, folder):
        """Between what the mount shows of a domain and what the server answers; counts what was compared."""
        expected, ids = self.answers(domain)
        seen = dumped(interpreter, self.mount / "home/admin" / domain, ids, 0, folder)
        found = compare.differences(expected, seen)
        where = "" if self.server.place else " on S3"
        conftest.count("live HSDS %s%s: objects compared" % (self.version, where), len(expected))
        conftest.count("live HSDS %s%s: differences" % (self.version, where), len(found))
        return found


def load(server, files):
    """Gives a server the files of a folder, and a domain written step by step."""
    for name in FILES:
        server.run("hsload", files / name, "/home/admin/" + name)
    made = server.python("client.py", "make", "/home/admin/made.h5")
    assert made.returncode == 0, made.stderr[-2000:]


@pytest.fixture(scope="module", params=sorted(SERVERS), ids=lambda version: "hsds" + version)
def live(request, tmp_path_factory):
    """Each server in turn, loaded by its own client with files made on the spot."""
    folder = tmp_path_factory.mktemp("live")
    files = tmp_path_factory.mktemp("fresh")
    fresh.make(files, seed=20260101)
    with hsds_server.running(SERVERS[request.param], folder) as server:
        load(server, files)
        with mounting.mounted(folder / hsds_server.BUCKET, "--metadata-ttl", TTL) as mount:
            yield Live(request.param, server, mount)


@pytest.mark.parametrize("domain", [*FILES, "made.h5"])
def test_the_mount_shows_what_the_server_answers(live, domain, interpreters, tmp_path):
    """Every object of a domain that was written seconds ago."""
    found = live.differences(domain, interpreters["3.16"], tmp_path)
    assert not found, "\n".join(found)


def test_a_change_is_another_inode_and_open_files_keep_theirs(live, interpreters, tmp_path):
    """Bytes of an open file stay; the name leads to the new version once the old one is older than its trust."""
    path = live.mount / "home/admin/made.h5"
    before, ids = live.answers("made.h5")
    with open(path, "rb") as held:
        inode, bytes_before = os.fstat(held.fileno()).st_ino, held.read()
        done = live.server.python("client.py", "change", "/home/admin/made.h5")
        assert done.returncode == 0, done.stderr[-2000:]
        expected, ids = live.answers("made.h5")
        assert expected != before
        time.sleep(TTL + 1)
        seen = dumped(interpreters["3.16"], path, ids, 0, tmp_path)
        assert not compare.differences(expected, seen)
        assert os.stat(path).st_ino != inode
        held.seek(0)
        assert os.fstat(held.fileno()).st_ino == inode
        assert held.read() == bytes_before


def test_a_new_domain_appears_and_a_deleted_one_goes(live):
    """What the server adds and removes is seen in the folder."""
    live.server.run("hstouch", "/home/admin/new.h5")
    deadline = time.monotonic() + 20
    while "new.h5" not in os.listdir(live.mount / "home/admin"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    live.server.run("hsrm", "/home/admin/new.h5")
    while "new.h5" in os.listdir(live.mount / "home/admin"):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_an_index_of_ours_is_nothing_to_the_server(live):
    """It answers as before, counts the file beside it, and takes it away with the file."""
    name = "/home/admin/indexed.h5"
    made = live.server.python("client.py", "make", name)
    assert made.returncode == 0, made.stderr[-2000:]
    before, _ = live.answers("indexed.h5")
    bucket = live.server.store / hsds_server.BUCKET
    root = json.loads((bucket / name[1:] / ".domain.json").read_bytes())["root"]
    folder = bucket / "db" / root[2:19]
    (folder / ".h5mount-index").write_bytes(b"h5index1, or anything")
    assert live.answers("indexed.h5")[0] == before
    changed = live.server.python("client.py", "change", name)
    assert changed.returncode == 0, changed.stderr[-2000:]
    live.answers("indexed.h5")
    deadline = time.monotonic() + 60
    written = (folder / ".h5mount-index").stat().st_mtime
    while not (folder / ".info.json").exists() or (folder / ".info.json").stat().st_mtime < written:
        assert time.monotonic() < deadline, "not counted"
        time.sleep(0.5)
    assert (folder / ".h5mount-index").exists()
    live.server.run("hsrm", name)
    while (folder / ".group.json").exists() or (folder / ".h5mount-index").exists():
        assert time.monotonic() < deadline, sorted(os.listdir(folder))
        time.sleep(0.5)
