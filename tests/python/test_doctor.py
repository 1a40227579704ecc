"""`h5mount doctor` on a good, a forbidden and a missing bucket; the transcripts lie in target/test-logs.

The good one also signs its requests, is written to, and lies within a bucket; a host that does not answer and a store on
disk are looked at too.
"""

import json
import os
import subprocess

import mounting
import pytest
from servers import s3

LIMIT = 120  # seconds for one look; one that waits for a service in vain gives up after 15 of them
LOGS = mounting.REPOSITORY / "target" / "test-logs"


@pytest.fixture(scope="module")
def server(stores):
    """Three buckets: `good` and `forbidden` hold the same store, `archived` refuses to read; `missing` is not there."""
    folder = stores["1.0.2"]
    with s3.S3({"good": folder, "forbidden": folder, "archived": folder}) as running:
        running.rules({"bucket": "forbidden", "code": "AccessDenied"},
                      {"bucket": "archived", "prefix": "db/", "actions": ["get"], "code": "InvalidObjectState"})
        yield running


def doctor(server, source, *flags, signed=False, name=None):
    """Exit code and findings by topic, and the transcript as a person reads it."""
    reach = ["--endpoint", server.endpoint] + ([] if signed else ["--no-sign-request"])
    command = [mounting.binary(), "doctor", source, *reach, *flags]
    bare = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = {**bare, **s3.environment(), "RUST_LOG": "off"}
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=LIMIT, check=False,
                          env=environment)
    assert told.stdout, told.stderr
    document = json.loads(told.stdout)
    assert document["failed"] == (told.returncode == 1)
    if name:
        text = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
        assert text.returncode == told.returncode
        LOGS.mkdir(parents=True, exist_ok=True)
        shown = "$ " + " ".join(["h5mount", *command[1:]])
        (LOGS / ("doctor-%s.txt" % name)).write_text("%s\n%s(exit code %d)\n" % (shown, text.stdout, text.returncode))
        for finding in document["findings"]:
            assert finding["topic"] in text.stdout
    return told.returncode, {finding["topic"]: finding for finding in document["findings"]}


def verdicts(findings, *topics):
    """The verdicts of these."""
    return [findings[topic]["verdict"] for topic in topics]


def test_a_good_bucket(server):
    """All is well, and each thing is told."""
    code, found = doctor(server, "s3://good/home", name="good")
    assert code == 0, found
    topics = ("service", "clock", "credentials", "list", "HSDS store", "SOURCE", "read", "conditional GET", "latency",
              "rate")
    assert verdicts(found, *topics) == ["ok"] * len(topics)
    assert found["conditional PUT"]["verdict"] == "skip"
    assert "not signed" in found["credentials"]["said"] and "folder" in found["SOURCE"]["said"]


def test_credentials_are_named_and_never_shown(server):
    """Whose they are and where they were found; the secret is in no line."""
    code, found = doctor(server, "s3://good/home/admin/hand.h5", signed=True)
    assert code == 0, found
    assert s3.KEYS["AWS_ACCESS_KEY_ID"] in found["credentials"]["said"]
    assert s3.KEYS["AWS_SECRET_ACCESS_KEY"] not in json.dumps(found)
    assert "file" in found["SOURCE"]["said"]


def test_writing_is_tried_only_where_asked_and_leaves_nothing(server):
    """`--write`: an object is written under both conditions and removed."""
    server.reset()
    doctor(server, "s3://good/home")
    assert not [request for request in server.requests() if request["method"] in ("PUT", "DELETE")]
    server.reset()
    code, found = doctor(server, "s3://good/home", "--write")
    assert (code, found["conditional PUT"]["verdict"]) == (0, "ok"), found
    puts = [request for request in server.requests() if request["method"] == "PUT"]
    assert len(puts) == 4
    connection = server.connection()
    connection.request("GET", "/good?list-type=2&prefix=home/.h5mount-doctor")
    assert b"<Key>" not in connection.getresponse().read()
    connection.close()


def test_a_forbidden_bucket(server):
    """The service is well; what it refuses fails, with what to do. Nothing is called missing."""
    code, found = doctor(server, "s3://forbidden/home", name="forbidden")
    assert code == 1
    assert verdicts(found, "service", "clock", "list", "SOURCE") == ["ok", "ok", "fail", "fail"]
    assert "access denied" in found["list"]["said"] and "right" in found["list"]["remedy"]
    assert "neither" not in found["SOURCE"]["said"]


def test_archived_objects(server):
    """They can be listed, and reading them says that they must be restored."""
    code, found = doctor(server, "s3://archived/home")
    assert code == 1
    assert verdicts(found, "list", "HSDS store", "SOURCE", "read") == ["ok", "ok", "ok", "fail"]
    assert "archive" in found["read"]["said"] and "restored" in found["read"]["remedy"]


def test_a_missing_bucket(server):
    """Named as such."""
    code, found = doctor(server, "s3://missing/home", name="missing")
    assert code == 1
    failed = [topic for topic, finding in found.items() if finding["verdict"] == "fail"]
    assert failed and "no such bucket" in json.dumps(found), found
    assert all(found[topic].get("remedy") for topic in failed)


def test_a_path_that_is_not_there(server):
    """The store is well, SOURCE is not."""
    code, found = doctor(server, "s3://good/home/absent.h5")
    assert (code, found["SOURCE"]["verdict"], found["read"]["verdict"]) == (1, "fail", "ok")


def test_a_store_within_a_bucket(server, stores):
    """`--store-root` with a prefix."""
    server.bucket("nested")
    for path in sorted(stores["1.0.2"].rglob("*")):
        if path.is_file() and path.stat().st_size < 10000:
            server.put("nested", "team/a/%s" % path.relative_to(stores["1.0.2"]), path.read_bytes())
    code, found = doctor(server, "s3://nested/team/a/home", "--store-root", "team/a")
    assert (code, *verdicts(found, "HSDS store", "SOURCE")) == (0, "ok", "ok"), found
    _, found = doctor(server, "s3://nested/team/a/home")
    assert found["HSDS store"]["verdict"] == "warn" and "--store-root" in found["HSDS store"]["remedy"]


def test_a_host_that_does_not_answer():
    """The service fails, and nothing else is asked of it."""

    class Nobody:
        """Nothing listens there: port 1 is privileged and unused."""

        endpoint = "http://127.0.0.1:1"

    code, found = doctor(Nobody, "s3://good/home")
    assert (code, found["service"]["verdict"]) == (1, "fail")
    assert "list" not in found and "--endpoint" in found["service"]["remedy"]


def test_this_machine_and_a_store_on_disk(stores):
    """Without SOURCE only the machine; exit codes 1 and 2 for a path that is not there and a URL that is none."""

    def run(*arguments):
        return subprocess.run([mounting.binary(), "doctor", *map(str, arguments)], capture_output=True, text=True,
                              timeout=LIMIT, check=False)

    machine = json.loads(run("--json").stdout)
    assert machine["source"] is None
    topics = {finding["topic"] for finding in machine["findings"]}
    assert topics == {"/dev/fuse", "fusermount3", "user_allow_other", "open files", "locked memory", "kernel"}
    done = run(stores["0.9.4"])
    assert done.returncode == 0 and "HSDS store" in done.stdout, done.stdout
    done = run("/no/such/store")
    assert done.returncode == 1 and "SOURCE" in done.stdout
    assert run("ftp://host/x").returncode == 2
