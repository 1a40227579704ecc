"""`h5mount advise`: what it says of files made here, and that the requests it tells are those that a mount makes."""

import itertools
import subprocess
import zlib

import h5py
import mounting
import numpy as np
import pytest
import writer
from servers.s3 import S3, flags
from test_commands import h5mount, told

SHAPE, CHUNK = (24, 64, 96), (3, 32, 32)


def topics(advice, path=None):
    """What a file's advice is about, of one dataset or of the file."""
    return {point["topic"] for point in advice if point["path"] == path}


def of(file):
    """The only file of a report."""
    code, document = told("advise", "--store-root", file.parent, file)
    assert code == 0
    (report,) = document["files"]
    return report, {dataset["path"]: dataset for dataset in report["datasets"]}


@pytest.fixture(name="strewn")
def strewn_file(tmp_path):
    """A file of the earliest format with whatever is dear."""
    rng = np.random.default_rng(5)
    with h5py.File(tmp_path / "strewn.h5", "w") as file:
        for number in range(30):
            group = file.create_group("g%02d" % number)
            group["d"] = np.arange(10)
            group.attrs["title"] = "group %d" % number
        maps = rng.integers(0, 40, (200, 64, 64)).astype("f4")
        file.create_dataset("maps", data=maps, maxshape=(None, 64, 64), chunks=(1, 64, 64), compression="gzip")
        file.create_dataset("noise", data=rng.integers(0, 1 << 62, (8, 256, 256)), chunks=(8, 128, 128), compression="gzip", shuffle=True)
        file.create_dataset("huge", data=np.zeros((3, 1024, 1024), "f4"), chunks=(3, 1024, 1024))
        file.create_dataset("piece", data=np.ones((1000, 300)))
        file.create_dataset("good", data=maps[:, :32, :32], chunks=(200, 32, 32), compression="gzip", shuffle=True)
        file.create_dataset("lzf", data=maps, chunks=(200, 16, 32), compression="lzf")
    return tmp_path / "strewn.h5"


def test_every_point_of_the_checklist(strewn):
    """A strewn file, its costs and what mends each."""
    report, datasets = of(strewn)
    assert (report["kind"], report["shown"], report["size"]) == ("hdf5", "laid out anew", strewn.stat().st_size)
    advice = report["advice"]
    assert topics(advice) == {"strategy"}
    assert topics(advice, "/maps") == {"small_chunks", "chunk_shape", "compression"}
    assert topics(advice, "/noise") == {"compression"}
    assert topics(advice, "/huge") == {"large_chunks", "compression"}
    assert topics(advice, "/piece") == {"contiguous"}
    assert topics(advice, "/lzf") == {"filter"}
    assert topics(advice, "/good") == topics(advice, "/g01/d") == set()
    assert all(point["mend"] for point in advice)
    maps = datasets["/maps"]
    with h5py.File(strewn) as file:
        data = file["maps"].id
        sizes = [data.get_chunk_info(number).size for number in range(data.get_num_chunks())]
        assert maps["ratio"] == pytest.approx(file["maps"].nbytes / sum(sizes), abs=0.01)
    assert maps["series"]["stored"] == maps["scan"]["stored"] == {"requests": 200, "bytes": sum(sizes)}
    assert maps["map"]["stored"] == {"requests": 1, "bytes": sizes[100]}
    text = h5mount("advise", "--store-root", strewn.parent, strewn)
    assert text.returncode == 0
    assert "h5repack -S PAGE -G" in text.stdout and "/maps: chunks of 16384 bytes" in text.stdout


def test_the_commands_that_are_told_mend(strewn, tmp_path):
    """`h5repack` as advised: then nothing more is to be said of these points."""
    report, _ = of(strewn)
    said = {(point["topic"], point["path"]): point["mend"][0] for point in report["advice"]}
    paged = said["strategy", None]
    shape = said["chunk_shape", "/maps"]
    assert paged.endswith("strewn.h5 OUT") and shape.endswith("strewn.h5 OUT")
    options = paged.split()[1:-2] + shape.split()[1:-2]
    subprocess.run(["h5repack", *options, strewn, tmp_path / "mended.h5"], check=True, timeout=60)
    report, datasets = of(tmp_path / "mended.h5")
    assert report["stored"]["strategy"] == "PAGE"
    # Pages of metadata hold nothing else: as many as the metadata need, and the first with the superblock.
    assert report["stored"]["opening"]["pages"] <= 2
    assert topics(report["advice"]) == set()
    assert topics(report["advice"], "/maps") == {"compression"}
    costs = datasets["/maps"]
    assert costs["series"]["stored"]["requests"] <= 8 and costs["map"]["stored"]["requests"] <= 8


def test_pages_are_counted_as_the_library_reads_them(tmp_path):
    """A paged file whose metadata fill many pages of 4096 bytes."""
    with h5py.File(tmp_path / "paged.h5", "w", fs_strategy="page", fs_page_size=4096) as file:
        for number in range(100):
            file.create_group("group %03d" % number).attrs["text"] = "x" * 200
    report, _ = of(tmp_path / "paged.h5")
    stored = report["stored"]
    assert (stored["strategy"], stored["page"]) == ("PAGE", 4096)
    with h5py.File(tmp_path / "paged.h5", page_buf_size=64 << 20) as file:
        assert len([dict(group.attrs) for group in file.values()]) == 100
        meta, raw = file.id.get_page_buffering_stats()
    # Each page once, as `strace` shows it; pages of heaps count as data there.
    assert meta.misses + raw.bypasses == stored["opening"]["pages"]
    assert topics(report["advice"]) == {"page_size"}


def test_what_is_no_such_file_is_told(tmp_path):
    """Damaged files have a reason, folders are looked through, and nothing is a fault."""
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01 and so on")
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["x"] = 1
    code, document = told("advise", "--store-root", tmp_path, tmp_path)
    assert code == 0
    told_of = {report["file"].rsplit("/", 1)[-1]: report for report in document["files"]}
    assert "signature" in told_of["classic.nc"]["error"] and told_of["one.h5"]["error"] is None
    assert h5mount("advise", tmp_path / "absent.h5").returncode == 3


def parts():
    """Each chunk of the dataset that is read: its place in the grid, and its elements."""
    for at in itertools.product(*(range(-(-dim // extent)) for dim, extent in zip(SHAPE, CHUNK))):
        yield at, tuple(slice(place * extent, (place + 1) * extent) for place, extent in zip(at, CHUNK))


def domain(bucket, values):
    """The dataset on HSDS."""
    made = writer.Domain(bucket, "run.h5")
    filters = [{"class": "H5Z_FILTER_DEFLATE", "id": 1, "level": 1, "name": "deflate"}]
    number = made.dataset("t", writer.I32, SHAPE, CHUNK, limits=(0, *SHAPE[1:]), filters=filters, top_layout=False)
    for at, part in parts():
        made.chunk(number, at, zlib.compress(np.ascontiguousarray(values[part]).tobytes()))
    made.write()


def file_of_chunks(path, values):
    """The dataset in an HDF5 file, its chunks mebibytes apart: no two share a request."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("t", SHAPE, "<i4", maxshape=(None, *SHAPE[1:]), chunks=CHUNK, compression="gzip")
        between = file.create_group("between")
        for at, part in parts():
            between["%d%d%d" % at] = np.zeros(2 << 20, "u1")
            data[part] = values[part]
            file.flush()


@pytest.mark.parametrize("kind", ["hsds", "hdf5"])
@pytest.mark.parametrize("way", ["series", "map", "scan"])
def test_requests_are_those_that_a_mount_makes(kind, way, tmp_path):
    """h5py reads a series, a map and all through a cold mount, and the store counts what was told."""
    bucket = writer.Bucket(tmp_path / "bucket")
    # Noise: compressed chunks are too large for the library to put them together.
    values = np.random.default_rng(2).integers(0, 1 << 31, SHAPE, dtype="<i4")
    if kind == "hsds":
        domain(bucket, values)
    else:
        file_of_chunks(bucket.folder / "run.h5", values)
    # The last map: behind it is nothing that could be read ahead.
    part = {"series": np.s_[:, 32, 48], "map": np.s_[-1], "scan": np.s_[()]}[way]
    with S3({"bucket": bucket.folder}) as server:
        reach = [*flags(server.endpoint), "--region", "us-east-1"]
        code, document = told("advise", "s3://bucket/run.h5", *reach)
        assert code == 0
        (report,) = document["files"]
        assert report["kind"] == kind
        (data,) = [dataset for dataset in report["datasets"] if dataset["path"] == "/t"]
        with mounting.mounted("s3://bucket", *reach, "--metadata-ttl", 600, folder=tmp_path) as mount:
            with h5py.File(mount / "run.h5") as file:
                dataset = file["t"]
                assert dataset.shape == SHAPE
                server.quiet()
                server.reset()
                assert (dataset[part] == values[part]).all()
            server.quiet()
            asked = [entry for entry in server.requests() if entry["method"] == "GET"]
        assert len(asked) == data[way]["shown"]["requests"], asked
