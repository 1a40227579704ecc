"""Certificates for TLS on the loopback: an authority made on the spot, and a server's certificate signed by it."""

import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificate:
    """Paths of PEM files: the authority's certificate, the server's chain and its key."""

    def __init__(self, folder, name="localhost", days=2):
        folder = pathlib.Path(folder)
        self.authority, self.chain, self.key = (folder / part for part in ("authority.pem", "chain.pem", "key.pem"))
        authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        now = datetime.datetime.now(datetime.timezone.utc)

        def build(subject, issuer, public, signer, authority):
            named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
            builder = (x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1]).public_key(public)
                       .serial_number(x509.random_serial_number())
                       .not_valid_before(now - datetime.timedelta(days=3))
                       .not_valid_after(now + datetime.timedelta(days=days))
                       .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
            if not authority:
                builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            return builder.sign(signer, hashes.SHA256())

        own = build("test authority", "test authority", authority_key.public_key(), authority_key, True)
        server = build(name, "test authority", server_key.public_key(), authority_key, False)
        self.authority.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        self.chain.write_bytes(server.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
