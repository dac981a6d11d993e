"""Prints blocks.json: requests of made-up senders, one for each building block of a scheme that no preset uses.

    python3 tests/vectors/make_blocks.py > tests/vectors/blocks.json

The senders are described in `tests/blocks.rs`; here they are signed with the standard library alone.
"""

import base64
import hashlib
import hmac
import json

NOW = 1795305600
MS = str(NOW * 1000 + 250)
SECRET = "fixture-secret-of-a-made-up-sender"
URL = "https://hooks.example.test/in"
BODY = '{"id":"evt_1","type":"thing.made","note":"caf\\u00e9 ☕"}\n'
rows = []


def mac(text, key=SECRET.encode(), algorithm="sha256"):
    return hmac.new(key, text.encode(), algorithm).digest()


def b64(raw):
    return base64.b64encode(raw).decode()


def row(scheme, name, expect, headers, body=BODY, target="/in", method="POST", secret=SECRET):
    rows.append(dict(scheme=scheme, name=name, method=method, target=target, headers=headers,
                     body_base64=b64(body.encode()), secret=secret, now=NOW, expect=expect))


def variants(scheme, headers, others, **kw):
    """A valid row, and for each of `others` one in which that part is changed."""
    row(scheme, "valid", "valid", headers, **kw)
    row(scheme, "neg_body", "signature_mismatch", headers, **{**kw, "body": kw.get("body", BODY).replace("evt_1", "evt_2")})
    for name, change in others.items():
        expect = change.pop("expect", "signature_mismatch")
        row(scheme, "neg_" + name, expect, change.pop("headers", headers), **{**kw, **change})


# The timestamp after the body, in milliseconds.
ts = ["X-Time", MS]
variants("body-then-time", [ts, ["X-Sig", mac(BODY + MS).hex()]], {
    "time": dict(headers=[["X-Time", str(int(MS) + 1)], ["X-Sig", mac(BODY + MS).hex()]]),
    "seconds": dict(headers=[["X-Time", str(NOW)], ["X-Sig", mac(BODY + str(NOW)).hex()]], expect="malformed_timestamp"),
    "old": dict(headers=[["X-Time", str(NOW * 1000 - 300_001)], ["X-Sig", mac(BODY + str(NOW * 1000 - 300_001)).hex()]],
                expect="timestamp_too_old"),
})
edge = str(NOW * 1000 - 300_000)
row("body-then-time", "edge", "valid", [["X-Time", edge], ["X-Sig", mac(BODY + edge).hex()]])

# Method, URL, body and timestamp; parts of the head on both sides of the body.
signed = "POST" + URL + "?a=1&b=%2F" + BODY + MS
variants("method-url", [ts, ["X-Sig", b64(mac(signed))]], {
    "method": dict(method="PUT"),
    "query": dict(target="/in?b=%2F&a=1"),
    "escape": dict(target="/in?a=1&b=/"),
}, target="/in?a=1&b=%2F")
row("method-url", "host_is_not_asked", "valid",
    [ts, ["X-Sig", b64(mac(signed))], ["Host", "evil.example.test"], ["X-Forwarded-Host", "evil.example.test"]],
    target="/in?a=1&b=%2F")

# Method, path and a header, with line ends between them.
signed = "POST\n/in?x=1\nblue\n" + BODY
variants("path-header", [["X-Tenant", "blue"], ["X-Sig", mac(signed).hex()]], {
    "path": dict(target="/in?x=2"),
    "header": dict(headers=[["X-Tenant", "red"], ["X-Sig", mac(signed).hex()]]),
    "header_absent": dict(headers=[["X-Sig", mac(signed).hex()]]),
    "header_twice": dict(headers=[["X-Tenant", "blue"], ["X-Tenant", "blue"], ["X-Sig", mac(signed).hex()]],
                         expect="ambiguous_header"),
}, target="/in?x=1")

# Signature, timestamp and token in the body, which is not signed as a whole.
def inner(sig, token="tok", extra=""):
    return '{%s"signature":{"timestamp":"%d","token":"%s","signature":"%s"}}' % (extra, NOW, token, sig)


good = mac("%dtok" % NOW).hex()
row("in-body", "valid", "valid", [], body=inner(good))
row("in-body", "unsigned_rest", "valid", [], body=inner(good, extra='"other":[1,{"a":2}],'))
row("in-body", "neg_token", "signature_mismatch", [], body=inner(good, token="tok2"))
row("in-body", "neg_absent", "missing_signature", [], body='{"signature":{}}')
row("in-body", "neg_not_json", "malformed_body", [], body="signature=1")
row("in-body", "neg_twice", "malformed_body", [], body=inner(good, extra='"signature":{},'))
row("in-body", "neg_not_hex", "malformed_signature", [], body=inner("zz" * 32))

# The timestamp inside the signed body, judged after the signature.
def dated(at):
    return '{"webhookTimestamp":%d}' % at


for name, at, expect in [("valid", NOW * 1000, "valid"), ("edge", NOW * 1000 - 60_000, "valid"),
                         ("neg_old", NOW * 1000 - 60_001, "timestamp_too_old"),
                         ("neg_future", NOW * 1000 + 60_001, "timestamp_in_future")]:
    row("dated-body", name, expect, [["X-Sig", mac(dated(at)).hex()]], body=dated(at))
row("dated-body", "neg_old_and_forged", "signature_mismatch", [["X-Sig", mac("x").hex()]], body=dated(1))
row("dated-body", "neg_undated", "missing_timestamp", [["X-Sig", mac("{}").hex()]], body="{}")
row("dated-body", "neg_float", "malformed_timestamp", [["X-Sig", mac('{"webhookTimestamp":1.5}').hex()]],
    body='{"webhookTimestamp":1.5}')

# Two signature headers, either of which will do; and a required version.
version = ["X-Version", "1"]
ours, other = b64(mac(BODY)), b64(mac("something else"))
row("two-headers", "first", "valid", [version, ["X-Sig-Primary", ours]])
row("two-headers", "second", "valid", [version, ["X-Sig-Primary", other], ["X-Sig-Secondary", ours]])
row("two-headers", "neg_neither", "signature_mismatch", [version, ["X-Sig-Primary", other], ["X-Sig-Secondary", other]])
row("two-headers", "neg_version", "unsupported_version", [["X-Version", "2"], ["X-Sig-Primary", ours]])
row("two-headers", "neg_no_version", "unsupported_version", [["X-Sig-Primary", ours]])

# Numbered signature headers.
row("numbered", "third", "valid", [["X-Sig-1", other], ["x-sig-2", other], ["X-SIG-3", ours]])
row("numbered", "neg_none", "signature_mismatch", [["X-Sig-1", other], ["X-Sig-2", other]])
row("numbered", "neg_other_name", "missing_signature", [["X-Si", ours], ["X-Sign-1", ours]])
row("numbered", "neg_seventeen", "malformed_signature", [["X-Sig-%d" % n, ours] for n in range(17)])

# Other algorithms.
variants("sha1", [["X-Sig", b64(mac(BODY + URL, algorithm="sha1"))]], {
    "sha256": dict(headers=[["X-Sig", b64(mac(BODY + URL))]], expect="malformed_signature"),
})
variants("sha512", [["X-Sig", mac(BODY, algorithm="sha512").hex()]], {
    "sha256": dict(headers=[["X-Sig", mac(BODY).hex()]], expect="malformed_signature"),
})

# Other forms of the key.
raw = bytes(range(32))
variants("hex-key", [["X-Sig", mac(BODY, raw).hex()]], {}, secret=raw.hex().upper())
row("hex-key", "neg_secret", "invalid_secret", [], secret="0g")
variants("base64-key", [["X-Sig", "hmac=" + mac(BODY, raw).hex()]], {}, secret=b64(raw))
row("base64-key", "unpadded", "valid", [["X-Sig", "hmac=" + mac(BODY, raw).hex()]], secret=b64(raw).rstrip("="))
row("base64-key", "prefix_is_optional", "valid", [["X-Sig", mac(BODY, raw).hex()]], secret=b64(raw))
row("base64-key", "neg_other_prefix", "malformed_signature", [["X-Sig", "sha256=" + mac(BODY, raw).hex()]], secret=b64(raw))
row("base64-key", "neg_secret", "invalid_secret", [], secret="a*")

# Pairs with another separator, in URL-safe base64.
url = base64.urlsafe_b64encode(mac(MS + "." + BODY)).decode().rstrip("=")
pairs = "t=%s;s=%s;u=x" % (MS, url)
variants("url-safe-pairs", [["X-Sig", pairs]], {
    "padded": dict(headers=[["X-Sig", "t=%s;s=%s=" % (MS, url)]], expect="malformed_signature"),
    "no_time": dict(headers=[["X-Sig", "s=" + url]], expect="missing_timestamp"),
})
row("url-safe-pairs", "spaces", "valid", [["X-Sig", "t=%s; s=%s" % (MS, url)]])

# The id of the body and the body, a signature in the query.
sig = mac("evt_1|" + BODY).hex()
row("body-id", "valid", "valid", [], target="/in?sig=" + sig)
row("body-id", "neg_sig", "signature_mismatch", [], target="/in?sig=" + mac("evt_2|" + BODY).hex())
row("body-id", "neg_no_id", "missing_id", [], body="{}", target="/in?sig=" + sig)
row("body-id", "neg_absent", "missing_signature", [], target="/in")

print(json.dumps(rows, indent=1, ensure_ascii=True))
