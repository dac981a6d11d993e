"""Prints requests signed by the senders' own Python SDKs, one JSON object a line.

Every signature is the return value of the SDK's code. An SDK that only verifies computes the signature too, to compare
it: `overheard` listens there, and `row` then has the SDK accept the request.
"""

import base64
import hmac
import importlib
import json
import time
import traceback
from datetime import datetime, timezone
from importlib.metadata import version
from unittest import mock
from urllib.parse import urlencode

import plivo.utils
from box_sdk_gen.internal.utils import compute_webhook_signature
from box_sdk_gen.managers.webhooks import WebhooksManager
from linebot.v3.webhook import SignatureValidator
from openai import OpenAI
from paddle_billing.Notifications import PaddleSignature, Secret
from razorpay import Utility
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature as square_verifies
from twilio.request_validator import RequestValidator

SECRET = "a secret of the tests, 32 bytes!"
WHSEC = "whsec_" + base64.b64encode(SECRET.encode()).decode()
HOST = "https://hooks.example.com"
NOW = time.time()
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")


def overheard(verify, where=hmac, name="compare_digest"):
    """The arguments and the result of the first call of `where.name` while `verify` runs."""
    real, calls = getattr(where, name), []

    def listen(*args):
        calls.append((args, real(*args)))
        return calls[-1][1]

    with mock.patch.object(where, name, listen):
        try:
            verify()
        except Exception:
            pass  # The signature that was passed is a wrong one.
    return calls[0]


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def row(scheme, headers, body, path="/hook", accepted=True, **more):
    """`accepted` is the SDK's own verdict, where it has one."""
    if not accepted:
        raise RuntimeError("the SDK refuses what it signed")
    body = base64.b64encode(body.encode()).decode()
    request = {"method": "POST", "path": path, "headers": headers, "body_base64": body}
    return {"scheme": scheme, "secret": SECRET, **request, **more}


def paddle():
    # Paddle's tolerance is 5 seconds, so this one comes first.
    body = '{"event_id":"evt_1","event_type":"transaction.paid","data":{"currency":"EUR","note":"grüße"}}'
    module = importlib.import_module("paddle_billing.Notifications.PaddleSignature")
    header = f"ts={int(time.time())};h1="
    verify = lambda signature: PaddleSignature().verify(header + signature, body, Secret(SECRET))
    (signature, _), _ = overheard(lambda: verify("0"), where=module)
    return row("paddle", [JSON, ("Paddle-Signature", header + signature)], body, accepted=verify(signature))


def slack():
    body = '{"type":"event_callback","event_id":"Ev1","event":{"type":"message","text":"EUR für Zoë"}}'
    verifier, timestamp = SignatureVerifier(SECRET), str(int(NOW))
    signature = verifier.generate_signature(timestamp=timestamp, body=body)
    headers = [JSON, ("X-Slack-Request-Timestamp", timestamp), ("X-Slack-Signature", signature)]
    return row("slack", headers, body, accepted=verifier.is_valid_request(body, dict(headers)))


def twilio():
    # Empty values, spaces, a plus sign and letters beyond ASCII; the query is a part of the signed URL.
    params = {"From": "+15551234567", "Body": "10 EUR & grüße", "AccountSid": "AC1", "Empty": "", "body": "a b"}
    url, path, validator = HOST + "/hook", "/hook?tenant=7&name=a%20b", RequestValidator(SECRET)
    signature = validator.compute_signature(HOST + path, params)
    accepted = validator.validate(HOST + path, params, signature)
    return row("twilio", [FORM, ("X-Twilio-Signature", signature)], urlencode(params), path, accepted, public_url=url)


def twilio_json():
    body, validator = '{"MessageSid":"SM1","currency":"EUR","note":"grüße"}', RequestValidator(SECRET)
    path = "/hook?tenant=7&bodySHA256=" + validator.compute_hash(body)
    signature = validator.compute_signature(HOST + path, {})
    accepted, url = validator.validate(HOST + path, body, signature), HOST + "/hook"
    return row("twilio-json", [JSON, ("X-Twilio-Signature", signature)], body, path, accepted, public_url=url)


def box():
    # compute_webhook_signature is internal; validate_message compares with what it returns.
    body = json.dumps({"id": "1", "trigger": "FILE.UPLOADED", "source": {"name": "EUR grüße.pdf"}})
    headers = {
        "box-signature-version": "1",
        "box-signature-algorithm": "HmacSHA256",
        "box-delivery-id": "d1",
        "box-delivery-timestamp": datetime.fromtimestamp(int(NOW), timezone.utc).isoformat(),
    }
    headers["box-signature-primary"] = compute_webhook_signature(body, headers, SECRET)
    headers["box-signature-secondary"] = compute_webhook_signature(body, headers, "the other key")
    accepted = WebhooksManager.validate_message(body, headers, SECRET)
    return row("box", [JSON, *((name.upper(), value) for name, value in headers.items())], body, accepted=accepted)


def razorpay():
    body = '{"event":"payment.captured","payload":{"payment":{"entity":{"currency":"EUR","note":"grüße"}}}}'
    verify = lambda signature: Utility().verify_webhook_signature(body, signature, SECRET)
    (signature, _), _ = overheard(lambda: verify("0"))
    headers = [JSON, ("X-Razorpay-Event-Id", "evt_1"), ("X-Razorpay-Signature", signature)]
    return row("razorpay", headers, body, accepted=verify(signature))


def line():
    body = '{"destination":"U1","events":[{"type":"message","webhookEventId":"E1","text":"EUR こんにちは"}]}'
    verify = lambda signature: SignatureValidator(SECRET).validate(body, signature)
    (_, signature), _ = overheard(lambda: verify("0"))
    signature = text(signature)
    return row("line", [JSON, ("x-line-signature", signature)], body, accepted=verify(signature))


def square():
    body, url = '{"event_id":"e1","type":"payment.updated","data":{"currency":"EUR","note":"grüße"}}', HOST + "/hook"
    verify = lambda signature: square_verifies(
        request_body=body, signature_header=signature, signature_key=SECRET, notification_url=url
    )
    (signature, _), _ = overheard(lambda: verify("0"))
    signature = text(signature)
    headers = [JSON, ("x-square-hmacsha256-signature", signature)]
    return row("square", headers, body, accepted=verify(signature), public_url=url)


def openai():
    body = '{"id":"evt_1","object":"event","type":"response.completed","data":{"id":"resp_EUR_grüße"}}'
    headers = {"webhook-id": "wh_1", "webhook-timestamp": str(int(NOW)), "webhook-signature": "v1,"}
    verify = lambda: OpenAI(api_key="none").webhooks.verify_signature(body, headers, secret=WHSEC)
    (signature, _), _ = overheard(verify)
    headers["webhook-signature"] += signature
    verify()  # It raises on a wrong signature.
    return row("openai", [JSON, *headers.items()], body, secret=WHSEC)


def plivo_v2():
    # Plivo signs the URL without its query and a nonce, but not the body. The SDK compares with ==, so its encoder is
    # listened to.
    body, path, nonce = urlencode({"CallUUID": "c1", "Currency": "EUR"}), "/hook?a=1", "12345678901234567890"
    url = HOST + path
    verify = lambda signature: plivo.utils.validate_signature(url, nonce, signature, SECRET)
    _, signature = overheard(lambda: verify("0"), plivo.utils, "base64_encode")
    signature = text(signature).strip()
    headers = [FORM, ("X-Plivo-Signature-V2", signature), ("X-Plivo-Signature-V2-Nonce", nonce)]
    more = {"public_url": HOST + "/hook", "change": "X-Plivo-Signature-V2-Nonce"}
    return row("plivo-v2", headers, body, path, accepted=verify(signature), **more)


SENDERS = [
    ("paddle", paddle, "paddle-python-sdk"),
    ("slack", slack, "slack_sdk"),
    ("twilio", twilio, "twilio"),
    ("twilio-json", twilio_json, "twilio"),
    ("box", box, "box-sdk-gen"),
    ("razorpay", razorpay, "razorpay"),
    ("line", line, "line-bot-sdk"),
    ("square", square, "squareup"),
    ("openai", openai, "openai"),
    ("plivo-v2", plivo_v2, "plivo"),
]

for scheme, sign, package in SENDERS:
    sdk = f"{package} {version(package)}"
    try:
        print(json.dumps({**sign(), "sdk": sdk}), flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"scheme": scheme, "sdk": sdk, "error": f"not signed: {error!r}"}), flush=True)
