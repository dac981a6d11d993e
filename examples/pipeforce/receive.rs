//! `webhook.receive`: takes calls, and hands them on.

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use webhook_verify::{
    ConfigError, Delivery, Receiver, Rejection, Secret, Tenant, Verifier, VerifyError,
    event::{MultipartError, Part, PartLimits},
    payloads::pipeforce::{Answer, Call, Ids, OlderAnswer},
    scheme,
};
use webhook_verify_axum::{RouterExt as _, Verified, WebhookLayer};

use crate::{Hub, store::Webhook};

/// Why a call with a good token is not handed on.
type Refusal = (StatusCode, &'static str);

/// Both paths: the documents have the second one in the `webhookUrl` that `webhook.put` answers,
/// and the first one everywhere else.
pub(crate) fn routes(hub: &Arc<Hub>) -> Result<Router, ConfigError> {
    let store = hub.store.clone();
    let look_up = move |digest: [u8; 32]| {
        let store = store.clone();
        async move {
            let Some(Webhook { id, uuid, .. }) = store.by_digest(&digest).await? else {
                return Ok(None);
            };
            Ok(Some(Tenant::new(id.to_string(), [Secret::new(uuid)?])))
        }
    };
    let verifier = Verifier::builder(scheme::PIPEFORCE_TOKEN);
    let receiver = Receiver::builder(verifier)
        .token_lookup(look_up)
        .body_limit(hub.max_payload_length as usize)
        .build()?;
    let mut layer = WebhookLayer::new(receiver);
    if hub.hide_unknown {
        layer = layer.with_rejection_response(hide);
    }
    Ok(Router::new()
        .webhook("/api/v3/command/webhook.receive", layer.clone(), receive)
        .webhook("/api/v3/webhook.receive", layer, receive)
        .with_state(Arc::clone(hub)))
}

/// Answers a call with an unknown token as if there were such a webhook.
fn hide(rejection: &Rejection, response: Response) -> Response {
    match (rejection, Ids::random("")) {
        (Rejection::NotAuthentic(VerifyError::TokenMismatch), Ok(ids)) => answer(&ids),
        _ => response,
    }
}

async fn receive(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
    Verified(delivery): Verified,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let webhook = match webhook(&hub, &delivery).await {
        Ok(webhook) => webhook,
        Err(error) => {
            eprintln!("Webhook: {error}");
            return unavailable();
        }
    };
    let token = webhook.as_ref().map_or("", |webhook| &webhook.uuid);
    let Ok(ids) = Ids::random(token) else {
        return unavailable();
    };
    let handed_on = match &webhook {
        Some(webhook) => hand_on(&hub, webhook, &ids, &delivery, content_type),
        // Deleted since its token was looked up.
        None => Err((StatusCode::UNAUTHORIZED, "invalid webhook signature")),
    };
    match handed_on {
        Ok(()) => eprintln!("Webhook [{}]: OK", ids.trace_id()),
        Err((status, text)) => {
            eprintln!("Webhook [{}]: {text}", ids.trace_id());
            // That would tell that there is, or was, such a webhook.
            if !hub.hide_unknown {
                return (status, text).into_response();
            }
        }
    }
    if hub.older { Json(OlderAnswer::new(&ids)).into_response() } else { answer(&ids) }
}

async fn webhook(hub: &Hub, delivery: &Delivery) -> Result<Option<Webhook>, sqlx::Error> {
    match delivery.namespace().and_then(|id| id.parse().ok()) {
        Some(id) => hub.store.by_id(id).await,
        None => Ok(None),
    }
}

fn hand_on(
    hub: &Hub,
    webhook: &Webhook,
    ids: &Ids,
    delivery: &Delivery,
    content_type: Option<&[u8]>,
) -> Result<(), Refusal> {
    if delivery.body().len() > webhook.max_payload_length as usize {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "body too large"));
    }
    let files = files(delivery, content_type).map_err(|error| {
        let status = StatusCode::from_u16(error.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, error.public_message())
    })?;
    let call = Call::new(delivery, &*webhook.event_key, ids.clone())
        .content_type(content_type)
        .payload_type(webhook.payload_type);
    let message = if hub.older {
        call.older_message().map(serde_json::to_value)
    } else {
        call.message().map(serde_json::to_value)
    };
    let message = message
        .map_err(|_| (StatusCode::UNPROCESSABLE_ENTITY, "payload is not text"))?
        .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, ""))?;
    hub.subscribers.publish(&webhook.event_key, &message, &files);
    Ok(())
}

/// The files of a multipart body. As documented, parts that are not named `file` are ignored.
fn files(delivery: &Delivery, content_type: Option<&[u8]>) -> Result<Vec<Part>, MultipartError> {
    match delivery.parts(content_type, PartLimits::default()) {
        Err(MultipartError::NotMultipart) => Ok(Vec::new()),
        parts => parts.map(|mut parts| {
            parts.retain(|part| part.name() == "file");
            parts
        }),
    }
}

fn answer(ids: &Ids) -> Response {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    Json(Answer::new(ids, now)).into_response()
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable").into_response()
}
