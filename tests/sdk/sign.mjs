// Prints requests signed by the senders' own npm packages, one JSON object a line.
//
// Every signature is what the package's own code returns, and the package must then accept the request.

import crypto from "node:crypto";
import { readFileSync } from "node:fs";

import adyen from "@adyen/api-library";
import { signRequest, verifyRequest } from "@contentful/node-apps-toolkit";
import { Signature as HubSpot } from "@hubspot/api-client";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import Mux from "@mux/mux-node";
import * as octokit from "@octokit/webhooks-methods";
import * as sanity from "@sanity/webhook";
import { shopifyApi } from "@shopify/shopify-api";
import "@shopify/shopify-api/adapters/node";
import { createSHA256HMAC } from "@shopify/shopify-api/runtime";
import { WorkOS } from "@workos-inc/node";
import * as standard from "standardwebhooks";
import Stripe from "stripe";
import * as svix from "svix";

const SECRET = "a secret of the tests, 32 bytes!";
const HEX = Buffer.from(SECRET).toString("hex");
const WHSEC = "whsec_" + Buffer.from(SECRET).toString("base64");
const HOST = "https://hooks.example.com";
const NOW = Date.now();
const SECONDS = Math.floor(NOW / 1000);
const JSON_TYPE = ["Content-Type", "application/json"];

const row = (headers, body, more = {}) => ({
  secret: SECRET,
  method: "POST",
  path: "/hook",
  headers: [JSON_TYPE, ...headers],
  body_base64: Buffer.from(body).toString("base64"),
  ...more,
});

const must = (accepted) => {
  if (!accepted) throw new Error("the SDK refuses what it signed");
};

function stripe() {
  const body = '{"id":"evt_1","type":"charge.succeeded","data":{"currency":"EUR","note":"grüße"}}';
  const client = new Stripe("none");
  const header = client.webhooks.generateTestHeaderString({ payload: body, secret: WHSEC });
  client.webhooks.constructEvent(body, header, WHSEC);
  return row([["Stripe-Signature", header]], body, { secret: WHSEC });
}

// Standard Webhooks and Svix differ in the headers' names.
const messages = (Webhook, prefix) => () => {
  const body = '{"type":"invoice.paid","data":{"currency":"EUR","note":"grüße"}}';
  const webhook = new Webhook(WHSEC);
  const headers = {
    [`${prefix}-id`]: "msg_1",
    [`${prefix}-timestamp`]: String(SECONDS),
    [`${prefix}-signature`]: webhook.sign("msg_1", new Date(NOW), body),
  };
  webhook.verify(body, headers);
  return row(Object.entries(headers), body, { secret: WHSEC });
};

async function github() {
  const body = '{"action":"opened","issue":{"title":"EUR grüße"}}';
  const signature = await octokit.sign(SECRET, body);
  must(await octokit.verify(SECRET, body, signature));
  const headers = [
    ["X-GitHub-Event", "issues"],
    ["X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"],
    ["X-Hub-Signature-256", signature],
  ];
  return row(headers, body);
}

const hubspot = (version) => () => {
  const body = '[{"eventId":1,"subscriptionType":"deal.propertyChange","propertyValue":"EUR grüße"}]';
  const path = "/hook?portal=7";
  const options = { clientSecret: SECRET, requestBody: body, url: HOST + path, timestamp: NOW };
  const signature = HubSpot.getSignature("POST", version, options);
  must(HubSpot.isValid({ ...options, signature, signatureVersion: version, method: "POST" }));
  const headers =
    version === "v3"
      ? [["X-HubSpot-Signature-v3", signature], ["X-HubSpot-Request-Timestamp", String(NOW)]]
      : [["X-HubSpot-Signature", signature], ["X-HubSpot-Signature-Version", version]];
  // Version 1 signs no URL.
  return row(headers, body, version === "v1" ? {} : { path, public_url: HOST + "/hook" });
};

function adyenPayments() {
  const item = {
    additionalData: {},
    amount: { currency: "EUR", value: 1130 },
    eventCode: "AUTHORISATION",
    eventDate: new Date(NOW).toISOString(),
    merchantAccountCode: "Test:Merchant",
    merchantReference: "grüße\\1",
    pspReference: "7914073381342284",
    success: "true",
  };
  const validator = new adyen.hmacValidator();
  item.additionalData.hmacSignature = validator.calculateHmac(item, HEX);
  must(validator.validateHMAC(item, HEX));
  const body = JSON.stringify({ live: "false", notificationItems: [{ NotificationRequestItem: item }] });
  return row([], body, { secret: HEX });
}

function adyenPlatform() {
  const body = '{"type":"balancePlatform.transfer.created","data":{"currency":"EUR","note":"grüße"}}';
  const validator = new adyen.hmacValidator();
  const signature = validator.calculateHmac(body, HEX);
  must(validator.validateHMACSignature(HEX, signature, body));
  return row([["HmacSignature", signature], ["Protocol", "HmacSHA256"]], body, { secret: HEX });
}

function contentful() {
  // A secret has 64 characters here.
  const body = '{"sys":{"id":"e1"},"fields":{"currency":"EUR","note":"grüße"}}';
  const request = { method: "POST", path: "/hook?tenant=7&name=a%20b", body };
  const headers = { "content-type": "application/json", "x-contentful-topic": "ContentManagement.Entry.publish" };
  const signed = { ...headers, ...signRequest(HEX, { ...request, headers }, NOW) };
  must(verifyRequest(HEX, { ...request, headers: signed }));
  delete signed["content-type"]; // `row` adds it.
  return row(Object.entries(signed), body, { secret: HEX, path: request.path });
}

async function sanityContent() {
  const body = '{"_id":"d1","_type":"post","currency":"EUR","note":"grüße"}';
  const header = await sanity.encodeSignatureHeader(body, NOW, SECRET);
  must(await sanity.isValidSignature(body, header, SECRET));
  return row([[sanity.SIGNATURE_HEADER_NAME, header], ["idempotency-key", "k1"]], body);
}

async function workos() {
  // The SDK signs JSON.stringify of the payload, so that is the body.
  const payload = { id: "wh_1", event: "user.created", data: { currency: "EUR", note: "grüße" } };
  const { webhooks } = new WorkOS("none");
  const header = `t=${NOW}, v1=${await webhooks.computeSignature(NOW, payload, SECRET)}`;
  must(await webhooks.verifyHeader({ payload, sigHeader: header, secret: SECRET }));
  return row([["WorkOS-Signature", header]], JSON.stringify(payload));
}

async function shopify() {
  const body = '{"id":1,"currency":"EUR","note":"grüße"}';
  const headers = {
    "X-Shopify-Topic": "orders/create",
    "X-Shopify-Webhook-Id": "b54557e4",
    "X-Shopify-API-Version": "2026-01",
    "X-Shopify-Shop-Domain": "example.myshopify.com",
    "X-Shopify-Hmac-Sha256": await createSHA256HMAC(SECRET, body),
  };
  const config = { apiKey: "none", apiSecretKey: SECRET, hostName: "hooks.example.com", apiVersion: "2026-01" };
  const { webhooks } = shopifyApi({ ...config, isEmbeddedApp: false, logger: { level: 0 } });
  must((await webhooks.validate({ rawBody: body, rawRequest: { headers } })).valid);
  return row(Object.entries(headers), body);
}

async function mux() {
  // computeSignature is meant to be private; what it signs is what verifySignature has it sign.
  const body = '{"type":"video.asset.ready","id":"a1","data":{"currency":"EUR","note":"grüße"}}';
  const { webhooks } = new Mux({ tokenId: "none", tokenSecret: "none" });
  const header = `t=${SECONDS},v1=${await webhooks.computeSignature(`${SECONDS}.${body}`, SECRET)}`;
  await webhooks.verifySignature(body, { "mux-signature": header }, SECRET);
  return row([["Mux-Signature", header]], body);
}

function linear() {
  // The SDK only verifies: what it compares a wrong signature with is the right one.
  const body = `{"action":"create","type":"Issue","data":{"title":"EUR grüße"},"webhookTimestamp":${NOW}}`;
  const client = new LinearWebhookClient(SECRET);
  const { timingSafeEqual } = crypto;
  let signature;
  crypto.timingSafeEqual = (computed) => {
    signature = computed.toString();
    return false;
  };
  try {
    client.verify(Buffer.from(body), "0".repeat(64));
  } catch {
    // It refuses the wrong signature.
  } finally {
    crypto.timingSafeEqual = timingSafeEqual;
  }
  must(client.verify(Buffer.from(body), signature));
  return row([["Linear-Delivery", "d1"], ["Linear-Event", "Issue"], ["Linear-Signature", signature]], body);
}

const SENDERS = [
  ["stripe", stripe, "stripe"],
  ["standard-webhooks", messages(standard.Webhook, "webhook"), "standardwebhooks"],
  ["svix", messages(svix.Webhook, "svix"), "svix"],
  ["github", github, "@octokit/webhooks-methods"],
  ["hubspot-v3", hubspot("v3"), "@hubspot/api-client"],
  ["hubspot-v2", hubspot("v2"), "@hubspot/api-client"],
  ["hubspot-v1", hubspot("v1"), "@hubspot/api-client"],
  ["adyen", adyenPayments, "@adyen/api-library"],
  ["adyen-platform", adyenPlatform, "@adyen/api-library"],
  ["contentful", contentful, "@contentful/node-apps-toolkit"],
  ["sanity", sanityContent, "@sanity/webhook"],
  ["workos", workos, "@workos-inc/node"],
  ["shopify", shopify, "@shopify/shopify-api"],
  ["mux", mux, "@mux/mux-node"],
  ["linear", linear, "@linear/sdk"],
];

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
for (const [scheme, sign, name] of SENDERS) {
  const sdk = `${name} ${dependencies[name]}`;
  try {
    console.log(JSON.stringify({ scheme, ...(await sign()), sdk }));
  } catch (error) {
    console.error(error);
    console.log(JSON.stringify({ scheme, sdk, error: `not signed: ${error}` }));
  }
}
