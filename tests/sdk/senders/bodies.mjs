// Senders that sign the body and nothing else.

import { ACCEPTED, HEX, SECRET, SIGNED, hmac, lower, post } from "../request.mjs";

// A body whose signature is made here, alone in a header.
const hashed = (name, signature, body, accepts) =>
  post({ [name]: signature }, body, {
    accepts: ({ body, headers }) => accepts(body, headers[name]),
  });

async function github({ sign, verify }) {
  const body = '{"action":"opened","issue":{"title":"EUR grüße"}}';
  const headers = {
    "X-GitHub-Event": "issues",
    "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "X-Hub-Signature-256": await sign(SECRET, body),
  };
  return post(headers, body, {
    accepts: ({ body, headers }) => verify(SECRET, body, headers["X-Hub-Signature-256"]),
  });
}

async function shopify({ shopifyApi }) {
  await import("@shopify/shopify-api/adapters/node");
  const { createSHA256HMAC } = await import("@shopify/shopify-api/runtime");
  const body = '{"id":1,"currency":"EUR","note":"grüße"}';
  const headers = {
    "X-Shopify-Topic": "orders/create",
    "X-Shopify-Webhook-Id": "b54557e4",
    "X-Shopify-API-Version": "2026-01",
    "X-Shopify-Shop-Domain": "example.myshopify.com",
    "X-Shopify-Hmac-Sha256": await createSHA256HMAC(SECRET, body),
  };
  const { webhooks } = shopifyApi({
    apiKey: "none",
    apiSecretKey: SECRET,
    hostName: "hooks.example.com",
    apiVersion: "2026-01",
    isEmbeddedApp: false,
    logger: { level: 0 },
  });
  return post(headers, body, {
    accepts: async ({ body, headers }) =>
      (await webhooks.validate({ rawBody: body, rawRequest: { headers } })).valid,
  });
}

function linear({ LinearWebhookClient }) {
  const body = `{"action":"create","type":"Issue","data":{"title":"EUR grüße"},"webhookTimestamp":${Date.now()}}`;
  const headers = {
    "Linear-Delivery": "d1",
    "Linear-Event": "Issue",
    "Linear-Signature": hmac("hex", body),
  };
  const client = new LinearWebhookClient(SECRET);
  return post(headers, body, {
    accepts: ({ body, headers }) => client.verify(Buffer.from(body), headers["Linear-Signature"]),
  });
}

async function notion({ signWebhookPayload, verifyWebhookSignature }) {
  const body =
    '{"id":"367cba44","timestamp":"2026-11-28T09:00:00.000Z","type":"page.created","note":"EUR grüße"}';
  const signature = await signWebhookPayload({ body, verificationToken: SECRET });
  return post({ "X-Notion-Signature": signature }, body, {
    accepts: ({ body, headers }) =>
      verifyWebhookSignature({
        body,
        signature: headers["X-Notion-Signature"],
        verificationToken: SECRET,
      }),
  });
}

function adyenPlatform({ default: { hmacValidator } }) {
  const body = '{"type":"balancePlatform.transfer.created","data":{"currency":"EUR","note":"grüße"}}';
  const validator = new hmacValidator();
  const headers = {
    HmacSignature: validator.calculateHmac(body, HEX),
    Protocol: "HmacSHA256",
  };
  return post(headers, body, {
    secret: HEX,
    accepts: ({ body, headers }) => validator.validateHMACSignature(HEX, headers.HmacSignature, body),
  });
}

function coinbaseCommerce({ default: { Webhook } }) {
  const body = '{"id":1,"event":{"id":"24934862","type":"charge:created","data":{"note":"EUR grüße"}}}';
  const headers = { "X-CC-Webhook-Signature": Webhook.computeSignature(body, SECRET) };
  return post(headers, body, {
    accepts: ({ body, headers }) => Webhook.verifyEventBody(body, headers["X-CC-Webhook-Signature"], SECRET),
  });
}

function gocardless({ parseWithMeta }) {
  const body = '{"events":[{"id":"EV1","action":"active","note":"EUR grüße"}],"meta":{"webhook_id":"WB1"}}';
  return hashed("Webhook-Signature", hmac("hex", body), body, (body, signature) =>
    parseWithMeta(body, SECRET, signature),
  );
}

function pusher({ default: Pusher }) {
  const body = '{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"EUR-grüße"}]}';
  const client = new Pusher({ appId: "1", key: "k1", secret: SECRET, cluster: "eu" });
  const headers = { "X-Pusher-Key": "k1", "X-Pusher-Signature": hmac("hex", body) };
  return post(headers, body, {
    accepts: ({ body, headers }) => client.webhook({ headers: lower(headers), rawBody: body }).isValid(),
  });
}

function getstream({ StreamChat }) {
  const body =
    '{"type":"message.new","created_at":"2026-11-28T09:00:00.000Z","message":{"id":"m1","text":"EUR grüße"}}';
  const client = new StreamChat("key", SECRET);
  return hashed("X-Signature", hmac("hex", body), body, (body, signature) =>
    client.verifyWebhook(body, signature),
  );
}

function onfido({ WebhookEventVerifier }) {
  const body =
    '{"payload":{"resource_type":"workflow_run","action":"workflow_run.completed","object":{"id":"1",' +
    '"status":"approved","completed_at_iso8601":"2026-11-28T09:00:00Z","href":"https://api.onfido.com/EUR-grüße"}}}';
  const verifier = new WebhookEventVerifier(SECRET);
  return hashed("X-SHA2-Signature", hmac("hex", body), body, (body, signature) =>
    verifier.readPayload(body, signature),
  );
}

function modernTreasury({ default: ModernTreasury }) {
  const body =
    '{"event":"created","data":{"id":"1","object":"payment_order","currency":"EUR","note":"grüße"}}';
  const { webhooks } = new ModernTreasury({ apiKey: "none", organizationID: "none" });
  return post({ "X-Signature": webhooks.getSignature(body, { key: SECRET }) }, body, {
    accepts: ({ body, headers }) => webhooks.validateSignature(body, headers, { key: SECRET }),
  });
}

function easypost({ default: EasyPost }) {
  const body =
    '{"id":"evt_1","object":"Event","description":"tracker.updated","result":{"note":"EUR grüße"}}';
  const client = new EasyPost("none");
  return post({ "X-Hmac-Signature": "hmac-sha256-hex=" + hmac("hex", body) }, body, {
    accepts: ({ body, headers }) => client.Utils.validateWebhook(Buffer.from(body), headers, SECRET),
  });
}

function kontent({ signatureHelper }) {
  const body =
    '{"notifications":[{"data":{"system":{"id":"1","name":"EUR grüße"}},"message":{"environment_id":"e",' +
    '"object_type":"content_item","action":"published","delivery_slot":"published"}}]}';
  return post({ "X-Kontent-ai-Signature": signatureHelper.getHashFromString(body, SECRET) }, body, {
    accepts: ({ body, headers }) =>
      signatureHelper.isValidSignatureFromString(body, SECRET, headers["X-Kontent-ai-Signature"]),
  });
}

// Senders whose package takes the body, the header's value and the secret, in this order.
const checked = (name, prefix, encoding, body, accepts) =>
  hashed(name, prefix + hmac(encoding, body), body, (body, signature) => accepts(body, signature, SECRET));

const twitter = ({ default: { validateSignature } }) =>
  checked(
    "x-twitter-webhooks-signature",
    "sha256=",
    "base64",
    '{"for_user_id":"2244994945","tweet_create_events":[{"id_str":"1","text":"EUR grüße"}]}',
    (body, signature, secret) =>
      validateSignature({ "x-twitter-webhooks-signature": signature }, { consumer_secret: secret }, body),
  );

const mailersend = ({ default: { MailerSendUtils } }) =>
  checked(
    "Signature",
    "",
    "hex",
    '{"type":"activity.sent","created_at":"2026-11-28T09:00:00.000000Z","data":{"id":"62f114f8","note":"EUR grüße"}}',
    (body, signature, secret) => MailerSendUtils.verifyWebHook(Buffer.from(body), signature, secret),
  );

const mailtrap = ({ verifyWebhookSignature }) =>
  checked(
    "Mailtrap-Signature",
    "",
    "hex",
    '{"events":[{"event":"delivery","event_id":"bede7236","email":"EUR@example.com","note":"grüße"}]}',
    verifyWebhookSignature,
  );

const fingerprint = ({ isValidWebhookSignature }) =>
  checked(
    "FPJS-Event-Signature",
    "v1=",
    "hex",
    '{"requestId":"1708102555327","visitorId":"v1","tag":{"note":"EUR grüße"}}',
    (body, header, secret) => isValidWebhookSignature({ header, data: Buffer.from(body), secret }),
  );

const cronofy = ({ default: Cronofy }) =>
  checked(
    "Cronofy-HMAC-SHA256",
    "",
    "base64",
    '{"notification":{"type":"change","changes_since":"2026-11-28T09:00:00Z"},"channel":{"channel_id":"chn_EUR_grüße"}}',
    (body, hmac, secret) =>
      new Cronofy({ client_id: "none", client_secret: secret }).hmacValid({ hmac, body }),
  );

const todoist = ({ verifyWebhookSignature }) =>
  checked(
    "X-Todoist-Hmac-SHA256",
    "",
    "base64",
    '{"event_name":"item:added","user_id":"2671355","event_data":{"id":"2995104339","content":"EUR grüße"}}',
    (rawBody, signature, clientSecret) => verifyWebhookSignature({ rawBody, signature, clientSecret }),
  );

// The secret is a UUID.
function nango({ Nango }) {
  const secret = "11111111-1111-4111-8111-111111111111";
  const body =
    '{"from":"nango","type":"sync","connectionId":"c1","providerConfigKey":"EUR-grüße","success":true}';
  const client = new Nango({ secretKey: secret });
  return post({ "X-Nango-Hmac-Sha256": hmac("hex", body, secret) }, body, {
    secret,
    accepts: ({ body, headers }) => client.verifyIncomingWebhookRequest(body, headers),
  });
}

export default [
  ["github", "@octokit/webhooks-methods", SIGNED, github],
  ["shopify", "@shopify/shopify-api", SIGNED, shopify],
  ["linear", "@linear/sdk/webhooks", ACCEPTED, linear],
  ["notion", "@notionhq/client", SIGNED, notion],
  ["adyen-platform", "@adyen/api-library", SIGNED, adyenPlatform],
  ["coinbase-commerce", "coinbase-commerce-node", SIGNED, coinbaseCommerce],
  ["gocardless", "gocardless-nodejs/webhooks", ACCEPTED, gocardless],
  ["pusher", "pusher", ACCEPTED, pusher],
  ["getstream", "stream-chat", ACCEPTED, getstream],
  ["onfido", "@onfido/api", ACCEPTED, onfido],
  ["modern-treasury", "modern-treasury", SIGNED, modernTreasury],
  ["easypost", "@easypost/api", ACCEPTED, easypost],
  ["kontent-ai", "@kontent-ai/webhook-helper", SIGNED, kontent],
  ["x-twitter", "twitter-autohook", ACCEPTED, twitter],
  ["mailersend", "mailersend/lib/services/mailersend.utils.js", ACCEPTED, mailersend],
  ["mailtrap", "mailtrap", ACCEPTED, mailtrap],
  ["fingerprint", "@fingerprint/node-sdk", ACCEPTED, fingerprint],
  ["cronofy", "cronofy", ACCEPTED, cronofy],
  ["todoist", "@doist/todoist-sdk", ACCEPTED, todoist],
  ["nango", "@nangohq/node", ACCEPTED, nango],
];
