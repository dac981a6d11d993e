// Prints requests that the senders' own npm packages signed or accepted, one JSON object a line.

import { readFileSync } from "node:fs";

import bodies from "./senders/bodies.mjs";
import fields from "./senders/fields.mjs";
import messages from "./senders/messages.mjs";
import publicKeys from "./senders/public_keys.mjs";
import timed from "./senders/timed.mjs";
import tokens from "./senders/tokens.mjs";

// Milliseconds that one sender may take, so that a package that waits for a server ends, too.
const PATIENCE = 60_000;

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));
const print = (row) => process.stdout.write(JSON.stringify(row) + "\n");
// Some packages print notices. The standard output is for the requests.
console.log = console.info = console.debug = console.warn = console.error;

// The package of a module, such as `@linear/sdk` of `@linear/sdk/webhooks`.
const packageOf = (module) => module.split("/", module.startsWith("@") ? 2 : 1).join("/");

async function accepted(request) {
  try {
    return (await request.accepts(request)) !== false;
  } catch (error) {
    request.refusal = error;
    return false;
  }
}

const wire = ({ method, path, headers, body }) => ({
  method,
  path,
  headers,
  body_base64: Buffer.from(body).toString("base64"),
});

async function row(module, sign) {
  const request = await sign(await import(module));
  const now = Math.floor(Date.now() / 1000);
  const changed = request.changed(request);
  if (!(await accepted(request))) {
    throw new Error("the package refuses the request", { cause: request.refusal });
  }
  if (await accepted(changed)) throw new Error("the package accepts the changed request");
  const { secret, public_url, parameters = {} } = request;
  return { secret, public_url, parameters, now, signed: wire(request), changed: wire(changed) };
}

const late = () => new Promise((_, reject) => setTimeout(reject, PATIENCE, new Error("no answer")).unref());

const wanted = process.argv.slice(2);
for (const [scheme, module, kind, sign] of [bodies, fields, messages, publicKeys, timed, tokens].flat()) {
  if (wanted.length && !wanted.includes(scheme)) continue;
  const name = packageOf(module);
  const facts = { scheme, sdk: `${name}@${dependencies[name]}`, kind };
  try {
    print({ ...facts, ...(await Promise.race([row(module, sign), late()])) });
  } catch (error) {
    console.error(scheme, error);
    print({ ...facts, error: String(error.cause ?? error).split("\n")[0] });
  }
}
process.exit(); // Some packages leave servers or timers behind.
