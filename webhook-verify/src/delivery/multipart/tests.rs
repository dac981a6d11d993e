use super::{MultipartError, Part, PartLimits};
use crate::{delivery::Delivery, scheme, verify::Verifier};

const PLAIN: &[u8] = b"multipart/form-data; boundary=b";

fn delivery(body: impl AsRef<[u8]>) -> Delivery {
    let verifier = Verifier::new(scheme::PIPEFORCE_TOKEN, "a29a4f16").unwrap();
    let body = body.as_ref().to_vec();
    verifier.verify(&[("token", "a29a4f16")], body).unwrap()
}

fn parts(content_type: &[u8], body: impl AsRef<[u8]>) -> Result<Vec<Part>, MultipartError> {
    delivery(body).parts(Some(content_type), PartLimits::default())
}

fn part(disposition: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[track_caller]
fn is(body: impl AsRef<[u8]>, expected: MultipartError) {
    assert_eq!(parts(PLAIN, body).map(|parts| parts.len()), Err(expected));
}

/// An example from PIPEFORCE's documentation, with its spaces after boundaries and headers.
#[test]
fn the_documents_own_example() {
    let body = "--boundary \r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"fileA.pdf\" \r\n\r\n\
        <CONTENT FILE fileA.pdf GOES HERE...>\r\n\
        --boundary \r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"fileB.pdf\" \r\n\r\n\
        <CONTENT FILE fileB.pdf GOES HERE...>\r\n\
        --boundary--";
    let parts = parts(b"multipart/form-data;boundary=\"boundary\" ", body).unwrap();
    assert_eq!(parts.len(), 2);
    for (part, letter) in parts.iter().zip(["A", "B"]) {
        assert_eq!((part.name(), part.is_file()), ("file", true));
        assert_eq!(part.safe_name(), Some(&*format!("file{letter}.pdf")));
        assert_eq!(part.content_type(), None);
        let content = format!("<CONTENT FILE file{letter}.pdf GOES HERE...>");
        assert_eq!(part.bytes(), content.as_bytes());
    }
}

#[test]
fn blanks_behind_boundaries_are_no_content_and_those_in_it_stay() {
    let content = " \t--b \t\r\n --b\r\n\r\n-- b\r\n\0\u{ff} ";
    for padding in ["", " ", "\t", " \t \t"] {
        let head = "Content-Disposition: form-data; name=\"a\"";
        let one = format!("--b{padding}\r\n{head}\r\n\r\n{content}\r\n");
        for end in ["", "\r\n", "\r\nan epilogue\r\n--b\r\n", "  "] {
            let body = format!("a preamble\r\n{one}{one}--b--{padding}{end}");
            let parts = parts(PLAIN, body).unwrap();
            assert_eq!(parts.len(), 2);
            for part in parts {
                assert_eq!(part.bytes(), content.as_bytes(), "{padding:?} {end:?}");
            }
        }
    }
}

#[test]
fn blanks_around_the_content_type_are_no_part_of_it() {
    let body = part("name=a", "1") + "--b--";
    for content_type in [
        "multipart/form-data;boundary=b",
        "multipart/form-data; boundary=b \t ",
        "multipart/form-data; boundary=\"b\"\t",
        " multipart/form-data; boundary=b",
    ] {
        let parts = parts(content_type.as_bytes(), &body).map(|parts| parts.len());
        assert_eq!(parts, Ok(1), "{content_type:?}");
    }
}

#[test]
fn a_field_a_file_and_an_empty_one() {
    let body = part("name=a", "1")
        + "--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"C:\\x\\y.png\"\r\n\
           Content-Type: image/png\r\n\r\n\r\n"
        + &part("name=\"c\"; filename=\"..\"", "3")
        + "--b--\r\n";
    let parts = parts(b"Multipart/Form-Data; charset=utf-8; boundary=b", body).unwrap();
    let seen: Vec<_> = parts
        .iter()
        .map(|part| (part.name(), part.is_file(), part.safe_name(), part.content_type()))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", false, None, None),
            ("f", true, Some("y.png"), Some("image/png")),
            ("c", true, None, None),
        ]
    );
    assert_eq!(parts[0].bytes(), "1");
    assert!(parts[1].bytes().is_empty());
    let debug = format!("{parts:?}");
    assert!(!debug.contains("png") && !debug.contains('y'), "{debug}");
    assert_eq!(self::parts(PLAIN, "--b--").unwrap().len(), 0);
}

#[test]
fn a_nested_multipart_is_one_part() {
    let inner = "--i\r\nContent-Disposition: file; filename=\"x\"\r\n\r\n1\r\n--i--\r\n";
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"files\"\r\n\
         Content-Type: multipart/mixed; boundary=i\r\n\r\n{inner}\r\n--b--\r\n"
    );
    let parts = parts(PLAIN, body).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].content_type(), Some("multipart/mixed; boundary=i"));
    assert_eq!(parts[0].bytes(), inner.as_bytes());
}

#[test]
fn other_content_types_are_not_multipart() {
    let body = part("name=a", "1") + "--b--";
    for content_type in [
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=b",
        "multipart/form-data2; boundary=b",
        "boundary=b",
    ] {
        let error = parts(content_type.as_bytes(), &body).unwrap_err();
        assert_eq!(error, MultipartError::NotMultipart, "{content_type}");
    }
    let error = delivery(body).parts(None, PartLimits::default()).unwrap_err();
    assert_eq!(error, MultipartError::NotMultipart);
}

#[test]
fn boundaries_that_are_none() {
    let with = |boundary: &str| {
        let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
        let body = part("name=a", "1").replace("--b", &format!("--{boundary}"));
        parts(content_type.as_bytes(), body + "--" + boundary + "--").map(|parts| parts.len())
    };
    assert_eq!(with(&"b".repeat(70)), Ok(1));
    assert_eq!(with("----=_Part_1 (2):3?"), Ok(1));
    for boundary in ["", " ", "b ", "b\u{e9}", "b;c", "b*", &"b".repeat(71), &"b".repeat(10_240)] {
        assert_eq!(with(boundary), Err(MultipartError::Malformed), "{boundary}");
    }
    for content_type in [
        &b"multipart/form-data"[..],
        b"multipart/form-data;",
        b"multipart/form-data; boundary",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=\"b",
        b"multipart/form-data; boundary=b\xff",
        b"multipart/form-data; boundary=b c",
    ] {
        let error = parts(content_type, part("name=a", "1") + "--b--").unwrap_err();
        assert_eq!(error, MultipartError::Malformed, "{content_type:?}");
    }
}

#[test]
fn bodies_that_are_none() {
    let one = part("name=a", "1");
    let whole = one.clone() + "--b--";
    assert_eq!(parts(PLAIN, &whole).unwrap().len(), 1);
    // A body that is cut off anywhere has no closing boundary.
    for end in 0..whole.len() {
        is(&whole[..end], MultipartError::Malformed);
    }
    for body in [
        "a=b&c=d".to_owned(),
        "--c\r\n\r\n--c--".to_owned(),
        whole.replace("\r\n", "\n"),
        one.clone() + "--bb--",
        one.replace("form-data;", "form-data;\0") + "--b--",
        "--b\r\nno header\r\n\r\n1\r\n--b--".to_owned(),
        "--b\r\nname\r\n--b--".to_owned(),
        format!("--b\r\n{}\r\n1\r\n--b--", "A: 1\r\n".repeat(33)),
        format!("--b{}", " ".repeat(100_000)),
    ] {
        is(body, MultipartError::Malformed);
    }
}

#[test]
fn parts_without_names() {
    let long = format!("name={}", "a".repeat(257));
    for disposition in ["", "filename=\"a.pdf\"", "name=\"\"", "names=a", "name", &long] {
        is(part(disposition, "1") + "--b--", MultipartError::UnnamedPart);
    }
    let named = part("name=a", "1");
    is(
        named.clone() + "--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--",
        MultipartError::UnnamedPart,
    );
    is(named + "--b\r\n\r\n1\r\n\r\n--b--", MultipartError::UnnamedPart);
}

#[test]
fn no_more_and_no_longer_parts_than_may_be() {
    let many = |count| part("name=a", "12345").repeat(count) + "--b--";
    let limited = |count, limits| delivery(many(count)).parts(Some(PLAIN), limits);
    let default = PartLimits::default();
    assert_eq!(limited(32, default).unwrap().len(), 32);
    let too_many = |limit| MultipartError::TooManyParts { limit };
    assert_eq!(limited(33, default).unwrap_err(), too_many(32));
    assert_eq!(limited(20_000, default).unwrap_err(), too_many(32));
    assert_eq!(limited(2, default.parts(1)).unwrap_err(), too_many(1));
    assert_eq!(limited(1, default.part_len(5)).unwrap().len(), 1);
    let too_large = MultipartError::PartTooLarge { limit: 4 };
    assert_eq!(limited(1, default.part_len(4)).unwrap_err(), too_large);
    assert_eq!(limited(0, default.parts(0)).unwrap().len(), 0);
}

/// Any bytes give a result, and accepted parts are within the limits.
#[test]
fn no_bytes_make_it_panic() {
    let whole = "x\r\n".to_owned()
        + &part("name=\"a\"; filename=\"a\\\"b\"", "1\r\n--")
        + &part("name=b", "")
        + "--b--\r\n";
    // A fixed generator gives the same bytes in every run.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    let limits = PartLimits::default().parts(3).part_len(64);
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut body = whole.clone().into_bytes();
        for _ in 0..=random(4) {
            let (at, to) = (random(body.len()), random(body.len()));
            match random(4) {
                0 => body[at] = b"\r\n-b\"=;: \0\xff"[random(11)],
                1 => body.swap(at, to),
                2 => body.extend_from_within(at.min(to)..at.max(to)),
                _ => body.truncate(at.max(1)),
            }
        }
        if let Ok(parts) = delivery(body).parts(Some(PLAIN), limits) {
            assert!(parts.len() <= 3 && parts.iter().all(|part| part.bytes().len() <= 64));
            taken += 1;
        }
    }
    assert!((500..19_500).contains(&taken), "{taken}");
}

#[test]
fn what_is_answered() {
    for (error, status, text) in [
        (MultipartError::NotMultipart, 415, "expected multipart/form-data"),
        (MultipartError::Malformed, 400, "body is not multipart/form-data"),
        (MultipartError::TooManyParts { limit: 7 }, 413, "too many parts"),
        (MultipartError::PartTooLarge { limit: 7 }, 413, "part too large"),
        (MultipartError::UnnamedPart, 422, "part without a name"),
    ] {
        let answer = error.answer();
        assert_eq!((answer.status(), &answer.body()[..]), (status, text.as_bytes()));
    }
}
