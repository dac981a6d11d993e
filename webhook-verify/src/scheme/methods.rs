//! The methods of a sender's requests.

use super::{Part, Proof, Scheme};

const POST: &[&str] = &["POST"];
const ANY: &[&str] = &["POST", "GET", "PUT", "PATCH", "DELETE"];

impl Scheme {
    /// Returns the methods that deliveries may have: any, if the sender signs the method or can
    /// sign a request without a body, and otherwise `POST`.
    pub(crate) fn delivery_methods(&self) -> &'static [&'static str] {
        let signs = |wanted: Part| self.parts().any(|part| *part == wanted);
        let needs_no_body = matches!(self.proof(), Proof::Url | Proof::TokenOnly)
            || self.body_digest.as_ref().is_some_and(|digest| digest.or_query || digest.optional);
        if needs_no_body || signs(Part::Method) || signs(Part::Form) { ANY } else { POST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_posted_unless_a_request_needs_no_body() {
        let methods = |name| Scheme::preset(name).unwrap().delivery_methods();
        for name in ["stripe", "github", "mautic", "square", "adyen", "meta"] {
            assert_eq!(methods(name), POST, "{name}");
        }
        for name in ["vonage", "pipeforce-token", "hubspot-v3", "twilio", "messagebird"] {
            assert_eq!(methods(name), ANY, "{name}");
        }
        assert_eq!(Scheme::shared_header("x-token").unwrap().delivery_methods(), ANY);
    }
}
