//! Searches for two requests with one signature and different meanings: there are none for templates
//! that build, and there are with the proof switched off.
//!
//! The meaning of a request is the list of its parts' values, as the verifier reads them. A few
//! parts are texts without delimiters of their own, as their senders sign them, so their meaning is
//! that text: `{form}`, `{sorted-query}` and `{header-values:KEY}`. `{crc32}` stands for the
//! checksum, not for the body. Where `{form}` follows `{url}`, as Twilio signs both, a parameter of
//! the query can become a field of the form. `{secret}` and `{parameter:NAME}` never vary.

mod draft;

use std::{borrow::Cow, collections::BTreeSet, env};

use sha2::{Digest as _, Sha256};

use self::draft::Draft;
use super::{
    Verifier,
    signed::{Sources, texts},
    url,
};
use crate::{
    encoding::Encoding,
    request::{Fields, Picked, json::scalar},
    scheme::{Algorithm, Grammar, Identity, Part, Scheme, TimeUnit, UrlForm, misfit},
};

const SECRET: &str = "SECRET";
const PARAMETER: &str = "P";
/// The start of the public URL, without and with a port.
const HOSTS: [&str; 2] = ["https://h", "https://h:443"];

/// The place of the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Header(TimeUnit),
    Pair,
    Before,
    Pointer,
    Form,
}

const TIMES: [Time; 9] = [
    Time::Header(TimeUnit::Seconds),
    Time::Header(TimeUnit::Milliseconds),
    Time::Header(TimeUnit::Rfc3339),
    Time::Header(TimeUnit::Utc),
    Time::Header(TimeUnit::Rfc1123),
    Time::Pair,
    Time::Before,
    Time::Pointer,
    Time::Form,
];

/// The place of the delivery ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Header,
    Pointer,
}

const IDS: [Id; 2] = [Id::Header, Id::Pointer];

/// All kinds of parts. A letter for each source, so that some parts have the same.
const PARTS: [&str; 50] = [
    "{body}",
    "{body:json}",
    "{body:sha1}",
    "{body:sha256}",
    "{body:sha512}",
    "{body:md5-base64}",
    "{body:sha1-base64}",
    "{body:sha256-raw}",
    "{timestamp}",
    "{id}",
    "{url}",
    "{url:either-port}",
    "{url:partly-decoded}",
    "{url:without-query}",
    "{method}",
    "{path}",
    "{path:escaped-twice}",
    "{query:q}",
    "{query:r}",
    "{sorted-query}",
    "{header:h}",
    "{header:g}",
    "{signed-headers:l}",
    "{pair:n}",
    "{header-values:n}",
    "{json:/a}",
    "{json:/b}",
    "{json:/c}",
    "{free-json:/a}",
    "{free-json:/b}",
    "{free-json:/a if /c=x}",
    "{free-json:/d if /c!=x}",
    "{form:e}",
    "{form:f}",
    "{fields:a,b}",
    "{fields:d,c,id}",
    "{form}",
    "{crc32}",
    "{parameter:p}",
    "{secret}",
    "[[<{query:q}>]]",
    "[[<{header:h}>]]",
    "[[h{header:g}:]]",
    "[[<{json:/a}>]]",
    "[[<{form:f}>]]",
    "[[<{body}>]]",
    "[[<{id}>]]",
    "[[<{free-json:/a}>]]",
    "[[<{crc32}>]]",
    "[[<{fields:a,b}>]]",
];

/// Text between parts. The last ones may occur in other parts, or begin and end them.
const BETWEEN: [&str; 12] = ["", "", ":", ".", "\n", ";", " ", "{{", "}}", "/", "1", "?"];

/// Texts after the common part of two versions.
const ENDS: [[&str; 2]; 6] =
    [[":", ";"], [";", ":"], [".", ":"], ["1", ":"], ["/", "="], ["a", "b"]];

/// Returns the name of a part's kind. A new kind of part must be among [`PARTS`].
fn kind(part: &Part) -> &'static str {
    match part {
        Part::Literal(_) => "text",
        Part::Body => "body",
        Part::JsonBody => "body:json",
        Part::BodyDigest(..) => "body:sha",
        Part::Timestamp => "timestamp",
        Part::Id => "id",
        Part::Url(_) => "url",
        Part::Method => "method",
        Part::Path(_) => "path",
        Part::Query(_) => "query",
        Part::SortedQuery => "sorted-query",
        Part::Header(_) => "header",
        Part::SignedHeaders(_) => "signed-headers",
        Part::Pair(_) => "pair",
        Part::HeaderValues(_) => "header-values",
        Part::Pointer(..) => "json",
        Part::FormField(_) => "form field",
        Part::Fields(_) => "fields",
        Part::Form => "form",
        Part::Crc32 => "crc32",
        Part::Parameter(_) => "parameter",
        Part::Secret => "secret",
        Part::Group(_) => "group",
    }
}
const KINDS: usize = 23;

/// A small generator with a fixed seed: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Returns `quick`, or `full` if the variable `THOROUGH` is set.
fn size(quick: usize, full: usize) -> usize {
    if env::var_os("THOROUGH").is_some() { full } else { quick }
}

/// A scheme, and a verifier for it.
struct Case {
    /// The signed content, and that of the version `v2`.
    templates: Vec<String>,
    time: Time,
    id: Id,
    url: String,
    verifier: Verifier,
}

impl Case {
    /// Returns nothing if the templates do not build, or have no proof though one is wanted.
    fn new(
        templates: &[String],
        (time, id, path): (Time, Id, &str),
        is_proven: bool,
    ) -> Option<Self> {
        let has = |part: &str| templates.iter().any(|template| template.contains(part));
        let in_pairs = time == Time::Pair && has("{timestamp}");
        let mut builder = Scheme::builder("x").signature_header("sig").identity(Identity::None);
        if in_pairs || has("{pair:") || has("{header-values:") || templates.len() > 1 {
            builder = builder.pairs(',', ["v1", "v2"]);
        }
        for (template, version) in templates.iter().zip(["v1", "v2"]) {
            builder = builder.signed_content_of(version, template);
        }
        if has("{timestamp}") {
            builder = match time {
                Time::Header(unit) => builder.timestamp_header("t").timestamp_unit(unit),
                Time::Pair => builder.timestamp_pair("t"),
                Time::Before => builder.after_timestamp('.'),
                Time::Pointer => builder.timestamp_pointer("/t"),
                Time::Form => builder.timestamp_form("t"),
            };
            builder = builder.tolerance(None);
        }
        if has("{id}") {
            builder = match id {
                Id::Header => builder.id_header("id"),
                Id::Pointer => builder.id_pointer("/id"),
            };
        }
        if has("{secret}") {
            builder = builder.algorithm(Algorithm::KeyedSha256);
        }
        let scheme = if is_proven { builder.build() } else { builder.build_unproven() };
        let url = format!("{}{path}", HOSTS[0]);
        let verifier = Verifier::builder(scheme.ok()?).secret(SECRET).parameter("p", PARAMETER);
        let verifier = if has("{url") { verifier.public_url(&url) } else { verifier };
        let verifier = verifier.build().ok()?;
        Some(Self { templates: templates.to_vec(), time, id, url, verifier })
    }

    fn scheme(&self) -> &Scheme {
        self.verifier.scheme()
    }

    fn signs_time(&self) -> bool {
        self.scheme().timestamp.is_some()
    }

    fn unit(&self) -> TimeUnit {
        match self.time {
            Time::Header(unit) => unit,
            Time::Pair | Time::Before | Time::Pointer | Time::Form => TimeUnit::Seconds,
        }
    }

    fn has_url(&self) -> bool {
        self.scheme().needs_public_url()
    }

    fn uses_pairs(&self) -> bool {
        let mut sources = self.scheme().signatures.iter();
        sources.any(|source| matches!(source.grammar, Grammar::Pairs { .. }))
    }

    fn contents(&self) -> Vec<&[Part]> {
        let versions = self.scheme().version_contents.iter().map(|(_, content)| &**content);
        [&*self.scheme().content].into_iter().chain(versions).collect()
    }

    /// Returns the texts of the parts of a request.
    fn texts(&self, draft: &Draft, version: usize) -> Option<Vec<Vec<u8>>> {
        let settings = self.verifier.settings();
        let (headers, target, body) =
            (draft.headers(self, version, ""), draft.target(), draft.body());
        let head = draft.head(&headers, &target);
        let picked = Picked::new(&head, &settings.names);
        let value = |name: &str| picked.single(name).ok().flatten();
        let timestamp = match self.time {
            Time::Header(_) => value("t"),
            _ => draft.time.as_deref().map(str::as_bytes),
        };
        let id = value("id").unwrap_or_default();
        let sources = Sources { settings, head: &head, picked: &picked, timestamp, id };
        let forms = || self.contents().into_iter().flatten().filter_map(|part| part.facts().url);
        let url = match forms().next() {
            Some(UrlForm::WithoutQuery) => Cow::from(&self.url),
            Some(UrlForm::PartlyDecoded) => url::partly_decoded(&sources.url()).into_owned().into(),
            _ => sources.url(),
        };
        let content = match version {
            0 => settings.content(),
            _ => settings.version(version - 1),
        };
        let mut slots = None;
        let fields = Fields::read(&settings.plan.pointers, &mut slots, &body);
        let texts = texts(content, (&sources, &url), fields, draft.is_form()).ok()?;
        let text = |(part, text): (&Part, Cow<'_, [u8]>)| match part {
            Part::Secret => SECRET.into(),
            _ => text.into_owned(),
        };
        Some(content.0.iter().zip(texts).map(text).collect())
    }

    /// Returns what the verifier reads for each part.
    fn meaning(&self, draft: &Draft, version: usize) -> Option<Vec<Vec<u8>>> {
        let mut values = self.texts(draft, version)?;
        let body = draft.body();
        for (part, value) in self.contents()[version].iter().zip(&mut values) {
            match part {
                Part::Url(UrlForm::EitherPort) => *value = draft.target().into_bytes(),
                Part::SignedHeaders(list) => {
                    let names = draft.headers.get(&**list)?;
                    // An absent header is signed like an empty one.
                    let value_of =
                        |name| (name, draft.headers.get(name).map_or("", |it| it.trim()));
                    let listed: Vec<_> = names.split(',').map(value_of).collect();
                    *value = format!("{listed:?}").into_bytes();
                }
                Part::Fields(pointers) => {
                    let fields = pointers.iter().map(|pointer| scalar(&body, pointer));
                    let fields: Result<Vec<_>, _> = fields.collect();
                    *value = format!("{:?}", fields.ok()?).into_bytes();
                }
                _ => {}
            }
        }
        Some(values)
    }

    fn sign(&self, text: &[u8]) -> String {
        match self.scheme().algorithm() {
            Algorithm::KeyedSha256 => Encoding::Hex.encode(&Sha256::digest(text)),
            _ => {
                let tag = self.verifier.settings().keys()[0].tag(&[text]);
                Encoding::Hex.encode(tag.as_bytes(32))
            }
        }
    }

    fn accepts(&self, draft: &Draft, version: usize, signature: &str) -> bool {
        let (headers, target) = (draft.headers(self, version, signature), draft.target());
        self.verifier.verify(draft.head(&headers, &target), draft.body()).is_ok()
    }

    /// Returns a request that the sender may make.
    fn genuine(&self, random: &mut Random, version: usize) -> Option<Draft> {
        let mut parts: Vec<_> = self.contents()[version].iter().collect();
        // What decides about other parts comes first.
        parts.sort_by_key(|part| match part {
            Part::Url(_) | Part::Path(_) | Part::Pair(_) => 0,
            Part::Body | Part::JsonBody | Part::HeaderValues(_) => 2,
            _ => 1,
        });
        let mut draft = Draft::new(b"{}".to_vec());
        for part in parts {
            draft = draft.sent(part, self, &mut |part| self.value(random, part))?;
        }
        Some(draft)
    }

    /// Returns a value that a sender may give to a part. It resembles other parts.
    fn value(&self, random: &mut Random, part: &Part) -> String {
        let targets = ["", "?", "?a", "?a[b]=1", "?q=1", "?a={", "/", "?a=1:b", "?a=\"{}", "?x.y"];
        match part {
            Part::Timestamp => random.pick(&times(self.unit())).to_owned(),
            Part::Method => random.pick(&["GET", "G", "P", "P1"]).to_owned(),
            Part::Url(_) => random.pick(&targets).trim_start_matches('/').to_owned(),
            Part::Path(_) => {
                let path = random.pick(&["/", "/a", "/a/b", "/1", "/a:b", "/a;b"]);
                format!("{path}{}", random.pick(&targets))
            }
            Part::Pair(_) => random.pick(&["x", "x h", "h x g", "1", "a b"]).to_owned(),
            Part::JsonBody => {
                let bodies = [
                    "",
                    "{}",
                    "{}",
                    "[1]",
                    "{\"a\":\"}\"}",
                    "{} ",
                    "[]\n",
                    "[\".\"]",
                    "x",
                    ":443x",
                ];
                random.pick(&bodies).to_owned()
            }
            Part::Fields(_) => match random.below(3) {
                0 => "absent".to_owned(),
                1 => random.pick(&["x\nb\ny", "x\nc\ny\nid\nz", "1"]).to_owned(),
                _ => self.any(random),
            },
            Part::SignedHeaders(_) => match random.below(3) {
                0 => random.pick(&["1;l:h,l,x;x:2", "1;l:l;l:l", "1;x:2", "l:l", "h:1"]).to_owned(),
                _ => self.any(random).replace('\n', ""),
            },
            Part::Id => format!("{}{}", random.pick(&["1", "a", "{}"]), self.any(random)),
            _ => self.any(random),
        }
    }

    fn any(&self, random: &mut Random) -> String {
        const TOKENS: [&str; 24] = [
            "a", "b", "1", "9", ":", ".", "\n", "?", "=", "/", ";", " ", "{", "}", "{}", "[1]",
            "x", "<1>", ">", "h1:", "P", "x}", "GET", "\n{}",
        ];
        let mut text = String::new();
        for _ in 0..random.below(4) {
            text += match random.below(12) {
                0 => times(random.pick(&UNITS))[random.below(3)],
                _ => random.pick(&TOKENS),
            };
        }
        text
    }
}

const UNITS: [TimeUnit; 5] = [
    TimeUnit::Seconds,
    TimeUnit::Milliseconds,
    TimeUnit::Rfc3339,
    TimeUnit::Utc,
    TimeUnit::Rfc1123,
];

fn times(unit: TimeUnit) -> [&'static str; 3] {
    match unit {
        TimeUnit::Seconds => ["1700000000", "1795305600", "999999999"],
        TimeUnit::Milliseconds => ["1700000000000", "1795305600123", "999999999999"],
        TimeUnit::Rfc3339 => {
            ["2026-11-22T00:00:00Z", "2026-11-22T00:00:00.12+00:00", "2026-11-22T00:00:00.1Z"]
        }
        TimeUnit::Utc => ["2026-11-22T00:00:00", "2026-11-22T00:00:00.12", "2026-11-22T00:00:00.1"],
        TimeUnit::Rfc1123 => [
            "Sun, 22 Nov 2026 00:00:00 GMT",
            "Sun, 22 Nov 2026 00:00:00 +0000",
            "Sun, 1 Nov 2026 00:00:00 GMT",
        ],
    }
}

/// Two requests with one signature: the parts that differ, and the requests.
struct Collision {
    kinds: (&'static str, &'static str),
    report: String,
}

/// A search for other requests with the same signature.
struct Search<'c> {
    case: &'c Case,
    /// The version that is signed, and the one in which it is read.
    versions: (usize, usize),
    meaning: Vec<Vec<u8>>,
    signature: String,
    steps: usize,
    found: Option<Collision>,
}

impl<'c> Search<'c> {
    /// Returns nothing if the verifier does not accept the request.
    fn new(
        case: &'c Case,
        original: &'c Draft,
        versions: (usize, usize),
    ) -> Option<(Self, String)> {
        let texts = case.texts(original, versions.0)?;
        let signed = texts.concat();
        let signature = case.sign(&signed);
        // The bytes of a digest are seldom text, so they become other characters.
        let text = String::from_utf8(signed)
            .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect());
        if !case.accepts(original, versions.0, &signature) {
            return None;
        }
        let misfit = misfit(case.scheme(), case.contents()[versions.0], &texts);
        assert_eq!(misfit, None, "not as the proof assumes: {texts:?}");
        let meaning = case.meaning(original, versions.0)?;
        let search = Self { case, versions, meaning, signature, steps: 20_000, found: None };
        Some((search, text))
    }

    /// Gives the next part each text that it may have.
    fn split(&mut self, parts: &[Part], text: &str, draft: &Draft) {
        let Some((part, others)) = parts.split_first() else {
            return if text.is_empty() {
                self.judge(draft)
            };
        };
        let shortest = if others.is_empty() { text.len() } else { 0 };
        for len in shortest..=text.len() {
            if self.found.is_some() || self.steps == 0 {
                return;
            }
            if !text.is_char_boundary(len) {
                continue;
            }
            if !self.may_follow(part, &text[..len], others, &text[len..]) {
                continue;
            }
            self.steps -= 1;
            for draft in draft.with(part, &text[..len], self.case) {
                self.split(others, &text[len..], &draft);
            }
        }
    }

    /// Returns whether it is worthwhile to give the part this text, and the others the rest.
    fn may_follow(&self, part: &Part, text: &str, others: &[Part], rest: &str) -> bool {
        let is_time = || text.is_empty() || self.case.unit().parse(text.as_bytes()).is_some();
        let may_be = match part {
            Part::Literal(literal) => text == literal,
            Part::Timestamp => is_time(),
            _ => true,
        };
        may_be
            && match others.first() {
                Some(Part::Literal(literal)) => rest.starts_with(&**literal),
                Some(Part::Url(_)) => rest.starts_with(HOSTS[0]),
                Some(Part::Secret) => rest.starts_with(SECRET),
                _ => true,
            }
    }

    fn judge(&mut self, draft: &Draft) {
        let (signed, read) = self.versions;
        if self.found.is_some() || !self.case.accepts(draft, read, &self.signature) {
            return;
        }
        let parts = self.case.contents()[read];
        let meaning = self.case.meaning(draft, read).unwrap();
        let kinds = if signed == read {
            let differing = parts.iter().zip(self.meaning.iter().zip(&meaning));
            let mut differing = differing.filter(|(_, (one, other))| one != other);
            let Some((first, _)) = differing.next() else { return };
            let (last, _) = differing.next_back().unwrap_or((first, (&Vec::new(), &Vec::new())));
            if matches!((first, last), (Part::Url(_), Part::Form)) {
                return;
            }
            (kind(first), kind(last))
        } else {
            ("version", "version")
        };
        let Case { templates, time, id, url, .. } = self.case;
        let [one, other] = [&self.meaning, &meaning].map(|values| {
            values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>()
        });
        let report =
            format!("{templates:?} with {time:?}, {id:?} and {url}:\n{one:?}\n{other:?}\n");
        self.found = Some(Collision { kinds, report });
    }
}

/// Searches with several requests.
fn collision(case: &Case, random: &mut Random, requests: usize) -> (usize, Option<Collision>) {
    let mut genuine = 0;
    for _ in 0..requests {
        let versions = case.contents().len();
        let (signed, as_read) = (random.below(versions), random.below(versions));
        let Some(original) = case.genuine(random, signed) else { continue };
        let Some((mut search, text)) = Search::new(case, &original, (signed, as_read)) else {
            continue;
        };
        genuine += 1;
        let empty = Draft::new(original.body());
        search.split(case.contents()[as_read], &text, &empty);
        if search.found.is_some() {
            return (genuine, search.found);
        }
    }
    (genuine, None)
}

/// Calls `check` for templates with each pair of parts, and for longer random ones.
fn each_template(random: &mut Random, check: &mut dyn FnMut(&mut Random, &[String])) {
    for one in PARTS {
        for other in PARTS {
            for between in ["", ":", "\n"] {
                check(random, &[format!("{one}{between}{other}")]);
            }
            check(random, &[format!("{one}{{body:json}}"), format!("{one}.{other}")]);
        }
    }
    // Two versions with a common part, whose end must be at the same byte in both.
    for (part, ends) in PARTS.iter().flat_map(|part| ENDS.map(|ends| (part, ends))) {
        check(random, &ends.map(|end| format!("{part}{end}{{body}}")));
    }
    // The body may be any text here, if there is no query.
    let urls = PARTS.iter().filter(|part| part.starts_with("{url"));
    for (url, other) in urls.flat_map(|url| PARTS.map(|other| (url, other))) {
        for between in ["", ".", "\n"] {
            check(random, &[format!("{url}{{body:json}}{between}{other}")]);
        }
    }
    for _ in 0..size(3_000, 30_000) {
        let versions = if random.below(8) == 0 { 2 } else { 1 };
        let parts = 1 + random.below(6);
        let start: Vec<_> = (0..random.below(3)).map(|_| any_part(random)).collect();
        let templates: Vec<_> = (0..versions)
            .map(|_| {
                // The text after a common part may determine where the part ends.
                let after = random.pick(&BETWEEN).to_owned();
                let more: Vec<_> = (0..parts).map(|_| any_part(random)).collect();
                start.iter().cloned().chain([after]).chain(more).take(6).collect()
            })
            .collect();
        check(random, &templates);
    }
}

fn any_part(random: &mut Random) -> String {
    format!("{}{}", random.pick(&PARTS), random.pick(&BETWEEN))
}

fn settings(random: &mut Random) -> (Time, Id, &'static str) {
    (random.pick(&TIMES), random.pick(&IDS), random.pick(&["/p", "/p", ""]))
}

#[test]
fn templates_that_build_have_one_meaning() {
    let mut random = Random(1);
    let (mut kinds, mut searched) = (BTreeSet::new(), 0);
    each_template(&mut random, &mut |random, templates| {
        for _ in 0..size(1, 4) {
            let Some(case) = Case::new(templates, settings(random), true) else { continue };
            let (genuine, found) = collision(&case, random, 8);
            if let Some(Collision { report, .. }) = found {
                panic!("one signature, two meanings: {report}");
            }
            if genuine > 0 {
                kinds.extend(case.contents().iter().flat_map(|parts| parts.iter()).map(kind));
                searched += 1;
            }
        }
    });
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
    assert!(searched > 1_000, "{searched}");
}

#[test]
fn without_the_proof_requests_with_two_meanings_are_found() {
    let mut random = Random(2);
    let mut pairs = BTreeSet::new();
    each_template(&mut random, &mut |random, templates| {
        let settings = settings(random);
        let Some(case) = Case::new(templates, settings, false) else { return };
        let is_proven = Case::new(templates, settings, true).is_some();
        if !is_proven && let (_, Some(found)) = collision(&case, random, 5) {
            pairs.insert(found.kinds);
        }
    });
    assert!(pairs.len() > 100, "{}: {pairs:?}", pairs.len());
    assert!(pairs.contains(&("version", "version")));
}
