use std::fmt;

/// The reason why a request is refused, with a stable [code](Self::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The request is valid.
    Valid,
    /// A header that the scheme needs is absent.
    MissingHeader,
    /// The request is valid under another scheme, or has the headers of another sender.
    OtherSender,
    /// The signature does not have the scheme's form.
    MalformedSignature,
    /// The signature is hex, base64 or base64url where the scheme expects another one.
    EncodingMismatch,
    /// There is white space, a line break or an invisible character around the secret.
    SecretWhitespace,
    /// The secret is in quotation marks.
    SecretQuotes,
    /// The secret lacks a prefix such as `whsec_`, or has one too many.
    SecretPrefix,
    /// The secret is text where the sender decodes hex or base64, or the reverse.
    SecretEncoding,
    /// The secret is a key of another kind, such as an API key.
    SecretKind,
    /// The JSON body was parsed and serialized again.
    BodyReserialized,
    /// The body lost its final line break, or got one.
    BodyFinalNewline,
    /// The line breaks in the body were converted.
    BodyLineEndings,
    /// The body got a byte order mark, or lost it.
    BodyBom,
    /// The body was converted from one character set to another.
    BodyCharset,
    /// The body was decompressed or compressed on its way.
    BodyDecompressed,
    /// The end of the body is missing.
    BodyTruncated,
    /// The body is empty.
    BodyEmpty,
    /// The form in the body was parsed and encoded again.
    FormReencoded,
    /// The signed URL has another scheme, such as `https`.
    UrlScheme,
    /// The signed URL has another host.
    UrlHost,
    /// The signed URL has another port.
    UrlPort,
    /// The signed URL has another path.
    UrlPath,
    /// The signed URL has another query.
    UrlQuery,
    /// The timestamp is too old.
    TimestampOld,
    /// The timestamp is in the future.
    TimestampFuture,
    /// The timestamp is in another unit.
    TimestampUnit,
    /// The end of the signature is missing.
    SignatureTruncated,
    /// The signature belongs to another body.
    SignatureOtherBody,
    /// No attempt made the request valid.
    NoMatch,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 30] = [
        Self::Valid,
        Self::MissingHeader,
        Self::OtherSender,
        Self::MalformedSignature,
        Self::EncodingMismatch,
        Self::SecretWhitespace,
        Self::SecretQuotes,
        Self::SecretPrefix,
        Self::SecretEncoding,
        Self::SecretKind,
        Self::BodyReserialized,
        Self::BodyFinalNewline,
        Self::BodyLineEndings,
        Self::BodyBom,
        Self::BodyCharset,
        Self::BodyDecompressed,
        Self::BodyTruncated,
        Self::BodyEmpty,
        Self::FormReencoded,
        Self::UrlScheme,
        Self::UrlHost,
        Self::UrlPort,
        Self::UrlPath,
        Self::UrlQuery,
        Self::TimestampOld,
        Self::TimestampFuture,
        Self::TimestampUnit,
        Self::SignatureTruncated,
        Self::SignatureOtherBody,
        Self::NoMatch,
    ];

    /// Returns a stable code, such as `body_final_newline`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::MissingHeader => "missing_header",
            Self::OtherSender => "other_sender",
            Self::MalformedSignature => "malformed_signature",
            Self::EncodingMismatch => "encoding_mismatch",
            Self::SecretWhitespace => "secret_whitespace",
            Self::SecretQuotes => "secret_quotes",
            Self::SecretPrefix => "secret_prefix",
            Self::SecretEncoding => "secret_encoding",
            Self::SecretKind => "secret_kind",
            Self::BodyReserialized => "body_reserialized",
            Self::BodyFinalNewline => "body_final_newline",
            Self::BodyLineEndings => "body_line_endings",
            Self::BodyBom => "body_bom",
            Self::BodyCharset => "body_charset",
            Self::BodyDecompressed => "body_decompressed",
            Self::BodyTruncated => "body_truncated",
            Self::BodyEmpty => "body_empty",
            Self::FormReencoded => "form_reencoded",
            Self::UrlScheme => "url_scheme",
            Self::UrlHost => "url_host",
            Self::UrlPort => "url_port",
            Self::UrlPath => "url_path",
            Self::UrlQuery => "url_query",
            Self::TimestampOld => "timestamp_old",
            Self::TimestampFuture => "timestamp_future",
            Self::TimestampUnit => "timestamp_unit",
            Self::SignatureTruncated => "signature_truncated",
            Self::SignatureOtherBody => "signature_other_body",
            Self::NoMatch => "no_match",
        }
    }

    /// Returns what usually leads to this cause, as a sentence without a full stop.
    #[must_use]
    pub const fn usual_reason(self) -> &'static str {
        match self {
            Self::Valid => "nothing is wrong",
            Self::MissingHeader => {
                "usually no secret is set at the sender, or a proxy or gateway forwards only some \
                 headers (nginx drops names with underscores)"
            }
            Self::OtherSender => {
                "usually the sender has the URL of another sender, or the receiver the wrong scheme"
            }
            Self::MalformedSignature => {
                "usually the scheme is another one, or a header was edited when it was copied"
            }
            Self::EncodingMismatch => {
                "usually a hand-written sender or a test encodes the signature differently"
            }
            Self::SecretWhitespace => {
                "usually `echo` wrote the secret to a file, or it was copied with a line break"
            }
            Self::SecretQuotes => {
                "usually a line of a `.env` file or of YAML was copied with its quotation marks"
            }
            Self::SecretPrefix => {
                "usually only a part of the secret was copied, or `v1,` was copied with it"
            }
            Self::SecretEncoding => {
                "usually the secret is hex or base64 that only one side decodes"
            }
            Self::SecretKind => "usually the API key next to the webhook secret was copied",
            Self::BodyReserialized => {
                "usually a body parser (`express.json()`, a JSON extractor) ran before the \
                 verification, and its result was serialized again"
            }
            Self::BodyFinalNewline => {
                "usually an editor, `echo` or a logger added the line break, or `trim` removed it"
            }
            Self::BodyLineEndings => {
                "usually the body was saved on Windows, by Git with `autocrlf`, or from a mail"
            }
            Self::BodyBom => "usually the body was saved by an editor, or read as text",
            Self::BodyCharset => {
                "usually the body was read as Latin-1 text and written as UTF-8, or the reverse"
            }
            Self::BodyDecompressed => {
                "usually a proxy, a server or a layer decompressed the body before the verification"
            }
            Self::BodyTruncated => {
                "usually a log line or a buffer has a limit, or only the first read was kept"
            }
            Self::BodyEmpty => "usually another layer or extractor had already read the body",
            Self::FormReencoded => {
                "usually a form parser ran before the verification, and the form was encoded again"
            }
            Self::UrlScheme => "usually a proxy ends TLS, so the service sees `http`",
            Self::UrlHost => "usually a proxy or tunnel forwards the request under another host",
            Self::UrlPort => "usually a proxy or container maps the port",
            Self::UrlPath => "usually a proxy or router strips a prefix, or adds a slash",
            Self::UrlQuery => "usually a proxy drops, sorts or re-encodes the query",
            Self::TimestampOld => {
                "usually the request is a recording or a late retry, or this host's clock is ahead"
            }
            Self::TimestampFuture => {
                "usually this host's clock is behind, or the sender's is ahead"
            }
            Self::TimestampUnit => "usually a hand-written sender sends milliseconds",
            Self::SignatureTruncated => {
                "usually the signature was cut by a log, a column or a terminal"
            }
            Self::SignatureOtherBody => {
                "usually the headers of one request were stored with the body of another"
            }
            Self::NoMatch => {
                "usually the secret is that of another endpoint or environment, or was replaced"
            }
        }
    }
}

/// Displays the [code](Cause::code).
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
