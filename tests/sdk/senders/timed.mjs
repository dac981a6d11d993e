// Senders that sign the body and the time.

import {
  ACCEPTED,
  HOST,
  NOW,
  SECONDS,
  SECRET,
  SIGNED,
  THIRD_PARTY,
  WHSEC,
  digest,
  hmac,
  post,
} from "../request.mjs";

function stripe({ default: Stripe }) {
  const body = '{"id":"evt_1","type":"charge.succeeded","data":{"currency":"EUR","note":"grüße"}}';
  const { webhooks } = new Stripe("none");
  const header = webhooks.generateTestHeaderString({ payload: body, secret: WHSEC });
  return post({ "Stripe-Signature": header }, body, {
    secret: WHSEC,
    accepts: ({ body, headers }) => webhooks.constructEvent(body, headers["Stripe-Signature"], WHSEC),
  });
}

async function sanity({ encodeSignatureHeader, isValidSignature, SIGNATURE_HEADER_NAME }) {
  const body = '{"_id":"d1","_type":"post","currency":"EUR","note":"grüße"}';
  const headers = {
    [SIGNATURE_HEADER_NAME]: await encodeSignatureHeader(body, NOW, SECRET),
    "idempotency-key": "k1",
  };
  return post(headers, body, {
    accepts: ({ body, headers }) => isValidSignature(body, headers[SIGNATURE_HEADER_NAME], SECRET),
  });
}

async function workos({ WorkOS }) {
  // The package signs JSON.stringify of the payload, so that is the body.
  const payload = { id: "wh_1", event: "user.created", data: { currency: "EUR", note: "grüße" } };
  const { webhooks } = new WorkOS("none");
  const header = `t=${NOW}, v1=${await webhooks.computeSignature(NOW, payload, SECRET)}`;
  return post({ "WorkOS-Signature": header }, JSON.stringify(payload), {
    accepts: ({ body, headers }) =>
      webhooks.verifyHeader({
        payload: JSON.parse(body),
        sigHeader: headers["WorkOS-Signature"],
        secret: SECRET,
      }),
  });
}

function mux({ default: Mux }) {
  const body = '{"type":"video.asset.ready","id":"a1","data":{"currency":"EUR","note":"grüße"}}';
  const { webhooks } = new Mux({ tokenId: "none", tokenSecret: "none" });
  const header = `t=${SECONDS},v1=${hmac("hex", `${SECONDS}.${body}`)}`;
  return post({ "Mux-Signature": header }, body, {
    accepts: ({ body, headers }) => webhooks.unwrap(body, headers, SECRET),
  });
}

function elevenlabs({ ElevenLabsClient }) {
  const body = '{"type":"post_call_transcription","event_timestamp":1790000000,"data":{"note":"EUR grüße"}}';
  const { webhooks } = new ElevenLabsClient({ apiKey: "none" });
  const header = `t=${SECONDS},v0=${hmac("hex", `${SECONDS}.${body}`)}`;
  return post({ "ElevenLabs-Signature": header }, body, {
    accepts: ({ body, headers }) => webhooks.constructEvent(body, headers["ElevenLabs-Signature"], SECRET),
  });
}

// Coinbase sends through Hook0, whose client this is. `v1` covers the headers that `h` names.
function coinbase({ default: { verifyWebhookSignature } }) {
  const body = '{"eventID":"e1","eventType":"payments.transfers.completed","note":"EUR grüße"}';
  const signed = { "content-type": "application/json", "x-event-id": "1b0b" };
  const names = Object.keys(signed).join(" ");
  const values = Object.values(signed).join(".");
  const v0 = hmac("hex", `${SECONDS}.${body}`);
  const v1 = hmac("hex", `${SECONDS}.${names}.${values}.${body}`);
  const header = `t=${SECONDS},v0=${v0},h=${names},v1=${v1}`;
  return post({ "X-Event-Id": "1b0b", "X-Hook0-Signature": header }, body, {
    accepts: ({ body, headers }) =>
      verifyWebhookSignature(header, Buffer.from(body), new Headers(headers), SECRET, 300),
  });
}

// The package has no function that verifies, but a server of its own.
async function zoom({ MeetingsS2SAuthClient }) {
  const body = `{"event":"meeting.started","event_ts":${NOW},"payload":{"account_id":"a","object":{"topic":"EUR grüße"}}}`;
  const port = 18431;
  const client = new MeetingsS2SAuthClient({
    accountId: "none",
    clientId: "none",
    clientSecret: "none",
    webhooksSecretToken: SECRET,
    port,
  });
  client.webEventConsumer.event("meeting.started", () => {});
  await client.start();
  const headers = {
    "x-zm-request-timestamp": String(SECONDS),
    "x-zm-signature": "v0=" + hmac("hex", `v0:${SECONDS}:${body}`),
  };
  return post(headers, body, {
    accepts: async (request) => (await fetch(`http://127.0.0.1:${port}/zoom/events`, request)).ok,
  });
}

function twitch({ EventSubHttpListener }) {
  const body =
    '{"subscription":{"id":"s1","type":"stream.offline"},"event":{"broadcaster_user_name":"EUR grüße"}}';
  const id = "e76c6bd4";
  const timestamp = new Date(NOW).toISOString();
  const headers = {
    "Twitch-Eventsub-Message-Id": id,
    "Twitch-Eventsub-Message-Timestamp": timestamp,
    "Twitch-Eventsub-Message-Type": "notification",
    "Twitch-Eventsub-Subscription-Type": "stream.offline",
    "Twitch-Eventsub-Message-Signature": "sha256=" + hmac("hex", id + timestamp + body),
  };
  const listener = Object.create(EventSubHttpListener.prototype, { _secret: { value: SECRET } });
  return post(headers, body, {
    accepts: ({ body, headers }) =>
      listener._verifyData(id, timestamp, body, headers["Twitch-Eventsub-Message-Signature"]),
  });
}

function webflow({ WebflowClient }) {
  const body = '{"triggerType":"form_submission","payload":{"id":"6321ca84","name":"EUR grüße"}}';
  const { webhooks } = new WebflowClient({ accessToken: "none" });
  const headers = {
    "x-webflow-timestamp": String(NOW),
    "x-webflow-signature": hmac("hex", `${NOW}:${body}`),
  };
  return post(headers, body, {
    accepts: ({ body, headers }) => webhooks.verifySignature({ headers, body, secret: SECRET }),
  });
}

async function retell({ default: Retell }) {
  const body = '{"event":"call_ended","call":{"call_id":"c1","note":"EUR grüße"}}';
  return post({ "X-Retell-Signature": await Retell.sign(body, SECRET) }, body, {
    accepts: ({ body, headers }) => Retell.verify(body, SECRET, headers["X-Retell-Signature"]),
  });
}

function cashfree({ Cashfree, CFEnvironment }) {
  const body =
    '{"data":{"order":{"order_id":"o1","order_currency":"EUR","note":"grüße"},"payment":{"cf_payment_id":1}},' +
    '"event_time":"2026-11-28T09:00:00+05:30","type":"PAYMENT_SUCCESS_WEBHOOK"}';
  const client = new Cashfree(CFEnvironment.SANDBOX, "none", SECRET);
  const headers = {
    "x-webhook-timestamp": String(NOW),
    "x-webhook-signature": hmac("base64", NOW + body),
  };
  return post(headers, body, {
    accepts: ({ body, headers }) =>
      client.PGVerifyWebhookSignature(headers["x-webhook-signature"], body, headers["x-webhook-timestamp"]),
  });
}

// A digest of the body, the time and the secret, not an HMAC. Accounts choose SHA-1 or SHA-256.
const cloudinary =
  (algorithm) =>
  ({ default: { v2: cloudinary } }) => {
    const body =
      '{"notification_type":"upload","request_id":"3cd4b1","public_id":"EUR-grüße","version":1795856400}';
    const headers = {
      "X-Cld-Timestamp": String(SECONDS),
      "X-Cld-Signature": digest("hex", body + SECONDS + SECRET, algorithm),
    };
    return post(headers, body, {
      accepts: ({ body, headers }) => {
        cloudinary.config({ api_secret: SECRET, signature_algorithm: algorithm });
        return cloudinary.utils.verifyNotificationSignature(body, SECONDS, headers["X-Cld-Signature"]);
      },
    });
  };

// The package has no function that verifies, but a handler of requests. The body is in the
// canonical form of RFC 8785: keys in order, no blanks. The prefix of the key is not a part of it.
async function inngest({ Inngest }) {
  const { serve } = await import("inngest/edge");
  const key = digest("hex", SECRET);
  const body =
    '{"ctx":{"attempt":0,"run_id":"r","stack":{"current":0,"stack":[]}},"event":{"data":{"note":"EUR grüße"},"name":"a/b"},' +
    '"events":[{"data":{},"name":"a/b"}],"steps":{},"use_api":false,"version":1}';
  const quiet = () => {};
  const logger = { info: quiet, warn: quiet, error: quiet, debug: quiet };
  const secret = `signkey-prod-${key}`;
  const client = new Inngest({ id: "app", isDev: false, signingKey: secret, eventKey: "none", logger });
  const ran = client.createFunction({ id: "f", triggers: [{ event: "a/b" }] }, async () => "done");
  const handle = serve({ client, functions: [ran] });
  const header = `t=${SECONDS}&s=${hmac("hex", body + SECONDS, key)}`;
  const accepts = async ({ body, headers }) => {
    const received = { method: "POST", headers: { ...headers, Host: "hooks.example.com" }, body };
    return (await handle(new Request(`${HOST}/hook?fnId=app-f&stepId=step`, received))).ok;
  };
  return post({ "X-Inngest-Signature": header }, body, {
    secret: key,
    accepts,
  });
}

function sinch({ calculateWebhookSignature, computeSignedData, validateWebhookSignature }) {
  const body =
    '{"app_id":"01E","accepted_time":"2026-11-28T09:00:00.813615Z","message":{"id":"01FJ","text":"EUR grüße"}}';
  const nonce = "01FJA8B4A7BM43YGWSG9GBV067";
  const headers = {
    "x-sinch-webhook-signature": calculateWebhookSignature(
      computeSignedData(body, nonce, String(SECONDS)),
      SECRET,
    ),
    "x-sinch-webhook-signature-nonce": nonce,
    "x-sinch-webhook-signature-timestamp": String(SECONDS),
    "x-sinch-webhook-signature-algorithm": "HmacSHA256",
  };
  return post(headers, body, {
    accepts: ({ body, headers }) => validateWebhookSignature(SECRET, headers, body),
  });
}

// The timestamp has no zone.
function orb({ default: Orb }) {
  const body =
    '{"id":"evt_1","created_at":"2026-11-28T09:00:00Z","type":"invoice.issued","invoice":{"currency":"EUR","note":"grüße"}}';
  const timestamp = new Date(NOW).toISOString().replace("Z", "");
  const { webhooks } = new Orb({ apiKey: "none" });
  const headers = {
    "X-Orb-Timestamp": timestamp,
    "X-Orb-Signature": "v1=" + hmac("hex", `v1:${timestamp}:${body}`),
  };
  return post(headers, body, { accepts: ({ body, headers }) => webhooks.unwrap(body, headers, SECRET) });
}

function metronome({ default: Metronome }) {
  const body =
    '{"id":"n1","type":"alerts.low_remaining_credit_balance_reached","properties":{"note":"EUR grüße"}}';
  const date = new Date(NOW).toUTCString();
  const { webhooks } = new Metronome({ bearerToken: "none" });
  const headers = {
    "X-Metronome-Date": date,
    "Metronome-Webhook-Signature": hmac("hex", `${date}\n${body}`),
  };
  return post(headers, body, { accepts: ({ body, headers }) => webhooks.unwrap(body, headers, SECRET) });
}

// The signature of the other mode, live or test, is empty.
function paymongo({ default: Webhook }) {
  const body =
    '{"data":{"id":"evt_41wa","type":"event","attributes":{"type":"source.chargeable","livemode":false,' +
    '"data":{"id":"src_wZ8p","attributes":{"currency":"EUR","note":"grüße"}}}}}';
  const header = `t=${SECONDS},te=${hmac("hex", `${SECONDS}.${body}`)},li=`;
  return post({ "Paymongo-Signature": header }, body, {
    accepts: ({ body, headers }) =>
      new Webhook({}).constructEvent({
        payload: body,
        signatureHeader: headers["Paymongo-Signature"],
        webhookSecretKey: SECRET,
      }),
  });
}

// The whole text of the secret is the key.
function imagekit({ default: ImageKit }) {
  const body = '{"id":"58e6d24d","type":"video.transformation.accepted","data":{"note":"EUR grüße"}}';
  const client = new ImageKit({ publicKey: "none", privateKey: "none", urlEndpoint: HOST });
  const header = `t=${NOW},v1=${hmac("hex", `${NOW}.${body}`, WHSEC)}`;
  return post({ "x-ik-signature": header }, body, {
    secret: WHSEC,
    accepts: ({ body, headers }) => client.verifyWebhookEvent(body, headers["x-ik-signature"], WHSEC),
  });
}

function hygraph({ generateWebhookSignature, verifyWebhookSignature }) {
  const body = '{"operation":"publish","data":{"__typename":"Post","id":"p1","title":"EUR grüße"}}';
  const header = generateWebhookSignature({ rawPayload: body, secret: SECRET });
  return post({ "gcms-signature": header }, body, {
    accepts: ({ body, headers }) =>
      verifyWebhookSignature({ rawPayload: body, signature: headers["gcms-signature"], secret: SECRET }),
  });
}

// `verifyHook` does the same, but only while the package's own server runs.
function crisp({ Crisp }) {
  const body =
    '{"website_id":"42286ab3","event":"message:send","data":{"content":"EUR grüße","fingerprint":1}}';
  const headers = {
    "X-Crisp-Request-Timestamp": String(NOW),
    "X-Crisp-Signature": hmac("hex", `[${NOW};${body}]`),
  };
  return post(headers, body, {
    accepts: ({ body, headers }) =>
      new Crisp().verifyWidget(SECRET, JSON.parse(body), NOW, headers["X-Crisp-Signature"]),
  });
}

function readme({ default: { verifyWebhook } }) {
  const body = '{"email":"EUR@example.com"}';
  const header = `t=${NOW},v0=${hmac("hex", `${NOW}.${body}`)}`;
  return post({ "readme-signature": header }, body, {
    accepts: ({ body, headers }) => verifyWebhook(JSON.parse(body), headers["readme-signature"], SECRET),
  });
}

function spree({ verifyWebhookSignature }) {
  const body =
    '{"id":"550e8400","name":"order.completed","data":{"id":"or_1","currency":"EUR","note":"grüße"}}';
  const headers = {
    "X-Spree-Webhook-Timestamp": String(SECONDS),
    "X-Spree-Webhook-Signature": hmac("hex", `${SECONDS}.${body}`),
    "X-Spree-Webhook-Event": "order.completed",
  };
  return post(headers, body, {
    accepts: ({ body, headers }) =>
      verifyWebhookSignature(body, headers["X-Spree-Webhook-Signature"], String(SECONDS), SECRET),
  });
}

export default [
  ["stripe", "stripe", SIGNED, stripe],
  ["sanity", "@sanity/webhook", SIGNED, sanity],
  ["workos", "@workos-inc/node", SIGNED, workos],
  ["mux", "@mux/mux-node", ACCEPTED, mux],
  ["elevenlabs", "@elevenlabs/elevenlabs-js", ACCEPTED, elevenlabs],
  ["coinbase-cdp", "hook0-client/dist/lib.js", THIRD_PARTY, coinbase],
  ["zoom", "@zoom/rivet/meetings", ACCEPTED, zoom],
  ["twitch", "@twurple/eventsub-http", THIRD_PARTY, twitch],
  ["webflow", "webflow-api", ACCEPTED, webflow],
  ["retell", "retell-sdk", SIGNED, retell],
  ["cashfree", "cashfree-pg", ACCEPTED, cashfree],
  ["cloudinary", "cloudinary", ACCEPTED, cloudinary("sha1")],
  ["cloudinary-sha256", "cloudinary", ACCEPTED, cloudinary("sha256")],
  ["inngest", "inngest", ACCEPTED, inngest],
  ["sinch", "@sinch/sdk-core", SIGNED, sinch],
  ["orb", "orb-billing", ACCEPTED, orb],
  ["metronome", "@metronome/sdk", ACCEPTED, metronome],
  ["paymongo", "paymongo-node/src/services/Webhook.js", ACCEPTED, paymongo],
  ["imagekit", "imagekit", ACCEPTED, imagekit],
  ["hygraph", "@hygraph/utils", SIGNED, hygraph],
  ["crisp", "crisp-api", ACCEPTED, crisp],
  ["readme", "readmeio", ACCEPTED, readme],
  ["spree", "@spree/sdk/webhooks", ACCEPTED, spree],
];
