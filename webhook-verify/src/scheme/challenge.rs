use std::borrow::Cow;

use super::{List, Place, Text};
use crate::encoding::Encoding;

/// A verification handshake: a request that checks for a receiver, before events or between them.
///
/// A [`Receiver`](crate::Receiver) responds to it before the handler runs, with a fixed content
/// type, and only if the scheme has it. Echoed text is short and contains nothing that a browser
/// could take for markup. A challenge with another token, or two, is refused like any other
/// request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    name: Text,
    /// The method, or `None` for any.
    pub(crate) method: Option<Text>,
    /// The conditions, all of which must be met.
    pub(crate) when: List<Condition>,
    /// The place of the value from which the response is made.
    pub(crate) token: Option<Place>,
    /// Whether it is signed like a delivery. If not, anyone gets a response.
    pub(crate) signed: bool,
    pub(crate) reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) place: Place,
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Present,
    Absent,
    Value(Text),
    /// The verifier's parameter of this name.
    Parameter(Text),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Empty,
    /// Plain text: the values one after the other.
    Text(List<Value>),
    /// The token is the secret that will sign deliveries. The receiver passes it to the user, and
    /// echoes it in this header if there is one.
    Keep(Option<Text>),
    /// A JSON object with these members.
    Json(List<(Text, Value)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Token,
    /// The token's MAC under the first live secret.
    Mac {
        prefix: Text,
        encoding: Encoding,
    },
    /// The verifier's parameter of this name.
    Parameter(Text),
    /// A fixed piece of the response.
    Fixed(Text),
}

impl Challenge {
    /// Slack's `url_verification`, signed. The response echoes `challenge` as JSON.
    pub const SLACK: Self =
        signed("slack", list![at("/type", "url_verification")], Some(pointer("/challenge")), ECHO);

    /// Slack's unsigned form `ssl_check=1`, which checks the server's certificate. The receiver
    /// responds with 200.
    pub const SLACK_SSL_CHECK: Self = unsigned(
        "slack-ssl-check",
        POST,
        list![Condition {
            place: Place::Form(text("ssl_check")),
            expected: Expected::Value(text("1")),
        }],
        None,
        Reply::Empty,
    );

    /// Zoom's `endpoint.url_validation`, signed. The response contains `plainToken` and its HMAC.
    pub const ZOOM: Self = signed(
        "zoom",
        list![at("/event", "endpoint.url_validation")],
        Some(pointer("/payload/plainToken")),
        Reply::Json(list![
            (text("plainToken"), Value::Token),
            (text("encryptedToken"), Value::Mac { prefix: text(""), encoding: Encoding::Hex },),
        ]),
    );

    /// Meta's `hub.challenge`, echoed if `hub.verify_token` is the parameter `verify_token`.
    pub const META: Self = unsigned(
        "meta",
        GET,
        list![
            Condition { place: query("hub.mode"), expected: Expected::Value(text("subscribe")) },
            Condition {
                place: query("hub.verify_token"),
                expected: Expected::Parameter(text("verify_token")),
            },
        ],
        Some(query("hub.challenge")),
        ECHO_TEXT,
    );

    /// X's challenge-response check. The response contains the HMAC of `crc_token`.
    ///
    /// X signs bodies in the same way, so anyone can get a token signed. Only tokens of up to 256
    /// letters, digits and `-_.=+/` are signed, and no event's JSON consists of these alone. A body
    /// that does is refused even if its signature matches.
    pub const X: Self = unsigned(
        "x",
        GET,
        list![],
        Some(query("crc_token")),
        Reply::Json(list![(
            text("response_token"),
            Value::Mac { prefix: text("sha256="), encoding: Encoding::Base64 },
        )]),
    );

    /// Twitch's `webhook_callback_verification`, signed. The response echoes `challenge` as text.
    pub const TWITCH: Self = signed(
        "twitch",
        list![Condition {
            place: header("twitch-eventsub-message-type"),
            expected: Expected::Value(text("webhook_callback_verification")),
        }],
        Some(pointer("/challenge")),
        ECHO_TEXT,
    );

    /// The `challenge` in Dropbox's and Nylas's query. The response echoes it as text.
    pub const DROPBOX: Self =
        unsigned("dropbox", GET, list![], Some(query("challenge")), ECHO_TEXT);

    /// Okta's `x-okta-verification-challenge`. The response echoes it as JSON.
    pub const OKTA: Self = unsigned(
        "okta",
        GET,
        list![],
        Some(header("x-okta-verification-challenge")),
        Reply::Json(list![(text("verification"), Value::Token)]),
    );

    /// Microsoft Graph's `validationToken` in the query. The response echoes it as text.
    pub const MICROSOFT_GRAPH: Self =
        unsigned("microsoft-graph", POST, list![], Some(query("validationToken")), ECHO_TEXT);

    /// monday.com's `challenge` in an unsigned body. The response echoes it as JSON.
    pub const MONDAY: Self = unsigned("monday", POST, list![], Some(pointer("/challenge")), ECHO);

    /// Discord's signed PING to an endpoint for interactions. In its webhook events, `type` 1 is an
    /// event, and the PING, `type` 0, goes to the handler, which responds with 204 as to any other.
    pub const DISCORD: Self = signed(
        "discord",
        list![
            at("/type", "1"),
            Condition { place: pointer("/event/type"), expected: Expected::Absent },
        ],
        None,
        Reply::Json(list![(text("type"), Value::Fixed(text("1")))]),
    );

    /// Asana's handshake. The secret in `X-Hook-Secret` is [passed to the
    /// user](crate::ReceiverBuilder::on_handshake) and echoed in the same header.
    pub const ASANA: Self = unsigned(
        "asana",
        POST,
        list![],
        Some(header("x-hook-secret")),
        Reply::Keep(Some(text("x-hook-secret"))),
    );

    /// Notion's `verification_token` in an unsigned body: the secret, which is [passed to the
    /// user](crate::ReceiverBuilder::on_handshake).
    pub const NOTION: Self =
        unsigned("notion", POST, list![], Some(pointer("/verification_token")), Reply::Keep(None));

    /// A `HEAD` request, as from Trello and Mailchimp Transactional. The response is 200.
    pub const HEAD_PROBE: Self =
        unsigned("head-probe", Some(text("HEAD")), list![], None, Reply::Empty);

    /// A `GET` request, as from Mailchimp Marketing. The response is 200.
    pub const GET_PROBE: Self = unsigned("get-probe", GET, list![], None, Reply::Empty);

    /// WooCommerce's unsigned form `webhook_id=…`, sent on saving a webhook. The response is 200.
    pub const WOOCOMMERCE: Self = unsigned(
        "woocommerce",
        POST,
        list![Condition { place: Place::Form(text("webhook_id")), expected: Expected::Present }],
        None,
        Reply::Empty,
    );

    /// Smartsheet's `Smartsheet-Hook-Challenge`, sent when a webhook is enabled and before every
    /// hundredth callback. The response echoes it as JSON.
    pub const SMARTSHEET: Self = unsigned(
        "smartsheet",
        POST,
        list![],
        Some(header("smartsheet-hook-challenge")),
        Reply::Json(list![(text("smartsheetHookResponse"), Value::Token)]),
    );

    /// Braintree's `bt_challenge`, sent when a webhook is created. The response is the parameter
    /// `public_key`, `|` and the HMAC of the challenge. The same limits apply as for
    /// [`X`](Self::X).
    pub const BRAINTREE: Self = unsigned(
        "braintree",
        GET,
        list![],
        Some(query("bt_challenge")),
        Reply::Text(list![
            Value::Parameter(text("public_key")),
            Value::Fixed(text("|")),
            Value::Mac { prefix: text(""), encoding: Encoding::Hex },
        ]),
    );

    const ALL: &[Self] = &[
        Self::SLACK,
        Self::SLACK_SSL_CHECK,
        Self::ZOOM,
        Self::META,
        Self::X,
        Self::TWITCH,
        Self::DROPBOX,
        Self::OKTA,
        Self::MICROSOFT_GRAPH,
        Self::MONDAY,
        Self::DISCORD,
        Self::ASANA,
        Self::NOTION,
        Self::HEAD_PROBE,
        Self::GET_PROBE,
        Self::WOOCOMMERCE,
        Self::SMARTSHEET,
        Self::BRAINTREE,
    ];

    /// Returns the challenge of this name, such as `slack` or `head-probe`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|challenge| challenge.name == name).cloned()
    }

    /// Returns the challenge's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the body must be read to identify the challenge or its token.
    pub(crate) fn looks_into_body(&self) -> bool {
        let places = self.when.iter().map(|condition| &condition.place);
        places.chain(&self.token).any(Place::is_in_body)
    }

    /// Returns whether the challenge or its token is identified by a form in the body.
    pub(crate) fn looks_into_form(&self) -> bool {
        let mut places = self.when.iter().map(|condition| &condition.place).chain(&self.token);
        places.any(|place| matches!(place, Place::Form(_)))
    }

    /// Returns the verifier's [parameter](crate::VerifierBuilder::parameter) that the challenge
    /// needs, such as Meta's `verify_token`.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        let in_conditions = self.when.iter().find_map(|condition| match &condition.expected {
            Expected::Parameter(name) => Some(&**name),
            Expected::Present | Expected::Absent | Expected::Value(_) => None,
        });
        in_conditions.or_else(|| {
            self.reply_values().find_map(|value| match value {
                Value::Parameter(name) => Some(&**name),
                Value::Token | Value::Mac { .. } | Value::Fixed(_) => None,
            })
        })
    }

    fn reply_values(&self) -> impl Iterator<Item = &Value> {
        let (text, json): (&[Value], &[(Text, Value)]) = match &self.reply {
            Reply::Text(values) => (values, &[]),
            Reply::Json(members) => (&[], members),
            Reply::Empty | Reply::Keep(_) => (&[], &[]),
        };
        text.iter().chain(json.iter().map(|(_, value)| value))
    }

    /// Returns whether the response contains a MAC under a secret of the receiver.
    pub(crate) fn asks_for_mac(&self) -> bool {
        self.reply_values().any(|value| matches!(value, Value::Mac { .. }))
    }

    /// Returns whether the token is a secret to keep.
    pub(crate) fn is_handshake(&self) -> bool {
        matches!(self.reply, Reply::Keep(_))
    }

    /// Returns whether this challenge may echo, sign or keep `token`; always, if it has none.
    pub(crate) fn suits(&self, token: &str) -> bool {
        if self.token.is_none() {
            return true;
        }
        match self.reply {
            Reply::Empty => true,
            Reply::Keep(_) => is_word(&[token.as_bytes()]),
            Reply::Json(_) | Reply::Text(_) if self.asks_for_mac() => is_word(&[token.as_bytes()]),
            Reply::Json(_) | Reply::Text(_) => {
                let markup = |char: char| char.is_control() || "<>&\"'\\".contains(char);
                (1..=MAX_TOKEN).contains(&token.len()) && !token.contains(markup)
            }
        }
    }
}

/// The longest token that is echoed, in bytes.
const MAX_TOKEN: usize = 1024;
/// The longest token that is signed or kept, in bytes.
const MAX_WORD: usize = 256;

/// Returns whether the concatenated pieces are a token that may be kept, or signed for anyone.
pub(crate) fn is_word(pieces: &[&[u8]]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(byte);
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    (1..=MAX_WORD).contains(&len) && pieces.iter().copied().flatten().all(harmless)
}

const GET: Option<Text> = Some(text("GET"));
const POST: Option<Text> = Some(text("POST"));
const ECHO_TEXT: Reply = Reply::Text(list![Value::Token]);
const ECHO: Reply = Reply::Json(list![(text("challenge"), Value::Token)]);

const fn unsigned(
    name: &'static str,
    method: Option<Text>,
    when: List<Condition>,
    token: Option<Place>,
    reply: Reply,
) -> Challenge {
    Challenge { name: text(name), method, when, token, signed: false, reply }
}

const fn signed(
    name: &'static str,
    when: List<Condition>,
    token: Option<Place>,
    reply: Reply,
) -> Challenge {
    Challenge { name: text(name), method: None, when, token, signed: true, reply }
}

const fn at(path: &'static str, value: &'static str) -> Condition {
    Condition { place: pointer(path), expected: Expected::Value(text(value)) }
}

const fn pointer(pointer: &'static str) -> Place {
    Place::Pointer(text(pointer))
}

const fn query(name: &'static str) -> Place {
    Place::Query(text(name))
}

const fn header(name: &'static str) -> Place {
    Place::Header(text(name))
}

const fn text(text: &'static str) -> Text {
    Cow::Borrowed(text)
}
