"""Prints senders.json: requests, good and bad, for every preset.

    pip install cryptography
    python3 tests/vectors/make_senders.py > tests/vectors/senders.json

Python 3.11, its standard library, and `cryptography` for public keys. It shares no code with the crates, so that a
mistake in their signing or parsing cannot also be in the expectations. The output is the same on every run.

Each refused row has one fault only. `content` says what a sender signs, `sign` with what, `where` in which header.
All names, addresses, secrets and keys are made up for these tests and are used nowhere else.
"""

import base64
import calendar
import hashlib
import hmac
import json
import re
import time
import zlib
from collections import namedtuple
from datetime import datetime, timezone
from types import SimpleNamespace
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

NOW = 1795305600  # 2026-11-22T00:00:00Z
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NOTE = 'Zo\u00eb\'s caf\u00e9 \u2615 \U0001f600 <b>&amp;</b> a\\b "quoted" https://example.com/a?b=c&d=%20'
rows = []


def emit(provider, name, expect, headers, body, secret, encoding="utf8", *, method="POST", url=None, now=None,
         extra_secrets=None, parameters=None, note=None):
    row = dict(provider=provider, name=name, method=method, url=url, headers=[list(h) for h in headers],
               body_base64=b64(body), secret=secret, secret_encoding=encoding, now=now, expect=expect)
    more = dict(extra_secrets=extra_secrets, parameters=parameters, note=note)
    rows.append(row | {key: value for key, value in more.items() if value is not None})


# -- text and bytes ---------------------------------------------------------------------------------------------------


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def hexed(data):
    return data.hex()


def raw(value):
    """JSON without blanks, non-ASCII characters as UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def escaped(value):
    """JSON as PHP writes it: non-ASCII characters as \\u escapes, and slashes escaped."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


def spaced(value):
    """JSON as Python writes it, with a blank behind each colon and comma, and a line feed at the end."""
    return json.dumps(value).encode() + b"\n"


def crlf(value):
    """JSON on lines that end in CR LF."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode() + b"\r\n"


STYLES = [raw, escaped, spaced, crlf]


def one_bit(data):
    """One bit flipped in the last ASCII digit, so that JSON stays JSON."""
    at = max(i for i, byte in enumerate(data) if 0x30 <= byte <= 0x39)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def flip_first(tag):
    return bytes([tag[0] ^ 1]) + tag[1:]


def loose_bits(text):
    """The same bytes in base64 with an unused bit set, or None if no bit is unused."""
    core = text.rstrip("=")
    if len(core) % 4 == 0:
        return None
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + ("-_" if set(text) & set("-_") else "+/")
    return core[:-1] + alphabet[alphabet.index(core[-1]) ^ 1] + text[len(core):]


def escape(text, keep):
    """Percent-escapes all but letters, digits and `keep`."""
    fine = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + keep.encode())
    return "".join(chr(byte) if byte in fine else f"%{byte:02X}" for byte in text.encode())


def path_and_query(url):
    return "/" + url.split("://", 1)[1].partition("/")[2]


# -- keys: for these tests alone ----------------------------------------------------------------------------------------

TEST_KEY_ED25519 = ["6e1f0c5a2b7d49e38c14f5a09b3d7e62c8a51d0f4b96e37a2c8d5f1e0a7b4936",
                    "b3a95d27e0c84f16a2d93b7c5e81f04d6a2c97b0e5f3184d9c6b2a7f0e5d3c81"]
TEST_KEY_P256 = ["3d5c1a9e7b2f4806d1e3c5a7f9b80246ace13579bdf02468ace013579bdf2468",
                 "7a1b3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d0e2f4a6b"]
TEST_KEY_RSA = [(  # p, q
    "e1bf7d8bb46dd9d53e14e4c27549b6a2a19143415c97c4eec8c7ed90c492296ca28adaaa907a6d081bbe139ee9a3bbc3"
    "b72a1691d417686e9bacb7338c83ac034fa5b5e845d99808f0759f641251c6dbc98c72758d253d319ab2f7252705af40"
    "2d6c0d0d95dd21775895209ff4f056099f7bb4026ba47d34a242933d490aa4cb",
    "cb3f284ca47a9e1ba83a4e1fbf0c92eadec9ffcaf68edbaf1246c2c12844b09e6ad272aad9574e3aef086c7e3d7af258"
    "cfb73264238ee3aa4a0ff18d8bd2455db56fad516351912c42ceaac2b22c064e52b5d7d511b9a92564ecbcb0f2e7c08e"
    "2464682b4b2bd5656266c520168308689f9e2995fa95e4c0de5ea4cad8b7ab51"), (
    "d7b18f9cff2fc0bde2a765a33e04b623cd4ca7382ed49933d5aeba9cea7315f2bfe63f491afe95f12b0b229968cf3933"
    "9c27aa4926296ffaea548732811a2461ce0e98b99ea9f6081b6d71c2caf20156c6a340b362e97b42d61aa10a6647620a"
    "cfd379d78515e021ca2ae395fcc7cbe1cef0d3dc2bffa631da0819721ccfa70d",
    "d5f715ac866e8b37149eebe0ac5a0ddee1bc077a847f93b90840e709c08a43f99439e373f5e26100f7ac16320d268b40"
    "89c723af5f2e1fc7408c38b8a9fc4a3067a497fd6d4ee4159da596725a285a30307ad1150f825aa3748ac993873b9792"
    "0920d84e07a939f21cb359e1280346d284b74031a2f4cc97aba9c122790b84c5")]
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def rsa_key(p, q, e=65537):
    p, q = int(p, 16), int(q, 16)
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p),
                                 rsa.RSAPublicNumbers(e, p * q)).private_key()


ED = [ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for seed in TEST_KEY_ED25519]
EC = [ec.derive_private_key(int(scalar, 16), ec.SECP256R1()) for scalar in TEST_KEY_P256]
RSA = [rsa_key(*primes) for primes in TEST_KEY_RSA]


def ed_public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def certificate(key, name, serial):
    """A self-signed certificate, valid from 2026-01-01 to 2036-01-01, as PEM."""
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    day = lambda year: datetime(year, 1, 1, tzinfo=timezone.utc)
    built = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
             .serial_number(serial).not_valid_before(day(2026)).not_valid_after(day(2036))
             .sign(key, hashes.SHA256()))
    return built.public_bytes(serialization.Encoding.PEM).decode()


def jwk(key, kid):
    point = key.public_key().public_numbers()
    return json.dumps(dict(alg="ES256", crv="P-256", kid=kid, kty="EC", use="sig",
                           x=b64url(point.x.to_bytes(32, "big")), y=b64url(point.y.to_bytes(32, "big"))))


def whsec(name):
    return "whsec_" + b64(hashlib.sha256(b"fixture " + name.encode()).digest())


CERT_PAYPAL = [certificate(RSA[0], "messageverificationcerts.example.com", 4711),
               certificate(RSA[1], "other.example.com", 4712)]
CERT_SNS = [certificate(RSA[0], "sns.example.com", 4713), certificate(RSA[1], "other.example.com", 4714)]
# What a public key is configured as, and the private key of it.
PRIVATE = {ed_public(k).hex(): k for k in ED} | {b64(ed_public(k)): k for k in ED} \
    | {"whpk_" + b64(ed_public(k)): k for k in ED} | {b64(spki(k)): k for k in EC} \
    | dict(zip(CERT_PAYPAL, RSA)) | dict(zip(CERT_SNS, RSA))


def utf8(secret):
    return secret.encode()


def whsec_key(secret):
    text = secret.removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def html_decoded(secret):
    """Five entities, decoded once and in one pass, as WordPress does."""
    entities = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#039;": "'"}
    return re.sub("|".join(entities), lambda m: entities[m[0]], secret).encode()


def mac(algorithm="sha256", key=utf8):
    return lambda secret, content: hmac.new(key(secret), content, algorithm).digest()


def plain_digest(_secret, content):
    return hashlib.sha256(content).digest()


def ed_sign(secret, content):
    return PRIVATE[secret].sign(content)


def ecdsa_sign(secret, content):
    return PRIVATE[secret].sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def rsa_sign(hash_type=hashes.SHA256):
    return lambda secret, content: PRIVATE[secret].sign(content, padding.PKCS1v15(), hash_type())


# -- time -------------------------------------------------------------------------------------------------------------


def stamp(unit, ms):
    seconds, rest = divmod(ms, 1000)
    utc = lambda form, at=seconds: time.strftime(form, time.gmtime(at))
    return {"s": lambda: str(seconds), "ms": lambda: str(ms),
            "rfc3339": lambda: utc("%Y-%m-%dT%H:%M:%SZ"),
            "rfc3339-ns": lambda: utc("%Y-%m-%dT%H:%M:%S") + f".{rest:03d}000000Z",
            "rfc3339-west": lambda: utc("%Y-%m-%dT%H:%M:%S", seconds - 7 * 3600) + "-07:00",
            "rfc1123": lambda: utc("%a, %d %b %Y %H:%M:%S GMT")}[unit]()


# Where the timestamp is (the name of a header, or None if the signature header or the body has it), its unit, and how
# many seconds it may be away from `now` (None: it is signed, but not judged).
Time = namedtuple("Time", "header unit tolerance", defaults=(None, "s", 300))


# -- one sender -------------------------------------------------------------------------------------------------------


class Sender:
    """`where` is the header, and its value with {sig} and {ts} in it; `key` and `unknown` are for values that list
    several signatures: the key of those that count, and one that does not.

    `content(q)` makes the signed bytes of a request `q`: body, ts, id, method, url, secret. `render(q, sig)` makes the
    body, for those that carry time or signature in it. `tamper` is what to change for a forgery."""

    numbered_headers = False

    def __init__(self, name, body, where=None, content=lambda q: q.body, *, sign=mac(), encode=b64, secret=None,
                 other=None, encoding="utf8", time=None, id=None, headers=(), method="POST", url=None, key=None,
                 render=None, tamper=None, content_type=JSON, style=raw, now=None, parameters=None, **more):
        self.name, self.where, self.content, self.sign, self.encode = name, where, content, sign, encode
        self.secret = secret or f"fixture-{name}-secret"
        self.other = other or f"fixture-{name}-another"
        self.encoding, self.time, self.id, self.key, self.render = encoding, time, id, key, render
        self.content_type, self.parameters = content_type, parameters
        self.now = NOW if time else now
        self.tree = body
        self.separator = next((s for s in ("; ", ";", ", ", ",") if s in (where or ["", ""])[1]), ",")
        if key and where[1].startswith(key + ","):
            self.separator = " "
        ts = stamp(time.unit, NOW * 1000 - 1750) if time else None
        body = body if isinstance(body, bytes) or render else style(body)
        self.q = SimpleNamespace(body=body, ts=ts, id=id and id[1], method=method, url=url, secret=self.secret,
                                 headers=[list(h) for h in headers], style=style, **more)
        self.tamper = tamper or (lambda q: dict(body=one_bit(q.body)))
        self.usual()

    def row(self, name, expect, *, signed=None, sent=None, both=None, tag=None, text=None, lines=None, drop=(),
            more=(), secret=None, encoding=None, now=None, extra_secrets=None, note=None, sign=None):
        """A request that is signed for `signed`, and then sent with `sent` in place of it. `tag`, `text` and `lines`
        change the signature as bytes, as text, and as header lines."""
        q = SimpleNamespace(**vars(self.q) | (both or {}) | (signed or {}))
        if self.render:
            q.body = self.render(q, None)
        made = (sign or self.sign)(q.secret, self.content(q))
        made = tag(made) if tag else made
        written = text(made) if text else self.encode(made)
        q = SimpleNamespace(**vars(q) | (sent or {}))
        if self.render:
            q.body = self.render(q, written)
        headers = [["Content-Type", self.content_type]] if self.content_type else []
        headers += q.headers
        if self.id and q.id is not None:
            headers.append([self.id[0], q.id])
        if self.time and self.time.header and q.ts is not None:
            headers.append([self.time.header, q.ts])
        if lines:
            headers += lines(written, q)
        elif self.where:
            headers.append([self.where[0], self.where[1].replace("{ts}", q.ts or "").replace("{sig}", written)])
        dropped = [d.lower() for d in drop]
        headers = [h for h in headers if h[0].lower() not in dropped] + [list(h) for h in more]
        emit(self.name, name, expect, headers, q.body, secret or self.secret, encoding or self.encoding,
             method=q.method, url=q.url, now=self.now if now is None else now, extra_secrets=extra_secrets,
             parameters=self.parameters, note=note)

    def value(self, template):
        """`lines` with another form of the header's value."""
        return lambda sig, q: [[self.where[0], template.replace("{ts}", q.ts or "").replace("{sig}", sig)]]

    def usual(self):
        row, plain = self.row, self.where and not self.key
        row("valid", "valid")
        if isinstance(self.tree, (dict, list)) and not self.render and self.name != "contentful":
            style = STYLES[len(self.name) % 4]
            tree = self.tree + [{"note": NOTE}] if isinstance(self.tree, list) else self.tree | {"note": NOTE}
            row("valid, with characters of all kinds", "valid", both=dict(body=style(tree)))
        row("one bit of the signed content changed", "signature_mismatch", sent=self.tamper(self.q))
        row("one bit of the signature changed", "signature_mismatch", tag=self.spoil)
        row("wrong secret", "signature_mismatch", signed=dict(secret=self.other))
        row("rotation: signed with the old secret of two", "valid", secret=self.other, extra_secrets=[self.secret])
        if self.where:
            row("signature missing", "missing_signature", drop=[self.where[0]])
        else:
            row("signature missing", "missing_signature", text=lambda tag: None)
        if not (self.where and "{ts}" in self.where[1]):
            empty = (lambda sig, q: [[self.where[0], ""]]) if self.where else None
            row("signature empty", "missing_signature", text=lambda tag: "", lines=empty)
        other_text = b64 if self.encode is hexed else hexed
        kind = "base64 where hex is expected" if self.encode is hexed else "hex where base64 is expected"
        row(kind, "malformed_signature", text=other_text)
        row("truncated tag", "malformed_signature", tag=lambda tag: tag[:len(tag) // 2])
        row("one byte short", "malformed_signature", tag=lambda tag: tag[:-1])
        row("one byte too long", "malformed_signature", tag=lambda tag: tag + b"\0")
        if self.encode is hexed:
            row("hex in upper case", "valid", text=lambda tag: tag.hex().upper())
            row("not hex", "malformed_signature", text=lambda tag: "zz" + tag.hex()[2:])
        else:
            canonical = self.encode(self.sign(self.secret, self.content(self.ready())))
            if loose_bits(canonical):
                row("base64 with an unused bit set", "malformed_signature", text=lambda tag: loose_bits(self.encode(tag)))
            if canonical.endswith("="):
                row("base64 without its padding", "malformed_signature",
                    text=lambda tag: self.encode(tag).rstrip("="))
        if plain:
            name, template = self.where
            prefix = template.removesuffix("{sig}")
            if prefix:
                wrong = "sha1=" if prefix != "sha1=" else "sha256="
                row("prefix missing", "malformed_signature", lines=self.value("{sig}"))
                row("another prefix", "malformed_signature", lines=self.value(wrong + "{sig}"))
            else:
                row("a prefix where none belongs", "malformed_signature", lines=self.value("sha256={sig}"))
            if not self.numbered_headers:
                row("the signature header twice", "ambiguous_header",
                    lines=lambda sig, q: [[name, prefix + sig], [name, prefix + sig]])
        if self.key:
            self.list_rows()
        if self.time:
            self.time_rows()
        if self.id and self.id_signed():
            row("id missing", "missing_id", signed=dict(id=""), sent=dict(id=None))
            row("id changed on the way", "signature_mismatch", sent=dict(id=self.q.id[:-1] + "z"))

    def ready(self):
        q = SimpleNamespace(**vars(self.q))
        if self.render:
            q.body = self.render(q, None)
        return q

    def spoil(self, tag):
        if self.sign is ecdsa_sign:
            r, s = decode_dss_signature(tag)
            return encode_dss_signature(r, s ^ 1)
        return flip_first(tag)

    def id_signed(self):
        return self.id[0] in ("webhook-id", "svix-id", "Twitch-Eventsub-Message-Id", "PAYPAL-TRANSMISSION-ID")

    def list_rows(self):
        template, key, sep = self.where[1], self.key, self.separator
        pair = next(p for p in (key + "={sig}", key + ",{sig}") if p in template)
        mark = pair[len(key)]
        with_ = lambda text: self.value(template.replace(pair, text))
        zeros = self.encode(b"\0" * len(self.sign(self.secret, self.content(self.ready()))))
        self.row("signature of an unknown version only", "unsupported_version", lines=with_("v7" + mark + "{sig}"))
        self.row("trap: a version that is not known is skipped", "valid", lines=with_(f"v7{mark}abc{sep}{pair}"))
        self.row("trap: a bad signature before the good one", "valid",
                 lines=with_(f"{key}{mark}bad_signature{sep}{pair}"))
        self.row("trap: a signature of another key after the good one", "valid", lines=with_(f"{pair}{sep}{key}{mark}{zeros}"))
        self.row("two signatures, both wrong", "signature_mismatch", tag=self.spoil,
                 lines=with_(f"{pair}{sep}{key}{mark}{zeros}"))
        if mark == "=" and sep == ",":
            self.row("a blank after each comma", "valid", lines=self.value(template.replace(",", ", ").replace(pair, f"{pair}, v7=1")))

    def time_rows(self):
        header, unit, tolerance = self.time
        at = lambda ms: dict(ts=stamp(unit, NOW * 1000 + ms))
        step = 1 if unit == "ms" else 1000
        row = self.row
        if tolerance is None:
            row("timestamp a year old, which nothing judges", "valid", both=at(-365 * 86_400_000))
        else:
            edge = tolerance * 1000
            what = "1 ms" if unit == "ms" else "1 s"
            row(f"timestamp {tolerance} s old", "valid", both=at(-edge))
            row(f"timestamp {tolerance} s ahead", "valid", both=at(edge))
            row(f"timestamp {tolerance} s and {what} old", "timestamp_too_old", both=at(-edge - step))
            row(f"timestamp {tolerance} s and {what} ahead", "timestamp_in_future", both=at(edge + step))
            if unit == "s":
                row("trap: milliseconds where seconds are expected", "timestamp_in_future", both=dict(ts=str(NOW * 1000)))
            if unit == "ms":
                row("trap: seconds where milliseconds are expected", "timestamp_too_old", both=dict(ts=str(NOW)))
            bad = {"s": f"{NOW}.5", "ms": f"{NOW * 1000}.5", "rfc1123": stamp("rfc3339", NOW * 1000)}
            row("timestamp in another form", "malformed_timestamp",
                both=dict(ts=bad.get(unit, stamp("rfc1123", NOW * 1000))))
            if unit.startswith("rfc3339"):
                row("timestamp without an offset", "malformed_timestamp", both=dict(ts="2026-11-22T00:00:00"))
                row("timestamp on a day that does not exist", "malformed_timestamp", both=dict(ts="2026-02-30T00:00:00Z"))
        if self.name == "linear" or not self.where:
            return
        row("timestamp changed on the way", "signature_mismatch", sent=at(-3000 if unit != "ms" else -1751))
        if header:
            row("timestamp missing", "missing_timestamp", signed=dict(ts=""), sent=dict(ts=None))
        else:
            template = re.sub(r"(, )?\b(time|ts|t)=\{ts\}[,;]? ?", "", self.where[1])
            row("timestamp missing", "missing_timestamp", both=dict(ts=""), lines=self.value(template))


T = lambda q: q.ts.encode()


def join(*parts):
    """Signed content out of literals and the names of parts."""
    get = {"body": lambda q: q.body, "ts": T, "id": lambda q: q.id.encode(), "url": lambda q: q.url.encode(),
           "method": lambda q: q.method.encode(), "secret": lambda q: q.secret.encode()}
    return lambda q: b"".join(get[p](q) if p in get else p.encode() for p in parts)


def body_only(name, header, body, prefix="", **more):
    return Sender(name, body, (header, prefix + "{sig}"), **more)


HEX = dict(encode=hexed)
SHA1 = dict(sign=mac("sha1"))

# -- HMAC of the body -------------------------------------------------------------------------------------------------

s = body_only("generic-hex", "X-Webhook-Signature", {"id": "evt_1", "type": "thing.made", "count": 1}, "sha256=", **HEX,
              headers=[("X-Webhook-Id", "evt_1"), ("X-Webhook-Event", "thing.made")])
s.row("a line feed added at the end of the body", "signature_mismatch", sent=dict(body=s.q.body + b"\n"))
s.row("valid, an empty body", "valid", both=dict(body=b""))
s.row("valid, all byte values", "valid", both=dict(body=bytes(range(256))))
s.row("signature in the order of SHA-1", "malformed_signature", sign=mac("sha1"))
body_only("generic-base64", "X-Webhook-Signature", {"id": "evt_2", "type": "thing.made", "count": 2})

s = body_only("github", "X-Hub-Signature-256", {"action": "opened", "issue": {"number": 1347, "title": "It's broken"},
                                                "repository": {"full_name": "example-org/example", "id": 186853002}},
              "sha256=", **HEX, headers=[("X-GitHub-Event", "issues"),
                                         ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")])
s.row("valid, with the legacy SHA-1 header beside it", "valid", more=[("X-Hub-Signature", "sha1=" + "0" * 40)])
s.row("trap: only the legacy SHA-1 header", "missing_signature",
      lines=lambda sig, q: [["X-Hub-Signature", "sha1=" + mac("sha1")(s.secret, q.body).hex()]])
s.row("trap: base64 behind the same prefix, as Typeform and X write it", "malformed_signature", text=b64)
s = body_only("github-sha1", "X-Hub-Signature", {"zen": "Keep it logically awesome.", "hook_id": 30},
              "sha1=", **HEX, **SHA1, headers=[("X-GitHub-Event", "ping")])
s.row("trap: X-Hub-Signature as Bitbucket and Jira fill it", "malformed_signature", sign=mac(),
      lines=s.value("sha256={sig}"))
s = body_only("meta", "X-Hub-Signature-256", {"object": "whatsapp_business_account", "entry": [{
    "id": "102290129340398", "changes": [{"field": "messages", "value": {"text": "Gr\u00fc\u00dfe \u2615 a/b", "n": 1}}]}]},
    "sha256=", **HEX, style=escaped)
s.row("trap: the escapes that were sent are signed, not what they stand for", "signature_mismatch",
      sent=dict(body=raw(json.loads(s.q.body))))
s = body_only("bitbucket", "X-Hub-Signature", {"push": {"changes": [{"new": {"name": "main"}}]}, "actor": {"id": 1}},
              "sha256=", **HEX, headers=[("X-Event-Key", "repo:push"), ("X-Request-UUID", "a1b2c3d4-0001")])
s.row("trap: X-Hub-Signature as GitHub and Intercom fill it", "malformed_signature", sign=mac("sha1"),
      lines=s.value("sha1={sig}"))
body_only("jira", "X-Hub-Signature", {"timestamp": 1795305598000, "webhookEvent": "jira:issue_updated",
                                      "issue": {"id": "10002", "key": "EX-1"}},
          "sha256=", **HEX, headers=[("X-Atlassian-Webhook-Identifier", "aa6dbbd0-3f43-4a5a-a6ea-0f1a4cb1b5a1")])
s = body_only("intercom", "X-Hub-Signature", {"type": "notification_event", "id": "notif_ex_1", "topic": "user.created",
                                              "created_at": 1795305598}, "sha1=", **HEX, **SHA1)
s.row("trap: X-Hub-Signature as Bitbucket and Jira fill it", "malformed_signature", sign=mac(),
      lines=s.value("sha256={sig}"))
body_only("gitea", "X-Gitea-Signature", {"ref": "refs/heads/main", "before": "28e1879d", "pusher": {"id": 1}}, **HEX,
          headers=[("X-Gitea-Event", "push"), ("X-Gitea-Delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473")])
s = body_only("forgejo", "X-Forgejo-Signature", {"ref": "refs/heads/main", "total_commits": 2}, **HEX,
              headers=[("X-Forgejo-Event", "push"), ("X-Forgejo-Delivery", "0e3c2c1e-0001")])
s.row("valid, with the header under Gitea's name beside it", "valid",
      lines=lambda sig, q: [["X-Forgejo-Signature", sig], ["X-Gitea-Signature", sig]])
body_only("gogs", "X-Gogs-Signature", {"ref": "refs/heads/main", "commits": [], "pusher": {"id": 7}}, **HEX,
          headers=[("X-Gogs-Event", "push"), ("X-Gogs-Delivery", "f6266f16-0002")])
body_only("shopify", "X-Shopify-Hmac-Sha256", {"id": 820982911946154508, "email": "jo@example.com", "total": "403.00"},
          headers=[("X-Shopify-Topic", "orders/create"), ("X-Shopify-Webhook-Id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043")])
s = body_only("woocommerce", "X-WC-Webhook-Signature", {"id": 727, "status": "processing", "total": "29.35"},
              sign=mac(key=html_decoded), secret="fix&amp;ture &lt;woo&gt; &quot;secret&#039; &amp;lt; &eacute;",
              headers=[("X-WC-Webhook-Topic", "order.created"), ("X-WC-Webhook-Delivery-ID", "5d5e7a9e0c1b")])
s.row("trap: HTML entities in the secret are decoded before it is used", "signature_mismatch", sign=mac(),
      note="signed with the secret as it is configured")
s.row("trap: HTML entities in the secret are decoded once, not twice", "signature_mismatch",
      sign=lambda secret, content: mac(key=html_decoded)(html_decoded(secret).decode(), content))
s.row("trap: a secret without entities is used as it is", "valid", signed=dict(secret="fixture & <plain>"),
      secret="fixture & <plain>")
emit("woocommerce", "trap: the ping after saving a webhook is not signed", "missing_signature",
     [("Content-Type", FORM)], b"webhook_id=12", s.secret)
body_only("line", "x-line-signature", {"destination": "Uexample", "events": [{
    "type": "message", "webhookEventId": "01FZ74A0TDDPYRVKNK77XKC3ZR", "text": "\u3053\u3093\u306b\u3061\u306f", "timestamp": 1795305598000}]})
body_only("mautic", "Webhook-Signature", {"mautic.lead_post_save_update": [{"contact": {"id": 66}, "timestamp": "2026-11-21T23:59:58+00:00"}]},
          style=escaped)
s = body_only("notion", "X-Notion-Signature", {"id": "367cba44-b6f3-4c92-81e7-6a2e9659efd4", "type": "page.created",
                                               "attempt_number": 1}, "sha256=", **HEX, secret="secret_fixtureNotion01")
body_only("asana", "X-Hook-Signature", {"events": [{"action": "changed", "resource": {"gid": "1337"}}]}, **HEX)
s = body_only("typeform", "Typeform-Signature", {"event_id": "01HEXAMPLE", "event_type": "form_response",
                                                 "form_response": {"form_id": "lT4Z3j", "score": 4}}, "sha256=")
s.row("trap: hex behind the same prefix, as GitHub writes it", "malformed_signature", text=hexed)
s = body_only("lemonsqueezy", "X-Signature", {"meta": {"event_name": "order_created"}, "data": {"id": "1"}}, **HEX,
          headers=[("X-Event-Name", "order_created")])
s.row("trap: X-Signature as Segment fills it", "malformed_signature", sign=mac("sha1"))
body_only("razorpay", "X-Razorpay-Signature", {"event": "payment.captured", "created_at": 1795305598}, **HEX,
          headers=[("x-razorpay-event-id", "evt_fixture1")])
s = body_only("adyen-platform", "HmacSignature", {"type": "balancePlatform.transfer.created", "data": {"id": "TR1"},
                                                  "environment": "test", "sequence": 1},
              sign=mac(key=bytes.fromhex), encoding="hex", secret="0123456789ABCDEF" * 4, other="FEDCBA9876543210" * 4)
s.row("trap: the key is hex, and not used as text", "signature_mismatch", sign=mac())
s = body_only("x-twitter", "x-twitter-webhooks-signature", {"for_user_id": "2244994945", "tweet_create_events": [{"id": 1}]},
              "sha256=")
s.row("trap: hex behind the same prefix, as GitHub writes it", "malformed_signature", text=hexed)
body_only("dropbox", "X-Dropbox-Signature", {"list_folder": {"accounts": ["dbid:AAH4f99T0taONIb"]}, "n": 1}, **HEX)


class DocuSign(Sender):
    """One header for each key, with a number at its end."""

    numbered_headers = True

    def usual(self):
        super().usual()
        name, zeros = "X-DocuSign-Signature-{}", b64(bytes(32))
        lines = lambda *at: lambda sig, q: [[name.format(i), sig if g else zeros] for i, g in at]
        self.row("trap: each key has its header, and the good one is the third", "valid", lines=lines((1, 0), (2, 0), (3, 1)))
        self.row("trap: the good one of 16 headers is the last", "valid", lines=lines(*[(i, i == 16) for i in range(1, 17)]))
        self.row("trap: a header that cannot be decoded beside a good one", "valid",
                 lines=lambda sig, q: [[name.format(1), "???"], [name.format(2), sig]])
        self.row("three headers, none of them right", "signature_mismatch", lines=lines((1, 0), (2, 0), (3, 0)))
        self.row("trap: only a number beyond the first is there", "valid", lines=lines((4, 1)))


DocuSign("docusign", {"event": "envelope-completed", "data": {"envelopeId": "example-1"}, "retryCount": 0},
         ("X-DocuSign-Signature-1", "{sig}"))
body_only("coinbase-commerce", "X-CC-Webhook-Signature", {"id": 1, "event": {"id": "24934862", "type": "charge:created"}}, **HEX)
body_only("sentry", "Sentry-Hook-Signature", {"action": "created", "data": {"issue": {"id": "1170820242"}}}, **HEX,
          headers=[("Request-ID", "6d2f1e"), ("Sentry-Hook-Resource", "issue"), ("Sentry-Hook-Timestamp", str(NOW - 86400))])
body_only("vercel", "x-vercel-signature", {"id": "uev_1", "type": "deployment.created", "createdAt": 1795305598000}, **HEX, **SHA1)
body_only("heroku", "Heroku-Webhook-Hmac-SHA256", {"action": "create", "webhook_metadata": {"event": {
    "id": "0f2ab3", "include": "api:build"}, "attempt": {"id": "1"}}})
body_only("calcom", "X-Cal-Signature-256", {"triggerEvent": "BOOKING_CREATED", "payload": {"uid": "bFJe", "length": 60}}, **HEX)
s = body_only("airtable", "X-Airtable-Content-MAC", {"base": {"id": "app01"}, "webhook": {"id": "ach01"},
                                                     "timestamp": "2026-11-21T23:59:58.000Z"}, "hmac-sha256=", **HEX,
              sign=mac(key=base64.b64decode), encoding="base64", secret=b64(b"fixture airtable key 1/2"),
              other=b64(b"fixture airtable key 2/2"))
s.row("trap: the key is base64, and not used as text", "signature_mismatch", sign=mac())
s = body_only("segment", "X-Signature", {"messageId": "segment-msg-1", "type": "track", "userId": "97980"}, **HEX, **SHA1)
s.row("trap: X-Signature as Lemon Squeezy and ClickUp fill it", "malformed_signature", sign=mac())
s = body_only("gocardless", "Webhook-Signature", {"events": [{"id": "EV123", "resource_type": "payments", "n": 1}]}, **HEX)
s.row("trap: a line feed added at the end of the body", "signature_mismatch", sent=dict(body=s.q.body + b"\n"))
body_only("coinify", "x-coinify-webhook-signature", {"event": "payment-intent.completed", "id": "a5c1-1"}, **HEX)
body_only("paystack", "x-paystack-signature", {"event": "charge.success", "data": {"id": 302961, "amount": 10000}}, **HEX,
          sign=mac("sha512"))
body_only("xero", "x-xero-signature", {"events": [], "firstEventSequence": 0, "lastEventSequence": 0})
body_only("intuit", "intuit-signature", {"eventNotifications": [{"realmId": "310687"}]})
body_only("clickup", "X-Signature", {"event": "taskCreated", "task_id": "1vj37mc", "history": 1}, **HEX)
body_only("pusher", "X-Pusher-Signature", {"time_ms": 1795305598000, "events": [{"name": "channel_occupied"}]}, **HEX,
          headers=[("X-Pusher-Key", "fixturekey01")])
body_only("mollie", "X-Mollie-Signature", {"resource": "event", "id": "event_1", "type": "payment-link.paid"}, "sha256=", **HEX)
body_only("helpscout", "X-HelpScout-Signature", {"id": 2391938111, "subject": "I need help"}, **SHA1,
          headers=[("X-HelpScout-Event", "convo.created")])
body_only("terraform", "X-TFE-Notification-Signature", {"payload_version": 1, "run_id": "run-EXAMPLE1"}, **HEX, sign=mac("sha512"))
body_only("nylas", "x-nylas-signature", {"specversion": "1.0", "type": "message.created", "id": "n1"}, **HEX)
body_only("cursor", "X-Webhook-Signature", {"event": "statusChange", "id": "bc_abc1", "status": "FINISHED"}, "sha256=", **HEX,
          headers=[("X-Webhook-ID", "msg_01"), ("X-Webhook-Event", "statusChange")])


def linear_body(q, _sig):
    return raw({"action": "update", "type": "Issue", "data": {"id": "2174add1", "number": q.number},
                "webhookTimestamp": int(q.ts) if q.ts.isdigit() else q.ts})


s = Sender("linear", b"", ("linear-signature", "{sig}"), **HEX, time=Time(None, "ms", 60), number=41,
           render=linear_body, tamper=lambda q: dict(number=q.number ^ 1),
           headers=[("Linear-Event", "Issue"), ("Linear-Delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72")])
s.row("trap: the timestamp header counts for nothing, if old", "valid", more=[("linear-timestamp", str(NOW * 1000 - 86_400_000))])
s.row("trap: the timestamp header counts for nothing, if fresh", "timestamp_too_old",
      both=dict(ts=str(NOW * 1000 - 60_001)), more=[("linear-timestamp", str(NOW * 1000))])
s.render = lambda q, sig: raw({"action": "update", "type": "Issue", "data": {"number": q.number}})
s.row("timestamp missing", "missing_timestamp", more=[("linear-timestamp", str(NOW * 1000))])

# -- HMAC: pairs, and lists of versions -------------------------------------------------------------------------------

DOTTED = join("ts", ".", "body")


def pairs(name, header, template, key, body, content=DOTTED, unit="s", tolerance=300, **more):
    timed = dict(time=Time(None, unit, tolerance)) if "{ts}" in template else {}
    return Sender(name, body, (header, template), content, key=key, **HEX | timed | more)


pairs("pagerduty", "X-PagerDuty-Signature", "v1={sig}", "v1", {"event": {"id": "5ac64822", "event_type": "incident.triggered", "n": 1}},
      join("body"))
pairs("circleci", "circleci-signature", "v1={sig}", "v1", {"id": "3888f21b", "type": "workflow-completed", "pipeline": 130},
      join("body"), headers=[("circleci-event-type", "workflow-completed")])
s = pairs("stripe", "Stripe-Signature", "t={ts},v1={sig}", "v1", {"id": "evt_1", "object": "event", "type": "charge.refunded",
          "data": {"object": {"id": "ch_1", "amount": 1099}}}, secret=whsec("stripe"), other=whsec("stripe other"), style=spaced)
s.row("trap: the secret is used whole, and whsec_ is not decoded", "signature_mismatch", sign=mac(key=whsec_key))
s.row("trap: v0 is skipped, even with the right MAC", "unsupported_version", lines=s.value("t={ts},v0={sig}"))
pairs("calendly", "Calendly-Webhook-Signature", "t={ts},v1={sig}", "v1", {"event": "invitee.created", "created_at": "2026-11-21T23:59:58Z"},
      tolerance=180)
# The body is such that its signature has both characters that differ between the two alphabets.
s = pairs("sanity", "sanity-webhook-signature", "t={ts},v1={sig}", "v1", {"_id": "resume", "_type": "document", "rev": 1},
          unit="ms", tolerance=None, encode=b64url, headers=[("idempotency-key", "2f1a0c")])
assert {"-", "_"} <= set(s.encode(s.sign(s.secret, s.content(s.q)))), "choose another rev"
s.row("trap: only unused bits are changed, and a lenient decoder would not see it", "malformed_signature",
      text=lambda tag: loose_bits(b64url(tag)))
s.row("trap: base64url has no padding here", "malformed_signature", text=lambda tag: b64url(tag) + "=")
s.row("trap: the standard alphabet where the URL-safe one is expected", "malformed_signature",
      text=lambda tag: b64(tag).rstrip("="))
pairs("workos", "WorkOS-Signature", "t={ts}, v1={sig}", "v1", {"id": "event_1", "event": "dsync.user.created", "data": {"n": 1}},
      unit="ms", tolerance=180)
pairs("mux", "Mux-Signature", "t={ts},v1={sig}", "v1", {"type": "video.asset.ready", "id": "3a56ac3d-1"})
s = pairs("paddle", "Paddle-Signature", "ts={ts};h1={sig}", "h1", {"event_id": "evt_1", "event_type": "transaction.paid", "n": 1},
          join("ts", ":", "body"), tolerance=5)
s.row("trap: a dot in place of the colon", "signature_mismatch", sign=lambda secret, content: mac()(secret, content.replace(b":", b".", 1)))
pairs("elevenlabs", "ElevenLabs-Signature", "t={ts},v0={sig}", "v0", {"type": "post_call_transcription", "event_timestamp": 1795305598},
      tolerance=1800)
pairs("tiktok", "TikTok-Signature", "t={ts},s={sig}", "s", {"client_key": "fixture", "event": "video.publish.complete", "create_time": 1795305598})
pairs("cloudflare-stream", "Webhook-Signature", "time={ts},sig1={sig}", "sig1", {"uid": "dd5d531a", "readyToStream": True, "duration": 5})
s = pairs("coinbase-cdp", "X-Hook0-Signature", "t={ts},v0={sig}", "v0", {"eventType": "onchain.activity.detected", "block": 12})
s.row("trap: v1 signs headers too, and is skipped beside v0", "valid",
      lines=s.value("t={ts},v0={sig},h=content-type x-event-id,v1=" + "0" * 64))
s = pairs("ghost", "X-Ghost-Signature", "sha256={sig}, t={ts}", "sha256", {"post": {"current": {"id": "645cb0e", "n": 1}}},
          join("body", "ts"), unit="ms")
s.row("trap: the time before the body", "signature_mismatch", sign=lambda secret, content: mac()(secret, content[-13:] + content[:-13]))


def standard(name, body, prefix="webhook", version="v1", sign=None, **more):
    """Standard Webhooks: `{id}.{timestamp}.{body}`, a list of `v1,<base64>`."""
    return Sender(name, body, (prefix + "-signature", version + ",{sig}"), join("id", ".", "ts", ".", "body"), key=version,
                  sign=sign or mac(key=whsec_key), time=Time(prefix + "-timestamp"), id=(prefix + "-id", f"msg_{name}_01"),
                  **dict(encoding="whsec", secret=whsec(name), other=whsec(name + " other")) | more)


s = standard("standard-webhooks", {"type": "contact.created", "timestamp": "2026-11-21T23:59:58Z", "data": {"id": 1}})
s.row("trap: the secret is decoded, and not used whole as at Stripe", "signature_mismatch", sign=mac())
s.row("trap: a secret without its padding", "valid", secret=s.secret.rstrip("="))
s.row("trap: a v2 signature beside a v1", "valid", lines=s.value("v2,bad v1,{sig}"))
s.row("trap: a v1a signature beside a v1", "valid", lines=s.value("v1a,{sig}= v1,{sig}"))
for name, body in {"svix": {"type": "invoice.paid", "data": {"id": 1}}, "clerk": {"type": "user.created", "data": {"id": "user_1"}},
                   "resend": {"type": "email.sent", "data": {"email_id": "56761188-1", "to": ["jo@example.com"]}}}.items():
    s = standard(name, body, "svix")
    s.row("trap: headers under the name of Standard Webhooks only", "missing_signature",
          drop=["svix-id", "svix-timestamp", "svix-signature"],
          more=[("webhook-id", s.q.id), ("webhook-timestamp", s.q.ts), ("webhook-signature", "v1," + b64(s.sign(s.secret, s.content(s.q))))])
standard("openai", {"id": "evt_1", "object": "event", "type": "response.completed", "created_at": 1795305598})
standard("replicate", {"id": "ufawqhfynnddngldkgtslldrkq", "status": "succeeded", "n": 1})
standard("lithic", {"event_type": "card.created", "token": "d3b1-1"})
standard("gitlab-signed", {"object_kind": "push", "project_id": 15}, headers=[("X-Gitlab-Event", "Push Hook")])

# -- HMAC: with a timestamp header ------------------------------------------------------------------------------------


def timed(name, header, template, body, content, clock, **more):
    return Sender(name, body, (header, template), content, time=clock, **more)


V0 = join("v0:", "ts", ":", "body")
timed("slack", "X-Slack-Signature", "v0={sig}", {"type": "event_callback", "event_id": "Ev08MFMKH6", "event": {"type": "message", "n": 1}},
      V0, Time("X-Slack-Request-Timestamp"), **HEX)
timed("zoom", "x-zm-signature", "v0={sig}", {"event": "meeting.started", "event_ts": 1795305598000, "payload": {"account_id": "AAAB"}},
      V0, Time("x-zm-request-timestamp"), **HEX)
timed("customerio", "X-CIO-Signature", "{sig}", {"event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ", "metric": "delivered", "timestamp": 1795305598},
      V0, Time("X-CIO-Timestamp"), **HEX)
s = timed("zendesk", "X-Zendesk-Webhook-Signature", "{sig}", {"type": "zen:event-type:ticket.created", "account_id": 1122},
          join("ts", "body"), Time("X-Zendesk-Webhook-Signature-Timestamp", "rfc3339"),
          headers=[("X-Zendesk-Webhook-Invocation-Id", "01HEXAMPLE")])
s.row("trap: the body before the time, as at Box", "signature_mismatch",
      sign=lambda secret, content: mac()(secret, content[20:] + content[:20]))
s = timed("twitch", "Twitch-Eventsub-Message-Signature", "sha256={sig}", {"subscription": {"id": "f1c2a387", "type": "channel.follow"},
          "event": {"user_id": "1234"}}, join("id", "ts", "body"), Time("Twitch-Eventsub-Message-Timestamp", "rfc3339-ns", 600),
          **HEX, id=("Twitch-Eventsub-Message-Id", "e76c6bd4-55c9-4987-8304-da1588d8988b"),
          headers=[("Twitch-Eventsub-Message-Type", "notification"), ("Twitch-Eventsub-Subscription-Type", "channel.follow")])
s.row("trap: a character moved from the id to the time", "malformed_timestamp",
      sent=dict(id=s.q.id[:-1], ts=s.q.id[-1] + s.q.ts), note="the signed content and its MAC are the same")
s.row("trap: a time without a fraction", "valid", both=dict(ts="2026-11-21T23:59:58Z"))
s = timed("klaviyo", "Klaviyo-Signature", "{sig}", {"data": [{"topic": "event:klaviyo.sent_sms", "n": 1}]}, join("body", "ts"),
          Time("Klaviyo-Timestamp", "rfc1123"), **HEX, headers=[("Klaviyo-Webhook-Id", "01HEXAMPLE")])
s.row("trap: the time before the body, as at Zendesk", "signature_mismatch",
      sign=lambda secret, content: mac()(secret, content[-29:] + content[:-29]))
timed("webflow", "x-webflow-signature", "{sig}", {"triggerType": "form_submission", "payload": {"name": "Contact", "n": 1}},
      join("ts", ":", "body"), Time("x-webflow-timestamp", "ms"), **HEX)


BOX_FIXED = [("BOX-SIGNATURE-VERSION", "1"), ("BOX-SIGNATURE-ALGORITHM", "HmacSHA256"), ("BOX-DELIVERY-ID", "f96bb54b-ee16-4fc5")]


s = timed("box", "BOX-SIGNATURE-PRIMARY", "{sig}", {"type": "webhook_event", "trigger": "FILE.UPLOADED",
          "source": {"id": "1234567890", "name": "\U0001f600 Gr\u00fc\u00dfe/1.txt"}}, join("body", "ts"),
          Time("BOX-DELIVERY-TIMESTAMP", "rfc3339-west", 600), style=escaped, headers=BOX_FIXED)
two = lambda first, second: lambda sig, q: [["BOX-SIGNATURE-PRIMARY", first or sig], ["BOX-SIGNATURE-SECONDARY", second or sig]]
zeros = b64(bytes(32))
s.row("trap: the secondary signature is the good one", "valid", lines=two(zeros, None))
s.row("trap: the secondary signature is wrong, the primary good", "valid", lines=two(None, zeros))
s.row("trap: only the secondary signature is there", "valid", lines=lambda sig, q: [["BOX-SIGNATURE-SECONDARY", sig]])
s.row("trap: the primary signature cannot be decoded, the secondary is good", "valid", lines=two("???", None))
s.row("both signatures wrong", "signature_mismatch", lines=two(zeros, zeros))
s.row("trap: the escapes that were sent are signed, not what they stand for", "signature_mismatch",
      sent=dict(body=raw(json.loads(s.q.body))))
s.row("another signature version", "unsupported_version", both=dict(headers=[("BOX-SIGNATURE-VERSION", "2"), *BOX_FIXED[1:]]))
s.row("another signature algorithm", "unsupported_version", both=dict(headers=[BOX_FIXED[0], ("BOX-SIGNATURE-ALGORITHM", "HmacSHA1"), BOX_FIXED[2]]))
s.row("signature version missing", "unsupported_version", drop=["BOX-SIGNATURE-VERSION"])
s.row("trap: a time in UTC", "valid", both=dict(ts="2026-11-21T23:59:58Z"))
s.row("trap: the time before the body, as at Zendesk", "signature_mismatch",
      sign=lambda secret, content: mac()(secret, content[-25:] + content[:-25]))

# -- HMAC and digests: URL, method, form, fields of the body ----------------------------------------------------------

HUBSPOT = {"%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "(", "%29": ")",
           "%2A": "*", "%2C": ",", "%3B": ";"}
HUBSPOT_BODY = [{"eventId": 531833541, "subscriptionType": "contact.creation", "portalId": 48807704}]
PLAIN_URL = "https://hooks.example.com/in"


def hubspot_url(url):
    return re.sub("%[0-9A-F]{2}", lambda m: HUBSPOT.get(m[0], m[0]), url)


s = timed("hubspot-v3", "X-HubSpot-Signature-v3", "{sig}", HUBSPOT_BODY,
          lambda q: q.method.encode() + hubspot_url(q.url).encode() + q.body + T(q), Time("X-HubSpot-Request-Timestamp", "ms"),
          url=PLAIN_URL)
at = "https://hooks.example.com/in?next=%2Fdeals%3A1%3Fa%40b&q=it%27s%20%281%2C2%3B3%29%2A%21%24"
s.row("trap: twelve escapes of the URL are decoded before it is signed", "valid", both=dict(url=at))
s.row("trap: all other escapes stay", "valid", both=dict(url=PLAIN_URL + "?q=a%20b%26c%3Dd%2Be%25%C3%A9"))
s.row("trap: the URL signed with all of its escapes", "signature_mismatch", both=dict(url=at),
      sign=lambda secret, content: mac()(secret, content.replace(hubspot_url(at).encode(), at.encode())))
s.row("valid, PUT", "valid", both=dict(method="PUT"))
s.row("valid, GET without a body", "valid", both=dict(method="GET", body=b""))
s.row("another method", "signature_mismatch", sent=dict(method="PUT"))
s.row("another path", "signature_mismatch", sent=dict(url=PLAIN_URL + "/x"))
s.row("a query added", "signature_mismatch", sent=dict(url=PLAIN_URL + "?x=1"))
for version, content in {"v2": join("secret", "method", "url", "body"), "v1": join("secret", "body")}.items():
    s = body_only("hubspot-" + version, "X-HubSpot-Signature", HUBSPOT_BODY, content=content, sign=plain_digest, **HEX,
                  url=PLAIN_URL, headers=[("X-HubSpot-Signature-Version", version)])
    s.row("another version", "unsupported_version", both=dict(headers=[("X-HubSpot-Signature-Version", "v3")]))
    s.row("version missing", "unsupported_version", drop=["X-HubSpot-Signature-Version"])
    s.row("trap: an HMAC, which this scheme is not", "signature_mismatch",
          sign=lambda secret, content: mac()(secret, content.removeprefix(secret.encode())))
    if version == "v2":
        s.row("trap: escapes of the URL stay, other than in v3", "valid", both=dict(url=at))
        s.row("valid, GET without a body", "valid", both=dict(method="GET", body=b""))
        s.row("another method", "signature_mismatch", sent=dict(method="PUT"))
        s.row("another query", "signature_mismatch", both=dict(url=at), sent=dict(url=at + "1"))

for name, body, order, more in [
        ("square", {"merchant_id": "MLEXAMPLE", "type": "payment.created", "event_id": "ac3ac95b-1"}, ("url", "body"),
         dict(where=("x-square-hmacsha256-signature", "{sig}"))),
        ("trello", {"action": {"id": "51f9424bcd6e040f3c00", "type": "updateCard"}, "model": {"id": 1}}, ("body", "url"),
         dict(where=("X-Trello-Webhook", "{sig}"), **SHA1))]:
    s = Sender(name, body, content=join(*order), url=PLAIN_URL + "?tenant=1", **more)
    s.row("another query", "signature_mismatch", sent=dict(url=PLAIN_URL + "?tenant=0"))
    s.row("another path", "signature_mismatch", sent=dict(url="https://hooks.example.com/in2?tenant=1"))
    s.row("another host", "signature_mismatch", sent=dict(url="https://hooks.example.org/in?tenant=1"))
    s.row("http in place of https", "signature_mismatch", sent=dict(url="http://hooks.example.com/in?tenant=1"))
    s.row("valid, without a query", "valid", both=dict(url=PLAIN_URL))
    s.row("trap: URL and body in the other order", "signature_mismatch",
          sign=lambda secret, content, s=s, order=order: s.sign(secret, join(*reversed(order))(s.q)))


def contentful_content(q):
    """Method, path, headers and body on lines. The query is escaped once by itself, and again with the path."""
    path, _, query = path_and_query(q.url).partition("?")
    if query:
        path += "?" + escape(query, "-_.!~*'()")
    sent = {k.lower(): v.strip() for k, v in q.headers} | {"content-type": q.type, "x-contentful-timestamp": q.ts}
    names = sent["x-contentful-signed-headers"].split(",")
    return "\n".join([q.method, escape(path, ";,/?:@&=+$-_.!~*'()#"), ";".join(f"{n}:{sent[n]}" for n in names), ""]).encode() + q.body


CONTENTFUL = "application/vnd.contentful.management.v1+json"
s = timed("contentful", "x-contentful-signature", "{sig}", {"sys": {"type": "Entry", "id": "e1"}, "rev": 2}, contentful_content,
          Time("x-contentful-timestamp", "ms", 30), **HEX, url="https://hooks.example.com/cms", content_type=CONTENTFUL, type=CONTENTFUL,
          style=spaced, headers=[("X-Contentful-Topic", "ContentManagement.Entry.save"), ("x-contentful-signed-headers",
                                 "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic")])
cms = "https://hooks.example.com/c%20ms/it's?tenant=a%20b&x=1"
s.row("trap: the query is escaped twice, the path once more", "valid", both=dict(url=cms))
for times, make in {"once": lambda text: text, "once more, not twice": lambda text: escape(text, ";,/?:@&=+$-_.!~*'()#")}.items():
    s.row("trap: the URL escaped " + times, "signature_mismatch", both=dict(url=cms), sign=lambda secret, content, make=make: mac()(
        secret, b"POST\n" + make(path_and_query(cms)).encode() + b"\n" + content.split(b"\n", 2)[2]))
s.row("valid, the body with characters of all kinds", "valid", both=dict(body=raw({"note": NOTE})))
s.row("another method", "signature_mismatch", sent=dict(method="PUT"))
s.row("another path", "signature_mismatch", sent=dict(url="https://hooks.example.com/cms2"))
s.row("another query", "signature_mismatch", both=dict(url=cms), sent=dict(url=cms + "0"))
s.row("trap: the host is not signed", "valid", sent=dict(url="https://other.example.com/cms"))
s.row("a signed header changed on the way", "signature_mismatch",
      sent=dict(headers=[("X-Contentful-Topic", "ContentManagement.Entry.publish"), s.q.headers[1]]))
s.row("a header that is not signed beside", "valid", more=[("X-Contentful-CRN", "crn:example:1")])
s.row("the list of signed headers changed on the way", "signature_mismatch", sent=dict(headers=[
    s.q.headers[0], ("x-contentful-signed-headers", "content-type,x-contentful-signed-headers,x-contentful-timestamp")]))


def sorted_form(fields):
    """Names in order, the values of each in order and once; each name is followed by its value, without separators."""
    return "".join(name + value for name, value in sorted(set(fields)))


def form_content(q):
    return (q.signed_url or q.url).encode() + sorted_form(q.fields).encode()


TWILIO = [("CallSid", "CA0123"), ("Caller", "+14155550100"), ("From", "+14155550100"), ("To", "+14155550199"), ("Digits", "1234")]
base = "https://hooks.example.com/voice.php?foo=1&bar=2"
s = Sender("twilio", urlencode(TWILIO).encode(), ("X-Twilio-Signature", "{sig}"), form_content, **SHA1, url=base, signed_url=None,
           fields=TWILIO, content_type=FORM, headers=[("I-Twilio-Idempotency-Token", "0b6f0c5d-1")])
form = lambda fields, url=base, **more: dict(fields=fields, body=urlencode(fields).encode(), url=url, **more)
s.row("trap: names in another order", "valid", both=dict(form(TWILIO[::-1])))
s.row("trap: a value that is there twice counts once", "valid", both=form(TWILIO + [("To", "+14155550199")]))
s.row("trap: two values of one name are in order", "valid", both=form([("A", "b"), ("A", "a"), ("Digits", "1")]))
s.row("trap: upper case before lower case", "valid", both=form([("b", "1"), ("B", "2"), ("a", "3")]))
s.row("trap: names are sorted, not names with their values", "valid", both=form([("AB", "c"), ("A", "z")]))
s.row("trap: an empty value", "valid", both=form(TWILIO + [("Reason", "")]))
s.row("valid, with blanks, escapes and non-ASCII characters", "valid", both=form([("Body", NOTE), ("Digits", "1")]))
s.row("a parameter added", "signature_mismatch", sent=dict(body=s.q.body + b"&x=1"))
s.row("a parameter left out", "signature_mismatch", sent=dict(body=urlencode(TWILIO[1:]).encode()))
s.row("another query", "signature_mismatch", sent=dict(url=base.replace("foo=1", "foo=0")))
s.row("http in place of https", "signature_mismatch", sent=dict(url=base.replace("https:", "http:")))
s.row("trap: signed with the default port, configured without", "valid", both=dict(signed_url=base.replace(".com/", ".com:443/")))
s.row("trap: signed without a port, configured with the default port", "valid", sent=dict(url=base.replace(".com/", ".com:443/")))
s.row("trap: http, signed with port 80, configured without", "valid", both=dict(
    url=base.replace("https:", "http:"), signed_url="http://hooks.example.com:80/voice.php?foo=1&bar=2"))
s.row("trap: signed without a port, configured with port 8443", "valid", sent=dict(url=base.replace(".com/", ".com:8443/")))
s.row("trap: signed with port 8443, configured without", "signature_mismatch", both=dict(signed_url=base.replace(".com/", ".com:8443/")))
with_user = base.replace("https://", "https://jo:s3cret@")
s.row("trap: user info in the URL is kept", "valid", both=dict(url=with_user))
s.row("trap: user info in the URL, and the default port", "valid", both=dict(url=with_user, signed_url=with_user.replace(".com/", ".com:443/")))
s.row("trap: user info is signed", "signature_mismatch", both=dict(url=with_user, signed_url=base))
s.row("trap: an escaped apostrophe in the query stays escaped", "valid", both=dict(url=base + "&q=it%27s+1"))
s.row("trap: a bare apostrophe in the query stays bare", "valid", both=dict(url=base + "&q=it's+1"))
s.row("trap: %27 and ' are not the same", "signature_mismatch", both=dict(url=base + "&q=it%27s"), sent=dict(url=base + "&q=it's"))

json_body = raw({"property": "value", "n": 1})
hashed = lambda body: f"https://hooks.example.com/voice?foo=1&bodySHA256={hashlib.sha256(body).hexdigest()}"
s = Sender("twilio-json", json_body, ("X-Twilio-Signature", "{sig}"), lambda q: (q.signed_url or q.url).encode(), **SHA1,
           url=hashed(json_body), signed_url=None)
s.row("valid, an empty object", "valid", both=dict(body=b"{}", url=hashed(b"{}")))
s.row("valid, the body with characters of all kinds", "valid", both=dict(body=escaped({"note": NOTE}), url=hashed(escaped({"note": NOTE}))))
s.row("trap: no bodySHA256 in the query", "signature_mismatch", both=dict(url="https://hooks.example.com/voice?foo=1"),
      note="the MAC of the URL is right, but says nothing about the body")
s.row("trap: bodySHA256 is of another body", "signature_mismatch", both=dict(url=hashed(b"other")), note="the MAC of the URL is right")
s.row("bodySHA256 and body changed on the way", "signature_mismatch", sent=dict(body=b"{}", url=hashed(b"{}")))
s.row("trap: signed with the default port, configured without", "valid", both=dict(signed_url=s.q.url.replace(".com/", ".com:443/")))

events = json.dumps([{"event": "send", "_id": "exampleaaaaaaaaaaaaaaaaaaaaaaaaa", "ts": 1795305598, "msg": {"subject": "Gr\u00fc\u00dfe"}}])
fields = [("mandrill_events", events)]
s = Sender("mandrill", urlencode(fields).encode(), ("X-Mandrill-Signature", "{sig}"), form_content, **SHA1, url=PLAIN_URL + "?list=1",
           signed_url=None, fields=fields, content_type=FORM)
s.row("trap: several names, sorted", "valid", both=form([("mandrill_events", "[]"), ("b", "2"), ("a", "1")], PLAIN_URL))
s.row("another query", "signature_mismatch", sent=dict(url=PLAIN_URL + "?list=0"))
s.row("trap: the body as it was sent is not what is signed", "signature_mismatch",
      sign=lambda secret, content: mac("sha1")(secret, (PLAIN_URL + "?list=1").encode() + urlencode(fields).encode()))

NONCE = "05429567804466091622"
s = Sender("plivo-v2", b"CallUUID=e3a1&From=14155550100", ("X-Plivo-Signature-V2", "{sig}"), lambda q: q.url.split("?")[0].encode()
           + dict(map(tuple, q.headers))["X-Plivo-Signature-V2-Nonce"].encode(), url="https://hooks.example.com/answer",
           headers=[("X-Plivo-Signature-V2-Nonce", NONCE)], content_type=FORM,
           tamper=lambda q: dict(headers=[("X-Plivo-Signature-V2-Nonce", NONCE[:-1] + "3")]))
s.row("another path", "signature_mismatch", sent=dict(url="https://hooks.example.com/answer2"))
s.row("trap: the query is not signed", "valid", both=dict(url="https://hooks.example.com/answer?tenant=1"))
s.row("trap: the body is not signed", "valid", sent=dict(body=b"CallUUID=e3a1&From=14155550199"))


def mailgun_body(q, sig):
    signature = {"token": q.token, "timestamp": q.ts} | ({} if sig is None else {"signature": sig})
    return raw({"signature": signature, "event-data": {"event": q.event, "id": "Ase7i2zsRYeDXztHGENqRA", "timestamp": 1795305598.5}})


TOKEN = "c8a1f0d2b7e94563a1c0f9e8d7b6a5940312f4e5d6c7b8a990"
s = Sender("mailgun", b"", None, lambda q: (q.ts + q.token).encode(), **HEX, render=mailgun_body, token=TOKEN, event="delivered",
           time=Time(None, "s", None), tamper=lambda q: dict(token=q.token[:-1] + "1"))
s.row("trap: the rest of the body is not signed", "valid", sent=dict(event="opened"))
s.row("timestamp changed on the way", "signature_mismatch", sent=dict(ts=str(NOW - 5)))
s.render = lambda q, sig: b"--not json 1"
s.row("body is not JSON", "malformed_body")

ADYEN = "pspReference originalReference merchantAccountCode merchantReference amount/value amount/currency eventCode success".split()


def adyen_fields(item):
    """Eight fields with colons between. One that is absent is empty, and nothing is escaped."""
    def text(path):
        value = item
        for step in path.split("/"):
            value = (value or {}).get(step)
        return "" if value is None else str(value)
    return ":".join(text(path) for path in ADYEN).encode()


def adyen_body(q, sig):
    more = {} if sig is None else {"additionalData": {"hmacSignature": sig}}
    return q.style({"live": "false", "notificationItems": [{"NotificationRequestItem": more | q.item}]})


item = {"pspReference": "7914073381342284", "merchantAccountCode": "ExampleMerchant", "merchantReference": "Order-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"}, "eventCode": "AUTHORISATION", "success": "true", "reason": "052095:1111"}
refund = item | {"originalReference": "8913774681342281", "eventCode": "REFUND"}
s = Sender("adyen", b"", None, lambda q: adyen_fields(q.item), sign=mac(key=bytes.fromhex), encoding="hex", secret="A1B2C3D4E5F60718" * 4,
           other="18F60708E5D4C3B2" * 4, render=adyen_body, item=item, style=raw,
           tamper=lambda q: dict(item=q.item | {"amount": {"value": 1131, "currency": "EUR"}}))
s.row("trap: with originalReference", "valid", both=dict(item=refund))
s.row("trap: originalReference is null", "valid", both=dict(item=item | {"originalReference": None}))
s.row("trap: originalReference taken out on the way", "signature_mismatch", signed=dict(item=refund),
      sent=dict(item={k: v for k, v in refund.items() if k != "originalReference"}))
s.row("trap: an absent field still has its colon", "signature_mismatch",
      sign=lambda secret, content: s.sign(secret, content.replace(b"::", b":")))
odd = item | {"merchantReference": "a:b\\c:\\d"}
s.row("trap: colons and backslashes are not escaped", "valid", both=dict(item=odd))
s.row("trap: colons and backslashes were escaped", "signature_mismatch", both=dict(item=odd), sign=lambda secret, content: s.sign(
    secret, content.replace(b"a:b\\c:\\d", b"a\\:b\\\\c\\:\\\\d")))
s.row("trap: escapes of JSON are undone before signing", "valid", both=dict(item=item | {"merchantReference": "Gr\u00fc\u00dfe/1"}, style=escaped))
s.row("trap: the other fields are not signed", "valid", sent=dict(item=item | {"reason": "changed"}))
s.row("trap: success changed on the way", "signature_mismatch", sent=dict(item=item | {"success": "false"}))
s.row("trap: 33 bytes of base64", "malformed_signature", tag=lambda tag: tag + b"!")
s.row("trap: the key is hex, and not used as text", "signature_mismatch", sign=mac())
s.render = lambda q, sig: b"--not json 1"
s.row("body is not JSON", "malformed_body")

# -- a secret sent as it is -------------------------------------------------------------------------------------------


def token_rows(name, secret, other, request, expect_wrong="token_mismatch"):
    """`request(value)` gives headers, body and URL of a request with this value, or without one."""
    def row(what, expect, value, receiver=secret, **more):
        headers, body, url = request(value)
        emit(name, what, expect, headers, body, receiver, url=url, **more)
    row("valid", "valid", secret)
    row("wrong token", expect_wrong, other)
    row("token missing", "missing_token", None)
    row("token empty", "missing_token", "")
    row("one character less", expect_wrong, secret[:-1])
    row("one character more", expect_wrong, secret + "x")
    row("in another case", expect_wrong, secret.swapcase())
    row("rotation: the old token of two", "valid", secret, other, extra_secrets=[secret])
    return row


def token_header(name, header, body, secret=None, headers=()):
    def request(value):
        mine = [] if value is None else [(header, value)]
        return [("Content-Type", JSON), *headers, *mine], raw(body), None
    return token_rows(name, secret or f"fixture-{name}-token", f"fixture-{name}-another", request)


token_header("gitlab", "X-Gitlab-Token", {"object_kind": "push", "project_id": 15},
             headers=[("X-Gitlab-Event", "Push Hook"), ("Idempotency-Key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f")])
token_header("okta", "Authorization", {"eventType": "com.okta.event_hook", "eventId": "b5a188b9-1"})
row = token_header("auth0", "Authorization", [{"log_id": "90020261121", "data": {"type": "s"}}])
row("valid, a bearer token configured with its scheme", "valid", "Bearer fixture-auth0-token", "Bearer fixture-auth0-token")
row("trap: the value is compared whole, with its scheme", "token_mismatch", "Bearer fixture-auth0-token", "fixture-auth0-token")
token_header("telegram", "X-Telegram-Bot-Api-Secret-Token", {"update_id": 10000, "message": {"text": "/start"}})


def basic(name, body):
    def headers(value):
        return [("Content-Type", JSON)] + ([] if value is None else [("Authorization", value)])

    def row(what, expect, value, secret=f"{name}-user:fixture:p\u00e4ss", **more):
        emit(name, what, expect, headers(value), raw(body), secret, **more)

    wrap = lambda text: "Basic " + b64(text.encode())
    good = f"{name}-user:fixture:p\u00e4ss"
    row("valid", "valid", wrap(good), note="the password has a colon and a non-ASCII character")
    row("wrong password", "token_mismatch", wrap(good + "x"))
    row("wrong user", "token_mismatch", wrap("x" + good))
    row("user without a password", "token_mismatch", wrap(name + "-user:"))
    row("header missing", "missing_token", None)
    row("header empty", "missing_token", "")
    row("trap: the credentials without base64", "token_mismatch", "Basic " + name + "-user:fixture")
    row("another authentication scheme", "missing_token", "Bearer " + b64(good.encode()))
    row("rotation: the old credentials of two", "valid", wrap(good), "new:fixture", extra_secrets=[good])


basic("postmark", {"RecordType": "Delivery", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 23})
basic("chargebee", {"id": "ev_16BHbhF4s42tO2lK", "event_type": "subscription_created", "occurred_at": 1795305598})


def marketing(value):
    body = urlencode([("type", "subscribe"), ("fired_at", "2026-11-21 23:59:58"), ("data[email]", "jo@example.com")]).encode()
    query = "" if value is None else "&" + urlencode({"secret": value})
    return [("Content-Type", FORM)], body, PLAIN_URL + "?list=1" + query


row = token_rows("mailchimp-marketing", "fixture-marketing+token/1", "fixture-marketing-another", marketing)
emit("mailchimp-marketing", "trap: the token in the body counts for nothing", "missing_token", [("Content-Type", FORM)],
     b"type=subscribe&secret=fixture-marketing%2Btoken%2F1", "fixture-marketing+token/1", url=PLAIN_URL + "?list=1")


def graph(value, resource="Users/48d31887/Messages/1"):
    state = {} if value is None else {"clientState": value}
    return [("Content-Type", JSON)], raw({"value": [{"subscriptionId": "7f105c7d-1", "changeType": "created", "resource": resource} | state]}), None


token_rows("microsoft-graph", "fixture-graph-client-state", "fixture-graph-another", graph)
for name, body, expect in [("body is not JSON", b"validation 1", "malformed_body"), ("no notifications", b'{"value":[]}', "missing_token"),
                           ("trap: clientState at the top of the body counts for nothing",
                            b'{"clientState":"fixture-graph-client-state","value":[{"changeType":"created"}]}', "missing_token")]:
    emit("microsoft-graph", name, expect, [("Content-Type", JSON)], body, "fixture-graph-client-state")
emit("microsoft-graph", "trap: the rest of the body is not signed", "valid", *graph("fixture-graph-client-state", "changed")[:2],
     "fixture-graph-client-state")

# -- public keys ------------------------------------------------------------------------------------------------------


def not_reduced(tag):
    """The same signature with the order of the group added to its second half."""
    return tag[:32] + (int.from_bytes(tag[32:], "little") + ED25519_ORDER).to_bytes(32, "little")


V1A = ["whpk_" + b64(ed_public(key)) for key in ED]
s = standard("standard-webhooks-v1a", {"type": "contact.created", "data": {"id": 1}}, version="v1a", sign=ed_sign, secret=V1A[0],
             other=V1A[1], encoding="whpk")
s.row("trap: a v1 signature beside a v1a", "valid", lines=s.value("v1,Zm9v v1a,{sig}"))
s.row("trap: a v1 signature only, though it is the right HMAC of the key", "unsupported_version", lines=s.value("v1,{sig}"),
      sign=lambda secret, content: hmac.new(base64.b64decode(secret[5:]), content, "sha256").digest())
s.row("trap: a scalar that is not reduced", "signature_mismatch", tag=not_reduced)
s = timed("discord", "X-Signature-Ed25519", "{sig}", {"id": "995105663481028770", "type": 1, "version": 1}, join("ts", "body"),
          Time("X-Signature-Timestamp", "s", None), sign=ed_sign, **HEX, encoding="hex", secret=ed_public(ED[0]).hex(), other=ed_public(ED[1]).hex())
s.row("trap: a scalar that is not reduced", "signature_mismatch", tag=not_reduced)
s.row("trap: the body before the time", "signature_mismatch", sign=lambda secret, content: ed_sign(secret, content[10:] + content[:10]))
s = timed("telnyx", "telnyx-signature-ed25519", "{sig}", {"data": {"event_type": "call.initiated", "id": "0ccc7b54-1"}}, join("ts", "|", "body"),
          Time("telnyx-timestamp"), sign=ed_sign, encoding="base64", secret=b64(ed_public(ED[0])), other=b64(ed_public(ED[1])))
s.row("trap: a scalar that is not reduced", "signature_mismatch", tag=not_reduced)

event = raw([{"email": "jo@example.com", "event": "dropped", "sg_event_id": "ZHJvcC0x", "timestamp": 1795305598}]) + b"\r\n"
s = timed("sendgrid", "X-Twilio-Email-Event-Webhook-Signature", "{sig}", event, join("ts", "body"),
          Time("X-Twilio-Email-Event-Webhook-Timestamp", "s", None), sign=ecdsa_sign, encoding="spki-base64", secret=b64(spki(EC[0])), other=b64(spki(EC[1])))
s.row("trap: the CR LF at the end of the body is signed", "signature_mismatch", sent=dict(body=event[:-2]))
s.row("trap: a line feed alone is not the same", "signature_mismatch", sent=dict(body=event[:-2] + b"\n"))


def other_half(tag):
    r, s = decode_dss_signature(tag)
    return encode_dss_signature(r, P256_ORDER - s)


low = lambda tag: min(tag, other_half(tag), key=lambda t: decode_dss_signature(t)[1])
s.row("trap: s in the lower half of its range", "valid", tag=low)
s.row("trap: s in the upper half of its range", "valid", tag=lambda tag: other_half(low(tag)), note="senders do not normalise it")
s.row("trap: r and s without DER", "malformed_signature", tag=lambda tag: b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(tag)))
s.row("trap: DER with a length in the long form", "malformed_signature", tag=lambda tag: b"\x30\x81" + tag[1:])
s.row("trap: r and s are zero", "signature_mismatch", tag=lambda tag: encode_dss_signature(0, 0))

# PayPal: id, time, the receiver's own webhook id and the decimal CRC-32 of the body, with bars between.
PAYPAL_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
PAYPAL_FIXED = [("PAYPAL-AUTH-ALGO", "SHA256withRSA"), ("PAYPAL-CERT-URL", PAYPAL_URL)]
paid = (b'{"id":"WH-7Y7254563A4550640-11V2185806837105M","event_type":"PAYMENT.CAPTURE.COMPLETED","create_time":"2026-11-21T23:59:58Z",'
        b'"resource":{"id":"42311647XV020574X","amount":{"value":"57.60","currency_code":"EUR"}}}')
s = timed("paypal", "PAYPAL-TRANSMISSION-SIG", "{sig}", paid, lambda q: f"{q.id}|{q.ts}|{q.webhook_id}|{zlib.crc32(q.body)}".encode(),
          Time("PAYPAL-TRANSMISSION-TIME", "rfc3339", None), sign=rsa_sign(), encoding="x509-pem", secret=CERT_PAYPAL[0], other=CERT_PAYPAL[1],
          id=("PAYPAL-TRANSMISSION-ID", "69cd13f0-d67a-11e5-baa3-778b53f4ae55"), webhook_id="1JE4291016473214C", headers=PAYPAL_FIXED,
          parameters={"webhook_id": "1JE4291016473214C"})
twin = paid.replace(b"57.60", b"99.90")[:-1] + b',"pad":"bbcbbbbcccbbbcbbcbbccbcbcbbbccccbbbbbbbbbbbbbbbb"}'
assert zlib.crc32(twin) == zlib.crc32(paid)
s.row("trap: another body with the same CRC-32 is not told apart", "valid", sent=dict(body=twin),
      note="a weakness of the sender's scheme: the body is covered by 32 bits that anybody can match")
s.row("valid, a CRC-32 below 2^31 and one above are both unsigned", "valid", both=dict(body=b"{}"))
s.row("valid, the CRC-32 in nine digits or fewer is not padded", "valid", both=dict(body=next(
    b for b in (b'{"n":%d}' % n for n in range(10**6)) if zlib.crc32(b) < 10**8)))
s.row("signed for another webhook id", "signature_mismatch", signed=dict(webhook_id="2JE4291016473214D"))
s.row("certificate no longer valid", "expired_key", now=calendar.timegm((2036, 1, 2, 0, 0, 0)))
s.row("certificate not yet valid", "expired_key", now=calendar.timegm((2025, 12, 31, 0, 0, 0)))
with_url = lambda url: dict(headers=[PAYPAL_FIXED[0], ("PAYPAL-CERT-URL", url)])
s.row("valid, a certificate of the sandbox", "valid", both=with_url(PAYPAL_URL.replace("api.", "api.sandbox.")))
for what, url in {"another host": "https://certs.example.com/CERT-1", "the host as a prefix": "https://api.paypal.com.example.com/CERT-1",
                  "the host as user info": "https://api.paypal.com@example.com/CERT-1", "the host in the path": "https://example.com/api.paypal.com/CERT-1",
                  "the host as a suffix without a dot": "https://notpaypal.com/CERT-1", "http": PAYPAL_URL.replace("https", "http")}.items():
    s.row("trap: certificate URL with " + what, "unknown_key_host", both=with_url(url))
s.row("another algorithm", "unsupported_version", both=dict(headers=[("PAYPAL-AUTH-ALGO", "SHA1withRSA"), PAYPAL_FIXED[1]]))
s.row("algorithm missing", "unsupported_version", drop=["PAYPAL-AUTH-ALGO"])
s.row("RSA with SHA-1", "signature_mismatch", sign=rsa_sign(hashes.SHA1))


# SNS: fields of the body by name, each as its name and its value on lines.
def sns_fields(message):
    """Confirmations sign Token and SubscribeURL, notifications a Subject if there is one."""
    names = ("Message MessageId Subject Timestamp TopicArn Type" if message["Type"] == "Notification"
             else "Message MessageId SubscribeURL Timestamp Token TopicArn Type").split()
    return "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()


def sns_body(q, sig):
    more = {} if sig is None else {"Signature": sig}
    message = q.message | {"SignatureVersion": q.version} | more | {"SigningCertURL": q.cert}
    return q.style(message)


SNS_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-56e67fcb41f6fec09b0196692625d385.pem"
note = {"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": "arn:aws:sns:us-east-1:123456789012:Example",
        "Message": "Hello\nworld \u2615 \"1\"", "Timestamp": "2026-11-21T23:59:58.250Z",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:123456789012:Example:c9135db0"}
titled = {"Type": "Notification", "MessageId": note["MessageId"], "TopicArn": note["TopicArn"], "Subject": "My subject"} | note
confirm = {"Type": "SubscriptionConfirmation", "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "Token": "2336412f37fb687f5d51e6e241d0",
           "TopicArn": note["TopicArn"], "Message": "You have chosen to subscribe to the topic.\nTo confirm, visit the SubscribeURL.",
           "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37fb687f5d51e6e241d0",
           "Timestamp": note["Timestamp"]}


class Sns(Sender):
    """Like the others, with the type of the message in a header too."""

    def row(self, *what, both=None, signed=None, sent=None, **more):
        message = (sent or {}).get("message") or (signed or {}).get("message") or (both or {}).get("message") or self.q.message
        headers = [("x-amz-sns-message-type", message.get("Type", "")), ("x-amz-sns-message-id", message.get("MessageId", "").replace("\n", " "))]
        super().row(*what, both=both, signed=signed, sent=dict(headers=headers) | (sent or {}), **more)


for name, version, good, bad in [("sns", "2", hashes.SHA256, hashes.SHA1), ("sns-v1", "1", hashes.SHA1, hashes.SHA256)]:
    s = Sns(name, b"", None, lambda q: sns_fields(q.message), sign=rsa_sign(good), encoding="x509-pem", secret=CERT_SNS[0], other=CERT_SNS[1],
            now=NOW, render=sns_body, message=note, version=version, cert=SNS_URL, style=spaced, content_type="text/plain; charset=UTF-8",
            tamper=lambda q: dict(message=q.message | {"Message": "Hello\nworld \u2615 \"0\""}))
    s.row("valid, with a subject", "valid", both=dict(message=titled))
    s.row("trap: the subject taken out on the way", "signature_mismatch", signed=dict(message=titled), sent=dict(message=note))
    s.row("trap: a subject put in on the way", "signature_mismatch", sent=dict(message=titled))
    s.row("valid, a confirmation of a subscription", "valid", both=dict(message=confirm))
    s.row("valid, a confirmation that a subscription has ended", "valid", both=dict(message=confirm | {"Type": "UnsubscribeConfirmation"}))
    s.row("trap: the URL of a confirmation changed on the way", "signature_mismatch", signed=dict(message=confirm),
          sent=dict(message=confirm | {"SubscribeURL": "https://example.com/"}))
    s.row("trap: the token of a confirmation changed on the way", "signature_mismatch", signed=dict(message=confirm),
          sent=dict(message=confirm | {"Token": "1"}))
    s.row("trap: the type changed on the way", "signature_mismatch", signed=dict(message=confirm), sent=dict(message=confirm | {"Type": "Notification"}))
    s.row("trap: what is not signed may change", "valid", sent=dict(message=note | {"UnsubscribeURL": "https://example.com/"}))
    s.row("trap: other escapes in the body do not matter", "valid", both=dict(style=escaped))
    s.row("trap: a line feed in an id hides another field", "malformed_body", signed=dict(message=titled), sent=dict(message=note | {
        "MessageId": note["MessageId"] + "\nSubject\nMy subject"}), note="the signed content is the same; the id, and so the duplicate, is not")
    s.row("trap: the message swallows the id", "malformed_body", sent=dict(message={k: v for k, v in note.items() if k != "MessageId"} | {
        "Message": note["Message"] + "\nMessageId\n" + note["MessageId"]}), note="the signed content is the same")
    s.row("another signature version", "unsupported_version", both=dict(version="3"))
    s.row("the signature of the other version", "signature_mismatch", sign=rsa_sign(bad))
    s.row("the other version, rightly signed", "unsupported_version", both=dict(version="1" if version == "2" else "2"), sign=rsa_sign(bad))
    for what, url in {"another host": "https://certs.example.com/cert.pem", "the host as a prefix": "https://sns.us-east-1.amazonaws.com.example.com/cert.pem",
                      "the host as user info": "https://sns.us-east-1.amazonaws.com@example.com/cert.pem", "http": SNS_URL.replace("https", "http"),
                      "another service of the same owner": "https://s3.us-east-1.amazonaws.com/bucket/cert.pem"}.items():
        s.row("trap: certificate URL with " + what, "unknown_key_host", both=dict(cert=url))
    s.row("valid, a certificate of another region", "valid", both=dict(cert=SNS_URL.replace("us-east-1", "eu-central-1")))
    s.row("certificate no longer valid", "expired_key", now=calendar.timegm((2036, 1, 2, 0, 0, 0)))
    s.row("certificate not yet valid", "expired_key", now=calendar.timegm((2025, 12, 31, 0, 0, 0)))
    s.render = lambda q, sig: b"--not json 1"
    s.row("body is not JSON", "malformed_body")

# -- JSON Web Tokens --------------------------------------------------------------------------------------------------


def segment(value):
    return b64url(raw(value))


class Jwt:
    def __init__(self, name, header, body, claims, secret, other, *, prefix="", encoding="utf8", head=None, sign=None, now=None, headers=(), loose=()):
        self.name, self.header, self.body, self.claims = name, header, raw(body), claims
        self.secret, self.other, self.prefix, self.encoding = secret, other, prefix, encoding
        self.head = head or {"alg": "HS256", "typ": "JWT"}
        self.sign, self.now, self.headers = sign or mac(), now, list(headers)
        self.usual()

    def token(self, claims, head, key, sign=None):
        text = segment(head) + "." + segment(claims)
        return text + "." + b64url((sign or self.sign)(key, text.encode()))

    def row(self, name, expect, *, claims=None, head=None, key=None, body=None, send=None, change=None, sign=None, now=None, prefix=None, **more):
        made = self.token(self.claims(self.body) if claims is None else claims, self.head | (head or {}), key or self.secret, sign)
        made = change(made) if change else made
        value = (self.prefix if prefix is None else prefix) + made
        mine = [] if send == "nothing" else [(self.header, "" if send == "empty" else value)]
        more = dict(secret=self.secret) | more
        emit(self.name, name, expect, [("Content-Type", JSON), *self.headers, *mine], body or self.body, more.pop("secret"),
             self.encoding, now=self.now if now is None else now, **more)

    def usual(self):
        row, parts = self.row, lambda t: t.split(".")
        row("valid", "valid")
        row("wrong secret", "signature_mismatch", key=self.other)
        row("rotation: signed with the old secret of two", "valid", secret=self.other, extra_secrets=[self.secret])
        row("signature missing", "missing_signature", send="nothing")
        row("signature empty", "missing_signature", send="empty")
        changed = self.claims(self.body) | {"jti": "changed"}
        row("claims changed on the way", "signature_mismatch", change=lambda t: ".".join([parts(t)[0], segment(changed), parts(t)[2]]))
        spoilt = lambda t: b64url(flip_first(base64.urlsafe_b64decode(parts(t)[2] + "==")))
        row("one bit of the signature changed", "signature_mismatch", change=lambda t: ".".join(parts(t)[:2] + [spoilt(t)]))
        row("one part missing", "malformed_signature", change=lambda t: t.rpartition(".")[0])
        row("one part too many", "malformed_signature", change=lambda t: t + ".e30")
        row("not base64url", "malformed_signature", change=lambda t: "*" + t[1:])
        row("signature padded", "malformed_signature", change=lambda t: t + "=" * (-len(parts(t)[2]) % 4))
        row("signature with an unused bit set", "malformed_signature",
            change=lambda t: ".".join(parts(t)[:2] + [loose_bits(parts(t)[2])]))
        row("truncated signature", "malformed_signature", change=lambda t: t[:-22])
        row("header is not JSON", "malformed_signature", change=lambda t: b64url(b"not json") + "." + ".".join(parts(t)[1:]),
            note="nothing can be read in it, so its signature is not judged")
        for alg in ("none", "None", "NONE"):
            row(f"trap: alg is {alg}, and there is no signature", "unsupported_version", head={"alg": alg}, change=lambda t: t.rpartition(".")[0] + ".")
        row("trap: alg is none, with a signature", "unsupported_version", head={"alg": "none"})
        other = mac("sha512") if self.head["alg"] == "HS256" else mac()
        row("trap: another alg, rightly signed", "unsupported_version", head={"alg": "HS512" if self.head["alg"] == "HS256" else "HS256"}, sign=other)
        row("trap: alg RS256", "unsupported_version", head={"alg": "RS256"})
        row("trap: a critical extension that is not known", "unsupported_version", head={"crit": ["exp"], "exp": 1})
        if self.prefix:
            row("prefix missing", "malformed_signature", prefix="")

    def hash_rows(self, claim):
        good = self.claims(self.body)
        self.row("one bit of the body changed", "signature_mismatch", body=one_bit(self.body))
        self.row("body hash of another body", "signature_mismatch", claims=good | {claim: hashlib.sha256(b"other").hexdigest()})
        self.row("body hash cut short", "signature_mismatch", claims=good | {claim: good[claim][:32]})
        self.row("body hash missing", "signature_mismatch", claims={k: v for k, v in good.items() if k != claim},
                 note="such a token says nothing about the body")
        self.row("valid, more claims beside", "valid", claims=good | {"jti": "a1", "extra": {"sha256": "x"}})


digest = lambda body: hashlib.sha256(body).hexdigest()
j = Jwt("netlify", "X-Webhook-Signature", {"id": "5d3f1a", "state": "ready", "name": "example", "n": 1},
        lambda body: {"iss": "netlify", "sha256": digest(body)}, "fixture-netlify-secret", "fixture-netlify-another",
        headers=[("X-Netlify-Event", "deploy_created")])
j.hash_rows("sha256")
j.row("another issuer", "wrong_issuer", claims={"iss": "example", "sha256": digest(j.body)})
j.row("issuer missing", "wrong_issuer", claims={"sha256": digest(j.body)})

j = Jwt("vonage", "Authorization", {"message_uuid": "aaaaaaaa-1", "from": "14155550100", "status": "delivered", "n": 1},
        lambda body: {"iat": NOW - 2, "jti": "c5ba8f24-1", "iss": "Vonage", "payload_hash": digest(body), "api_key": "a1b2c3d4"},
        "fixture-vonage-signature-secret", "fixture-vonage-another", prefix="Bearer ", now=NOW)
j.hash_rows("payload_hash")
j.row("another authentication scheme", "malformed_signature", prefix="Basic ")

j = Jwt("monday", "Authorization", {"event": {"type": "create_item", "boardId": 1234, "pulseId": 1}},
        lambda body: {"accountId": 1825529, "userId": 4012689, "aud": "https://hooks.example.com/monday", "iat": NOW - 2, "exp": NOW + 298},
        "fixture-monday-signing-secret", "fixture-monday-another", now=NOW)
good = j.claims(b"")
j.row("one second before it expires", "valid", claims=good | {"exp": NOW + 1})
j.row("at the second when it expires", "token_expired", claims=good | {"exp": NOW})
j.row("expired a day ago", "token_expired", claims=good | {"exp": NOW - 86400})
j.row("trap: the body is not signed", "valid", body=one_bit(j.body))
j.row("trap: expired, and then put off on the way", "signature_mismatch", claims=good | {"exp": NOW - 86400}, change=lambda t: ".".join(
    [t.split(".")[0], segment(good), t.split(".")[2]]))

KID = "bfbd5111-8e33-4643-8ced-b2e642a72f3c"
JWKS = [jwk(EC[0], KID), jwk(EC[1], KID)]
EC_OF = dict(zip(JWKS, EC))


def es256(secret, content):
    r, s = decode_dss_signature(EC_OF[secret].sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def es256_der(secret, content):
    return EC_OF[secret].sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


j = Jwt("plaid", "Plaid-Verification", {"webhook_type": "TRANSACTIONS", "webhook_code": "SYNC_UPDATES_AVAILABLE", "item_id": "wz666MBj1"},
        lambda body: {"iat": NOW - 2, "request_body_sha256": digest(body)}, JWKS[0], JWKS[1], encoding="jwk",
        head={"alg": "ES256", "kid": KID, "typ": "JWT"}, sign=es256, now=NOW)
j.hash_rows("request_body_sha256")
good = j.claims(j.body)
public_pem = EC[0].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
for what, key in {"PEM": public_pem, "JWK": JWKS[0].encode(), "DER": spki(EC[0])}.items():
    j.row(f"trap: HS256 with the public key as its secret, as {what}", "unsupported_version", head={"alg": "HS256"},
          sign=lambda secret, content, key=key: hmac.new(key, content, "sha256").digest())
j.row("trap: DER where r and s are expected", "malformed_signature", sign=es256_der)
j.row("trap: r and s are zero", "signature_mismatch", sign=lambda secret, content: bytes(64))
j.row("trap: the kid of another key", "signature_mismatch", head={"kid": "00000000-8e33-4643-8ced-b2e642a72f3c"}, note="no key of this id is known")
j.row("issued 300 s ago", "valid", claims=good | {"iat": NOW - 300})
j.row("issued 301 s ago", "timestamp_too_old", claims=good | {"iat": NOW - 301})
j.row("issued 300 s from now", "valid", claims=good | {"iat": NOW + 300})
j.row("issued 301 s from now", "timestamp_in_future", claims=good | {"iat": NOW + 301})
j.row("time of issue missing", "missing_timestamp", claims={"request_body_sha256": digest(j.body)})
j.row("trap: the body is hashed as it was sent, blanks included", "signature_mismatch", body=spaced(json.loads(j.body)))

# -- output -----------------------------------------------------------------------------------------------------------

names = [(row["provider"], row["name"]) for row in rows]
assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
print("[")
print(",\n".join(json.dumps(row, ensure_ascii=True) for row in rows))
print("]")
