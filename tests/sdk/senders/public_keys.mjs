// Senders that sign with a private key, and those that send a JSON Web Token.

import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ACCEPTED, HOST, SECONDS, SECRET, SIGNED, digest, post, token } from "../request.mjs";

// An Ed25519 key pair, and the 32 bytes of its public key.
function ed25519() {
  const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
  const key = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  return {
    key,
    sign: (text, encoding) => crypto.sign(null, Buffer.from(text), privateKey).toString(encoding),
  };
}

function discord({ default: { verifyKey } }) {
  const body =
    '{"version":1,"application_id":"1234560123453231555","type":1,' +
    '"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2026-11-28T09:00:00.053064","data":{"note":"EUR grüße"}}}';
  const { key, sign } = ed25519();
  const headers = {
    "X-Signature-Timestamp": String(SECONDS),
    "X-Signature-Ed25519": sign(SECONDS + body, "hex"),
  };
  return post(headers, body, {
    secret: key.toString("hex"),
    accepts: ({ body, headers }) =>
      verifyKey(body, headers["X-Signature-Ed25519"], headers["X-Signature-Timestamp"], key.toString("hex")),
  });
}

function telnyx({ default: Telnyx }) {
  const body =
    '{"data":{"event_type":"message.received","id":"b301ed3f","occurred_at":"2026-11-28T09:00:00.000+00:00",' +
    '"payload":{"id":"m1","text":"EUR grüße"},"record_type":"event"},"meta":{"attempt":1}}';
  const { key, sign } = ed25519();
  const secret = key.toString("base64");
  const headers = {
    "telnyx-timestamp": String(SECONDS),
    "telnyx-signature-ed25519": sign(`${SECONDS}|${body}`, "base64"),
  };
  return post(headers, body, {
    secret,
    accepts: ({ body, headers }) =>
      new Telnyx({ apiKey: "none" }).webhooks.unwrap(body, { headers, key: secret }),
  });
}

// The line break at the end is signed as well.
function sendgrid({ default: { EventWebhook } }) {
  const body =
    '[{"email":"EUR@example.com","timestamp":1513299569,"event":"processed","sg_event_id":"rbtnWrG1"}]\r\n';
  const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const secret = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  const names = {
    time: "X-Twilio-Email-Event-Webhook-Timestamp",
    signature: "X-Twilio-Email-Event-Webhook-Signature",
  };
  const headers = {
    [names.time]: String(SECONDS),
    [names.signature]: crypto.sign("sha256", Buffer.from(SECONDS + body), privateKey).toString("base64"),
  };
  const webhook = new EventWebhook();
  return post(headers, body, {
    secret,
    accepts: ({ body, headers }) =>
      webhook.verifySignature(
        webhook.convertPublicKeyToECDSA(secret),
        body,
        headers[names.signature],
        headers[names.time],
      ),
  });
}

// The package fetches the certificate, so `https.get` returns one that is made here.
const sns =
  (version) =>
  async ({ default: Validator }) => {
    const folder = mkdtempSync(join(tmpdir(), "sns-"));
    const [keyFile, certificateFile] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const request = [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-days",
      "3",
      "-subj",
      "/CN=sns.amazonaws.com",
    ];
    execFileSync("openssl", [...request, "-keyout", keyFile, "-out", certificateFile], { stdio: "ignore" });
    const certificate = readFileSync(certificateFile, "utf8");
    const topic = "arn:aws:sns:us-west-2:123456789012:MyTopic";
    const message = {
      Message: "EUR grüße",
      MessageId: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
      Subject: "Tests",
      Timestamp: new Date().toISOString(),
      TopicArn: topic,
      Type: "Notification",
    };
    const text = Object.entries(message)
      .map(([name, value]) => `${name}\n${value}\n`)
      .join("");
    const algorithm = version === "1" ? "RSA-SHA1" : "RSA-SHA256";
    const signature = crypto.sign(algorithm, Buffer.from(text), readFileSync(keyFile)).toString("base64");
    const body = JSON.stringify({
      ...message,
      SignatureVersion: version,
      Signature: signature,
      // Each has a URL of its own, since the package keeps the certificates that it has seen.
      SigningCertURL: `https://sns.us-west-2.amazonaws.com/SimpleNotificationService-${version}.pem`,
    });
    return post({ "x-amz-sns-message-type": "Notification" }, body, {
      secret: certificate,
      parameters: { topic_arn: topic },
      accepts: ({ body }) => withHttps(certificate, () => validated(new Validator(), JSON.parse(body))),
    });
  };

const validated = (validator, message) =>
  new Promise((resolve, reject) =>
    validator.validate(message, (error) => (error ? reject(error) : resolve(true))),
  );

async function withHttps(text, run) {
  const { get } = https;
  https.get = (_, respond) => {
    const response = Object.assign(new EventEmitter(), { statusCode: 200 });
    setImmediate(() => {
      respond(response);
      response.emit("data", text);
      response.emit("end");
    });
    return new EventEmitter();
  };
  try {
    return await run();
  } finally {
    https.get = get;
  }
}

// The package verifies the token. The caller compares the digest in it.
function vonage({ verifySignature }) {
  const body =
    '{"message_uuid":"aaaaaaaa-bbbb","timestamp":"2026-11-28T09:00:00Z","status":"delivered","note":"EUR grüße"}';
  const claims = {
    iat: SECONDS,
    jti: "c5ba8f24",
    iss: "Vonage",
    payload_hash: digest("hex", body),
    api_key: "a1b2c3d",
  };
  return post({ Authorization: `Bearer ${token(claims)}` }, body, {
    accepts: ({ body, headers }) => {
      const [, jwt] = headers.Authorization.split(" ");
      const { payload_hash } = JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));
      const forged = verifySignature(jwt, "the secret of another account");
      return verifySignature(jwt, SECRET) && !forged && payload_hash === digest("hex", body);
    },
  });
}

async function livekit({ AccessToken, WebhookReceiver }) {
  const body =
    '{"event":"room_started","room":{"sid":"RM_1","name":"EUR-grüße"},"id":"EV_1","createdAt":"1795856400"}';
  const access = new AccessToken("APIkey", SECRET, { ttl: 300 });
  access.sha256 = digest("base64", body);
  const headers = {
    "Content-Type": "application/webhook+json",
    Authorization: await access.toJwt(),
  };
  return post(headers, body, {
    accepts: ({ body, headers }) =>
      new WebhookReceiver("APIkey", SECRET).receive(body, headers.Authorization),
  });
}

function qstash({ Receiver }) {
  const body = '{"note":"EUR grüße"}';
  const url = `${HOST}/hook`;
  const times = { iat: SECONDS, nbf: SECONDS, exp: SECONDS + 300 };
  const claims = { iss: "Upstash", sub: url, ...times, jti: "jwt_1", body: digest("base64url", body) };
  const receiver = new Receiver({ currentSigningKey: SECRET, nextSigningKey: "the next key" });
  return post({ "Upstash-Signature": token(claims), "Upstash-Message-Id": "msg_1" }, body, {
    public_url: url,
    accepts: ({ body, headers }) => receiver.verify({ signature: headers["Upstash-Signature"], body, url }),
  });
}

function messagebird({ default: { verify } }) {
  const body = '{"id":"e8077d80","recipient":"31612345678","status":"delivered","note":"EUR grüße"}';
  const path = "/hook?tenant=7&name=a%20b";
  const hashes = { url_hash: digest("hex", HOST + path), payload_hash: digest("hex", body) };
  const times = { iat: SECONDS, nbf: SECONDS, exp: SECONDS + 60 };
  const jwt = token({ iss: "MessageBird", jti: "j1", ...times, ...hashes });
  return post({ "MessageBird-Signature-JWT": jwt }, body, {
    path,
    public_url: `${HOST}/hook`,
    accepts: ({ body }) =>
      verify(HOST + path, Buffer.from(body), jwt, crypto.createSecretKey(Buffer.from(SECRET))),
  });
}

export default [
  ["discord", "discord-interactions", ACCEPTED, discord],
  ["telnyx", "telnyx", ACCEPTED, telnyx],
  ["sendgrid", "@sendgrid/eventwebhook", ACCEPTED, sendgrid],
  ["sns", "sns-validator", ACCEPTED, sns("2")],
  ["sns-v1", "sns-validator", ACCEPTED, sns("1")],
  ["vonage", "@vonage/jwt", ACCEPTED, vonage],
  ["livekit", "livekit-server-sdk", SIGNED, livekit],
  ["qstash", "@upstash/qstash", ACCEPTED, qstash],
  ["messagebird", "messagebird/lib/webhook-signature-jwt.js", ACCEPTED, messagebird],
];
