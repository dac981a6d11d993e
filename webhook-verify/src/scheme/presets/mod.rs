//! One row for each sender. If a row needs code, a building block is missing.

/// A row: the named fields, and the others from the row after `like` or from `Scheme::BASE`. Its doc
/// comment is a part of the sender's page in `docs/senders`, which is the documentation of the row.
macro_rules! rows {
    ($rows:ident; $($(#[doc = $about:literal])* $ident:ident = $name:literal, $sender:literal, $page:literal, [$($evidence:ident)*] $(like $base:ident)? {
        $($($field:ident).+: $value:expr,)*
    })*) => {
        $(
            #[cfg_attr(not(doc), doc = concat!($sender, ". <", $page, ">"))]
            #[cfg_attr(
                doc,
                doc = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/senders/", $name, ".md"))
            )]
            pub const $ident: Scheme = {
                let mut scheme = Scheme::BASE;
                $(set(&mut scheme, $base);)?
                set(&mut scheme.name, text($name));
                set(&mut scheme.sender, text($sender));
                set(&mut scheme.documentation, text($page));
                set(&mut scheme.evidence, list![$(Evidence::$evidence),*]);
                set(&mut scheme.notes.about, concat!($($about, "\n"),*));
                $(set(&mut scheme.$($field).+, $value);)*
                scheme
            };
        )*
        pub(super) static $rows: &[Scheme] = &[$($ident),*];
    };
}

mod bodies;
mod communication;
mod developer_tools;
mod fields;
mod four_systems;
mod json_web_tokens;
mod operations;
mod payments;
mod public_keys;
mod standard_webhooks;
mod timed;
mod tokens;

use std::{borrow::Cow, mem, time::Duration};

pub use self::{
    bodies::*, communication::*, developer_tools::*, fields::*, four_systems::*,
    json_web_tokens::*, operations::*, payments::*, public_keys::*, standard_webhooks::*, timed::*,
    tokens::*,
};
use super::{
    Envelope, EventList, Field, Grammar, JsonInForm, List, Part, Place, Prefix, Scheme,
    SignatureSource, SignedForm, Text, TimeUnit, TimestampPlace, TimestampSource,
};
use crate::clock::Tolerance;

/// Returns all presets, the four systems first.
pub(super) fn all_presets() -> impl Iterator<Item = &'static Scheme> {
    [
        FOUR_SYSTEMS,
        BODIES,
        TIMED,
        FIELDS,
        TOKENS,
        PUBLIC_KEYS,
        STANDARD_SENDERS,
        SVIX_SENDERS,
        STANDARD_VARIANTS,
        PAYMENTS,
        DEVELOPER_TOOLS,
        COMMUNICATION,
        OPERATIONS,
        JSON_WEB_TOKENS,
    ]
    .into_iter()
    .flatten()
}

/// Sets a field. A constant cannot drop the old value, and nothing in a row owns memory.
const fn set<T>(field: &mut T, value: T) {
    mem::forget(mem::replace(field, value));
}

const BARE: Grammar = Grammar::Plain(Prefix::Refused);

/// `{timestamp}.{body}`
const DOTTED: List<Part> = list![Part::Timestamp, DOT, Part::Body];
/// `{timestamp}{body}`
const TIME_BODY: List<Part> = list![Part::Timestamp, Part::Body];
/// `{body}{timestamp}`
const BODY_TIME: List<Part> = list![Part::Body, Part::Timestamp];
/// `v0:{timestamp}:{body}`
const V0: List<Part> = list![Part::Literal(text("v0:")), Part::Timestamp, COLON, Part::Body];
/// `{id}.{timestamp}.{body}`
const ID_DOTTED: List<Part> = list![Part::Id, DOT, Part::Timestamp, DOT, Part::Body];
const DOT: Part = Part::Literal(text("."));
const COLON: Part = Part::Literal(text(":"));

const fn text(text: &'static str) -> Text {
    Cow::Borrowed(text)
}

/// A signature without a prefix.
const fn plain(header: &'static str) -> SignatureSource {
    at(Place::Header(text(header)), BARE)
}

/// A signature after a prefix.
const fn prefixed(header: &'static str, prefix: &'static str) -> SignatureSource {
    let prefix = Grammar::Plain(Prefix::Required(text(prefix)));
    at(Place::Header(text(header)), prefix)
}

/// Signatures in `key=value` pairs.
const fn pairs(header: &'static str, separator: char, keys: List<Text>) -> SignatureSource {
    at(Place::Header(text(header)), Grammar::Pairs { separator, groups: None, keys })
}

/// Signatures after their versions, separated by spaces.
const fn versions(header: &'static str, versions: List<Text>) -> SignatureSource {
    let grammar = Grammar::List { separator: ' ', version_separator: ',', versions };
    at(Place::Header(text(header)), grammar)
}

/// Signatures separated by commas.
const fn comma_list(header: &'static str) -> SignatureSource {
    SignatureSource { place: Place::Header(text(header)), grammar: BARE, several: Some(',') }
}

const fn at(place: Place, grammar: Grammar) -> SignatureSource {
    SignatureSource { place, grammar, several: None }
}

/// A form field that contains the JSON, as forges send it if the user chooses the form content
/// type.
const fn json_in_form(field: &'static str, signed: SignedForm) -> Option<JsonInForm> {
    Some(JsonInForm { field: text(field), signed })
}

const fn header(name: &'static str) -> Option<Field> {
    Some(Field::Header(text(name)))
}

const fn pointer(pointer: &'static str) -> Option<Field> {
    Some(Field::Pointer(text(pointer)))
}

/// A list of events at a pointer. From an event on, pointers lead to its type and to its identity.
const fn events(at: &'static str, event_type: List<Text>, id: List<Text>) -> Envelope {
    Envelope::List(EventList { form: None, at: text(at), event_type, id })
}

/// An event's time: a pointer from the event on.
const fn event_time(pointer: &'static str, unit: TimeUnit) -> Option<(Text, TimeUnit)> {
    Some((text(pointer), unit))
}

/// An event's data: a pointer from the event on.
const fn data(pointer: &'static str) -> Option<Text> {
    Some(text(pointer))
}

/// A timestamp in a header, with a tolerance of `window` seconds in each direction.
const fn time_header(name: &'static str, unit: TimeUnit, window: u64) -> Option<TimestampSource> {
    timestamp(TimestampPlace::Header(text(name)), unit, window)
}

/// A timestamp among the signature's pairs.
const fn time_pair(key: &'static str, unit: TimeUnit, window: u64) -> Option<TimestampSource> {
    timestamp(TimestampPlace::Pair(text(key)), unit, window)
}

/// The window for a timestamp that is signed but not checked, as the sender states no tolerance.
const NOT_JUDGED: u64 = 0;

const fn timestamp(place: TimestampPlace, unit: TimeUnit, window: u64) -> Option<TimestampSource> {
    let tolerance = match window {
        NOT_JUDGED => None,
        seconds => Some(Tolerance::symmetric(Duration::from_secs(seconds))),
    };
    Some(TimestampSource { place, unit, tolerance })
}

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

const fn minutes(minutes: u64) -> Option<Duration> {
    seconds(minutes * 60)
}

const fn hours(hours: u64) -> Option<Duration> {
    minutes(hours * 60)
}

const fn days(days: u64) -> Option<Duration> {
    hours(days * 24)
}

#[cfg(test)]
mod tests;
