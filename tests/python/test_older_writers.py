"""Stores as older and rarer writers left them (`older.py`), read through a mount with h5py."""

import hashlib
import json
import os
import subprocess

import conftest
import h5py
import hsds_server
import mounting
import numpy
import older
import pytest
import writer

ARRAYS = {"v1": older.v1, "encoded": older.encoded, "shapes": older.shapes, "computed": older.computed,
          "linked": older.linked}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket with all domains of `older.py`."""
    return writer.Bucket(tmp_path_factory.mktemp("older") / "bucket")


@pytest.fixture(scope="module")
def wanted(bucket):
    """What each domain must show."""
    found = {name: make(bucket) for name, make in ARRAYS.items()}
    found["references"] = older.references(bucket)
    found["types"] = older.types(bucket)
    found["image"] = older.image(bucket, conftest.DATA / "src" / "bulk.h5")
    return found


@pytest.fixture(scope="module")
def mount(bucket, wanted):
    """That bucket, mounted."""
    with mounting.mounted(bucket.folder) as running:
        yield running


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_values(name, mount, wanted):
    """Every dataset of a domain, element by element."""
    wrong = []
    with h5py.File(mount / "old" / (name + ".h5")) as file:
        for path, value in wanted[name].items():
            try:
                seen = file[path][()]
            except OSError as error:
                wrong.append("%s: %s" % (path, error))
                continue
            assert seen.dtype == numpy.asarray(value).dtype, path
            if not numpy.array_equal(seen, value, equal_nan=seen.dtype.kind == "f"):
                where = numpy.argwhere(seen != value)
                wrong.append("%s: %d elements differ, first at %s" % (path, len(where), where[:1].tolist()))
    conftest.count("stores of older writers: datasets compared", len(wanted[name]))
    assert not wrong, "\n".join(wrong)


def test_values_with_hdf5_1_12(mount, wanted, interpreters, tmp_path):
    """The same bytes through libhdf5 1.12, as the digests of both readings show."""
    from test_samples import dumped
    for name in [*ARRAYS, "types", "references"]:
        file = mount / "old" / (name + ".h5")
        if name == "references":
            continue  # a region reference has no stream form in dump.py
        assert dumped(interpreters["3.8"], file, {}, 0, tmp_path) == dumped(interpreters["3.16"], file, {}, 0, tmp_path)


def test_variable_length_and_committed_types(mount, wanted):
    """Text, sequences of compounds, a type that two datasets share."""
    with h5py.File(mount / "old" / "types.h5") as file:
        words = file["words"].asstr()[...]
        assert list(words) == wanted["types"]["/words"]
        assert [[tuple(pair) for pair in some] for some in file["pairs"][...]] == wanted["types"]["/pairs"]
        for name in ("one", "two"):
            assert numpy.array_equal(file[name][...], wanted["types"]["/" + name])
            assert file[name].id.get_type().committed()
        assert file["one"].id.get_type() == file["point"].id


def test_references(mount, wanted):
    """Object references lead to their objects, region references to their elements."""
    target = wanted["references"]["/target"]
    with h5py.File(mount / "old" / "references.h5") as file:
        objects = file["objects"][...]
        assert [file[one].name if one else None for one in objects] == ["/target", "/group", None, "/target"]
        regions = file["regions"][...]
        assert [bool(one) for one in regions] == [True, True, False, True]
        assert all(file[one].name == "/target" for one in regions if one)
        chosen = [sorted(file["target"][one].ravel().tolist()) for one in regions if one]
        assert chosen[0] == sorted(target[2:6, 3:15:4].ravel().tolist())
        assert chosen[1] == sorted([int(target[1, 0]), int(target[3, 5]), int(target[9, 19])])
        assert chosen[2] == target.ravel().tolist()


def test_an_image_domain_is_the_file_it_holds(mount, wanted):
    """`h5image`: the same bytes, the same length."""
    path = mount / "old" / "image.h5"
    assert os.stat(path).st_size == len(wanted["image"])
    assert path.read_bytes() == wanted["image"]


def test_one_file_of_a_v1_bucket_by_its_path(bucket, wanted, tmp_path):
    """A v1 store needs to be told its root; its object keys are not shown."""
    with mounting.mounted(bucket.folder / "old", "--store-root", bucket.folder, folder=tmp_path) as mount:
        with h5py.File(mount / "v1.h5") as file:
            assert numpy.array_equal(file["raw"][...], wanted["v1"]["/raw"])
    done = subprocess.run([mounting.binary(), "ls", str(bucket.folder)], capture_output=True, text=True, check=True)
    assert "old" in done.stdout and "-d-" not in done.stdout and "-c-" not in done.stdout


# What HSDS 1.0.2 itself cannot read in these stores, and why it is right all the same.
SERVER_CANNOT = {
    "/bitshuffle_lz4": "it never undoes this filter, though its own code names the format",
    "/blosc_snappy": "its Blosc was built without Snappy",
    "/contradicting": "it takes the layout that was asked for, not the one in effect",
    "/partitioned": "two data nodes disagree about who holds a partition",
    "/checked": "a fletcher32 trailer is not cut off",
    "/checked_indirect": "a fletcher32 trailer is not cut off",
    "/many_files": "it looks for the other bucket's files in its own",
}


def test_a_real_server_reads_these_stores_alike(tmp_path):
    """A second opinion on the stores, not on the mount: HSDS 1.0.2 gives the values that the tests expect."""
    folder = tmp_path / hsds_server.BUCKET
    bucket = writer.Bucket(folder)
    wanted = {name: make(bucket) for name, make in ARRAYS.items()}
    wrong, agreed = [], 0
    with hsds_server.running("hsds10", tmp_path) as server:
        for name, values in wanted.items():
            done = server.python("collect.py", "/old/%s.h5" % name, *SERVER_CANNOT)
            assert done.returncode == 0, done.stderr[-2000:]
            for line in map(json.loads, done.stdout.splitlines()):
                if line["path"] not in values or line["path"] in SERVER_CANNOT:
                    continue
                expected = hashlib.sha256(numpy.asarray(values[line["path"]]).tobytes()).hexdigest()
                if line["value"].get("sha256") == expected:
                    agreed += 1
                else:
                    wrong.append("%s %s: %s" % (name, line["path"], line["value"]))
    conftest.count("stores of older writers: datasets that HSDS 1.0.2 reads alike", agreed)
    assert not wrong, "\n".join(wrong)
