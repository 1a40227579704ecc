"""The proxy that injects faults: see `tools/lab/src/proxy`."""

import contextlib
import json
import ssl

from .process import ASK, Server, lab_binary


class Proxy(Server):
    """A proxy before another server, with faults that can be set at any time."""

    def __init__(self, upstream, certificate=None, **settings):
        self.certificate = certificate
        tls = ["--certificate", certificate.chain, "--key", certificate.key] if certificate else []
        super().__init__(lab_binary("latproxy"), "127.0.0.1:%d" % upstream, "--settings", json.dumps(settings), *tls)

    @property
    def endpoint(self):
        """Its URL; a certificate is made for a name, not for an address."""
        return "https://localhost:%d" % self.port if self.certificate else "http://127.0.0.1:%d" % self.port

    def connection(self):
        """A connection for the test's own requests."""
        import http.client
        if self.certificate is None:
            return super().connection()
        context = ssl.create_default_context(cafile=str(self.certificate.authority))
        return http.client.HTTPSConnection("localhost", self.port, timeout=ASK, context=context)

    def away(self, seconds):
        """Ends all connections and refuses new ones for so long; returns at once."""
        self.control("PUT", "/__away", {"ms": int(seconds * 1000)})


@contextlib.contextmanager
def before(server, **settings):
    """A proxy before a server, for the length of a `with`."""
    with Proxy(server.port, **settings) as proxy:
        yield proxy
