use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::SignedRequest;

impl SignedRequest {
    /// Returns a `curl` command that sends this request to `origin`, such as
    /// `http://127.0.0.1:3000`. It is quoted for a POSIX shell.
    ///
    /// A request without a content type gets `application/json`. A body that a command line cannot
    /// contain is encoded in base64 and piped into `curl`.
    ///
    /// ```
    /// use webhook_verify::{scheme, testing::Signer};
    ///
    /// let signed = Signer::new(scheme::MAUTIC, "a secret")?.sign("{}")?;
    /// assert_eq!(
    ///     signed.curl("http://127.0.0.1:3000"),
    ///     "curl -i 'http://127.0.0.1:3000/' \
    ///      -H 'webhook-signature: xCTG9ZDQ1x5zwUnPO6uqz2hwknbr35jEQml11eB/k5c=' \
    ///      -H 'content-type: application/json' --data-binary '{}'",
    /// );
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    #[must_use]
    pub fn curl(&self, origin: &str) -> String {
        let url = format!("{origin}{}", self.target);
        let mut line = "curl".to_owned();
        if url.contains(['[', ']', '{', '}']) {
            // Otherwise curl interprets them as a pattern of several URLs.
            line += " -g";
        }
        line += " -i";
        if self.method != "POST" {
            line += &format!(" -X {}", quote(&self.method));
        }
        line += &format!(" {}", quote(&url));
        for (name, value) in &self.headers {
            // With a colon, curl omits a header without a value.
            let header =
                if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            line += &format!(" -H {}", quote(&header));
        }
        if let Some(content_type) = self.missing_content_type() {
            line += &format!(" -H 'content-type: {content_type}'");
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) if !text.contains('\0') && !text.starts_with('@') => {
                line + " --data-binary " + &quote(text)
            }
            _ => format!(
                "printf %s {} | base64 -d | {line} --data-binary @-",
                STANDARD.encode(&self.body)
            ),
        }
    }
}

/// Quotes a word for a POSIX shell, unless it needs no quotes.
///
/// ```
/// use webhook_verify::testing::shell_quote;
///
/// assert_eq!(shell_quote("127.0.0.1:3000"), "127.0.0.1:3000");
/// assert_eq!(shell_quote("it's $5"), r"'it'\''s $5'");
/// ```
#[must_use]
pub fn shell_quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_owned() } else { quote(word) }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
