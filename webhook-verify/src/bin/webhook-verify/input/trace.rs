//! Requests in the output of `curl -v` and of `curl --trace-ascii`.

use super::{Input, NO_BODY, curl, header, next_line, raw, request_line};

/// Returns whether a text is the output of `curl -v`.
pub(super) fn is_trace(text: &[u8]) -> bool {
    start(text).is_some()
}

/// Returns where the lines of the first request start.
fn start(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    loop {
        let at = text.len() - rest.len();
        let line = without_time(next_line(&mut rest)?).strip_prefix(b"> ");
        if line.is_some_and(|line| request_line(line).is_some()) {
            return Some(at);
        }
    }
}

/// Removes what `--trace-time` adds: `12:04:49.123456 `.
fn without_time(line: &[u8]) -> &[u8] {
    let Some((time, rest)) = line.split_at_checked(16) else { return line };
    let is_time = time.iter().zip(b"00:00:00.000000 ").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    });
    if is_time { rest } else { line }
}

/// Reads the output of `curl -v`, which may follow the command.
pub(super) fn read(text: &[u8]) -> Result<Input, String> {
    let (command, mut rest) = text.split_at(start(text).unwrap_or_default());
    let mut request = None;
    let mut headers = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        let Some(line) = without_time(line).strip_prefix(b">") else { continue };
        // A terminal of Windows adds a carriage return to that of HTTP.
        let line = line.strip_prefix(b" ").unwrap_or(line).trim_ascii_end();
        match (&request, line) {
            (None, line) => request = request_line(line),
            // The request to a proxy, before that to the server.
            (Some((method, _)), []) if method == "CONNECT" => {
                request = None;
                headers.clear();
            }
            (Some(_), []) => break,
            (Some(_), line) => headers.push(header(line)?),
        }
    }
    let request = request.ok_or("the input has only the request to a proxy, CONNECT")?;
    // `curl` prints no body, but people paste it where it belongs.
    let mut pasted = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        let notes = [&b"* "[..], b"< ", b"> ", b"{ [", b"} [", b"\r"];
        if notes.iter().any(|note| without_time(line).starts_with(note)) {
            break;
        }
        pasted.extend_from_slice(line);
        pasted.push(b'\n');
    }
    pasted.pop_if(|last| *last == b'\n');
    let body = match pasted.is_empty() {
        false => Ok(pasted),
        true => match curl::command(command).map(curl::read) {
            Some(Ok(command)) => command.body,
            _ => Err(NO_BODY),
        },
    };
    Ok(Input::of(request, headers, body))
}

/// Returns whether a text is the output of `curl --trace-ascii` or `curl --trace`.
pub(super) fn is_ascii_trace(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| without_time(line).starts_with(b"=> Send header"))
}

/// Reads the output of `curl --trace-ascii`.
pub(super) fn read_ascii(text: &[u8]) -> Result<Input, String> {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    let mut rest = text;
    let mut line = next_line(&mut rest);
    while let Some(start) = line {
        let start = without_time(start);
        let mut block = Vec::new();
        line = next_line(&mut rest);
        while let Some((offset, row)) = line.and_then(row) {
            // Rows are cut after 64 bytes, and at line breaks, which they do not show.
            if offset > block.len() {
                block.extend_from_slice(b"\r\n");
            }
            block.extend_from_slice(row);
            line = next_line(&mut rest);
        }
        let is_connect = head.starts_with(b"CONNECT ");
        if start.starts_with(b"=> Send header") && (head.is_empty() || is_connect) {
            head = block;
        } else if start.starts_with(b"=> Send header") {
            break;
        } else if start.starts_with(b"=> Send data") && !is_connect {
            body.append(&mut block);
        }
    }
    head.extend_from_slice(b"\r\n\r\n");
    if !raw::is_raw(&head) {
        return Err("the output of `curl --trace` is not supported: use `curl -v`".into());
    }
    let input = raw::read(&head)?;
    Ok(Input { body: if body.is_empty() { Err(NO_BODY) } else { Ok(body) }, ..input })
}

/// Reads a row of a block: `0040: text`.
fn row(line: &[u8]) -> Option<(usize, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':').filter(|&at| at >= 4)?;
    let offset = usize::from_str_radix(std::str::from_utf8(&line[..colon]).ok()?, 16).ok()?;
    Some((offset, line[colon + 1..].strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::super::read;

    const TRACE: &str = "* Trying\n> CONNECT h:443 HTTP/1.1\n> Host: h\n> \n< HTTP/1.1 200 OK\n< \n\
        * CONNECT phase completed\n> POST /hook HTTP/1.1\n> X-Sig: abc\n> \n} [2 bytes data]\n\
        < HTTP/1.1 401\n";

    /// Returns the parts of the only request in a text.
    fn seen(text: &str) -> String {
        let input = read(text.as_bytes()).unwrap_or_else(|reason| panic!("{reason}")).remove(0);
        let names: Vec<_> = input.headers.iter().map(|(name, _)| &**name).collect();
        let body = input.body.map(|body| String::from_utf8(body).unwrap());
        format!("{} {} {names:?} {body:?}", input.method, input.target)
    }

    #[test]
    fn the_request_to_a_proxy_is_skipped() {
        let expected = r#"POST /hook ["X-Sig"] Err("the input has no body: pass it with --body")"#;
        assert_eq!(seen(TRACE), expected);
        let end = TRACE.find("> POST").unwrap();
        assert!(read(&TRACE.as_bytes()[..end]).is_err());
    }

    #[test]
    fn times_are_no_part_of_a_line() {
        let timed: String = TRACE.lines().map(|line| format!("12:04:49.123456 {line}\n")).collect();
        assert_eq!(seen(&timed), seen(TRACE));
        assert_eq!(seen(&TRACE.replace('\n', "\r\r\n")), seen(TRACE));
    }

    #[test]
    fn a_body_is_that_of_the_command_before_the_trace() {
        let with = |command: &str| seen(&format!("$ {command}\n{TRACE}\n$ curl x -d 2\n"));
        assert!(with("curl -v h -d 1").ends_with("Ok(\"1\")"));
        assert!(
            with("curl -v h -d @a")
                .ends_with("Err(\"curl: the body is in a file: pass it with --body\")")
        );
        assert!(with("ls").ends_with("pass it with --body\")"));
        assert!(with("curl 'h").ends_with("pass it with --body\")"));
    }

    #[test]
    fn blocks_of_trace_ascii_are_joined() {
        let long = "e".repeat(58);
        let text = format!(
            "== Info: Trying\n=> Send header, 9 bytes (0x9)\n0000: POST /hook HTTP/1.1\n\
             0015: X-Sig: {}\n0055: f\n0058: \n=> Send data, 4 bytes (0x4)\n0000: {{\n0003: }}\n\
             => Send data, 1 bytes (0x1)\n0000: x\n<= Recv header, 2 bytes\n0000: HTTP/1.1 401\n",
            &long[1..]
        );
        assert_eq!(seen(&text), r#"POST /hook ["X-Sig"] Ok("{\r\n}x")"#);
        let input = read(text.as_bytes()).unwrap().remove(0);
        assert_eq!(input.headers[0].1, format!("{}f", &long[1..]).into_bytes());
        let hex = "=> Send header, 9 bytes (0x9)\n0000: 50 4f 53 54 20 2f POST /\n";
        assert!(read(hex.as_bytes()).err().unwrap().contains("curl -v"));
    }
}
