"""The S3 in memory: buckets of folders, regions, policies, a ledger. See `tools/lab/src/s3`."""

from .process import Server, lab_binary

# Credentials that a mount of these tests signs with, unless a test says otherwise.
KEYS = {"AWS_ACCESS_KEY_ID": "TESTKEY", "AWS_SECRET_ACCESS_KEY": "secret"}
# A machine's own settings must not decide a test.
BARE = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials", "AWS_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1,localhost"}


class S3(Server):
    """A running server; its buckets are made of folders."""

    def __init__(self, buckets=None, delay_ms=0):
        trees = [part for name, folder in (buckets or {}).items() for part in ("--tree", "%s=%s" % (name, folder))]
        super().__init__(lab_binary("mems3"), "--delay-ms", delay_ms, *trees)

    @property
    def endpoint(self):
        """Its URL."""
        return "http://127.0.0.1:%d" % self.port

    def bucket(self, name, **about):
        """Makes or changes a bucket: `region`, `public`, `folder`."""
        self.control("PUT", "/__bucket", {"name": name, **about})

    def object(self, bucket, key, **about):
        """Changes what is told of an object: `modified` (seconds), `storage_class`."""
        self.control("PUT", "/__object", {"bucket": bucket, "key": key, **about})

    def rules(self, *rules):
        """The rules from now on."""
        self.control("PUT", "/__rules", list(rules))

    def put(self, bucket, key, value):
        """Writes an object."""
        connection = self.connection()
        connection.request("PUT", "/%s/%s" % (bucket, key), value)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 200, (answer.status, key)

    def delete(self, bucket, key):
        """Deletes an object."""
        connection = self.connection()
        connection.request("DELETE", "/%s/%s" % (bucket, key))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 204, (answer.status, key)


def flags(endpoint):
    """Flags with which a mount reaches a public bucket of a server."""
    return ["--endpoint", endpoint, "--no-sign-request"]


def environment(**more):
    """The environment of a mount that signs; what is None is taken out."""
    return {name: value for name, value in {**BARE, **KEYS, **more}.items() if value is not None}
