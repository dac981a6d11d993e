// The secret, the time, and helpers that build requests, for the senders' files.

import crypto from "node:crypto";

export const SECRET = "a secret of the tests, 32 bytes!";
export const HEX = Buffer.from(SECRET).toString("hex");
export const BASE64 = Buffer.from(SECRET).toString("base64");
export const WHSEC = "whsec_" + BASE64;
export const HOST = "https://hooks.example.com";
export const NOW = Date.now();
export const SECONDS = Math.floor(NOW / 1000);

// How a package takes part.
export const SIGNED = "signed"; // It signs the request.
export const ACCEPTED = "accepted"; // It accepts the request, which the script signs.
export const THIRD_PARTY = "third-party"; // The same, but the package is not the sender's own.

export const hmac = (encoding, text, key = SECRET, algorithm = "sha256") =>
  crypto.createHmac(algorithm, key).update(text).digest(encoding);

export const digest = (encoding, text, algorithm = "sha256") =>
  crypto.createHash(algorithm).update(text).digest(encoding);

// A JSON Web Token, HS256.
export function token(claims, key = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const content = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${content}.${hmac("base64url", content, key)}`;
}

// A POST request. `more` can override what is here, and may have
//
// * `accepts(request)`: the package's verdict. False or an exception is a refusal.
// * `changed(request)`: the same request with one byte changed, if not in the body's `EUR`.
// * `parameters`, `public_url`: what the receiver needs in addition.
export const post = (headers, body, more = {}) => ({
  secret: SECRET,
  method: "POST",
  path: "/hook",
  headers: { "Content-Type": "application/json", ...headers },
  body,
  changed: changedBody,
  ...more,
});

function changedBody(request) {
  if (request.body.split("EUR").length !== 2) throw new Error("the body must hold EUR once");
  return { ...request, body: request.body.replace("EUR", "EUS") };
}

// Changes the last byte of a header, for senders that do not sign the body.
export const changedHeader = (name) => (request) => {
  const value = request.headers[name];
  const last = String.fromCharCode(value.charCodeAt(value.length - 1) ^ 1);
  return { ...request, headers: { ...request.headers, [name]: value.slice(0, -1) + last } };
};

// The headers with names in lower case, as Node's servers give them to an SDK.
export const lower = (headers) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
