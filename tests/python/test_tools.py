"""Programs as people have them, each on a mounted file and on the file that was loaded into the store.

A program does on ours what it does on the source: it succeeds where it succeeds there and prints the same.  Where it
fails or crashes on the source, nothing is asked of ours but that it ends.  What the loaders changed on the way into
the store is in `LOST`, line by line.
"""

import collections
import re
import subprocess

import conftest
import lost
import pytest
import tools

CASES = [(version, path.name) for version in conftest.VERSIONS for path in sorted((conftest.DATA / "src").iterdir())
         if (conftest.DATA / "expected" / ("posix-%s.%s.jsonl" % (version, path.name))).exists()]


def does_the_same(tool, version, domain, mount, sources, folder):
    """Asserts that a program succeeds on a mounted file where it does on the source, and prints the same."""
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    theirs, wanted = tool.run(sources / domain, folder / "theirs")
    ours, seen = tool.run(mount / "home/admin" / domain, folder / "ours")
    conftest.count("programs: runs compared (program on a file)")
    if theirs != "ok":
        conftest.count("programs: runs that fail on the source too")
        return
    if ours == "crash" and (tool.name, version, domain) in lost.CRASHES:
        conftest.count("programs: runs that end in a fault of libhdf5 itself")
        return
    assert ours == "ok", "\n".join(seen[-20:])
    if tool.output:
        again = tools.Tool("dump", *(("ncdump",) if tool.output.endswith("nc") else ("h5dump",)), "FILE")
        wanted = again.run(folder / "theirs" / tool.output, folder)[1]
        seen = again.run(folder / "ours" / tool.output, folder)[1]
    # Order is not compared here: the loaders did not keep it.
    missing = collections.Counter(wanted) - collections.Counter(seen)
    added = collections.Counter(seen) - collections.Counter(wanted)
    changed = ["-" + line for line in missing] + ["+" + line for line in added]
    unknown = [line for line in changed if not lost.known(tool.name, version, domain, line[1:])]
    assert not unknown, "\n".join(unknown)


@pytest.mark.parametrize("tool", tools.TOOLS, ids=repr)
@pytest.mark.parametrize("version, domain", CASES, ids=["%s-%s" % case for case in CASES])
def test_does_on_ours_what_it_does_on_the_source(tool, version, domain, mounts, sources, tmp_path):
    """Same success, same output."""
    does_the_same(tool, version, domain, mounts[version], sources, tmp_path)


@pytest.mark.parametrize("version, domain", CASES, ids=["%s-%s" % case for case in CASES])
def test_file_space_is_paged(version, domain, mounts):
    """`h5stat -S` names the strategy that lets libhdf5 read whole pages of metadata."""
    done = subprocess.run(["h5stat", "-S", mounts[version] / "home/admin" / domain], capture_output=True, text=True,
                          check=True, timeout=60)
    assert re.search(r"File space management strategy: H5F_FSPACE_STRATEGY_PAGE", done.stdout)
    assert re.search(r"File space page size: 4096 bytes", done.stdout)
