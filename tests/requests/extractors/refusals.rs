//! Refusals: the reason goes into the response's extensions, and a closure may render them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use actix_web::{App as ActixApp, HttpResponse, web};
use axum::{
    Json, Router,
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::StatusCode;
use integration_tests::Framework;
use serde_json::json;
use tower::ServiceExt as _;
use webhook_verify::{Rejection, VerifyError, scheme, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, signed};
use integration_tests::{to_actix, to_axum};

/// Status, body, a header of the renderer's own, and the reason.
type Answer = (u16, String, Option<String>, Option<Rejection>);

/// The rendered responses: their status, and the displayed reason.
type Rendered = Arc<Mutex<Vec<(u16, String)>>>;

/// Sends requests, one after the other, to one app whose handler panics at `panic`, fails at
/// `fail`, else answers 200.
async fn ask_axum(requests: &[SignedRequest], rendered: Option<Rendered>) -> Vec<Answer> {
    let mut layer = WebhookLayer::new(deduplicating(scheme::GITHUB));
    if let Some(rendered) = rendered {
        layer = layer.with_rejection_response(move |rejection: &Rejection, response: Response| {
            let mut rendered = rendered.lock().unwrap();
            rendered.push((response.status().as_u16(), rejection.to_string()));
            let text = json!({ "error": rejection.public_message() });
            (response.status(), [("x-rendered", "yes")], Json(text)).into_response()
        });
    }
    let handler = async |body: String| match body.as_str() {
        "panic" => panic!("on purpose"),
        "fail" => StatusCode::IM_A_TEAPOT.into_response(),
        _ => "done".into_response(),
    };
    let app = Router::new().route("/", post(handler)).layer(layer);
    let mut answers = Vec::new();
    for request in requests {
        let response = app.clone().oneshot(to_axum("/", request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        answers.push((
            parts.status.as_u16(),
            String::from_utf8(body.into()).unwrap(),
            parts.headers.get("x-rendered").map(|value| value.to_str().unwrap().to_owned()),
            parts.extensions.get().cloned(),
        ));
    }
    answers
}

async fn ask_actix(requests: &[SignedRequest], rendered: Option<Rendered>) -> Vec<Answer> {
    let mut middleware = WebhookMiddleware::new(deduplicating(scheme::GITHUB));
    if let Some(rendered) = rendered {
        middleware = middleware.with_rejection_response(
            move |rejection: &Rejection, response: HttpResponse| {
                let mut rendered = rendered.lock().unwrap();
                rendered.push((response.status().as_u16(), rejection.to_string()));
                HttpResponse::build(response.status())
                    .insert_header(("x-rendered", "yes"))
                    .json(json!({ "error": rejection.public_message() }))
            },
        );
    }
    let handler = async |body: String| match body.as_str() {
        "panic" => panic!("on purpose"),
        "fail" => HttpResponse::ImATeapot().finish(),
        _ => HttpResponse::Ok().body("done"),
    };
    let app = ActixApp::new().wrap(middleware).route("/", web::post().to(handler));
    let app = actix_web::test::init_service(app).await;
    let mut answers = Vec::new();
    for request in requests {
        let request = to_actix("/", request).to_request();
        // A server renders an error of the outermost service just so.
        let response = match actix_web::test::try_call_service(&app, request).await {
            Ok(response) => response.map_into_boxed_body().into_parts().1,
            Err(error) => error.error_response(),
        };
        let (status, rejection) =
            (response.status().as_u16(), response.extensions().get().cloned());
        let header =
            response.headers().get("x-rendered").map(|value| value.to_str().unwrap().to_owned());
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        answers.push((status, String::from_utf8(body.into()).unwrap(), header, rejection));
    }
    answers
}

async fn ask(
    framework: Framework,
    requests: &[SignedRequest],
    rendered: Option<Rendered>,
) -> Vec<Answer> {
    match framework {
        Framework::Axum => ask_axum(requests, rendered).await,
        Framework::Actix => ask_actix(requests, rendered).await,
    }
}

/// A genuine delivery, its duplicate, one that fails, and three that are refused.
fn requests() -> [SignedRequest; 7] {
    let good = signed("good");
    let mut forged = good.clone();
    forged.body = "evil".into();
    let mut unsigned = good.clone();
    unsigned.headers.clear();
    let mut encoded = good.clone();
    encoded.headers.push(("content-encoding".into(), "gzip".into()));
    [good.clone(), good, signed("fail"), forged, unsigned, encoded, signed("panic")]
}

#[actix_web::test]
async fn the_reason_is_in_the_extensions() {
    for framework in [Framework::Axum, Framework::Actix] {
        let answers = ask(framework, &requests(), None).await;
        let told: Vec<_> =
            answers.iter().map(|(status, text, ..)| (*status, text.as_str())).collect();
        assert_eq!(
            told,
            [
                (200, "done"),
                (200, ""),
                (418, ""),
                (401, "invalid webhook signature"),
                (401, "invalid webhook signature"),
                (415, "unsupported content encoding"),
                (500, ""),
            ],
            "{framework:?}"
        );
        let reasons: Vec<_> = answers.into_iter().map(|(.., reason)| reason).collect();
        assert!(
            matches!(
                &reasons[..],
                [
                    None,
                    None,
                    None,
                    Some(Rejection::NotAuthentic(VerifyError::SignatureMismatch)),
                    Some(Rejection::NotAuthentic(VerifyError::MissingSignature)),
                    Some(Rejection::ContentEncoding { .. }),
                    Some(Rejection::HandlerPanicked),
                ]
            ),
            "{framework:?} {reasons:?}"
        );
    }
}

/// The closure renders every refusal and nothing else: neither a handler's own failure nor a
/// replay.
#[actix_web::test]
async fn refusals_are_rendered_by_the_closure() {
    for framework in [Framework::Axum, Framework::Actix] {
        let rendered = Rendered::default();
        let answers = ask(framework, &requests(), Some(Arc::clone(&rendered))).await;
        for (index, (status, text, header, reason)) in answers.iter().enumerate() {
            let (expected, message) = match index {
                0 => (200, None),
                1 => (200, None),
                2 => (418, None),
                3 | 4 => (401, Some(r#"{"error":"invalid webhook signature"}"#)),
                5 => (415, Some(r#"{"error":"unsupported content encoding"}"#)),
                _ => (500, Some(r#"{"error":""}"#)),
            };
            assert_eq!(*status, expected, "{framework:?} {index}");
            assert_eq!(header.is_some(), message.is_some(), "{framework:?} {index}");
            assert_eq!(reason.is_some(), message.is_some(), "{framework:?} {index}");
            if let Some(message) = message {
                assert_eq!(text, message, "{framework:?}");
            }
        }
        let rendered = rendered.lock().unwrap();
        let statuses: Vec<_> = rendered.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [401, 401, 415, 500], "{framework:?}");
        assert_ne!(rendered[0].1, rendered[1].1, "the closure knows the reason");
    }
}

/// A closure may render a panic as it likes, and that decides nothing: the handler failed, so the
/// claim is given back.
#[tokio::test]
async fn a_rendered_panic_is_still_a_failure_on_axum() {
    for rendered in [StatusCode::BAD_GATEWAY, StatusCode::OK] {
        let layer = WebhookLayer::new(deduplicating(scheme::GITHUB)).with_rejection_response(
            move |_: &Rejection, mut response: Response| {
                *response.status_mut() = rendered;
                response
            },
        );
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let handler = async move || -> () {
            counted.fetch_add(1, SeqCst);
            panic!("on purpose")
        };
        let app = Router::new().route("/", post(handler)).layer(layer);
        for run in 1..=2 {
            let request = to_axum("/", &signed("{}"));
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!((response.status(), runs.load(SeqCst)), (rendered, run));
        }
    }
}

#[actix_web::test]
async fn a_rendered_panic_is_still_a_failure_on_actix() {
    use actix_web::http::StatusCode;

    for rendered in [StatusCode::BAD_GATEWAY, StatusCode::OK] {
        let middleware = WebhookMiddleware::new(deduplicating(scheme::GITHUB))
            .with_rejection_response(move |_: &Rejection, mut response: HttpResponse| {
                *response.status_mut() = rendered;
                response
            });
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let handler = move || {
            counted.fetch_add(1, SeqCst);
            async { panic!("on purpose") as HttpResponse }
        };
        let app = ActixApp::new().wrap(middleware).route("/", web::post().to(handler));
        let app = actix_web::test::init_service(app).await;
        for run in 1..=2 {
            let request = to_actix("/", &signed("{}")).to_request();
            let status = match actix_web::test::try_call_service(&app, request).await {
                Ok(response) => response.status(),
                Err(error) => error.error_response().status(),
            };
            assert_eq!((status, runs.load(SeqCst)), (rendered, run));
        }
    }
}
