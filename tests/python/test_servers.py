"""The servers of `tools/lab` themselves: the S3 in memory beside moto, call by call, and what only it and the proxy do."""

import datetime
import http.client
import json
import time

import boto3
import botocore.config
import botocore.exceptions
import pytest
from servers.certificates import Certificate
from servers.moto import Moto
from servers.proxy import Proxy
from servers.s3 import S3

BODY = bytes(range(256)) * 40


def client(server, key="TESTKEY", region="us-east-1", token=None):
    """A client of a server, which repeats nothing."""
    config = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=server.endpoint, region_name=region, aws_access_key_id=key,
                        aws_secret_access_key="secret", aws_session_token=token, config=config)


def outcome(call, *names, **arguments):
    """What a call gives: some of its fields, or the status and code of its error."""
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return {name: answer.get(name) for name in ("status", *names)}


@pytest.fixture(scope="module")
def pair():
    """Both servers, loaded alike."""
    with S3() as ours, Moto() as theirs:
        clients = client(ours), client(theirs)
        for one in clients:
            one.create_bucket(Bucket="bucket")
            for key in ("a", "b c/ä&<1>", "b c/2", "d/e/f", "d/g", "z+%"):
                one.put_object(Bucket="bucket", Key=key, Body=BODY)
        yield ours, clients


READS = [
    {}, {"Range": "bytes=10-19"}, {"Range": "bytes=10230-99999"}, {"Range": "bytes=-7"}, {"Range": "bytes=10239-"},
    {"Range": "bytes=10240-"}, {"IfMatch": "ETAG"}, {"IfMatch": '"other"'}, {"IfNoneMatch": "ETAG"},
    {"IfNoneMatch": '"other"'}, {"Range": "bytes=0-9", "IfMatch": "ETAG"}, {"Range": "bytes=0-9", "IfMatch": '"other"'},
]


@pytest.mark.parametrize("conditions", READS, ids=json.dumps)
def test_reads_as_moto_does(pair, conditions):
    """GET and HEAD with ranges and conditions, of an object and of none."""
    _, clients = pair
    etag = clients[1].head_object(Bucket="bucket", Key="a")["ETag"]
    conditions = {name: etag if value == "ETAG" else value for name, value in conditions.items()}
    for key in ("a", "missing"):
        found = [outcome(one.get_object, "Body", "ETag", "ContentRange", "ContentLength", Bucket="bucket", Key=key, **conditions)
                 for one in clients]
        assert found[0] == found[1]
    if "Range" not in conditions:
        found = [outcome(one.head_object, "ETag", "ContentLength", Bucket="bucket", Key="a", **conditions) for one in clients]
        assert found[0] == found[1]


@pytest.mark.parametrize("prefix", ["", "b", "d/", "none"])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("page", [1, 2, 1000])
def test_lists_as_moto_does(pair, prefix, delimiter, page):
    """Keys, prefixes and pages, in both forms of listing."""
    _, clients = pair
    for form in ("list_objects_v2", "list_objects"):
        found = []
        for one in clients:
            pages = one.get_paginator(form).paginate(Bucket="bucket", Prefix=prefix, Delimiter=delimiter,
                                                     PaginationConfig={"PageSize": page})
            keys, prefixes = [], []
            for each in pages:
                keys += [(entry["Key"], entry["Size"], entry["ETag"]) for entry in each.get("Contents", [])]
                prefixes += [entry["Prefix"] for entry in each.get("CommonPrefixes", [])]
            # moto repeats prefixes in small pages of the old form.
            found.append((keys, prefixes if form.endswith("v2") else sorted(set(prefixes))))
        assert found[0] == found[1]
    after = [outcome(one.list_objects_v2, "KeyCount", "IsTruncated", Bucket="bucket", StartAfter="b c/2") for one in clients]
    assert after[0] == after[1]


def test_writes_as_moto_does(pair):
    """Conditional puts, copies, uploads in parts, deletes; buckets that are not there."""
    _, clients = pair
    found = []
    for one in clients:
        put = dict(Bucket="bucket", Key="new", Body=b"one")
        steps = [outcome(one.put_object, "ETag", IfNoneMatch="*", **put),
                 outcome(one.put_object, "ETag", IfNoneMatch="*", **put)]
        etag = one.head_object(Bucket="bucket", Key="new")["ETag"]
        steps += [outcome(one.put_object, "ETag", IfMatch=etag, Bucket="bucket", Key="new", Body=b"two"),
                  outcome(one.put_object, "ETag", IfMatch=etag, **put),
                  outcome(one.get_object, "Body", Bucket="bucket", Key="new"),
                  outcome(one.copy_object, Bucket="bucket", Key="copy", CopySource="bucket/new"),
                  outcome(one.get_object, "Body", Bucket="bucket", Key="copy")]
        upload = one.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
        parts = [{"PartNumber": number, "ETag": one.upload_part(
            Bucket="bucket", Key="parts", UploadId=upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in ((1, bytes(5 << 20)), (2, b"end"))]
        steps += [outcome(one.complete_multipart_upload, "ETag", Bucket="bucket", Key="parts", UploadId=upload,
                          MultipartUpload={"Parts": parts}),
                  outcome(one.head_object, "ContentLength", "ETag", Bucket="bucket", Key="parts"),
                  outcome(one.delete_objects, Bucket="bucket", Delete={"Objects": [{"Key": "parts"}, {"Key": "copy"}]}),
                  outcome(one.delete_object, Bucket="bucket", Key="new"),
                  outcome(one.head_object, Bucket="bucket", Key="new"),
                  outcome(one.list_objects_v2, Bucket="missing"),
                  outcome(one.head_bucket, Bucket="missing"),
                  outcome(one.get_object, Bucket="missing", Key="x")]
        found.append(steps)
    assert found[0] == found[1]


@pytest.fixture
def server(tmp_path):
    """A server of its own for each test, with one bucket made of a folder."""
    folder = tmp_path / "tree"
    (folder / "db").mkdir(parents=True)
    (folder / "db/x").write_bytes(b"x" * 100)
    (folder / "large").write_bytes(bytes(3 << 20) + b"end")
    with S3({"bucket": folder}) as running:
        yield running


def code(call, **arguments):
    """Status and code of a refusal; None where there is none."""
    found = outcome(call, **arguments)
    return found if isinstance(found, tuple) else None


def test_a_folder_is_a_bucket(server):
    """Small files and large ones, with times that can be set."""
    one = client(server)
    assert [entry["Key"] for entry in one.list_objects_v2(Bucket="bucket")["Contents"]] == ["db/x", "large"]
    assert one.get_object(Bucket="bucket", Key="large", Range="bytes=-5")["Body"].read() == b"\0\0end"
    server.object("bucket", "db/x", modified=1500000000)
    told = one.head_object(Bucket="bucket", Key="db/x")["LastModified"]
    assert told == datetime.datetime(2017, 7, 14, 2, 40, tzinfo=datetime.timezone.utc)
    assert one.list_objects_v2(Bucket="bucket")["Contents"][0]["LastModified"] == told


def test_policies(server):
    """Rules refuse whom they meet, with the status and the code of S3."""
    one = client(server)
    server.rules({"bucket": "bucket", "actions": ["list"], "code": "AccessDenied"})
    assert code(one.list_objects_v2, Bucket="bucket") == (403, "AccessDenied")
    assert code(one.get_object, Bucket="bucket", Key="missing") == (403, "AccessDenied")
    assert code(one.head_object, Bucket="bucket", Key="missing") == (403, "403")
    assert code(one.get_object, Bucket="bucket", Key="db/x") is None
    server.rules({"prefix": "db/", "actions": ["get"], "code": "AccessDenied", "message": "no kms:Decrypt"})
    with pytest.raises(botocore.exceptions.ClientError, match="no kms:Decrypt"):
        one.get_object(Bucket="bucket", Key="db/x")
    assert code(one.get_object, Bucket="bucket", Key="missing") == (404, "NoSuchKey")
    server.rules()
    server.object("bucket", "db/x", storage_class="GLACIER")
    assert code(one.get_object, Bucket="bucket", Key="db/x") == (403, "InvalidObjectState")
    assert one.head_object(Bucket="bucket", Key="db/x")["StorageClass"] == "GLACIER"
    with pytest.raises(RuntimeError, match="unknown field"):
        server.rules({"bukket": "b"})


def test_who_asks(server):
    """Unknown keys, expired tokens, wrong clocks, nobody."""
    server.rules({"token": "old", "code": "ExpiredToken"})
    assert code(client(server, token="old").get_object, Bucket="bucket", Key="db/x") == (400, "ExpiredToken")
    assert code(client(server, token="new").get_object, Bucket="bucket", Key="db/x") is None
    server.settings(access_keys=["TESTKEY"])
    assert code(client(server, key="OTHER").get_object, Bucket="bucket", Key="db/x") == (403, "InvalidAccessKeyId")
    server.settings(clock_ahead=3600)
    assert code(client(server).get_object, Bucket="bucket", Key="db/x") == (403, "RequestTimeTooSkewed")
    server.settings()
    server.bucket("bucket", public=False)
    connection = server.connection()
    connection.request("GET", "/bucket/db/x")
    answer = connection.getresponse()
    assert answer.status == 403 and b"<Code>AccessDenied</Code>" in answer.read()
    connection.close()
    assert code(client(server).get_object, Bucket="bucket", Key="db/x") is None


def test_regions(server):
    """A bucket elsewhere says where, and answers whoever signs for there."""
    server.bucket("far", region="eu-west-1")
    client(server, region="eu-west-1").put_object(Bucket="far", Key="k", Body=b"far")
    connection = server.connection()
    connection.request("HEAD", "/far")
    answer = connection.getresponse()
    answer.read()
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (200, "eu-west-1")
    scope = "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    connection.request("GET", "/far/k", headers={"Authorization": scope, "x-amz-date": now})
    answer = connection.getresponse()
    text = answer.read()
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (301, "eu-west-1")
    assert b"<Code>PermanentRedirect</Code>" in text and b"<Bucket>far</Bucket>" in text
    connection.close()
    # botocore finds the region by itself.
    assert client(server).get_object(Bucket="far", Key="k")["Body"].read() == b"far"


def test_the_ledger_counts_round_trips(server):
    """Requests one after the other are a chain; requests at once are one."""
    import concurrent.futures
    server.settings(delay_ms=20)
    one = client(server)
    for _ in range(5):
        one.head_object(Bucket="bucket", Key="db/x")
    stats = server.stats()
    assert (stats["requests"], stats["chain"], stats["by"]) == (5, 5, {"HEAD": 5})
    assert stats["wall_ms"] >= 100
    server.reset()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: one.get_object(Bucket="bucket", Key="db/x")["Body"].read(), range(8)))
    stats = server.stats()
    assert stats["requests"] == 8 and stats["bytes_down"] == 800 and stats["chain"] < 8
    assert stats["peak_in_flight"] > 1
    entry = server.requests()[0]
    assert (entry["method"], entry["bucket"], entry["key"], entry["status"]) == ("GET", "bucket", "db/x", 200)


def fetch(proxy, path="/bucket/db/x", method="GET"):
    """One request on a connection of its own: status, body, headers."""
    connection = proxy.connection()
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_a_proxy_without_faults_changes_nothing(server):
    """boto3 through it: reads, writes, listings."""
    with Proxy(server.port) as proxy:
        one = client(proxy)
        one.put_object(Bucket="bucket", Key="new", Body=BODY)
        assert one.get_object(Bucket="bucket", Key="new", Range="bytes=5-9")["Body"].read() == BODY[5:10]
        assert len(one.list_objects_v2(Bucket="bucket")["Contents"]) == 3
        assert one.get_object(Bucket="bucket", Key="large")["Body"].read()[-3:] == b"end"
        assert proxy.stats()["by"] == {"PUT": 1, "GET": 2, "LIST": 1}


def test_faults_come_as_often_as_was_said(server):
    """Errors, HTML, cut, stalled and short bodies, wrong dates, one at a time."""
    with Proxy(server.port, fail_every=3, fail_status=429, retry_after=2) as proxy:
        found = [fetch(proxy) for _ in range(6)]
        assert [status for status, _, _ in found] == [200, 200, 429] * 2
        assert found[2][2]["Retry-After"] == "2"
        proxy.settings(html_every=2)
        assert [body[:15] for _, body, _ in (fetch(proxy), fetch(proxy))] == [b"x" * 15, b"<!DOCTYPE html>"]
        proxy.settings(cut_every=1, cut_after=10)
        before = proxy.stats()["bytes_down"]
        with pytest.raises(http.client.IncompleteRead) as cut:
            fetch(proxy)
        assert cut.value.partial == b"x" * 10
        # What did not leave is not counted.
        assert proxy.stats()["bytes_down"] == before + 10
        proxy.settings(short_every=1)
        status, body, headers = fetch(proxy)
        assert (status, body, headers["Content-Length"]) == (200, b"x" * 50, "50")
        proxy.settings(stall_every=1, stall_ms=300)
        begun = time.monotonic()
        assert fetch(proxy)[1] == b"x" * 100 and time.monotonic() - begun >= 0.3
        proxy.settings(date_ahead=7200)
        seen = datetime.datetime.strptime(fetch(proxy)[2]["Date"], "%a, %d %b %Y %H:%M:%S %Z")
        ahead = seen - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        assert abs(ahead.total_seconds() - 7200) < 60
        assert proxy.stats()["faults"] == {"fail": 2, "html": 1, "cut": 1, "stall": 1, "short": 1}


def test_a_proxy_goes_away_and_comes_back(server):
    """Connections end, new ones are refused, and then the same address serves again."""
    with Proxy(server.port) as proxy:
        proxy.away(1)
        time.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            fetch(proxy)
        time.sleep(1.5)
        assert fetch(proxy)[0] == 200


def test_a_proxy_speaks_tls(server, tmp_path):
    """Only who knows the authority is served."""
    import ssl
    with Proxy(server.port, Certificate(tmp_path)) as proxy:
        assert fetch(proxy)[1] == b"x" * 100
        with pytest.raises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection("localhost", proxy.port, timeout=10).request("GET", "/bucket/db/x")
