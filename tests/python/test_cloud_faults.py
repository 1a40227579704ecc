"""What networks and services do to a mount: every byte of every sample is the right one, or an error says why not.

Faults are injected by the proxy before the S3 in memory.  A table of all runs is printed at the end and written to
`target/test-logs/faults.txt`: how many requests, how many of them met a fault, how many more there were than the same
files need without any (the repetitions), how many pieces of 256 KiB had a wrong byte, how many reads failed.
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
from servers.s3 import BARE, S3, flags
from test_samples import DOMAINS, differences

BUCKET = "hsdstest"
FAULTS = {
    "none": {},
    "every 4th 503": {"fail_every": 4},
    "every 4th 500": {"fail_every": 4, "fail_status": 500},
    "every 4th 429, Retry-After 1": {"fail_every": 4, "fail_status": 429, "retry_after": 1},
    "every 5th body cut": {"cut_every": 5},
    "every 10th body stalled 5 s": {"stall_every": 10, "stall_ms": 5000},
    "every body through a slow line": {"mbps_total": 1},
    "every 2nd 503": {"fail_every": 2},
    "every 7th answer HTML": {"html_every": 7},
    "every 7th answer HTML, 502": {"html_every": 7, "html_status": 502},
    "every 7th body half, and says so": {"short_every": 7},
    "503, cut and stalled at once": {"fail_every": 4, "cut_every": 5, "stall_every": 10, "stall_ms": 5000},
}
ALL_AT_ONCE = "503, cut and stalled at once"
# Files of each kind: many chunks, many types, netCDF, and what a program writes through HSDS's own interface. Where one
# fault is as good as another they are enough; all are read where the faults are combined.
FEW = ("1.0.2.types.h5", "1.0.2.nc4.nc", "0.9.4.rest.h5")
# Seconds are waited for each.
ONE = ("1.0.2.nc4.nc",)
TABLE = []


@pytest.fixture(scope="module", autouse=True)
def table():
    """Writes down what all runs were like."""
    yield
    rows = [("fault", "files", "requests", "met a fault", "more than without", "pieces with wrong bytes", "errors", "seconds"),
            *TABLE]
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


class Run:
    """What came of reading some files through a proxy with a fault."""

    def __init__(self):
        self.requests = self.injected = 0
        self.wrong, self.failed, self.seconds = [], [], 0.0


def read(names, servers, folder, right, settings, further=None):
    """Whole images beside those from disk, all files at once: one after the other, stalled answers would add up to many
    minutes. `further` is given each name and its mount, and says what is wrong."""
    run, begun = Run(), time.monotonic()
    with contextlib.ExitStack() as stack:
        proxies, mounts = {}, {}
        for version in sorted({name[:5] for name in names}):
            proxies[version] = stack.enter_context(Proxy(servers[version].port, **settings))
            mounts[version] = stack.enter_context(
                mounting.mounted("s3://" + BUCKET, *flags(proxies[version].endpoint), folder=folder / version))
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            whole = pool.map(lambda name: images.pieces_or_error(mounts[name[:5]] / "home/admin" / name[6:]), names)
            for name, seen in zip(names, whole):
                bad, errors = wrong_pieces(right[name], seen)
                run.wrong += [(name, at) for at in bad]
                run.failed += [(name, at) for at in errors]
            if further:
                for told in pool.map(lambda name: further(name, mounts[name[:5]]), names):
                    run.failed += told
        for proxy in proxies.values():
            stats = proxy.stats()
            run.requests += stats["requests"]
            run.injected += sum(stats["faults"].values())
    run.seconds = time.monotonic() - begun
    return run


@pytest.fixture(scope="module")
def alone(servers, right, tmp_path_factory):
    """How many requests the same files need where nothing fails."""
    known = {}

    def requests(names):
        if names not in known:
            known[names] = read(names, servers, tmp_path_factory.mktemp("alone"), right, {}).requests
        return known[names]

    return requests


def wrong_pieces(right, seen):
    """Pieces that differ without an error, and pieces that fail here only."""
    if isinstance(seen, int):
        return [], ["cannot be opened: %s" % errno.errorcode[seen]]
    if right[0] != seen[0] or [at for at, _ in right[1]] != [at for at, _ in seen[1]]:
        return ["layout"], []
    pairs = list(zip(right[1], seen[1]))
    failed = [at for (at, wanted), (_, found) in pairs if found != wanted and isinstance(found, int)]
    return [at for (at, wanted), (_, found) in pairs if found != wanted and not isinstance(found, int)], failed


# Of each store, so many answers may be taken for stuck and asked for again, and one more for every four that come. On a
# machine that has too much to do some of them seem so.
GUESSES = 16


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.replace(" ", "-")) for fault in FAULTS])
def test_every_byte(fault, servers, right, alone, stores, interpreters, sources, tmp_path):
    """Images of files; where the faults are combined those of all samples, and every object through libhdf5."""
    names, further = ONE if "Retry-After" in fault else FEW, None
    if "half" in fault:
        # Each kind of object is believed by other means.
        names = tuple(DOMAINS)
    if fault == ALL_AT_ONCE:
        names = tuple(DOMAINS)

        def further(name, mount):
            folder = tmp_path / name
            folder.mkdir()
            return differences(name, ("3.16", 0), stores[name[:5]], mount, interpreters, sources, folder, "S3 with faults")

    run = read(names, servers, tmp_path, right, FAULTS[fault], further)
    # What libhdf5 reads beside the image is mostly in the page cache, so that what is more is mostly repetitions.
    more = run.requests - alone(names)
    TABLE.append((fault, len(names), run.requests, run.injected, more, len(run.wrong), len(run.failed), "%.1f" % run.seconds))
    assert not run.wrong and not run.failed, (run.wrong, run.failed)
    # A fault costs one request more, or two where what came is looked at again.
    assert more <= 2 * run.injected + 2 * GUESSES + run.requests // 4, (more, run.injected)
    if any("every" in name for name in FAULTS[fault]):
        assert run.injected > 0


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
        assert 1 < seconds < 7, seconds
        told = [line for line in mount.log().splitlines() if "WARN" in line]
        address = proxy.endpoint.split("//")[1]
        assert any(address in line and "refused" in line and "check the network, the endpoint" in line for line in told), told
        # One for the service that is tried again, one that it was given up, one for the file that could not be opened.
        assert len(told) <= 3, told
        deadline = time.monotonic() + 30
        while True:
            try:
                assert wrong_pieces(right["1.0.2.bulk.h5"], one_file(mount)) == ([], [])
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.5)


SOURCE_EXIT = 3
AT_ONCE = 5.0  # seconds; a debug build on a busy machine takes one to start
SOON = 20.0  # 10 s of trying, and the start


def refused(*options, command="mount", environment=None):
    """What is said by a command that must fail because of its source, and after how many seconds."""
    with tempfile.TemporaryDirectory() as point:
        words = [mounting.binary(), command, *options, "s3://" + BUCKET, *([point] if command == "mount" else [])]
        begun = time.monotonic()
        try:
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False,
                                  env={**os.environ, **(environment or BARE)})
        finally:
            mounting.unmount(point)
    assert done.returncode == SOURCE_EXIT, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr, time.monotonic() - begun


@pytest.fixture(scope="module")
def nobody():
    """An address where nobody listens."""
    with S3() as server:
        endpoint = server.endpoint
    return endpoint


def test_nobody_listens_at_the_start(nobody):
    """Tried for some seconds; then one sentence that names the address and what is wrong."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda command: refused(*flags(nobody), command=command), ["mount", "ls", "info", "check"]))
    for said, seconds in told:
        assert nobody.split("//")[1] in said and "refused" in said.lower() and "check the network" in said, said
        assert seconds < SOON, said


def test_the_time_for_requests_bounds_the_start(nobody):
    """Whoever waits less than is usual waits less at the start too."""
    said, seconds = refused("--request-timeout", 2, *flags(nobody))
    assert "refused" in said.lower() and seconds < 2 + AT_ONCE, (seconds, said)


def test_a_wrong_name_is_told():
    """A host that no resolver knows."""
    said, seconds = refused(*flags("http://no-such-host.invalid:9000"))
    assert "no-such-host.invalid" in said and "check the network, the endpoint" in said, said
    assert seconds < SOON, said


def test_no_credentials_are_told_at_once(servers):
    """Where they were looked for, and what to do for a public bucket."""
    said, seconds = refused("--endpoint", servers["1.0.2"].endpoint)
    assert "no credentials found" in said and "--no-sign-request" in said, said
    assert seconds < AT_ONCE, said


def test_tls_needs_the_authority(servers, right, tmp_path):
    """Without `--ca-bundle` one sentence that names the certificate, with it every byte."""
    certificate = Certificate(tmp_path)
    with Proxy(servers["1.0.2"].port, certificate) as proxy:
        said, seconds = refused(*flags(proxy.endpoint))
        assert "certificate" in said.lower() and "--ca-bundle" in said, said
        assert seconds < AT_ONCE, said
        with mounting.mounted("s3://" + BUCKET, "--ca-bundle", certificate.authority, *flags(proxy.endpoint),
                              folder=tmp_path) as mount:
            assert wrong_pieces(right["1.0.2.types.h5"], one_file(mount, "types.h5")) == ([], [])


@pytest.mark.parametrize("wrong, word", [({"days": -1}, "expired"), ({"name": "elsewhere.example"}, "localhost")],
                         ids=["expired", "of-another-name"])
def test_a_trusted_certificate_that_does_not_hold(servers, tmp_path, wrong, word):
    """The sentence says what is wrong with it, at once."""
    certificate = Certificate(tmp_path, **wrong)
    with Proxy(servers["1.0.2"].port, certificate) as proxy:
        said, seconds = refused("--ca-bundle", certificate.authority, *flags(proxy.endpoint))
    assert "certificate" in said.lower() and word in said.lower(), said
    assert seconds < AT_ONCE, said


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
