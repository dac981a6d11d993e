//! The parts of a request that signatures cover.

use std::fmt;

use super::{Origin, Part, Scheme, WholeBody};
use crate::error::ConfigError;

/// The part of a request that a scheme's signature covers, from the strongest to the weakest.
///
/// Do not trust the parts that are not covered: anyone who captures a request can change them. If a
/// body becomes a prompt or triggers a payment, require [`Body`](Self::Body) with
/// [`ReceiverBuilder::require`](crate::ReceiverBuilder::require).
///
/// ```
/// use webhook_verify::{Proof, Receiver, Verifier, scheme};
///
/// assert_eq!(scheme::GITHUB.proof(), Proof::Body);
/// assert_eq!(scheme::PIPEFORCE_TOKEN.proof(), Proof::TokenOnly);
///
/// let github = Verifier::new(scheme::GITHUB, "a secret")?;
/// assert!(Receiver::builder(github).require(Proof::Body).build().is_ok());
/// let pipeforce = Verifier::new(scheme::PIPEFORCE_TOKEN, "a secret")?;
/// assert!(Receiver::builder(pipeforce).require(Proof::Body).build().is_err());
/// # Ok::<(), webhook_verify::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// All bytes of the body.
    Body,
    /// A digest of the body, in the signed content, URL or token. This is as strong as `Body`.
    BodyDigest,
    /// Values of the body, but not its bytes: single fields (Adyen, Amazon SNS, Mailgun's token), a
    /// checksum that a changed body can share (PayPal), or the joined fields of a form, which can
    /// be split in more than one way (Twilio, Mandrill).
    Fields,
    /// The URL or other parts of the head, but nothing of the body.
    Url,
    /// Nothing of the request. It contains a secret or a token, which proves only that the sender
    /// has this secret or token.
    TokenOnly,
}

impl Proof {
    /// Returns whether this is at least as strong as `required`. `Body` and `BodyDigest` are equal.
    ///
    /// The order does not include the URL: `Body` is stronger than `Url`, but may not cover the
    /// URL.
    #[must_use]
    pub fn satisfies(self, required: Self) -> bool {
        self.strength() >= required.strength()
    }

    fn strength(self) -> u8 {
        match self {
            Self::Body | Self::BodyDigest => 3,
            Self::Fields => 2,
            Self::Url => 1,
            Self::TokenOnly => 0,
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "the whole body",
            Self::BodyDigest => "a digest of the whole body",
            Self::Fields => "only some values of the body",
            Self::Url => "only the URL or other parts of the head",
            Self::TokenOnly => "nothing of the request",
        })
    }
}

impl Scheme {
    /// Returns the part of a request that the signature covers.
    #[must_use]
    pub fn proof(&self) -> Proof {
        let in_body = |part: &Part| self.reads_from_body(part);
        let in_head = |part: &Part| part.facts().origin != Origin::Constant;
        if self.signs_whole(WholeBody::Bytes) {
            Proof::Body
        } else if self.body_digest.is_some() || self.signs_whole(WholeBody::Digest) {
            Proof::BodyDigest
        } else if self.signs(in_body) {
            Proof::Fields
        } else if self.signs(in_head) || self.url_digest.is_some() {
            Proof::Url
        } else {
            Proof::TokenOnly
        }
    }

    /// Checks that the signature covers at least `required`. The error names the next step.
    pub(crate) fn check_proof(&self, required: Proof) -> Result<(), ConfigError> {
        let (name, proof) = (self.name(), self.proof());
        if proof.satisfies(required) {
            return Ok(());
        }
        let accept = match proof {
            Proof::TokenOnly => "remove `require`".to_owned(),
            Proof::Body | Proof::BodyDigest | Proof::Fields | Proof::Url => {
                format!("use `require(Proof::{proof:?})`")
            }
        };
        let stronger = |other: &&Self| {
            let variant = other.name().strip_prefix(name);
            variant.is_some_and(|end| end.starts_with('-')) && other.proof().satisfies(required)
        };
        let presets = Self::presets().filter(stronger).map(|other| format!("`{}`", other.name()));
        let presets: Vec<_> = presets.collect();
        let or_preset = match presets.as_slice() {
            [] => String::new(),
            names => {
                format!(", or use the preset {} if the sender supports it", names.join(" or "))
            }
        };
        Err(ConfigError::option(
            "require",
            format!(
                "the signature of `{name}` covers {proof}: {accept} and query the sender's API for \
                 the rest{or_preset}"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Proof, Scheme};
    use crate::scheme::Algorithm;

    #[test]
    fn the_proof_of_each_preset() {
        for scheme in Scheme::presets() {
            let expected = match scheme.name() {
                "bird" | "twilio-json" | "twilio-json-sha256" | "netlify" | "vonage" | "plaid"
                | "livekit" | "messagebird" | "qstash" => Proof::BodyDigest,
                "adyen" | "braintree" | "dropbox-sign" | "mailgun" | "mandrill" | "opennode"
                | "sinch-voice" | "paypal" | "sns" | "sns-v1" | "twilio" | "twilio-sha256" => {
                    Proof::Fields
                }
                "mercado-pago" | "plivo-v2" | "shopify-app-proxy" => Proof::Url,
                "auth0"
                | "auth0-logs"
                | "chargebee"
                | "documenso"
                | "figma"
                | "flutterwave"
                | "gitlab"
                | "mailchimp-marketing"
                | "microsoft-graph"
                | "monday"
                | "okta"
                | "pipeforce-token"
                | "postmark"
                | "telegram"
                | "xendit" => Proof::TokenOnly,
                _ => Proof::Body,
            };
            assert_eq!(scheme.proof(), expected, "{}", scheme.name());
        }
    }

    #[test]
    fn the_proof_of_other_schemes() {
        let of = |content: &str| {
            let scheme = Scheme::builder("a").signature_header("s").timestamp_header("t");
            scheme.id_pointer("/id").signed_content(content).build().unwrap().proof()
        };
        assert_eq!(of("{method}{url}{body:json}{timestamp}"), Proof::Body);
        assert_eq!(of("{timestamp}.{body:sha256-raw}"), Proof::BodyDigest);
        assert_eq!(of("{timestamp}.{body:md5}"), Proof::Fields);
        assert_eq!(of("{timestamp}.{crc32}"), Proof::Fields);
        assert_eq!(of("{timestamp}.{json:/a}"), Proof::Fields);
        assert_eq!(of("{timestamp}.{id}"), Proof::Fields);
        assert_eq!(of("{timestamp}.{form}"), Proof::Fields);
        assert_eq!(of("{timestamp}.{url}"), Proof::Url);
        assert_eq!(of("{timestamp}.{header:a}"), Proof::Url);
        let token = |scheme: crate::scheme::SchemeBuilder| {
            scheme.signature_header("s").algorithm(Algorithm::JwtHs256).build().unwrap().proof()
        };
        assert_eq!(token(Scheme::builder("a")), Proof::TokenOnly);
        assert_eq!(token(Scheme::builder("a").url_digest_claim("u")), Proof::Url);
        assert_eq!(token(Scheme::builder("a").body_digest_claim("b")), Proof::BodyDigest);
        assert_eq!(Scheme::shared_header("s").unwrap().proof(), Proof::TokenOnly);
    }

    #[test]
    fn a_proof_that_is_too_weak_is_refused_with_the_next_step() {
        const ORDER: [Proof; 4] = [Proof::Body, Proof::Fields, Proof::Url, Proof::TokenOnly];
        for scheme in Scheme::presets() {
            for required in ORDER {
                let Err(error) = scheme.check_proof(required) else { continue };
                let error = error.to_string();
                // The step that the error names works.
                let named =
                    ORDER.iter().find(|it| error.contains(&format!("`require(Proof::{it:?})`")));
                assert!(scheme.check_proof(*named.unwrap_or(&Proof::TokenOnly)).is_ok(), "{error}");
                assert!(named.is_some() || error.contains("remove `require`"), "{error}");
                assert!(error.contains(&format!("`{}`", scheme.name())), "{error}");
            }
        }
        let text = |name: &str| {
            let scheme = Scheme::preset(name).unwrap();
            scheme.check_proof(Proof::Body).unwrap_err().to_string()
        };
        assert!(text("twilio").contains("the preset `twilio-json` or `twilio-json-sha256`"));
        assert!(text("gitlab").contains("the preset `gitlab-signed` if"));
        assert!(!text("mailgun").contains("preset"));
    }

    #[test]
    fn each_is_satisfied_by_itself_and_by_all_before_it() {
        let order = [Proof::BodyDigest, Proof::Fields, Proof::Url, Proof::TokenOnly];
        for (at, given) in order.iter().enumerate() {
            for (rank, required) in order.iter().enumerate() {
                assert_eq!(given.satisfies(*required), at <= rank, "{given:?} {required:?}");
            }
        }
        assert!(Proof::Body.satisfies(Proof::BodyDigest));
        assert!(Proof::BodyDigest.satisfies(Proof::Body));
    }
}
