"""The commands that look into a store without mounting it, on the sample stores: what they say against what is known."""

import json
import os
import shutil
import signal
import subprocess
import time

import conftest
import h5py
import listing
import mounting
import numpy
import pytest
import writer
from servers import s3, web
from test_samples import DOMAINS

# Datasets of hand.h5 whose chunks the schema forbids, and what the stores hold of each chunk of theirs.
FORBIDDEN = {"/gz_clipped_edge", "/gz_uncompressed_chunk"}
LIMIT = 60  # seconds for one command; the slowest takes two


def h5mount(*arguments):
    """Runs the program; returns what `subprocess` says."""
    return subprocess.run([mounting.binary(), *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT,
                          check=False, env={**os.environ, "RUST_LOG": "error"})


def told(*arguments):
    """Exit code and document of a command with `--json`."""
    done = h5mount(*arguments, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def place(stores, name):
    """Path of a sample domain in its store."""
    return stores[name[:5]] / "home/admin" / name[6:]


@pytest.mark.parametrize("name", DOMAINS)
def test_ls_lists_what_the_server_lists(name, stores):
    """Every object and link with its kind, shape, chunks and attributes."""
    entries = conftest.DATA / "expected" / ("posix-%s.jsonl" % name)
    expected = {line["path"]: line for line in listing.read(entries)[0]}
    code, document = told("ls", "-r", "-l", place(stores, name))
    assert code == 0
    seen = {line["path"]: line for line in document["objects"]}
    assert seen.keys() == expected.keys()
    for path, line in expected.items():
        shown = seen[path]
        if "same_as" in line:
            assert shown["same_as"] == line["same_as"], path
        elif "soft" in line or "external" in line:
            assert shown["kind"] == "link", path
        else:
            assert shown["kind"] == line["kind"], path
            names = sorted(attribute["name"] for attribute in shown["attributes"])
            assert "attributes" not in line or names == sorted(line["attributes"]), path
        if line.get("kind") == "dataset" and isinstance(line["shape"], dict):
            assert shown["shape"] == line["shape"]["dims"], path
            limits = line["shape"]["limits"]
            assert shown.get("max_shape", limits) == limits, path
            assert 0 in shown["shape"] or shown.get("chunk") == line["chunk"], path
    conftest.count("ls: objects compared", len(expected))
    assert h5mount("ls", "-lr", place(stores, name)).returncode == 0


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_ls_of_a_folder(version, stores):
    """Folders, files and other objects."""
    code, document = told("ls", "-r", stores[version])
    shown = {entry["path"]: entry["kind"] for entry in document["entries"]}
    wanted = {"home": "folder", "home/admin": "folder"}
    wanted.update(("home/admin/" + name[6:], "file") for name in DOMAINS if name.startswith(version))
    if version == "0.9.4":
        wanted.update({"files": "folder", "files/linksrc.h5": "file"})
    assert (code, shown) == (0, wanted)


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_info_counts_what_is_stored(version, stores):
    """Bytes and objects below `db/`, without those of the one file whose keys cannot be listed."""
    code, document = told("info", stores[version])
    totals = document["totals"]
    stored = [path.stat().st_size for path in (stores[version] / "db").rglob("*") if path.is_file()]
    domains = [name for name in DOMAINS if name.startswith(version)]
    # One store holds an HDF5 file beside its domains.
    beside = [path for path in (stores[version] / "files").glob("*.h5")]
    stored += [path.stat().st_size for path in beside]
    assert (code, totals["files"], document["unreadable"]) == (0, len(domains) + len(beside), [])
    assert totals["unlisted_files"] == sum(name.endswith("v1.h5") for name in domains)
    # Objects that no link leads to any more are the store's, and no file's.
    assert 0 < totals["stored_bytes"] <= sum(stored) and totals["stored_objects"] <= len(stored)
    assert totals["stored_bytes"] == totals["chunk_bytes"] + totals["metadata_bytes"]
    assert sum(document["schemas"].values()) == sum(document["dialects"].values()) == totals["files"]


@pytest.mark.parametrize("name", [name for name in DOMAINS if not name.endswith("hand.h5")])
def test_check_finds_nothing_in_what_a_server_wrote(name, stores):
    """Exit code 0; the one attribute that a server stored without a value is a fault of its file."""
    code, document = told("check", place(stores, name))
    faults = [(fault["path"], fault["cause"]) for fault in document["faults"]]
    wanted = [("/@a_b64_bad", "description")] if name.endswith("rest.h5") else []
    assert (code, faults) == (int(bool(wanted)), wanted)
    conftest.count("check: chunks read", document["chunks"])


def test_check_names_every_chunk_that_the_schema_forbids(stores):
    """Exit code 1, and each fault by file, path, key and cause; chunks beside them are read."""
    code, document = told("check", stores["1.0.2"] / "home/admin/hand.h5")
    assert code == 1
    by_path = {path: [fault for fault in document["faults"] if fault["path"] == path] for path in FORBIDDEN}
    assert sum(map(len, by_path.values())) == len(document["faults"])
    assert [len(by_path[path]) for path in sorted(FORBIDDEN)] == [6, 12]
    for fault in document["faults"]:
        assert (fault["file"], fault["cause"]) == ("home/admin/hand.h5", "undecodable")
        assert (stores["1.0.2"] / fault["key"]).is_file() and fault["reason"]
    done = h5mount("check", stores["1.0.2"] / "home/admin/hand.h5")
    assert done.returncode == 1
    assert all(fault["key"] in done.stdout for fault in document["faults"])


def test_check_names_an_object_that_is_gone(stores, tmp_path):
    """A dataset that is linked and not there."""
    bucket = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (4,), (4,))
    domain.write()
    os.utime(bucket.folder / "file.h5/.domain.json", (1, 1))  # nobody is writing here any more
    (bucket.folder / domain.object_key(number)).unlink()
    code, document = told("check", bucket.folder)
    assert code == 1
    assert [(fault["path"], fault["cause"]) for fault in document["faults"]] == [("/x", "description")]
    assert number in document["faults"][0]["reason"]


def test_ls_goes_on_into_a_file(stores):
    """`FILE/GROUP` lists the group, as the whole listing has it."""
    file = stores["1.0.2"] / "home/admin/links.h5"
    whole = {line["path"]: line for line in told("ls", "-r", file)[1]["objects"]}
    group = next(path for path, line in whole.items() if line["kind"] == "group" and
                 any(other.startswith(path + "/") for other in whole))
    code, document = told("ls", str(file) + group)
    paths = [line["path"] for line in document["objects"]]
    assert code == 0 and paths[0] == group and len(paths) > 1
    assert set(paths) <= whole.keys() and all(path.startswith(group) for path in paths)
    done = h5mount("ls", file / "no such group")
    assert done.returncode == 3 and "no such object" in done.stderr


def test_a_torn_domain_is_told_of_once_and_waited_for_once(tmp_path):
    """`ls` of the file, and of the folder around it: one warning, and about the second that a writer is given."""
    bucket = writer.Bucket(tmp_path / "bucket")
    writer.Domain(bucket, "folder/file.h5").write()
    bucket.put("folder/file.h5/.domain.json", b'{"root": "g-')
    environment = {**os.environ, "RUST_LOG": "warn"}
    for place in ("folder", "folder/file.h5"):
        os.utime(bucket.folder / "folder/file.h5/.domain.json")  # perhaps being written just now
        begun = time.monotonic()
        done = subprocess.run([mounting.binary(), "ls", bucket.folder / place], capture_output=True, text=True,
                              timeout=LIMIT, check=False, env=environment)
        assert done.stderr.count("WARN") == 1 and time.monotonic() - begun < 2.5, done.stderr
        assert done.returncode == (3 if place.endswith("h5") else 0)


def test_check_sums_up_what_one_object_is_the_cause_of(stores, tmp_path):
    """Hundreds of chunks that lie in one file that is gone: a line for it at the end."""
    shutil.copytree(stores["0.9.4"], tmp_path / "store")
    (tmp_path / "store/files/linksrc.h5").unlink()
    done = h5mount("check", tmp_path / "store/home/admin/linked.h5")
    summary = [line for line in done.stdout.splitlines() if "faults in one object" in line]
    assert done.returncode == 1 and len(summary) == 1 and summary[0].endswith("linksrc.h5"), done.stdout
    assert int(summary[0].split()[0]) == done.stdout.count(" chunk ")


def broken_chunk(kind, path):
    """Puts something into a chunk's place that is there and cannot be read as an object."""
    path.unlink()
    if kind == "link":
        path.symlink_to("/nowhere")
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "device", "pipe", "directory"])
def test_what_is_no_object_in_a_chunks_place_is_a_fault_and_never_fill(kind, tmp_path):
    """`check` and `explain` name it, `info` counts it, and the mount answers EIO for its range alone."""
    bucket = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(bucket, "file.h5")
    number = domain.dataset("x", writer.I32, (2048,), (1024,))  # chunks of a page each
    for i in range(2):
        domain.chunk(number, (i,), numpy.arange(1024, dtype="<i4").tobytes())
    domain.write()
    key = domain.chunk_key(number, (1,))
    broken_chunk(kind, bucket.folder / key)
    code, document = told("check", bucket.folder)
    faults = [(fault["path"], fault["chunk"], fault["cause"], fault["key"]) for fault in document["faults"]]
    assert (code, document["chunks"], faults) == (1, 1, [("/x", 1, "unreadable", key)])
    assert told("info", bucket.folder)[1]["totals"]["stored_chunks"] == 2
    code, document = told("explain", bucket.folder / "file.h5", "/x")
    assert (code, [chunk["state"] for chunk in document["chunks"]]) == (1, ["stored", "unreadable"])
    text = h5mount("explain", bucket.folder / "file.h5", "/x").stdout
    assert "1 chunk is read" in text and "1 unreadable" in text and "0 never written" in text
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount, h5py.File(mount / "file.h5") as file:
        assert list(file["x"][:1024]) == list(range(1024))
        with pytest.raises(OSError):
            file["x"].__getitem__(slice(1024, None))


def test_explain_names_the_objects_of_a_read(stores):
    """Chunks by coordinates, with their keys, lengths and states, as they lie on disk."""
    code, document = told("explain", stores["1.0.2"] / "home/admin/hand.h5", "/gz_uncompressed_chunk[30:70:2, :40]")
    assert (code, document["selected"], document["chunk_count"]) == (0, 20 * 40, 6)
    assert [chunk["chunk"] for chunk in document["chunks"]] == [[i, j] for i in range(3) for j in range(2)]
    assert sum(chunk["elements"] for chunk in document["chunks"]) == 20 * 40
    for chunk in document["chunks"]:
        path = chunk["object"].removeprefix("file://")
        assert chunk["state"] == "stored"
        assert (chunk["offset"], chunk["length"]) == (0, os.stat(path).st_size)
        assert path.endswith("/" + "_".join(map(str, chunk["chunk"])))


def test_explain_leads_into_linked_files(stores):
    """A linked chunk is a range of the file it lies in."""
    file = stores["0.9.4"] / "home/admin/linked.h5"
    code, document = told("explain", file, "/contig[3]")
    chunk = document["chunks"][0]
    assert (code, chunk["state"], chunk["length"]) == (0, "linked", 28000)
    assert chunk["object"] == "file://%s" % (stores["0.9.4"] / "files/linksrc.h5")
    code, document = told("explain", file, "/partial")
    states = {chunk["state"] for chunk in document["chunks"]}
    assert (code, len(document["chunks"]), states) == (0, 20, {"linked", "absent"})
    code, document = told("explain", "--limit", 3, file, "/partial")
    assert (document["chunk_count"], len(document["chunks"])) == (20, 3)


@pytest.mark.parametrize("code, arguments", [
    (2, ["--no-such-flag"]), (2, ["explain", "FILE", "/x[0"]), (2, ["lss", "x"]), (2, ["ls", ""]),
    (3, ["explain", "FOLDER", "/x"]), (4, ["unmount", "/no/such/mountpoint"]), (0, ["help"]), (0, ["help", "ls"]),
 (2, ["ls"]), (2, ["ls", "ftp://host/x"]), (2, ["ls", "s3://"]),
    (2, ["ls", "s3://bucket", "--endpoint", "host:9000"]), (2, ["ls", "s3://bucket", "--profile", "no-such-profile"]),
    (3, ["ls", "s3://bucket", "--endpoint", "http://127.0.0.1:1/bucket"]),
    (2, ["mount", "STORE", "/no/such/mountpoint", "--request-timeout", "0"]),
    (2, ["mount", "--config", "/no/such/file"]), (2, ["explain", "FILE", "/x[0, 0, 0, 0, 0, 0]"]),
    (3, ["ls", "/no/such/place"]), (3, ["info", "FOLDER/absent.h5"]), (3, ["check", "/"]),
    (3, ["explain", "FILE", "/absent"]), (4, ["unmount", "FOLDER"]), (4, ["STORE", "/no/such/mountpoint"]),
    (0, ["--help"]), (0, ["check", "--help"]), (0, ["--version"])], ids=lambda value: str(value)[:40])
def test_exit_codes(code, arguments, tmp_path):
    """What a script learns from a command that could not do its work; the reason is on standard error."""
    bucket = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(bucket, "folder/file.h5")
    domain.dataset("x", writer.I32, (4,), (4,))
    domain.write()
    names = {"FILE": bucket.folder / "folder/file.h5", "STORE": bucket.folder, "FOLDER": bucket.folder / "folder"}
    words = []
    for word in arguments:
        first, slash, rest = word.partition("/")
        words.append(str(names[first]) + slash + rest if first in names else word)
    done = h5mount(*words)
    assert done.returncode == code, done.stderr
    assert bool(done.stdout) == (code == 0) and bool(done.stderr) == (code != 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_says_where_it_is_and_leaves_nothing(number, tmp_path):
    """The document comes when the mount answers; a signal takes mount and store away."""
    process = subprocess.Popen([mounting.binary(), "demo", "--json"], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.rstrip() == "}":
                break
        document = json.loads(text)
        assert document.keys() == {"store", "folder", "mountpoint", "files"}
        assert sorted(os.listdir(document["mountpoint"])) == document["files"]
        assert subprocess.run(["ncdump", "-h", document["mountpoint"] + "/weather.nc"], stdout=subprocess.DEVNULL,
                              check=False).returncode == 0
        process.send_signal(number)
        assert process.wait(mounting.STOP) == 0
        assert not mounting.is_mounted(document["mountpoint"])
        assert not list(tmp_path.iterdir())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
            time.sleep(0.1)
            mounting.unmount(document["mountpoint"])
        process.stdout.close()


def test_what_a_service_refuses_is_told_by_its_cause(stores):
    """A command that could not do its work exits 3; one that could do a part exits 1 and names the rest by cause."""
    with s3.S3({"bucket": stores["1.0.2"]}) as server:
        reach = s3.flags(server.endpoint)
        place = "s3://bucket/home/admin"
        files = len(told("ls", place, *reach)[1]["entries"])
        code, document = told("info", place, *reach)
        assert (code, document["totals"]["files"], document["unreadable"]) == (0, files, [])
        server.rules({"prefix": "db/", "actions": ["get"], "code": "AccessDenied"})
        code, document = told("info", place, *reach)
        assert (code, document["totals"]["files"]) == (1, files) and document["unreadable"]
        assert all("access denied" in line["reason"] for line in document["unreadable"])
        code, document = told("check", place, *reach)
        causes = {fault["cause"] for fault in document["faults"]}
        assert code == 1 and causes == {"forbidden"}
        server.rules({"code": "AccessDenied"})
        for command in ("ls", "info", "check"):
            done = h5mount(command, "--json", place, *reach)
            assert (done.returncode, done.stdout) == (3, "") and "access denied" in done.stderr, command
        server.rules()
        done = h5mount("ls", "s3://absent/home", *reach)
        assert done.returncode == 3 and "no such bucket" in done.stderr


def test_a_store_within_a_bucket(stores, tmp_path):
    """`--store-root` as a prefix or a URL: the same names and objects as from the bucket itself."""
    (tmp_path / "team").mkdir()
    (tmp_path / "team/a").symlink_to(stores["1.0.2"])
    with s3.S3({"bucket": stores["1.0.2"], "outer": tmp_path}) as server:
        reach = s3.flags(server.endpoint)
        plain = told("ls", "-lr", "s3://bucket/home/admin/hand.h5", *reach)[1]["objects"]
        for root in ("team/a", "s3://outer/team/a/"):
            code, document = told("ls", "-lr", "s3://outer/team/a/home/admin/hand.h5", "--store-root", root, *reach)
            assert code == 0 and document["objects"] == plain


def test_ls_goes_on_into_a_file_wherever_it_is(stores):
    """`FILE/GROUP` in a bucket and on a web server; what is in no file is not there."""
    file = stores["1.0.2"] / "home/admin/links.h5"
    whole = told("ls", "-r", file)[1]["objects"]
    group = next(line["path"] for line in whole if line["kind"] == "group" and
                 any(other["path"].startswith(line["path"] + "/") for other in whole))
    wanted = told("ls", str(file) + group)[1]["objects"]
    with s3.S3({"bucket": stores["1.0.2"]}) as bucket, web.Server(stores["1.0.2"]) as server:
        for place, reach in (("s3://bucket", s3.flags(bucket.endpoint)), (server.url, [])):
            name = place + "/home/admin/links.h5"
            code, document = told("ls", name + group, *reach)
            assert (code, document["objects"]) == (0, wanted), place
            assert document["source"] == name
            done = h5mount("ls", name + "/none", *reach)
            assert done.returncode == 3 and "no such object" in done.stderr, place
        done = h5mount("ls", "s3://bucket/home/absent.h5/group", *s3.flags(bucket.endpoint))
        assert done.returncode == 3 and "no such file or folder" in done.stderr, done.stderr


@pytest.mark.parametrize("style", ["good", "plain"])
def test_what_can_be_known_of_a_web_server_is_told_without_listings(style, stores):
    """`info`, `check` and `explain` of a file by its path, also where the server knows no ranges, as the mount reads it."""
    file = stores["1.0.2"] / "home/admin/hand.h5"
    on_disk = told("info", file)[1]
    with web.Server(stores["1.0.2"], style) as server:
        url = server.url + "/home/admin/hand.h5"
        code, document = told("info", url)
        totals = document["totals"]
        assert (code, totals["unlisted_files"], totals["stored_objects"]) == (0, 1, 0)
        assert all(totals[word] == on_disk["totals"][word] for word in ("datasets", "groups", "chunks", "logical_bytes"))
        assert {line["stored_chunks"] for line in document["datasets"]} == {None}
        text = h5mount("info", url).stdout
        assert "cannot be listed" in text and "? of %d stored" % totals["chunks"] in text
        code, document = told("check", url)
        wanted = told("check", file)[1]
        assert document["chunks"] == wanted["chunks"] > 0 and len(document["faults"]) == len(wanted["faults"])
        assert any("cannot be listed" in note for note in document["notes"])
        path = next(line["path"] for line in on_disk["datasets"] if (line["stored_chunks"] or 0) > 0 and
                    line["path"] not in FORBIDDEN)
        code, document = told("explain", url, path)
        states = [chunk["state"] for chunk in document["chunks"]]
        assert (code, states) == (0, [chunk["state"] for chunk in told("explain", file, path)[1]["chunks"]])
        assert "stored" in states


def test_check_names_faults_in_the_same_order_from_run_to_run(stores, tmp_path):
    """Many broken chunks, read many at a time."""
    store = tmp_path / "store"
    shutil.copytree(stores["1.0.2"], store)
    broken = 0
    for path in sorted((store / "db").rglob("*")):
        if path.is_file() and not path.name.endswith(".json"):
            path.write_bytes(b"broken" * (1 + broken % 7))
            broken += 1
    with s3.S3({"bucket": store}) as server:
        for place, reach in ((store / "home/admin/hand.h5", []),
                             ("s3://bucket/home/admin/hand.h5", s3.flags(server.endpoint))):
            runs = [told("check", place, *reach)[1]["faults"] for _ in range(3)]
            assert len(runs[0]) > 20 and runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("command", ["ls", "info", "check"])
def test_a_name_that_is_not_there(command, stores):
    """Is told so, however deep it is and whatever lies above it."""
    for name in ("home/admin/nope", "home/nope.h5", "home/admin/nope/x/y"):
        done = h5mount(command, stores["1.0.2"] / name)
        assert done.returncode == 3, (name, done.stdout[:300])
        assert "nope" in done.stderr


def test_ls_of_a_group_of_an_hdf5_file(tmp_path):
    """On disk, as in a bucket; below a file that is none there is nothing."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/data"] = numpy.arange(10)
    done = h5mount("ls", "--store-root", tmp_path, tmp_path / "a.h5/group")
    assert done.returncode == 0 and "data" in done.stdout, done.stderr
    (tmp_path / "notes.txt").write_text("x", encoding="ascii")
    done = h5mount("ls", "--store-root", tmp_path, tmp_path / "notes.txt/group")
    assert done.returncode == 3, done.stdout
