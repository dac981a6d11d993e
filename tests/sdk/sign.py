"""Prints requests that the senders' own PyPI packages signed or accepted, one JSON object a line."""

import base64
import hashlib
import hmac
import json
import sys
import time
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Callable
from urllib.parse import parse_qsl, urlencode

SECRET = "a secret of the tests, 32 bytes!"
WHSEC = "whsec_" + base64.b64encode(SECRET.encode()).decode()
HOST = "https://hooks.example.com"
NOW = int(time.time())
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}

SIGNED = "signed"  # The package signs the request.
ACCEPTED = "accepted"  # The package accepts the request, which this script signs.


def changed_body(request):
    """Changes one byte of the body, so that it stays well formed."""
    if request.body.count("EUR") != 1:
        raise RuntimeError("the body must hold EUR once")
    return replace(request, body=request.body.replace("EUR", "EUS"))


@dataclass
class Request:
    """A POST request."""

    headers: dict
    body: str
    # The package's verdict. False or an exception is a refusal.
    accepts: Callable
    path: str = "/hook"
    secret: str = SECRET
    public_url: str = ""
    changed: Callable = changed_body

    def wire(self):
        headers = {"Content-Type": "application/json", **self.headers}
        body = base64.b64encode(self.body.encode()).decode()
        return {"method": "POST", "path": self.path, "headers": headers, "body_base64": body}


def digest(text, key=SECRET):
    return hmac.new(key.encode(), text.encode(), hashlib.sha256)


def in_base64(digest):
    return base64.b64encode(digest.digest()).decode()


def paddle():
    from paddle_billing.Notifications import PaddleSignature, Secret

    body = '{"event_id":"evt_1","event_type":"transaction.paid","data":{"currency":"EUR","note":"grüße"}}'
    timestamp = int(time.time())  # The package allows 5 seconds.
    header = f"ts={timestamp};h1={digest(f'{timestamp}:{body}').hexdigest()}"
    return Request(
        {"Paddle-Signature": header},
        body,
        lambda request: PaddleSignature().verify(header, request.body, Secret(SECRET)),
    )


def slack():
    from slack_sdk.signature import SignatureVerifier

    body = '{"type":"event_callback","event_id":"Ev1","event":{"type":"message","text":"EUR für Zoë"}}'
    verifier = SignatureVerifier(SECRET)
    signature = verifier.generate_signature(timestamp=str(NOW), body=body)
    headers = {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": signature}
    return Request(headers, body, lambda request: verifier.is_valid_request(request.body, request.headers))


def twilio():
    from twilio.request_validator import RequestValidator

    # Empty values, spaces, a plus sign and letters beyond ASCII; the query is a part of the signed URL.
    fields = {"From": "+15551234567", "Body": "10 EUR & grüße", "AccountSid": "AC1", "Empty": "", "body": "a b"}
    path, validator = "/hook?tenant=7&name=a%20b", RequestValidator(SECRET)
    signature = validator.compute_signature(HOST + path, fields)

    def accepts(request):
        fields = dict(parse_qsl(request.body, keep_blank_values=True))
        return validator.validate(HOST + path, fields, signature)

    headers = {**FORM, "X-Twilio-Signature": signature}
    return Request(headers, urlencode(fields), accepts, path=path, public_url=HOST + "/hook")


def twilio_json():
    from twilio.request_validator import RequestValidator

    body, validator = '{"MessageSid":"SM1","currency":"EUR","note":"grüße"}', RequestValidator(SECRET)
    path = "/hook?tenant=7&bodySHA256=" + validator.compute_hash(body)
    signature = validator.compute_signature(HOST + path, {})
    accepts = lambda request: validator.validate(HOST + path, request.body, signature)
    return Request({"X-Twilio-Signature": signature}, body, accepts, path=path, public_url=HOST + "/hook")


def box():
    from box_sdk_gen.internal.utils import compute_webhook_signature
    from box_sdk_gen.managers.webhooks import WebhooksManager

    body = json.dumps({"id": "1", "trigger": "FILE.UPLOADED", "source": {"name": "EUR grüße.pdf"}})
    headers = {
        "box-signature-version": "1",
        "box-signature-algorithm": "HmacSHA256",
        "box-delivery-id": "d1",
        "box-delivery-timestamp": datetime.fromtimestamp(NOW, timezone.utc).isoformat(),
    }
    headers["box-signature-primary"] = compute_webhook_signature(body, headers, SECRET)
    headers["box-signature-secondary"] = compute_webhook_signature(body, headers, "the other key")
    accepts = lambda request: WebhooksManager.validate_message(request.body, request.headers, SECRET)
    return Request(headers, body, accepts)


def razorpay():
    from razorpay import Utility

    body = '{"event":"payment.captured","payload":{"payment":{"entity":{"currency":"EUR","note":"grüße"}}}}'
    signature = digest(body).hexdigest()
    headers = {"X-Razorpay-Event-Id": "evt_1", "X-Razorpay-Signature": signature}
    accepts = lambda request: Utility().verify_webhook_signature(request.body, signature, SECRET)
    return Request(headers, body, accepts)


def line():
    from linebot.v3.webhook import SignatureValidator

    body = '{"destination":"U1","events":[{"type":"message","webhookEventId":"E1","text":"EUR こんにちは"}]}'
    signature = in_base64(digest(body))
    accepts = lambda request: SignatureValidator(SECRET).validate(request.body, signature)
    return Request({"x-line-signature": signature}, body, accepts)


def square():
    from square.utils.webhooks_helper import verify_signature

    body, url = '{"event_id":"e1","type":"payment.updated","data":{"currency":"EUR","note":"grüße"}}', HOST + "/hook"
    signature = in_base64(digest(url + body))
    accepts = lambda request: verify_signature(
        request_body=request.body, signature_header=signature, signature_key=SECRET, notification_url=url
    )
    return Request({"x-square-hmacsha256-signature": signature}, body, accepts, public_url=url)


def openai():
    from openai import OpenAI

    body = '{"id":"evt_1","object":"event","type":"response.completed","data":{"id":"resp_EUR_grüße"}}'
    signature = "v1," + in_base64(digest(f"wh_1.{NOW}.{body}"))
    headers = {"webhook-id": "wh_1", "webhook-timestamp": str(NOW), "webhook-signature": signature}
    webhooks = OpenAI(api_key="none").webhooks
    accepts = lambda request: webhooks.verify_signature(request.body, request.headers, secret=WHSEC)
    return Request(headers, body, accepts, secret=WHSEC)


def plivo_v2():
    from plivo.utils import validate_signature

    # Plivo signs the URL without its query and a nonce, but not the body.
    path, nonce, name = "/hook?a=1", "12345678901234567890", "X-Plivo-Signature-V2-Nonce"
    signature = in_base64(digest(HOST + "/hook" + nonce))
    return Request(
        {**FORM, "X-Plivo-Signature-V2": signature, name: nonce},
        urlencode({"CallUUID": "c1", "Currency": "EUR"}),
        lambda request: validate_signature(HOST + path, request.headers[name], signature, SECRET),
        path=path,
        public_url=HOST + "/hook",
        changed=lambda request: replace(request, headers={**request.headers, name: nonce[:-1] + "1"}),
    )


def airtable():
    from pyairtable.models import WebhookNotification

    body = '{"base":{"id":"appEUR00000000000"},"webhook":{"id":"ach1"},"timestamp":"2026-11-28T09:00:00.663Z"}'
    header, secret = "hmac-sha256=" + digest(body).hexdigest(), base64.b64encode(SECRET.encode()).decode()
    accepts = lambda request: WebhookNotification.from_request(request.body, header, secret)
    return Request({"X-Airtable-Content-MAC": header}, body, accepts, secret=secret)


SENDERS = [
    ("paddle", "paddle-python-sdk", ACCEPTED, paddle),
    ("slack", "slack_sdk", SIGNED, slack),
    ("twilio", "twilio", SIGNED, twilio),
    ("twilio-json", "twilio", SIGNED, twilio_json),
    ("box", "box-sdk-gen", SIGNED, box),
    ("razorpay", "razorpay", ACCEPTED, razorpay),
    ("line", "line-bot-sdk", ACCEPTED, line),
    ("square", "squareup", ACCEPTED, square),
    ("openai", "openai", ACCEPTED, openai),
    ("plivo-v2", "plivo", ACCEPTED, plivo_v2),
    ("airtable", "pyairtable", ACCEPTED, airtable),
]


def accepted(request):
    try:
        return request.accepts(request) is not False
    except Exception:
        return False


def row(sign):
    request, now = sign(), int(time.time())
    changed = request.changed(request)
    if not accepted(request):
        raise RuntimeError("the package refuses the request")
    if accepted(changed):
        raise RuntimeError("the package accepts the changed request")
    facts = {"secret": request.secret, "public_url": request.public_url, "now": now}
    return {**facts, "signed": request.wire(), "changed": changed.wire()}


def main():
    wanted = sys.argv[1:]
    for scheme, package, kind, sign in SENDERS:
        if wanted and scheme not in wanted:
            continue
        facts = {"scheme": scheme, "sdk": package, "kind": kind}
        try:
            facts["sdk"] += "@" + version(package)
            print(json.dumps({**facts, **row(sign)}), flush=True)
        except Exception as error:
            traceback.print_exc()
            print(json.dumps({**facts, "error": str(error) or repr(error)}), flush=True)


main()
