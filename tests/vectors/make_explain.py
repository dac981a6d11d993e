"""Prints explain.json: broken requests, each with the cause that `explain` should report first.

    python3 tests/vectors/make_explain.py > tests/vectors/explain.json

Python 3.11 or later, standard library only. It shares no code with the crates, so that a mistake
in their signing or parsing cannot also be in the expectations. The output is the same on every
run: keys, times and the seed are fixed.

It prints a sample of the rows that it makes. With `--all` it prints every row.

Each broken row has one fault only, except where its name states several.
"""

import base64
import collections
import datetime
import hashlib
import hmac
import html
import json
import random
import re
import string
import sys
import urllib.parse
import zlib

NOW = 1795305600
HOST = "hooks.example.com"
# Every random value comes from this generator, so the order of the calls is part of the rows.
R = random.Random(20261129)
ALNUM = string.ascii_letters + string.digits
UTC = datetime.timezone.utc


def alnum(length):
    return "".join(R.choice(ALNUM) for _ in range(length))


def hexes(length):
    return "".join(R.choice("0123456789abcdef") for _ in range(length))


def raw(length):
    return bytes(R.randrange(256) for _ in range(length))


def uuid():
    h = hexes(32)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def clock():
    return NOW + R.randrange(10**6)


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def rfc3339(t, fraction=""):
    text = datetime.datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + fraction + "Z"


# -- JSON writers ----------------------------------------------------------------------------------

def compact(value, **how):
    return json.dumps(value, separators=(",", ":"), **how)


def unicode_compact(value, **how):
    return compact(value, ensure_ascii=False, **how)


def no_slash(text):
    return text.replace("/", "\\/")


def no_html(text):
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def dotnet(value):
    text = compact(value)  # ASCII, with hex digits in lower case
    text = re.sub(r"\\u([0-9a-f]{4})", lambda m: "\\u" + m[1].upper(), text)
    text = text.replace('\\"', "\\u0022")
    for c in "&<>'+`":
        text = text.replace(c, "\\u%04X" % ord(c))
    return text


STYLES = {
    "js": unicode_compact,
    "js2": lambda o: json.dumps(o, indent=2, ensure_ascii=False),
    "js4": lambda o: json.dumps(o, indent=4, ensure_ascii=False),
    "tab": lambda o: json.dumps(o, indent="\t", ensure_ascii=False),
    "py": json.dumps,
    "py8": lambda o: json.dumps(o, ensure_ascii=False),
    "py2": lambda o: json.dumps(o, indent=2),
    "py4": lambda o: json.dumps(o, indent=4),
    "ascii": compact,
    "php": lambda o: no_slash(compact(o)),
    "php8": lambda o: no_slash(unicode_compact(o)),
    "php4": lambda o: no_slash(json.dumps(o, indent=4)),
    "rails": lambda o: no_html(unicode_compact(o)),
    "dotnet": dotnet,
    "pysorted": lambda o: json.dumps(o, sort_keys=True),
    "jssorted": lambda o: unicode_compact(o, sort_keys=True),
    "gosorted": lambda o: no_html(unicode_compact(o, sort_keys=True)),
}
STYLE_NOTE = {
    "js": "JSON.stringify",
    "js2": "JSON.stringify(.., 2)",
    "js4": "JSON.stringify(.., 4)",
    "tab": "JSON.stringify with tabs",
    "py": "json.dumps",
    "py8": "json.dumps(ensure_ascii=False)",
    "py2": "json.dumps(indent=2)",
    "py4": "json.dumps(indent=4)",
    "ascii": "json.dumps(separators)",
    "php": "json_encode",
    "php8": "json_encode(JSON_UNESCAPED_UNICODE)",
    "php4": "json_encode(JSON_PRETTY_PRINT)",
    "rails": "Rails to_json",
    "dotnet": "System.Text.Json",
    "pysorted": "json.dumps(sort_keys)",
    "jssorted": "sorted JSON.stringify",
    "gosorted": "Go map",
}


# -- bodies ----------------------------------------------------------------------------------------

NAMES = {
    "uni": ["Zoë Müller", "Łukasz Żak", "Ana María Núñez", "Siobhán O'Neill", "田中 太郎",
            "Jürgen Groß", "Chloé Lefèvre", "Иван Петров", "Bob & Alice <Sales>"],
    "latin": ["Zoë Müller", "José Peña", "Ana María Núñez", "Chloé Lefèvre", "Jürgen Groß",
              "Øyvind Åsen"],
    "plain": ["Bob Martin", "Ann Lee", "Carla Diaz"],
}
WORDS = ("order shipped to the café near Straße 5 please ring twice \"fragile\" and/or leave at "
         "desk thanks a lot 100% cotton").split()


def person(kind):
    name = R.choice(NAMES[kind])
    return {
        "id": R.randrange(10**5, 10**8),
        "name": name,
        "email": f"user{R.randrange(1000)}@mail.example.test",
        "avatar_url": f"https://cdn.example.test/u/{hexes(8)}.png",
        "phone": f"+4915{R.randrange(10**8):08d}",
    }


def item(kind):
    titles = ["Crème brûlée set", 'Tee "Paris" / blue', "Mug, 0,3 l"]
    if kind == "plain":
        titles = ["Mug", "Tee / blue", "Lamp"]
    link = "https://shop.example.test/p/1?a=1&b=2"
    return {
        "sku": f"SKU-{R.randrange(10**4)}",
        "title": R.choice(titles),
        "quantity": R.randrange(1, 9),
        "price": R.choice([19.99, 0.5, 1249.95, 7.25]),
        "tags": R.choice([[], ["new"], ["sale", "b2b"]]),
        "properties": R.choice([None, {"gift": True, "url": link}, {"size": "XL"}]),
    }


def items(kind, count):
    return [item(kind) for _ in range(R.randrange(*count))]


def sentence(kind):
    if kind == "plain":
        return "call before delivery / ring twice"
    return " ".join(R.choice(WORDS) for _ in range(12))


def payload(kind="uni", size="m"):
    """Returns a nested object of about 150 to 400 bytes (s), 1 to 2.5 kB (m), or 8 to 20 kB (l)."""
    if size == "s":
        return {
            "id": R.randrange(10**6),
            "name": R.choice(NAMES[kind]),
            "url": f"https://app.example.test/o/{hexes(6)}",
            "total": R.choice([12.5, 99.95, 42]),
        }
    return {
        "id": R.randrange(10**6),
        "object": "order",
        "status": R.choice(["paid", "open"]),
        "number": f"#{R.randrange(10**4)}",
        "created_at": rfc3339(NOW - R.randrange(10**5)),
        "currency": "EUR",
        "total": R.choice([129.95, 12.5, 42]),
        "tax_rate": 0.19,
        "paid": True,
        "note": sentence(kind),
        "customer": person(kind),
        "line_items": items(kind, (2, 5) if size == "m" else (40, 80)),
        "shipping": {
            "method": "express",
            "address": {
                "street": "Rue de la Paix 3" if kind == "plain" else "Königstraße 3/4",
                "zip": "70173",
                "location": {"lat": 48.7758, "lng": 9.1829},
            },
        },
        "cancelled_at": None,
        "links": {
            "self": f"https://api.example.test/v1/orders/{hexes(10)}",
            "admin": "https://admin.example.test/o?x=1&y=<2>",
        },
    }


# A sender's `make` function takes the kind of names, the size, and the time of the event.

def plain(id_key="id", type_key="type", data_key="data", event_type="order.paid"):
    def make(kind, size, ts):
        value = {
            id_key: f"evt_{alnum(16)}",
            type_key: event_type,
            "created": ts,
            data_key: payload(kind, size),
        }
        if size != "s":
            value.update({
                "api_version": "2026-10-01",
                "livemode": True,
                "pending_webhooks": 2,
                "account": f"acct_{alnum(10)}",
                "attempt": 1,
                "request": {"id": None, "idempotency_key": uuid()},
                "source": "https://api.example.test/events",
            })
        return value
    return make


def github(kind, size, ts):
    value = {
        "action": "opened",
        "number": R.randrange(999),
        "repository": {
            "id": R.randrange(10**8),
            "full_name": "acme/app" if kind == "plain" else "acme/größe",
            "html_url": "https://github.com/acme/app",
            "private": False,
        },
        "sender": person(kind),
    }
    if size != "s":
        value["pull_request"] = payload(kind, size)
    return value


def mautic(kind, size, ts):
    contact = {"contact": payload(kind, size), "timestamp": rfc3339(ts)}
    return {"mautic.lead_post_save_update": [contact], "timestamp": rfc3339(ts)}


def hubspot(kind, size, ts):
    return [{
        "eventId": R.randrange(10**9),
        "subscriptionId": 25,
        "portalId": 33,
        "appId": 1160452,
        "occurredAt": ts * 1000 + i,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": R.randrange(10**6),
        "changeSource": "CRM",
        "propertyName": "firstname",
        "propertyValue": R.choice(NAMES[kind]),
        "link": "https://app.hubspot.com/c/1",
    } for i in range({"s": 1, "m": 5, "l": 40}[size])]


def linear(kind, size, ts):
    return {
        "action": "update",
        "type": "Issue",
        "createdAt": rfc3339(ts, ".123"),
        "data": payload(kind, size),
        "organizationId": uuid(),
        "url": "https://linear.app/acme/issue/A-1",
        "webhookId": uuid(),
        "webhookTimestamp": ts * 1000,
    }


def trello(kind, size, ts):
    return {
        "action": {
            "id": hexes(24),
            "type": "updateCard",
            "date": rfc3339(ts, ".001"),
            "data": payload(kind, size),
        },
        "model": {"id": hexes(24), "url": "https://trello.com/b/abc"},
    }


def adyen(kind, size, ts):
    notification = {
        "additionalData": {"cardSummary": "7777", "shopperReference": R.choice(NAMES["plain"])},
        "amount": {"currency": "EUR", "value": R.randrange(100, 99999)},
        "eventCode": "AUTHORISATION",
        "eventDate": "2026-11-22T00:00:00+01:00",
        "merchantAccountCode": "AcmeShop",
        "merchantReference": f"order-{R.randrange(10**6)}",
        "paymentMethod": "visa",
        "pspReference": alnum(16).upper(),
        "reason": "033899:1111:03/2030",
        "success": "true",
    }
    return {"live": "false", "notificationItems": [{"NotificationRequestItem": notification}]}


def slack_form(kind, size, ts):
    texts = ["94070 ~now (50% off) a+b*c", "where's the café? ~5 km", "São Paulo / rain & wind~"]
    response = "https://hooks.slack.com/commands"
    return [
        ("token", alnum(24)),
        ("team_id", "T" + alnum(9).upper()),
        ("team_domain", "acme"),
        ("channel_id", "C2147483705"),
        ("channel_name", "général & co"),
        ("user_id", "U2147483697"),
        ("user_name", "zoë"),
        ("command", "/weather"),
        ("text", R.choice(texts)),
        ("api_app_id", "A123456"),
        ("is_enterprise_install", "false"),
        ("response_url", f"{response}/{alnum(8)}/{R.randrange(10**6)}"),
        ("trigger_id", f"{R.randrange(10**10)}.{R.randrange(10**8)}.{hexes(20)}"),
    ]


def github_form(kind, size, ts):
    return [("payload", STYLES["js"](github(kind, size, ts)))]


def twilio_form(kind, size, ts):
    texts = ["Hi there, café at 5? ~ok", "Größe 42 (2x) + gift", "Señor, 100% yes/no"]
    return [
        ("ToCountry", "US"),
        ("MessageSid", "SM" + hexes(32)),
        ("SmsStatus", "received"),
        ("Body", R.choice(texts)),
        ("From", f"+1415555{R.randrange(10**4):04d}"),
        ("To", f"+1510555{R.randrange(10**4):04d}"),
        ("NumMedia", "0"),
        ("AccountSid", "AC" + hexes(32)),
        ("ApiVersion", "2010-04-01"),
        ("zLastNote", "thank you, Zoë"),
    ]


def mandrill_form(kind, size, ts):
    event = {
        "event": "open",
        "ts": ts,
        "_id": hexes(32),
        "msg": payload(kind, "s" if size == "s" else "m"),
        "ip": "203.0.113.9",
    }
    return [("mandrill_events", STYLES["php"]([event]))]


# -- signed content --------------------------------------------------------------------------------

def pairs_of(body):
    return urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)


def target_of(url):
    parts = urllib.parse.urlsplit(url)
    return (parts.path or "/") + ("?" + parts.query if parts.query else "")


def ts_body(separator):
    return lambda c: c.ts.encode() + separator + c.body


def id_ts_body(c):
    return f"{c.id}.{c.ts}.".encode() + c.body


def v0_ts_body(c):
    return f"v0:{c.ts}:".encode() + c.body


def url_only(c):
    return c.url.encode()


def url_body(c):
    return c.url.encode() + c.body


def url_form(c):
    pairs = sorted(set(pairs_of(c.body)))
    return c.url.encode() + "".join(key + value for key, value in pairs).encode()


def hubspot_v2(c):
    return c.method.encode() + c.url.encode() + c.body


# HubSpot decodes these characters of the URL, and no others.
HUBSPOT_DECODES = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'",
    "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}


def hubspot_v3(c):
    url = c.url
    for code, char in HUBSPOT_DECODES.items():
        url = url.replace(code, char).replace(code.lower(), char)
    return c.method.encode() + url.encode() + c.body + c.ts.encode()


def plivo(c):
    return (c.url.split("?")[0] + c.nonce).encode()


CONTENTFUL_SIGNED = "x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic"
CONTENTFUL_TOPIC = "ContentManagement.Entry.publish"


def contentful(c):
    signed = (f"x-contentful-signed-headers:{CONTENTFUL_SIGNED};x-contentful-timestamp:{c.ts};"
              f"x-contentful-topic:{CONTENTFUL_TOPIC}")
    return f"{c.method}\n{target_of(c.url)}\n{signed}\n".encode() + c.body


def adyen_content(c):
    item = adyen_item(c)
    return ":".join([
        item["pspReference"], item.get("originalReference", ""), item["merchantAccountCode"],
        item["merchantReference"], str(item["amount"]["value"]), item["amount"]["currency"],
        item["eventCode"], item["success"],
    ]).encode()


def adyen_item(c):
    return c.data["notificationItems"][0]["NotificationRequestItem"]


# -- senders ---------------------------------------------------------------------------------------

class Sender:
    """A sender, and how it signs. `content` is the signed content of a case."""

    def __init__(self, name, header, *, label=None, prefix="", pair=None, version=None, enc="hex",
                 alg="sha256", content=lambda c: c.body, key="utf8", ts=None, unit="s", tol=300,
                 id=None, id_signed=False, extra=(), make=plain(), style="js", form=False,
                 url=False, token=False, in_body=False, covers_body=True,
                 secret=lambda: alnum(32), agent="example-sender/1.0"):
        self.name, self.header, self.label = name, header, label or name
        # How the header wraps the signature: a prefix, pairs (the timestamp's key, the
        # signature's key, the separator), or a version and a comma.
        self.prefix, self.pair, self.version = prefix, pair, version
        self.enc, self.alg, self.content, self.key = enc, alg, content, key
        # The timestamp is in the header `ts`, in a "pair" of the signature, or in the "body".
        self.ts, self.unit, self.tol = ts, unit, tol
        self.id, self.id_signed, self.extra = id, id_signed, extra
        self.make, self.style, self.form = make, style, form
        # Whether the URL is signed, the signature is a token, or it is a member of the body.
        self.url, self.token, self.in_body = url, token, in_body
        self.covers_body, self.secret, self.agent = covers_body, secret, agent

    def signs_fields(self):
        """Whether the signed content contains the fields of a form, not its bytes."""
        return self.form and self.url

    def signs_bytes(self):
        """Whether the signed content contains the bytes of the body."""
        return self.covers_body and not (self.token or self.in_body or self.signs_fields())

    def key_bytes(self, secret):
        return {
            "utf8": str.encode,
            "html": lambda text: html.unescape(text).encode(),
            "hex": bytes.fromhex,
            "base64": base64.b64decode,
            "whsec": lambda text: base64.b64decode(text.removeprefix("whsec_")),
        }[self.key](secret)

    def mac(self, case, key=None):
        key = self.key_bytes(case.secret) if key is None else key
        content = self.content(case)
        if self.alg == "digest":
            return hashlib.sha256(key + content).digest()
        return hmac.new(key, content, self.alg).digest()

    def encode(self, mac, enc=None):
        return {
            "hex": bytes.hex,
            "HEX": lambda m: m.hex().upper(),
            "base64": b64,
            "base64url": b64url,
            "base64-of-hex": lambda m: b64(m.hex().encode()),
        }[enc or self.enc](mac)

    def value(self, case, text):
        """Returns the value of the signature header."""
        if self.pair:
            ts_key, key, separator = self.pair
            return f"{ts_key}={case.ts}{separator}{key}={text}"
        if self.version:
            return f"{self.version},{text}"
        return self.prefix + text

    def time_text(self, t):
        return {
            "s": lambda: str(t),
            "ms": lambda: str(t * 1000 + 250),
            "rfc3339-fraction": lambda: rfc3339(t, ".250"),
            "rfc3339": lambda: rfc3339(t),
        }[self.unit]()


def hex32():
    return hexes(32)


def hex64():
    return hexes(64)


def hex64_upper():
    return hexes(64).upper()


def whsec():
    return "whsec_" + b64(raw(24))


def text_of(length):
    return lambda: alnum(length)


SLACKBOT = "Slackbot 1.0 (+https://api.slack.com/robots)"
HOOKSHOT = "GitHub-Hookshot/044aadd"

SENDERS = [
    Sender("github", "X-Hub-Signature-256", prefix="sha256=", make=github, id="X-GitHub-Delivery",
           extra=[("X-GitHub-Event", "pull_request"), ("X-GitHub-Hook-ID", "292430182")],
           agent=HOOKSHOT, secret=lambda: hexes(40)),
    Sender("github", "X-Hub-Signature-256", label="github-form", prefix="sha256=", make=github_form,
           form=True, id="X-GitHub-Delivery", extra=[("X-GitHub-Event", "push")], agent=HOOKSHOT),
    Sender("meta", "X-Hub-Signature-256", prefix="sha256=",
           make=plain("id", "object", "entry", "page"), style="php", secret=hex32,
           agent="facebookexternalua"),
    Sender("shopify", "X-Shopify-Hmac-Sha256", enc="base64",
           make=plain("id", "topic", "order", "orders/paid"), style="rails",
           id="X-Shopify-Webhook-Id",
           extra=[("X-Shopify-Topic", "orders/paid"),
                  ("X-Shopify-Shop-Domain", "acme.myshopify.com")],
           secret=hex64, agent="Shopify-Captain-Hook"),
    Sender("stripe", "Stripe-Signature", pair=("t", "v1", ","), content=ts_body(b"."), ts="pair",
           style="js2", secret=lambda: "whsec_" + alnum(32),
           agent="Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
    Sender("slack", "X-Slack-Signature", prefix="v0=", content=v0_ts_body,
           ts="X-Slack-Request-Timestamp", style="php",
           make=plain("event_id", "type", "event", "event_callback"), secret=hex32, agent=SLACKBOT),
    Sender("slack", "X-Slack-Signature", label="slack-form", prefix="v0=", content=v0_ts_body,
           ts="X-Slack-Request-Timestamp", form=True, make=slack_form, secret=hex32,
           agent=SLACKBOT),
    Sender("standard-webhooks", "webhook-signature", version="v1", enc="base64", key="whsec",
           content=id_ts_body, ts="webhook-timestamp", id="webhook-id", id_signed=True,
           secret=whsec),
    Sender("svix", "svix-signature", version="v1", enc="base64", key="whsec", content=id_ts_body,
           ts="svix-timestamp", id="svix-id", id_signed=True, secret=whsec,
           agent="Svix-Webhooks/1.62.0"),
    Sender("mautic", "Webhook-Signature", enc="base64", make=mautic, style="php", secret=hex64,
           extra=[("X-Origin-Base-URL", "https://mautic.example.test")], agent="GuzzleHttp/7"),
    Sender("woocommerce", "X-WC-Webhook-Signature", enc="base64", key="html", style="php",
           make=plain("id", "status", "order", "completed"), id="X-WC-Webhook-Delivery-ID",
           extra=[("X-WC-Webhook-Topic", "order.updated"),
                  ("X-WC-Webhook-Source", "https://shop.example.test/")],
           secret=lambda: alnum(30) + " #%^*()!" + alnum(12),
           agent="WooCommerce/9.4.1 Hookshot (WordPress/6.7)"),
    Sender("twilio", "X-Twilio-Signature", enc="base64", alg="sha1", url=True, form=True,
           make=twilio_form, id="I-Twilio-Idempotency-Token", content=url_form, secret=hex32,
           agent="TwilioProxy/1.1"),
    Sender("twilio-json", "X-Twilio-Signature", enc="base64", alg="sha1", url=True,
           id="I-Twilio-Idempotency-Token", content=url_only, secret=hex32,
           agent="TwilioProxy/1.1"),
    Sender("twilio-sha256", "X-Twilio-Signature", enc="base64", url=True, form=True,
           make=twilio_form, id="I-Twilio-Idempotency-Token", content=url_form,
           agent="TwilioProxy/1.1"),
    Sender("mandrill", "X-Mandrill-Signature", enc="base64", alg="sha1", url=True, form=True,
           make=mandrill_form, content=url_form, secret=text_of(22), agent="Mandrill-Webhook/1.0"),
    Sender("square", "x-square-hmacsha256-signature", enc="base64", url=True, content=url_body,
           make=plain("event_id", "type", "data", "payment.updated"), secret=text_of(22),
           agent="Square Connect v2"),
    Sender("trello", "X-Trello-Webhook", enc="base64", alg="sha1", url=True,
           content=lambda c: c.body + c.url.encode(), make=trello, secret=hex64, agent="Trello"),
    Sender("hubspot-v3", "X-HubSpot-Signature-v3", enc="base64", url=True, content=hubspot_v3,
           ts="X-HubSpot-Request-Timestamp", unit="ms", make=hubspot, secret=uuid,
           agent="HubSpot Connect 2.0"),
    Sender("hubspot-v2", "X-HubSpot-Signature", alg="digest", url=True, content=hubspot_v2,
           make=plain("vid", "portal", "properties", "p1"),
           extra=[("X-HubSpot-Signature-Version", "v2")], secret=uuid, agent="HubSpot Connect 2.0"),
    Sender("plivo-v2", "X-Plivo-Signature-V2", enc="base64", url=True, form=True, make=twilio_form,
           covers_body=False, content=plivo, extra=[("X-Plivo-Signature-V2-Nonce", None)],
           secret=text_of(40), agent="Plivo"),
    Sender("contentful", "X-Contentful-Signature", content=contentful, ts="X-Contentful-Timestamp",
           unit="ms", tol=30, make=plain("id", "type", "fields", "Entry"),
           extra=[("X-Contentful-Signed-Headers", CONTENTFUL_SIGNED),
                  ("X-Contentful-Topic", CONTENTFUL_TOPIC)],
           secret=text_of(64)),
    Sender("paddle", "Paddle-Signature", pair=("ts", "h1", ";"), content=ts_body(b":"), ts="pair",
           tol=5, make=plain("event_id", "event_type", "data", "transaction.completed"),
           secret=lambda: "pdl_ntfset_01" + alnum(24).lower() + "_" + alnum(32), agent="Paddle"),
    Sender("linear", "Linear-Signature", ts="body", unit="ms", tol=28800, make=linear,
           id="Linear-Delivery", extra=[("Linear-Event", "Issue")],
           secret=lambda: "lin_wh_" + alnum(32), agent="Linear-Webhook"),
    Sender("vercel", "x-vercel-signature", alg="sha1",
           make=plain("id", "type", "payload", "deployment.created"), secret=text_of(24)),
    Sender("intercom", "X-Hub-Signature", prefix="sha1=", alg="sha1",
           make=plain("id", "topic", "data", "conversation.user.created"), style="rails",
           secret=uuid, agent="intercom-webhooks"),
    Sender("adyen", None, in_body=True, enc="base64", key="hex", content=adyen_content, make=adyen,
           secret=hex64_upper, agent="Adyen HttpClient 1.0"),
    Sender("adyen-platform", "HmacSignature", enc="base64", key="hex", secret=hex64_upper,
           make=plain("id", "type", "data", "balancePlatform.transfer.created"),
           agent="Adyen HttpClient 1.0"),
    Sender("airtable", "X-Airtable-Content-MAC", prefix="hmac-sha256=", key="base64",
           secret=lambda: b64(raw(32)),
           make=plain("base", "webhook", "payload", "achw8xKJN2m3PqV5Z")),
    Sender("host-uk-core-api", "X-Webhook-Signature", content=ts_body(b"."),
           ts="X-Webhook-Timestamp", style="php", secret=text_of(64),
           extra=[("X-Webhook-Event", "order.paid"), ("X-Webhook-Id", "17")],
           agent="Core-Webhooks"),
    Sender("fluentcrm-documented", "X-FluentCRM-Signature", prefix="sha256=", style="php",
           id="X-FluentCRM-Delivery", make=plain("id", "event", "data", "contact_created"),
           agent="FluentCRM"),
    Sender("zendesk", "X-Zendesk-Webhook-Signature", enc="base64", content=ts_body(b""),
           ts="X-Zendesk-Webhook-Signature-Timestamp", unit="rfc3339",
           id="X-Zendesk-Webhook-Invocation-Id", secret=lambda: b64(alnum(36).encode()),
           agent="Zendesk Webhook"),
    Sender("typeform", "Typeform-Signature", prefix="sha256=", enc="base64",
           make=plain("event_id", "event_type", "form_response", "form_response"),
           secret=text_of(30), agent="Typeform Webhooks"),
    Sender("paystack", "x-paystack-signature", alg="sha512",
           make=plain("id", "event", "data", "charge.success"),
           secret=lambda: "sk_live_" + hexes(40)),
    Sender("sanity", "sanity-webhook-signature", pair=("t", "v1", ","), enc="base64url",
           content=ts_body(b"."), ts="pair", unit="ms", tol=None, id="idempotency-key",
           secret=text_of(28), agent="Sanity.io webhook delivery"),
    Sender("box", "BOX-SIGNATURE-PRIMARY", enc="base64", content=lambda c: c.body + c.ts.encode(),
           ts="BOX-DELIVERY-TIMESTAMP", unit="rfc3339", tol=600, style="ascii",
           extra=[("BOX-SIGNATURE-VERSION", "1"),
                  ("BOX-SIGNATURE-ALGORITHM", "HmacSHA256"),
                  ("BOX-DELIVERY-ID", "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f")],
           agent="Box/WH-PR-1.0.0"),
    Sender("zoom", "x-zm-signature", prefix="v0=", content=v0_ts_body, ts="x-zm-request-timestamp",
           make=plain("id", "event", "payload", "meeting.started"), secret=text_of(22),
           agent="Zoom Marketplace/1.0a"),
    Sender("twitch", "Twitch-Eventsub-Message-Signature", prefix="sha256=",
           content=lambda c: (c.id + c.ts).encode() + c.body,
           ts="Twitch-Eventsub-Message-Timestamp", unit="rfc3339-fraction", tol=600,
           id="Twitch-Eventsub-Message-Id", id_signed=True,
           extra=[("Twitch-Eventsub-Message-Type", "notification"),
                  ("Twitch-Eventsub-Subscription-Type", "channel.follow")],
           make=plain("id", "kind", "event", "x"), secret=text_of(40)),
    Sender("calendly", "Calendly-Webhook-Signature", pair=("t", "v1", ","), content=ts_body(b"."),
           ts="pair", tol=180, make=plain("created_by", "event", "payload", "invitee.created"),
           secret=text_of(43)),
    Sender("workos", "WorkOS-Signature", pair=("t", "v1", ", "), content=ts_body(b"."), ts="pair",
           unit="ms", tol=180, make=plain("id", "event", "data", "dsync.user.created"),
           secret=text_of(25), agent="WorkOS"),
    Sender("mux", "Mux-Signature", pair=("t", "v1", ","), content=ts_body(b"."), ts="pair",
           agent="Mux-Webhooks"),
    Sender("helpscout", "X-HelpScout-Signature", enc="base64", alg="sha1",
           make=plain("id", "type", "conversation", "c"),
           extra=[("X-HelpScout-Event", "convo.created")], secret=text_of(40), agent="Help Scout"),
    Sender("gitea", "X-Gitea-Signature", make=github, style="js2", id="X-Gitea-Delivery",
           extra=[("X-Gitea-Event", "push")], secret=text_of(20)),
    Sender("lemonsqueezy", "X-Signature", make=plain("id", "meta", "data", "subscription_created"),
           style="php", extra=[("X-Event-Name", "subscription_created")], secret=text_of(16),
           agent="LemonSqueezy-Hookshot"),
    Sender("heroku", "Heroku-Webhook-Hmac-SHA256", enc="base64",
           make=plain("id", "action", "data", "update"), secret=hex32, agent="Heroku Webhooks"),
    Sender("generic-hex", "X-Webhook-Signature", prefix="sha256=", style="py",
           secret=lambda: hexes(48)),
    Sender("generic-base64", "Webhook-Signature", enc="base64", secret=text_of(40)),
    Sender("generic-hex", "X-Webhook-Signature", label="generic-hex-form", prefix="sha256=",
           form=True, make=slack_form, secret=text_of(24)),
    Sender("gitlab", "X-Gitlab-Token", token=True,
           make=plain("id", "object_kind", "project", "push"), id="Idempotency-Key",
           extra=[("X-Gitlab-Event", "Push Hook")], secret=text_of(28), agent="GitLab/17.6.0"),
    Sender("telegram", "X-Telegram-Bot-Api-Secret-Token", token=True,
           make=plain("update_id", "kind", "message", "message")),
    Sender("pipeforce-token", "token", token=True,
           make=plain("uuid", "key", "value", "global/app/x"), secret=lambda: hexes(40)),
    Sender("postmark", "Authorization", token=True,
           make=plain("MessageID", "RecordType", "Metadata", "Delivery"),
           secret=lambda: "postmark:" + alnum(20), agent="Postmark"),
]

# Keys for the sender's API, which are not the secret of its webhooks. Made up, in the true shapes.
API_KEYS = {
    "github": ["ghp_" + "aB3dE5fG7hI9" * 3, "github_pat_11ABCDEFG0" + "xYz123" * 8],
    "meta": ["EAAG" + "mX9z" * 30],
    "shopify": ["shpat_" + "0123456789abcdef" * 2, "shppa_" + "fedcba9876543210" * 2],
    "stripe": [
        "sk_live_51H" + "aBcD1234" * 12,
        "sk_test_51H" + "zYxW9876" * 12,
        "rk_live_51H" + "kLmN4567" * 12,
        "pk_test_51H" + "qRsT1357" * 12,
    ],
    "slack": [
        "xoxb-123456789012-1234567890123-" + "AbCdEfGhIjKl" * 2,
        "xapp-1-A0123456789-123456-" + "abcdef0123456789" * 4,
    ],
    "standard-webhooks": ["sk_live_" + "aB1c" * 8],
    "svix": ["sk_" + "Zx9y" * 10, "testsk_" + "Ab1c" * 10 + ".us"],
    "woocommerce": [
        "ck_" + "0123456789abcdef" * 2 + "01234567",
        "cs_" + "fedcba9876543210" * 2 + "76543210",
    ],
    "twilio": ["SK" + "0123456789abcdef" * 2, "AC" + "fedcba9876543210" * 2],
    "twilio-json": ["SK" + "0123456789abcdef" * 2],
    "mandrill": ["md-" + "aB3dE5fG7h" * 2 + "xY"],
    "square": ["EAAAl" + "aB1-c_" * 10, "sq0csp-" + "aB1-c_D" * 6],
    "trello": ["ATTA" + "0123456789abcdef" * 4 + "ABCDEF12"],
    "hubspot-v3": [
        "pat-na1-0a1b2c3d-1111-4222-8333-444455556666",
        "pat-eu1-9f8e7d6c-1111-4222-8333-444455556666",
    ],
    "hubspot-v2": ["pat-na1-0a1b2c3d-1111-4222-8333-444455556666"],
    "contentful": ["CFPAT-" + "aB1-c_D2" * 6],
    "paddle": [
        "pdl_live_apikey_01gtgztp8f4kek3yd4g1wrksa3_" + "q6TGTJyvoIz7LDtXT65bX7_AQO",
        "pdl_sdbx_apikey_01gtgztp8f4kek3yd4g1wrksa3_" + "q6TGTJyvoIz7LDtXT65bX7_AQO",
    ],
    "linear": ["lin_api_" + "aB3dE5fG" * 5],
    "intercom": ["dG9rOmFiY2RlZjAxXzIzNDVfNjc4OV9hYmNkOjE6MA=="],
    "adyen": ["AQEyhmfxKo3ObB1Bw0m/n3Q5qf3VaY9UCJ14XWZE03G/k2NFikzVGEiYj+4v-xMpK-abc"],
    "airtable": ["patAbCdEfGhIjKlMn." + "0123456789abcdef" * 4],
    "typeform": ["tfp_" + "aB1cD2eF" * 5 + "_3pZ1xYw"],
    "calendly": [
        "eyJraWQiOiIxY2UxZTEzNjE3ZGNmNzY2YjNjZWJjY2Y4ZGM1YmFmYThhNjVlNjg0MDIzZjdjMzJiZTgz"
        "NDliMjM4MDEzNWI0IiwidHlwIjoiUEFUIiwiYWxnIjoiRVMyNTYifQ.eyJpc3MiOiJhIn0.c2ln",
    ],
    "workos": ["sk_test_" + "aB1cD2eF" * 6],
    "gitlab": ["glpat-" + "aB1cD2eF3gH4iJ5kL6mN"],
    "telegram": ["7123456789:AAE" + "aB1cD2eF" * 4],
}

BY_LABEL = {sender.label: sender for sender in SENDERS}
# Senders that sign the bytes of the body, which is JSON or a form, and that sign a form's fields.
BYTES = [s for s in SENDERS if s.signs_bytes()]
JSONS = [s for s in BYTES if not s.form]
FORMS = [s for s in BYTES if s.form]
FIELDS = [s for s in SENDERS if s.signs_fields() and s.covers_body]
URLS = [s for s in SENDERS if s.url]
URL_NAMES = {s.name for s in URLS}
SIGNING = [s for s in SENDERS if not s.token]
HEADERS = [s for s in SIGNING if not s.in_body]
TIMED = [s for s in SENDERS if s.ts and s.tol is not None]


def senders(labels):
    return [BY_LABEL[label] for label in labels.split()]


# -- requests --------------------------------------------------------------------------------------

class Case:
    """A delivery as the sender makes it. `data` is the parsed body."""

    def __init__(self, sender, kind="uni", size=None, style=None, now=None, time=None, secret=None,
                 url=None, data=None, body=None):
        size = size or R.choices(["s", "m", "l"], [45, 50, 5])[0]
        self.sender, self.method = sender, "POST"
        self.now = clock() if now is None else now
        self.time = self.now - R.randrange(0, 3) if time is None else time
        self.secret = secret or sender.secret()
        self.ts = sender.time_text(self.time)
        self.id = "msg_" + alnum(24) if sender.version else uuid()
        self.nonce = str(R.randrange(10**19, 10**20))
        self.style = style or sender.style
        self.url = url or f"https://{HOST}/webhooks/{sender.name}"
        self.data = sender.make(kind, size, self.time) if data is None else data
        if body is None:
            self.write()
        else:
            self.body = body
        if sender.name == "twilio-json":
            self.url = add_query(self.url, "bodySHA256=" + hashlib.sha256(self.body).hexdigest())

    def write(self):
        """Writes the body."""
        if self.sender.form:
            self.body = urllib.parse.urlencode(self.data).encode()
        else:
            self.body = STYLES[self.style](self.data).encode()

    def bare(self, key=None, enc=None):
        """Returns the encoded signature, without a prefix, pair or version."""
        return self.sender.encode(self.sender.mac(self, key), enc)

    def signature(self, key=None, enc=None):
        if self.sender.name == "postmark":
            return "Basic " + b64(self.secret.encode())
        if self.sender.token:
            return self.secret
        return self.sender.value(self, self.bare(key, enc))

    def put(self, signature):
        """Writes the signature into the body, or removes it, if the sender puts it there."""
        if self.sender.in_body:
            data = adyen_item(self)["additionalData"]
            data.pop("hmacSignature", None)
            if signature is not None:
                data["hmacSignature"] = signature
            self.write()

    def headers(self, signature):
        """Returns the headers. A `signature` of `None` leaves it out."""
        sender = self.sender
        form, json_type = "application/x-www-form-urlencoded", "application/json"
        headers = [
            ("Host", urllib.parse.urlsplit(self.url).netloc),
            ("User-Agent", sender.agent),
            ("Accept", "*/*"),
            ("Content-Type", form if sender.form else json_type),
            ("Content-Length", str(len(self.body))),
        ]
        if sender.id:
            headers.append((sender.id, self.id))
        headers += [(name, self.nonce if value is None else value) for name, value in sender.extra]
        if sender.ts and sender.ts not in ("pair", "body"):
            headers.append((sender.ts, self.ts))
        if signature is not None and sender.header:
            headers.append((sender.header, signature))
        if not sender.url and R.random() < 0.4:
            headers += of_proxy()
        return headers

    def signed(self, key=None, enc=None):
        """Signs the request, and returns its headers."""
        signature = self.signature(key, enc)
        self.put(signature)
        return self.headers(signature)


def add_query(url, query):
    return url + ("&" if "?" in url else "?") + query


def of_proxy():
    """Returns headers that a proxy adds."""
    return R.choice([
        [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"),
         ("X-Forwarded-Port", "443")],
        [("Via", "1.1 varnish"), ("X-Request-Id", uuid())],
        [("CF-Ray", "8e1a2b3c4d5e6f70-FRA"), ("CF-Connecting-IP", "203.0.113.7"),
         ("X-Forwarded-Proto", "https")],
        [("Accept-Encoding", "gzip"), ("X-B3-TraceId", hexes(16))],
    ])


def without(headers, name):
    return [(k, v) for k, v in headers if k.lower() != name.lower()]


def replaced(headers, name, value):
    return [(k, value if k.lower() == name.lower() else v) for k, v in headers]


def with_length(headers, body, length):
    """Content-Length as received: `fixed`, `stale`, or `absent`."""
    if length == "fixed":
        return replaced(headers, "Content-Length", str(len(body)))
    if length == "absent":
        return without(headers, "Content-Length")
    return headers


ROWS = []
COUNT = collections.Counter()


def row(case, cause, note, headers, body=None, secret=None, url=None, target=None, also=None,
        group=None, provider=None):
    """Adds a request as received. The default of each part is what the sender sent."""
    name = f"{case.sender.label}: {cause}: {note}"
    COUNT[name] += 1
    if COUNT[name] > 1:
        name += f" ({COUNT[name]})"
    provider = provider or case.sender.name
    url = case.url if url is None else url
    target = target_of(url) if target is None else target
    if R.random() < 0.3:  # HTTP/2
        headers = [(k.lower(), v) for k, v in headers]
    line = {
        "provider": provider,
        "name": name,
        "method": case.method,
        "url": url if case.sender.url or provider in URL_NAMES else None,
        "headers": [list(pair) for pair in headers],
        "body_base64": b64(case.body if body is None else body),
        "secret": case.secret if secret is None else secret,
        "secret_encoding": None,
        "now": case.now,
        "parameters": {},
        "cause": cause,
    }
    if line["url"] is None or target != target_of(url):
        line["target"] = target
    if also:
        line["also"] = also.split()
    if group:
        line["group"] = group
    ROWS.append(line)


def secret_row(sender, cause, note, *, key=None, received=None, also=None, secret=None):
    """Adds a request whose sender and receiver use the secret differently.

    `key` makes the sender's key of the secret, `received` makes the receiver's secret of it."""
    case = Case(sender, secret=secret)
    headers = case.signed(key and key(case.secret))
    row(case, cause, note, headers, secret=received and received(case.secret), also=also)


def body_row(sender, cause, note, change, *, also=None, length=None, extra=(), **how):
    """Adds a request whose body changed after it was signed. `change` takes and returns the body.

    Returns whether the body changed. If not, there is no row."""
    case = Case(sender, **how)
    headers = case.signed() + list(extra)
    received = change(case.body)
    if sender.ts == "body" and "body" in how:  # a body made earlier has its own timestamp
        case.now = time_in(case.body, received) + 1
    if received == case.body:
        return False
    if cause == "body_reserialized":
        value = json.loads(received)
        assert any(write(value).encode() == case.body for write in STYLES.values()), note
    length = length or R.choice(["fixed", "fixed", "fixed", "stale", "absent"])
    headers = with_length(headers, received, length)
    row(case, cause, f"{note}, content-length {length}", headers, body=received, also=also)
    return True


def time_in(*bodies):
    """Returns the timestamp of the first of these bodies that it can be read from."""
    found = [re.search(rb'"webhookTimestamp":\s*(\d+)\d{3}', body) for body in bodies]
    return next(int(match[1]) for match in found if match)


# -- requests that are valid -----------------------------------------------------------------------

def valid():
    for sender in SENDERS:
        for size in "sml":
            if size == "l" and sender.label not in ("github", "stripe", "square", "twilio"):
                continue
            case = Case(sender, size=size)
            row(case, "valid", f"as sent, {size}", case.signed())
    for sender in senders("github paystack vercel stripe hubspot-v2"):
        case = Case(sender)
        row(case, "valid", "hex in upper case", case.headers(case.signature(enc="HEX")))


# -- headers ---------------------------------------------------------------------------------------

def missing_header():
    for sender in SENDERS:
        case = Case(sender)
        if sender.in_body:
            case.put(None)
            row(case, "missing_header", "the signature member of the body is missing",
                case.headers(None), also="malformed_signature")
            continue
        headers = without(case.signed(), sender.header)
        row(case, "missing_header", "signature header dropped", headers)
    for sender in HEADERS:
        if sender.ts and sender.ts not in ("pair", "body"):
            missing(sender, "timestamp header dropped", sender.ts)
        if sender.id_signed:
            missing(sender, "ID header dropped", sender.id)
    renamed_header()
    for sender in senders("plivo-v2 contentful box hubspot-v2"):
        name = sender.extra[0][0]
        also = "other_sender malformed_signature" if sender.name == "hubspot-v2" else None
        missing(sender, f"required header {name.lower()} dropped", name, also)
    for sender in senders("github shopify slack square"):
        case = Case(sender)
        headers = replaced(case.signed(), sender.header, "")
        row(case, "missing_header", "empty value", headers,
            also="malformed_signature signature_truncated")


def missing(sender, note, name, also=None):
    """Adds a request without this header."""
    case = Case(sender)
    row(case, "missing_header", note, without(case.signed(), name), also=also)


def renamed_header():
    ways = [
        ("underscores", lambda name: name.replace("-", "_")),
        ("CGI name", lambda name: "HTTP_" + name.upper().replace("-", "_")),
        ("prefix x-original-", lambda name: "X-Original-" + name),
        ("prefix of an API gateway", lambda name: "x-amzn-remapped-" + name.lower()),
        ("typing error", lambda name: name[:-1]),
    ]
    for i, sender in enumerate(HEADERS):
        note, rename = ways[i % len(ways)]
        if note == "underscores" and "-" not in sender.header:
            note, rename = ways[1]
        case = Case(sender)
        headers = case.signed()
        headers = [(rename(k) if k == sender.header else k, v) for k, v in headers]
        row(case, "missing_header", f"renamed: {note}", headers)


def other_sender():
    expected = senders(
        "stripe github shopify slack svix woocommerce twilio square paddle linear vercel trello "
        "hubspot-v3 typeform zoom twitch calendly box zendesk airtable gitlab mux intercom "
        "paystack")
    for asked, actual in zip(expected, expected[7:] + expected[:7]):
        case = Case(actual)
        headers = case.signed()
        row(case, "other_sender", f"request for {asked.label}; the secret is {asked.label}'s",
            headers, secret=asked.secret(), provider=asked.label)
        if asked.key == "utf8" and actual.key != "whsec":
            case = Case(actual)
            note = f"request for {asked.label}; the secret is the actual sender's"
            row(case, "other_sender", note, case.signed(), provider=asked.label)
    for asked, actual, also in [("bitbucket", "intercom", "malformed_signature"),
                                ("github", "intercom", "missing_header"),
                                ("gitea", "github", "missing_header")]:
        case = Case(BY_LABEL[actual])
        row(case, "other_sender", f"request for {asked}, same family of headers", case.signed(),
            provider=asked, also=also)
    for asked, actual in [("standard-webhooks", "mautic"), ("generic-base64", "standard-webhooks"),
                          ("mautic", "standard-webhooks"), ("host-uk-core-api", "generic-hex")]:
        case = Case(BY_LABEL[actual])
        headers = case.signed()
        row(case, "other_sender", f"request for {asked}, which uses the same header", headers,
            provider=asked, secret=BY_LABEL[asked].secret(),
            also="malformed_signature missing_header no_match")


def malformed(sender, note, change, also=None):
    """Adds a request whose signature header has the value that `change` returns."""
    case = Case(sender)
    row(case, "malformed_signature", note, case.headers(change(case)), also=also)


def malformed_signature():
    garbage = ["null", "undefined", "[object Object]", "None", "***", "{{signature}}", "Array",
               "-", "${SIGNATURE}", "[REDACTED]"]
    for i, sender in enumerate(SIGNING):
        text = garbage[i % len(garbage)]
        case = Case(sender)
        case.put(text)
        row(case, "malformed_signature", f"garbage: {text}", case.headers(text))
        if sender.in_body:
            continue
        twice = "the header twice, joined by a comma"
        if i % 2:
            malformed(sender, "quotation marks around the value", lambda c: f'"{c.signature()}"')
        elif sender.pair or sender.version:
            malformed(sender, twice, lambda c: f"[{c.signature()}]")
        else:
            malformed(sender, twice, lambda c: f"{c.signature()}, {c.signature()}")
    for sender in HEADERS:
        malformed_parts(sender)
    for sender in senders("shopify mautic square woocommerce heroku"):
        case = Case(sender)
        while "+" not in case.signature():
            case = Case(sender)
        row(case, "malformed_signature", "+ decoded into a space",
            case.headers(case.signature().replace("+", " ")), also="encoding_mismatch")
        malformed(sender, "percent-encoded value",
                  lambda c: urllib.parse.quote(c.signature(), safe=""), also="encoding_mismatch")


def malformed_parts(sender):
    """Adds requests with a wrong prefix, pair or version of the signature."""
    if sender.prefix:
        other = {"sha256=": "sha1=", "sha1=": "sha256=", "v0=": "v1=", "hmac-sha256=": "sha256="}
        malformed(sender, "prefix missing", Case.bare)
        malformed(sender, "another prefix", lambda c: other[sender.prefix] + c.bare())
    elif sender.pair:
        ts_key, _, separator = sender.pair
        malformed(sender, "wrong key or version",
                  lambda c: f"{ts_key}={c.ts}{separator}v9={c.bare()}")
        malformed(sender, "bare signature without its pairs", Case.bare)
    elif sender.version:
        malformed(sender, "version missing", Case.bare)
        malformed(sender, "wrong version", lambda c: f"v2,{c.bare()}")
        malformed(sender, "= in place of the comma", lambda c: f"v1={c.bare()}")
    else:
        malformed(sender, "surplus prefix", lambda c: "sha256=" + c.bare())


def encoding_mismatch():
    others = {
        "hex": ["base64", "base64url", "base64-of-hex"],
        "base64": ["hex", "base64url", "base64-of-hex", "HEX"],
        "base64url": ["base64", "hex"],
    }
    for sender in SIGNING:
        for enc in others[sender.enc]:
            if (sender.enc, enc) == ("base64", "HEX") and sender.name not in ("shopify", "zendesk"):
                continue
            for _ in range(50):
                case = Case(sender)
                if enc != "base64url" or set("+/") & set(case.signature(enc="base64")):
                    break
            signature = case.signature(enc=enc)
            if signature == case.signature():
                continue
            case.put(signature)
            note = f"{enc} in place of {sender.enc}"
            row(case, "encoding_mismatch", note, case.headers(signature))


def truncated(sender, note, change, also=None):
    """Adds a request with the part of the signature that `change` returns."""
    case = Case(sender)
    text = change(case.bare())
    case.put(text)
    row(case, "signature_truncated", note, case.headers(sender.value(case, text)), also=also)


def signature_truncated():
    for sender in SIGNING:
        if sender.enc == "hex":
            truncated(sender, "by one character", lambda text: text[:-1])
        else:
            truncated(sender, "by two characters", lambda text: text.rstrip("=")[:-1])
        truncated(sender, "to half", lambda text: text[:len(text) // 2])
        truncated(sender, "by eight characters", lambda text: text.rstrip("=")[:-8])
    for sender in senders("shopify mautic heroku square standard-webhooks"):
        truncated(sender, "only the padding = is missing", lambda text: text.rstrip("="),
                  also="encoding_mismatch malformed_signature")
    for sender in senders("gitlab telegram"):
        case = Case(sender)
        row(case, "signature_truncated", "token cut", case.headers(case.secret[:-4]),
            also="no_match malformed_signature")


def signature_other_body():
    for i, sender in enumerate(SIGNING):
        # The URL of twilio-json has the digest of its own body.
        if not sender.covers_body or sender.name == "twilio-json":
            continue
        secret, now, group = sender.secret(), clock(), f"other-{i}"
        first = Case(sender, secret=secret, now=now)
        second = Case(sender, secret=secret, now=now)
        if sender.in_body:
            signature = first.signature()
            first.put(signature)
            second.put(signature)
            row(first, "valid", "first of a pair", first.headers(None), group=group)
            row(second, "signature_other_body", "signature of the first", second.headers(None),
                group=group)
            continue
        of_first, of_second = first.signed(), second.signed()
        if i % 2:
            note = "the headers of two requests swapped"
            row(first, "signature_other_body", note, with_length(of_second, first.body, "fixed"),
                group=group)
        else:
            note = "headers of the first"
            row(first, "valid", "first of a pair", of_first, group=group)
        row(second, "signature_other_body", note, with_length(of_first, second.body, "fixed"),
            group=group)


# -- secrets ---------------------------------------------------------------------------------------

def secret_whitespace():
    ways = [
        ("line feed at the end", "{}\n"),
        ("CRLF at the end", "{}\r\n"),
        ("space at the end", "{} "),
        ("space at the start", " {}"),
        ("tab at the end", "{}\t"),
        ("NBSP at the end", "{}\u00a0"),
        ("BOM at the start", "\ufeff{}"),
        ("zero-width space at the end", "{}\u200b"),
        ("spaces around", "  {} "),
        ("ideographic space at the end", "{}\u3000"),
    ]
    for i, sender in enumerate(SENDERS):
        for note, form in (ways[i % len(ways)], ways[(i + 9) % len(ways)]):
            secret_row(sender, "secret_whitespace", f"receiver's secret: {note}",
                       received=form.format)
    names = {"\n": "line feed", " ": "space", "\r\n": "CRLF", "\t": "tab"}
    for label, space in [("github", "\n"), ("shopify", " "), ("zoom", "\n"), ("slack", " "),
                         ("generic-hex", "\n"), ("mautic", "\r\n"), ("vercel", "\n"),
                         ("twilio", " "), ("calendly", "\t"), ("gitea", "\n")]:
        note = f"the sender's secret has a {names[space]} at the end"
        secret_row(BY_LABEL[label], "secret_whitespace", note,
                   key=lambda text: (text + space).encode())
    for label, space in [("github", "\n"), ("paddle", "\n"), ("contentful", " "),
                         ("standard-webhooks", "\n"), ("adyen-platform", "\n"),
                         ("trello", "\r\n")]:
        note = "wrapped by a terminal: a break in the middle"
        secret_row(BY_LABEL[label], "secret_whitespace", note,
                   received=lambda text: space.join(halves(text)))


def halves(text):
    middle = len(text) // 2
    return text[:middle], text[middle:]


def secret_quotes():
    ways = [
        ("double", '"{}"'),
        ("single", "'{}'"),
        ("typographic double", "\u201c{}\u201d"),
        ("backticks", "`{}`"),
        ("typographic single", "\u2018{}\u2019"),
        ("escaped double", '\\"{}\\"'),
        ("guillemets", "\u00ab{}\u00bb"),
    ]
    for i, sender in enumerate(SENDERS):
        note, form = ways[0 if i % 3 == 0 else i % len(ways)]
        secret_row(sender, "secret_quotes", f"{note} quotation marks", received=form.format)
    for sender in senders("github stripe svix shopify"):
        secret_row(sender, "secret_quotes", "a quotation mark only at the end",
                   received='{}"'.format)
    for sender in senders("slack standard-webhooks twilio"):
        secret_row(sender, "secret_quotes", "quotation marks and a line feed",
                   received='"{}"\n'.format, also="secret_whitespace")
    for sender in senders("github zoom"):
        secret_row(sender, "secret_quotes", "the sender's secret has the quotation marks",
                   key=lambda text: f'"{text}"'.encode())


def secret_prefix():
    for sender in senders("standard-webhooks svix"):
        secret_row(sender, "secret_prefix", "v1,whsec_", received="v1,{}".format)
        secret_row(sender, "secret_prefix", "doubled whsec_", received="whsec_{}".format)
        secret_row(sender, "secret_prefix", "v1, without whsec_",
                   received=lambda text: "v1," + text.removeprefix("whsec_"))
        secret_row(sender, "secret_prefix", "part of the prefix lost in a copy",
                   received=lambda text: text[1:], also="secret_encoding")
    stripe = BY_LABEL["stripe"]
    secret_row(stripe, "secret_prefix", "whsec_ missing",
               received=lambda text: text.removeprefix("whsec_"))
    secret_row(stripe, "secret_prefix", "doubled whsec_", received="whsec_{}".format)
    secret_row(stripe, "secret_prefix", "v1,whsec_", received="v1,{}".format)
    secret_row(stripe, "secret_prefix", "part of the prefix lost in a copy",
               received=lambda text: text[1:])
    secret_row(stripe, "secret_prefix", "whsec_ missing (secret of the CLI)",
               secret="whsec_" + hexes(64), received=lambda text: text.removeprefix("whsec_"))
    for sender in SENDERS:
        if sender.key != "whsec" and sender.name not in ("stripe", "postmark", "woocommerce"):
            secret_row(sender, "secret_prefix", "surplus whsec_", received="whsec_{}".format)
    for sender in senders("github generic-hex shopify zoom generic-base64 paddle host-uk-core-api"):
        secret_row(sender, "secret_prefix", "surplus v1,whsec_", received="v1,whsec_{}".format)
    for sender in senders("zoom generic-hex mux calendly"):
        note = "the sender signs with whsec_, which the receiver lacks"
        secret_row(sender, "secret_prefix", note, key=lambda text: b"whsec_" + text.encode())


def secret_encoding():
    for sender in SIGNING:
        {
            "utf8": text_secrets,
            "html": text_secrets,
            "hex": hex_secrets,
            "base64": base64_secrets,
            "whsec": whsec_secrets,
        }[sender.key](sender)
    for _ in range(2):
        encoding_row(BY_LABEL["stripe"], "the sender decodes the base64 after whsec_",
                     secret=whsec(), key=after_whsec)
    for sender in senders("gitlab telegram"):
        encoding_row(sender, "the receiver has the token in base64 (Kubernetes)",
                     received=text_b64)


def encoding_row(sender, note, **how):
    secret_row(sender, "secret_encoding", note, **how)


def text_b64(text):
    return b64(text.encode())


def after_whsec(text):
    return base64.b64decode(text.removeprefix("whsec_"))


def text_secrets(sender):
    if sender.label in ("github-form", "slack-form", "generic-hex-form", "typeform"):
        return  # they use the secret as other senders do
    encoding_row(sender, "the sender decodes the secret from hex", secret=hexes(64),
                 key=bytes.fromhex)
    encoding_row(sender, "the sender decodes the secret from base64", secret=b64(raw(32)),
                 key=base64.b64decode)
    encoding_row(sender, "the receiver has the secret in base64 (Kubernetes)", received=text_b64)
    if sender.name in ("github", "slack", "shopify", "square", "zoom", "mautic", "box",
                       "hubspot-v3"):
        encoding_row(sender, "the receiver has the secret in hex",
                     received=lambda text: text.encode().hex())


def hex_secrets(sender):
    encoding_row(sender, "the sender signs with the text of the hex", key=str.encode)
    encoding_row(sender, "the receiver has the key in base64",
                 received=lambda text: b64(bytes.fromhex(text)))


def base64_secrets(sender):
    encoding_row(sender, "the sender signs with the text of the base64", key=str.encode)
    encoding_row(sender, "the receiver has the key in hex",
                 received=lambda text: base64.b64decode(text).hex())


def whsec_secrets(sender):
    encoding_row(sender, "the sender signs with the text of whsec_", key=str.encode)
    encoding_row(sender, "the sender signs with the text after whsec_",
                 key=lambda text: text.removeprefix("whsec_").encode())
    encoding_row(sender, "the receiver has the key in hex",
                 received=lambda text: after_whsec(text).hex())
    own_secret(sender, "the sender signs with a secret that is no base64",
               lambda: "my-own-secret-" + alnum(9), str.encode)
    own_secret(sender, "hex after whsec_", lambda: "whsec_" + hexes(48),
               lambda text: bytes.fromhex(text.removeprefix("whsec_")))


def own_secret(sender, note, make, key):
    """Adds a request with a secret in another form. `key` makes the sender's key of it."""
    case = Case(sender)
    secret = make()
    row(case, "secret_encoding", note, case.signed(key(secret)), secret=secret)


def secret_kind():
    for sender in SENDERS:
        for api_key in API_KEYS.get(sender.label, []):
            kind_row(sender, f"an API key or token: {api_key[:6]}…", api_key)
    for label, other, also in OTHER_KEYS:
        kind_row(BY_LABEL[label], f"a key of another kind: {other[:8]}…", other, also)


def kind_row(sender, note, api_key, also=None):
    secret_row(sender, "secret_kind", note, received=lambda text: api_key, also=also)


OTHER_KEYS = [
    ("github", "sk_live_" + "aB1cD2eF" * 4, None),
    ("zoom", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhYmMiLCJleHAiOjE3OTUzMDU2MDB9."
     "dGhpcyBpcyBhIHNpZ25hdHVyZQ", "no_match"),
    ("generic-hex", "sk_test_" + "Zy9x" * 8, None),
    ("slack", "xoxp-123456789012-123456789012-" + "ab12" * 8, None),
    ("standard-webhooks", "whpk_" + b64(bytes(range(32))), "secret_prefix secret_encoding"),
    ("svix", "whpk_" + b64(bytes(range(1, 33))), "secret_prefix secret_encoding"),
    ("mux", "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF0x\n"
     "-----END RSA PRIVATE KEY-----", "no_match"),
]


# -- bodies that changed on the way ----------------------------------------------------------------

def body_reserialized():
    targets = ["js", "js2", "py", "php", "py2", "rails", "php4", "ascii", "js4", "dotnet", "py8",
               "tab", "php8", "py4"]
    for i, sender in enumerate(JSONS):
        done = 0
        for k in range(len(targets)):
            style = targets[(i * 3 + k) % len(targets)]
            if style == sender.style:
                continue
            size = R.choice(["s", "m", "m", "l"] if done == 0 else ["s", "m"])
            note = f"{STYLE_NOTE[sender.style]} arrives as {STYLE_NOTE[style]}"
            done += body_row(sender, "body_reserialized", note,
                             lambda body: STYLES[style](json.loads(body)).encode(), size=size)
            if done == 2:
                break
    for label, style in [("generic-hex", "pysorted"), ("github", "jssorted"), ("stripe", "dotnet"),
                         ("zoom", "php4"), ("mautic", "php8"), ("square", "ascii"), ("mux", "py4"),
                         ("twitch", "gosorted"), ("gitea", "tab"), ("heroku", "js4"),
                         ("svix", "py2"), ("trello", "py8")]:
        how = "members in another order" if "sorted" in style else "arrives compact"
        body_row(BY_LABEL[label], "body_reserialized", f"signed as {STYLE_NOTE[style]}, {how}",
                 lambda body: written_again(body, style), size="m", style=style)
    for sender in senders("github linear stripe slack paddle"):
        body_row(sender, "body_reserialized", "white space between tokens only",
                 lambda body: re.sub(rb"^\{\s*", b"{ ", body), size="s")
    for sender in senders("lemonsqueezy woocommerce host-uk-core-api"):
        body_row(sender, "body_reserialized", "floats written with 17 digits", digits_17, size="m",
                 also="no_match")


def written_again(body, signed_style):
    """Writes the JSON in another style. Sorted members get another order."""
    value = json.loads(body)
    if "sorted" in signed_style and isinstance(value, dict):
        value = dict(sorted(value.items(), key=lambda pair: (len(pair[0]), pair[0][::-1])))
    return STYLES["py" if signed_style == "jssorted" else "js"](value).encode()


def digits_17(body):
    """Writes floats as PHP does with `serialize_precision=17`."""
    return re.sub(rb"(?<=:)\d+\.\d+(?=[,}])", lambda m: b"%.17g" % float(m[0]), body)


def body_final_newline():
    added = [("LF added", lambda body: body + b"\n", b""),
             ("CRLF added", lambda body: body + b"\r\n", b"")]
    removed = [("LF removed", lambda body: body[:-1], b"\n"),
               ("CRLF removed", lambda body: body[:-2], b"\r\n")]
    for i, sender in enumerate(BYTES):
        if i % 2 == 0:
            ways = [added[0], removed[0]]
        elif i % 3 == 0:
            ways = [added[1], removed[1]]
        else:
            ways = [added[0]]
        for note, change, end in ways:
            body_row(sender, "body_final_newline", note, change, body=Case(sender).body + end)
    for sender in FIELDS:
        body_row(sender, "body_final_newline", "LF added to the form", lambda body: body + b"\n")


def body_line_endings():
    def changed(sender, note, old, new, body, also=None):
        body_row(sender, "body_line_endings", note, lambda b: b.replace(old, new), body=body,
                 also=also)

    for i, sender in enumerate(JSONS):
        body = Case(sender, style=["js2", "py4", "tab", "php4"][i % 4]).body
        if i % 3 == 0:
            body += b"\n"
        if i % 2 == 0:
            changed(sender, "LF became CRLF", b"\n", b"\r\n", body)
        else:
            body = body.replace(b"\n", b"\r\n")
            changed(sender, "CRLF became LF", b"\r\n", b"\n", body)
    for sender in senders("generic-hex github"):
        changed(sender, "LF became CR", b"\n", b"\r", Case(sender, style="js2").body)
    for sender in senders("mux typeform"):
        body = b"".join(STYLES["js"](payload("uni", "s")).encode() + b"\r\n" for _ in range(5))
        changed(sender, "JSON lines: CRLF became LF", b"\r\n", b"\n", body)
    for sender in senders("twilio mandrill"):
        fields = dict(Case(sender).data)
        if sender.name == "mandrill":
            fields["note"] = "line 1\r\nline 2"
        else:
            fields["Body"] = "line 1\r\nline 2\r\nline 3"
        changed(sender, "CRLF in a field became LF", b"%0D%0A", b"%0A",
                urllib.parse.urlencode(fields).encode(), also="form_reencoded")


def body_bom():
    bom = b"\xef\xbb\xbf"
    for i, sender in enumerate(BYTES):
        if i % 3 != 2:
            body_row(sender, "body_bom", "BOM added", lambda body: bom + body)
        elif not sender.url and sender.ts != "body":
            body_row(sender, "body_bom", "signed with a BOM, which was removed",
                     lambda body: body[3:], body=bom + Case(sender).body)


def body_charset():
    ways = [
        ("UTF-8 became Latin-1", "utf-8", "latin-1"),
        ("mojibake: UTF-8 read as Latin-1, written as UTF-8", "latin-1", "utf-8"),
        ("mojibake: UTF-8 read as Windows-1252", "cp1252", "utf-8"),
        ("UTF-8 became UTF-16LE", "utf-8", "utf-16-le"),
    ]
    for i, sender in enumerate(JSONS):
        charset_row(sender, *ways[i % 4])
        charset_row(sender, *ways[(i + 1) % 4])
    for sender in senders("generic-hex mux github shopify zoom"):
        text = Case(sender, "latin", style="js").body.decode()
        try:
            body = text.encode("latin-1")
        except UnicodeError:
            continue
        body_row(sender, "body_charset", "signed in Latin-1, arrives in UTF-8",
                 lambda body: body.decode("latin-1").encode(), body=body)
    for labels, note, lost in [
        ("github linear stripe square vercel", "letters became U+FFFD", "\ufffd".encode()),
        ("zoom shopify paystack", "letters became question marks", b"?"),
    ]:
        for sender in senders(labels):
            body_row(sender, "body_charset", f"lossy: {note}",
                     lambda body: re.sub(rb"[\xc0-\xf4][\x80-\xbf]+", lost, body), kind="latin",
                     style="js", also="no_match")
    for sender in senders("twilio twilio-sha256"):
        body_row(sender, "body_charset", "fields percent-encoded in Latin-1",
                 lambda body: urllib.parse.urlencode(pairs_of(body), encoding="latin-1").encode(),
                 also="form_reencoded")
        body_row(sender, "body_charset", "mojibake in fields", mojibake_in_fields,
                 also="form_reencoded")


def charset_row(sender, note, read, written):
    """Adds a row, if one of 20 bodies can be read and written in these charsets."""
    style = "js" if sender.style in ("php", "ascii", "py") else sender.style
    for _ in range(20):
        length = R.choice(["fixed", "absent"])
        try:
            if body_row(sender, "body_charset", note,
                        lambda body: body.decode(read).encode(written), kind="latin", style=style,
                        length=length):
                break
        except UnicodeError:
            continue


def mojibake_in_fields(body):
    pairs = [(key, value.encode().decode("latin-1")) for key, value in pairs_of(body)]
    return urllib.parse.urlencode(pairs).encode()


def gzipped(body):
    return zlib.compress(body, 9, 31)


def deflated_raw(body):
    return zlib.compress(body, wbits=-15)


def body_decompressed():
    for i, sender in enumerate(BYTES):
        if sender.url:  # their signed body is JSON
            continue
        body = Case(sender).body
        coding, compress = ("gzip", gzipped) if i % 2 else ("deflate", zlib.compress)
        note = f"signed in {coding}, arrives plain "
        if i % 4 != 3:
            body_row(sender, "body_decompressed", note + "with the header content-encoding",
                     lambda _: body, body=compress(body), extra=[("Content-Encoding", coding)])
        else:
            body_row(sender, "body_decompressed", note + "without the header", lambda _: body,
                     body=compress(body), also="no_match")
    ways = [("gzip", gzipped), ("deflate", zlib.compress), ("deflate", deflated_raw)]
    for i, sender in enumerate(BYTES):
        coding, compress = ways[i % 3 if i % 9 else 1]
        extra = [("Content-Encoding", coding)] if i % 3 == 2 or i % 2 else []
        header = "with the header" if extra else "without the header"
        body_row(sender, "body_decompressed", f"signed plain, arrives in {coding} {header}",
                 compress, extra=extra, length=R.choice(["fixed", "absent"]))


def body_truncated():
    ways = [
        ("cut at 1024 bytes", lambda body: body[:1024], "m"),
        ("half is missing", lambda body: body[:len(body) // 2], "m"),
        ("the last byte is missing", lambda body: body[:-1], "s"),
        ("cut at 4096 bytes", lambda body: body[:4096], "l"),
    ]
    for i, sender in enumerate(BYTES + FIELDS + senders("adyen")):
        for k in (i, i + 1):
            note, change, size = ways[k % 4]
            length = ["stale", "absent", "fixed"][(i + k) % 3]
            if sender.form and size == "l":
                continue
            also = None
            if sender.form and length != "stale":
                also = "no_match"
            if sender.in_body:
                also = "missing_header no_match malformed_signature"
            body_row(sender, "body_truncated", note, change, size=size, length=length, also=also)


def body_empty():
    for i, sender in enumerate(BYTES + FIELDS + senders("adyen")):
        body_row(sender, "body_empty", "the body was read before", lambda body: b"",
                 length=["stale", "fixed", "absent"][i % 3],
                 also="missing_header" if sender.in_body else None)


# -- forms that were written again -----------------------------------------------------------------

def space_as_20(body):
    return body.replace(b"+", b"%20")


def lower_hex(body):
    return re.sub(rb"%[0-9A-F]{2}", lambda m: m[0].lower(), body)


def tilde_as_7e(body):
    return body.replace(b"~", b"%7E")


def quoted(safe):
    """Encodes each field with `quote`, which leaves the characters `safe` as they are."""
    def change(body):
        quote = urllib.parse.quote
        pairs = pairs_of(body)
        return "&".join(f"{quote(k, safe)}={quote(v, safe)}" for k, v in pairs).encode()
    return change


def encoded(safe):
    """Encodes the form with `urlencode`, which leaves the characters `safe` as they are."""
    return lambda body: urllib.parse.urlencode(pairs_of(body), safe=safe).encode()


def shuffled(body):
    pairs = pairs_of(body)
    R.shuffle(pairs)
    return urllib.parse.urlencode(pairs).encode()


def sorted_form(body):
    return urllib.parse.urlencode(sorted(pairs_of(body))).encode()


def encoded_twice(body):
    pairs = [(key, urllib.parse.quote_plus(value)) for key, value in pairs_of(body)]
    return urllib.parse.urlencode(pairs).encode()


def not_encoded(body):
    return "&".join(f"{key}={value}" for key, value in pairs_of(body)).encode()


def form_reencoded():
    for sender in FORMS:
        reencoded_bytes(sender)
    for sender in FIELDS:
        body_row(sender, "form_reencoded", "encoded twice", encoded_twice, size="s")
        body_row(sender, "form_reencoded", "spaces arrive as encoded plus signs",
                 lambda body: body.replace(b"+", b"%2B"), size="s", also="no_match")
        if sender.name in ("twilio", "twilio-sha256"):
            body_row(sender, "form_reencoded", "encoded plus signs were decoded",
                     lambda body: body.replace(b"%2B", b"+"), also="no_match")
            body_row(sender, "form_reencoded", "fields decoded and joined without encoding",
                     not_encoded, also="no_match body_charset")


def reencoded_bytes(sender):
    for note, change in [
        ("%20 in place of +", space_as_20),
        ("hex digits in lower case", lower_hex),
        ("~ encoded as %7E", tilde_as_7e),
        ("* and ( ) left as they are", encoded("*()!'")),
        ("encodeURIComponent", quoted("!'()*~")),
        ("/ and : left as they are", encoded("/:")),
        ("lower case and %20", lambda body: space_as_20(lower_hex(body))),
    ]:
        body_row(sender, "form_reencoded", note, change, size="s")
    for note, write in [
        ("signed with %20", space_as_20),
        ("signed with hex digits in lower case", lower_hex),
        ("signed with %7E", tilde_as_7e),
        ("signed as PHP rawurlencode", quoted("~")),
    ]:
        def change(body):
            body = encoded("")(body)
            return body if write is tilde_as_7e else tilde_as_7e(body)
        body_row(sender, "form_reencoded", f"{note}, arrives as PHP http_build_query", change,
                 body=write(Case(sender, size="s").body))
    if sender.label != "github-form":
        body_row(sender, "form_reencoded", "signed sorted, arrives in another order", shuffled,
                 body=sorted_form(Case(sender).body))
        body_row(sender, "no_match", "form sorted on the way, 13 fields: the order is lost",
                 sorted_form, also="form_reencoded")


# -- URLs ------------------------------------------------------------------------------------------

PATH_HEADERS = ["X-Original-URI", "X-Envoy-Original-Path", "X-Forwarded-Uri", "X-Original-URL",
                "X-Rewrite-URL"]


def url_row(sender, cause, note, sent, seen, *, target=None, host=None, extra=(), also=None):
    """Adds a request that was sent to the URL `sent`, while the receiver sees the URL `seen`."""
    case = Case(sender, url=sent)
    extra = list(extra)
    if sender.name == "twilio-json":
        query = case.url[case.url.index("bodySHA256="):]
        seen = add_query(seen, query)
        if target is not None:
            target = add_query(target, query)
        extra = [(k, add_query(v, query) if k in PATH_HEADERS else v) for k, v in extra]
    host = host or urllib.parse.urlsplit(seen).netloc
    headers = replaced(case.signed(), "Host", host) + extra
    row(case, cause, note, headers, url=seen, target=target, also=also)


def url_causes():
    for i, sender in enumerate(URLS):
        path = f"/webhooks/{sender.name}"
        query = "?tenant=acme" if i % 2 and sender.name != "plivo-v2" else ""
        url_scheme(sender, i, path, query)
        url_host(sender, i, path, query)
        url_port(sender, path, query)
        url_path(sender, i, path, query)
        if sender.name != "plivo-v2":
            url_query(sender, path)
        url_several(sender, i, path)
    for note, sent, seen, extra in [
        ("prefix stripped, X-Forwarded-Prefix has it", "/api/hooks/cf", "/hooks/cf",
         [("X-Forwarded-Prefix", "/api")]),
        ("trailing slash removed", "/hooks/cf/", "/hooks/cf", []),
        ("trailing slash added", "/hooks/cf", "/hooks/cf/", []),
        ("path rewritten, X-Original-URI has it", "/public/cf", "/hooks/cf",
         [("X-Original-URI", "/public/cf")]),
    ]:
        url_row(BY_LABEL["contentful"], "url_path", note, f"https://{HOST}{sent}",
                f"https://{HOST}{seen}", extra=extra)


HTTPS_OUTSIDE = ("X-Forwarded-Proto", "https")


def url_scheme(sender, i, path, query):
    def changed(note, **how):
        url_row(sender, "url_scheme", note, f"https://{HOST}{path}{query}",
                f"http://{HOST}{path}{query}", **how)

    changed("TLS ends at the proxy, with X-Forwarded-Proto",
            extra=[HTTPS_OUTSIDE, ("X-Forwarded-For", "203.0.113.7")])
    changed("TLS ends at the proxy, without headers")
    query = ""
    changed("TLS ends at the proxy, with Forwarded",
            extra=[("Forwarded", f"for=203.0.113.7;proto=https;host={HOST}")])
    url_row(sender, "url_scheme", "the sender calls http, configured is https",
            f"http://{HOST}{path}", f"https://{HOST}{path}")
    if i % 3 == 0:
        changed("with Front-End-Https", extra=[("Front-End-Https", "on")])


def url_host(sender, i, path, query):
    def changed(note, seen, sent=HOST, query="", **how):
        url_row(sender, "url_host", note, f"https://{sent}{path}{query}",
                f"https://{seen}{path}{query}", **how)

    changed("X-Forwarded-Host has it", "app.internal", query=query,
            extra=[("X-Forwarded-Host", HOST), HTTPS_OUTSIDE])
    changed("Host has it, configured is an old tunnel", "3f2a-203-0-113-7.ngrok-free.app",
            query=query, host=HOST)
    changed("Forwarded has it", "10.0.3.17",
            extra=[("Forwarded", f"for=203.0.113.7;host={HOST};proto=https")])
    if i % 2 == 0:
        changed("www. is missing", "example.com", sent="www.example.com")
    else:
        changed("www. is surplus", "www.example.com", sent="example.com")
    if i % 3 == 0:
        changed("X-Forwarded-Host has a list", "lb.internal",
                extra=[("X-Forwarded-Host", f"{HOST}, lb.internal"),
                       ("X-Forwarded-Proto", "https, http")])


def url_port(sender, path, query):
    def changed(note, sent, seen, query="", **how):
        url_row(sender, "url_port", note, f"https://{HOST}{sent}{path}{query}",
                f"https://{HOST}{seen}{path}{query}", **how)

    # Twilio signs with either port, so that a default port never matters.
    twilio = sender.name.startswith("twilio")
    if not twilio:
        changed("internal port in the configured URL", "", ":8080", query, host=HOST)
    changed("Host has the port", ":8443", "", query, host=f"{HOST}:8443")
    changed("X-Forwarded-Port has it", ":8443", "",
            extra=[("X-Forwarded-Port", "8443"), HTTPS_OUTSIDE])
    if not twilio:
        changed("internal port 3000, also in Host", "", ":3000")
        changed("the sender signs :443", ":443", "")
        changed(":443 is surplus", "", ":443")


def url_path(sender, i, path, query):
    def changed(note, sent, seen, query=query, **how):
        url_row(sender, "url_path", note, f"https://{HOST}{sent}{query}",
                f"https://{HOST}{seen}{query}", **how)

    changed("prefix stripped, X-Forwarded-Prefix has it", f"/api{path}", path,
            extra=[("X-Forwarded-Prefix", "/api")])
    changed("trailing slash removed", f"{path}/", path)
    changed("trailing slash added", path, f"{path}/")
    changed("the request target has the whole path", f"/api/v2{path}", path,
            target=f"/api/v2{path}{query}")
    header = PATH_HEADERS[i % 5]
    changed(f"path rewritten, {header} has it", "/public/in", path,
            extra=[(header, f"/public/in{query}")])
    changed("stage of an API gateway is surplus", path, f"/prod{path}", query="")


def url_query(sender, path):
    def changed(note, sent, seen, **how):
        url_row(sender, "url_query", note, f"https://{HOST}{path}{sent}",
                f"https://{HOST}{path}{seen}", **how)

    both = "?tenant=acme&env=live"
    changed("dropped from the target; the configured URL has it", both, both, target=path)
    changed("a parameter added on the way", "", "?utm_source=cdn")
    if sender.name != "twilio-json":
        changed("two parameters sorted", both, "?env=live&tenant=acme")
        changed("%20 became +", "?name=acme%20shop", "?name=acme+shop")
        changed("+ became %20", "?name=acme+shop", "?name=acme%20shop")
        changed("hex digits in lower case", "?city=K%C3%B6ln", "?city=K%c3%b6ln")
        changed("X-Original-URI has the dropped query", "?token=abc123", "",
                extra=[("X-Original-URI", f"{path}?token=abc123")])
        changed("empty parameter gets =", "?test", "?test=")
    changed("a parameter appended to others", "?tenant=acme", "?tenant=acme&_route=hooks",
            also="no_match")


def url_several(sender, i, path):
    """Adds requests with several wrong parts of the URL, or whose right URL is in no header."""
    sent = f"https://{HOST}{path}"
    if i % 2 == 0:
        url_row(sender, "url_scheme", "scheme and internal port, with X-Forwarded-Proto", sent,
                f"http://{HOST}:8080{path}", host=HOST, extra=[HTTPS_OUTSIDE], also="url_port")
        url_row(sender, "url_host", "scheme, host and port, with X-Forwarded-*", sent,
                f"http://app:8080{path}",
                extra=[HTTPS_OUTSIDE, ("X-Forwarded-Host", HOST), ("X-Forwarded-Port", "443")],
                also="url_scheme url_port")
    url_row(sender, "no_match", "another host, in no header", sent, f"https://app.internal{path}",
            also="url_host")


# -- timestamps ------------------------------------------------------------------------------------

def timestamps():
    for sender in TIMED:
        timestamp_row(sender, "timestamp_old", "one minute over the window", -sender.tol - 60)
        timestamp_row(sender, "timestamp_old", "a replay of three days ago", -3 * 86400)
        timestamp_row(sender, "timestamp_future", "the clock is an hour behind", 3600)
        ahead = 60 if sender.name == "linear" else sender.tol
        timestamp_row(sender, "timestamp_future", "just over the window", ahead + 40)
        if sender.name in ("stripe", "slack", "paddle", "box", "zendesk"):
            timestamp_row(sender, "timestamp_future", "a time zone of two hours", 7200)
        timestamp_units(sender)


def timestamp_row(sender, cause, note, offset):
    now = clock()
    case = Case(sender, now=now, time=now + offset)
    row(case, cause, note, case.signed())


def timestamp_units(sender):
    seconds = ("seconds", str)
    milliseconds = ("milliseconds", lambda t: str(t * 1000))
    units = {
        "s": [
            ("milliseconds", lambda t: str(t * 1000 + 123)),
            ("RFC 3339", rfc3339),
            ("microseconds", lambda t: str(t * 10**6 + 5)),
            ("a fraction", lambda t: f"{t}.482"),
        ],
        "ms": [
            seconds,
            ("RFC 3339", lambda t: rfc3339(t, ".123")),
            ("microseconds", lambda t: str(t * 10**6)),
        ],
        "rfc3339": [seconds, milliseconds],
        "rfc3339-fraction": [seconds, milliseconds],
    }[sender.unit]
    for note, write in units:
        case = Case(sender)
        if sender.ts == "body":
            if note == "RFC 3339":
                continue
            case.data["webhookTimestamp"] = int(write(case.time))
            case.write()
        else:
            case.ts = write(case.time)
        row(case, "timestamp_unit", f"the sender signs and sends {note}", case.signed(),
            also="malformed_signature" if note == "a fraction" else None)
    if sender.ts != "body":
        case = Case(sender)
        text = case.bare()
        if sender.unit in ("s", "rfc3339"):
            note, write = milliseconds if sender.unit == "s" else seconds
            case.ts = write(case.time)
            row(case, "timestamp_unit", f"signed in the right unit, but sent in {note}",
                case.headers(sender.value(case, text)))


# -- requests without a cause that can be found ----------------------------------------------------

def no_match():
    for sender in SENDERS:
        case = Case(sender)
        headers = case.signed()
        row(case, "no_match", "another secret of the same form", headers, secret=sender.secret())
    for i, sender in enumerate(BYTES + FIELDS):
        body_row(sender, "no_match", "a number in the body changed", number_changed,
                 length="fixed")
        if sender in JSONS and i % 2:
            body_row(sender, "no_match", "a member added by a middleware",
                     lambda body: member_added(body, sender.style))
    for sender in HEADERS:
        if sender.id_signed:
            case = Case(sender)
            row(case, "no_match", "the ID header replaced by a proxy",
                replaced(case.signed(), sender.id, uuid()))
    for sender in senders("github shopify stripe square svix"):
        case = Case(sender)
        value = sender.value(case, sender.encode(raw(32)))
        row(case, "no_match", "a random signature", case.headers(value))
    lost_in_json()


def number_changed(body):
    numbers = list(re.finditer(rb"\d{3,}", body))
    inside = [number for number in numbers if number.start() < len(body) - 4]
    number = R.choice(inside or numbers)
    return body[:number.start()] + b"%d" % (int(number[0]) + 1) + body[number.end():]


def member_added(body, style):
    value = json.loads(body)
    if isinstance(value, list):
        value[0]["receivedAt"] = 1
    else:
        value["receivedAt"] = rfc3339(NOW)
    return STYLES[style](value).encode()


def lost_in_json():
    """Adds requests whose body was parsed and written, and lost part of the signed content."""
    def changed(sender, note, change, **how):
        body_row(sender, "no_match", note, change, also="body_reserialized", **how)

    for sender in senders("github mux zoom vercel linear square"):
        changed(sender, "sorted on the way: the order of members is lost",
                lambda body: STYLES["jssorted"](json.loads(body)).encode(), size="m")
    for sender in senders("generic-hex gitea twitch"):
        value = sender.make("uni", "m", NOW)
        value.update(amount=20.0, rate=1.10)
        text = STYLES[sender.style](value)
        body = text.replace("1.1,", "1.10,").replace("1.1}", "1.10}").encode()
        changed(sender, "20.0 and 1.10 became 20 and 1.1",
                lambda body: body.replace(b"20.0", b"20").replace(b"1.10", b"1.1"), body=body)
    for sender in senders("github stripe mux"):
        value = sender.make("uni", "s", NOW)
        value["big"] = 2**53 + 1
        changed(sender, "an integer above 2^53 was rounded",
                lambda body: body.replace(b"%d" % (2**53 + 1), b"%d" % 2**53), data=value)
    for sender in senders("lemonsqueezy mautic woocommerce"):
        value = sender.make("uni", "m", NOW)
        value["meta_data"] = {}
        changed(sender, "{} became [] in PHP", lambda body: body.replace(b"{}", b"[]"), data=value)


# -- the sample ------------------------------------------------------------------------------------

def every(values, parts):
    """Returns about this many of the values, evenly spread."""
    return values[::max(1, len(values) // parts)]


def sample(rows):
    """Returns some rows of each cause, of at least 10 presets if it has them. Groups stay whole."""
    groups = list(dict.fromkeys(line["group"] for line in rows if "group" in line))
    groups = every(groups, 10)
    kept = [line for line in rows if line.get("group") in groups]
    for cause in dict.fromkeys(line["cause"] for line in rows):
        single = [line for line in rows if line["cause"] == cause and "group" not in line]
        chosen = every(single, 20)[:24]
        presets = {line["provider"] for line in kept + chosen if line["cause"] == cause}
        for line in single:
            if len(presets) < 10 and line["provider"] not in presets:
                presets.add(line["provider"])
                chosen.append(line)
        kept += chosen
    names = {line["name"] for line in kept}
    return [line for line in rows if line["name"] in names]


for cause in (valid, missing_header, other_sender, malformed_signature, encoding_mismatch,
              secret_whitespace, secret_quotes, secret_prefix, secret_encoding, secret_kind,
              body_reserialized, body_final_newline, body_line_endings, body_bom, body_charset,
              body_decompressed, body_truncated, body_empty, form_reencoded, url_causes,
              timestamps, signature_truncated, signature_other_body, no_match):
    cause()

assert len({line["name"] for line in ROWS}) == len(ROWS)
printed = ROWS if "--all" in sys.argv[1:] else sample(ROWS)
sys.stdout.write("[\n" + ",\n".join(json.dumps(line) for line in printed) + "\n]\n")
