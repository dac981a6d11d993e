// Standard Webhooks, and senders that sign as it says: base64 over `{id}.{timestamp}.{body}`.

import {
  ACCEPTED,
  BASE64,
  HEX,
  HOST,
  SECONDS,
  SECRET,
  SIGNED,
  THIRD_PARTY,
  WHSEC,
  hmac,
  post,
} from "../request.mjs";

const EVENT = '{"id":"evt_1","type":"invoice.paid","data":{"currency":"EUR","note":"grüße"}}';

// The three headers, whose names begin with `prefix`.
function headers(body, prefix = "webhook", key = SECRET) {
  const id = "msg_1";
  return {
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(SECONDS),
    [`${prefix}-signature`]: "v1," + hmac("base64", `${id}.${SECONDS}.${body}`, key),
  };
}

// A message signed here, and how the package verifies it.
const message = (accepts, body = EVENT, prefix = "webhook") =>
  post(headers(body, prefix), body, { secret: WHSEC, accepts });

// A message that the package signs.
function signed(webhook, prefix) {
  const signature = webhook.sign("msg_1", new Date(SECONDS * 1000), EVENT);
  return post({ ...headers(EVENT, prefix), [`${prefix}-signature`]: signature }, EVENT, {
    secret: WHSEC,
    accepts: ({ body, headers }) => webhook.verify(body, headers),
  });
}

// Clients that a generator made for several senders.
const unwrapped = (client, body) =>
  message(({ body, headers }) => client.webhooks.unwrap(body, { headers, key: WHSEC }), body);

// The secret's text is the key. The package expects its base64, as in Whop's own templates.
function whop({ default: Client }) {
  const secret = "ws_" + HEX;
  const client = new Client({ apiKey: "none", webhookKey: btoa(secret) });
  return post(headers(EVENT, "webhook", secret), EVENT, {
    secret,
    accepts: ({ body, headers }) => client.webhooks.unwrap(body, { headers }),
  });
}

const clerk = ({ verifyWebhook }) =>
  message(
    ({ body, headers }) =>
      verifyWebhook(new Request(HOST, { method: "POST", headers, body }), {
        signingSecret: WHSEC,
      }),
    '{"data":{"id":"user_1","object":"user","first_name":"EUR grüße"},"object":"event","type":"user.created"}',
    "svix",
  );

const resend = ({ Resend }) =>
  message(
    ({ body, headers }) =>
      new Resend("none").webhooks.verify({
        payload: body,
        webhookSecret: WHSEC,
        headers: {
          id: headers["svix-id"],
          timestamp: headers["svix-timestamp"],
          signature: headers["svix-signature"],
        },
      }),
    '{"type":"email.sent","created_at":"2026-11-28T09:00:00.000Z","data":{"subject":"EUR grüße"}}',
    "svix",
  );

const replicate = ({ validateWebhook }) =>
  message(
    ({ body, headers }) => validateWebhook({ headers, body }, WHSEC),
    '{"id":"ufawqhfynnddngldkgtslldrkq","status":"succeeded","output":"EUR grüße"}',
  );

const lithic = ({ default: Lithic }) =>
  message(
    ({ body, headers }) => new Lithic({ apiKey: "none" }).webhooks.parse(body, { headers, secret: WHSEC }),
    '{"event_type":"card.created","card_token":"00000000-0000-0000-0000-000000000001","note":"EUR grüße"}',
  );

const anthropic = ({ default: Anthropic }) =>
  unwrapped(
    new Anthropic({ apiKey: "none" }).beta,
    '{"type":"event","id":"wevt_1","data":{"type":"session.status_idled","id":"sesn_1","note":"EUR grüße"}}',
  );

const liveblocks = ({ WebhookHandler }) =>
  message(
    ({ body, headers }) => new WebhookHandler(WHSEC).verifyRequest({ headers, rawBody: body }),
    '{"type":"storageUpdated","data":{"projectId":"p","roomId":"EUR-grüße","updatedAt":"2026-11-28T09:00:00.000Z"}}',
  );

const privy = ({ PrivyClient }) => {
  const client = new PrivyClient({
    appId: "cltest0000000000000000000",
    appSecret: "none",
    webhookSigningSecret: WHSEC,
  });
  return message(
    ({ body, headers }) => client.webhooks().verify({ payload: body, headers }),
    '{"type":"user.created","user":{"id":"did:privy:1","note":"EUR grüße"}}',
    "svix",
  );
};

// The package tries two keys: the decoded base64 of the secret, and, as for secrets made before
// September 2026, the bytes of the whole secret.
const polar =
  (key) =>
  ({ webhooks }) => {
    const body =
      '{"type":"order.created","timestamp":"2026-11-28T09:00:00Z","data":{"id":"1dbfc517","note":"EUR grüße"}}';
    return post(headers(body, "webhook", key), body, {
      secret: WHSEC,
      accepts: ({ body, headers }) => webhooks.validateEvent(body, headers, WHSEC),
    });
  };

// The secret has no prefix, and the headers have other names.
const finch = ({ default: Finch }) => {
  const body =
    '{"company_id":"c","account_id":"a","event_type":"account.updated","data":{"note":"EUR grüße"}}';
  const { "finch-id": id, ...others } = headers(body, "finch");
  return post({ "finch-event-id": id, ...others }, body, {
    secret: BASE64,
    accepts: ({ body, headers }) => new Finch({ accessToken: "none" }).webhooks.unwrap(body, headers, BASE64),
  });
};

// The whole text is the key.
const imagekit = ({ default: ImageKit }) => {
  const { webhooks } = new ImageKit({ privateKey: "none" });
  return post(headers(EVENT, "webhook", WHSEC), EVENT, {
    secret: WHSEC,
    accepts: ({ body, headers }) => webhooks.unwrap(body, { headers, key: WHSEC }),
  });
};

const fathom = ({ Fathom }) => message(({ body, headers }) => Fathom.verifyWebhook(WHSEC, headers, body));

// Supabase shows the secret as `v1,whsec_…`; the preset takes it without `v1,`. The package is the
// one of Supabase's documentation.
const supabase = ({ Webhook }) =>
  message(
    ({ body, headers }) => new Webhook(BASE64).verify(body, headers),
    '{"metadata":{"uuid":"8b1f","name":"before-user-created"},"user":{"id":"ff7fc9ae","note":"EUR grüße"}}',
  );

export default [
  ["standard-webhooks", "standardwebhooks", SIGNED, ({ Webhook }) => signed(new Webhook(WHSEC), "webhook")],
  ["svix", "svix", SIGNED, ({ Webhook }) => signed(new Webhook(WHSEC), "svix")],
  ["clerk", "@clerk/backend/webhooks", ACCEPTED, clerk],
  ["resend", "resend", ACCEPTED, resend],
  ["replicate", "replicate", ACCEPTED, replicate],
  ["lithic", "lithic", ACCEPTED, lithic],
  ["anthropic", "@anthropic-ai/sdk", ACCEPTED, anthropic],
  [
    "dodopayments",
    "dodopayments",
    ACCEPTED,
    ({ default: Client }) => unwrapped(new Client({ bearerToken: "none" })),
  ],
  ["liveblocks", "@liveblocks/node", ACCEPTED, liveblocks],
  ["polar", "@polar-sh/sdk/2026-10", ACCEPTED, polar(SECRET)],
  ["polar-legacy", "@polar-sh/sdk/2026-10", ACCEPTED, polar(WHSEC)],
  ["whop", "@whop/sdk", ACCEPTED, whop],
  ["surge", "@surgeapi/node", ACCEPTED, ({ default: Client }) => unwrapped(new Client({ apiKey: "none" }))],
  ["linq", "@linqapp/sdk", ACCEPTED, ({ default: Client }) => unwrapped(new Client({ apiKey: "none" }))],
  ["privy", "@privy-io/node", ACCEPTED, privy],
  ["imagekit-standard", "@imagekit/nodejs", ACCEPTED, imagekit],
  ["fathom", "fathom-typescript", ACCEPTED, fathom],
  ["finch", "@tryfinch/finch-api", ACCEPTED, finch],
  ["supabase-auth", "standardwebhooks", THIRD_PARTY, supabase],
];
