//! Requests that a `curl` command sends.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Input, header, shell};
use crate::recorded::target_of;

const IN_FILE: &str = "curl: the body is in a file: pass it with --body";
const QUERY_IN_FILE: &str =
    "curl: the query is in a file: add the file's text to the URL, in place of -G and the file";
const IN_PARTS: &str = "curl: a form in parts is not supported: pass the body with --body";

/// The number of bytes at the start of a line in which a command may begin.
const MAX_HEAD: usize = 256;
/// The short options that take a value.
const SHORT: &[u8] = b"AbcCdDeEFHKmoPQrtTuUwxXyYz";
/// The long options that take a value and are not read.
const LONG: &str = "\
    abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config \
    connect-timeout connect-to continue-at cookie cookie-jar create-file-mode crlfile curves \
    delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header ech \
    egd-file engine etag-compare etag-save expect100-timeout ftp-account ftp-alternative-to-user \
    ftp-method ftp-port ftp-ssl-ccc-mode happy-eyeballs-timeout-ms haproxy-clientip hostpubmd5 \
    hostpubsha256 hsts interface ip-tos ipfs-gateway keepalive-cnt keepalive-time key key-type \
    knownhosts krb libcurl limit-rate local-port login-options mail-auth mail-from mail-rcpt \
    max-filesize max-redirs max-time netrc-file noproxy oauth2-bearer output output-dir \
    parallel-max parallel-max-host pass pinnedpubkey preproxy proto proto-default proto-redir \
    proxy proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers proxy-crlfile \
    proxy-header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name \
    proxy-tls13-ciphers proxy-tlsauthtype proxy-tlspassword proxy-tlsuser proxy-user proxy1.0 \
    pubkey quote random-file range rate referer request-target resolve retry retry-delay \
    retry-max-time sasl-authzid service-name sigalgs socks4 socks4a socks5 socks5-gssapi-service \
    socks5-hostname speed-limit speed-time stderr telnet-option tftp-blksize time-cond tls-max \
    tls13-ciphers tlsauthtype tlspassword tlsuser trace trace-ascii trace-config unix-socket \
    upload-flags url-query user-agent variable vlan-priority write-out";

/// A command that runs `curl`.
pub(super) struct Command<'t> {
    /// The text from the command on.
    text: &'t [u8],
    /// The bytes that a pipe passes to it.
    stdin: Option<Vec<u8>>,
}

/// Returns the first command that runs `curl`, which a prompt may precede.
pub(super) fn command(text: &[u8]) -> Option<Command<'_>> {
    let mut rest = text;
    loop {
        let line = rest.split(|&byte| byte == b'\n').next()?;
        // The time must not depend on the square of a line's length.
        let head = &line[..line.len().min(MAX_HEAD)];
        let prompts = head.iter().enumerate().filter(|(_, byte)| b"$%>#".contains(byte));
        let starts = [0].into_iter().chain(prompts.map(|(at, _)| at + 1));
        let is_prompt = |start: &usize| !head[..*start].iter().any(|it| b"'\"".contains(it));
        for start in starts.take_while(is_prompt) {
            let command = head[start..].trim_ascii_start();
            let text = &rest[head.len() - command.len()..];
            if runs_curl(command) {
                return Some(Command { text, stdin: None });
            }
            if let Some(piped) = piped(text) {
                return Some(piped);
            }
        }
        rest = rest.get(line.len() + 1..)?;
    }
}

/// Returns whether a command, or the start of one, runs `curl` with arguments.
fn runs_curl(command: &[u8]) -> bool {
    let program = command.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let name = program.rsplit(|byte| b"/\\".contains(byte)).next().unwrap_or_default();
    let is_curl = [&b"curl"[..], b"curl.exe"].contains(&name);
    let has_prompt = program.iter().any(|it| b"$%>#".contains(it));
    is_curl && !has_prompt && program.len() < command.len()
}

/// Reads `printf %s BASE64 | base64 -d | curl …`, as `sign --curl` prints it.
fn piped(text: &[u8]) -> Option<Command<'_>> {
    let text = text.strip_prefix(b"printf %s ")?;
    let end = text.iter().position(|&byte| byte == b' ')?;
    let (encoded, rest) = text.split_at(end);
    let text = rest.strip_prefix(b" | base64 -d | ")?;
    let stdin = STANDARD.decode(encoded).ok()?;
    runs_curl(text).then_some(Command { text, stdin: Some(stdin) })
}

/// An option with its value, or an argument.
struct Word {
    /// The name without hyphens, or nothing for an argument.
    option: String,
    value: Vec<u8>,
}

/// Splits the words of a command into options with their values. Short options become long ones.
fn options(words: Vec<Vec<u8>>) -> Result<Vec<Word>, String> {
    let mut options = Vec::new();
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        let mut push = |option: &str, attached: Option<&[u8]>| {
            let value = attached.map(<[u8]>::to_vec).or_else(|| words.next());
            let value = value.ok_or_else(|| format!("curl: --{option} has no value"))?;
            options.push(Word { option: option.to_owned(), value });
            Ok::<_, String>(())
        };
        if let Some(long) = word.strip_prefix(b"--") {
            let mut parts = long.splitn(2, |&byte| byte == b'=');
            let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
            let value = parts.next();
            match &*name {
                "next" => break,
                "request" | "header" | "data" | "data-ascii" | "data-binary" | "data-raw"
                | "data-urlencode" | "json" | "form" | "form-string" | "url" | "user"
                | "upload-file" => push(&name, value)?,
                name if LONG.split(' ').any(|it| it == name) => push(name, value)?,
                name => push(name, Some(b""))?,
            }
            continue;
        }
        let Some(mut cluster) = word.strip_prefix(b"-") else {
            push("url", Some(&word))?;
            continue;
        };
        while let [short, rest @ ..] = cluster {
            let name = match short {
                b'X' => "request",
                b'H' => "header",
                b'd' => "data",
                b'F' => "form",
                b'T' => "upload-file",
                b'u' => "user",
                b'G' => "get",
                b'I' => "head",
                _ => "other",
            };
            let takes_value = SHORT.contains(short);
            let attached = if takes_value { Some(rest).filter(|it| !it.is_empty()) } else { None };
            push(name, if takes_value { attached } else { Some(b"") })?;
            cluster = if takes_value { b"" } else { rest };
        }
    }
    Ok(options)
}

/// Reads the request that a command sends.
pub(super) fn read(command: Command<'_>) -> Result<Input, String> {
    let (mut method, mut url, mut headers) = (None, None, Vec::<(String, Vec<u8>)>::new());
    let (mut default, mut is_json, mut is_query) = ("GET", false, false);
    let mut body: Result<Option<Vec<u8>>, &'static str> = Ok(None);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let Command { text: words, mut stdin } = command;
    for Word { option, value } in options(shell::words(words)?)? {
        match &*option {
            "request" => method = Some(text(&value)),
            "url" => url = url.or(Some(text(&value))),
            "head" => default = "HEAD",
            "get" => is_query = true,
            "header" => headers.push(match value.strip_suffix(b";") {
                Some(name) if !value.contains(&b':') => (text(name), Vec::new()),
                _ => header(&value)?,
            }),
            "user" => {
                let credentials = format!("Basic {}", STANDARD.encode(value));
                headers.push(("authorization".into(), credentials.into_bytes()));
            }
            "form" | "form-string" => {
                (default, body) = ("POST", Err(IN_PARTS));
            }
            "upload-file" => (default, body) = ("PUT", Err(IN_FILE)),
            "data" | "data-ascii" | "data-binary" | "data-raw" | "data-urlencode" | "json" => {
                default = "POST";
                is_json |= option == "json";
                let separator: &[u8] = if option == "json" { b"" } else { b"&" };
                let data = match (&*option, &*value) {
                    // Once it is read, it is empty.
                    ("data-binary" | "json", b"@-") if stdin.is_some() => {
                        Ok(stdin.replace(Vec::new()).unwrap_or_default())
                    }
                    _ => data(&option, value),
                };
                body = match (body, data) {
                    (Ok(Some(before)), Ok(data)) => Ok(Some([&before, separator, &data].concat())),
                    (Ok(None), data) => data.map(Some),
                    (Err(reason), _) | (_, Err(reason)) => Err(reason),
                };
            }
            _ => {}
        }
    }
    let mut url = url.filter(|url| !url.is_empty()).ok_or("curl: no URL")?;
    if !url.contains("://") {
        url.insert_str(0, "http://");
    }
    if is_query {
        let query = std::mem::replace(&mut body, Ok(None)).map_err(|_| QUERY_IN_FILE)?;
        let query = query.unwrap_or_default();
        let separator = if url.contains('?') { "&" } else { "?" };
        url = format!("{url}{separator}{}", text(&query));
        default = "GET";
    }
    for name in ["content-type", "accept"].into_iter().filter(|_| is_json) {
        if !headers.iter().any(|header| header.0.eq_ignore_ascii_case(name)) {
            headers.push((name.into(), b"application/json".to_vec()));
        }
    }
    Ok(Input {
        method: method.unwrap_or_else(|| default.to_owned()),
        target: target_of(&url).to_owned(),
        url: Some(url),
        headers,
        body: body.map(Option::unwrap_or_default),
        note: None,
        row: None,
    })
}

/// Returns the bytes that an option adds to the body.
fn data(option: &str, value: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if option == "data-urlencode" {
        let at = value.iter().position(|byte| b"=@".contains(byte));
        let (name, content) = match at {
            Some(at) if value[at] == b'@' => return Err(IN_FILE),
            Some(0) => (&b""[..], &value[1..]),
            Some(at) => value.split_at(at + 1),
            None => (&b""[..], &*value),
        };
        let encoded = form_urlencoded(content);
        return Ok([name, encoded.as_bytes()].concat());
    }
    if value.starts_with(b"@") && option != "data-raw" { Err(IN_FILE) } else { Ok(value) }
}

/// Encodes a value as `curl` does.
fn form_urlencoded(value: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        b' ' => "+".to_owned(),
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::super::read;

    /// Returns the parts of the request that a command sends.
    fn seen(command: &str) -> String {
        let input = read(command.as_bytes()).unwrap_or_else(|reason| panic!("{command}: {reason}"));
        let [input] = input.as_slice() else { panic!("{command}") };
        let mut seen = format!("{} {}", input.method, input.url.as_deref().unwrap());
        for (name, value) in &input.headers {
            seen += &format!(" {name}={}", String::from_utf8_lossy(value));
        }
        let body = input.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
        seen + &format!(" {}", body.unwrap_or_else(|reason| (*reason).to_owned()))
    }

    #[test]
    fn options_are_those_of_curl() {
        let expected = "POST http://h/x?a=1 X-Sig=abc {}";
        for command in [
            "curl http://h/x?a=1 -H 'X-Sig: abc' -d {}",
            "curl -XPOST 'http://h/x?a=1' -H'X-Sig: abc' -d'{}'",
            "curl -sSvX POST http://h/x?a=1 -vH 'X-Sig: abc' -vd '{}'",
            "curl --request=POST --url=http://h/x?a=1 --header='X-Sig: abc' --data='{}'",
            "curl -b 'a=b; c=d' -e http://r/ -A agent -w '%{http_code}' -o out -m 3 -x http://p -k \
             --retry 3 --cacert ca.pem --resolve h:1:2 --cert c --key k --cookie a=b --proto https \
             'http://h/x?a=1' -H 'X-Sig: abc' -d '{}' http://second/",
            "curl http://h/x?a=1 -d {} -H 'X-Sig: abc' --next http://second/ -d 2",
            "curl h/x?a=1 -d {} -H 'X-Sig: abc' | jq .",
            "curl h/x?a=1 -d {} -H 'X-Sig: abc' > /dev/null 2>&1",
            "curl h/x?a=1 -d {} -H 'X-Sig: abc'; curl other",
            "curl h/x?a=1 -d {} -H 'X-Sig: abc' && echo",
        ] {
            assert_eq!(seen(command), expected, "{command}");
        }
    }

    #[test]
    fn bodies_are_those_of_curl() {
        for (command, expected) in [
            (
                "curl h --json '{' --json '}'",
                "POST http://h content-type=application/json \
              accept=application/json {}",
            ),
            (
                "curl h --json {} -H 'Accept: x'",
                "POST http://h Accept=x \
              content-type=application/json {}",
            ),
            ("curl h -d a=1 -d b", "POST http://h a=1&b"),
            ("curl h --data-raw @a", "POST http://h @a"),
            ("printf %s QGE= | base64 -d | curl -i 'h' --data-binary @-", "POST http://h @a"),
            (
                "$ printf %s QGE= | base64 -d | curl h --json @-",
                "POST http://h content-type=\
              application/json accept=application/json @a",
            ),
            (
                "curl h --data-urlencode 'a=b c/ü+~' --data-urlencode '=x y' --data-urlencode 'z '",
                "POST http://h a=b+c%2F%C3%BC%2B~&x+y&z+",
            ),
            ("curl -G h -d a=1", "GET http://h?a=1 "),
            ("curl h?b=2 --get -d a=1 --data-urlencode 'c=d e'", "GET http://h?b=2&a=1&c=d+e "),
            ("curl -I h", "HEAD http://h "),
            ("curl h -u a:b", "GET http://h authorization=Basic YTpi "),
            ("curl h -H 'X-Empty;'", "GET http://h X-Empty= "),
            ("curl h -d $'\\xff\\'\\u00fc'", "POST http://h \u{fffd}'ü"),
        ] {
            assert_eq!(seen(command), expected, "{command}");
        }
    }

    /// With --body, the file does not matter.
    #[test]
    fn a_body_in_a_file_is_missing() {
        for command in [
            "curl h -d @a",
            "curl h --data-binary @-",
            "printf %s e30= | base64 -d | curl h --data-binary @a",
            "curl h -T a",
            "curl h --json @a",
            "curl h --data-urlencode a@b",
            "curl h -d 1 -d @a -d 2",
        ] {
            assert!(seen(command).ends_with("in a file: pass it with --body"), "{command}");
        }
        for command in ["curl -G h -d @a", "curl h -d 1 --data-urlencode a@b --get"] {
            let reason = read(command.as_bytes()).err().unwrap();
            assert!(reason.starts_with("curl: the query is in a file: "), "{reason}");
        }
        let form = seen("curl h -F 'a=\"b\"'");
        assert!(form.ends_with("a form in parts is not supported: pass the body with --body"));
    }

    #[test]
    fn prompts_and_paths_precede_the_command() {
        for start in [
            "",
            "$ ",
            "% ",
            "> ",
            "# ",
            "user@host:~$ ",
            "[a@b ~]# ",
            "PS C:\\> ",
            "C:\\Users\\a>",
            "  ",
            "Run this:\n$ ",
        ] {
            for program in ["curl", "curl.exe", "/usr/bin/curl", "C:\\bin\\curl.exe"] {
                let command = format!("{start}{program} h -d 1");
                assert_eq!(seen(&command), "POST http://h 1", "{command}");
            }
        }
        for text in ["libcurl h", "say '$ curl h'", "curl/7.88.1 h"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
