// Senders that sign nothing, and send a secret with each request.

import { ACCEPTED, THIRD_PARTY, changedHeader, lower, post } from "../request.mjs";

function telegram({ Bot, webhookCallback }) {
  const body =
    '{"update_id":10000,"message":{"message_id":1,"date":1,"chat":{"id":1,"type":"private"},"text":"EUR grüße"}}';
  const secret = "a_secret-of-the-tests-32-letters";
  const name = "X-Telegram-Bot-Api-Secret-Token";
  const bot = new Bot("1:none", { botInfo: { id: 1, is_bot: true, first_name: "x", username: "x_bot" } });
  bot.use(() => {});
  const handle = webhookCallback(bot, "std/http", { secretToken: secret });
  return post({ [name]: secret }, body, {
    secret,
    accepts: async (request) => (await handle(new Request("https://hooks.example.com/hook", request))).ok,
    changed: changedHeader(name),
  });
}

function chargebee({ basicAuthValidator }) {
  const body =
    '{"id":"ev_1","occurred_at":1790000000,"event_type":"subscription_created","content":{"note":"EUR grüße"}}';
  const [user, password] = ["user", "pass:word of the tests"];
  const validate = basicAuthValidator((u, p) => u === user && p === password);
  const basic = (user, password) => "Basic " + Buffer.from(`${user}:${password}`).toString("base64");
  return post({ Authorization: basic(user, password) }, body, {
    secret: `${user}:${password}`,
    accepts: ({ headers }) => validate(lower(headers)),
    changed: (request) => ({
      ...request,
      headers: { ...request.headers, Authorization: basic(user, password + "!") },
    }),
  });
}

export default [
  ["telegram", "grammy", THIRD_PARTY, telegram],
  ["chargebee", "chargebee", ACCEPTED, chargebee],
];
