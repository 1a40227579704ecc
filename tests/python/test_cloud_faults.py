"""What networks and services do to a mount: every byte of every sample is the right one, or an error says why not.

Faults are injected by the proxy before the S3 in memory.  A table of all runs is printed at the end and written to
`target/test-logs/faults.txt`: how many requests, how many of them met a fault, how many were repetitions, how many bytes were wrong, how many
reads failed.
"""

import concurrent.futures
import contextlib
import errno
import os
import subprocess
import tempfile
import time

import conftest
import h5py
import images
import mounting
import pytest
from servers.certificates import Certificate
from servers.proxy import Proxy
from servers.s3 import S3, flags
from test_samples import DOMAINS, differences

BUCKET = "hsdstest"
FAULTS = {
    "none": {},
    "every 4th 503": {"fail_every": 4},
    "every 4th 500": {"fail_every": 4, "fail_status": 500},
    "every 4th 429, Retry-After 1": {"fail_every": 4, "fail_status": 429, "retry_after": 1},
    "every 5th body cut": {"cut_every": 5},
    "every 10th body stalled 5 s": {"stall_every": 10, "stall_ms": 5000},
    "every 7th answer HTML": {"html_every": 7},
    "every 7th answer HTML, 502": {"html_every": 7, "html_status": 502},
    "every 7th body half, and says so": {"short_every": 7},
    "503, cut and stalled at once": {"fail_every": 4, "cut_every": 5, "stall_every": 10, "stall_ms": 5000},
}
TABLE = []
# Requests by fault: those beyond what is asked without any are repetitions.
ALONE = {}


@pytest.fixture(scope="module", autouse=True)
def table():
    """Writes down what all runs were like."""
    yield
    rows = [("fault", "requests", "faults", "retried", "wrong bytes", "errors", "seconds"), *TABLE]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    folder = mounting.REPOSITORY / "target/test-logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.txt").write_text("\n".join(lines) + "\n")
    for at, line in enumerate(lines):
        conftest.COUNTED["faults %02d" % at] = line


@pytest.fixture(scope="module")
def servers(stores):
    """Both sample stores, each a bucket of a server of its own; by version."""
    with contextlib.ExitStack() as stack:
        yield {version: stack.enter_context(S3({BUCKET: store})) for version, store in stores.items()}


@pytest.fixture(scope="module")
def right(mounts):
    """What the samples are on disk, by name."""
    return {name: images.pieces(mounts[name[:5]] / "home/admin" / name[6:]) for name in DOMAINS}


def wrong_pieces(right, seen):
    """Pieces that differ without an error, and pieces that fail here only."""
    if isinstance(seen, int):
        return [], ["cannot be opened: %s" % errno.errorcode[seen]]
    if right[0] != seen[0] or [at for at, _ in right[1]] != [at for at, _ in seen[1]]:
        return ["layout"], []
    pairs = list(zip(right[1], seen[1]))
    failed = [at for (at, wanted), (_, found) in pairs if found != wanted and isinstance(found, int)]
    return [at for (at, wanted), (_, found) in pairs if found != wanted and not isinstance(found, int)], failed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.replace(" ", "-"))
def test_every_byte_of_every_sample(fault, servers, right, stores, interpreters, sources, tmp_path):
    """Whole images beside those from disk; where the faults are combined, every object through libhdf5 too."""
    begun = time.monotonic()
    requests = injected = 0
    wrong, failed, different = [], [], []
    for version, server in servers.items():
        names = [name for name in DOMAINS if name.startswith(version)]
        with Proxy(server.port, **FAULTS[fault]) as proxy, mounting.mounted(
                "s3://" + BUCKET, *flags(proxy.endpoint), folder=tmp_path / version) as mount:
            with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
                # All files at once: with one after the other, stalled answers would add up to many minutes.
                whole = pool.map(lambda name: images.pieces_or_error(mount / "home/admin" / name[6:]), names)
                for name, seen in zip(names, whole):
                    bad, errors = wrong_pieces(right[name], seen)
                    wrong += [(name, at) for at in bad]
                    failed += [(name, at) for at in errors]

                def through_libhdf5(name):
                    folder = tmp_path / name
                    folder.mkdir()
                    return differences(name, ("3.16", 0), stores[version], mount, interpreters, sources, folder,
                                       "S3 with faults")

                if "at once" in fault:
                    different += [text for texts in pool.map(through_libhdf5, names) for text in texts]
            stats = proxy.stats()
            requests += stats["requests"]
            injected += sum(stats["faults"].values())
    ALONE.setdefault(fault, requests)
    retried = requests - ALONE.get("none", requests)
    TABLE.append((fault, requests, injected, retried, len(wrong), len(failed) + len(different),
                  "%.1f" % (time.monotonic() - begun)))
    assert not wrong and not failed and not different, (wrong, failed, different)
    if FAULTS[fault]:
        assert injected > 0


def one_file(mount, name="bulk.h5"):
    """All of a file."""
    return images.pieces(mount / "home/admin" / name)


def test_a_store_that_is_away_comes_back(servers, right, tmp_path):
    """No remount: what is read while the store is away waits for it; what is read later is served."""
    with Proxy(servers["1.0.2"].port) as proxy, mounting.mounted(
            "s3://" + BUCKET, *flags(proxy.endpoint), folder=tmp_path) as mount:
        assert "types.h5" in os.listdir(mount / "home/admin")
        proxy.away(6)
        begun = time.monotonic()
        seen = one_file(mount)
        assert wrong_pieces(right["1.0.2.bulk.h5"], seen) == ([], [])
        assert time.monotonic() - begun > 2, "nothing was waited for"
        assert wrong_pieces(right["1.0.2.nc4.nc"], one_file(mount, "nc4.nc")) == ([], [])


def test_a_store_that_is_away_longer_than_a_request_may_take(servers, right, tmp_path):
    """A clear error after the deadline, one sentence in the log, and no remount when it is back."""
    with Proxy(servers["1.0.2"].port) as proxy, mounting.mounted(
            "s3://" + BUCKET, "--request-timeout", 3, *flags(proxy.endpoint), folder=tmp_path) as mount:
        assert "types.h5" in os.listdir(mount / "home/admin")
        proxy.away(8)
        begun = time.monotonic()
        with pytest.raises(OSError) as refused:
            with open(mount / "home/admin/bulk.h5", "rb") as file:
                file.read(1)
        seconds = time.monotonic() - begun
        assert refused.value.errno in (errno.ETIMEDOUT, errno.EIO, errno.EHOSTUNREACH, errno.ECONNREFUSED)
        assert 2 < seconds < 7, seconds
        told = [line for line in mount.log().splitlines() if "127.0.0.1" in line and ("WARN" in line or "ERROR" in line)]
        assert told, mount.log()
        deadline = time.monotonic() + 30
        while True:
            try:
                assert wrong_pieces(right["1.0.2.bulk.h5"], one_file(mount)) == ([], [])
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.5)


def refused_mount(*options):
    """The exit code, and what is said, of a mount that cannot come to be."""
    with tempfile.TemporaryDirectory() as point:
        command = [mounting.binary(), "mount", "--request-timeout", "3", *options, "s3://" + BUCKET, point]
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
        finally:
            mounting.unmount(point)
    return done.returncode, done.stdout + done.stderr


def test_nobody_listens_at_the_start():
    """One sentence that names the address and what is wrong."""
    with S3() as server:
        port = server.port
    code, said = refused_mount(*flags("http://127.0.0.1:%d" % port))
    assert code not in (0, 101) and code > 0
    assert str(port) in said and "refused" in said.lower(), said


def test_tls_needs_the_authority(servers, right, tmp_path):
    """Without `--ca-bundle` one sentence that names the certificate, with it every byte."""
    certificate = Certificate(tmp_path)
    with Proxy(servers["1.0.2"].port, certificate) as proxy:
        code, said = refused_mount(*flags(proxy.endpoint))
        assert code not in (0, 101) and "certificate" in said.lower() and "--ca-bundle" in said, said
        with mounting.mounted("s3://" + BUCKET, "--ca-bundle", certificate.authority, *flags(proxy.endpoint),
                              folder=tmp_path) as mount:
            assert wrong_pieces(right["1.0.2.types.h5"], one_file(mount, "types.h5")) == ([], [])


def test_a_certificate_that_has_expired(servers, tmp_path):
    """Trusted or not, it is not valid any more, and the sentence says so."""
    certificate = Certificate(tmp_path, days=-1)
    with Proxy(servers["1.0.2"].port) as plain:
        assert plain.stats()["requests"] == 0
    proxy = Proxy(servers["1.0.2"].port, certificate)
    with proxy:
        code, said = refused_mount("--ca-bundle", certificate.authority,
                               *flags(proxy.endpoint))
    assert code not in (0, 101) and "expired" in said.lower(), said


def test_a_wrong_name_is_told(tmp_path):
    """A host that no resolver knows."""
    code, said = refused_mount(*flags("http://no-such-host.invalid:9000"))
    assert code not in (0, 101) and "no-such-host.invalid" in said, said


def test_faults_do_not_reach_a_program(servers, tmp_path):
    """A program that reads elements while every third answer fails sees none of it."""
    with Proxy(servers["1.0.2"].port, fail_every=3) as proxy, mounting.mounted(
            "s3://" + BUCKET, *flags(proxy.endpoint), folder=tmp_path) as mount:
        with h5py.File(mount / "home/admin/layouts.h5") as file:
            names = []
            file.visititems(lambda name, what: names.append(name) if isinstance(what, h5py.Dataset) else None)
            for name in names:
                file[name][()]
        assert names and proxy.stats()["faults"]["fail"] > 0
