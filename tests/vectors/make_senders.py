"""Prints senders.json: requests, good and bad, for every preset.

    pip install cryptography
    python3 tests/vectors/make_senders.py > tests/vectors/senders.json

It shares no code with the crates, so that a mistake in their signing or parsing cannot also be in the
expectations. Each sender says in its own words what it signs and where it puts it. The output is the same
on every run: keys and times are fixed, and the private keys at the end are good for nothing else.

Each refused row has one fault only.
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys
import zlib
from email.utils import format_datetime
from urllib.parse import parse_qsl, quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID

NOW = 1795305600
URL = "https://hooks.example.test/hook"
JSON_BODY = '{"id":"evt_1","type":"order.paid","note":"gr\u00fc\u00dfe \\u20ac","amount":1250}'.encode()
UTC = datetime.timezone.utc


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ENCODE = {"hex": bytes.hex, "b64": b64, "b64url": b64url}
UNITS = {
    "s": lambda t: str(int(t)),
    "ms": lambda t: str(int(t * 1000)),
    "rfc3339": lambda t: datetime.datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "utc": lambda t: datetime.datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    "rfc1123": lambda t: format_datetime(datetime.datetime.fromtimestamp(t, UTC), usegmt=True),
}


class Case:
    """One request under way: what a sender's functions look at."""

    def __init__(self, sender, at=NOW, body=None, key=None, query=""):
        self.sender, self.at, self.id, self.method = sender, at, "msg_7Q2", "POST"
        self.url = URL + query
        self.body = sender.body if body is None else body
        self.key = sender.key if key is None else key
        self.ts = UNITS[sender.unit](at) if sender.unit else None
        if sender.prepare:
            sender.prepare(self)


class Sender:
    """How a sender signs. `signed(case)` is the content, `send(case, text)` the headers (it may change the case)."""

    def __init__(self, name, send, signed=lambda c: c.body, *, mac="sha256", enc="hex", key="a secret of 32 bytes, as text!!!",
                 keyed=lambda k: k.encode(), other="another secret, as long as that", unit=None, window=None, ahead=None, body=JSON_BODY,
                 sign=None, encoding="utf8", prepare=None, covers_body=True, url=False, parameters=None, missing=None, json_body=False):
        self.name, self.send, self.signed, self.mac, self.enc, self.key = name, send, signed, mac, enc, key
        self.keyed, self.other, self.unit, self.window, self.ahead, self.body = keyed, other, unit, window, ahead, body
        self.sign, self.encoding, self.prepare, self.covers_body = sign, encoding, prepare, covers_body
        self.url, self.parameters = url, parameters
        self.missing, self.json_body = missing or "missing_signature", json_body

    def signature(self, case):
        content = self.signed(case)
        if self.sign:
            return self.sign(case.key, content)
        key = self.keyed(case.key)
        if self.mac == "keyed":
            return hashlib.sha256(key + content).digest()
        if self.mac.startswith("digest "):  # the content has the secret in it
            return hashlib.new(self.mac.removeprefix("digest "), content).digest()
        return hmac.new(key, content, self.mac).digest()


ROWS, SENDERS = [], []


def row(case, headers, name, expect="valid", body=None, now=NOW, secret=None, extra=None):
    sender = case.sender
    line = {
        "provider": sender.name, "name": name, "method": case.method,
        "url": case.url if sender.url else None, "headers": headers,
        "body_base64": b64(case.body if body is None else body),
        "secret": sender.key if secret is None else secret, "secret_encoding": sender.encoding,
        "now": now, "expect": expect,
    }
    if extra:
        line["extra_secrets"] = extra
    if sender.parameters:
        line["parameters"] = sender.parameters
    ROWS.append(line)


def signed(sender, change=lambda text: text, **how):
    """A case, and its headers with the signature's text changed."""
    case = Case(sender, **how)
    text = ENCODE[sender.enc](sender.signature(case))
    return case, sender.send(case, change(text))


def without(headers, value):
    return [pair for pair in headers if value not in pair[1]]


def one_bit(body):
    """The lowest bit of the last digit flipped: another digit, so that JSON stays JSON."""
    at = max(i for i, byte in enumerate(body) if 0x30 <= byte <= 0x39)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]


def not_canonical(text):
    """The same bytes to a lenient decoder: a bit that base64 does not use is set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    last = alphabet[alphabet.index(body[-1].replace("-", "+").replace("_", "/")) | 1]
    return body[:-1] + last + text[len(body):]


def usual(sender):
    """The rows that every sender with a signature has."""
    SENDERS.append(sender)
    case, headers = signed(sender)
    text = ENCODE[sender.enc](sender.signature(Case(sender)))
    row(case, headers, "right")
    row(case, [[n.upper() if i % 2 else n.lower(), v] for i, (n, v) in enumerate(headers)], "names of headers in another case")
    if sender.covers_body:
        row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
        row(case, headers, "a line break more", "signature_mismatch", body=case.body + b"\n")
        case, headers = signed(sender, body=b"\xff\x00\r\n \xc3")
        # Trello's URL follows the body, so only JSON has a certain end.
        row(case, headers, "a body that is not text", "malformed_body" if sender.json_body else "valid")
        case, headers = signed(sender, body=b"")
        row(case, headers, "an empty body")
    case, headers = signed(sender, key=sender.other)
    row(case, headers, "another secret", "signature_mismatch")
    if not sender.sign:
        row(case, headers, "the older of two secrets", extra=[sender.other])
    case, headers = signed(sender)
    row(case, without(headers, text), "no signature", sender.missing)
    for name, change in [("cut short", lambda t: t[:-4]), ("with something before it", lambda t: "x=" + t),
                         ("in another encoding", lambda t: "!" + t[1:])]:
        case, headers = signed(sender, change)
        row(case, headers, "signature " + name, "malformed_signature")
    if sender.enc == "hex" and not sender.sign:
        case, headers = signed(sender, str.upper)
        row(case, headers, "upper case digits")
    if sender.enc == "b64" and not sender.sign and sender.mac in ("sha256", "sha1"):
        case, headers = signed(sender, not_canonical)
        row(case, headers, "trap: base64 with an unused bit set", "malformed_signature")
    if sender.window:
        ahead = sender.ahead or sender.window
        for name, offset, expect in [("as old as it may be", -sender.window, "valid"), ("a second too old", -sender.window - 1, "timestamp_too_old"),
                                     ("as far ahead as it may be", ahead, "valid"), ("a second too far ahead", ahead + 1, "timestamp_in_future")]:
            case, headers = signed(sender, at=NOW + offset)
            row(case, headers, name, expect)
    elif sender.unit:
        case, headers = signed(sender, at=NOW - 10**6)
        row(case, headers, "an old one, which the sender does not judge")


# -- the body alone ------------------------------------------------------------------------------------------------

def five_minutes(sender):
    """The limits of a window of 300 s."""
    for what, offset, expect in [("as old as it may be", -300, "valid"), ("a second too old", -301, "timestamp_too_old"), ("a second too far ahead", 301, "timestamp_in_future")]:
        case, headers = signed(sender, at=NOW + offset)
        row(case, headers, what, expect)


def body_alone(name, header, prefix="", **how):
    sender = Sender(name, lambda c, text: [["Content-Type", "application/json"], [header, prefix + text]], **how)
    usual(sender)
    if prefix:
        case, headers = signed(sender)
        expect = "valid" if name in OPTIONAL_PREFIX else "malformed_signature"
        row(case, [[n, v.removeprefix(prefix)] for n, v in headers], "without its prefix", expect)
    return sender


def part_of(name, value, more=""):
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n--x--\r\n"


def in_form(body):
    """The form in which forges send JSON, if they are asked to. They sign the JSON inside."""
    return b"payload=" + quote(body).encode()


# Senders that may leave out the prefix.
OPTIONAL_PREFIX = ["mollie"]


HEX_KEY = {"key": "00112233445566778899aabbccddeeff0102", "other": "ff112233445566778899aabbccddeeff0102",
           "keyed": bytes.fromhex, "encoding": "hex"}
B64_KEY = {"key": b64(b"thirty-two bytes of a secret key"), "other": b64(b"32 bytes of another secret key!!"),
           "keyed": base64.b64decode, "encoding": "base64"}

for name, header, prefix, more in [
    ("generic-hex", "X-Webhook-Signature", "sha256=", {}),
    ("generic-base64", "Webhook-Signature", "", {"enc": "b64"}),
    ("mautic", "Webhook-Signature", "", {"enc": "b64"}),
    ("fluentcrm-documented", "X-FluentCRM-Signature", "sha256=", {}),
    ("host-uk-documented", "X-Webhook-Signature", "sha256=", {}),
    ("host-uk-hosthub-legacy", "X-HostHub-Signature", "", {}),
    ("github", "X-Hub-Signature-256", "sha256=", {}),
    ("github-sha1", "X-Hub-Signature", "sha1=", {"mac": "sha1"}),
    ("meta", "X-Hub-Signature-256", "sha256=", {}),
    ("bitbucket", "X-Hub-Signature", "sha256=", {}),
    ("jira", "X-Hub-Signature", "sha256=", {}),
    ("intercom", "X-Hub-Signature", "sha1=", {"mac": "sha1"}),
    ("gitea", "X-Gitea-Signature", "", {}),
    ("forgejo", "X-Forgejo-Signature", "", {}),
    ("gogs", "X-Gogs-Signature", "", {}),
    ("shopify", "X-Shopify-Hmac-Sha256", "", {"enc": "b64"}),
    ("woocommerce", "X-WC-Webhook-Signature", "", {"enc": "b64"}),
    ("line", "x-line-signature", "", {"enc": "b64"}),
    ("notion", "X-Notion-Signature", "sha256=", {}),
    ("asana", "X-Hook-Signature", "", {}),
    ("typeform", "Typeform-Signature", "sha256=", {"enc": "b64"}),
    ("lemonsqueezy", "X-Signature", "", {}),
    ("razorpay", "X-Razorpay-Signature", "", {}),
    ("adyen-platform", "HmacSignature", "", {"enc": "b64", **HEX_KEY}),
    ("x-twitter", "x-twitter-webhooks-signature", "sha256=", {"enc": "b64"}),
    ("dropbox", "X-Dropbox-Signature", "", {}),
    ("docusign", "X-DocuSign-Signature-1", "", {"enc": "b64"}),
    ("coinbase-commerce", "X-CC-Webhook-Signature", "", {}),
    ("sentry", "Sentry-Hook-Signature", "", {}),
    ("vercel", "x-vercel-signature", "", {"mac": "sha1"}),
    ("heroku", "Heroku-Webhook-Hmac-SHA256", "", {"enc": "b64"}),
    ("calcom", "X-Cal-Signature-256", "", {}),
    ("airtable", "X-Airtable-Content-MAC", "hmac-sha256=", B64_KEY),
    ("segment", "X-Signature", "", {"mac": "sha1"}),
    ("gocardless", "Webhook-Signature", "", {}),
    ("coinify", "x-coinify-webhook-signature", "", {}),
    ("paystack", "x-paystack-signature", "", {"mac": "sha512"}),
    ("xero", "x-xero-signature", "", {"enc": "b64"}),
    ("intuit", "intuit-signature", "", {"enc": "b64"}),
    ("clickup", "X-Signature", "", {}),
    ("pusher", "X-Pusher-Signature", "", {}),
    ("mollie", "X-Mollie-Signature", "sha256=", {}),
    ("helpscout", "X-HelpScout-Signature", "", {"enc": "b64", "mac": "sha1"}),
    ("terraform", "X-TFE-Notification-Signature", "", {"mac": "sha512"}),
    ("nylas", "x-nylas-signature", "", {}),
    ("cursor", "X-Webhook-Signature", "sha256=", {}),
]:
    sender = body_alone(name, header, prefix, **more)
    case, headers = signed(sender)
    if name in ("typeform", "x-twitter"):
        text = hmac.new(sender.key.encode(), case.body, "sha256").hexdigest()
        row(case, [[header, prefix + text]], "trap: hex after sha256=, which is followed by base64 here", "malformed_signature")
    if name in ("bitbucket", "jira"):
        text = hmac.new(sender.key.encode(), case.body, "sha1").hexdigest()
        row(case, [[header, "sha1=" + text]], "trap: SHA-1, as GitHub has it in a header of this name", "malformed_signature")
    if name == "intercom":
        text = hmac.new(sender.key.encode(), case.body, "sha256").hexdigest()
        row(case, [[header, "sha256=" + text]], "trap: SHA-256 in a header that has SHA-1 here", "malformed_signature")
    if name == "woocommerce":
        entities = Case(sender, key="it's <a> \"secret\" & more")
        text = b64(sender.signature(entities))
        row(entities, sender.send(entities, text), "trap: HTML entities in the secret are decoded",
            secret="it&#039;s &lt;a&gt; &quot;secret&quot; &amp; more")
        row(entities, sender.send(entities, text), "trap: a secret without entities stays as it is", secret=entities.key)
    if name in ("meta", "docusign"):
        escaped = Case(sender, body=b'{"text":"gr\\u00fc\\u00dfe"}')
        text = ENCODE[sender.enc](sender.signature(escaped))
        row(escaped, sender.send(escaped, text), "trap: non-ASCII characters escaped, as sent")
        row(escaped, sender.send(escaped, text), "trap: the same text not escaped is another body", "signature_mismatch",
            body='{"text":"gr\u00fc\u00dfe"}'.encode())
    if name == "docusign":
        other = b64(hmac.new(b"another", case.body, "sha256").digest())
        row(case, [["X-DocuSign-Signature-1", other], ["X-DocuSign-Signature-2", other], ["X-DocuSign-Signature-17", headers[1][1]]],
            "trap: one header for each key, and the last one fits")
        row(case, [[f"X-DocuSign-Signature-{i}", other] for i in range(17)], "more headers than there are keys", "malformed_signature")
    if name == "generic-hex":
        for length in (16, 31, 33):
            tag = (bytes.fromhex(headers[1][1].removeprefix("sha256=")) + b"\0")[:length]
            row(case, [[header, prefix + tag.hex()]], f"trap: a tag of {length} bytes", "malformed_signature")
        row(case, headers + [headers[1]], "the header twice", "ambiguous_header")
    if name == "adyen-platform":
        tag = base64.b64decode(headers[1][1]) + b"\0"
        row(case, [[header, b64(tag)]], "trap: a tag of 33 bytes", "malformed_signature")
    if name == "sentry":
        row(case, headers + [["Sentry-Hook-Timestamp", "1"]], "trap: a timestamp that is not signed is not judged")
        row(case, headers + [["Request-ID", "r-1"], ["Request-ID", "r-2"]], "trap: an ID of the attempt is not looked at")
    if name == "shopify":
        row(case, [["X-Shopify-Hmac-Sha256", base64.b64decode(headers[1][1]).hex()]], "hex instead of base64", "malformed_signature")
        good, bad = headers[1][1], b64(hmac.new(b"another", case.body, "sha256").digest())
        more = [["Shopify-Topic", "Product"], ["Shopify-Webhook-Id", "w-1"]]
        row(case, [["Shopify-Hmac-Sha256", good], *more], "headers without x-")
        row(case, [["Shopify-Hmac-Sha256", bad], *more], "another secret in a header without x-", "signature_mismatch")
        both = [*more, *[["X-" + n, v] for n, v in more], ["Shopify-Hmac-Sha256", good]]
        row(case, [*both, ["X-Shopify-Hmac-Sha256", good]], "both forms of the headers")
        for name_, one, other in [("the header without x- is wrong", bad, good), ("the header with x- is wrong", good, bad)]:
            row(case, [["Shopify-Hmac-Sha256", one], ["X-Shopify-Hmac-Sha256", other]], "trap: both forms, and " + name_, "ambiguous_header")
        row(case, headers + [["X-Shopify-Webhook-Id", "w-1"], ["Shopify-Webhook-Id", "w-2"]], "trap: two IDs, which are not signed")
    if name == "bitbucket":
        row(case, headers + [["X-Request-Id", "r-1"]], "Data Center's ID")
        row(case, headers + [["X-Request-UUID", "r-1"], ["X-Request-Id", "g-1"]], "trap: a gateway's ID next to Cloud's")
    if name in ("gitea", "forgejo", "gogs"):
        form = [["Content-Type", "application/x-www-form-urlencoded"], *headers[1:]]
        row(case, form, "trap: of a form, the JSON inside is signed", body=in_form(case.body))
        row(case, [["Content-Type", "multipart/form-data; boundary=x"], *headers[1:]], "the JSON in a part", body=part_of("payload", case.body))
        row(case, form, "JSON instead of a form", "signature_mismatch")
        row(case, form, "another field", "signature_mismatch", body=in_form(case.body).replace(b"payload", b"pay"))
        row(case, form, "trap: the field twice", "malformed_body", body=in_form(case.body) + b"&" + in_form(case.body))
        row(case, headers, "trap: a form that is sent as JSON", "signature_mismatch", body=in_form(case.body))
        whole = Case(sender, body=in_form(case.body))
        row(whole, [form[0], *sender.send(whole, sender.signature(whole).hex())[1:]], "trap: the form is not what is signed", "signature_mismatch")
    if name in ("github", "github-sha1"):
        form = Case(sender, body=in_form(case.body))
        head = [["Content-Type", "application/x-www-form-urlencoded"], *sender.send(form, sender.signature(form).hex())[1:]]
        row(form, head, "trap: of a form, the form is signed, not the JSON inside")
        row(form, head, "one bit of the form", "signature_mismatch", body=one_bit(form.body))
        row(form, [head[0], *headers[1:]], "the signature of the JSON inside", "signature_mismatch")
        row(case, [head[0], *headers[1:]], "trap: signed JSON that is sent as a form")
        for what, body in [("trap: signed JSON with a form inside, sent as one", b'{"title":"&payload={}&a="}'), ("a form with another field before it", b"a=b&payload={}"),
                           ("a form with another field after it", b"payload={}&a=b"), ("a form without the field", b"a=b")]:
            other = Case(sender, body=body)
            row(other, [head[0], *sender.send(other, sender.signature(other).hex())[1:]], what)
    if name == "x-twitter":
        good, bad = headers[1][1], prefix + b64(hmac.new(b"another", case.body, "sha256").digest())
        row(case, [[header + "-oauth2", good]], "the header of OAuth 2.0 alone")
        row(case, [[header, bad], [header + "-oauth2", good]], "trap: one header for each secret, and the second one fits")
        row(case, [[header, good], [header + "-oauth2", bad]], "trap: one header for each secret, and the first one fits")
        row(case, [[header, bad], [header + "-oauth2", bad]], "one header for each secret, and none fits", "signature_mismatch")
        row(case, [[header + "-oauth2", good.removeprefix(prefix)]], "the header of OAuth 2.0 without its prefix", "malformed_signature")
        text = hmac.new(sender.key.encode(), case.body, "sha256").hexdigest()
        row(case, [[header + "-oauth2", prefix + text]], "trap: hex in the header of OAuth 2.0", "malformed_signature")
    if name == "segment":
        row(case, [["X-Segment-Signature", headers[1][1]]], "the header that covers lists")
        first = Case(sender, body=b'{"messageId":"m1","type":"track"}')
        lists = Case(sender, body=b"[" + first.body + b',{"messageId":"m2","type":"page"}]')
        row(lists, [["X-Segment-Signature", sender.signature(lists).hex()]], "a list of events")
        row(lists, [["X-Segment-Signature", sender.signature(lists).hex()]], "a list without its last event", "signature_mismatch",
            body=b"[" + first.body + b"]")
        row(lists, [["X-Signature", sender.signature(first).hex()]], "trap: of a list, the older header signs the first event alone", "signature_mismatch")
    if name == "intuit":
        for what, body in [("a list of CloudEvents", b'[{"specversion":"1.0","id":"88cd52aa","type":"qbo.invoice.created.v1"}]'),
                           ("an object, as before CloudEvents", b'{"eventNotifications":[{"realmId":"310687"}]}')]:
            case, headers = signed(sender, body=body)
            row(case, headers, what)
            row(case, headers, what + ", one digit changed", "signature_mismatch", body=one_bit(body))
    if name == "mollie":
        good, bad = headers[1][1], prefix + hmac.new(b"another", case.body, "sha256").hexdigest()
        row(case, [[header, bad], [header, good]], "trap: a line for each secret, and the last one fits")
        row(case, [[header, good.removeprefix(prefix)], [header, bad]], "trap: a line for each secret, with and without the prefix")
        row(case, [[header, bad + ", " + good]], "trap: the lines joined by a gateway")
        row(case, [[header, bad], [header, bad]], "lines of which none fits", "signature_mismatch")
        row(case, [[header, "sha512=" + good.removeprefix(prefix)]], "another prefix", "malformed_signature")
        row(case, [[header, bad]] * 17, "more lines than there are secrets", "malformed_signature")
    if name == "lemonsqueezy":
        case, headers = signed(sender, body=b'{"meta":{"event_name":"order_created"}}')
        row(case, headers + [["X-Event-Name", "order_refunded"]], "trap: the event's name in the header is not signed, and not looked at")

# -- a timestamp with the body -------------------------------------------------------------------------------------


def timed(name, header, stamp, signed_, window, unit="s", prefix="", more=(), **how):
    sender = Sender(name, lambda c, text: [*more, [stamp, c.ts], [header, prefix + text]], signed_, unit=unit, window=window, **how)
    usual(sender)
    case, headers = signed(sender)
    row(case, [pair for pair in headers if pair[0] != stamp], "no timestamp", "missing_timestamp")
    bad = Case(sender)
    bad.ts = {"s": "+" + bad.ts, "ms": bad.ts + ".5", "rfc3339": "yesterday", "utc": bad.ts + "Z", "rfc1123": "Someday, " + str(bad.ts)}[unit]
    text = ENCODE[sender.enc](sender.signature(bad))
    row(bad, sender.send(bad, text), "a timestamp in no form", "malformed_timestamp")
    return sender


def slack(c):
    return b"v0:" + c.ts.encode() + b":" + c.body


timed("slack", "X-Slack-Signature", "X-Slack-Request-Timestamp", slack, 300, prefix="v0=")
timed("zoom", "x-zm-signature", "x-zm-request-timestamp", slack, 300, prefix="v0=")
timed("customerio", "X-CIO-Signature", "X-CIO-Timestamp", slack, 300)
timed("host-uk-core-api", "X-Webhook-Signature", "X-Webhook-Timestamp", lambda c: c.ts.encode() + b"." + c.body, 300)
timed("webflow", "x-webflow-signature", "x-webflow-timestamp", lambda c: c.ts.encode() + b":" + c.body, 300, "ms")
zendesk = timed("zendesk", "X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp",
                lambda c: c.ts.encode() + c.body, 300, "rfc3339", enc="b64")
klaviyo = timed("klaviyo", "Klaviyo-Signature", "Klaviyo-Timestamp", lambda c: c.body + c.ts.encode(), 300, "rfc1123")
for sender, other, said in [(zendesk, lambda c: c.body + c.ts.encode(), "body before timestamp"),
                            (klaviyo, lambda c: c.ts.encode() + c.body, "timestamp before body")]:
    case = Case(sender)
    text = ENCODE[sender.enc](hmac.new(sender.key.encode(), other(case), "sha256").digest())
    row(case, sender.send(case, text), "trap: " + said, "signature_mismatch")

BOX = [["BOX-SIGNATURE-VERSION", "1"], ["BOX-SIGNATURE-ALGORITHM", "HmacSHA256"], ["BOX-DELIVERY-ID", "d-1"]]
box = timed("box", "BOX-SIGNATURE-PRIMARY", "BOX-DELIVERY-TIMESTAMP", lambda c: c.body + c.ts.encode(), 600, "rfc3339", more=BOX, enc="b64")
case, headers = signed(box)
row(case, [["BOX-SIGNATURE-SECONDARY", v] if n == "BOX-SIGNATURE-PRIMARY" else [n, v] for n, v in headers], "trap: the secondary signature alone")
wrong = b64(hmac.new(b"x", b"x", "sha256").digest())
row(case, headers + [["BOX-SIGNATURE-SECONDARY", wrong]], "trap: a bad secondary signature does not spoil the primary")
row(case, [[n, "2"] if n == "BOX-SIGNATURE-VERSION" else [n, v] for n, v in headers], "another version", "unsupported_version")
row(case, [pair for pair in headers if pair[0] != "BOX-SIGNATURE-ALGORITHM"], "no algorithm", "unsupported_version")
offset = Case(box)
offset.ts = "2026-11-21T17:00:00-07:00"
row(offset, box.send(offset, b64(box.signature(offset))), "a time with an offset", now=int(datetime.datetime.fromisoformat(offset.ts).timestamp()))


def fractions(case):
    case.ts = case.ts.replace("Z", ".123456789Z")


twitch = Sender("twitch", lambda c, text: [["Twitch-Eventsub-Message-Id", c.id], ["Twitch-Eventsub-Message-Timestamp", c.ts],
                                           ["Twitch-Eventsub-Message-Signature", "sha256=" + text]],
                lambda c: c.id.encode() + c.ts.encode() + c.body, unit="rfc3339", window=600)
usual(twitch)
case = Case(twitch)
fractions(case)
row(case, twitch.send(case, twitch.signature(case).hex()), "nanoseconds")
case, headers = signed(twitch)
row(case, [["Twitch-Eventsub-Message-Id", "other"], *headers[1:]], "another id", "signature_mismatch")
row(case, headers[1:], "no id", "missing_id")


def standard(name, prefix, keyed=lambda k: base64.b64decode(k.removeprefix("whsec_")), version="v1", id_name="-id", **how):
    how = {"key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "other": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "encoding": "whsec", **how}
    sender = Sender(name, lambda c, text: [[prefix + id_name, c.id], [prefix + "-timestamp", c.ts], [prefix + "-signature", version + "," + text]],
                    lambda c: b".".join([c.id.encode(), c.ts.encode(), c.body]), keyed=keyed, unit="s", window=300, enc="b64", **how)
    usual(sender)
    case, headers = signed(sender)
    good, bad = headers[2][1], version + "," + b64(b"\7" * (32 if version == "v1" else 64))
    lists = [("trap: a bad signature beside a good one", bad + " " + good, "valid"), ("trap: unknown versions are skipped", "v9,abc v1z,x " + good, "valid"),
             ("trap: none but an unknown version", good.replace(version + ",", "v2,"), "unsupported_version"),
             ("bad ones only", " ".join([bad] * 3), "signature_mismatch"), ("a version without a signature", version + ",", "malformed_signature")]
    for what, text, expect in lists:
        row(case, [*headers[:2], [headers[2][0], text]], what, expect)
    row(case, headers[1:], "no id", "missing_id")
    row(case, [[prefix + id_name, "msg_other"], *headers[1:]], "another id", "signature_mismatch")
    row(case, [headers[0], headers[2]], "no timestamp", "missing_timestamp")
    return sender


STANDARD = [(name, "webhook") for name in ("anthropic", "argil", "dodopayments", "fathom", "glean", "higgsfield", "incident-io", "linq", "liveblocks",
                                           "polar", "recall-ai", "signatureapi", "surge", "supabase-auth")]
STANDARD += [(name, "svix") for name in ("privy", "reducto", "stytch")]
for name, prefix in [("standard-webhooks", "webhook"), ("svix", "svix"), ("clerk", "svix"), ("resend", "svix"), ("openai", "webhook"),
                     ("replicate", "webhook"), ("lithic", "webhook"), ("gitlab-signed", "webhook"), *STANDARD]:
    sender = standard(name, prefix)
    case, headers = signed(sender)
    row(case, headers, "trap: the secret without whsec_", secret=sender.key.removeprefix("whsec_"))
    whole = b64(hmac.new(sender.key.encode(), sender.signed(case), "sha256").digest())
    row(case, sender.send(case, whole), "trap: the secret is not used whole", "signature_mismatch")
    if name in ("fathom", "incident-io", "recall-ai"):
        row(case, [[n.replace("webhook-", "svix-"), v] for n, v in headers], "trap: headers under Svix's names")
    if name == "supabase-auth":
        other = b64(hmac.new(b"another", sender.signed(case), "sha256").digest())
        for one, two, said in [(headers[2][1], "v1," + other, "first"), ("v1," + other, headers[2][1], "last")]:
            row(case, [*headers[:2], ["webhook-signature", one + ", " + two]], f"trap: signatures joined by a comma and a blank, the right one {said}")
    if prefix != "svix":
        continue
    unbranded = [[n.replace("svix", "webhook"), v] for n, v in headers]
    if name == "svix":
        row(case, unbranded, "the headers of a white-labeled Svix")
        row(case, headers + unbranded, "both families of headers")
        row(case, headers + [["webhook-id", "msg_other"], *unbranded[1:]], "trap: two families of headers that disagree", "ambiguous_header")
        row(case, [["webhook-id", "msg_other"], *unbranded[1:]], "trap: another id under the other name", "signature_mismatch")
    elif name in ("clerk", "resend"):
        row(case, unbranded, "trap: the headers of a white-labeled Svix", "missing_signature")
    else:
        row(case, unbranded, "the headers of a white-labeled Svix")


def pairs(name, header, pattern, key, signed_, window, unit="s", enc="hex", secret="a secret of 32 bytes, as text!!!", any_body=True):
    """`pattern` has {t} and {s} in it; `key` is that of the signature."""
    sender = Sender(name, lambda c, text: [[header, pattern.format(t=c.ts, s=text)]], signed_, unit=unit, window=window, enc=enc, key=secret)
    SENDERS.append(sender)
    case, headers = signed(sender)
    value = headers[0][1]
    separator = next(text for text in ";&," if text in pattern or text == ",")
    good = key + "=" + ENCODE[enc](sender.signature(case))
    bad = key + "=" + ENCODE[enc](b"\7" * 32)
    row(case, headers, "right")
    row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
    row(case, [[header, value.replace(good, bad + separator + good)]], "trap: a bad signature beside a good one")
    row(case, [[header, value.replace(good, bad)]], "a bad signature", "signature_mismatch")
    row(case, [[header, value.replace(good, "zz=1" + separator + good + separator + "x")]], "trap: unknown keys are ignored")
    row(case, [[header, value.replace(separator, separator + " ")]], "blanks after the separator")
    row(case, [[header, value.replace(good, "v99=" + good.split("=", 1)[1])]], "trap: none but an unknown version", "unsupported_version")
    row(case, [[header, value.replace(good, key + "=")]], "no text for the signature", "malformed_signature")
    row(case, [[header, value.replace(good, good[:-2])]], "signature cut short", "malformed_signature")
    row(case, [], "no signature", "missing_signature")
    case, headers = signed(sender, key=sender.other)
    row(case, headers, "another secret", "signature_mismatch")
    row(case, headers, "the older of two secrets", extra=[sender.other])
    case, headers = signed(sender, body=b"\xff\x00 not text")
    row(case, headers, *(["a body that is not text"] if any_body else ["a body that is not JSON", "malformed_body"]))
    if not unit:
        return sender
    stamp = next(part for part in pattern.split(separator) if "{t}" in part).strip().replace("{t}", "")
    row(case, [[header, headers[0][1].replace(stamp, "q" + stamp)]], "no timestamp", "missing_timestamp")
    if window:
        for name_, offset, expect in [("as old as it may be", -window, "valid"), ("a second too old", -window - 1, "timestamp_too_old"),
                                      ("as far ahead as it may be", window, "valid"), ("a second too far ahead", window + 1, "timestamp_in_future")]:
            case, headers = signed(sender, at=NOW + offset)
            row(case, headers, name_, expect)
    else:
        case, headers = signed(sender, at=NOW - 10**6)
        row(case, headers, "an old one, which the sender does not judge")
    return sender


def dotted(c):
    return c.ts.encode() + b"." + c.body


stripe = pairs("stripe", "Stripe-Signature", "t={t},v1={s}", "v1", dotted, 300, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
case = Case(stripe)
text = hmac.new(base64.b64decode(stripe.key.removeprefix("whsec_")), dotted(case), "sha256").hexdigest()
row(case, stripe.send(case, text), "trap: whsec_ is not decoded, the secret is used whole", "signature_mismatch")
text = stripe.signature(case).hex()
row(case, [["Stripe-Signature", f"t={case.ts},v0={text}"]], "trap: v0 is for tests", "unsupported_version")
pairs("calendly", "Calendly-Webhook-Signature", "t={t},v1={s}", "v1", dotted, 180)
sanity = pairs("sanity", "sanity-webhook-signature", "t={t},v1={s}", "v1", dotted, None, "ms", "b64url")
case = Case(sanity)
row(case, sanity.send(case, not_canonical(b64url(sanity.signature(case)))), "trap: base64url with an unused bit set", "malformed_signature")
pairs("workos", "WorkOS-Signature", "t={t}, v1={s}", "v1", dotted, 180, "ms")
pairs("mux", "Mux-Signature", "t={t},v1={s}", "v1", dotted, 300)
pairs("paddle", "Paddle-Signature", "ts={t};h1={s}", "h1", lambda c: c.ts.encode() + b":" + c.body, 5)
pairs("elevenlabs", "ElevenLabs-Signature", "t={t},v0={s}", "v0", dotted, 1800)
pairs("tiktok", "TikTok-Signature", "t={t},s={s}", "s", dotted, 300)
pairs("cloudflare-stream", "Webhook-Signature", "time={t},sig1={s}", "sig1", dotted, 300)
coinbase = pairs("coinbase-cdp", "X-Hook0-Signature", "t={t},v0={s}", "v0", dotted, 300, any_body=False)
case = Case(coinbase)
listed = [["Content-Type", "application/json"], ["X-Event-Id", "e1"], ["X-Event-Type", "onramp.success"]]
v1 = hmac.new(coinbase.key.encode(), f"{case.ts}.content-type x-event-id.application/json.e1.".encode() + case.body, "sha256").hexdigest()
v0 = coinbase.signature(case).hex()
names, bad = "h=content-type x-event-id", "07" * 32


def hook0(rest):
    return ["X-Hook0-Signature", f"t={case.ts},{rest}"]


row(case, [*listed, hook0(f"{names},v1={v1}")], "v1: listed headers and the body")
row(case, [*listed, hook0(f"v0={v0},{names},v1={v1}")], "v0 and v1")
row(case, [*listed, hook0(f"v0={bad},{names},v1={v1}")], "trap: a bad v0 beside a good v1")
row(case, [*listed, hook0(f"{names},v1={v0}")], "trap: v1 is not over the content of v0", "signature_mismatch")
row(case, [*listed, hook0(f"v0={v1},{names}")], "trap: v0 is not over the content of v1", "signature_mismatch")
row(case, [listed[0], ["X-Event-Id", "e2"], listed[2], hook0(f"{names},v1={v1}")], "v1: a listed header was changed", "signature_mismatch")
row(case, [*listed[:1], hook0(f"{names},v1={v1}")], "v1: a listed header is absent", "signature_mismatch")
row(case, [*listed, hook0(f"h=x-event-id content-type,v1={v1}")], "v1: another order of names", "signature_mismatch")
row(case, [*listed, hook0(f"v1={v1}")], "v1: no list of headers", "malformed_signature")
row(case, [*listed, hook0(f"{names},v1={v1}")], "v1: one bit of the body", "signature_mismatch", body=one_bit(case.body))
pairs("ghost", "X-Ghost-Signature", "sha256={s}, t={t}", "sha256", lambda c: c.body + c.ts.encode(), 300, "ms")
pairs("pagerduty", "X-PagerDuty-Signature", "v1={s}", "v1", lambda c: c.body, None, None)
pairs("circleci", "circleci-signature", "v1={s}", "v1", lambda c: c.body, None, None)


def linear_body(case):
    case.ts = str(int(case.at * 1000))
    if case.body is case.sender.body:
        case.body = b'{"action":"create","webhookTimestamp":' + case.ts.encode() + b',"note":"1"}'


linear = Sender("linear", lambda c, text: [["Linear-Delivery", "d-1"], ["linear-signature", text]], prepare=linear_body, window=8 * 3600, ahead=60,
                unit="ms", covers_body=False)
usual(linear)
case, headers = signed(linear)
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, headers + [["linear-timestamp", "1"]], "trap: the timestamp in the header is not looked at")
case, headers = signed(linear, at=NOW - 9 * 3600)
row(case, headers + [["linear-timestamp", str(NOW * 1000)]], "trap: a new timestamp in the header does not help", "timestamp_too_old")
case, headers = signed(linear, at=NOW - 7 * 3600 - 60)
row(case, headers, "trap: the last retry with the first timestamp")
case, headers = signed(linear, body=b'{"action":"create"}')
row(case, headers, "no timestamp in the body", "missing_timestamp")

# -- URL, method, form, fields -------------------------------------------------------------------------------------


def hubspot_url(url):
    for escape, char in [("%3A", ":"), ("%2F", "/"), ("%3F", "?"), ("%40", "@"), ("%21", "!"), ("%24", "$"), ("%27", "'"), ("%28", "("),
                         ("%29", ")"), ("%2A", "*"), ("%2C", ","), ("%3B", ";")]:
        url = url.replace(escape, char)
    return url


def hubspot_v3(c):
    return c.method.encode() + hubspot_url(c.url).encode() + c.body + c.ts.encode()


def url_rows(sender, change="?a=2"):
    """The query is signed."""
    case, headers = signed(sender, query="?a=1&b=%C3%BC")
    row(case, headers, "with a query")
    case.url = URL + change
    row(case, headers, "another query", "signature_mismatch")


hubspot = Sender("hubspot-v3", lambda c, text: [["X-HubSpot-Request-Timestamp", c.ts], ["X-HubSpot-Signature-v3", text]], hubspot_v3,
                 enc="b64", unit="ms", window=300, url=True)
usual(hubspot)
url_rows(hubspot)
case, headers = signed(hubspot, query="?portal=a%3Ab%2Fc&d=%20%26")
row(case, headers, "trap: some escapes of the URL are decoded before it is signed")
raw = Case(hubspot, query="?portal=a%3Ab")
text = b64(hmac.new(hubspot.key.encode(), raw.method.encode() + raw.url.encode() + raw.body + raw.ts.encode(), "sha256").digest())
row(raw, hubspot.send(raw, text), "trap: the escaped URL is not what is signed", "signature_mismatch")
case, headers = signed(hubspot)
case.method = "GET"
row(case, headers, "another method", "signature_mismatch")
for version, content in [("v1", lambda c: c.body), ("v2", lambda c: c.method.encode() + c.url.encode() + c.body)]:
    sender = Sender("hubspot-" + version, lambda c, text, version=version: [["X-HubSpot-Signature-Version", version], ["X-HubSpot-Signature", text]],
                    content, mac="keyed", url=version == "v2")
    usual(sender)
    case, headers = signed(sender)
    row(case, [["X-HubSpot-Signature-Version", "v3"], headers[1]], "another version", "unsupported_version")
    row(case, headers[1:], "no version", "unsupported_version")
    text = hmac.new(sender.key.encode(), content(case), "sha256").hexdigest()
    row(case, sender.send(case, text), "an HMAC", "signature_mismatch")

square = Sender("square", lambda c, text: [["x-square-hmacsha256-signature", text]], lambda c: c.url.encode() + c.body, enc="b64", url=True)
trello = Sender("trello", lambda c, text: [["X-Trello-Webhook", text]], lambda c: c.body + c.url.encode(), enc="b64", mac="sha1", url=True, json_body=True)
for sender, other, said in [(square, lambda c: c.body + c.url.encode(), "body before URL"), (trello, lambda c: c.url.encode() + c.body, "URL before body")]:
    usual(sender)
    url_rows(sender)
    case = Case(sender)
    text = b64(hmac.new(sender.key.encode(), other(case), sender.mac).digest())
    row(case, sender.send(case, text), "trap: " + said, "signature_mismatch")


def contentful(c, names=None):
    path, _, query = c.url.removeprefix("https://hooks.example.test").partition("?")
    path += "?" + quote(query, safe="-_.!~*'()") if query else ""
    lines = ";".join(f"{n.lower()}:{dict(c.headers)[n]}" for n in names or c.names)
    return "\n".join([c.method, quote(path, safe=";,/?:@&=+$-_.!~*'()#"), lines, ""]).encode() + c.body


def contentful_headers(case):
    case.names = ["x-contentful-signed-headers", "x-contentful-timestamp", "x-contentful-topic"]
    case.headers = [["x-contentful-signed-headers", ",".join(case.names)], ["x-contentful-timestamp", case.ts], ["x-contentful-topic", "Entry.publish"]]


content = Sender("contentful", lambda c, text: [*c.headers, ["x-contentful-signature", text]], contentful, unit="ms", window=30, url=True,
                 prepare=contentful_headers)
usual(content)
case, headers = signed(content, query="?a=1&b=%20x")
row(case, headers, "trap: the query is escaped twice")
case.url = URL + "?a=2"
row(case, headers, "another query", "signature_mismatch")
case, headers = signed(content)
row(case, [[n, "Entry.unpublish"] if n == "x-contentful-topic" else [n, v] for n, v in headers], "another topic, which is signed", "signature_mismatch")
case = Case(content)
case.names = ["x-contentful-signed-headers"]
case.headers[0][1] = "x-contentful-signed-headers"
text = content.signature(case).hex()
row(case, content.send(case, text), "a timestamp that is not among what is signed", "malformed_signature")
case = Case(content)
case.names = ["x-contentful-timestamp"]
case.headers[0][1] = "x-contentful-timestamp"
text = content.signature(case).hex()
row(case, content.send(case, text), "trap: a list that is not signed itself", "malformed_signature")
case = Case(content)
case.names = [*case.names, "x-tenant"]
case.headers[0][1] = ",".join(case.names)
case.headers += [["x-tenant", ""]]
text = content.signature(case).hex()
row(case, content.send(case, text), "a signed header that is empty")
row(case, [*content.send(case, text)[:-2], ["x-tenant", "a"], ["x-tenant", "b"], ["x-contentful-signature", text]], "trap: a header that is signed as empty, twice",
    "ambiguous_header")

FORM = [["Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"]]


def form_fields(body):
    seen = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        seen.setdefault(name, set()).add(value)
    return "".join(name + value for name in sorted(seen) for value in sorted(seen[name])).encode()


def form_sender(name, header, mac="sha1"):
    sender = Sender(name, lambda c, text: [*FORM, [header, text]], lambda c: c.url.encode() + form_fields(c.body), mac=mac, enc="b64", url=True,
                    body=b"To=%2B15551234567&Body=gr%C3%BC%C3%9Fe+it%27s&Empty=&From=%2B15557654321", covers_body=False)
    usual(sender)
    url_rows(sender)
    case, headers = signed(sender)
    row(case, headers, "one digit of a field", "signature_mismatch", body=one_bit(case.body))
    fields = case.body.split(b"&")
    row(case, headers, "trap: names are sorted, so their order does not matter", body=b"&".join(reversed(fields)))
    row(case, headers, "trap: a field that is there twice counts once", body=case.body + b"&" + fields[0])
    row(case, headers, "a field more", "signature_mismatch", body=case.body + b"&x=1")
    row(case, headers, "an escaped apostrophe is the apostrophe, in a form", body=case.body.replace(b"%27", b"'"))
    row(case, [["Content-Type", "application/json"], headers[1]], "a body that is not a form", "malformed_body")
    return sender


twilio = form_sender("twilio", "X-Twilio-Signature")
form_sender("mandrill", "X-Mandrill-Signature")
shared = form_sender("twilio-sha256", "X-Twilio-Signature", "sha256")
case, headers = signed(shared)
row(case, headers + [["X-Twilio-Webhooks-Signature-Settings", "key=SK1,algorithm=HMAC_SHA256"]], "with the header that names the key")
text = b64(hmac.new(shared.key.encode(), shared.signed(case), "sha1").digest())
row(case, shared.send(case, text), "trap: SHA-1, as with the auth token", "malformed_signature")
for url, signed_as, name, expect in [
    ("https://hooks.example.test/hook", "https://hooks.example.test:443/hook", "trap: signed with the default port", "valid"),
    ("https://hooks.example.test:8443/hook", "https://hooks.example.test/hook", "trap: signed without its port", "valid"),
    ("https://user:pass@hooks.example.test/hook", "https://user:pass@hooks.example.test:443/hook", "trap: user and password stay", "valid"),
    ("https://hooks.example.test/hook", "https://hooks.example.test:8443/hook", "signed with another port", "signature_mismatch"),
    ("https://hooks.example.test/hook?q=it%27s", "https://hooks.example.test/hook?q=it's", "trap: %27 in the URL is not an apostrophe", "signature_mismatch"),
]:
    case = Case(twilio)
    case.url = signed_as
    headers = twilio.send(case, b64(twilio.signature(case)))
    case.url = url
    row(case, headers, name, expect)


def digest_in_query(case):
    case.url += ("&" if "?" in case.url else "?") + "bodySHA256=" + hashlib.sha256(case.body).hexdigest()


for name, mac in [("twilio-json", "sha1"), ("twilio-json-sha256", "sha256")]:
    twilio_json = Sender(name, lambda c, text: [["Content-Type", "application/json"], ["X-Twilio-Signature", text]], lambda c: c.url.encode(),
                         mac=mac, enc="b64", url=True, prepare=digest_in_query)
    usual(twilio_json)
    case = Case(twilio_json)
    case.url = URL
    row(case, twilio_json.send(case, b64(twilio_json.signature(case))), "no digest in the URL", "signature_mismatch")
case, headers = signed(twilio_json)
text = b64(hmac.new(twilio_json.key.encode(), twilio_json.signed(case), "sha1").digest())
row(case, twilio_json.send(case, text), "trap: SHA-1, as with the auth token", "malformed_signature")

plivo = Sender("plivo-v2", lambda c, text: [["X-Plivo-Signature-V2-Nonce", "12345678901234567890"], ["X-Plivo-Signature-V2", text]],
               lambda c: c.url.split("?")[0].encode() + b"12345678901234567890", enc="b64", url=True, covers_body=False)
usual(plivo)
case, headers = signed(plivo, query="?a=1")
row(case, headers, "the query is not signed")
row(case, [["X-Plivo-Signature-V2-Nonce", "1234567890123456789"], headers[1]], "another nonce", "signature_mismatch")
case, headers = signed(plivo)
main = ["X-Plivo-Signature-Ma-V2", headers[1][1]]
row(case, [headers[0], main], "the main account's signature alone")
row(case, [headers[0], ["X-Plivo-Signature-V2", b64(b"\7" * 32)], main], "trap: a subaccount's signature beside the main account's")
row(case, [headers[0], [main[0], b64(b"\7" * 32)]], "a bad signature of the main account", "signature_mismatch")


def in_body(name, put, signed_, body, **how):
    """Senders whose signature is in the body: `put(body, text)` is the body with it."""
    sender = Sender(name, lambda c, text: [["Content-Type", "application/json"]], signed_, body=body, covers_body=False, **how)
    SENDERS.append(sender)

    def write(what, expect="valid", change=lambda text: text, key=None, tamper=lambda body: body, secret=None):
        case = Case(sender, key=key)
        text = ENCODE[sender.enc](sender.signature(case))
        row(case, [["Content-Type", "application/json"]], what, expect, body=tamper(put(case.body, change(text))))

    write("right")
    write("another secret", "signature_mismatch", key=sender.other)
    write("signature cut short", "malformed_signature", lambda text: text[:-4])
    write("an empty signature", "missing_signature", lambda text: "")
    write("not JSON", "malformed_body", tamper=lambda body: body[:-1])
    return sender, write


def put_mailgun(body, text):
    value = json.loads(body)
    value["signature"]["signature"] = text
    return json.dumps(value).encode()


def mailgun(c):
    signature = json.loads(c.body)["signature"]
    return (signature["timestamp"] + signature["token"]).encode()


_, write = in_body("mailgun", put_mailgun, mailgun,
                   b'{"signature":{"token":"c0ffee1","timestamp":"1795305600"},"event-data":{"event":"delivered","id":"x1"}}')
write("another token", "signature_mismatch", tamper=lambda body: body.replace(b"c0ffee1", b"c0ffee2"))
write("another timestamp", "signature_mismatch", tamper=lambda body: body.replace(b"1795305600", b"1795305601"))
write("trap: a character moved from the token to the timestamp, under the same signature", "malformed_timestamp",
      tamper=lambda body: body.replace(b"c0ffee1", b"0ffee1").replace(b"1795305600", b"1795305600c"))
write("the events are not signed", tamper=lambda body: body.replace(b"delivered", b"rejected!"))
write("a key that is there twice", "malformed_body", tamper=lambda body: body.replace(b'"token"', b'"token": "x", "token"'))


def with_parent(body, signature, parent):
    value = json.loads(body)
    value["signature"] |= {"signature": signature or value["signature"]["signature"], "parent-signature": parent or value["signature"]["signature"]}
    return json.dumps(value).encode()


write("trap: a subaccount's signature beside the parent's", tamper=lambda body: with_parent(body, "07" * 32, None))
write("a parent's signature by another key", tamper=lambda body: with_parent(body, None, "07" * 32))
write("two bad signatures", "signature_mismatch", tamper=lambda body: with_parent(body, "07" * 32, "07" * 32))

ROUTE = [["Content-Type", "application/x-www-form-urlencoded"]]
routes = Sender("mailgun", lambda c, text: ROUTE, lambda c: b"1795305600c0ffee1", covers_body=False)


def route(what, expect="valid", headers=ROUTE, key=None, change=lambda text: text, **fields):
    case = Case(routes, key=key)
    form = {"timestamp": "1795305600", "token": "c0ffee1", "signature": change(routes.signature(case).hex()), "sender": "a%40example.test", **fields}
    row(case, headers, "a route's form: " + what, expect, body="&".join(f"{k}={v}" for k, v in form.items() if v is not None).encode())


route("right")
route("another secret", "signature_mismatch", key=routes.other)
route("another token", "signature_mismatch", token="c0ffee2")
route("another timestamp", "signature_mismatch", timestamp="1795305601")
route("signature cut short", "malformed_signature", change=lambda text: text[:-4])
route("no signature", "missing_signature", signature=None)
route("no timestamp", "missing_timestamp", timestamp=None)
route("trap: a character moved from the token to the timestamp, under the same signature", "malformed_timestamp", timestamp="1795305600c", token="0ffee1")
route("trap: the message is not signed", sender="b%40example.test")
route("a body that is no form", "missing_signature", headers=[["Content-Type", "multipart/form-data; boundary=x"]])


def parts_of(fields):
    """A multipart body: each field has a name, a value, and more of its header."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n' for name, value, more in fields]
    return ("".join(parts) + "--x--\r\n").encode()


def parcel(what, expect="valid", change=lambda fields: fields, body=lambda body: body, headers=[["Content-Type", "multipart/form-data; boundary=x"]]):
    case = Case(routes)
    fields = [("sender", "a@example.test", ""), ("timestamp", "1795305600", ""), ("token", "c0ffee1", ""), ("attachment-1", "%PDF", '; filename="a.pdf"'),
              ("signature", routes.signature(case).hex(), "")]
    row(case, headers, "a route's parts: " + what, expect, body=body(parts_of(change(fields))))


parcel("trap: a message with an attachment")
parcel("another token", "signature_mismatch", lambda fields: [(n, v.replace("ee1", "ee2"), more) for n, v, more in fields])
parcel("no signature", "missing_signature", lambda fields: fields[:-1])
parcel("no timestamp", "missing_timestamp", lambda fields: [field for field in fields if field[0] != "timestamp"])
parcel("trap: two tokens", "malformed_body", lambda fields: [("token", "c0ffee2", ""), *fields])
parcel("trap: a file in place of the token", "signature_mismatch", lambda fields: [(n, v, '; filename="t"' if n == "token" else more) for n, v, more in fields])
parcel("trap: a file with the name of a field does not count", "valid", lambda fields: [("token", "c0ffee2", '; filename="t"'), *fields])
parcel("the end is missing", "missing_signature", body=lambda body: body[:-5])
parcel("another boundary", "missing_signature", headers=[["Content-Type", "multipart/form-data; boundary=y"]])
parcel("no boundary", "malformed_body", headers=[["Content-Type", "multipart/form-data"]])
parcel("two content types", "malformed_body", headers=[["Content-Type", "multipart/form-data; boundary=x"], ["Content-Type", "multipart/form-data; boundary=x"]])
parcel("more parts than are read", "missing_signature", lambda fields: [("a", "", "")] * 1024 + fields)


def sign_json(signature, time="1795305600", kind="signature_request_sent"):
    event = {"event_type": kind, "event_time": time, **({"event_hash": signature} if signature else {}), "event_metadata": {"reported_for_app_id": None}}
    return json.dumps({"event": event, "account_guid": "a1"})


dropbox_sign = Sender("dropbox-sign", lambda c, text: [], lambda c: b"1795305600signature_request_sent", covers_body=False)
SENDERS.append(dropbox_sign)


def callback(what, expect="valid", key=None, change=lambda text: text, body=None, headers=[["Content-Type", "multipart/form-data; boundary=x"]], **fields):
    case = Case(dropbox_sign, key=key)
    text = sign_json(change(dropbox_sign.signature(case).hex()), **fields)
    row(case, headers, what, expect, body=(body or (lambda text: part_of("json", text.encode())))(text))


callback("right")
callback("another secret", "signature_mismatch", key=dropbox_sign.other)
callback("another time", "signature_mismatch", time="1795305601")
callback("another type", "signature_mismatch", kind="signature_request_all_signed")
callback("trap: a digit moved from the time to the type", "malformed_timestamp", time="179530560", kind="0signature_request_sent")
callback("trap: the rest is not signed", body=lambda text: part_of("json", text.replace("a1", "b1").encode()))
callback("signature cut short", "malformed_signature", change=lambda text: text[:-4])
callback("no signature", "missing_signature", change=lambda text: "")
callback("the other kind of form", headers=[["Content-Type", "application/x-www-form-urlencoded"]], body=lambda text: b"json=" + quote(text).encode())
callback("trap: JSON without a form", headers=[["Content-Type", "application/json"]], body=lambda text: text.encode())
callback("another field", "malformed_body", body=lambda text: part_of("jso", text.encode()))
callback("trap: a file with the name of the field", "malformed_body", body=lambda text: part_of("json", text.encode(), '; filename="a"'))
callback("trap: two parts", "malformed_body", body=lambda text: part_of("json", text.encode())[:-7] + b"\r\n" + part_of("json", text.encode()))
callback("the end is missing", "malformed_body", body=lambda text: part_of("json", text.encode())[:-5])
# the example of the client library
published = Case(dropbox_sign)
row(published, [["Content-Type", "multipart/form-data; boundary=x"]], "published", secret="324e3b0840f065eb51f3fd63231d0d33daa35d4ed10d27718839e81737065782",
    body=part_of("json", sign_json("ff8b03439122f9160500c3fb855bdee5a9ccba5fff27d3b258745d8f3074832f", "1669926463", "account_confirmed").encode()))

ADYEN = {"live": "false", "notificationItems": [{"NotificationRequestItem": {
    "additionalData": {}, "amount": {"value": 1130, "currency": "EUR"}, "eventCode": "AUTHORISATION", "merchantAccountCode": "ShopA",
    "merchantReference": "order:1\\B", "pspReference": "7914073381342284", "success": "true"}}]}


def item_of(body):
    return json.loads(body)["notificationItems"][0]["NotificationRequestItem"]


def adyen(c):
    i = item_of(c.body)
    fields = [i["pspReference"], i.get("originalReference", ""), i["merchantAccountCode"], i["merchantReference"], str(i["amount"]["value"]),
              i["amount"]["currency"], i["eventCode"], i["success"]]
    return ":".join(fields).encode()


def put_adyen(body, text):
    value = json.loads(body)
    value["notificationItems"][0]["NotificationRequestItem"]["additionalData"]["hmacSignature"] = text
    return json.dumps(value).encode()


_, write = in_body("adyen", put_adyen, adyen, json.dumps(ADYEN).encode(), enc="b64", **HEX_KEY)
write("trap: an absent original reference is signed as an empty one, colons and backslashes as they are")
write("another amount", "signature_mismatch", tamper=lambda body: body.replace(b"1130", b"1131"))
write("another reference", "signature_mismatch", tamper=lambda body: body.replace(b"order:1", b"order:2"))
write("trap: fields that are cut apart elsewhere", "malformed_body", tamper=lambda body: body.replace(b'"7914073381342284"', b'"7914073381342284:"')
      .replace(b'"ShopA"', b'"order"').replace(b'"order:1\\\\B"', b'"1\\\\B"').replace(b'"pspReference"', b'"originalReference": "ShopA", "pspReference"'))
write("an object where a text is signed", "malformed_body", tamper=lambda body: body.replace(b'"pspReference"', b'"originalReference": {"x": 1}, "pspReference"'))
write("an original reference that was not signed", "signature_mismatch", tamper=lambda body: body.replace(b'"pspReference"', b'"originalReference": "x", "pspReference"'))
write("trap: a tag of 33 bytes", "malformed_signature", lambda text: b64(base64.b64decode(text) + b"\0"))
write("trap: a second item, which is not signed", "malformed_body",
      tamper=lambda body: json.dumps({**json.loads(body), "notificationItems": json.loads(body)["notificationItems"] * 2}).encode())
write("trap: base64 with an unused bit set", "malformed_signature", not_canonical)

# -- a secret that is sent as it is --------------------------------------------------------------------------------


def token(name, send, wrong="another secret, as long as that", key="a secret of 32 bytes, as text!!!", absent=None, url=False):
    sender = Sender(name, None, key=key, url=url)
    SENDERS.append(sender)
    for what, value, expect in [("right", key, "valid"), ("wrong", wrong, "token_mismatch"), ("longer", key + "x", "token_mismatch"),
                                ("shorter", key[:-1], "token_mismatch"), ("in another case", key.upper(), "token_mismatch"),
                                ("empty", "", "missing_token"), ("missing", None, "missing_token")]:
        case = Case(sender)
        headers = send(case, value)
        row(case, headers, what, expect)


def token_header(name):
    return lambda c, value: [] if value is None else [[name, value]]


token("gitlab", token_header("X-Gitlab-Token"))
token("okta", token_header("Authorization"))
token("auth0", token_header("Authorization"))
token("auth0-logs", token_header("Authorization"))
token("telegram", token_header("X-Telegram-Bot-Api-Secret-Token"))
token("pipeforce-token", token_header("token"))


def basic(c, value):
    return [] if value is None else [["Authorization", "Basic " + b64(value.encode()) if value else ""]]


token("postmark", basic, "user:other", "user:p\u00e4ss:word")
token("chargebee", basic, "user:other", "user:pass")


def in_query(c, value):
    c.url = URL if value is None else URL + "?secret=" + quote(value, safe="")
    return []


def in_value(c, value):
    c.body = json.dumps({"value": [{"changeType": "created", **({} if value is None else {"clientState": value})}]}).encode()
    return []


token("mailchimp-marketing", in_query, url=True)
token("microsoft-graph", in_value)

# -- more senders, by what they sign -------------------------------------------------------------------------------

for name, header, prefix, more in [
    ("ably", "X-Ably-Signature", "", {"enc": "b64"}),
    ("acuity-scheduling", "X-Acuity-Signature", "", {"enc": "b64"}),
    ("aftership-tracking", "aftership-hmac-sha256", "", {"enc": "b64"}),
    ("alchemy", "X-Alchemy-Signature", "", {}),
    ("attio", "Attio-Signature", "", {}),
    ("btcpay", "BTCPay-Sig", "sha256=", {}),
    ("checkly", "x-checkly-signature", "", {}),
    ("checkout-com", "Cko-Signature", "", {}),
    ("discourse", "X-Discourse-Event-Signature", "sha256=", {}),
    ("dub", "Dub-Signature", "", {"key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
    ("dwolla", "X-Request-Signature-SHA-256", "", {}),
    ("easypost", "X-Hmac-Signature", "hmac-sha256-hex=", {}),
    ("expo-eas", "expo-signature", "sha1=", {"mac": "sha1"}),
    ("fastspring", "X-FS-Signature", "", {"enc": "b64"}),
    ("firstpromoter", "X-Webhook-Signature", "", {}),
    ("flagsmith", "X-Flagsmith-Signature", "", {}),
    ("flutterwave-v4", "flutterwave-signature", "", {"enc": "b64"}),
    ("getstream", "X-Signature", "", {}),
    ("grafana", "X-Grafana-Alert-Signature", "", {}),
    ("greenhouse", "Signature", "sha256 ", {}),
    ("growthbook", "X-GrowthBook-Signature", "", {}),
    ("kontent-ai", "X-Kontent-ai-Signature", "", {"enc": "b64"}),
    ("launchdarkly", "X-LD-Signature", "", {}),
    ("logto", "logto-signature-sha-256", "", {}),
    ("mailersend", "Signature", "", {}),
    ("mailtrap", "Mailtrap-Signature", "", {}),
    ("modern-treasury", "X-Signature", "", {}),
    ("nango", "X-Nango-Hmac-Sha256", "", {}),
    ("netbox", "X-Hook-Signature", "", {"mac": "sha512"}),
    ("novu", "X-Novu-Signature", "", {}),
    ("onfido", "X-SHA2-Signature", "", {}),
    ("openproject", "X-OP-Signature", "sha1=", {"mac": "sha1"}),
    ("phabricator", "X-Phabricator-Webhook-Signature", "", {}),
    ("plane", "X-Plane-Signature", "", {}),
    ("recharge", "X-Recharge-Hmac-Sha256", "", {"mac": "keyed"}),
    ("snyk", "X-Hub-Signature", "sha256=", {}),
    ("sonarqube", "X-Sonar-Webhook-HMAC-SHA256", "", {}),
    ("squarespace", "Squarespace-Signature", "", HEX_KEY),
    ("storyblok", "webhook-signature", "", {"mac": "sha1"}),
    ("sumsub", "X-Payload-Digest", "", {}),
    ("surveymonkey", "Sm-Signature", "", {"mac": "sha1", "enc": "b64", "key": "client-id&client secret"}),
    ("todoist", "X-Todoist-Hmac-SHA256", "", {"enc": "b64"}),
    ("uploadcare", "X-Uc-Signature", "v1=", {}),
    ("webex", "X-Spark-Signature", "", {"mac": "sha1"}),
    ("yousign", "X-Yousign-Signature-256", "sha256=", {}),
]:
    sender = body_alone(name, header, prefix, **more)
    case, headers = signed(sender)
    text = headers[1][1]
    for known, alias in [("attio", "X-Attio-Signature"), ("grafana", "X-Grafana-Alerting-Signature"), ("kontent-ai", "X-KC-Signature"),
                         ("mailersend", "X-MailerSend-Signature")]:
        if name == known:
            row(case, [[alias, text]], "trap: the other name of the header")
    if name == "snyk":
        row(case, [[header, "sha1=" + hmac.new(sender.key.encode(), case.body, "sha1").hexdigest()]],
            "trap: SHA-1, as GitHub has it in a header of this name", "malformed_signature")
    if name == "greenhouse":
        row(case, [[header, text.replace(" ", "=")]], "trap: another sign after sha256", "malformed_signature")
    if name == "storyblok":
        row(case, [["webhook-id", "msg_1"], ["webhook-timestamp", str(NOW)], [header, "v1," + b64(b"\7" * 32)]],
            "trap: a signature of Standard Webhooks under the same name", "malformed_signature")
    if name == "recharge":
        row(case, [[header, hmac.new(sender.key.encode(), case.body, "sha256").hexdigest()]], "an HMAC", "signature_mismatch")
        row(case, [[header, hashlib.sha256(case.body + sender.key.encode()).hexdigest()]], "trap: the secret behind the body", "signature_mismatch")
    if name == "dub":
        decoded = base64.b64decode(sender.key.removeprefix("whsec_"))
        row(case, [[header, hmac.new(decoded, case.body, "sha256").hexdigest()]], "trap: whsec_ is not decoded, the secret is used whole", "signature_mismatch")

deel = body_alone("deel", "X-Deel-Signature", signed=lambda c: b"POST" + c.body)
case = Case(deel)
row(case, deel.send(case, hmac.new(deel.key.encode(), case.body, "sha256").hexdigest()), "trap: the body without POST", "signature_mismatch")

lago = Sender("lago", lambda c, text: [["X-Lago-Signature-Algorithm", "hmac"], ["X-Lago-Unique-Key", "d-1"], ["X-Lago-Signature", text]], enc="b64")
usual(lago)
case, headers = signed(lago)
row(case, [["X-Lago-Signature-Algorithm", "jwt"], *headers[1:]], "another algorithm", "unsupported_version")
row(case, headers[1:], "no algorithm", "unsupported_version")

guid = [["X-Deliveroo-Sequence-Guid", "1499765769"]]
for name, between in [("deliveroo", b" "), ("deliveroo-legacy", b" \n ")]:
    sender = Sender(name, lambda c, text: [*guid, ["X-Deliveroo-Hmac-Sha256", text]], lambda c, between=between: b"1499765769" + between + c.body)
    usual(sender)
    case, headers = signed(sender)
    row(case, [["X-Deliveroo-Sequence-Guid", "1499765768"], headers[1]], "another GUID", "signature_mismatch")
    row(case, headers[1:], "no GUID", "signature_mismatch")
    row(case, [["X-Deliveroo-Sequence-Guid", "1499765769 {"], headers[1]], "trap: a GUID that begins the body", "malformed_signature")


def plus(more):
    return lambda c: more(c, c.ts.encode())


timed("airwallex", "x-signature", "x-timestamp", plus(lambda c, t: t + c.body), None, "ms")
timed("cashfree", "x-webhook-signature", "x-webhook-timestamp", plus(lambda c, t: t + c.body), None, "ms", enc="b64")
timed("crisp", "X-Crisp-Signature", "X-Crisp-Request-Timestamp", plus(lambda c, t: b"[" + t + b";" + c.body + b"]"), None, "ms")
timed("grafana-timestamped", "X-Grafana-Alert-Signature", "X-Grafana-Alerting-Timestamp", plus(lambda c, t: t + b":" + c.body), 300)
timed("metronome", "Metronome-Webhook-Signature", "X-Metronome-Date", plus(lambda c, t: t + b"\n" + c.body), 300, "rfc1123")
timed("samsara", "X-Samsara-Signature", "X-Samsara-Timestamp", plus(lambda c, t: b"v1:" + t + b":" + c.body), 300, prefix="v1=", **B64_KEY)
timed("spree", "X-Spree-Webhook-Signature", "X-Spree-Webhook-Timestamp", plus(lambda c, t: t + b"." + c.body), 300)
timed("twenty", "X-Twenty-Webhook-Signature", "X-Twenty-Webhook-Timestamp", plus(lambda c, t: t + b":" + c.body), 300, "ms")
for name, mac in [("cloudinary", "sha1"), ("cloudinary-sha256", "sha256")]:
    sender = timed(name, "X-Cld-Signature", "X-Cld-Timestamp", plus(lambda c, t: c.body + t + c.key.encode()), 7200, mac="digest " + mac)
    case = Case(sender)
    for what, content in [("an HMAC", None), ("trap: the secret before the body", sender.key.encode() + case.body + case.ts.encode())]:
        tag = hashlib.new(mac, content) if content else hmac.new(sender.key.encode(), case.body + case.ts.encode(), mac)
        row(case, sender.send(case, tag.hexdigest()), what, "signature_mismatch")

NONCE = [["x-sinch-webhook-signature-nonce", "01FJA8B4A7BM43YGWSG9GBV067"], ["x-sinch-webhook-signature-algorithm", "HmacSHA256"]]
sinch = timed("sinch", "x-sinch-webhook-signature", "x-sinch-webhook-signature-timestamp",
              plus(lambda c, t: c.body + b"." + NONCE[0][1].encode() + b"." + t), None, more=NONCE, enc="b64")
case, headers = signed(sinch)
row(case, [[NONCE[0][0], "01FJA8B4A7BM43YGWSG9GBV068"], *headers[1:]], "another nonce", "signature_mismatch")
row(case, [[NONCE[0][0], "x." + NONCE[0][1]], *headers[1:]], "trap: a nonce with a dot, which could be the body's", "malformed_signature")

pairs("buildkite", "X-Buildkite-Signature", "timestamp={t},signature={s}", "signature", dotted, 300)
pairs("imagekit", "x-ik-signature", "t={t},v1={s}", "v1", dotted, 300, "ms", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
pairs("inngest", "X-Inngest-Signature", "t={t}&s={s}", "s", lambda c: c.body + c.ts.encode(), 300)
pairs("knock", "x-knock-signature", "t={t},s={s}", "s", dotted, 300, "ms", "b64")
pairs("langfuse", "x-langfuse-signature", "t={t},v1={s}", "v1", dotted, 300)
pairs("outline", "Outline-Signature", "t={t},s={s}", "s", dotted, 300, "ms")
pairs("readme", "readme-signature", "t={t},v0={s}", "v0", dotted, 1800, "ms")
pairs("retell", "X-Retell-Signature", "v={t},d={s}", "d", lambda c: c.body + c.ts.encode(), 300, "ms")
pairs("tailscale", "Tailscale-Webhook-Signature", "t={t},v1={s}", "v1", dotted, 300)
pairs("zitadel", "ZITADEL-Signature", "t={t},v1={s}", "v1", dotted, 300)
pairs("fingerprint", "FPJS-Event-Signature", "v1={s}", "v1", lambda c: c.body, None, None)
pairs("livepeer", "Livepeer-Signature", "t=1795305600000,v1={s}", "v1", lambda c: c.body, None, None)

persona = pairs("persona", "Persona-Signature", "t={t},v1={s}", "v1", dotted, None)
case, headers = signed(persona)
good, bad = headers[0][1], f"t={case.ts},v1={'07' * 32}"
row(case, [["Persona-Signature", bad + " " + good]], "trap: two groups of pairs while a secret is replaced")
row(case, [["Persona-Signature", bad.replace(case.ts, str(NOW - 1)) + " " + good]], "trap: two groups with different timestamps", "ambiguous_header")

paymongo = Sender("paymongo", lambda c, text: [["Paymongo-Signature", f"t={c.ts},te=,li={text}"]], dotted, unit="s")
SENDERS.append(paymongo)
case, headers = signed(paymongo)
text = paymongo.signature(case).hex()
row(case, headers, "trap: live mode, and the signature of test mode is empty")
row(case, [["Paymongo-Signature", f"t={case.ts},te={text},li="]], "trap: test mode, and the signature of live mode is empty")
row(case, [["Paymongo-Signature", f"t={case.ts},te=,li="]], "both empty", "malformed_signature")
row(case, [["Paymongo-Signature", f"t={case.ts},te=,li={text[:-2]}"]], "signature cut short", "malformed_signature")
row(case, [["Paymongo-Signature", f"te=,li={text}"]], "no timestamp", "missing_timestamp")
row(case, [["Paymongo-Signature", f"t={NOW - 1},te=,li={text}"]], "another timestamp", "signature_mismatch")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, [], "no signature", "missing_signature")
case, headers = signed(paymongo, key=paymongo.other)
row(case, headers, "another secret", "signature_mismatch")
case, headers = signed(paymongo, at=NOW - 10**6)
row(case, headers, "an old one, which the sender does not judge")

for name, header, stamp, key, unit, content in [
    ("revolut", "Revolut-Signature", "Revolut-Request-Timestamp", "v1", "ms", plus(lambda c, t: b"v1." + t + b"." + c.body)),
    ("revenium", "X-Revenium-Signature-256", "X-Revenium-Webhook-Timestamp", "sha256", "s", plus(lambda c, t: t + b"." + c.body)),
]:
    sender = Sender(name, lambda c, text, header=header, stamp=stamp, key=key: [[stamp, c.ts], [header, f"{key}={text}"]], content, unit=unit, window=300)
    SENDERS.append(sender)
    case, headers = signed(sender)
    good, bad = headers[1][1], key + "=" + "07" * 32
    row(case, headers, "right")
    row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
    row(case, [headers[0], [header, f"{bad}, {good}"]], "trap: two signatures while a secret is replaced, the new one last")
    row(case, [headers[0], [header, f"{good},{bad}"]], "trap: two signatures while a secret is replaced, the new one first")
    row(case, [headers[0], [header, bad]], "a bad signature", "signature_mismatch")
    row(case, [headers[0], [header, good[:-2]]], "signature cut short", "malformed_signature")
    row(case, [headers[0], [header, good.replace(key, "v9")]], "none but an unknown version", "unsupported_version")
    row(case, headers[:1], "no signature", "missing_signature")
    row(case, headers[1:], "no timestamp", "missing_timestamp")
    five_minutes(sender)
    case, headers = signed(sender, key=sender.other)
    row(case, headers, "another secret", "signature_mismatch")
    row(case, headers, "the older of two secrets", extra=[sender.other])

docuseal = Sender("docuseal", lambda c, text: [["X-Docuseal-Signature", f"{c.ts}.{text}"]], dotted, unit="s", window=300,
                  key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
SENDERS.append(docuseal)
case, headers = signed(docuseal)
stamp, text = headers[0][1].split(".")
row(case, headers, "right")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, [["X-Docuseal-Signature", f"{NOW - 1}.{text}"]], "another timestamp", "signature_mismatch")
for what, value, expect in [("no timestamp", "." + text, "missing_timestamp"), ("a timestamp in no form", "x." + text, "malformed_timestamp"),
                            ("signature cut short", headers[0][1][:-2], "malformed_signature"), ("a timestamp alone", stamp + ".", "malformed_signature")]:
    row(case, [["X-Docuseal-Signature", value]], what, expect)
row(case, [], "no signature", "missing_signature")
five_minutes(docuseal)
case, headers = signed(docuseal, key=docuseal.other)
row(case, headers, "another secret", "signature_mismatch")


recurly = Sender("recurly", lambda c, text: [["recurly-signature", f"{c.ts},{text}"]], dotted, unit="ms", window=300)
SENDERS.append(recurly)
case, headers = signed(recurly)
stamp, text = headers[0][1].split(",")
bad = "07" * 32
row(case, headers, "right")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
for what, value, expect in [
    ("trap: two signatures while a secret is replaced, the new one last", f"{stamp},{bad},{text}", "valid"),
    ("trap: two signatures while a secret is replaced, the new one first", f"{stamp},{text},{bad}", "valid"),
    ("two bad signatures", f"{stamp},{bad},{bad}", "signature_mismatch"), ("another timestamp", f"{int(stamp) - 1},{text}", "signature_mismatch"),
    ("trap: a timestamp of another signature behind", f"{int(stamp) - 1},{bad},{stamp},{text}", "signature_mismatch"),
    ("no timestamp", "," + text, "missing_timestamp"), ("a signature where the timestamp is", text, "malformed_signature"),
    ("signature cut short", headers[0][1][:-2], "malformed_signature"), ("a timestamp alone", stamp + ",", "malformed_signature"),
    ("more signatures than there are keys", f"{stamp}," + ",".join([bad] * 17), "malformed_signature"),
]:
    row(case, [["recurly-signature", value]], what, expect)
row(case, [headers[0], headers[0]], "the header twice", "ambiguous_header")
row(case, [], "no signature", "missing_signature")
five_minutes(recurly)
case, headers = signed(recurly, key=recurly.other)
row(case, headers, "another secret", "signature_mismatch")


orb = Sender("orb", lambda c, text: [["X-Orb-Timestamp", c.ts], ["X-Orb-Signature", "v1=" + text]], lambda c: b"v1:" + c.ts.encode() + b":" + c.body, unit="utc", window=300)
SENDERS.append(orb)
case, headers = signed(orb)
good, bad = headers[1][1], "v1=" + "07" * 32
row(case, headers, "right")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
for what, value, expect in [
    ("trap: a bad signature before a good one", f"{bad} {good}", "valid"), ("trap: another version before a good one", f"v2={'07' * 32} {good}", "valid"),
    ("no version", good.removeprefix("v1="), "unsupported_version"), ("another version alone", good.replace("v1", "v2"), "unsupported_version"),
    ("signature cut short", good[:-2], "malformed_signature"), ("a bad signature", bad, "signature_mismatch"),
]:
    row(case, [headers[0], ["X-Orb-Signature", value]], what, expect)
row(case, headers[:1], "no signature", "missing_signature")
row(case, headers[1:], "no timestamp", "missing_timestamp")
for what, stamp, expect in [("trap: a fraction of a second", ".551", "valid"), ("trap: a time with a zone", "+00:00", "malformed_timestamp"), ("trap: a time in UTC by its zone", "Z", "malformed_timestamp")]:
    case = Case(orb)
    case.ts += stamp
    row(case, orb.send(case, orb.signature(case).hex()), what, expect)
case, headers = signed(orb)
row(case, [["X-Orb-Timestamp", case.ts + ".5"], headers[1]], "trap: a fraction that is not signed", "signature_mismatch")
five_minutes(orb)
case, headers = signed(orb, key=orb.other)
row(case, headers, "another secret", "signature_mismatch")
# the vector of the client library's tests
published = Case(orb, body=b'{"id": "o4mmewpfNNTnjfZc", "created_at": "2024-03-27T15:42:29+00:00", "type": "resource_event.test", "properties": {"message": "A test webhook from Orb. Happy testing!"}}')
row(published, [["X-Orb-Timestamp", "2024-03-27T15:42:29.551"], ["X-Orb-Signature", "v1=9d25de966891ab0bc18754faf8d83d0980b44ae330fcc130b41a6cf3daf1f391"]],
    "published", now=1711554149, secret="c-UGKYdnhHh436B_sMouYAPUvXyWpzOdunZBV5dFSD8")


bird = Sender("bird", lambda c, text: [["MessageBird-Request-Timestamp", c.ts], ["MessageBird-Signature", text]],
              lambda c: c.ts.encode() + b"\n" + c.url.encode() + b"\n" + hashlib.sha256(c.body).digest(), unit="s", enc="b64", url=True)
usual(bird)
url_rows(bird)
case, headers = signed(bird)
row(case, headers[1:], "no timestamp", "missing_timestamp")
row(case, [["MessageBird-Request-Timestamp", str(NOW - 1)], headers[1]], "another timestamp", "signature_mismatch")
in_hex = case.ts.encode() + b"\n" + case.url.encode() + b"\n" + hashlib.sha256(case.body).hexdigest().encode()
row(case, [headers[0], ["MessageBird-Signature", b64(hmac.new(bird.key.encode(), in_hex, "sha256").digest())]], "trap: the digest in hex", "signature_mismatch")


def sinch_text(c):
    path = "/" + c.url.split("/", 3)[3]
    return "\n".join([c.method, b64(hashlib.md5(c.body).digest()), "application/json", "x-timestamp:" + c.ts, path]).encode()


voice = Sender("sinch-voice", lambda c, text: [["x-timestamp", c.ts], ["Content-Type", "application/json"], ["Authorization", "application 669E367E-6BBA-48AB-AF15-266871C28135:" + text]],
               sinch_text, unit="rfc3339", window=300, enc="b64", url=True, covers_body=False, **B64_KEY)
SENDERS.append(voice)
case, headers = signed(voice)
text = b64(voice.signature(case))
row(case, headers, "right")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, [["x-timestamp", UNITS["rfc3339"](NOW - 1)], *headers[1:]], "another timestamp", "signature_mismatch")
row(case, [headers[0], ["Content-Type", "text/plain"], headers[2]], "another content type", "signature_mismatch")
row(case, headers[1:], "no timestamp", "missing_timestamp")
row(case, headers[:2], "no signature", "missing_signature")
row(case, [*headers[:2], ["Authorization", "application " + text]], "no application", "unsupported_version")
row(case, [*headers[:2], ["Authorization", headers[2][1][:-4]]], "signature cut short", "malformed_signature")
row(case, [*headers[:2], ["Authorization", headers[2][1].replace("application", "Application")]], "as Verification writes it")
five_minutes(voice)
case, headers = signed(voice, key=voice.other)
row(case, headers, "another secret", "signature_mismatch")
# the page's example
published = Case(voice, body=b'{"event":"ace","callid":"822aa4b7-05b4-4d83-87c7-1f835ee0b6f6_257","timestamp":"2014-09-24T10:59:41Z","version":1}')
published.url = "https://callbacks.yourdomain.com/sinch/callback/ace"
row(published, [["x-timestamp", "2014-09-24T10:59:41Z"], ["Content-Type", "application/json"],
                ["Authorization", "application 669E367E-6BBA-48AB-AF15-266871C28135:Tg6fMyo8mj9pYfWQ9ssbx3Tc1BNC87IEygAfLbJqZb4="]],
    "published", now=1411556381, secret="BeIukql3pTKJ8RGL5zo0DA==")


def comma_list(sender, header):
    """Signatures separated by commas, or in several lines."""
    usual(sender)
    case, headers = signed(sender)
    good, bad = headers[-1][1], ENCODE[sender.enc](b"\7" * 32)
    for what, text, expect in [("trap: a bad signature before a good one", f"{bad},{good}", "valid"), ("trap: a bad signature after a good one", f"{good}, {bad}", "valid"),
                               ("bad ones only", f"{bad},{bad}", "signature_mismatch")]:
        row(case, [*headers[:-1], [header, text]], what, expect)
    row(case, [*headers[:-1], [header, bad], [header, good]], "in two lines")
    row(case, [*headers[:-1], [header, ",".join([bad] * 17)]], "more signatures than there are keys", "malformed_signature")


comma_list(Sender("cronofy", lambda c, text: [["Cronofy-HMAC-SHA256", text]], enc="b64"), "Cronofy-HMAC-SHA256")
comma_list(Sender("omise", lambda c, text: [["Omise-Signature-Timestamp", c.ts], ["Omise-Signature", text]], dotted, unit="s", window=300, **B64_KEY), "Omise-Signature")

finch = standard("finch", "finch", base64.b64decode, id_name="-event-id", **{k: v for k, v in B64_KEY.items() if k != "keyed"})
for name, prefix, id_name in [("mlflow", "x-mlflow", "-delivery-id"), ("polar-legacy", "webhook", "-id"), ("imagekit-standard", "webhook", "-id")]:
    sender = standard(name, prefix, lambda k: k.encode(), id_name=id_name, encoding="utf8")
    case = Case(sender)
    decoded = hmac.new(base64.b64decode(sender.key.removeprefix("whsec_")), sender.signed(case), "sha256").digest()
    row(case, sender.send(case, b64(decoded)), "trap: whsec_ is not decoded, the secret is used whole", "signature_mismatch")
whop = standard("whop", "webhook", lambda k: k.encode(), key="ws_" + "0123456789abcdef" * 4, other="ws_" + "fedcba9876543210" * 4, encoding="utf8")
case, headers = signed(whop)
row(case, headers, "trap: the base64 of the secret, which only the package expects", "signature_mismatch", secret=b64(whop.key.encode()))
row(case, headers, "trap: the secret without ws_", "signature_mismatch", secret=whop.key.removeprefix("ws_"))


def json_only(sender):
    """The body is next to other text, so it must be a JSON object or array, or empty."""
    usual(sender)
    for what, body, expect in [("an array", b"[1]", "valid"), ("a body that is not JSON", b"text", "malformed_body"),
                               ("a line break at the body's end", b"{}\n", "valid")]:
        case, headers = signed(sender, body=body)
        row(case, headers, what, expect)
    return sender


appwrite = Sender("appwrite", lambda c, text: [["X-Appwrite-Webhook-Signature", text]], lambda c: c.url.encode() + c.body, mac="sha1", enc="b64", url=True)
usual(appwrite)
url_rows(appwrite)
RANDOM = "b3J0aG9kb3ggcmFuZG9tIHRleHQgb2Ygc2l4dHktZm91ciBjaGFyYWN0ZXJzLi4u"
talk = json_only(Sender("nextcloud-talk", lambda c, text: [["X-Nextcloud-Talk-Random", RANDOM], ["X-Nextcloud-Talk-Signature", text]],
                        lambda c: RANDOM.encode() + c.body, json_body=True))
case, headers = signed(talk)
row(case, [["X-Nextcloud-Talk-Random", RANDOM[:-1]], headers[1]], "another random text", "signature_mismatch")
lark = json_only(Sender("lark", lambda c, text: [["X-Lark-Request-Timestamp", c.ts], ["X-Lark-Request-Nonce", "1234567890"], ["X-Lark-Signature", text]],
                        plus(lambda c, t: t + b"1234567890" + c.key.encode() + c.body), mac="digest sha256", unit="s", json_body=True))
case, headers = signed(lark)
row(case, [headers[0], ["X-Lark-Request-Nonce", "1234567891"], headers[2]], "another nonce", "signature_mismatch")
row(case, headers[1:], "no timestamp", "missing_timestamp")
row(case, [["X-Lark-Request-Timestamp", case.ts + "1"], ["X-Lark-Request-Nonce", "234567890"], headers[2]], "trap: a digit moved from the nonce to the timestamp",
    "malformed_timestamp")


def mercado(c):
    name, value = c.url.partition("data.id=")[1:]
    parts = [f"id:{value};" if value else "", f"request-id:{c.request};" if c.request else "", f"ts:{c.ts};"]
    return "".join(parts).encode()


def mercado_request(case):
    case.request = "r-1"
    case.url = case.url if "?" in case.url else case.url + "?type=payment&data.id=123456"


mercado_pago = Sender("mercado-pago", lambda c, text: [*([["x-request-id", c.request]] if c.request else []), ["x-signature", f"ts={c.ts},v1={text}"]], mercado, unit="s",
                      url=True, prepare=mercado_request, covers_body=False)
SENDERS.append(mercado_pago)
case, headers = signed(mercado_pago)
text = mercado_pago.signature(case).hex()
row(case, headers, "right")
row(case, headers, "trap: the body is not signed", body=one_bit(case.body))
row(case, [["x-request-id", "r-2"], headers[1]], "another request", "signature_mismatch")
row(case, headers[1:], "no request ID, though it was signed", "signature_mismatch")
row(case, headers[:1], "no signature", "missing_signature")
row(case, [headers[0], ["x-signature", "ts=1,v1=" + text]], "another timestamp", "signature_mismatch")
row(case, [headers[0], ["x-signature", "v1=" + text]], "no timestamp", "missing_timestamp")
row(case, [headers[0], ["x-signature", headers[1][1][:-2]]], "signature cut short", "malformed_signature")
case.url = URL + "?data.id=123457"
row(case, headers, "another object", "signature_mismatch")
case = Case(mercado_pago)
case.request = ""
row(case, mercado_pago.send(case, mercado_pago.signature(case).hex()), "trap: without a request ID, its label is left out as well")
case = Case(mercado_pago, query="?type=test")
row(case, mercado_pago.send(case, mercado_pago.signature(case).hex()), "trap: without an object, its label is left out as well")
case = Case(mercado_pago, query="?data.id=1;request-id:r-1")
case.request = ""
text = mercado_pago.signature(case).hex()
row(case, mercado_pago.send(case, text), "trap: an object that contains the label of the request", "malformed_signature")
case, headers = signed(mercado_pago, key=mercado_pago.other)
row(case, headers, "another secret", "signature_mismatch")
case, headers = signed(mercado_pago, at=NOW - 10**6)
row(case, headers, "an old one, which the sender does not judge")


def form_with(fields):
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields).encode()


def in_form(name, fields, place, signed_, put=lambda text: text, **how):
    """Senders with the signature in a field of a form: `fields` are the others."""
    sender = Sender(name, None, signed_, body=form_with(fields), covers_body=False, **how)
    SENDERS.append(sender)

    def write(what, expect="valid", change=lambda text: text, key=None, fields=fields, headers=FORM, signed_fields=None):
        case = Case(sender, key=key, body=form_with(signed_fields or fields))
        text = put(change(ENCODE[sender.enc](sender.signature(case))))
        row(case, headers, what, expect, body=form_with([*fields, (place, text)]))

    write("right")
    write("another secret", "signature_mismatch", key=sender.other)
    write("signature cut short", "malformed_signature", lambda text: text[:-4])
    row(Case(sender), FORM, "no signature", "missing_signature")
    write("a body that is not a form", "missing_signature", headers=[["Content-Type", "application/json"]])
    return write


def field(name):
    return lambda c: dict(parse_qsl(c.body.decode(), keep_blank_values=True))[name].encode()


PAYLOAD = [("bt_payload", base64.encodebytes(b"<notification><kind>check</kind></notification>").decode())]
write = in_form("braintree", PAYLOAD, "bt_signature", field("bt_payload"), lambda text: "public_key|" + text, mac="sha1",
                keyed=lambda k: hashlib.sha1(k.encode()).digest())
write("another payload", "signature_mismatch", signed_fields=PAYLOAD, fields=[("bt_payload", PAYLOAD[0][1].replace("P", "Q"))])
write("trap: the line break at the payload's end is signed", "signature_mismatch", signed_fields=PAYLOAD, fields=[("bt_payload", PAYLOAD[0][1].rstrip())])
write("trap: the signature of another key before it", change=lambda text: "07" * 20 + "&public_key2|" + text)

write = in_form("opennode", [("id", "charge-1"), ("status", "paid")], "hashed_order", field("id"))
write("another charge", "signature_mismatch", signed_fields=[("id", "charge-1")], fields=[("id", "charge-2"), ("status", "paid")])
write("trap: the status is not signed", signed_fields=[("id", "charge-1")], fields=[("id", "charge-1"), ("status", "expired")])
write("trap: two IDs", "malformed_body", signed_fields=[("id", "charge-1")], fields=[("id", "charge-1"), ("id", "charge-2")])


def sorted_query(c):
    seen = {}
    for name, value in parse_qsl(c.url.partition("?")[2], keep_blank_values=True):
        seen.setdefault(name, []).append(value)
    return "".join(f"{name}={','.join(values)}" for name, values in sorted(seen.items())).encode()


def get(case):
    case.method, case.body = "GET", b""
    if "?" not in case.url:
        case.url += "?shop=s.myshopify.com&path_prefix=%2Fapps%2Fx&timestamp=1795305600&extra=1"


def add_signature(case, text):
    case.url += "&signature=" + text
    return []


proxy = Sender("shopify-app-proxy", add_signature, sorted_query, url=True, prepare=get, covers_body=False)
SENDERS.append(proxy)
for what, query, change, expect in [
    ("right", "", lambda url: url, "valid"), ("another shop", "", lambda url: url.replace("s.my", "t.my"), "signature_mismatch"),
    ("trap: names are sorted, so their order does not matter", "", lambda url: URL + "?" + "&".join(reversed(url.split("?")[1].split("&"))), "valid"),
    ("trap: a parameter that is there twice is joined by a comma", "?a=1&b=x&a=2", lambda url: url, "valid"),
    ("one parameter less", "", lambda url: url.replace("&extra=1", ""), "signature_mismatch"),
    ("no signature", "", lambda url: url.split("&signature")[0], "missing_signature"),
    ("signature cut short", "", lambda url: url[:-2], "malformed_signature"),
]:
    case, headers = signed(proxy, query=query)
    case.url = change(case.url)
    row(case, headers, what, expect)
case, headers = signed(proxy, key=proxy.other)
row(case, headers, "another secret", "signature_mismatch")

panda = Sender("pandadoc", lambda c, text: [], lambda c: c.body, url=True, body=b'[{"event":"document_state_changed","data":{"id":"d1"}}]')
SENDERS.append(panda)
for what, change, expect in [("right", lambda text: "?signature=" + text, "valid"), ("no signature", lambda text: "", "missing_signature"),
                             ("signature cut short", lambda text: "?signature=" + text[:-2], "malformed_signature"),
                             ("a bad signature", lambda text: "?signature=" + "07" * 32, "signature_mismatch")]:
    case = Case(panda)
    case.url = URL + change(panda.signature(case).hex())
    row(case, [], what, expect)
    if expect == "valid":
        row(case, [], "one bit of the body", "signature_mismatch", body=one_bit(case.body))
case = Case(panda, key=panda.other)
case.url = URL + "?signature=" + panda.signature(case).hex()
row(case, [], "another secret", "signature_mismatch")

token("flutterwave", token_header("verif-hash"))
token("xendit", token_header("x-callback-token"))
token("documenso", token_header("X-Documenso-Secret"))


def in_passcode(c, value):
    c.body = json.dumps({"event_type": "FILE_UPDATE", **({} if value is None else {"passcode": value})}).encode()
    return []


token("figma", in_passcode)

# -- public keys ---------------------------------------------------------------------------------------------------


def keys(seed):
    private = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest())
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return private, public


ED = {}
for seed in (b"one", b"two"):
    private, public = keys(seed)
    for text in (public.hex(), b64(public), "whpk_" + b64(public)):
        ED[text] = private
HEX_PUBLIC, OTHER_HEX = keys(b"one")[1].hex(), keys(b"two")[1].hex()
B64_PUBLIC, OTHER_B64 = b64(keys(b"one")[1]), b64(keys(b"two")[1])


def sign_ed(key, content):
    return ED[key].sign(content)


def one_bit_of_tag(sender, name="one bit of the signature"):
    case = Case(sender)
    signature = bytearray(sender.signature(case))
    signature[0] ^= 1
    row(case, sender.send(case, ENCODE[sender.enc](bytes(signature))), name, "signature_mismatch")


for name, header, stamp, content, window, how in [
    ("discord", "X-Signature-Ed25519", "X-Signature-Timestamp", lambda c: c.ts.encode() + c.body, None,
     {"key": HEX_PUBLIC, "other": OTHER_HEX, "encoding": "hex"}),
    ("discord-events", "X-Signature-Ed25519", "X-Signature-Timestamp", lambda c: c.ts.encode() + c.body, None,
     {"key": HEX_PUBLIC, "other": OTHER_HEX, "encoding": "hex"}),
    ("telnyx", "telnyx-signature-ed25519", "telnyx-timestamp", lambda c: c.ts.encode() + b"|" + c.body, 300,
     {"key": B64_PUBLIC, "other": OTHER_B64, "encoding": "base64", "enc": "b64"}),
]:
    sender = Sender(name, lambda c, text, header=header, stamp=stamp: [[stamp, c.ts], [header, text]], content, unit="s", window=window, sign=sign_ed, **how)
    SENDERS.append(sender)
    case, headers = signed(sender)
    row(case, headers, "right")
    row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
    row(case, headers[:1], "no signature", "missing_signature")
    row(case, headers[1:], "no timestamp", "missing_timestamp")
    row(case, [[stamp, str(NOW - 1)], headers[1]], "another timestamp", "signature_mismatch")
    row(case, [headers[0], [header, headers[1][1][:-4]]], "signature cut short", "malformed_signature")
    row(case, [headers[0], [header, "!" + headers[1][1][1:]]], "signature in no encoding", "malformed_signature")
    one_bit_of_tag(sender)
    case, headers = signed(sender, key=sender.other)
    row(case, headers, "another key", "signature_mismatch")
    row(case, headers, "the older of two keys", extra=[sender.other])
    if window:
        for what, offset, expect in [("as old as it may be", -window, "valid"), ("a second too old", -window - 1, "timestamp_too_old"),
                                     ("a second too far ahead", window + 1, "timestamp_in_future")]:
            case, headers = signed(sender, at=NOW + offset)
            row(case, headers, what, expect)

v1a = Sender("standard-webhooks-v1a", lambda c, text: [["webhook-id", c.id], ["webhook-timestamp", c.ts], ["webhook-signature", "v1a," + text]],
             lambda c: b".".join([c.id.encode(), c.ts.encode(), c.body]), enc="b64", unit="s", window=300, sign=sign_ed, key="whpk_" + B64_PUBLIC,
             other="whpk_" + OTHER_B64, encoding="whpk")
SENDERS.append(v1a)
case, headers = signed(v1a)
row(case, headers, "right")
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, [*headers[:2], ["webhook-signature", "v1,AAAA " + headers[2][1]]], "a signature of the symmetric version beside it")
row(case, [*headers[:2], ["webhook-signature", headers[2][1].replace("v1a,", "v1,")]], "named as the symmetric version", "unsupported_version")
row(case, headers[1:], "no id", "missing_id")
unbranded = [[n.replace("webhook", "svix"), v] for n, v in headers]
row(case, unbranded, "Svix's headers")
row(case, [["svix-id", "msg_other"], *headers], "trap: two ids that disagree", "ambiguous_header")
one_bit_of_tag(v1a)
five_minutes(v1a)

EC_PRIVATE = ec.derive_private_key(0x1F2E3D4C5B6A79880112233445566778899AABBCCDDEEFF00112233445566778, ec.SECP256R1())
EC_OTHER = ec.derive_private_key(0x0F2E3D4C5B6A79880112233445566778899AABBCCDDEEFF00112233445566778, ec.SECP256R1())


def spki(private):
    return b64(private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


EC = {spki(EC_PRIVATE): EC_PRIVATE, spki(EC_OTHER): EC_OTHER}
DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
sendgrid = Sender("sendgrid", lambda c, text: [["X-Twilio-Email-Event-Webhook-Timestamp", c.ts], ["X-Twilio-Email-Event-Webhook-Signature", text]],
                  lambda c: c.ts.encode() + c.body, enc="b64", unit="s", sign=lambda key, content: EC[key].sign(content, DETERMINISTIC),
                  key=spki(EC_PRIVATE), other=spki(EC_OTHER), encoding="spki-base64", body=b'[{"event":"delivered","sg_event_id":"e1"}]\r\n')
SENDERS.append(sendgrid)
case, headers = signed(sendgrid)
row(case, headers, "trap: the line break at the body's end is signed")
row(case, headers, "trap: without the line break it is another body", "signature_mismatch", body=case.body.rstrip())
row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
row(case, headers[:1], "no signature", "missing_signature")
row(case, headers[1:], "no timestamp", "missing_timestamp")
r, s = utils.decode_dss_signature(sendgrid.signature(case))
fixed = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
row(case, sendgrid.send(case, fixed), "two numbers in a row, and not DER", "signature_mismatch")
case, headers = signed(sendgrid, key=sendgrid.other)
row(case, headers, "another key", "signature_mismatch")

RSA_PRIVATE = None


def certificate(name, since, until):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(RSA_PRIVATE.public_key()).serial_number(4711)
    builder = builder.not_valid_before(since).not_valid_after(until)
    return builder.sign(RSA_PRIVATE, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def rsa_sign(hash_):
    return lambda key, content: RSA_PRIVATE.sign(content, padding.PKCS1v15(), hash_)


def public_key_rows():
    since, until = datetime.datetime(2026, 1, 1), datetime.datetime(2036, 1, 1)
    current, expired = certificate("sender.example.test", since, until), certificate("sender.example.test", since, datetime.datetime(2026, 6, 1))
    address = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-5a29e601"
    paypal = Sender("paypal", lambda c, text: [["PAYPAL-TRANSMISSION-ID", "69cd13f0-d67a"], ["PAYPAL-TRANSMISSION-TIME", c.ts], ["PAYPAL-CERT-URL", address],
                                               ["PAYPAL-AUTH-ALGO", "SHA256withRSA"], ["PAYPAL-TRANSMISSION-SIG", text]],
                    lambda c: f"69cd13f0-d67a|{c.ts}|4JH86294D6297924G|{zlib.crc32(c.body)}".encode(), enc="b64", unit="rfc3339", sign=rsa_sign(hashes.SHA256()),
                    key=current, encoding="x509-pem", parameters={"webhook_id": "4JH86294D6297924G"})
    SENDERS.append(paypal)
    case, headers = signed(paypal)
    row(case, headers, "right")
    row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
    row(case, headers, "a certificate that has expired", "expired_key", secret=expired)
    row(case, headers, "before the certificate's time", "expired_key", now=1700000000)
    for host in ("https://api.paypal.com.evil.test/cert", "http://api.paypal.com/cert", "https://api.paypal.com@evil.test/cert", "https://evil.test/api.paypal.com",
                 "https://api.paypal.com/v1/oauth2/x", "https://api.paypal.com/v1/notifications/certs/../x", "https://api.paypal.com/v1/notifications/certs/a?b"):
        row(case, [[n, host] if n == "PAYPAL-CERT-URL" else [n, v] for n, v in headers], "a certificate at " + host, "unknown_key_host")
    row(case, [[n, "other"] if n == "PAYPAL-TRANSMISSION-ID" else [n, v] for n, v in headers], "another id", "signature_mismatch")
    row(case, headers[:-1], "no signature", "missing_signature")
    one_bit_of_tag(paypal)
    other = Case(paypal)
    text = b64(RSA_PRIVATE.sign(paypal.signed(other), padding.PKCS1v15(), hashes.SHA1()))
    row(other, paypal.send(other, text), "SHA-1", "signature_mismatch")

    for name, version, hash_ in [("sns", "2", hashes.SHA256()), ("sns-v1", "1", hashes.SHA1())]:
        note = {"Type": "Notification", "MessageId": "22b80b92-fdea", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:t", "Subject": "a subject",
                "Message": "line one\nline two \u00fc", "Timestamp": "2026-11-22T00:00:00.000Z", "SignatureVersion": version,
                "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0f1e2d.pem"}
        confirm = {k: v for k, v in note.items() if k != "Subject"} | {
            "Type": "SubscriptionConfirmation", "Token": "2336412f37f", "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"}
        sender = Sender(name, lambda c, text: [["x-amz-sns-message-type", "Notification"]], key=current, encoding="x509-pem", covers_body=False,
                        parameters={"topic_arn": note["TopicArn"]})
        SENDERS.append(sender)

        def message(value, what, expect="valid", change=lambda v: v, sign_version=hash_, now=NOW, secret=None):
            fields = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type") if value["Type"] == "Notification" else (
                "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
            content = "".join(f"{f}\n{value[f]}\n" for f in fields if f in value).encode()
            text = b64(RSA_PRIVATE.sign(content, padding.PKCS1v15(), sign_version))
            case = Case(sender, body=json.dumps(change({**value, "Signature": text})).encode())
            row(case, [["x-amz-sns-message-type", value["Type"]]], what, expect, now=now, secret=secret)

        message(note, "a notification")
        message({**note, "TopicArn": "arn:aws:sns:eu-west-1:666666666666:t"}, "trap: another customer's topic", "wrong_issuer")
        message(note, "an object where a text is signed", "malformed_body", lambda v: {**v, "SubscribeURL": ["https://evil.test/"]})
        message({k: v for k, v in note.items() if k != "Subject"}, "without a subject")
        message(confirm, "a confirmation")
        message(note, "another message", "signature_mismatch", lambda v: {**v, "Message": "line one"})
        message(note, "a subject that was not signed", "signature_mismatch", lambda v: {**v, "Subject": "another"})
        message(note, "an address that was not signed", "signature_mismatch", lambda v: {**v, "SubscribeURL": "https://evil.test/"})
        message(note, "trap: a line break in the id, which swallows the subject", "malformed_body",
                lambda v: {**{k: x for k, x in v.items() if k != "Subject"}, "MessageId": v["MessageId"] + "\nSubject\n" + v["Subject"]})
        message(note, "trap: a message that swallows the id", "missing_id",
                lambda v: {**{k: x for k, x in v.items() if k != "MessageId"}, "Message": v["Message"] + "\nMessageId\n" + v["MessageId"]})
        message(note, "another version", "unsupported_version", lambda v: {**v, "SignatureVersion": "3"})
        message(note, "the other digest", "signature_mismatch", sign_version=hashes.SHA1() if version == "2" else hashes.SHA256())
        message(note, "no signature", "missing_signature", lambda v: {k: x for k, x in v.items() if k != "Signature"})
        message(note, "a certificate that has expired", "expired_key", secret=expired)
        for host in ("https://sns.eu-west-1.amazonaws.com.evil.test/x.pem", "https://evil.test/sns.eu-west-1.amazonaws.com.pem",
                     "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-x.pem", "https://sns.eu-west-1.amazonaws.com/?Action=GetTopicAttributes",
                     "https://sns.eu-west-1.amazonaws.com/other.pem", "https://sns.s3.amazonaws.com/SimpleNotificationService-x.pem",
                     "https://sns.a-bucket.amazonaws.com/SimpleNotificationService-x.pem"):
            message(note, "a certificate at " + host, "unknown_key_host", lambda v, host=host: {**v, "SigningCertURL": host})


def kick_rows():
    kick = Sender("kick", lambda c, text: [["Kick-Event-Message-Id", c.id], ["Kick-Event-Message-Timestamp", c.ts], ["Kick-Event-Type", "chat.message.sent"],
                                           ["Kick-Event-Signature", text]],
                  lambda c: b".".join([c.id.encode(), c.ts.encode(), c.body]), enc="b64", unit="rfc3339", sign=rsa_sign(hashes.SHA256()), key=spki(RSA_PRIVATE),
                  encoding="spki-base64")
    SENDERS.append(kick)
    case, headers = signed(kick)
    row(case, headers, "right")
    row(case, headers, "one bit of the body", "signature_mismatch", body=one_bit(case.body))
    row(case, [["Kick-Event-Message-Id", "other"], *headers[1:]], "another id", "signature_mismatch")
    row(case, headers[1:], "no id", "missing_id")
    row(case, [headers[0], *headers[2:]], "no timestamp", "missing_timestamp")
    row(case, headers[:-1], "no signature", "missing_signature")
    row(case, [*headers[:-1], ["Kick-Event-Signature", "!" + headers[-1][1][1:]]], "signature in no encoding", "malformed_signature")
    one_bit_of_tag(kick)
    case, headers = signed(kick, at=NOW - 10**6)
    row(case, headers, "an old one, which the sender does not judge")
    other = Case(kick)
    text = b64(RSA_PRIVATE.sign(kick.signed(other), padding.PKCS1v15(), hashes.SHA1()))
    row(other, kick.send(other, text), "SHA-1", "signature_mismatch")


# -- JSON Web Tokens -----------------------------------------------------------------------------------------------


def jwt(header, claims, sign):
    text = b64url(json.dumps(header).encode()) + "." + b64url(json.dumps(claims).encode())
    return text + "." + b64url(sign(text.encode()))


def jwt_rows():
    body = JSON_BODY
    raw = hashlib.sha256(body).digest()
    digest = raw.hex()
    for name, header, prefix, claims, has_digest in [
        ("netlify", "X-Webhook-Signature", "", {"iss": "netlify", "sha256": digest}, "sha256"),
        ("vonage", "Authorization", "Bearer ", {"iat": NOW, "payload_hash": digest}, "payload_hash"),
        ("monday", "Authorization", "", {"aud": URL, "exp": NOW + 60}, None),
        ("livekit", "Authorization", "", {"iss": "APIkey", "nbf": NOW, "exp": NOW + 300, "sha256": b64(raw)}, "sha256"),
        ("qstash", "Upstash-Signature", "", {"iss": "Upstash", "sub": URL, "nbf": NOW, "iat": NOW, "exp": NOW + 300, "body": b64url(raw)}, "body"),
        ("messagebird", "MessageBird-Signature-JWT", "", {"iss": "MessageBird", "jti": "t-1", "nbf": NOW, "exp": NOW + 60, "payload_hash": digest,
                                                          "url_hash": hashlib.sha256(URL.encode()).hexdigest()}, "payload_hash"),
    ]:
        sender = Sender(name, lambda c, text, header=header, prefix=prefix: [[header, prefix + text]], url=name in ("monday", "messagebird"))
        SENDERS.append(sender)

        def token_row(what, expect="valid", alg="HS256", claims=claims, key=sender.key, body=None, cut=lambda t: t, now=NOW, mac="sha256"):
            sign = lambda content: hmac.new(key.encode(), content, mac).digest() if mac else b""
            case = Case(sender)
            row(case, sender.send(case, cut(jwt({"alg": alg, "typ": "JWT"}, claims, sign))), what, expect, body=body, now=now)

        token_row("right")
        token_row("another secret", "signature_mismatch", key="another secret, as long as that")
        token_row("trap: no algorithm", "unsupported_version", alg="none", mac=None)
        token_row("trap: another algorithm is named", "unsupported_version", alg="HS512", mac="sha512")
        token_row("a signature that is cut short", "malformed_signature", cut=lambda t: t[:-4])
        token_row("two parts only", "malformed_signature", cut=lambda t: t.rsplit(".", 1)[0])
        token_row("one that has expired", "token_expired", claims={**claims, "exp": NOW - 10})
        token_row("one that is not valid yet", "timestamp_in_future", claims={**claims, "nbf": NOW + 11})
        row(Case(sender), [], "no token", "missing_signature")
        if has_digest:
            token_row("one bit of the body", "signature_mismatch", body=one_bit(body))
            token_row("no digest of the body", "signature_mismatch", claims={k: v for k, v in claims.items() if k != has_digest})
        if name == "vonage":
            token_row("a second too old", "timestamp_too_old", claims={**claims, "iat": NOW - 301})
            token_row("a second too far ahead", "timestamp_in_future", claims={**claims, "iat": NOW + 301})
        if "aud" in claims:
            token_row("without an expiry", "malformed_signature", claims={"aud": URL})
            token_row("for another receiver", "wrong_issuer", claims={**claims, "aud": "https://elsewhere.example.test/"})
        if "iss" in claims and name != "livekit":
            token_row("another issuer", "wrong_issuer", claims={**claims, "iss": "evil"})
        if name in ("livekit", "qstash", "messagebird"):
            token_row("without an expiry", "malformed_signature", claims={k: v for k, v in claims.items() if k != "exp"})
            token_row("trap: the digest of another body", "signature_mismatch", claims={**claims, has_digest: digest.replace("0", "1")})
        if name == "livekit":
            token_row("trap: the digest in base64 without padding", claims={**claims, "sha256": b64(raw).rstrip("=")})
            case = Case(sender)
            token = jwt({"alg": "HS256", "typ": "JWT"}, claims, lambda content: hmac.new(sender.key.encode(), content, "sha256").digest())
            row(case, [[header, "Bearer " + token]], "trap: Bearer before the token", "malformed_signature")
        if name == "qstash":
            token_row("trap: the digest in base64url with padding", claims={**claims, "body": base64.urlsafe_b64encode(raw).decode()})
        if name == "messagebird":
            token_row("another URL", "signature_mismatch", claims={**claims, "url_hash": hashlib.sha256((URL + "?a=1").encode()).hexdigest()})
            token_row("no digest of the URL", "signature_mismatch", claims={k: v for k, v in claims.items() if k != "url_hash"})
            token_row("trap: an empty body needs no digest", claims={k: v for k, v in claims.items() if k != "payload_hash"}, body=b"")

    def jwk(private):
        numbers = private.public_key().public_numbers()
        x, y = (b64url(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        return json.dumps({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1", "x": x, "y": y})

    plaid = Sender("plaid", lambda c, text: [["Plaid-Verification", text]], key=jwk(EC_PRIVATE), encoding="jwk")
    SENDERS.append(plaid)

    def es256(private):
        def sign(content):
            r, s = utils.decode_dss_signature(private.sign(content, DETERMINISTIC))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return sign

    def plaid_row(what, expect="valid", header=None, at=NOW, sign=es256(EC_PRIVATE), body=None, digest=digest):
        header = header or {"alg": "ES256", "kid": "k1", "typ": "JWT"}
        case = Case(plaid)
        row(case, plaid.send(case, jwt(header, {"iat": at, "request_body_sha256": digest}, sign)), what, expect, body=body)

    plaid_row("right")
    plaid_row("one bit of the body", "signature_mismatch", body=one_bit(body))
    plaid_row("another key", "signature_mismatch", sign=es256(EC_OTHER))
    plaid_row("as old as it may be", at=NOW - 300)
    plaid_row("a second too old", "timestamp_too_old", at=NOW - 301)
    plaid_row("a second too far ahead", "timestamp_in_future", at=NOW + 301)
    plaid_row("trap: no algorithm", "unsupported_version", {"alg": "none"}, sign=lambda c: b"")
    plaid_row("trap: an HMAC with the public key as its secret", "unsupported_version", {"alg": "HS256", "kid": "k1"},
              sign=lambda c: hmac.new(plaid.key.encode(), c, "sha256").digest())
    plaid_row("trap: an HMAC that is called by the right name", "signature_mismatch",
              sign=lambda c: hmac.new(plaid.key.encode(), c, "sha256").digest() * 2)
    plaid_row("DER, and not two numbers in a row", "signature_mismatch", sign=lambda c: EC_PRIVATE.sign(c, DETERMINISTIC))
    row(Case(plaid), [], "no token", "missing_signature")


# A key of nobody, for tests.
RSA_PRIVATE = serialization.load_der_private_key(base64.b64decode("""
MIIEowIBAAKCAQEA0H+ZBJsgdg/NQJTXQPJCfSrWseGz5aLJJ535pSUEOg6RT8mSh/uoTsWcqQyyaH6xvlDWq77xLEV+Pm1N0HoRdpWJE9mqoD
k88ahASF09gjpINiqyk05KnPu99aQvB1n1SPEebAsCNmKES9+0PTswbidD3+vsS5dsD3nhfJpguYNWOAv9WQTd+TLp0RZ/iukVMIaPiZj+13Gm
p6Wh52CUjD2dFrhjJ5+eOX/m9ZznHiB52O9K/awrSa5sbFQssjxgrqM4yM9Tci3R6Z0SkG2tOgBoJapzuJqzZs8p7W2zBmZ1Dx1rpjcX2yTwoN
XUdZ0DLHO9hIUURrndFzLaz1Wq2wIDAQABAoIBADBVtEqOD9tu1F1pY/FpeCJ+QOFh+ot8zndBtzMivrUa1XMSvsaJf74rL6M9D0sMO/Zr1Shh
jpV90sN0IXr4IX5FMk8IwfZ87nTzVVuxSeYbzsvH4DgoCUIVVjdRBZoFr8hmJXBUqQGkmxjf1m/vfc27io+pqNDpXKLF1ZFGVLAMqFxTXxlxKg
1fpl9NxDRBcZSB9y7ddD8/DQE6f/WzkXRuKya1dqepKUxYgXO5G1HNrcAZwLlUC9mJIez/ricmdaNb2eDbmG01OLNkdRqzuaDdW4i8j9Bi3ezB
XnmZOxrhVRQKd5XZbSj+PvnQjCMY5cbbCcXzuV7PhvtCrWeX0RkCgYEA6Hy/nHqoNsMBxMi2Rov3nWXY9rADuO16gZF3p+8doArHCYLpp4eGyK
bvLiFOlse+DN5qq1fNhK8UkcLPhjHMnwTslLbVZB43s4YrLA6oBPHL95Dtx7QQ4PrMPXRg5TkHDrls/6FKmQQptMW/Jch5ofMaP5ctCVDjfRR+
nzKlpU8CgYEA5ZXC6PfVoHrCU88Ij6Mzn47nBtCkVcICZXcbveE4CKQuJV1OArrOoM6azTa7wMLhey/OQq+UQXHB2RN6DJ1f0fFmwG72dYG7R8
/asr3PoHzLI2PjO2TkKmsUaPXPthe09syW5pRvFO5ppsi2o4+3vrYTTTbeTA8lyr2+R/ENFrUCgYEA5Y+IhDJ5NtmHPZASq8Y5Uinm+m8Cve+A
L8A7ro7laco6jqG9pbak2Cw9sAcjWq8QchSMr3Obc5CNdwAtegxiSALMuGtwedN8nL+2kWJHddpr1KA+qhqbMAt08Jmhs7WDyn49qozQ5BbAN8
eq3tv9fnRVTsUvqys79Z3vCbMw7PECgYA6yFmbZLlh2YygAMZkYJj7JY+pgwpQmtgaOqDzwRKjw8W882Lh+Aqnyb6BBJ6WAE/TRq49DM+c4g+M
ERyS1kiObIyugLrB43GcNW/9i/P5V3p7mTu5HV/+LGSRaz6/lNpUxpVsfFzksxaCCaoZvtaBEgVnI8FPICHBA0wRB3secQKBgDoke3A17OWqRR
ZaGnWJIg/VGUBJA7/LlqgG3sdGNPPRqGuOD2wOXRC9Vswa2XHesq+jLHD1FPDa0JERe9qsGiEUTAH9iiZOfqP0ZcrqsCSOe2z3fBBfajsqgCm/
noit47zNex6SwrP2rlGNbqgZplCvbd/bcIVANThlUr0uB29P
"""), None)

public_key_rows()
kick_rows()
jwt_rows()

assert len({sender.name for sender in SENDERS}) == len(SENDERS)
names = [(line["provider"], line["name"]) for line in ROWS]
assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1][:5]
sys.stdout.write("[\n" + ",\n".join(json.dumps(line) for line in ROWS) + "\n]\n")
