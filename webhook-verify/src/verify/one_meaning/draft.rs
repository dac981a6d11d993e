//! Requests that are put together from the texts of signed parts.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Case, HOSTS, Id, PARAMETER, SECRET, Time};
use crate::{
    encoding::Encoding,
    request::{Headers, RequestHead},
    scheme::{DigestForm, Part, PathForm, UrlForm},
    verify::url,
};

/// The names of the headers that a signed list may have, in addition to its own.
const LISTED: &[&str] = &["h", "g", "x"];

/// A request, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    method: Option<String>,
    path: Option<String>,
    /// The query as sent, if there is one.
    query: Option<Option<String>>,
    params: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
    pairs: BTreeMap<String, String>,
    pub(super) time: Option<String>,
    raw: Option<String>,
    json: Option<BTreeMap<String, Option<String>>>,
    form: Option<BTreeMap<String, String>>,
    checksum: Option<u32>,
    /// The body if nothing else is known of it.
    other_body: Vec<u8>,
}

fn set<T: PartialEq>(slot: &mut Option<T>, value: T) -> bool {
    match slot {
        None => {
            *slot = Some(value);
            true
        }
        Some(known) => *known == value,
    }
}

fn put<V: PartialEq>(map: &mut BTreeMap<String, V>, name: &str, value: V) -> bool {
    match map.get(name) {
        None => {
            map.insert(name.to_owned(), value);
            true
        }
        Some(known) => *known == value,
    }
}

fn is_digest(encoding: Encoding, len: usize, text: &str) -> bool {
    encoding.decode(text.as_bytes()).is_some_and(|digest| digest.len() == len)
}

/// Returns a body of four bytes with this CRC-32.
fn body_of(checksum: u32) -> Vec<u8> {
    let mut state = !checksum;
    for _ in 0..32 {
        state = match state >> 31 {
            1 => ((state ^ 0xedb8_8320) << 1) | 1,
            _ => state << 1,
        };
    }
    (!state).to_le_bytes().to_vec()
}

impl Draft {
    /// Returns a draft of which only the body is known, if no part defines it.
    pub(super) fn new(other_body: Vec<u8>) -> Self {
        Self { other_body, ..Self::default() }
    }

    fn field(&mut self, name: &str, value: Option<&str>) -> bool {
        let fields = self.json.get_or_insert_default();
        put(fields, name, value.map(ToOwned::to_owned))
    }

    fn form_field(&mut self, name: &str, value: &str) -> bool {
        put(self.form.get_or_insert_default(), name, value.to_owned())
    }

    fn query_after(&mut self, rest: &str) -> bool {
        match rest.strip_prefix('?') {
            Some(query) => set(&mut self.query, Some(query.to_owned())),
            None => rest.is_empty() && set(&mut self.query, None),
        }
    }

    fn path_and_query(&mut self, text: &str, case: &Case) -> bool {
        if case.has_url() {
            let rest = text.strip_prefix(url::path_of(&case.url));
            return rest.is_some_and(|rest| self.query_after(rest));
        }
        let at = text.find('?').unwrap_or(text.len());
        text.starts_with('/')
            && set(&mut self.path, text[..at].to_owned())
            && self.query_after(&text[at..])
    }

    /// Returns the drafts in which the part has this text.
    pub(super) fn with(&self, part: &Part, text: &str, case: &Case) -> Vec<Self> {
        match part {
            Part::SignedHeaders(list) => return self.with_signed_headers(list, text),
            Part::Fields(pointers) => {
                let names: Vec<_> = pointers.iter().map(|name| &name[1..]).collect();
                return self.with_lines(&names, text);
            }
            _ => {}
        }
        let mut draft = self.clone();
        if draft.take(part, text, case) { vec![draft] } else { Vec::new() }
    }

    fn take(&mut self, part: &Part, text: &str, case: &Case) -> bool {
        let owned = || text.to_owned();
        match part {
            Part::Literal(literal) => text == literal,
            Part::Parameter(_) => text == PARAMETER,
            Part::Secret => text == SECRET,
            Part::Body | Part::JsonBody => set(&mut self.raw, owned()),
            Part::BodyDigest(hash, form) => match form {
                DigestForm::Raw => text.chars().count() == hash.len(),
                DigestForm::Hex => is_digest(Encoding::Hex, hash.len(), text),
                DigestForm::Base64 => is_digest(Encoding::Base64, hash.len(), text),
            },
            Part::Timestamp => match case.time {
                Time::Header(_) => put(&mut self.headers, "t", owned()),
                Time::Pair | Time::Before => set(&mut self.time, owned()),
                Time::Pointer => self.field("t", Some(text)),
                Time::Form => self.form_field("t", text),
            },
            Part::Id => match case.id {
                Id::Header => put(&mut self.headers, "id", owned()),
                Id::Pointer => self.field("id", Some(text)),
            },
            Part::Url(form) => HOSTS.iter().any(|host| {
                let url = case.url.replacen(HOSTS[0], host, 1);
                let rest = text.strip_prefix(&*url);
                let mut draft = self.clone();
                let fits = rest.is_some_and(|rest| match form {
                    UrlForm::WithoutQuery => rest.is_empty(),
                    UrlForm::AsConfigured | UrlForm::EitherPort | UrlForm::PartlyDecoded => {
                        draft.query_after(rest)
                    }
                });
                if fits {
                    *self = draft;
                }
                fits
            }),
            Part::Method => set(&mut self.method, owned()),
            Part::Path(PathForm::AsSent) => self.path_and_query(text, case),
            Part::Path(PathForm::EscapedTwice) => {
                let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let (path, query) = text.split_once('?').unwrap_or((text, ""));
                let query = decode(&decode(query));
                let mark = if query.is_empty() { "" } else { "?" };
                self.path_and_query(&format!("{}{mark}{query}", decode(path)), case)
            }
            Part::Query(name) => put(&mut self.params, name, owned()),
            Part::SortedQuery => match text.split_once('=') {
                Some((name, value)) => put(&mut self.params, name, value.to_owned()),
                None => text.is_empty(),
            },
            Part::Header(name) => put(&mut self.headers, name, owned()),
            Part::Pair(key) => put(&mut self.pairs, key, owned()),
            Part::HeaderValues(key) => {
                let names = self.pairs.entry(key.to_string()).or_insert_with(|| "x".into()).clone();
                let names: Vec<_> = names.split(' ').collect();
                let values: Vec<_> = text.splitn(names.len(), '.').collect();
                values.len() == names.len()
                    && names
                        .iter()
                        .zip(values)
                        .all(|(name, value)| put(&mut self.headers, name, value.to_owned()))
            }
            Part::Pointer(pointer, _) => self.field(&pointer[1..], Some(text)),
            Part::FormField(name) => self.form_field(name, text),
            Part::Form if text.is_empty() => set(&mut self.raw, owned()),
            Part::Form => self.form_field(text, ""),
            Part::Crc32 => text.parse().is_ok_and(|checksum| set(&mut self.checksum, checksum)),
            Part::Group(parts) => {
                let [Part::Literal(before), part, Part::Literal(after)] = &**parts else {
                    return false;
                };
                let text = match text {
                    "" => Some(""),
                    _ => text
                        .strip_prefix(&**before)
                        .and_then(|text| text.strip_suffix(&**after))
                        .filter(|text| !text.is_empty()),
                };
                text.is_some_and(|text| self.take(part, text, case))
            }
            Part::SignedHeaders(_) | Part::Fields(_) => false,
        }
    }

    /// Returns the drafts whose listed headers have this text, with any list.
    fn with_signed_headers(&self, list: &str, text: &str) -> Vec<Self> {
        let start = format!("{list}:");
        let mut drafts = Vec::new();
        for (at, _) in text.match_indices(&start) {
            let rest = &text[at + start.len()..];
            let ends = rest.match_indices(';').map(|(end, _)| end).chain([rest.len()]);
            for names in ends.map(|end| &rest[..end]) {
                let mut draft = self.clone();
                if put(&mut draft.headers, list, names.to_owned()) {
                    let names: Vec<_> = names.split(',').collect();
                    draft.with_listed(&names, list, text, &mut drafts);
                }
            }
        }
        drafts
    }

    fn with_listed(&self, names: &[&str], list: &str, text: &str, drafts: &mut Vec<Self>) {
        let [name, names @ ..] = names else { return };
        let Some(rest) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) else {
            return;
        };
        let mut value = |value: &str, rest: Option<&str>| {
            let mut draft = self.clone();
            // A name may be any text: then there is no such header.
            let is_known = LISTED.contains(name) || *name == list || *name == "t";
            let fits = match is_known {
                true => put(&mut draft.headers, name, value.to_owned()),
                false => value.is_empty(),
            };
            match (fits, rest) {
                (true, Some(rest)) => draft.with_listed(names, list, rest, drafts),
                (true, None) => drafts.push(draft),
                (false, _) => {}
            }
        };
        if names.is_empty() {
            return value(rest, None);
        }
        for (end, _) in rest.match_indices(';') {
            value(&rest[..end], Some(&rest[end + 1..]));
        }
    }

    /// Returns the drafts in which the fields have these lines.
    fn with_lines(&self, names: &[&str], text: &str) -> Vec<Self> {
        let [name, others @ ..] = names else {
            return if text.is_empty() { vec![self.clone()] } else { Vec::new() };
        };
        let mut drafts = Vec::new();
        let mut draft = self.clone();
        if draft.field(name, None) {
            drafts.extend(draft.with_lines(others, text));
        }
        if let Some(rest) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('\n')) {
            for (end, _) in rest.match_indices('\n') {
                let mut draft = self.clone();
                if draft.field(name, Some(&rest[..end])) {
                    drafts.extend(draft.with_lines(others, &rest[end + 1..]));
                }
            }
        }
        drafts
    }

    pub(super) fn body(&self) -> Vec<u8> {
        match (&self.raw, &self.json, &self.form, self.checksum) {
            (Some(raw), ..) => raw.clone().into_bytes(),
            (_, Some(fields), ..) => {
                let mut object = Map::new();
                for (name, value) in fields {
                    if let Some(value) = value {
                        object.insert(name.clone(), value.clone().into());
                    }
                }
                Value::Object(object).to_string().into_bytes()
            }
            (_, _, Some(fields), _) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(fields).finish().into_bytes()
            }
            (None, None, None, Some(checksum)) if crc32fast::hash(&self.other_body) != checksum => {
                body_of(checksum)
            }
            _ => self.other_body.clone(),
        }
    }

    pub(super) fn target(&self) -> String {
        let path = self.path.as_deref().unwrap_or("/p");
        let params =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish();
        match &self.query {
            Some(Some(query)) => format!("{path}?{query}"),
            None if !params.is_empty() => format!("{path}?{params}"),
            _ => path.to_owned(),
        }
    }

    /// Returns the headers with a signature, or without.
    pub(super) fn headers(
        &self,
        case: &Case,
        version: usize,
        signature: &str,
    ) -> Vec<(String, String)> {
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if self.form.is_some() && self.raw.is_none() {
            headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
        }
        let time = self.time.as_deref().unwrap_or_default();
        let text = match case.time {
            Time::Before if case.signs_time() => format!("{time}.{signature}"),
            _ if !case.uses_pairs() => signature.to_owned(),
            _ => {
                let pairs = self.pairs.iter().map(|(key, value)| format!("{key}={value},"));
                let time =
                    (case.time == Time::Pair && case.signs_time()).then(|| format!("t={time},"));
                pairs.chain(time).chain([format!("v{}={signature}", version + 1)]).collect()
            }
        };
        headers.push(("sig".into(), text));
        headers
    }

    /// Returns whether the body is read as a form.
    pub(super) fn is_form(&self) -> bool {
        self.form.is_some() && self.raw.is_none()
    }

    pub(super) fn head<'a>(
        &'a self,
        headers: &'a impl Headers,
        target: &'a str,
    ) -> RequestHead<'a> {
        RequestHead::new(headers).method(self.method.as_deref().unwrap_or("POST")).target(target)
    }
}

/// Sets what the sender may choose.
impl Draft {
    /// Adds a part with a text that its sender may give it. Returns nothing if it has no place.
    pub(super) fn sent(
        mut self,
        part: &Part,
        case: &Case,
        text: &mut dyn FnMut(&Part) -> String,
    ) -> Option<Self> {
        match part {
            Part::Literal(_)
            | Part::Parameter(_)
            | Part::Secret
            | Part::BodyDigest(..)
            | Part::Crc32 => {}
            Part::Body | Part::JsonBody if self.json.is_some() || self.form.is_some() => {}
            Part::Url(_) => {
                let query = text(part);
                if self.query.is_none() && !self.query_after(&query) {
                    return None;
                }
            }
            Part::Group(parts) => {
                let inner = parts.get(1)?;
                return self.sent(inner, case, text);
            }
            Part::SignedHeaders(list) => {
                let mut names = vec!["h", list, "x", "g"];
                names.rotate_left(text(part).len() % 4);
                names.truncate(1 + text(part).len() % 4);
                names.extend((!names.contains(&&**list)).then_some(&**list));
                names.extend(matches!(case.time, Time::Header(_)).then_some("t"));
                for name in names.iter().filter(|name| LISTED.contains(name)) {
                    let value = text(part);
                    self.headers.entry((*name).to_owned()).or_insert(value);
                }
                self.headers.insert(list.to_string(), names.join(","));
            }
            Part::Fields(pointers) => {
                for name in pointers.iter() {
                    let value = Some(text(part)).filter(|value| value != "absent");
                    self.field(&name[1..], value.as_deref());
                }
            }
            Part::Pair(key) => {
                let value = text(part);
                put(&mut self.pairs, key, value).then_some(())?;
            }
            Part::HeaderValues(key) => {
                let names = self.pairs.entry(key.to_string()).or_insert_with(|| "x".into()).clone();
                for name in names.split(' ') {
                    let value = text(part);
                    self.headers.entry(name.to_owned()).or_insert(value);
                }
            }
            Part::Form if self.form.is_some() => {}
            Part::SortedQuery | Part::Query(_) if self.query.is_some() => {}
            _ => {
                let value = text(part);
                if !self.take(part, &value, case) {
                    return None;
                }
            }
        }
        Some(self)
    }
}
