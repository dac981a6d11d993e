use actix_web::{http::Method, test::TestRequest};
use webhook_verify::testing::SignedRequest;

/// Converts a signed request into a [`TestRequest`]. If there is a body but no content type, adds
/// `application/json`.
///
/// ```
/// use actix_web::HttpMessage as _;
/// use webhook_verify_actix::{scheme, test_request, testing::Signer};
///
/// let signed = Signer::generate(scheme::GITHUB)?.target("/github").sign("{}")?;
/// let request = test_request(signed).to_request();
/// assert_eq!((request.path(), request.content_type()), ("/github", "application/json"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// If the signer's method, target or header values are not valid HTTP.
#[must_use]
pub fn test_request(signed: SignedRequest) -> TestRequest {
    let content_type = signed.missing_content_type().map(|value| ("content-type", value));
    let method = Method::from_bytes(signed.method.as_bytes());
    let method = method.expect("the method should be a token");
    let request = TestRequest::with_uri(&signed.target).method(method);
    let headers = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = headers.chain(content_type).fold(request, TestRequest::append_header);
    request.set_payload(signed.body)
}
