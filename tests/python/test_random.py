"""Random hierarchies, written as a store, mounted, read by libhdf5 and compared with what was written."""

import compare
import conftest
import mounting
import pytest
from random_store import Domain
from test_samples import dumped

BATCHES = 8  # mounts; each shows a folder of files
FILES = 40  # random files in each batch


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_files_read_as_written(batch, interpreters, tmp_path):
    """Every object of every random file is what the store says, through two versions of libhdf5 in turn."""
    bucket = tmp_path / "bucket"
    domains = {"random/%03d.h5" % number: Domain(batch * FILES + number) for number in range(FILES)}
    for path, domain in domains.items():
        domain.write(bucket, path)
    versions = sorted(interpreters)
    found = []
    with mounting.mounted(bucket, folder=tmp_path / "m") as mount:
        for number, (path, domain) in enumerate(domains.items()):
            expected, ids = domain.listing()
            python = interpreters[versions[number % len(versions)]]
            seen = dumped(python, mount / path, ids, (1 << 20) * (number // 2 % 2), tmp_path)
            found += ["seed %d: %s" % (batch * FILES + number, text) for text in compare.differences(expected, seen)]
            conftest.count("random files: objects compared", len(expected))
    assert not found, "\n".join(found[:40])
