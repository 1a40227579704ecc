"""moto's S3, written by others: a judge of what S3 means by an answer.

    moto.py        serves on a free port of the loopback, prints its address, and serves until it is ended
"""

import concurrent.futures
import os
import pathlib
import sys

from .process import Server


class Moto(Server):
    """A running moto; any credentials do."""

    def __init__(self, max_keys=None):
        self.max_keys = max_keys
        # The module is found from the folder above this one.
        super().__init__(sys.executable, "-m", "servers.moto", *([max_keys] if max_keys else []),
                         folder=pathlib.Path(__file__).resolve().parents[1])

    @property
    def endpoint(self):
        """Its URL."""
        return "http://127.0.0.1:%d" % self.port

    def client(self):
        """A client of it."""
        import boto3
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="TESTKEY",
                            aws_secret_access_key="secret")

    def load(self, bucket, folder):
        """Makes a bucket of the files below a folder."""
        client = self.client()
        client.create_bucket(Bucket=bucket)
        folder = pathlib.Path(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]

        def put(path):
            client.put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes())

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(put, files))
        return len(files)

    def save(self, bucket, folder):
        """Writes every object of a bucket to a file below a folder."""
        client = self.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", []):
                path = pathlib.Path(folder) / entry["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())


def main(arguments):
    """Serves until it is ended."""
    # Before moto is imported: the most keys that a page of a listing has.
    if arguments:
        os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = arguments[0]
    import logging
    from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print("%s:%d" % (host, port), flush=True)
    server._thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
