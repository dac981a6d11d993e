//! Derives the methods of a sender's requests.

use super::{Part, Proof, Scheme};

impl Scheme {
    /// Returns the methods that deliveries may have.
    ///
    /// * All methods, if the sender signs the method.
    /// * `POST` and `GET`, if the sender can sign a request without a body.
    /// * `POST` otherwise.
    pub(crate) fn delivery_methods(&self) -> &'static [&'static str] {
        let signs = |wanted: Part| self.parts().any(|part| *part == wanted);
        if signs(Part::Method) {
            return &["POST", "GET", "PUT", "PATCH", "DELETE"];
        }
        let needs_no_body = matches!(self.proof(), Proof::Url | Proof::TokenOnly)
            || self.body_digest.as_ref().is_some_and(|digest| digest.or_query || digest.optional);
        if needs_no_body || signs(Part::Form) { &["POST", "GET"] } else { &["POST"] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_posted_unless_a_request_needs_no_body() {
        let methods = |name| Scheme::preset(name).unwrap().delivery_methods();
        for name in ["stripe", "github", "mautic", "square", "adyen", "meta"] {
            assert_eq!(methods(name), ["POST"], "{name}");
        }
        for name in ["vonage", "pipeforce-token", "twilio", "messagebird"] {
            assert_eq!(methods(name), ["POST", "GET"], "{name}");
        }
        for name in ["hubspot-v3", "contentful"] {
            assert_eq!(methods(name), ["POST", "GET", "PUT", "PATCH", "DELETE"], "{name}");
        }
        assert_eq!(Scheme::shared_header("x-token").unwrap().delivery_methods(), ["POST", "GET"]);
    }
}
