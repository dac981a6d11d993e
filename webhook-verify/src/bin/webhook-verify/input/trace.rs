//! Requests in the output of `curl -v`, `curl --trace-ascii` and `curl --trace`.

use super::{Input, NO_BODY, curl, header, next_line, raw, request_line};

/// The note about a body that may have lost bytes.
const NOT_EXACT: &str = "`curl --trace-ascii` shows some bytes as dots, such as those of letters \
                         outside ASCII, and omits line breaks, so the body may differ: use \
                         `curl --trace`";

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
        true if has_no_body(&request.0, &headers) => Ok(Vec::new()),
        true => match curl::command(command).map(curl::read) {
            Some(Ok(command)) => command.body,
            _ => Err(NO_BODY),
        },
    };
    Ok(Input::of(request, headers, body))
}

/// Returns whether a request has no body. The data of `curl -G` is in the query.
fn has_no_body(method: &str, headers: &[(String, Vec<u8>)]) -> bool {
    let is_chunked = headers.iter().any(|it| it.0.eq_ignore_ascii_case("transfer-encoding"));
    match raw::content_length(headers) {
        Some(len) => len == 0,
        None => method == "GET" && !is_chunked,
    }
}

/// Returns whether a text is the output of `curl --trace-ascii` or `curl --trace`.
pub(super) fn has_blocks(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| without_time(line).starts_with(b"=> Send header"))
}

/// Reads the output of `curl --trace-ascii` or `curl --trace`.
pub(super) fn read_blocks(text: &[u8]) -> Result<Input, String> {
    let (mut head, mut body) = (Vec::new(), Vec::new());
    let mut rest = text;
    let mut line = next_line(&mut rest);
    let (mut is_hex, mut declared) = (None, 0);
    while let Some(start) = line {
        let start = without_time(start);
        let mut block = Vec::new();
        line = next_line(&mut rest);
        while let Some((offset, row)) = line.and_then(row) {
            // The first row of the request has its method, which is no byte in hex.
            let is_sent = start.starts_with(b"=> Send header");
            if is_hex.is_none() && is_sent {
                is_hex = Some(!hex_bytes(row).is_empty());
            }
            match is_hex {
                Some(true) if offset != block.len() => {
                    return Err("rows of the output of `curl --trace` are missing".into());
                }
                Some(true) => block.extend(hex_bytes(row)),
                // Rows are cut after 64 bytes, and at line breaks, which they do not show.
                _ => {
                    if offset > block.len() {
                        block.extend_from_slice(b"\r\n");
                    }
                    block.extend_from_slice(row);
                }
            }
            line = next_line(&mut rest);
        }
        let is_connect = head.starts_with(b"CONNECT ");
        if start.starts_with(b"=> Send header") && (head.is_empty() || is_connect) {
            head = block;
        } else if start.starts_with(b"=> Send header") {
            break;
        } else if start.starts_with(b"=> Send data") && !is_connect {
            body.append(&mut block);
            declared += length(start);
        }
    }
    head.extend_from_slice(b"\r\n\r\n");
    let input = raw::read(&head)?;
    let is_exact = is_hex == Some(true) || (body.len() == declared && !body.contains(&b'.'));
    let body = match body.is_empty() && !has_no_body(&input.method, &input.headers) {
        true => Err(NO_BODY),
        false => Ok(body),
    };
    Ok(Input { body, note: (!is_exact).then_some(NOT_EXACT), ..input })
}

/// Returns the length of a block by its first line: `=> Send data, 12 bytes (0xc)`.
fn length(start: &[u8]) -> usize {
    let digits = start.iter().skip_while(|byte| !byte.is_ascii_digit());
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |len, digit| len.wrapping_mul(10).wrapping_add(usize::from(digit - b'0')))
}

/// Reads a row of a block: `0040: text`.
fn row(line: &[u8]) -> Option<(usize, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':').filter(|&at| at >= 4)?;
    let offset = usize::from_str_radix(std::str::from_utf8(&line[..colon]).ok()?, 16).ok()?;
    Some((offset, line[colon + 1..].strip_prefix(b" ")?))
}

/// Reads up to 16 bytes in hex, such as `50 4f 53 54 `. Text follows them in another column.
fn hex_bytes(row: &[u8]) -> Vec<u8> {
    let byte = |cell: &[u8]| match cell {
        [high, low, b' '] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        }
        _ => None,
    };
    row.chunks(3).take(16).map_while(byte).collect()
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
    }

    /// Returns a block of `curl --trace`.
    fn block(kind: &str, bytes: &[u8]) -> String {
        let mut block = format!("=> Send {kind}, {0} bytes ({0:#x})\n", bytes.len());
        for (number, row) in bytes.chunks(16).enumerate() {
            let hex: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
            let shown = |byte: &u8| match byte {
                b' '..b'\x7f' => char::from(*byte),
                _ => '.',
            };
            let text: String = row.iter().map(shown).collect();
            block += &format!("{:04x}: {hex:48}{text}\n", number * 16);
        }
        block
    }

    #[test]
    fn blocks_in_hex_are_the_exact_bytes() {
        let connect = block("header", b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = block("header", b"POST /hook HTTP/1.1\r\nX-Sig: abc\r\nX-Other: d\r\n\r\n");
        let data = [&b"{\"a\":\r\n[\n\"\xc3\xbc\t\"]}\n"[..], b"61 62 63 ", b" "].concat();
        let (first, rest) = data.split_at(11);
        let text = format!(
            "== Info: Trying\n{connect}{head}{}{}<= Recv header, 2 bytes\n0000: 48 54 HT\n",
            block("data", first),
            block("data", rest)
        );
        let timed = text.replace("=>", "12:04:49.123456 =>").replace('\n', "\r\n");
        for text in [&text, &timed] {
            let input = read(text.as_bytes()).unwrap().remove(0);
            assert_eq!((&*input.method, &*input.target), ("POST", "/hook"));
            assert_eq!(input.headers[0], ("X-Sig".to_owned(), b"abc".to_vec()));
            assert_eq!(input.headers.len(), 2);
            assert_eq!(input.body.as_deref(), Ok(&data[..]));
        }
        assert_eq!(
            seen(&head),
            r#"POST /hook ["X-Sig", "X-Other"] Err("the input has no body: pass it with --body")"#
        );
        // The request has no body.
        let empty = block("header", b"POST /hook HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(seen(&empty), r#"POST /hook ["Content-Length"] Ok("")"#);
        // In the other form, text that looks like hex is text.
        let ascii = "=> Send header, 9 bytes\n0000: POST / HTTP/1.1\n=> Send data, 9 bytes\n\
                     0000: 61 62 63 \n";
        assert_eq!(
            read(ascii.as_bytes()).unwrap().remove(0).body.as_deref(),
            Ok(&b"61 62 63 "[..])
        );
        let cut = text.replacen("0010: ", "cut: ", 1);
        assert!(read(cut.as_bytes()).is_err());
        let row = text.find("0010: ").unwrap();
        let cut = format!("{}{}", &text[..row], &text[row + text[row..].find('\n').unwrap() + 1..]);
        assert_eq!(
            read(cut.as_bytes()).err().unwrap(),
            "rows of the output of `curl --trace` are missing"
        );
    }

    #[test]
    fn the_data_of_a_query_is_no_body() {
        for command in ["curl -v -G -d a=1 h", "curl -vGd @file h", "curl -v h"] {
            let trace = "> GET /hook?a=1 HTTP/1.1\n> X-Sig: abc\n> \n< HTTP/1.1 401\n";
            let expected = r#"GET /hook?a=1 ["X-Sig"] Ok("")"#;
            assert_eq!(seen(&format!("$ {command}\n{trace}")), expected, "{command}");
        }
        let trace = "> POST / HTTP/1.1\n> Content-Length: 0\n> \n< HTTP/1.1 401\n";
        assert_eq!(seen(trace), r#"POST / ["Content-Length"] Ok("")"#);
        let trace = "> GET / HTTP/1.1\n> Content-Length: 3\n> \n< HTTP/1.1 401\n";
        assert!(seen(trace).ends_with("pass it with --body\")"));
    }
}
