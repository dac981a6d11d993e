//! Requests in HTTP/1.1, and the `.http` files of editors.

use super::{Input, header, next_line, request_line};

/// Returns whether a text begins with a request line.
pub(super) fn is_raw(mut text: &[u8]) -> bool {
    first_line(&mut text).is_some_and(|line| request_line(line).is_some())
}

pub(super) fn read(text: &[u8]) -> Result<Input, String> {
    let mut rest = text;
    let line = first_line(&mut rest).and_then(request_line);
    let line = line.ok_or(
        "the first line is no request line, such as `POST /webhook HTTP/1.1`; the input may be \
         raw HTTP, the output of `curl -v` or `curl --trace`, a HAR entry, or a row of `check`",
    )?;
    let mut headers = Vec::<(String, Vec<u8>)>::new();
    let mut indent = 0;
    loop {
        match (next_line(&mut rest), headers.last_mut()) {
            (None | Some([]), _) => break,
            // A folded value (RFC 9112 §5.2), unless the whole text is indented.
            (Some(line), Some((_, value))) if indent_of(line) > indent => {
                let part = line.trim_ascii();
                let separator: &[u8] = if value.is_empty() || part.is_empty() { b"" } else { b" " };
                value.extend([separator, part].concat());
            }
            (Some(line), last) => {
                if last.is_none() {
                    indent = indent_of(line);
                }
                headers.push(header(line)?);
            }
        }
    }
    // A comment at the start is a sign of a `.http` file, where another one separates requests.
    if text.starts_with(b"#") {
        rest = before_separator(rest);
    }
    let body = match (is_chunked(&headers), content_length(&headers)) {
        // Most tools have removed the chunks already.
        (true, _) => chunks(rest).unwrap_or_else(|| rest.to_vec()),
        (false, Some(len)) => declared(rest, len).to_vec(),
        (false, None) => rest.to_vec(),
    };
    Ok(Input::of(line, headers, Ok(body)))
}

/// Removes the first line that is neither blank nor a comment of a `.http` file.
fn first_line<'t>(text: &mut &'t [u8]) -> Option<&'t [u8]> {
    loop {
        let line = next_line(text)?.trim_ascii();
        if !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b"//") {
            return Some(line);
        }
    }
}

/// Returns the number of blanks at the start of a line.
fn indent_of(line: &[u8]) -> usize {
    line.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count()
}

fn before_separator(text: &[u8]) -> &[u8] {
    match text.windows(4).position(|window| window == b"\n###") {
        Some(at) => text[..at].trim_ascii_end(),
        None => text,
    }
}

fn values<'h>(
    headers: &'h [(String, Vec<u8>)],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> {
    let named = headers.iter().filter(move |header| header.0.eq_ignore_ascii_case(name));
    named.map(|(_, value)| &**value)
}

/// Returns whether the last coding is `chunked` (RFC 9112 §6.1).
fn is_chunked(headers: &[(String, Vec<u8>)]) -> bool {
    let last = values(headers, "transfer-encoding").last();
    let coding = last.and_then(|value| value.rsplit(|&byte| byte == b',').next());
    coding.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Returns the declared length of the body.
pub(super) fn content_length(headers: &[(String, Vec<u8>)]) -> Option<usize> {
    std::str::from_utf8(values(headers, "content-length").next()?).ok()?.parse().ok()
}

/// Removes what follows the body: white space, a response, or another request. Keeps one or two
/// line breaks, which may be the fault.
fn declared(text: &[u8], len: usize) -> &[u8] {
    let Some((body, rest)) = text.split_at_checked(len) else { return text };
    let mut next = rest.trim_ascii_start();
    let is_kept = match next {
        [] => matches!(rest, b"" | b"\n" | b"\r\n" | b"\n\n" | b"\r\n\r\n"),
        next if next.starts_with(b"HTTP/") => false,
        _ => next_line(&mut next).and_then(request_line).is_none(),
    };
    if is_kept { text } else { body }
}

/// Decodes chunks (RFC 9112 §7.1), the last of which may be missing or cut. Returns `None` if the
/// text is not in chunks.
fn chunks(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = next_line(&mut text) else {
            return Some(body).filter(|it| !it.is_empty());
        };
        let size = line.split(|&byte| byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let Some((chunk, rest)) = text.split_at_checked(size) else {
            body.extend_from_slice(text);
            return Some(body).filter(|it| !it.is_empty());
        };
        body.extend_from_slice(chunk);
        text = rest;
        if !next_line(&mut text).unwrap_or_default().is_empty() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::read, chunks};

    /// Returns the body of a request with these headers.
    fn body(headers: &str, body: &str) -> String {
        let text = format!("POST /hook HTTP/1.1\r\n{headers}\r\n\r\n{body}");
        String::from_utf8(read(text.as_bytes()).unwrap().remove(0).body.unwrap()).unwrap()
    }

    #[test]
    fn text_after_the_declared_length_is_no_part_of_the_body() {
        for rest in [
            "HTTP/1.1 401 Unauthorized\r\n\r\nno",
            "\n\n\nHTTP/2 200\n",
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n{}",
            "\r\n\r\nGET / HTTP/1.1\r\n",
            "\n\n\n",
            "  ",
        ] {
            assert_eq!(body("Content-Length: 2", &format!("{{}}{rest}")), "{}", "{rest:?}");
        }
        for whole in ["{}", "{}\n", "{}\r\n", "{}\n\n", "{ }", "{\"a\":1}", "{}\n{}", "{"] {
            assert_eq!(body("content-length: 2", whole), whole);
        }
        // Without a length, nothing tells a body from what follows it.
        assert_eq!(body("Host: x", "{}\n\nHTTP/1.1 200\n"), "{}\n\nHTTP/1.1 200\n");
    }

    #[test]
    fn a_text_with_a_request_line_is_raw_whatever_its_body_contains() {
        for line in ["curl https://evil.example/x -d 1", "> GET / HTTP/1.1", "=> Send header, 1 b"]
        {
            let input = format!("{{}}\n{line}\n");
            assert_eq!(body("Host: x", &input), input);
        }
    }

    #[test]
    fn folded_headers_are_unfolded() {
        let read = |head: &str| {
            let input = read(format!("{head}\n\n{{}}").as_bytes()).unwrap().remove(0);
            assert_eq!(input.body.unwrap(), b"{}");
            let text = |(name, value): (String, Vec<u8>)| {
                format!("{name}={}", String::from_utf8(value).unwrap())
            };
            input.headers.into_iter().map(text).collect::<Vec<_>>()
        };
        for head in [
            "POST / HTTP/1.1\r\nX-Sig: t=1,\r\n v1=a\r\n\t v0=b\r\nHost: h\r",
            "POST / HTTP/1.1\nX-Sig:\n t=1, \n v1=a\n \n v0=b\nHost: h",
            "    POST / HTTP/1.1\n    X-Sig: t=1,\n      v1=a v0=b\n    Host: h",
        ] {
            assert_eq!(read(head), ["X-Sig=t=1, v1=a v0=b", "Host=h"], "{head}");
        }
        // Of an indented text, no header continues another.
        assert_eq!(read("POST / HTTP/1.1\n  X-Sig: a\n  Host: h"), ["X-Sig=a", "Host=h"]);
        assert_eq!(read("POST / HTTP/1.1\n\tX-Sig: a\nHost: h"), ["X-Sig=a", "Host=h"]);
    }

    #[test]
    fn chunks_are_joined_if_they_are_there() {
        let chunked = "Transfer-Encoding: chunked";
        let two = "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(body(chunked, two), "abc0123456789");
        assert_eq!(body("transfer-encoding: gzip, Chunked", two), "abc0123456789");
        assert_eq!(body("transfer-encoding: chunked, gzip", two), two);
        // The last chunk is missing, or cut.
        assert_eq!(body(chunked, "3\r\nabc\r\n"), "abc");
        assert_eq!(body(chunked, "3\r\nabc"), "abc");
        assert_eq!(body(chunked, "3\r\nabc\r\n24\r\n{\"a"), "abc{\"a");
        assert_eq!(body(chunked, "ffffffffffffffff\r\n{\"a"), "{\"a");
        // Another tool has removed the chunks.
        for plain in ["{}\n", "abc", "123\n", ""] {
            assert_eq!(body(chunked, plain), plain);
        }
        assert_eq!(chunks(b"2\r\n{}x\r\n"), None);
    }

    #[test]
    fn files_of_editors_are_read() {
        let text =
            "### push\n# @name a\n// b\nPOST https://h/x?a=1\nX-Sig: abc\n\n{}\n\n### other\nGET /";
        let input = read(text.as_bytes()).unwrap().remove(0);
        assert_eq!((&*input.method, &*input.target), ("POST", "/x?a=1"));
        assert_eq!(input.url.as_deref(), Some("https://h/x?a=1"));
        assert_eq!(input.body.unwrap(), b"{}");
    }
}
