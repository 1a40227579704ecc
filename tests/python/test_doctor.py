"""`h5mount doctor` on a good, a forbidden and a missing bucket; the transcripts lie in target/test-logs.

The good one also signs its requests, is written to, and lies within a bucket; a host that does not answer and a store on
disk are looked at too.
"""

import json
import os
import subprocess

import mounting
import pytest
from servers import s3, web
from servers.proxy import Proxy

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
    assert verdicts(found, "service", "clock", "list") == ["ok", "ok", "fail"]
    assert "access denied" in found["list"]["said"] and "right" in found["list"]["remedy"]
    # One cause is told once: the others only say where.
    assert verdicts(found, "SOURCE", "HSDS store") == ["skip", "skip"]
    assert all("told of `list`" in found[topic]["said"] for topic in ("SOURCE", "HSDS store"))
    assert json.dumps(found).count("access denied") == 1


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
    assert failed == ["list"] and json.dumps(found).count("no such bucket") == 1, found
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


def test_a_page_in_place_of_a_service_is_told_at_once(server):
    """One request: whoever answers so does not become a service by being asked again."""
    with Proxy(server.port, html_every=1) as proxy:
        code, found = doctor(proxy, "s3://good/home")
        assert (code, found["service"]["verdict"], proxy.stats()["requests"]) == (1, "fail", 1), found
    assert "web page" in found["service"]["said"] and "list" not in found


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


def test_source_is_looked_at_before_anything_else(server, stores):
    """No other prefix is asked for before SOURCE's own: whoever may read only that sees what is refused."""
    for source in ("home/admin/hand.h5", "home/admin"):
        server.reset()
        doctor(server, "s3://good/" + source)
        asked = [request["key"] for request in server.requests()]
        first = next(number for number, key in enumerate(asked) if key.startswith("db/"))
        assert first > 0 and all(key.startswith(source) for key in asked[:first]), asked
    # Of a file, its own data are read, not any.
    root = json.loads((stores["1.0.2"] / "home/admin/hand.h5/.domain.json").read_text())["root"]
    _, found = doctor(server, "s3://good/home/admin/hand.h5")
    assert "db/%s-%s" % tuple(root.split("-")[1:3]) in found["read"]["said"], found["read"]


def test_a_file_of_a_mount_says_what_to_look_at(server, tmp_path):
    """`--config`: SOURCE and how it is reached; what is typed beats it."""
    file = tmp_path / "mount.toml"
    file.write_text("source = 's3://good/home'\n[clouds]\nendpoint = '%s'\nno-sign-request = true\n" % server.endpoint)
    command = [mounting.binary(), "doctor", "--json", "--config", str(file)]
    for more, wanted in ([], "s3://good/home"), (["s3://good/home/admin"], "s3://good/home/admin"):
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=LIMIT, check=False)
        document = json.loads(done.stdout)
        assert (done.returncode, document["source"]) == (0, wanted), done
    file.write_text("sauce = 's3://good'\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 2 and "line 1" in done.stderr


@pytest.mark.parametrize("style", ["good", "plain"])
def test_a_web_server(style, stores):
    """A file by its path; one that knows no ranges is read all the same, and its lack is told."""
    with web.Server(stores["1.0.2"], style) as running:
        done = subprocess.run([mounting.binary(), "doctor", "--json", running.url + "/home/admin/hand.h5"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
    document = json.loads(done.stdout)
    found = {finding["topic"]: finding for finding in document["findings"]}
    assert done.returncode == 0 and verdicts(found, "SOURCE", "read", "rate") == ["ok", "ok", "ok"], found
    assert ("ranges" in found) == (style == "plain")
    assert "ends each connection" not in found["latency"]["said"]


def test_a_server_that_ends_each_connection_is_told_beside_its_latency(stores):
    """Otherwise the latency seems two or three times what the line has."""

    class Ending(web.Handler):
        """As before keep-alive."""

        protocol_version = "HTTP/1.0"

    with web.Server(stores["1.0.2"]) as running:
        running.RequestHandlerClass = Ending
        done = subprocess.run([mounting.binary(), "doctor", "--json", running.url + "/home/admin/hand.h5"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
    found = {finding["topic"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert "ends each connection" in found["latency"]["said"], found
