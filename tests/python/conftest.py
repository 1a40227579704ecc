"""Fixtures: the sample stores unpacked, each mounted once, and the interpreters that read them."""

import pathlib
import subprocess

import mounting
import pytest

DATA = mounting.REPOSITORY / "tests" / "data" / "hsds"
VERSIONS = ("1.0.2", "0.9.4")
# Counts that are told at the end of a run, by name.
COUNTED = {}


def count(name, number=1):
    """Adds to a number that the summary reports."""
    COUNTED[name] = COUNTED.get(name, 0) + number


def pytest_configure(config):
    """Options and marks of this suite."""
    config.addinivalue_line("markers", "long: takes minutes; run by scripts/test --full only")


def pytest_addoption(parser):
    """`--full` runs what takes minutes."""
    parser.addoption("--full", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    """Leaves out the long tests unless asked."""
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="only with --full")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter):
    """Tells what was counted."""
    for name in sorted(COUNTED):
        terminalreporter.write_line("%s: %s" % (name, COUNTED[name]))


@pytest.fixture(scope="session", autouse=True)
def no_logs_left(tmp_path_factory):
    """Takes away the logs that mounts in the background keep outside of the tests' own folder."""
    yield
    mine = str(tmp_path_factory.getbasetemp()).strip("/").replace("/", "-")
    for folder in (pathlib.Path("/var/log/h5mount"), pathlib.Path.home() / ".local/state/h5mount"):
        for path in folder.glob("%s*" % mine):
            path.unlink()


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    """A folder for each sample store, by HSDS version; each holds the bucket `hsdstest`."""
    folders = {}
    for version in VERSIONS:
        folder = tmp_path_factory.mktemp("store-" + version)
        subprocess.run(["tar", "-xzf", DATA / ("store-posix-%s.tar.gz" % version), "-C", folder], check=True)
        folders[version] = folder / "hsdstest"
        assert folders[version].is_dir()
    return folders


@pytest.fixture(scope="session")
def mounts(stores):
    """Both sample stores mounted from their root, by version."""
    running = {}
    try:
        for version, store in stores.items():
            running[version] = mounting.Mount(store)
            running[version].start()
        yield running
    finally:
        for mount in running.values():
            mount.stop()


@pytest.fixture(scope="session")
def interpreters():
    """Python interpreters by the version of h5py they have."""
    found = {}
    for name, environment in (("3.16", "current"), ("3.8", "old")):
        path = mounting.REPOSITORY / (".venv-" + environment) / "bin" / "python"
        if path.exists():
            found[name] = path
    return found


@pytest.fixture(scope="session")
def sources():
    """The folder of the files that the sample stores were loaded from."""
    return pathlib.Path(DATA / "src")
