//! JSON in a field of a form: what the handler gets, through both adapters and in pieces, and which
//! descriptions do not build.

use bytes::Bytes;
use integration_tests::{to_actix, to_axum};
use serde_json::Value;
use tower::ServiceExt as _;
use webhook_verify::{
    ConfigError, Delivery, Receiver, Scheme, Verifier, VerifyError,
    scheme::{self, SignedForm},
    testing::{SignedRequest, Signer},
};

const JSON: &str = r#"{"action":"opened","note":"grü&ße=%"}"#;
const FORM: &str = "application/x-www-form-urlencoded";

fn form() -> String {
    format!("payload={}", JSON.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())
}

fn part() -> String {
    format!("--x\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{JSON}\r\n--x--\r\n")
}

/// Returns requests as the senders make them: what is signed, and what is sent.
fn requests() -> Vec<(Scheme, SignedRequest)> {
    let multipart = "multipart/form-data; boundary=x";
    let request = |scheme: Scheme, signed: String, content_type: &str, body: String| {
        let mut request = Signer::new(scheme.clone(), "a secret").unwrap().sign(signed).unwrap();
        request.headers.push(("content-type".into(), content_type.into()));
        request.body = body.into();
        (scheme, request)
    };
    vec![
        request(scheme::GITHUB, form(), FORM, form()),
        request(scheme::GITEA, JSON.into(), FORM, form()),
        request(scheme::GITEA, JSON.into(), multipart, part()),
        request(scheme::GITEA, JSON.into(), "application/json", JSON.into()),
    ]
}

fn verifier(scheme: &Scheme) -> Verifier {
    Verifier::new(scheme.clone(), "a secret").unwrap()
}

#[tokio::test]
async fn the_frameworks_read_the_json_of_a_form() {
    for (scheme, request) in requests() {
        let receiver = || Receiver::new(verifier(&scheme));
        let echo = async |axum::Json(json): axum::Json<Value>| axum::Json(json);
        let layer = webhook_verify_axum::WebhookLayer::new(receiver());
        let app = axum::Router::new().route("/", axum::routing::post(echo)).layer(layer);
        let response = app.oneshot(to_axum("/", &request)).await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{}", scheme.name());
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["action"], "opened");

        use actix_web::{App, test, web};
        let middleware = webhook_verify_actix::WebhookMiddleware::new(receiver());
        let echo = async |json: web::Json<Value>| json;
        let app = App::new().wrap(middleware).route("/", web::post().to(echo));
        let app = test::init_service(app).await;
        let response = test::call_service(&app, to_actix("/", &request).to_request()).await;
        assert_eq!(response.status().as_u16(), 200, "{}", scheme.name());
        let json: Value = test::read_body_json(response).await;
        assert_eq!(json["note"], "grü&ße=%");
    }
}

#[test]
fn a_form_is_opened_in_pieces_of_any_size() {
    for (scheme, request) in requests() {
        let verifier = verifier(&scheme);
        let whole = verifier.verify(&request.headers, request.body.clone()).unwrap();
        for size in [1, 2, 7, 64, 1 << 20] {
            let mut incoming = verifier.begin(&request.headers, 1 << 20).unwrap();
            for piece in request.body.chunks(size) {
                incoming.update(Bytes::copy_from_slice(piece)).unwrap();
            }
            let delivery = incoming.finish().unwrap();
            for delivery in [&whole, &delivery] {
                assert_eq!(delivery.body(), JSON, "{} {size}", scheme.name());
                assert_eq!(delivery.was_in_form(), request.body != JSON);
                let other_type = delivery.json_of_type::<Value>(Some(FORM.as_bytes()));
                assert_eq!(other_type.is_ok(), delivery.was_in_form());
            }
        }
    }
}

/// A form is opened only if nothing else passes for it: the field is alone, and its name is first.
#[test]
fn only_a_form_with_the_field_alone_is_opened() {
    let judge = |body: &str| {
        let mut request =
            Signer::new(scheme::GITHUB, "a secret").unwrap().sign(body.to_owned()).unwrap();
        request.headers.push(("content-type".into(), FORM.into()));
        verifier(&scheme::GITHUB).verify(&request.headers, request.body).unwrap()
    };
    assert_eq!(judge("payload=%7B%7D").body(), "{}");
    assert_eq!(judge("payload=a+b").body(), "a b");
    for body in [
        r#"{"title":"&payload={}&a="}"#,
        "a=b&payload=%7B%7D",
        "payload=%7B%7D&a=b",
        "payload=%7B%7D&payload=1",
        "&payload=%7B%7D",
        "p%61yload=%7B%7D",
        "payload=%ff",
        "payload",
        "payloads=1",
        "",
    ] {
        let delivery = judge(body);
        assert!(delivery.body() == body && !delivery.was_in_form(), "{body}");
    }
}

/// The content type is not signed, so an attacker can change it.
#[test]
fn another_content_type_does_not_change_what_is_signed() {
    let types = ["application/json", "text/plain", FORM, "multipart/form-data; boundary=x", ""];
    for (scheme, request) in requests() {
        for content_type in types {
            let mut other = request.clone();
            other.headers.retain(|(name, _)| name != "content-type");
            other.headers.push(("content-type".into(), content_type.into()));
            let verdict = verifier(&scheme).verify(&other.headers, other.body);
            let is_json = |delivery: &Delivery| delivery.json::<Value>().is_ok();
            match verdict {
                // A form that is signed as a whole is a body like any other.
                Ok(delivery) if !is_json(&delivery) => assert_eq!(delivery.body(), &request.body),
                Ok(delivery) => assert_eq!(delivery.body(), JSON, "{content_type}"),
                Err(VerifyError::SignatureMismatch) => {}
                Err(error) => panic!("{} {content_type}: {error}", scheme.name()),
            }
        }
    }
}

#[test]
fn a_description_names_what_does_not_fit_the_form() {
    let acme = || Scheme::builder("acme").signature_header("x-sig");
    for (builder, fits) in [
        (acme().json_in_form("payload", SignedForm::Value), true),
        (acme().json_in_form("payload", SignedForm::Whole), true),
        (acme().json_in_form("", SignedForm::Value), false),
        (
            acme()
                .signed_content("{json:/a}")
                .signature_form("sig")
                .json_in_form("payload", SignedForm::Value),
            false,
        ),
        (acme().signed_content("{form}").json_in_form("payload", SignedForm::Value), false),
        (acme().signed_content("{form:a}").json_in_form("payload", SignedForm::Whole), false),
        (acme().signed_content("{json:/a}").json_in_form("payload", SignedForm::Value), true),
        (acme().signed_content("{json:/a}").json_in_form("payload", SignedForm::Whole), false),
        (acme().require_field("/v", "1").json_in_form("payload", SignedForm::Whole), false),
        (acme().require_field("/v", "1").json_in_form("payload", SignedForm::Value), true),
    ] {
        match builder.build().map_err(|error| error.kind().clone()) {
            Ok(_) => assert!(fits),
            Err(ConfigError::Option { option, .. }) => assert!(!fits && option == "json_in_form"),
            Err(error) => panic!("{error}"),
        }
    }
    let toml = |signed: &str| {
        let line = format!("json-in-form = {{ field = 'payload', signed = '{signed}' }}");
        toml::from_str::<Scheme>(&format!("name = 'acme'\nsignature = {{ header = 'a' }}\n{line}"))
    };
    assert!(toml("value").is_ok() && toml("whole").is_ok());
    assert!(toml("part").unwrap_err().to_string().contains("json-in-form.signed"));
}

/// A token is not looked for among the parts of an upload, which are the application's own.
#[test]
fn a_token_is_read_from_no_part() {
    let verifier = verifier(&scheme::PIPEFORCE_TOKEN);
    let body = |token: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n{token}\r\n--x--\r\n")
    };
    let content_type = ("content-type", "multipart/form-data; boundary=x");
    let in_header = [("token", "a secret"), content_type];
    assert!(verifier.verify(&in_header, body("of the application")).is_ok());
    let verdict = verifier.verify(&[content_type], body("a secret"));
    assert_eq!(verdict.unwrap_err(), VerifyError::MissingToken);
}
