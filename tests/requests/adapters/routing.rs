//! `Router::webhook` on axum and `webhook` on actix-web: deliveries by each method, state, nesting,
//! and a layer with settings of its own.

use actix_web::web;
use axum::{Router, extract::State, response::Response as AxumResponse};
use http::{Method, StatusCode};
use integration_tests::{Logs, Response, call_actix, call_axum, to_actix, to_axum};
use webhook_verify::{
    Receiver, Rejection, Scheme, Verifier, scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::{WebhookMiddleware, webhook};
use webhook_verify_axum::{RouterExt as _, Verified, WebhookLayer};

const SECRET: &str = "a long secret of the sender, for tests";

fn receiver(scheme: Scheme) -> Receiver {
    Receiver::new(Verifier::new(scheme, SECRET).unwrap())
}

fn signed(scheme: Scheme) -> SignedRequest {
    Signer::new(scheme, SECRET).unwrap().target("/in/hook").sign("{}").unwrap()
}

/// Sends the request to a nested route of each framework whose handler returns a state.
async fn send(receiver: Receiver, method: Method, request: &SignedRequest) -> [Response; 2] {
    let on_axum = async |State(state): State<u8>, _: Verified| format!("state {state}");
    let inner = Router::new().webhook("/hook", receiver.clone(), on_axum);
    let app = Router::new().nest("/in", inner).with_state(7);
    let mut sent = to_axum("/in/hook", request);
    *sent.method_mut() = method.clone();
    let axum = call_axum(app, sent).await;

    let on_actix = async |state: web::Data<u8>, _: webhook_verify_actix::Verified| {
        format!("state {}", state.get_ref())
    };
    let scope = web::scope("/in").service(webhook("/hook", receiver, on_actix));
    let configure = |config: &mut web::ServiceConfig| {
        config.app_data(web::Data::new(7_u8)).service(scope);
    };
    let sent = to_actix("/in/hook", request).method(method.as_str().parse().unwrap());
    [axum, call_actix(configure, sent).await]
}

#[actix_web::test]
async fn every_method_of_a_sender_reaches_its_handler_and_no_other() {
    let any = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
    let with_method = Scheme::builder("acme").signature_header("acme-signature");
    let with_method = with_method.signed_content("{method}\n{body}").build().unwrap();
    let rows = [
        (scheme::GITHUB, &any[..1]),
        (scheme::MAUTIC, &any[..1]),
        (scheme::PIPEFORCE_TOKEN, &any[..2]),
        (Scheme::shared_header("x-token").unwrap(), &any[..2]),
        (with_method, &any),
    ];
    for (scheme, used) in rows {
        // axum's handlers of GET take HEAD as well.
        for method in any.iter().chain(&[Method::OPTIONS, Method::HEAD]) {
            let signer = Signer::new(scheme.clone(), SECRET).unwrap().target("/in/hook");
            let request = signer.method(method.as_str()).sign("{}").unwrap();
            let responses = send(receiver(scheme.clone()), method.clone(), &request).await;
            for (response, framework) in responses.iter().zip(["axum", "actix-web"]) {
                // axum itself lists HEAD with GET. The response to HEAD is our own.
                let lists_head = framework == "axum" && *method != Method::HEAD;
                let head = used.contains(&Method::GET) && !used.contains(&Method::HEAD);
                let head = (lists_head && head).then_some("HEAD");
                let expected = match used.contains(method) {
                    true => (200, "state 7", None),
                    // RFC 9110, section 15.5.6: the response lists the methods.
                    false => (405, "", Some(sorted(used.iter().map(Method::as_str).chain(head)))),
                };
                let allow = response.header("allow").map(|allow| sorted(allow.split(',')));
                let got = (response.status, response.text(), allow);
                assert_eq!(got, expected, "{} {method} {framework}", scheme.name());
            }
        }
    }
}

fn sorted<'a>(methods: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut methods: Vec<_> = methods.map(str::trim).collect();
    methods.sort_unstable();
    methods
}

/// The settings of a layer and a middleware remain available.
#[actix_web::test]
async fn a_layer_with_settings_takes_the_place_of_a_receiver() {
    let mut unsigned = signed(scheme::GITHUB);
    unsigned.headers.clear();
    let layer = WebhookLayer::new(receiver(scheme::GITHUB)).with_rejection_response(
        |_: &Rejection, mut response: AxumResponse| {
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            response
        },
    );
    let app = Router::new().webhook("/", layer, async || "handled");
    assert_eq!(call_axum(app, to_axum("/", &unsigned)).await.status, 418);

    let middleware = WebhookMiddleware::new(receiver(scheme::GITHUB)).with_rejection_response(
        |_, mut response| {
            *response.status_mut() = actix_web::http::StatusCode::IM_A_TEAPOT;
            response
        },
    );
    let resource = webhook("/", middleware, async || "handled");
    let configure = |config: &mut web::ServiceConfig| {
        config.service(resource);
    };
    assert_eq!(call_actix(configure, to_actix("/", &unsigned)).await.status, 418);
}

/// A request on the wrong sender's route is refused, and the log names the sender that it fits.
#[actix_web::test]
async fn the_log_names_the_sender_whose_request_it_may_be() {
    let logs = Logs::collect();
    let request = signed(scheme::ACUITY_SCHEDULING);
    let mautic = Receiver::new(Verifier::new(scheme::MAUTIC, SECRET).unwrap());
    let responses = send(mautic, Method::POST, &request).await;
    assert_eq!(responses.map(|response| response.status), [401, 401]);
    let hint = "the request is from `acuity-scheduling`: the request has the header \
                `x-acuity-signature`";
    let text = logs.text();
    let hints: Vec<_> = text.lines().filter(|line| line.contains(hint)).collect();
    // One line for each framework.
    let names_mautic = |hint: &&str| hint.contains("scheme=\"mautic\"");
    assert!(hints.len() == 2 && hints.iter().all(names_mautic), "{text}");

    // The right sender's, with a wrong signature.
    let mut forged = signed(scheme::ACUITY_SCHEDULING);
    forged.body = "{\"a\":1}".into();
    let _ = send(receiver(scheme::ACUITY_SCHEDULING), Method::POST, &forged).await;
    assert_eq!(logs.text().matches(hint).count(), 2);
}
