// Senders that sign the URL, the method, headers, form fields, or single fields of the body.

import {
  ACCEPTED,
  BASE64,
  HEX,
  HOST,
  NOW,
  SECONDS,
  SECRET,
  SIGNED,
  changedHeader,
  hmac,
  lower,
  post,
} from "../request.mjs";

const FORM = "application/x-www-form-urlencoded; charset=UTF-8";
const MULTIPART = "multipart/form-data; boundary=boundary";

const multipart = (fields) =>
  Object.entries(fields)
    .map(
      ([name, value]) => `--boundary\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    )
    .join("") + "--boundary--\r\n";

const hubspot =
  (version) =>
  ({ Signature }) => {
    const body = '[{"eventId":1,"subscriptionType":"deal.propertyChange","propertyValue":"EUR grüße"}]';
    const path = "/hook?portal=7";
    const options = (body) => ({ clientSecret: SECRET, requestBody: body, url: HOST + path, timestamp: NOW });
    const signature = Signature.getSignature("POST", version, options(body));
    const headers =
      version === "v3"
        ? { "X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": String(NOW) }
        : { "X-HubSpot-Signature": signature, "X-HubSpot-Signature-Version": version };
    return post(headers, body, {
      // Version 1 signs no URL.
      ...(version === "v1" ? {} : { path, public_url: `${HOST}/hook` }),
      accepts: ({ body }) =>
        Signature.isValid({ ...options(body), signature, signatureVersion: version, method: "POST" }),
    });
  };

function adyen({ default: { hmacValidator } }) {
  const item = {
    additionalData: {},
    amount: { currency: "EUR", value: 1130 },
    eventCode: "AUTHORISATION",
    eventDate: new Date(NOW).toISOString(),
    merchantAccountCode: "TestMerchant",
    merchantReference: "grüße 1",
    pspReference: "7914073381342284",
    success: "true",
  };
  const validator = new hmacValidator();
  item.additionalData.hmacSignature = validator.calculateHmac(item, HEX);
  const body = JSON.stringify({ live: "false", notificationItems: [{ NotificationRequestItem: item }] });
  return post({}, body, {
    secret: HEX,
    accepts: ({ body }) =>
      validator.validateHMAC(JSON.parse(body).notificationItems[0].NotificationRequestItem, HEX),
  });
}

// The secret must have 64 characters. The package allows 30 seconds.
function contentful({ signRequest, verifyRequest }) {
  const body = '{"sys":{"id":"e1"},"fields":{"currency":"EUR","note":"grüße"}}';
  const path = "/hook?tenant=7&name=a%20b";
  const request = (headers, body) => ({ method: "POST", path, headers: lower(headers), body });
  const { headers: topic } = post({ "X-Contentful-Topic": "ContentManagement.Entry.publish" }, body);
  return post({ ...topic, ...signRequest(HEX, request(topic, body), Date.now()) }, body, {
    secret: HEX,
    path,
    accepts: ({ body, headers }) => verifyRequest(HEX, request(headers, body)),
  });
}

// The URL with its query, the fields of the form in order, and a nonce.
function plivo({ default: { validateV3Signature } }) {
  const fields = { CallUUID: "c1", Currency: "EUR", From: "+15551234567" };
  const path = "/hook?tenant=7";
  const nonce = "12345678901234567890";
  const text = Object.entries(fields).flat().join("");
  const headers = {
    "Content-Type": FORM,
    "X-Plivo-Signature-V3": hmac("base64", `${HOST}${path}.${text}.${nonce}`),
    "X-Plivo-Signature-V3-Nonce": nonce,
  };
  return post(headers, new URLSearchParams(fields).toString(), {
    path,
    public_url: `${HOST}/hook`,
    accepts: ({ body, headers }) =>
      validateV3Signature(
        "POST",
        HOST + path,
        nonce,
        SECRET,
        headers["X-Plivo-Signature-V3"],
        Object.fromEntries(new URLSearchParams(body)),
      ),
  });
}

// The secret is the private key, and the signature names the public key.
async function braintree({ default: braintree }) {
  const gateway = new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox,
    merchantId: "none",
    publicKey: "pub",
    privateKey: SECRET,
  });
  const sample = await gateway.webhookTesting.sampleNotification("subscription_went_past_due", "EUR");
  const { bt_signature, bt_payload } = sample;
  const form = (payload) => new URLSearchParams({ bt_signature, bt_payload: payload }).toString();
  return post({ "Content-Type": FORM }, form(bt_payload), {
    accepts: ({ body }) => {
      const fields = new URLSearchParams(body);
      return gateway.webhookNotification.parse(fields.get("bt_signature"), fields.get("bt_payload"));
    },
    // The first letter of a payload is that of the XML, in base64.
    changed: (request) => ({ ...request, body: form("J" + bt_payload.slice(1)) }),
  });
}

// The JSON is a field of a form. Only the time and the type are signed.
function dropboxSign({ EventCallbackHelper, EventCallbackRequest }) {
  const [time, type] = [String(SECONDS), "signature_request_sent"];
  const event = {
    event_time: time,
    event_type: type,
    event_hash: hmac("hex", time + type),
    event_metadata: {},
  };
  const json = JSON.stringify({ event });
  return post({ "Content-Type": MULTIPART }, multipart({ json }), {
    accepts: ({ body }) =>
      EventCallbackHelper.isValid(SECRET, EventCallbackRequest.init(JSON.parse(body.match(/\{.*\}/)[0]))),
    changed: (request) => ({ ...request, body: request.body.replace(type, "signature_request_seen") }),
  });
}

// The query without the signature, in order and without separators. The body is not signed.
async function shopifyAppProxy({ shopifyApi }) {
  await import("@shopify/shopify-api/adapters/node");
  const { utils } = shopifyApi({
    apiKey: "none",
    apiSecretKey: SECRET,
    hostName: "hooks.example.com",
    apiVersion: "2026-01",
    isEmbeddedApp: false,
    logger: { level: 0 },
  });
  const query = { path_prefix: "/apps/EUR", shop: "example.myshopify.com", timestamp: String(SECONDS) };
  const text = Object.entries(query)
    .map((field) => field.join("="))
    .join("");
  const path = "/hook?" + new URLSearchParams({ ...query, signature: hmac("hex", text) });
  return post({}, "{}", {
    path,
    accepts: ({ path }) => utils.validateHmac(new URL(path, HOST).searchParams, { signator: "appProxy" }),
    changed: (request) => ({ ...request, path: path.replace("EUR", "EUS") }),
  });
}

// A form of two fields: the JSON, and its signature.
function transloadit({ verifyWebhookSignature }) {
  const json = '{"ok":"ASSEMBLY_COMPLETED","assembly_id":"a1","fields":{"note":"EUR grüße"}}';
  const signature = "sha384:" + hmac("hex", json, SECRET, "sha384");
  return post({ "Content-Type": MULTIPART }, multipart({ transloadit: json, signature }), {
    accepts: ({ body }) =>
      verifyWebhookSignature({
        rawBody: body.match(/\{.*\}/)[0],
        signatureHeader: signature,
        authSecret: SECRET,
      }),
  });
}

// Only the charge's ID is signed.
async function opennode({ OpenNodeClient }) {
  const charge = { id: "EUR-1", status: "paid", hashed_order: hmac("hex", "EUR-1") };
  const client = new OpenNodeClient(SECRET, "dev");
  return post({ "Content-Type": FORM }, new URLSearchParams(charge).toString(), {
    accepts: ({ body }) => client.verifySignature(Object.fromEntries(new URLSearchParams(body))),
  });
}

// The ID in the query, the ID of the request, and the time. The body is not signed.
function mercadoPago({ WebhookSignatureValidator }) {
  const body =
    '{"id":112233445566,"type":"payment","action":"payment.updated","data":{"id":"1234567890"},"note":"EUR grüße"}';
  const [id, requestId, name] = ["1234567890", "2066ca19-c6f1-498a-be75-1923005edd06", "X-Request-Id"];
  const signature = hmac("hex", `id:${id};request-id:${requestId};ts:${SECONDS};`);
  const headers = { [name]: requestId, "X-Signature": `ts=${SECONDS},v1=${signature}` };
  return post(headers, body, {
    path: `/hook?data.id=${id}&type=payment`,
    accepts: ({ headers }) =>
      WebhookSignatureValidator.validate({
        xSignature: headers["X-Signature"],
        xRequestId: headers[name],
        dataId: id,
        secret: SECRET,
      }),
    changed: changedHeader(name),
  });
}

// The secret is base64. Version 1.5.0 of the package cannot be installed: it depends on versions
// that are not published.
function sinchVoice({ generateAuthorizationHeader, validateAuthenticationHeader }) {
  const body =
    '{"event":"ace","callid":"822aa4b7","timestamp":"2026-11-28T09:00:00Z","version":1,"note":"EUR grüße"}';
  const [key, path, timestamp] = [
    "669E367E-6BBA-48AB-AF15-266871C28135",
    "/hook",
    new Date(NOW).toISOString(),
  ];
  const headers = {
    "Content-Type": "application/json",
    "X-Timestamp": timestamp,
    Authorization: generateAuthorizationHeader(
      "POST",
      body,
      "application/json",
      `x-timestamp:${timestamp}`,
      path,
      key,
      BASE64,
    ),
  };
  return post(headers, body, {
    secret: BASE64,
    parameters: { application_key: key },
    accepts: ({ body, headers }) =>
      validateAuthenticationHeader(key, BASE64, lower(headers), body, path, "POST"),
  });
}

export default [
  ["hubspot-v3", "@hubspot/api-client", SIGNED, hubspot("v3")],
  ["hubspot-v2", "@hubspot/api-client", SIGNED, hubspot("v2")],
  ["hubspot-v1", "@hubspot/api-client", SIGNED, hubspot("v1")],
  ["adyen", "@adyen/api-library", SIGNED, adyen],
  ["contentful", "@contentful/node-apps-toolkit", SIGNED, contentful],
  ["plivo-v3", "plivo", ACCEPTED, plivo],
  ["braintree", "braintree", SIGNED, braintree],
  ["dropbox-sign", "@dropbox/sign", ACCEPTED, dropboxSign],
  ["shopify-app-proxy", "@shopify/shopify-api", ACCEPTED, shopifyAppProxy],
  ["transloadit", "@transloadit/utils", ACCEPTED, transloadit],
  ["opennode", "opennode", ACCEPTED, opennode],
  ["mercado-pago", "mercadopago", ACCEPTED, mercadoPago],
  ["sinch-voice", "@sinch/sdk-core", SIGNED, sinchVoice],
];
