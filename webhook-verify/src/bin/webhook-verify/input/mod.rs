//! Requests in the forms that tools print: raw HTTP, `curl`, HAR, and rows of recorded requests.

mod curl;
mod har;
mod raw;
mod shell;
mod trace;

use std::borrow::Cow;

use serde_json::{Deserializer, Value};

use crate::{
    outgoing::MAX_HEADERS,
    recorded::{RecordedRequest, target_of},
};

/// The reason of an input whose form has no body.
const NO_BODY: &str = "the input has no body: pass it with --body";

/// A request of the input.
pub(crate) struct Input {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The URL, if the input has the whole URL.
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body, or the reason why the input does not have it.
    pub(crate) body: Result<Vec<u8>, &'static str>,
    /// A note about the input, for a request that is not valid.
    pub(crate) note: Option<&'static str>,
    /// The row that the request was recorded in.
    pub(crate) row: Option<Box<RecordedRequest>>,
}

/// Reads all requests in a text, whose form is detected.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Input>, String> {
    let text = &*as_utf8(text)?;
    let start = text.trim_ascii_start();
    let inputs = match start.first() {
        None => return Err("the input is empty".into()),
        // A prompt may begin with a bracket.
        Some(b'{' | b'[') if curl::command(first_line(start)).is_none() => read_json(start)?,
        Some(_) if raw::is_raw(start) => vec![raw::read(start)?],
        Some(_) if trace::is_trace(start) => vec![trace::read(start)?],
        Some(_) if trace::has_blocks(start) => vec![trace::read_blocks(start)?],
        Some(_) => match curl::command(start) {
            Some(command) => vec![curl::read(command)?],
            None => vec![raw::read(start)?],
        },
    };
    if inputs.is_empty() {
        return Err("the input has no request".into());
    }
    match inputs.iter().any(|input| input.headers.len() > MAX_HEADERS) {
        true => Err(format!("a request has too many headers: more than {MAX_HEADERS}")),
        false => Ok(inputs),
    }
}

/// Removes a byte order mark, and decodes UTF-16, which PowerShell writes.
fn as_utf8(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let (units, read): (_, fn([u8; 2]) -> u16) = match text {
        [0xef, 0xbb, 0xbf, text @ ..] => return Ok(text.into()),
        [0xff, 0xfe, units @ ..] => (units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => (units, u16::from_be_bytes),
        text => return Ok(text.into()),
    };
    let (units, rest) = units.as_chunks();
    let decoded = char::decode_utf16(units.iter().copied().map(read)).collect::<Result<_, _>>();
    match (decoded, rest) {
        (Ok(decoded), []) => Ok(String::into_bytes(decoded).into()),
        _ => Err("the input has the byte order mark of UTF-16, but is not UTF-16".into()),
    }
}

fn read_json(text: &[u8]) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for value in Deserializer::from_slice(text).into_iter::<Value>() {
        let value = value.map_err(|error| {
            format!("not JSON at line {} column {}", error.line(), error.column())
        })?;
        read_value(&value, &mut inputs)?;
    }
    har::retain_webhooks(&mut inputs);
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
    let input = if is_har { har::read(request) } else { read_row(value) };
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
        body: Ok(row.body.to_vec()),
        note: None,
        row: Some(Box::new(row)),
    })
}

impl Input {
    fn of(
        (method, target): (String, String),
        headers: Vec<(String, Vec<u8>)>,
        body: Result<Vec<u8>, &'static str>,
    ) -> Self {
        // In an absolute form (RFC 9112 §3.2.2), the target is the URL.
        let (target, url) = match target.contains("://") {
            true => (target_of(&target).to_owned(), Some(target)),
            false => (target, None),
        };
        Self { method, target, url, headers, body, note: None, row: None }
    }
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

fn first_line(mut text: &[u8]) -> &[u8] {
    next_line(&mut text).unwrap_or_default()
}

/// Returns the method and the target of a request line.
fn request_line(line: &[u8]) -> Option<(String, String)> {
    let words: Vec<_> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
    let (method, target) = match *words.as_slice() {
        [method, target, version] if version.starts_with("HTTP/") => (method, target),
        // The `.http` files of editors need no version.
        [method, target] if target.starts_with("http://") || target.starts_with("https://") => {
            (method, target)
        }
        _ => return None,
    };
    let is_method = method.bytes().all(|it| it.is_ascii_uppercase());
    is_method.then(|| (method.to_owned(), target.to_owned()))
}

fn header(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().skip(1).position(|&byte| byte == b':').map(|at| at + 1);
    let colon = colon.ok_or("a header line has no colon")?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| "a header's name is not text")?;
    Ok((name.trim().to_owned(), line[colon + 1..].trim_ascii().to_vec()))
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
        let (headers, body): (Vec<_>, _) = (headers.collect(), input.body.map(text).ok());
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
    fn a_body_that_curl_did_not_print_is_missing() {
        let input =
            one(b"> POST / HTTP/1.1\n> Host: x\n> \n* upload completely sent off\n< HTTP/1.1 401");
        assert!(input.body.is_err());
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

    /// As PowerShell writes the output of a program to a file.
    #[test]
    fn text_with_a_byte_order_mark_is_decoded() {
        let text = "POST /hook HTTP/1.1\r\nX-Sig: abc\r\n\r\nü";
        let expected = seen(text.as_bytes());
        let units = || ['\u{feff}'].into_iter().chain(text.chars()).map(|char| char as u16);
        let little: Vec<_> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<_> = units().flat_map(u16::to_be_bytes).collect();
        for text in [&little, &big, format!("\u{feff}{text}").as_bytes()] {
            assert_eq!(seen(text), expected, "{text:?}");
        }
        assert!(read(&little[..little.len() - 1]).is_err());
    }
}
