//! Whatever is wrong in a file is refused, by the file's own names.

use webhook_verify::Scheme;

use super::read;

const BASE: &str = "name = 'acme'\nsignature = { header = 'x-sig' }\n";

/// Every format's message for a scheme with these lines.
fn refusals(lines: &str) -> Vec<String> {
    let read = read::<Scheme>(lines);
    read.into_iter()
        .map(|(format, scheme)| match scheme {
            Ok(scheme) => panic!("{format}: {lines}: {scheme:?}"),
            Err(error) => error,
        })
        .collect()
}

fn assert_named(lines: &str, named: &str) {
    for message in refusals(lines) {
        assert!(message.contains(named), "{lines}\n{named}\n{message}");
    }
}

/// The same for what serde says. The reader of YAML has its own words.
fn assert_said(lines: &str, message: &str) {
    for said in &refusals(lines)[..2] {
        assert!(said.contains(message), "{lines}\n{message}\n{said}");
    }
}

/// The error of the builder has the name that the option has in the file.
#[test]
fn a_mistake_names_its_field() {
    let rows = [
        ("issuer = 'a'", "issuer: "),
        ("issuer = ''", "issuer: "),
        ("key = 'jwk'", "key: "),
        ("encoding = 'hex'\nalgorithm = 'token'", "encoding: "),
        ("key-source = { header = 'a', hosts = ['a.test'] }", "key-source: "),
        ("key-source = { pointer = '/a', hosts = ['*'] }", "key-source: "),
        ("key-source = { pointer = '/a' }", "key-source: "),
        ("key-source = { hosts = ['a.test'] }", "key-source: "),
        ("key-source = { token-id = true, header = 'a' }", "key-source: "),
        ("key-source = { token-id = true, hosts = ['a.test'] }", "key-source.hosts: "),
        ("key-source = { token-id = true }", "key-source.token-id: "),
        ("signed-content = ''", "signed-content: "),
        ("signed-content = '{nonsense}'", "signed-content: "),
        ("signed-content = '{id}{body}'\nid = { header = 'a' }", "signed-content: "),
        ("body-digest = { query = 'a' }", "body-digest.query: "),
        ("body-digest = { claim = 'a' }", "body-digest.claim: "),
        ("body-digest = {}", "body-digest: "),
        ("body-digest = { query = 'a', claim = 'a' }", "body-digest: "),
        ("timestamp = { header = 'a' }", "timestamp: "),
        ("timestamp = { header = 'a b' }", "timestamp.header: "),
        ("timestamp = { pair = 't' }", "timestamp.pair: "),
        ("timestamp = { pointer = 't' }", "timestamp.pointer: "),
        ("timestamp = { claim = 't' }", "timestamp.claim: "),
        ("timestamp = { unit = 's' }", "timestamp: "),
        ("timestamp = { header = 'a', pointer = '/a' }", "timestamp: "),
        ("required-headers = { 'a b' = '1' }", "required-headers: "),
        ("required-fields = { a = '1' }", "required-fields: "),
        ("id = { header = 'a b' }", "id: "),
        ("id = {}", "id: "),
        ("event-type = { pointer = 'a' }", "event-type: "),
        ("event-type = { first-key = false }", "event-type: "),
        ("event-type = { header = 'a', repeated-in = 'b' }", "event-type.repeated-in: "),
        ("events = { list = 'events' }", "events.list: "),
        ("events = { form = '' }", "events.form: "),
        ("events = { type = '/type' }", "events.type: "),
        ("events = { list = '', type = 'type' }", "events.type: "),
        ("events = { list = '', type = [] }", "events.type: "),
        ("events = { by-type = true, id = '/id' }", "events.id: "),
        ("events = { list = '', id = ['/id', 'at'] }", "events.id: "),
        ("events = { list = '', by-type = true }", "events.by-type: "),
        ("events = { time = 'at' }", "events.time: "),
        ("events = { unit = 'ms' }", "events.unit: "),
        ("events = { data = '' }", "events.data: "),
        ("events = { test = 'test' }", "events.test: "),
        ("events = { form = 'a', test = '/test' }", "events.test: "),
        ("identity = 'signed-id'", "identity: "),
        ("challenges = ['nobody']", "challenges: "),
        ("challenges = ['zoom']\nalgorithm = 'token'", "challenges: "),
    ];
    for (lines, key) in rows {
        assert_named(&format!("{BASE}{lines}"), &format!("acme: {key}"));
    }
    let rows = [
        ("{}", ""),
        ("{ prefix = 'a' }", ""),
        ("{ header = 'a', query = 'b' }", ""),
        ("{ header = 'a', prefix = 'b', optional-prefix = 'c' }", ""),
        ("{ header = 'a b' }", ".header"),
        ("{ header-prefix = 'a b' }", ".header-prefix"),
        ("{ query = '' }", ".query"),
        ("{ form = '' }", ".form"),
        ("{ pointer = 'a' }", ".pointer"),
        ("{ header = 'a', prefix = '' }", ".prefix"),
        ("{ header = 'a', optional-prefix = '' }", ".optional-prefix"),
        ("{ header = 'a', authorization-scheme = 'a b' }", ".authorization-scheme"),
        ("{ header = 'a', pairs = { separator = '=', keys = ['a'] } }", ".pairs"),
        (
            "{ header = 'a', versions = { separator = ' ', version-separator = ',', names = [''] } }",
            ".versions",
        ),
    ];
    for (signature, key) in rows {
        let lines = format!("name = 'acme'\nsignature = {signature}");
        assert_named(&lines, &format!("acme: signature{key}: "));
    }
    assert_named("name = ''\nsignature = { header = 'a' }", "name: empty");
}

/// Serde's errors: unknown fields, wrong types, unknown words, absent fields.
#[test]
fn what_is_not_of_the_format_is_named() {
    let rows = [
        ("secret = 'a'", "secret", "unknown field `secret`"),
        ("signed_content = '{body}'", "signed_content", "unknown field `signed_content`"),
        ("id = { query = 'a' }", "id.query", "unknown field `query`"),
        ("timestamp = { header = 'a', window = 1 }", "timestamp.window", "unknown field `window`"),
        (
            "timestamp = { header = 'a', tolerance = { past = 1, futur = 1 } }",
            "timestamp.tolerance.futur",
            "unknown field `futur`",
        ),
        (
            "timestamp = { header = 'a', tolerance = { past = 1 } }",
            "timestamp.tolerance",
            "missing field `future`",
        ),
        (
            "timestamp = { header = 'a', tolerance = true }",
            "timestamp.tolerance",
            "seconds, `past` and `future` in seconds, or false",
        ),
        (
            "timestamp = { header = 'a', tolerance = -1 }",
            "timestamp.tolerance",
            "seconds, `past` and `future` in seconds, or false",
        ),
        (
            "timestamp = { header = 'a', tolerance = '5 min' }",
            "timestamp.tolerance",
            "seconds, `past` and `future` in seconds, or false",
        ),
        (
            "timestamp = { header = 'a', unit = 'seconds' }",
            "timestamp.unit",
            "unknown variant `seconds`",
        ),
        ("timestamp = 'a'", "timestamp", "where the timestamp is"),
        ("events = '/events'", "events", "how a body holds events"),
        ("events = { at = '/events' }", "events.at", "unknown field `at`"),
        (
            "events = { list = '', id = { a = '/id' } }",
            "events.id",
            "a JSON pointer, or a list of them",
        ),
        ("events = { list = '', type = ['/a', ['/b']] }", "events.type[1]", "a string"),
        ("events = { time = '/at', unit = 'minutes' }", "events.unit", "unknown variant `minutes`"),
        ("algorithm = 'md5'", "algorithm", "unknown variant `md5`"),
        ("key = 'utf-8'", "key", "unknown variant `utf-8`"),
        ("encoding = 'base64-url'", "encoding", "unknown variant `base64-url`"),
        ("identity = 'id'", "identity", "unknown variant `id`"),
        ("evidence = ['guess']", "evidence[0]", "unknown variant `guess`"),
        ("issuer = ['a']", "issuer", "a string"),
        ("required-fields = { '/a' = ['1'] }", "required-fields./a", "a string"),
        ("challenges = 'slack'", "challenges", "a sequence"),
        ("retry-horizon = -1", "retry-horizon", "u64"),
        ("body-limit = '1 MiB'", "body-limit", "usize"),
    ];
    for (lines, path, message) in rows {
        let lines = format!("{BASE}{lines}");
        assert_named(&lines, &format!("{path}: "));
        assert_said(&lines, message);
    }
    let name = "name = 'acme'\n";
    assert_named(name, "missing field `signature`");
    assert_named("signature = { header = 'a' }", "missing field `name`");
    for (signature, path, message) in [
        ("'x-sig'", "signature", "a place, or a list of places"),
        ("[]", "signature", "a place, or a list of places"),
        ("['x-sig']", "signature[0]", "where the signature is"),
        ("{ header = 'a', sufix = 'b' }", "signature.sufix", "unknown field `sufix`"),
        ("[{ header = 'a' }, { heder = 'a' }]", "signature[1].heder", "unknown field `heder`"),
        (
            "{ header = 'a', pairs = { separator = ', ', keys = ['a'] } }",
            "signature.pairs.separator",
            "a character",
        ),
        (
            "{ header = 'a', pairs = { keys = ['a'] } }",
            "signature.pairs",
            "missing field `separator`",
        ),
    ] {
        let lines = format!("{name}signature = {signature}");
        assert_named(&lines, &format!("{path}: "));
        assert_said(&lines, message);
    }
}

/// Nothing here is too deep or too long to be refused in good order.
#[test]
fn monstrous_files_are_refused() {
    for deep in [100, 10_000, 200_000] {
        let (open, close) = ("[".repeat(deep), "]".repeat(deep));
        let json = format!(r#"{{"name":"a","signature":{open}{close}}}"#);
        assert!(serde_json::from_str::<Scheme>(&json).is_err());
        let unknown = format!(r#"{{"name":"a","x":{open}{close}}}"#);
        assert!(serde_json::from_str::<Scheme>(&unknown).is_err());
        let toml = format!("name = 'a'\nsignature = {open}{close}");
        assert!(toml::from_str::<Scheme>(&toml).is_err());
        assert!(serde_saphyr::from_str::<Scheme>(&json).is_err());
    }
    let long = "x".repeat(4 << 20);
    let list = vec!["{'header':'a b'}"; 100_000].join(",").replace('\'', "\"");
    for json in [
        format!(r#"{{"name":"{long}","signature":{{"header":"{long}"}}}}"#),
        format!(r#"{{"name":"a","signature":[{list}]}}"#),
        format!(
            r#"{{"name":"a","signature":{{"header":"a"}},"signed-content":"{}"}}"#,
            "{".repeat(4 << 20)
        ),
        format!(
            r#"{{"name":"a","signature":{{"header":"a"}},"signed-content":"{}"}}"#,
            "{id".repeat(1 << 20)
        ),
        format!(r#"{{"{long}":1}}"#),
    ] {
        assert!(serde_json::from_str::<Scheme>(&json).is_err());
    }
    let most = format!(
        "{BASE}timestamp = {{ header = 'a', tolerance = {0} }}\nsigned-content = '{{timestamp}}.{{body}}'\nretry-horizon = {0}\ntime-budget = {0}",
        i64::MAX
    );
    for (format, scheme) in read::<Scheme>(&most) {
        assert!(scheme.is_ok(), "{format}: {scheme:?}");
    }
}

/// Parsers come across anything. Every prefix of a good file, and every byte of it changed, is a
/// scheme or an error.
#[test]
fn broken_files_do_no_harm() {
    let text = include_str!("senders.toml");
    for at in (0..text.len()).step_by(7) {
        drop(toml::from_str::<toml::Table>(&text[..at]));
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1 << (at % 7);
        if let Ok(text) = String::from_utf8(bytes) {
            drop(toml::from_str::<super::File>(&text));
        }
    }
}
