use std::borrow::Cow;

use super::{List, Place, Text};
use crate::encoding::Encoding;

/// A request by which a sender finds out whether a receiver is there, before it sends events or between them.
///
/// A [`Receiver`](crate::Receiver) answers it before the handler, with a fixed content type, and only where the scheme
/// has it. What is echoed is short and holds nothing that a browser would take for markup. One with another token, or with
/// the token twice, is refused like any other request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    name: Text,
    /// Any, where there is none.
    pub(crate) method: Option<Text>,
    /// All of them must hold.
    pub(crate) when: List<Condition>,
    /// Where the value is that the answer is made of.
    pub(crate) token: Option<Place>,
    /// Whether it is signed like a delivery. One that is not is answered to anybody.
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
    /// What the receiver was given under this name.
    Parameter(Text),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Empty,
    /// The token as plain text.
    Text,
    /// The token is the secret that deliveries will be signed with: it is handed to the user, and echoed in this header
    /// if there is one.
    Keep(Option<Text>),
    /// An object with these members.
    Json(List<(Text, Value)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Token,
    /// The token's MAC by the first live secret.
    Mac {
        prefix: Text,
        encoding: Encoding,
    },
    /// JSON as it stands here.
    Json(Text),
}

impl Challenge {
    /// Slack's `url_verification`, signed: the value of `challenge` is sent back as JSON.
    pub const SLACK: Self =
        signed("slack", list![at("/type", "url_verification")], Some(pointer("/challenge")), ECHO);

    /// Zoom's `endpoint.url_validation`, signed: `plainToken` is sent back with its HMAC.
    pub const ZOOM: Self = signed(
        "zoom",
        list![at("/event", "endpoint.url_validation")],
        Some(pointer("/payload/plainToken")),
        Reply::Json(list![
            (text("plainToken"), Value::Token),
            (text("encryptedToken"), Value::Mac { prefix: text(""), encoding: Encoding::Hex },),
        ]),
    );

    /// Meta's `hub.challenge`: answered where `hub.verify_token` is the parameter `verify_token` of the verifier.
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
        Reply::Text,
    );

    /// X's challenge-response check: the HMAC of `crc_token`.
    ///
    /// X signs bodies in the same way, so whoever asks gets a signature of what he asks for. Only tokens of up to 256
    /// letters, digits and `-_.=+/` are answered, and none of those is the JSON of an event. A body that is nothing but
    /// that is refused, however well it is signed.
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

    /// Twitch's `webhook_callback_verification`, signed: the value of `challenge` is sent back as text.
    pub const TWITCH: Self = signed(
        "twitch",
        list![Condition {
            place: header("twitch-eventsub-message-type"),
            expected: Expected::Value(text("webhook_callback_verification")),
        }],
        Some(pointer("/challenge")),
        Reply::Text,
    );

    /// Dropbox's (and Nylas's) `challenge` in the query, sent back as text.
    pub const DROPBOX: Self =
        unsigned("dropbox", GET, list![], Some(query("challenge")), Reply::Text);

    /// Okta's `x-okta-verification-challenge`, sent back as JSON.
    pub const OKTA: Self = unsigned(
        "okta",
        GET,
        list![],
        Some(header("x-okta-verification-challenge")),
        Reply::Json(list![(text("verification"), Value::Token)]),
    );

    /// Microsoft Graph's `validationToken` in the query, sent back as text.
    pub const MICROSOFT_GRAPH: Self =
        unsigned("microsoft-graph", POST, list![], Some(query("validationToken")), Reply::Text);

    /// monday.com's `challenge` in an unsigned body, sent back as JSON.
    pub const MONDAY: Self = unsigned("monday", POST, list![], Some(pointer("/challenge")), ECHO);

    /// The PING that Discord sends to an endpoint for interactions, signed. In its webhook events, `type` 1 is an event;
    /// their PING, `type` 0, goes to the handler, which answers 204 as to any other.
    pub const DISCORD: Self = signed(
        "discord",
        list![
            at("/type", "1"),
            Condition { place: pointer("/event/type"), expected: Expected::Absent },
        ],
        None,
        Reply::Json(list![(text("type"), Value::Json(text("1")))]),
    );

    /// Asana's handshake: the secret in `X-Hook-Secret` is
    /// [handed over](crate::ReceiverBuilder::on_handshake) and sent back in the same header.
    pub const ASANA: Self = unsigned(
        "asana",
        POST,
        list![],
        Some(header("x-hook-secret")),
        Reply::Keep(Some(text("x-hook-secret"))),
    );

    /// Notion's `verification_token` in an unsigned body: the secret, which is
    /// [handed over](crate::ReceiverBuilder::on_handshake).
    pub const NOTION: Self =
        unsigned("notion", POST, list![], Some(pointer("/verification_token")), Reply::Keep(None));

    /// A `HEAD` request, as Trello and Mailchimp Transactional send: 200.
    pub const HEAD_PROBE: Self =
        unsigned("head-probe", Some(text("HEAD")), list![], None, Reply::Empty);

    /// A `GET` request, as Mailchimp Marketing sends: 200.
    pub const GET_PROBE: Self = unsigned("get-probe", GET, list![], None, Reply::Empty);

    /// WooCommerce's unsigned form `webhook_id=…`, sent when a webhook is saved: 200.
    pub const WOOCOMMERCE: Self = unsigned(
        "woocommerce",
        POST,
        list![Condition { place: Place::Form(text("webhook_id")), expected: Expected::Present }],
        None,
        Reply::Empty,
    );

    const ALL: &[Self] = &[
        Self::SLACK,
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
    ];

    /// The challenge of this name, such as `slack` or `head-probe`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|challenge| challenge.name == name).cloned()
    }

    /// The challenge's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the body has to be read before it is clear that this is one.
    pub(crate) fn looks_into_body(&self) -> bool {
        let places = self.when.iter().map(|condition| &condition.place);
        places.chain(&self.token).any(Place::is_in_body)
    }

    /// Whether the answer is made with a secret of the receiver.
    pub(crate) fn asks_for_mac(&self) -> bool {
        matches!(&self.reply, Reply::Json(members) if members.iter().any(|(_, value)| matches!(value, Value::Mac { .. })))
    }

    /// Whether the token is a secret to keep.
    pub(crate) fn is_handshake(&self) -> bool {
        matches!(self.reply, Reply::Keep(_))
    }

    /// Whether `token` may be echoed, signed or kept, whichever this challenge does. Where it has none, nothing is wrong with
    /// that.
    pub(crate) fn suits(&self, token: &str) -> bool {
        if self.token.is_none() {
            return true;
        }
        match self.reply {
            Reply::Empty => true,
            Reply::Keep(_) => is_word(&[token.as_bytes()]),
            Reply::Json(_) if self.asks_for_mac() => is_word(&[token.as_bytes()]),
            Reply::Json(_) | Reply::Text => {
                let markup = |char: char| char.is_control() || "<>&\"'\\".contains(char);
                (1..=MAX_TOKEN).contains(&token.len()) && !token.contains(markup)
            }
        }
    }
}

/// The longest token that is echoed, in bytes.
const MAX_TOKEN: usize = 1024;
/// The longest that is signed or kept.
const MAX_WORD: usize = 256;

/// Whether the pieces in a row are a token that may be signed for whoever asks, or kept.
pub(crate) fn is_word(pieces: &[&[u8]]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(byte);
    let len = pieces.iter().map(|piece| piece.len()).sum();
    (1..=MAX_WORD).contains(&len) && pieces.iter().copied().flatten().all(harmless)
}

const GET: Option<Text> = Some(text("GET"));
const POST: Option<Text> = Some(text("POST"));
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
