"""A certificate authority of the tests, and certificates of it, good ones and others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """An authority whose own certificate is in `file` (PEM)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
        certificate = (
            _builder(self._name, self._key, datetime.now(UTC) + timedelta(days=2))
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(
        self,
        name: str = "localhost",
        *,
        expired: bool = False,
        days: float | None = None,
        starts: float | None = None,
        is_self_signed: bool = False,
    ) -> Path:
        """A file with a certificate for a host name and its key; an expired one ended yesterday.

        `days` until its end, and `starts` until its begin; a self-signed one is not of this authority.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        left = days if days is not None else -1 if expired else 2 if starts is None else starts + 30
        end = datetime.now(UTC) + timedelta(days=left)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, key, end)
            .issuer_name(subject if is_self_signed else self._name)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key if is_self_signed else self._key, hashes.SHA256())
        )
        kind = f"{'-expired' if expired else ''}-{left:g}{'-self' if is_self_signed else ''}"
        file = self._folder / f"{name}{kind}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file

    def chain(self, name: str = "localhost", *, days: float = 2, sends_issuer: bool = True) -> Path:
        """A file with a certificate, its key and that of its issuer, which this authority signed.

        `days` until the end of the issuer's; with `sends_issuer` false that is left out.
        """
        issuer_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Issuer of the tests")])
        issuer_key = ec.generate_private_key(ec.SECP256R1())
        issuer = (
            _builder(issuer_name, issuer_key, datetime.now(UTC) + timedelta(days=days))
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, key, datetime.now(UTC) + timedelta(days=20))
            .issuer_name(issuer_name)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        file = self._folder / f"{name}-chain-{days:g}-{sends_issuer}.pem"
        file.write_bytes(
            b"".join(
                each.public_bytes(serialization.Encoding.PEM)
                for each in ((certificate, issuer) if sends_issuer else (certificate,))
            )
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=30))
        .not_valid_after(end)
    )
