"""Prints presets.json: requests, good and bad, for the built-in schemes of common senders.

    python3 tests/vectors/make_presets.py > tests/vectors/presets.json

Python 3 standard library only. It shares no code with the crates, so that a mistake in their
signing or parsing cannot also be in the expectations. The output is the same on every run.

Each refused row has one fault only: everything else in it, the HMAC included, is right.
"""

import base64
import hashlib
import hmac
import json
import sys

NOW = 1795305600
TOLERANCE = 300
HOST = "receiver.example.test"
JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"


def compact(value):
    """JSON as most senders write it: no blanks, non-ASCII characters as raw UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def escaped(value):
    """JSON with non-ASCII characters written as \\u escapes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def hmac_sha256(key, content):
    return hmac.new(key, content, hashlib.sha256).digest()


def b64(data):
    return base64.b64encode(data).decode("ascii")


def one_bit(body):
    """The body with the lowest bit of its last ASCII digit flipped: another digit, still JSON."""
    at = max(i for i, byte in enumerate(body) if 0x30 <= byte <= 0x39)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]


def flip(mac, at):
    """The MAC with one bit flipped in the byte at this index."""
    out = bytearray(mac)
    out[at] ^= 1
    return bytes(out)


def mixed_case(text):
    return "".join(c.upper() if i % 2 else c for i, c in enumerate(text))


class Hex:
    NOT_DECODABLE = "z" * 64

    @staticmethod
    def encode(mac):
        return mac.hex()

    @staticmethod
    def one_char_short(mac):
        return mac.hex()[:-1]


class Base64:
    NOT_DECODABLE = "*" * 43 + "="

    @staticmethod
    def encode(mac):
        return b64(mac)

    @staticmethod
    def one_char_short(mac):
        return b64(mac)[1:]  # from the front: without its last character it would only lack padding


class Sender:
    """What the schemes have in common; each scheme fills in its own part below."""

    system = scheme = agent = signature_header = ""
    timestamp_header = id_header = None
    encoding = Hex
    secret = old_secret = other_secret = ""
    message_id = None

    def __init__(self):
        self.rows = []
        self.body = self.default_body()

    # -- the scheme ---------------------------------------------------------------------------

    def default_body(self):
        raise NotImplementedError

    def key(self, secret):
        return secret.encode("utf-8")

    def content(self, body, ts, message_id):
        return body

    def wrap(self, text, ts):
        """An encoded MAC as the value of the signature header."""
        return text

    def own_headers(self):
        return []

    # -- signing ------------------------------------------------------------------------------

    def mac(self, body=None, secret=None, ts=str(NOW), message_id=None, key=None):
        body = self.body if body is None else body
        key = self.key(self.secret if secret is None else secret) if key is None else key
        message_id = self.message_id if message_id is None else message_id
        return hmac_sha256(key, self.content(body, ts, message_id))

    def encoded(self, **what):
        return self.encoding.encode(self.mac(**what))

    def value(self, ts=str(NOW), **what):
        return self.wrap(self.encoded(ts=ts, **what), ts)

    # -- one row ------------------------------------------------------------------------------

    def row(self, name, expect, *lines, signed=True, body=None, secret=None, extra_secrets=None,
            ts=str(NOW), message_id=None, no_id=False, content_type=JSON_TYPE, own=None,
            header=None, more=(), case=None, note=None):
        """Adds a row. `lines` are the values of the signature header, one per header line; with
        none given the request is signed for what it carries, unless `signed` is false.
        A `ts` of None leaves the timestamp out."""
        body = self.body if body is None else body
        message_id = self.message_id if message_id is None else message_id
        if not lines and signed:
            lines = (self.value(body=body, secret=secret, ts=ts or "", message_id=message_id),)
        headers = [("Host", HOST), ("User-Agent", self.agent), ("Content-Type", content_type)]
        headers += self.own_headers() if own is None else own
        if self.id_header and not no_id:
            headers.append((self.id_header, message_id))
        if self.timestamp_header and ts is not None:
            headers.append((self.timestamp_header, ts))
        headers += [(header or self.signature_header, line) for line in lines]
        headers += more
        if case == "h2":
            headers = [(k.lower(), v) for k, v in headers if k != "Host"]
        elif case == "upper":
            headers = [(k.upper(), v) for k, v in headers]
        elif case == "mixed":
            headers = [(mixed_case(k), v) for k, v in headers]
        row = {
            "system": self.system,
            "scheme": self.scheme,
            "name": name,
            "method": "POST",
            "target": "/hooks/" + self.scheme,
            "headers": [list(h) for h in headers],
            "body_base64": b64(body),
            "secret": self.secret if secret is None else secret,
            "now": NOW,
            "expect": expect,
        }
        if extra_secrets is not None:
            row["extra_secrets"] = extra_secrets
        if note:
            row["note"] = note
        self.rows.append(row)

    # -- rows that every scheme has -----------------------------------------------------------

    def header_case_rows(self):
        self.row("header_names_lower_case_h2", "valid", case="h2")
        self.row("header_names_upper_case", "valid", case="upper")
        self.row("header_names_mixed_case", "valid", case="mixed")

    def body_rows(self):
        self.row("body_trailing_newline", "valid", body=self.body + b"\n")
        self.row("body_trailing_crlf", "valid", body=self.body + b"\r\n")
        self.row("neg_body_newline_added", "signature_mismatch", self.value(), body=self.body + b"\n")
        self.row("neg_body_newline_taken_away", "signature_mismatch",
                 self.value(body=self.body + b"\n"))
        self.row("neg_body_one_bit", "signature_mismatch", self.value(), body=one_bit(self.body))
        self.row("neg_body_empty_in_flight", "signature_mismatch", self.value(), body=b"")
        self.row("neg_body_spaced_out_again", "signature_mismatch", self.value(),
                 body=json.dumps(json.loads(self.body), ensure_ascii=False).encode("utf-8"),
                 note="the same JSON value parsed and written again, with blanks after ':' and ','")

    def odd_body_rows(self):
        """Bodies that need not be JSON: for schemes that read nothing from the body."""
        self.row("body_empty", "valid", body=b"")
        self.row("body_not_utf8", "valid", body=b'{"name":"Zo\xeb","city":"K\xf6ln"}',
                 content_type="application/json; charset=iso-8859-1",
                 note="ISO 8859-1 bytes, not UTF-8")
        self.row("body_embedded_nul", "valid", body=b"before\x00after\x00", content_type=BINARY_TYPE)
        self.row("body_all_byte_values", "valid", body=bytes(range(256)), content_type=BINARY_TYPE)
        self.row("neg_body_cut_at_nul", "signature_mismatch", self.value(body=b"before\x00after\x00"),
                 body=b"before", content_type=BINARY_TYPE)

    def secret_rows(self):
        self.row("rotation_signed_with_the_old_secret", "valid", self.value(secret=self.old_secret),
                 extra_secrets=[self.old_secret])
        self.row("rotation_signed_with_the_new_secret", "valid", extra_secrets=[self.old_secret])
        self.row("neg_rotation_signed_with_neither", "signature_mismatch",
                 self.value(secret=self.other_secret), extra_secrets=[self.old_secret])
        self.row("neg_old_secret_after_rotation", "signature_mismatch",
                 self.value(secret=self.old_secret))
        self.row("neg_other_secret", "signature_mismatch", self.value(secret=self.other_secret))
        self.row("neg_hmac_with_empty_key", "signature_mismatch", self.value(key=b""))
        self.row("neg_receiver_secret_empty", "invalid_secret", self.value(key=b""), secret="")

    def signature_rows(self):
        mac, wrap, enc = self.mac(), lambda text: self.wrap(text, str(NOW)), self.encoding
        self.row("neg_signature_header_missing", "missing_signature", signed=False)
        self.row("neg_signature_header_empty", "missing_signature", "")
        self.row("neg_signature_first_byte_one_bit", "signature_mismatch",
                 wrap(enc.encode(flip(mac, 0))))
        self.row("neg_signature_last_byte_one_bit", "signature_mismatch",
                 wrap(enc.encode(flip(mac, -1))))
        self.row("neg_signature_all_zero", "signature_mismatch", wrap(enc.encode(bytes(32))))
        self.row("neg_signature_not_decodable", "malformed_signature", wrap(enc.NOT_DECODABLE))
        self.row("neg_signature_one_char_short", "malformed_signature", wrap(enc.one_char_short(mac)))
        self.row("neg_signature_mac_cut_to_16_bytes", "malformed_signature",
                 wrap(enc.encode(mac[:16])))
        self.row("neg_signature_mac_31_bytes", "malformed_signature", wrap(enc.encode(mac[:31])))
        self.row("neg_signature_mac_plus_one_byte", "malformed_signature",
                 wrap(enc.encode(mac + b"\0")))

    def two_header_rows(self):
        good, bad = self.value(), self.value(secret=self.other_secret)
        self.row("neg_two_signature_headers_good_first", "ambiguous_header", good, bad)
        self.row("neg_two_signature_headers_good_last", "ambiguous_header", bad, good)
        self.row("neg_two_signature_headers_equal", "ambiguous_header", good, good)

    def hex_rows(self):
        wrap, text = lambda t: self.wrap(t, str(NOW)), self.encoded()
        assert text != text.upper() and mixed_case(text) not in (text, text.upper())
        self.row("hex_upper_case", "valid", wrap(text.upper()))
        self.row("hex_mixed_case", "valid", wrap(mixed_case(text)))
        self.row("neg_hex_0x", "malformed_signature", wrap("0x" + text))
        self.row("neg_hex_0x_in_64_chars", "malformed_signature", wrap("0x" + text[2:]))
        self.row("neg_hex_inner_space", "malformed_signature", wrap(text[:32] + " " + text[32:]))
        self.row("neg_base64_instead_of_hex", "malformed_signature", wrap(b64(self.mac())))

    def base64_rows(self):
        body, text = self.body_with_plus_and_slash()
        wrap = lambda t: self.wrap(t, str(NOW))
        self.row("base64_with_plus_and_slash", "valid", wrap(text), body=body)
        self.row("neg_base64_url_safe_alphabet", "malformed_signature",
                 wrap(text.replace("+", "-").replace("/", "_")), body=body)
        self.row("neg_base64_no_padding", "malformed_signature", wrap(text.rstrip("=")), body=body)
        self.row("neg_base64_too_much_padding", "malformed_signature", wrap(text + "="), body=body)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        stray = text[:42] + alphabet[alphabet.index(text[42]) | 1] + "="
        assert stray != text and base64.b64decode(stray) == base64.b64decode(text)
        self.row("neg_base64_trailing_bits_set", "malformed_signature", wrap(stray), body=body,
                 note="not canonical: a lenient decoder gives the right 32 bytes")
        self.row("neg_hex_instead_of_base64", "malformed_signature", wrap(self.mac().hex()),
                 note="64 hex characters are also base64, of 48 bytes")

    def body_with_plus_and_slash(self):
        """The first of a row of bodies whose signature has both characters of the standard
        alphabet that the URL-safe one replaces."""
        seq = 0
        while True:
            body = compact({"type": "counter.changed", "data": {"seq": seq}})
            text = self.encoded(body=body)
            if "+" in text and "/" in text:
                return body, text
            seq += 1

    def timestamp_rows(self):
        for name, ts, expect in (
            ("timestamp_age_300", NOW - TOLERANCE, "valid"),
            ("timestamp_future_300", NOW + TOLERANCE, "valid"),
            ("neg_timestamp_age_301", NOW - TOLERANCE - 1, "timestamp_too_old"),
            ("neg_timestamp_future_301", NOW + TOLERANCE + 1, "timestamp_in_future"),
            ("neg_timestamp_one_day_old", NOW - 86400, "timestamp_too_old"),
            ("neg_timestamp_milliseconds", NOW * 1000, "timestamp_in_future"),
            ("neg_timestamp_wraps_in_32_bits", 2 ** 32 + NOW, "timestamp_in_future"),
        ):
            self.row(name, expect, ts=str(ts))
        for name, ts in (
            ("plus_sign", "+%d" % NOW),
            ("minus_one", "-1"),
            ("minus_now", "-%d" % NOW),
            ("decimal_point", "1.0"),
            ("now_with_fraction", "%d.0" % NOW),
            ("exponent", "1e9"),
            ("leading_zero", "0%d" % NOW),
            ("hexadecimal", "0x%x" % NOW),
            ("inner_space", "17953 05600"),
            ("underscore", "1_795_305_600"),
            ("two_to_the_64", str(2 ** 64)),
            ("wraps_in_64_bits", str(2 ** 64 + NOW)),
            ("20_digits", "9" * 20),
            ("40_digits", "1" * 40),
            ("rfc3339", "2026-11-22T00:00:00Z"),
            ("text", "now"),
        ):
            self.row("neg_timestamp_" + name, "malformed_timestamp", ts=ts)
        self.row("neg_timestamp_empty", "missing_timestamp", ts="")

    def timestamp_header_rows(self):
        self.row("neg_timestamp_missing", "missing_timestamp", ts=None)
        self.row("neg_timestamp_changed", "signature_mismatch", self.value(), ts=str(NOW + 1))
        self.row("neg_timestamp_freshened", "signature_mismatch", self.value(ts=str(NOW - 3600)),
                 note="a recorded request sent again with a new timestamp")
        self.row("neg_two_timestamp_headers", "ambiguous_header",
                 more=[(self.timestamp_header, str(NOW - 1))])

    def list_rows(self, join, good, others, unknown_beside, only_unknown):
        """For signature headers that hold several signatures. `good` and `others` are elements of
        the list; `join` makes the header value."""
        self.row("list_good_last", "valid", join(others[:2] + [good]))
        self.row("list_good_first", "valid", join([good] + others[:2]))
        self.row("list_16_good_last", "valid", join(others[:15] + [good]))
        self.row("neg_list_17_good_last", "malformed_signature", join(others[:16] + [good]))
        self.row("neg_list_17_good_first", "malformed_signature", join([good] + others[:16]))
        self.row("neg_list_none_good", "signature_mismatch", join(others[:3]))
        for name, element in unknown_beside:
            self.row("list_unknown_version_%s_before_good" % name, "valid", join([element, good]))
            self.row("list_unknown_version_%s_after_good" % name, "valid", join([good, element]))
        for name, elements in only_unknown:
            self.row("neg_list_only_unknown_versions_" + name, "unsupported_version", join(elements))

    def others(self):
        """Signatures made with other secrets, each of the right form."""
        return [self.encoding.encode(self.mac(key=b"fixture-unrelated-key-%02d" % i))
                for i in range(16)]

    def make(self):
        raise NotImplementedError


class GenericBase64(Sender):
    system = "generic"
    scheme = "generic-base64"
    agent = "example-sender/1.0"
    signature_header = "Webhook-Signature"
    encoding = Base64
    secret = "fixture-generic-base64-secret-0123456789"
    old_secret = "fixture-generic-base64-secret-before-rotation"
    other_secret = "fixture-generic-base64-secret-of-somebody-else"

    def default_body(self):
        return compact({"event": "contact.updated", "at": "2026-11-22T00:00:00+00:00",
                        "contact": {"id": 52, "email": "zoe@mail.example.test", "name": "Zoë Łukasz 🐎"}})

    def make(self):
        self.row("contact_updated", "valid")
        self.row("x_webhook_signature_header", "valid", header="X-Webhook-Signature")
        self.row("x_webhook_signature_header_lower_case_h2", "valid", header="X-Webhook-Signature",
                 case="h2")
        self.row("form_body", "valid", body=b"event=contact.deleted&id=52&name=Zo%C3%AB",
                 content_type="application/x-www-form-urlencoded")
        self.header_case_rows()
        self.body_rows()
        self.odd_body_rows()
        self.secret_rows()
        self.signature_rows()
        self.row("neg_x_webhook_signature_header_empty", "missing_signature", "",
                 header="X-Webhook-Signature")
        self.row("neg_x_webhook_signature_header_other_secret", "signature_mismatch",
                 self.value(secret=self.other_secret), header="X-Webhook-Signature")
        good = self.encoded()
        self.row("neg_prefix_sha256", "malformed_signature", "sha256=" + good)
        self.row("neg_prefix_sha1", "malformed_signature", "sha1=" + good)
        self.row("neg_prefix_v1", "malformed_signature", "v1," + good)
        self.row("neg_inner_space", "malformed_signature", good[:20] + " " + good[20:])
        self.base64_rows()
        self.two_header_rows()


class GenericHex(Sender):
    system = "generic"
    scheme = "generic-hex"
    agent = "example-sender/1.0"
    signature_header = "X-Webhook-Signature"
    secret = "fixture-generic-hex-secret-0123456789"
    old_secret = "fixture-generic-hex-secret-before-rotation"
    other_secret = "fixture-generic-hex-secret-of-somebody-else"

    def default_body(self):
        return compact({"event": "order.paid", "order": {"id": 1042, "total": "12.50", "currency": "EUR"},
                        "customer": "Jürgen Groß"})

    def wrap(self, text, ts):
        return "sha256=" + text

    def make(self):
        self.row("order_paid", "valid")
        self.row("order_paid_unicode_escapes", "valid", body=escaped(json.loads(self.body)))
        self.row("form_body", "valid", body=b"event=order.paid&id=1042&customer=J%C3%BCrgen",
                 content_type="application/x-www-form-urlencoded")
        self.row("secret_not_ascii", "valid", secret="fixture-schlüssel-ключ-0123456789",
                 note="the key is the secret's UTF-8 bytes")
        self.row("secret_longer_than_a_block", "valid", secret="fixture-long-secret-" * 5,
                 note="HMAC hashes a key of more than 64 bytes first")
        self.row("secret_looks_like_whsec", "valid", secret="whsec_Zml4dHVyZS1nZW5lcmljLWhleC1zZWNyZXQ=",
                 note="the prefix is part of the key and nothing is base64-decoded")
        self.header_case_rows()
        self.body_rows()
        self.odd_body_rows()
        self.row("neg_body_unicode_escapes_undone", "signature_mismatch",
                 self.value(body=escaped(json.loads(self.body))))
        self.secret_rows()
        self.signature_rows()
        text = self.encoded()
        self.row("neg_prefix_missing", "malformed_signature", text)
        self.row("neg_prefix_sha1", "malformed_signature", "sha1=" + text)
        self.row("neg_prefix_sha512", "malformed_signature", "sha512=" + text)
        self.row("neg_prefix_upper_case", "malformed_signature", "SHA256=" + text)
        self.row("neg_prefix_colon", "malformed_signature", "sha256:" + text)
        self.row("neg_prefix_then_space", "malformed_signature", "sha256= " + text)
        self.row("neg_prefix_twice", "malformed_signature", "sha256=sha256=" + text)
        self.hex_rows()
        self.two_header_rows()


class GitHub(Sender):
    system = scheme = "github"
    agent = "GitHub-Hookshot/0a1b2c3"
    signature_header = "X-Hub-Signature-256"
    secret = "fixture-github-secret-0123456789"
    old_secret = "fixture-github-secret-before-rotation"
    other_secret = "fixture-github-secret-of-somebody-else"
    delivery = "3f6a1c70-c739-11f1-8a5e-0242ac120002"

    def default_body(self):
        return compact({"action": "opened",
                        "issue": {"number": 17, "title": "Umlaut in Titel: größer als 0 → Fehler"},
                        "repository": {"id": 4711, "full_name": "example-org/widgets", "private": False},
                        "sender": {"login": "octo-example", "id": 101}})

    def wrap(self, text, ts):
        return "sha256=" + text

    def own_headers(self, event="issues"):
        return [("Accept", "*/*"), ("X-GitHub-Delivery", self.delivery), ("X-GitHub-Event", event),
                ("X-GitHub-Hook-ID", "292430182")]

    def make(self):
        push = compact({"ref": "refs/heads/main", "before": "0" * 40, "after": "1a2b3c4d5e" * 4,
                        "repository": {"id": 4711, "full_name": "example-org/widgets"},
                        "pusher": {"name": "octo-example", "email": "octo@mail.example.test"}})
        ping = compact({"zen": "Keep it logically awesome.", "hook_id": 292430182,
                        "hook": {"type": "Repository", "id": 292430182, "active": True}})
        sha1 = "sha1=" + hmac.new(self.key(self.secret), self.body, hashlib.sha1).hexdigest()
        legacy = ("X-Hub-Signature", sha1)
        self.row("issues_opened", "valid")
        self.row("push", "valid", body=push, own=self.own_headers("push"))
        self.row("ping", "valid", body=ping, own=self.own_headers("ping"))
        self.row("form_body", "valid", body=b"payload=%7B%22action%22%3A%22opened%22%2C%22number%22%3A17%7D",
                 content_type="application/x-www-form-urlencoded")
        self.row("legacy_sha1_header_beside", "valid", more=[legacy])
        self.header_case_rows()
        self.body_rows()
        self.odd_body_rows()
        self.secret_rows()
        self.signature_rows()
        self.row("neg_only_the_legacy_sha1_header", "missing_signature", signed=False, more=[legacy])
        self.row("neg_legacy_sha1_good_sha256_not", "signature_mismatch",
                 self.value(secret=self.other_secret), more=[legacy])
        text = self.encoded()
        self.row("neg_sha1_value_in_the_sha256_header", "malformed_signature", sha1)
        self.row("neg_prefix_sha1", "malformed_signature", "sha1=" + text)
        self.row("neg_prefix_missing", "malformed_signature", text)
        self.row("neg_prefix_upper_case", "malformed_signature", "SHA256=" + text)
        self.hex_rows()
        self.two_header_rows()


class Stripe(Sender):
    system = scheme = "stripe"
    agent = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
    signature_header = "Stripe-Signature"
    secret = "whsec_fixtureStripeSecret0123456789ABC"
    old_secret = "whsec_fixtureStripeBeforeRotation01234"
    other_secret = "whsec_fixtureStripeOfSomebodyElse01234"

    def default_body(self):
        return self.event("evt_1Fixture000000000000001", "payment_intent.succeeded",
                          {"id": "pi_1Fixture000000000000001", "object": "payment_intent", "amount": 2000,
                           "currency": "eur", "description": "Café crème × 2"})

    @staticmethod
    def event(event_id, kind, thing):
        # Stripe sends its JSON indented
        return json.dumps({"id": event_id, "object": "event", "api_version": "2026-10-28",
                           "created": NOW - 2, "data": {"object": thing}, "livemode": False,
                           "pending_webhooks": 1, "type": kind},
                          indent=2, ensure_ascii=False).encode("utf-8")

    def content(self, body, ts, message_id):
        return ts.encode("ascii") + b"." + body

    def wrap(self, text, ts):
        return "t=%s,v1=%s" % (ts, text)

    def own_headers(self):
        return [("Accept", "*/*; q=0.5, application/xml"), ("Cache-Control", "no-cache")]

    def make(self):
        t, good = "t=%d" % NOW, "v1=" + self.encoded()
        refund = self.event("evt_1Fixture000000000000002", "charge.refunded",
                            {"id": "ch_1Fixture000000000000002", "object": "charge", "amount_refunded": 500})
        self.row("payment_intent_succeeded", "valid")
        self.row("charge_refunded", "valid", body=refund)
        self.row("payment_intent_succeeded_compact_json", "valid", body=compact(json.loads(self.body)))
        self.row("secret_without_whsec", "valid", secret="fixture-stripe-secret-0123456789",
                 note="any text is a key; the prefix is not required")
        self.header_case_rows()
        self.body_rows()
        self.secret_rows()
        self.row("neg_secret_used_as_base64", "signature_mismatch",
                 self.value(key=base64.b64decode(self.secret[len("whsec_"):])),
                 note="the key is the whole secret text: nothing is cut off or base64-decoded")
        self.row("neg_secret_used_without_whsec", "signature_mismatch",
                 self.value(key=self.secret[len("whsec_"):].encode("ascii")))
        self.signature_rows()
        text = self.encoded()
        self.row("neg_prefix_sha1", "malformed_signature", self.wrap("sha1=" + text, NOW))
        self.row("neg_prefix_sha256", "malformed_signature", self.wrap("sha256=" + text, NOW))
        self.row("neg_signature_of_the_body_alone", "signature_mismatch",
                 self.wrap(hmac_sha256(self.key(self.secret), self.body).hex(), NOW))
        self.hex_rows()
        self.two_header_rows()

        self.timestamp_rows()
        self.row("neg_timestamp_missing", "missing_timestamp", good)
        self.row("neg_timestamp_missing_signed_without", "missing_timestamp",
                 "v1=" + self.encoded(ts=""))
        self.row("neg_timestamp_changed", "signature_mismatch", "t=%d,%s" % (NOW + 1, good))
        self.row("neg_timestamp_freshened", "signature_mismatch",
                 "%s,v1=%s" % (t, self.encoded(ts=str(NOW - 3600))),
                 note="a recorded request sent again with a new timestamp")
        self.row("neg_timestamp_twice_first_signed", "ambiguous_header",
                 "%s,t=%d,%s" % (t, NOW - 1, good))
        self.row("neg_timestamp_twice_last_signed", "ambiguous_header",
                 "t=%d,%s,%s" % (NOW - 1, t, good))

        others = ["v1=" + text for text in self.others()]
        v0 = "v0=" + hmac_sha256(b"fixture-stripe-test-scheme", self.body).hex()
        self.list_rows(lambda elements: ",".join([t] + elements), good, others,
                       [("v0", v0), ("v2", "v2=abc")],
                       [("v0", [v0]), ("v0_with_the_v1_mac", ["v0=" + text]), ("v2", ["v2=" + text]),
                        ("v0_v2", [v0, "v2=" + text])])
        self.row("list_garbage_before_good", "valid", ",".join([t, "v1=not-a-signature", good]))
        self.row("list_garbage_after_good", "valid", ",".join([t, good, "v1=not-a-signature"]))
        self.row("list_two_secrets_receiver_has_the_new", "valid",
                 ",".join([t, "v1=" + self.encoded(secret=self.old_secret), good]))
        self.row("spaces_after_commas", "valid", ", ".join([t, others[0], good]))
        self.row("timestamp_after_the_signature", "valid", ",".join([good, t]))
        self.row("unknown_key_beside", "valid", ",".join([t, good, "note=fixture"]))


class Slack(Sender):
    system = scheme = "slack"
    agent = "Slackbot 1.0 (+https://api.slack.com/robots)"
    signature_header = "X-Slack-Signature"
    timestamp_header = "X-Slack-Request-Timestamp"
    secret = "fixture-slack-signing-secret-0123456789"
    old_secret = "fixture-slack-signing-secret-before-rotation"
    other_secret = "fixture-slack-signing-secret-of-somebody-else"

    def default_body(self):
        return self.event("Ev0FIXTURE01", {
            "type": "app_mention", "user": "U0FIXTURE1", "channel": "C0FIXTURE1",
            "text": "<@U0FIXTURE2> schöne Grüße 👋", "ts": "1795305599.000100"})

    @staticmethod
    def event(event_id, event):
        return compact({"token": "fixture-token", "team_id": "T0FIXTURE1", "api_app_id": "A0FIXTURE1",
                        "event": event, "type": "event_callback", "event_id": event_id,
                        "event_time": NOW - 1})

    def content(self, body, ts, message_id):
        return b"v0:" + ts.encode("ascii") + b":" + body

    def wrap(self, text, ts):
        return "v0=" + text

    def own_headers(self):
        return [("Accept", "*/*")]

    def make(self):
        command = (b"token=fixture-token&team_id=T0FIXTURE1&team_domain=example&channel_id=C0FIXTURE1"
                   b"&channel_name=general&user_id=U0FIXTURE1&user_name=zoe&command=%2Fweather"
                   b"&text=94070+Z%C3%BCrich&response_url=https%3A%2F%2Fhooks.example.test%2Fcommands%2F1"
                   b"&trigger_id=13345224609.738474920.fixture")
        form = "application/x-www-form-urlencoded"
        self.row("event_callback_app_mention", "valid")
        self.row("event_callback_member_joined", "valid",
                 body=self.event("Ev0FIXTURE02", {"type": "member_joined_channel", "user": "U0FIXTURE3",
                                                  "channel": "C0FIXTURE1"}))
        self.row("event_callback_unicode_escapes", "valid", body=escaped(json.loads(self.body)))
        self.row("event_callback_retry", "valid",
                 own=self.own_headers() + [("X-Slack-Retry-Num", "1"),
                                           ("X-Slack-Retry-Reason", "http_timeout")])
        self.row("slash_command_form", "valid", body=command, content_type=form)
        self.row("neg_slash_command_form_one_bit", "signature_mismatch", self.value(body=command),
                 body=one_bit(command), content_type=form)
        self.row("neg_slash_command_form_plus_became_percent_20", "signature_mismatch",
                 self.value(body=command), body=command.replace(b"+", b"%20"), content_type=form)
        self.header_case_rows()
        self.body_rows()
        self.secret_rows()
        self.signature_rows()
        text = self.encoded()
        self.row("neg_prefix_sha1", "malformed_signature", "sha1=" + text)
        self.row("neg_prefix_sha256", "malformed_signature", "sha256=" + text)
        self.row("neg_prefix_v1", "malformed_signature", "v1=" + text)
        self.row("neg_prefix_upper_case", "malformed_signature", "V0=" + text)
        self.row("neg_prefix_missing", "malformed_signature", text)
        self.row("neg_signature_of_the_body_alone", "signature_mismatch",
                 self.wrap(hmac_sha256(self.key(self.secret), self.body).hex(), NOW))
        self.hex_rows()
        self.two_header_rows()
        self.timestamp_rows()
        self.timestamp_header_rows()


class StandardWebhooks(Sender):
    system = scheme = "standard-webhooks"
    agent = "example-standard-webhooks/1.0"
    signature_header = "webhook-signature"
    timestamp_header = "webhook-timestamp"
    id_header = "webhook-id"
    encoding = Base64
    secret = "whsec_" + b64(b"fixture-standard-webhooks-key-01")
    old_secret = "whsec_" + b64(b"fixture-standard-webhooks-key-00")
    other_secret = "whsec_" + b64(b"fixture-standard-webhooks-key-99")
    message_id = "msg_fixture0123456789abcdefgh"

    def default_body(self):
        return compact({"type": "invoice.paid", "timestamp": "2026-11-22T00:00:00Z",
                        "data": {"id": "inv_1001", "amount": 4200, "customer": "Škoda & Søn"}})

    def key(self, secret):
        text = secret[len("whsec_"):] if secret.startswith("whsec_") else secret
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)

    def content(self, body, ts, message_id):
        return message_id.encode("ascii") + b"." + ts.encode("ascii") + b"." + body

    def wrap(self, text, ts):
        return "v1," + text

    def make(self):
        text = self.encoded()
        good = "v1," + text
        self.row("invoice_paid", "valid")
        self.row("invoice_paid_unicode_escapes", "valid", body=escaped(json.loads(self.body)))
        self.row("user_created", "valid", message_id="msg_fixture-2_ABC",
                 body=compact({"type": "user.created", "data": {"id": 7, "email": "li@mail.example.test"}}))
        self.row("id_is_a_uuid", "valid", message_id="0d2f6b1e-4c5a-4e0b-9a53-5f1a2b3c4d5e")
        self.header_case_rows()
        self.body_rows()
        self.odd_body_rows()

        bare = self.secret[len("whsec_"):]
        self.row("secret_without_whsec", "valid", secret=bare)
        self.row("secret_without_padding", "valid", secret=self.secret.rstrip("="))
        self.row("secret_without_whsec_and_padding", "valid", secret=bare.rstrip("="))
        self.row("secret_with_plus_and_slash", "valid", secret="whsec_" + b64(bytes(range(224, 256))))
        self.row("secret_24_bytes", "valid", secret="whsec_" + b64(b"fixture-key-of-24-bytes!"))
        self.row("secret_64_bytes", "valid",
                 secret="whsec_" + b64(b"fixture-key-of-64-bytes-" * 2 + b"0123456789abcdef"))
        self.secret_rows()
        self.row("neg_receiver_secret_only_whsec", "invalid_secret", self.value(key=b""), secret="whsec_")
        self.row("neg_receiver_secret_not_base64", "invalid_secret",
                 self.value(key=b"%%not base64%%"), secret="whsec_%%not base64%%")
        self.row("neg_secret_text_used_as_key", "signature_mismatch",
                 self.value(key=self.secret.encode("ascii")))
        self.row("neg_secret_text_without_whsec_used_as_key", "signature_mismatch",
                 self.value(key=bare.encode("ascii")))

        self.signature_rows()
        self.row("neg_prefix_sha1", "malformed_signature", "v1,sha1=" + text)
        self.row("neg_prefix_sha256", "malformed_signature", "v1,sha256=" + text)
        self.row("neg_signature_of_the_body_alone", "signature_mismatch",
                 self.wrap(b64(hmac_sha256(self.key(self.secret), self.body)), NOW))
        self.base64_rows()

        self.timestamp_rows()
        self.timestamp_header_rows()

        self.row("neg_id_missing", "missing_id", no_id=True)
        self.row("neg_id_missing_signed_without", "missing_id", self.value(message_id=""), no_id=True)
        self.row("neg_id_empty", "missing_id", self.value(message_id=""), message_id="")
        self.row("neg_id_changed", "signature_mismatch", good, message_id="msg_fixture0123456789abcdefgi")
        self.row("neg_id_case_changed", "signature_mismatch", good, message_id=self.message_id.upper())
        self.row("neg_two_id_headers", "ambiguous_header", more=[(self.id_header, "msg_fixtureAnother")])
        self.row("neg_two_id_headers_good_last", "ambiguous_header", good, message_id="msg_fixtureAnother",
                 more=[(self.id_header, self.message_id)])
        rest = compact({"type": "invoice.paid", "data": {"id": "inv_1002"}})
        whole, earlier = b"%d." % NOW + rest, str(NOW - 60)
        self.row("delimiter_shift_original", "valid", body=whole, ts=earlier, content_type="text/plain",
                 note="a body that itself begins with a timestamp and a dot")
        shifted = self.message_id + "." + earlier
        assert self.mac(body=whole, ts=earlier) == self.mac(body=rest, message_id=shifted)
        self.row("neg_delimiter_shift", "malformed_id", self.value(body=whole, ts=earlier), body=rest,
                 message_id=shifted, content_type="text/plain",
                 note="delimiter_shift_original cut at another dot: the signed bytes are the same")
        self.row("neg_id_with_dot", "malformed_id", message_id="msg.fixture")

        others = ["v1," + other for other in self.others()]
        v1a = "v1a," + b64(hashlib.sha512(b"fixture-ed25519-signature").digest())
        v2 = "v2," + text
        self.list_rows(" ".join, good, others,
                       [("v1a", v1a), ("v2", "v2," + b64(b"fixture"))],
                       [("v1a", [v1a]), ("v2", [v2]), ("v1a_v2", [v1a, v2])])
        self.row("list_garbage_before_good", "valid", "v1,*not*base64* " + good)
        self.row("list_garbage_after_good", "valid", good + " v1,*not*base64*")
        self.row("list_two_secrets_receiver_has_the_new", "valid",
                 "v1,%s %s" % (self.encoded(secret=self.old_secret), good))
        self.row("two_header_lines_good_last", "valid", others[0], good,
                 note="several webhook-signature lines are one list")
        self.row("two_header_lines_good_first", "valid", good, others[0])
        self.row("neg_two_header_lines_none_good", "signature_mismatch", others[0], others[1])
        self.row("folded_by_a_proxy_good_last", "valid", ", ".join([others[0], good]),
                 note="a proxy may join header lines with a comma and a blank")
        self.row("neg_folded_by_a_proxy_none_good", "signature_mismatch", ", ".join(others[:2]))


def main():
    rows = []
    for sender in (GenericBase64(), GenericHex(), GitHub(), Stripe(), Slack(), StandardWebhooks()):
        sender.make()
        rows += sender.rows
    keys = [(row["scheme"], row["name"]) for row in rows]
    assert len(keys) == len(set(keys)), "a name is used twice in one scheme"
    for row in rows:
        for name, value in row["headers"]:
            sendable = all(0x20 <= ord(c) <= 0x7E for c in value) and value == value.strip(" ")
            assert sendable, (row["scheme"], row["name"], name, value)
    sys.stdout.buffer.write(json.dumps(rows, indent=1).encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
