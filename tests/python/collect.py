"""Asks a running HSDS for everything it knows of a domain and prints it, one JSON object a line.

Runs under the interpreter that the server was installed for.  The form is that of `tests/data/hsds/expected`.

    collect.py about           the server's own state
    collect.py flush DOMAIN    has everything stored that is still only in memory
    collect.py /home/admin/x.h5 [PATH...]   all of a domain; values but of these paths (a server may try long in vain)
"""

import hashlib
import json
import os
import sys
import urllib.parse

import requests_unixsocket

ENDPOINT = os.environ["HS_ENDPOINT"]
KINDS = {"g": ("groups", "group"), "d": ("datasets", "dataset"), "t": ("datatypes", "datatype")}


class Client:
    """Requests about one domain."""

    def __init__(self, domain=None, skip=()):
        self.skip = skip
        self.session = requests_unixsocket.Session()
        self.session.auth = (os.environ["HS_USERNAME"], os.environ["HS_PASSWORD"])
        self.params = {"bucket": os.environ["HS_BUCKET"]}
        if domain:
            self.params["domain"] = domain

    def get(self, path, method="get", binary=False, **params):
        """One request; JSON as Python's own reader takes it (NaN included), or bytes, or the status where it fails."""
        headers = {"Accept": "application/octet-stream"} if binary else {}
        answer = self.session.request(method, ENDPOINT + path, params={**self.params, **params}, headers=headers,
                                      timeout=60)
        if answer.status_code >= 400:
            return {"status": answer.status_code}
        return answer.content if binary else json.loads(answer.text or "{}")

    def lines(self):
        """Every object, depth first by name."""
        root = self.get("/")["root"]
        paths = {}
        yield from self.visit(root, "/", paths)

    def visit(self, number, path, paths):
        """An object and what hangs below it."""
        if number in paths:
            yield {"path": path, "same_as": paths[number]}
            return
        paths[number] = path
        collection, kind = KINDS[number[0]]
        what = self.get("/%s/%s" % (collection, number))
        line = {"id": number, "kind": kind, "path": path, "attributes": self.attributes(collection, number)}
        if kind == "dataset":
            line.update({key: what.get(key) for key in ("type", "shape", "layout", "creationProperties")})
            line["value"] = None if path in self.skip else self.value(number, what["shape"])
        elif kind == "datatype":
            line["type"] = what["type"]
        yield line
        if kind == "group":
            links = self.get("/groups/%s/links" % number, Limit=1000000)["links"]
            for link in sorted(links, key=lambda link: link["title"]):
                yield from self.link(link, ("" if path == "/" else path) + "/" + link["title"], paths)

    def link(self, link, path, paths):
        """What one link leads to."""
        if link["class"] == "H5L_TYPE_HARD":
            yield from self.visit(link["id"], path, paths)
        else:
            file = link.get("h5domain") or link.get("file")
            yield {"path": path, "kind": "link", "class": link["class"], "h5path": link["h5path"], "file": file}

    def attributes(self, collection, number):
        """All attributes with their values, by name."""
        found = {}
        listed = self.get("/%s/%s/attributes" % (collection, number), Limit=1000000)
        if "status" in listed:
            return listed
        for attribute in listed["attributes"]:
            name = attribute["name"]
            what = self.get("/%s/%s/attributes/%s" % (collection, number, urllib.parse.quote(name, safe="")))
            found[name] = {key: what.get(key) for key in ("type", "shape", "value")}
        return found

    def value(self, number, shape):
        """Digest, length and head of a dataset's value stream."""
        if shape["class"] == "H5S_NULL":
            return None
        if shape["class"] == "H5S_SIMPLE" and 0 in shape["dims"]:
            stream = b""
        else:
            stream = self.get("/datasets/%s/value" % number, binary=True)
            if isinstance(stream, dict):
                return stream
        return {"status": 200, "len": len(stream), "sha256": hashlib.sha256(stream).hexdigest(),
                "head": stream[:32].hex()}


def main():
    """Answers one command line."""
    what = sys.argv[1]
    if what == "about":
        try:
            print(json.dumps(Client().get("/about")))
        except OSError:
            print("not yet")
    elif what == "flush":
        client = Client(sys.argv[2])
        print(client.get("/", method="put", flush=1))
    else:
        for line in Client(what, sys.argv[2:]).lines():
            print(json.dumps(line))


if __name__ == "__main__":
    main()
