use std::fmt;

use smallvec::SmallVec;

use super::{length_bit, single_value};
use crate::scheme::Text;

/// The headers of a request, independent of the HTTP library.
///
/// Implemented for arrays, slices and `Vec`s of pairs, for references to them and, with the feature
/// `http`, for `http::HeaderMap`. Pass a slice as `&slice`. Names are compared without regard to
/// case. Values are bytes, because senders may send other than text.
///
/// `Sync` makes a [`RequestHead`] `Send`, so that a task can hold it across an `.await`.
pub trait Headers: Sync {
    /// Calls `f` with the name and value of each header line, in order of arrival if that is known.
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8]));
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for [(N, V)] {
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self {
            f(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync, const LEN: usize> Headers for [(N, V); LEN] {
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        self.as_slice().visit(f);
    }
}

impl<H: Headers + ?Sized> Headers for &H {
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        (**self).visit(f);
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> Headers for Vec<(N, V)> {
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        self.as_slice().visit(f);
    }
}

#[cfg(feature = "http")]
impl Headers for http::HeaderMap {
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        for (name, value) in self {
            f(name.as_str(), value.as_bytes());
        }
    }
}

/// The part of a request before its body: method, target and headers, as received.
///
/// For most schemes, a reference to the headers is enough:
///
/// ```
/// use webhook_verify::RequestHead;
///
/// let headers = [("Token", "a29a4f16")];
/// let head = RequestHead::from(&headers);
/// let whole = RequestHead::new(&headers).method("GET").target("/hook?token=a29a4f16");
/// # let _ = (head, whole);
/// ```
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
    headers: &'a dyn Headers,
}

/// A header that must be unique is repeated, or is not UTF-8 where text is needed.
pub(crate) struct AmbiguousHeader;

/// Returns whether a header's name begins with a prefix. Ignores case.
pub(crate) fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

impl<'a> RequestHead<'a> {
    /// Creates the head of a `POST` to `/` with these headers.
    #[must_use]
    pub fn new(headers: &'a dyn Headers) -> Self {
        Self { method: "POST", target: "/", authority: None, headers }
    }

    /// Sets the method, for schemes that sign it.
    #[must_use]
    pub fn method(self, method: &'a str) -> Self {
        Self { method, ..self }
    }

    /// Sets the request target (path and query as sent), for schemes that sign or read it.
    #[must_use]
    pub fn target(self, target: &'a str) -> Self {
        let head = Self { target, ..self };
        match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                head.authority(&rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
            }
            _ => head,
        }
    }

    /// Sets the host of a request without the header `Host`: `:authority` over HTTP/2, or the host
    /// in an absolute target. [`target`](Self::target) already sets it from an absolute target.
    #[must_use]
    pub fn authority(self, authority: &'a str) -> Self {
        // `Host` contains no user information.
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Self { authority: Some(host), ..self }
    }

    /// Returns the path of the target, without the query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        let target = self.path_and_query();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// Returns a header's value, unless it is absent, empty, repeated or not UTF-8. Ignores case.
    /// If the request has no `Host`, returns the [authority](Self::authority) for `host`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let (mut found, mut count) = (None, 0_usize);
        self.visit(&mut |known, value| {
            if known.eq_ignore_ascii_case(name) {
                (found, count) = (Some(value), count + 1);
            }
        });
        let value = found.filter(|value| count == 1 && !value.is_empty())?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the length of the body that the head declares, in bytes.
    pub(crate) fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.trim().parse().ok()
    }

    pub(crate) fn method_text(&self) -> &'a str {
        self.method
    }

    /// Returns path and query. An absolute target, as sent to proxies, loses its scheme and host.
    pub(crate) fn path_and_query(&self) -> &'a str {
        if self.target.starts_with('/') {
            return self.target;
        }
        let after_scheme = self.target.split_once("://").map_or(self.target, |(_, rest)| rest);
        after_scheme.find(['/', '?']).map_or("/", |at| &after_scheme[at..])
    }

    /// Returns whether the target has neither white space nor control characters, as over HTTP.
    pub(crate) fn has_visible_target(&self) -> bool {
        self.target.bytes().all(|byte| byte > b' ' && byte != 0x7f)
    }

    /// Returns the query, if there is one.
    pub(crate) fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the text of a header, which is empty if the header is absent.
    pub(crate) fn header_or_empty(&self, name: &str) -> Result<&'a str, AmbiguousHeader> {
        let (mut value, mut count) = (&b""[..], 0_usize);
        self.visit(&mut |known, found| {
            if known.eq_ignore_ascii_case(name) {
                (value, count) = (found, count + 1);
            }
        });
        match std::str::from_utf8(value) {
            Ok(text) if count <= 1 => Ok(text),
            _ => Err(AmbiguousHeader),
        }
    }

    /// Returns the decoded value of a query parameter, unless it is absent, empty or repeated.
    pub(crate) fn single_query(&self, name: &str) -> Option<String> {
        single_value(self.query()?.as_bytes(), name)
    }

    /// Calls `f` with each header line. If there is no `Host`, adds one with the authority.
    pub(crate) fn visit(&self, f: &mut dyn FnMut(&'a str, &'a [u8])) {
        let Some(authority) = self.authority else {
            return self.headers.visit(f);
        };
        let mut has_host = false;
        self.headers.visit(&mut |name, value| {
            has_host |= name.eq_ignore_ascii_case("host");
            f(name, value);
        });
        if !has_host {
            f("host", authority.as_bytes());
        }
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Omits headers and target, which may contain tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("method", &self.method).finish_non_exhaustive()
    }
}

impl<'a, H: Headers> From<&'a H> for RequestHead<'a> {
    fn from(headers: &'a H) -> Self {
        Self::new(headers)
    }
}

impl<'a> From<&Self> for RequestHead<'a> {
    fn from(head: &Self) -> Self {
        *head
    }
}

#[cfg(feature = "http")]
impl<'a> From<&'a http::request::Parts> for RequestHead<'a> {
    fn from(parts: &'a http::request::Parts) -> Self {
        Self::of_http(&parts.method, &parts.uri, &parts.headers)
    }
}

#[cfg(feature = "http")]
impl<'a, B> From<&'a http::Request<B>> for RequestHead<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        Self::of_http(request.method(), request.uri(), request.headers())
    }
}

#[cfg(feature = "http")]
impl<'a> RequestHead<'a> {
    fn of_http(method: &'a http::Method, uri: &'a http::Uri, headers: &'a http::HeaderMap) -> Self {
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let head = Self::new(headers).method(method.as_str()).target(target);
        uri.authority().map_or(head, |authority| head.authority(authority.as_str()))
    }
}

/// The names of the headers to collect, in lower case.
#[derive(Clone)]
pub(crate) struct Names {
    names: Box<[Text]>,
    /// Header aliases: the name in `names`, and the alias.
    aliases: Box<[(Text, Text)]>,
    /// A bit for each length of a name or alias. Most headers have another length.
    lengths: u64,
}

impl Names {
    pub(crate) fn new(
        names: impl IntoIterator<Item = Text>,
        aliases: impl IntoIterator<Item = (Text, Text)>,
    ) -> Self {
        let names: Box<[Text]> = names.into_iter().collect();
        let aliases: Box<[(Text, Text)]> = aliases.into_iter().collect();
        let all = names.iter().chain(aliases.iter().map(|(_, alias)| alias));
        let lengths = all.fold(0, |lengths, name| lengths | length_bit(name.as_bytes()));
        Self { names, aliases, lengths }
    }

    /// Returns whether a name or alias has the length of this one.
    #[inline]
    fn may_contain(&self, name: &str) -> bool {
        self.lengths & length_bit(name.as_bytes()) != 0
    }

    #[inline]
    fn find(&self, name: &str) -> Option<&str> {
        let mut names = self.names.iter().map(|known| &**known);
        names.find(|known| is_same(known, name))
    }

    /// Returns the header that this name is an alias of.
    fn find_by_alias(&self, name: &str) -> Option<&str> {
        let mut aliases = self.aliases.iter();
        let found = aliases.find(|(_, alias)| is_same(alias, name));
        found.map(|(known, _)| &**known)
    }
}

/// Compares a header's name. Most requests have names in lower case, which are compared faster.
#[inline]
fn is_same(known: &str, name: &str) -> bool {
    known == name || known.eq_ignore_ascii_case(name)
}

/// The headers that a scheme needs, under the scheme's own strings: most lookups compare pointers.
pub(crate) struct Picked<'n, 'a>(SmallVec<[(&'n str, &'a [u8]); 8]>);

impl<'n, 'a> Picked<'n, 'a> {
    /// Collects the headers with these names in one pass.
    #[inline]
    pub(crate) fn new(head: &RequestHead<'a>, names: &'n Names) -> Self {
        let mut picked = Self(SmallVec::new());
        if !names.aliases.is_empty() {
            picked.collect_with_aliases(head, names);
            return picked;
        }
        head.visit(&mut |name, value| {
            if names.may_contain(name)
                && let Some(known) = names.find(name)
            {
                picked.0.push((known, value));
            }
        });
        picked
    }

    fn collect_with_aliases(&mut self, head: &RequestHead<'a>, names: &'n Names) {
        let mut others = Self(SmallVec::new());
        head.visit(&mut |name, value| {
            if !names.may_contain(name) {
                return;
            }
            if let Some(known) = names.find(name) {
                self.0.push((known, value));
            }
            if let Some(known) = names.find_by_alias(name) {
                others.0.push((known, value));
            }
        });
        if !others.0.is_empty() {
            self.add_aliases(&others);
        }
    }

    /// Adds the headers found under their aliases. An alias with the same values as the first name
    /// adds nothing. An alias with other values makes the header a repeated one.
    fn add_aliases(&mut self, others: &Self) {
        let differs = |name: &str| !self.all(name).eq(others.all(name));
        let added: SmallVec<[_; 8]> =
            others.0.iter().copied().filter(|(name, _)| differs(name)).collect();
        self.0.extend(added);
    }

    /// Returns every value of the header `name`, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |known: &str| std::ptr::eq(known, name) || known == name;
        self.0.iter().filter(move |(known, _)| is_it(known)).map(|(_, value)| *value)
    }

    /// Returns the only value of the header `name`, or `None` if it is absent or empty.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&'a [u8]>, AmbiguousHeader> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first.filter(|value| !value.is_empty())),
            Some(_) => Err(AmbiguousHeader),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Picked, RequestHead};

    #[test]
    fn an_absolute_target_loses_its_host() {
        let headers: [(&str, &str); 0] = [];
        for (target, expected) in
            [("/a?b=1", "/a?b=1"), ("http://h/a?b=1", "/a?b=1"), ("http://h", "/"), ("*", "/")]
        {
            assert_eq!(
                RequestHead::new(&headers).target(target).path_and_query(),
                expected,
                "{target}"
            );
        }
        assert_eq!(RequestHead::new(&headers).target("/a?b=1?c").query(), Some("b=1?c"));
    }

    #[test]
    fn the_authority_is_the_host_of_a_request_without_one() {
        let (none, other): ([(&str, &str); 1], _) = ([("a", "1")], [("Host", "other")]);
        for (target, authority, host) in [
            ("/a", None, None),
            ("/a?b=http://c/d", None, None),
            ("/a", Some("h:8443"), Some("h:8443")),
            ("/a", Some("user:1@h"), Some("h")),
            ("http://h:80/a", None, Some("h:80")),
            ("http://user@[::1]:80?b", None, Some("[::1]:80")),
            ("https://h", None, Some("h")),
            ("*", None, None),
        ] {
            for (headers, expected) in [(&none, host), (&other, Some("other"))] {
                let head = RequestHead::new(headers).target(target);
                let head = authority.map_or(head, |authority| head.authority(authority));
                assert_eq!(head.header("HOST"), expected, "{target} {authority:?}");
                let names = Names::new(["host".into()], []);
                let picked = Picked::new(&head, &names);
                let expected = expected.map(str::as_bytes);
                assert_eq!(picked.single("host").ok().flatten(), expected, "{target}");
            }
        }
    }

    #[test]
    fn a_picked_header_is_absent_empty_single_or_repeated() {
        let headers = [("A", "1"), ("b", ""), ("C", "1"), ("c", "1"), ("e", "1")];
        let names = Names::new(["a", "b", "c", "d"].map(Into::into), []);
        let picked = Picked::new(&RequestHead::from(&headers), &names);
        assert!(matches!(picked.single("a"), Ok(Some(b"1"))));
        assert!(matches!(picked.single("b"), Ok(None)));
        assert!(picked.single("c").is_err());
        assert!(matches!(picked.single("d"), Ok(None)));
        assert!(matches!(picked.single("e"), Ok(None)), "not collected");
        assert_eq!(RequestHead::from(&headers).header("a"), Some("1"));
        assert_eq!(RequestHead::from(&headers).header("C"), None);
    }
}
