//! Handlers that take events: [`Events`] and [`Event`] of both adapters, and what is said when they
//! cannot be made.

use actix_web::{HttpResponse, web};
use axum::{Router, routing::post};
use http::StatusCode;
use integration_tests::{Framework, Response, call_actix, call_axum, to_actix, to_axum};
use serde::Deserialize;
use webhook_verify::{
    Event as CoreEvent, ExtractError, Scheme, scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{SECRET, deduplicating};

/// Data that serde reads.
#[derive(Deserialize)]
struct Thing {
    id: u32,
}

/// A handler: all events, one by one, or the only one.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Events,
    Event,
}

/// The line of the response for an event.
fn line(event: &CoreEvent) -> Result<String, ExtractError> {
    let Thing { id } = event.data()?;
    let event_type = event.event_type().unwrap_or_default();
    Ok(format!("{event_type} {id} {};", event.claim().is_some()))
}

async fn ask(
    framework: Framework,
    takes: Takes,
    request: &SignedRequest,
    scheme: Scheme,
) -> Response {
    match framework {
        Framework::Axum => {
            use webhook_verify_axum::{EventData, ExtractError, Verified};
            let events = async |Verified(events): Verified<webhook_verify::Events>| {
                let mut lines = String::new();
                for event in &events {
                    lines += &line(event)?;
                    event.done().await;
                }
                Ok::<_, ExtractError>(lines)
            };
            let event = async |EventData(Thing { id }): EventData<Thing>| format!("{id};");
            let routed = match takes {
                Takes::Events => post(events),
                Takes::Event => post(event),
            };
            let layer = WebhookLayer::new(deduplicating(scheme));
            let app = Router::new().route("/", routed).layer(layer);
            call_axum(app, to_axum("/", request)).await
        }
        Framework::Actix => {
            use webhook_verify_actix::{EventData, ExtractError, Verified};
            let events = async |Verified(events): Verified<webhook_verify::Events>| {
                let mut lines = String::new();
                for event in &events {
                    lines += &line(event)?;
                    event.done().await;
                }
                Ok::<_, ExtractError>(HttpResponse::Ok().body(lines))
            };
            let event = async |EventData(Thing { id }): EventData<Thing>| format!("{id};");
            let routed = match takes {
                Takes::Events => web::post().to(events),
                Takes::Event => web::post().to(event),
            };
            let middleware = WebhookMiddleware::new(deduplicating(scheme));
            let resource = web::resource("/").wrap(middleware).route(routed);
            let configure = |config: &mut web::ServiceConfig| {
                config.service(resource);
            };
            call_actix(configure, to_actix("/", request)).await
        }
    }
}

fn signed(scheme: Scheme, body: &str) -> SignedRequest {
    let signer = Signer::new(scheme, SECRET).unwrap();
    signer.event_type("thing.made").sign(body.to_owned()).unwrap()
}

#[actix_web::test]
async fn what_a_handler_gets_and_what_is_said_when_it_cannot() {
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(10_000));
    let deep = format!("{{\"a\":[{}{}]}}", "[".repeat(10_000), "]".repeat(10_000));
    use Takes::{Event, Events};
    let rows = [
        // of Mautic's map, each with a claim of its own
        (
            scheme::MAUTIC,
            Events,
            r#"{"a.b":[{"id":1},{"id":2}],"c":{"id":3}}"#,
            200,
            "a.b 1 true;a.b 2 true;c 3 true;",
        ),
        (scheme::MAUTIC, Events, r#"{"timestamp":"2026-11-22T00:00:00+00:00"}"#, 200, ""),
        (scheme::MAUTIC, Event, r#"{"a.b":[{"id":1}]}"#, 500, ""),
        // of a body whose type is in a header
        (scheme::GITHUB, Events, r#"{"id":7}"#, 200, "thing.made 7 true;"),
        (scheme::GITHUB, Event, r#"{"id":7}"#, 200, "7;"),
        // not what the handler takes
        (scheme::GITHUB, Event, r#"{"id":"7"}"#, 422, "JSON is not of the expected shape"),
        (scheme::GITHUB, Event, "id=7", 400, "body is not JSON"),
        // not what the scheme has
        (scheme::MAUTIC, Events, "", 400, "body is not JSON"),
        (scheme::MAUTIC, Events, "{", 400, "body is not JSON"),
        (scheme::MAUTIC, Events, "{}x", 400, "body is not JSON"),
        (scheme::MAUTIC, Events, "[]", 422, "JSON is not of the expected shape"),
        (scheme::MAUTIC, Events, "1", 422, "JSON is not of the expected shape"),
        (
            scheme::MAUTIC,
            Events,
            r#"{"a":[{"id":1}],"a":[{"id":2}]}"#,
            422,
            "JSON is not of the expected shape",
        ),
        (
            scheme::MAUTIC,
            Events,
            r#"{"timestamp":["2026"]}"#,
            422,
            "JSON is not of the expected shape",
        ),
        (scheme::MAUTIC, Events, r#"{"a":[{"id":"x"}]}"#, 422, "JSON is not of the expected shape"),
        (scheme::MAUTIC, Events, &many, 413, "too many events"),
        (scheme::MAUTIC, Events, &deep, 422, "JSON is not of the expected shape"),
        (scheme::MAUTIC, Event, "{}x", 400, "body is not JSON"),
        // a handler of one event, and a sender of several
        (scheme::MAUTIC, Event, r#"{"a":[{"id":1},{"id":2}]}"#, 500, ""),
        (scheme::MAUTIC, Event, "{}", 500, ""),
    ];
    for framework in [Framework::Axum, Framework::Actix] {
        for (scheme, takes, body, status, text) in rows.clone() {
            let request = signed(scheme.clone(), body);
            let answer = ask(framework, takes, &request, scheme).await;
            let start = &body[..body.len().min(60)];
            let expected = (status, text);
            assert_eq!((answer.status, answer.text()), expected, "{framework:?} {takes:?} {start}");
        }
    }
}

/// It is the service that is put together wrongly: the client learns nothing of it.
#[actix_web::test]
async fn without_the_layer_nothing_is_given_out() {
    let request = signed(scheme::GITHUB, "{}");
    let events = async |_: webhook_verify_axum::Verified<webhook_verify::Events>| StatusCode::OK;
    let event = async |_: webhook_verify_axum::EventData<Thing>| StatusCode::OK;
    for routed in [post(events), post(event)] {
        let response = call_axum(Router::new().route("/", routed), to_axum("/", &request)).await;
        assert_eq!((response.status, response.text()), (500, ""));
    }
    let events = async |_: webhook_verify_actix::Verified<webhook_verify::Events>| {
        HttpResponse::Ok().finish()
    };
    let event = async |_: webhook_verify_actix::EventData<Thing>| HttpResponse::Ok().finish();
    for routed in [web::post().to(events), web::post().to(event)] {
        let configure = |config: &mut web::ServiceConfig| {
            config.route("/", routed);
        };
        let response = call_actix(configure, to_actix("/", &request)).await;
        assert_eq!((response.status, response.text()), (500, ""));
    }
}
