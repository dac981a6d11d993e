//! Requests in the forms that tools print: raw HTTP, `curl`, HAR, and rows of recorded requests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Deserializer, Value};

use crate::recorded::{RecordedRequest, target_of};

/// A request of the input.
pub(crate) struct Input {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The URL, if the input has the whole URL.
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body, unless the form of the input has none.
    pub(crate) body: Option<Vec<u8>>,
    /// The row that the request was recorded in.
    pub(crate) row: Option<Box<RecordedRequest>>,
}

/// Reads all requests in a text, whose form is detected.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Input>, String> {
    let start = text.trim_ascii_start();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let inputs = match start.first() {
        None => return Err("the input is empty".into()),
        Some(b'{' | b'[') => read_json(start)?,
        Some(_) => match (is_curl_trace(start), curl_line(start)) {
            (true, line) => vec![read_trace(start, line)?],
            (false, Some(words)) => vec![read_curl(&words)?],
            (false, None) => vec![read_raw(text)?],
        },
    };
    if inputs.is_empty() { Err("the input has no request".into()) } else { Ok(inputs) }
}

fn read_json(text: &[u8]) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for value in Deserializer::from_slice(text).into_iter::<Value>() {
        let value = value.map_err(|error| {
            format!("not JSON at line {} column {}", error.line(), error.column())
        })?;
        read_value(&value, &mut inputs)?;
    }
    Ok(inputs)
}

fn read_value(value: &Value, inputs: &mut Vec<Input>) -> Result<(), String> {
    if let Some(items) = value.as_array() {
        return items.iter().try_for_each(|item| read_value(item, inputs));
    }
    if let Some(entries) = value.pointer("/log/entries") {
        return read_value(entries, inputs);
    }
    let number = inputs.len() + 1;
    let request = value.get("request").filter(|it| it.is_object()).unwrap_or(value);
    let is_har = request.get("headers").and_then(Value::as_array).is_some_and(|headers| {
        request.get("body_base64").is_none() && headers.iter().all(Value::is_object)
    });
    let input = if is_har { read_har(request) } else { read_row(value) };
    inputs.push(input.map_err(|reason| format!("request {number}: {reason}"))?);
    Ok(())
}

fn read_row(row: &Value) -> Result<Input, String> {
    let row = RecordedRequest::read_without_secret(row)?;
    let headers = row.headers.iter();
    Ok(Input {
        method: row.method.clone(),
        target: row.target.clone(),
        url: row.url.clone(),
        headers: headers.map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
        body: Some(row.body.to_vec()),
        row: Some(Box::new(row)),
    })
}

/// Reads a request of an HTTP Archive 1.2.
fn read_har(request: &Value) -> Result<Input, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let url = text(request.get("url")).ok_or("`url` is missing")?;
    let headers = request.get("headers").and_then(Value::as_array).into_iter().flatten();
    let header = |header: &Value| {
        let name = text(header.get("name")).ok_or("a header has no name")?;
        let value = text(header.get("value")).ok_or("a header has no value")?;
        Ok((name, value.into_bytes()))
    };
    let data = request.get("postData");
    let body = text(data.and_then(|data| data.get("text"))).unwrap_or_default();
    let is_base64 = data.and_then(|data| data.get("encoding")).is_some_and(|it| it == "base64");
    let body = match is_base64 {
        true => STANDARD.decode(body).map_err(|_| "`postData` is not base64")?,
        false => body.into_bytes(),
    };
    Ok(Input {
        method: text(request.get("method")).unwrap_or_else(|| "POST".into()),
        target: target_of(&url).to_owned(),
        url: Some(url),
        headers: headers.map(header).collect::<Result<_, String>>()?,
        body: Some(body),
        row: None,
    })
}

/// Reads a request in HTTP/1.1.
fn read_raw(text: &[u8]) -> Result<Input, String> {
    let mut rest = skip_blank_lines(text);
    let first = next_line(&mut rest).ok_or("no request line")?;
    let (method, target) = request_line(first)?;
    let mut headers = Vec::new();
    loop {
        match next_line(&mut rest) {
            None | Some([]) => break,
            Some(line) => headers.push(header(line)?),
        }
    }
    let is_chunked = headers.iter().any(|(name, value): &(String, Vec<u8>)| {
        name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case(b"chunked")
    });
    let body = match is_chunked {
        // Most tools have removed the chunks already.
        true => chunks(rest).unwrap_or_else(|| rest.to_vec()),
        false => rest.to_vec(),
    };
    Ok(Input::of(method, target, headers, Some(body)))
}

impl Input {
    fn of(
        method: String,
        target: String,
        headers: Vec<(String, Vec<u8>)>,
        body: Option<Vec<u8>>,
    ) -> Self {
        // In an absolute form (RFC 9112 §3.2.2), the target is the URL.
        let (target, url) = match target.contains("://") {
            true => (target_of(&target).to_owned(), Some(target)),
            false => (target, None),
        };
        Self { method, target, url, headers, body, row: None }
    }
}

/// Returns whether a text is what `curl -v` prints.
fn is_curl_trace(text: &[u8]) -> bool {
    let mut lines = text.split(|&byte| byte == b'\n');
    lines.any(|line| line.strip_prefix(b"> ").is_some_and(|line| request_line(line).is_ok()))
}

/// Reads the lines that `curl -v` prints before those of the request.
fn read_trace(text: &[u8], command: Option<Vec<String>>) -> Result<Input, String> {
    let mut rest = text;
    let mut request = None;
    let mut headers = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        let Some(line) = line.strip_prefix(b">") else { continue };
        let line = line.strip_prefix(b" ").unwrap_or(line);
        match (&request, line) {
            (None, line) => request = request_line(line).ok(),
            (Some(_), []) => break,
            (Some(_), line) => headers.push(header(line)?),
        }
    }
    let (method, target) = request.ok_or("no request line")?;
    // `curl` prints no body, but people paste it where it belongs.
    let mut pasted = Vec::new();
    let mut ahead = rest;
    while let Some(line) = next_line(&mut ahead) {
        let is_note =
            [&b"* "[..], b"< ", b"> ", b"{ [", b"} ["].iter().any(|it| line.starts_with(it));
        if is_note {
            break;
        }
        pasted.extend_from_slice(line);
        pasted.push(b'\n');
    }
    pasted.pop_if(|last| *last == b'\n');
    let command = command.map(|words| read_curl(&words)).transpose()?;
    let body = match (pasted.is_empty(), command) {
        (false, _) => Some(pasted),
        (true, Some(command)) => command.body,
        (true, None) => None,
    };
    Ok(Input::of(method, target, headers, body))
}

/// Returns the words of the first line that runs `curl`.
fn curl_line(text: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start().trim_start_matches("$ ");
        if bare.starts_with("curl ") {
            let start = at + line.len() - line.trim_start().len();
            let rest = text[start..].trim_start_matches("$ ");
            return shell_words(rest);
        }
        at += line.len();
    }
    None
}

/// Splits a command of a POSIX shell into words, up to the end of the line.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut is_word) = (Vec::new(), String::new(), false);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                is_word = true;
                loop {
                    match chars.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                is_word = true;
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => {}
                escaped => {
                    is_word = true;
                    word.push(escaped);
                }
            },
            '\n' => break,
            ' ' | '\t' | '\r' => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            char => {
                is_word = true;
                word.push(char);
            }
        }
    }
    if is_word {
        words.push(word);
    }
    Some(words)
}

/// Reads the request that a `curl` command sends.
fn read_curl(words: &[String]) -> Result<Input, String> {
    let (mut method, mut url, mut headers, mut body) = (None, None, Vec::new(), None::<Vec<u8>>);
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or(format!("curl: {word} has no value"));
        match &**word {
            "-X" | "--request" => method = Some(value()?),
            "-H" | "--header" => {
                let line = value()?;
                headers.push(match line.strip_suffix(';') {
                    Some(name) if !line.contains(':') => (name.to_owned(), Vec::new()),
                    _ => header(line.as_bytes())?,
                });
            }
            "-d" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary" => {
                let data = value()?;
                if data.starts_with('@') && word != "--data-raw" {
                    return Err("curl: the body is in a file: pass it with --body".into());
                }
                let joined = body.take().map(|before| [before, b"&".to_vec()].concat());
                body = Some([joined.unwrap_or_default(), data.into_bytes()].concat());
            }
            "--url" => url = Some(value()?),
            "-u" | "--user" => {
                let credentials = format!("Basic {}", STANDARD.encode(value()?));
                headers.push(("authorization".into(), credentials.into_bytes()));
            }
            "-o" | "--output" | "-m" | "--max-time" | "-w" | "--write-out" | "-A"
            | "--user-agent" | "--connect-timeout" | "-x" | "--proxy" | "--resolve" => {
                drop(value()?)
            }
            option if option.starts_with('-') => {}
            address => url = Some(address.to_owned()),
        }
    }
    let url = url.ok_or("curl: no URL")?;
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    Ok(Input {
        method,
        target: target_of(&url).to_owned(),
        url: Some(url),
        headers,
        body: Some(body.unwrap_or_default()),
        row: None,
    })
}

fn skip_blank_lines(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(text.len());
    &text[at..]
}

/// Removes the next line, and returns it without its line break.
fn next_line<'t>(text: &mut &'t [u8]) -> Option<&'t [u8]> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|&byte| byte == b'\n');
    let (line, rest) = match end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (*text, &b""[..]),
    };
    *text = rest;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn request_line(line: &[u8]) -> Result<(String, String), String> {
    const WRONG: &str = "the first line is no request line, such as `POST /webhook HTTP/1.1`; the \
                         input may be raw HTTP, the output of `curl -v`, a HAR entry, or a row of \
                         `check`";
    let text = std::str::from_utf8(line).map_err(|_| WRONG)?;
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    match *words.as_slice() {
        [method, target, version]
            if version.starts_with("HTTP/") && method.bytes().all(|it| it.is_ascii_uppercase()) =>
        {
            Ok((method.to_owned(), target.to_owned()))
        }
        _ => Err(WRONG.into()),
    }
}

fn header(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().skip(1).position(|&byte| byte == b':').map(|at| at + 1);
    let colon = colon.ok_or("a header line has no colon")?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| "a header's name is not text")?;
    Ok((name.trim().to_owned(), line[colon + 1..].trim_ascii().to_vec()))
}

/// Decodes chunks (RFC 9112 §7.1). Returns `None` if the text is not in chunks.
fn chunks(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = next_line(&mut text)?;
        let size = line.split(|&byte| byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, rest) = text.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        text = rest;
        next_line(&mut text).filter(|line| line.is_empty())?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, read};

    fn one(text: &[u8]) -> Input {
        let mut inputs = read(text).unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(inputs.len(), 1);
        inputs.remove(0)
    }

    /// Returns the parts of the only request in a text.
    fn seen(text: &[u8]) -> String {
        let input = one(text);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let headers = input.headers.into_iter().map(|(name, value)| (name, text(value)));
        let (headers, body): (Vec<_>, _) = (headers.collect(), input.body.map(text));
        format!("{} {} {headers:?} {body:?}", input.method, input.target)
    }

    #[test]
    fn each_form_of_a_request_is_recognized() {
        let expected = r#"POST /hook?a=1 [("X-Sig", "abc")] Some("{\"a\":'1'}")"#;
        for text in [
            "POST /hook?a=1 HTTP/1.1\r\nX-Sig: abc\r\n\r\n{\"a\":'1'}",
            "\n\nPOST /hook?a=1 HTTP/2\nX-Sig:abc\n\n{\"a\":'1'}",
            "* Trying\n> POST /hook?a=1 HTTP/1.1\n> X-Sig: abc\n>\n{\"a\":'1'}\n* sent\n< HTTP/1.1 401\n",
            "$ curl -v -d '{\"a\":'\\''1'\\''}' x\n> POST /hook?a=1 HTTP/1.1\n> X-Sig: abc\n> \n< HTTP/1.1",
            "curl -i -H 'X-Sig: abc' \\\n  'http://127.0.0.1/hook?a=1' --data-binary \"{\\\"a\\\":'1'}\"",
            r#"{"request":{"method":"POST","url":"https://x/hook?a=1","headers":[{"name":"X-Sig","value":"abc"}],"postData":{"mimeType":"","text":"{\"a\":'1'}"}}}"#,
            r#"{"log":{"entries":[{"request":{"method":"POST","url":"https://x/hook?a=1","headers":[{"name":"X-Sig","value":"abc"}],"postData":{"text":"eyJhIjonMSd9","encoding":"base64"}}}]}}"#,
            r#"[{"provider":"github","url":"https://x/hook?a=1","headers":[["X-Sig","abc"]],"body_base64":"eyJhIjonMSd9","secret":"s"}]"#,
        ] {
            assert_eq!(seen(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn chunks_are_joined_if_they_are_there() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunked = format!("{head}3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(one(chunked.as_bytes()).body.unwrap(), b"abc0123456789");
        let plain = format!("{head}{{}}\n");
        assert_eq!(one(plain.as_bytes()).body.unwrap(), b"{}\n");
    }

    #[test]
    fn a_body_that_curl_did_not_print_is_missing() {
        let input =
            one(b"> POST / HTTP/1.1\n> Host: x\n> \n* upload completely sent off\n< HTTP/1.1 401");
        assert!(input.body.is_none());
    }

    #[test]
    fn broken_inputs_are_refused() {
        for text in [
            &b""[..],
            b" \n",
            b"{",
            b"[]",
            b"{}",
            b"hello",
            b"GET /",
            b"\xff\xfe",
            b"POST / HTTP/1.1\nno colon\n\n",
            b"curl -H",
            b"curl",
            b"{\"request\":{\"headers\":[{}]}}",
        ] {
            let reason = read(text).map(|_| ()).unwrap_err();
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{reason}");
        }
    }
}
