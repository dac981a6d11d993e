//! `webhook.put`, `webhook.get` and `webhook.delete`, for clients with the admin token.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use webhook_verify::{
    ConfigError, Delivery, ExtractError, Receiver, Rejection, Scheme, Verifier,
    payloads::pipeforce::{PayloadType, random_uuid},
    scheme::Algorithm,
};
use webhook_verify_axum::{Verified, WebhookLayer};

use crate::{
    Hub,
    store::{Settings, Webhook},
};

/// The longest body of a command, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// The longest key of AMQP, in bytes.
const MAX_KEY: usize = 255;

type Refusal = (StatusCode, &'static str);

/// The admin token is judged as a sender's is: by the layer, in constant time, before a byte of the
/// body is read.
pub(crate) fn routes(hub: &Arc<Hub>, admin_token: &str) -> Result<Router, ConfigError> {
    let bearer = Scheme::builder("admin")
        .algorithm(Algorithm::Token)
        .signature_header("authorization")
        .authorization_scheme("Bearer")
        .build()?;
    let receiver =
        Receiver::builder(Verifier::new(bearer, admin_token)?).body_limit(MAX_BODY).build()?;
    let layer =
        WebhookLayer::new(receiver).with_rejection_response(
            |rejection, response| match rejection {
                Rejection::NotAuthentic(_) => {
                    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
                    (StatusCode::UNAUTHORIZED, challenge, "invalid admin token").into_response()
                }
                _ => response,
            },
        );
    Ok(Router::new()
        // Only POST changes something, because browsers and proxies repeat GET and prefetch it.
        .route("/api/v3/command/webhook.put", post(put))
        .route("/api/v3/command/webhook.delete", post(delete))
        .route("/api/v3/command/webhook.get", get(list).post(list))
        .route_layer(layer)
        .with_state(Arc::clone(hub)))
}

async fn put(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
    headers: HeaderMap,
    Verified(delivery): Verified,
) -> Result<Response, Refusal> {
    let given = Parameters::read(&uri, &headers, &delivery)?;
    let event_key = given.event_key.as_deref().unwrap_or_default();
    if !is_event_key(event_key) {
        return Err(unprocessable(
            "eventKey: words of letters, digits, - and _, with dots between",
        ));
    }
    let existing = match given.uuid.as_deref() {
        Some(uuid) => Some(find(&hub, uuid).await?),
        None => None,
    };
    // Fields that are absent keep their values.
    let payload_type = match (given.payload_type.as_deref(), &existing) {
        (Some(name), _) => {
            PayloadType::named(name).ok_or(unprocessable("payloadType: base64, raw or ignore"))?
        }
        (None, Some(webhook)) => webhook.payload_type,
        (None, None) => PayloadType::default(),
    };
    let max_payload_length = match (given.max_payload_length.as_deref(), &existing) {
        (Some(text), _) => {
            let number =
                text.parse().ok().filter(|number| (1..=hub.max_payload_length).contains(number));
            number.ok_or(unprocessable(
                "maxPayloadLength: more than this server takes, or no number",
            ))?
        }
        (None, Some(webhook)) => webhook.max_payload_length,
        (None, None) => hub.max_payload_length,
    };
    let settings = Settings { event_key, payload_type, max_payload_length };
    let uuid = match existing {
        Some(webhook) => {
            hub.store.update(&webhook.uuid, &settings).await.map_err(unavailable)?;
            webhook.uuid
        }
        None => {
            let uuid = random_uuid().map_err(unavailable)?;
            hub.store.insert(&uuid, &settings).await.map_err(unavailable)?;
            uuid
        }
    };
    let webhook = find(&hub, &uuid).await?;
    Ok(shown(&hub.as_json(&webhook)))
}

/// All webhooks, or the one that is asked for.
async fn list(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
    headers: HeaderMap,
    Verified(delivery): Verified,
) -> Result<Response, Refusal> {
    let given = Parameters::read(&uri, &headers, &delivery)?;
    Ok(shown(&match given.uuid.as_deref() {
        Some(uuid) => hub.as_json(&find(&hub, uuid).await?),
        None => {
            let all = hub.store.all().await.map_err(unavailable)?;
            all.iter().map(|webhook| hub.as_json(webhook)).collect()
        }
    }))
}

/// As documented, nothing happens if there is no such webhook.
async fn delete(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
    headers: HeaderMap,
    Verified(delivery): Verified,
) -> Result<StatusCode, Refusal> {
    let given = Parameters::read(&uri, &headers, &delivery)?;
    let uuid = given.uuid.ok_or(unprocessable("uuid is missing"))?;
    hub.store.delete(&uuid).await.map_err(unavailable)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(hub: &Hub, uuid: &str) -> Result<Webhook, Refusal> {
    let webhook = hub.store.by_uuid(uuid).await.map_err(unavailable)?;
    webhook.ok_or((StatusCode::NOT_FOUND, "no such webhook"))
}

impl Hub {
    fn as_json(&self, webhook: &Webhook) -> Value {
        json!({
            "eventKey": webhook.event_key,
            "webhookUrl": format!("{}/api/v3/webhook.receive?token={}", self.public_url, webhook.uuid),
            "uuid": webhook.uuid,
            "payloadType": webhook.payload_type.name(),
            "maxPayloadLength": webhook.max_payload_length,
            "created": webhook.created,
        })
    }
}

/// There are tokens in it, that nothing on the way may keep.
fn shown(json: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json)).into_response()
}

/// The parameters of a command: of the query, and of a form or JSON in the body. Those that are not
/// known are ignored, such as `id`, which all commands of PIPEFORCE have.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    event_key: Option<String>,
    uuid: Option<String>,
    payload_type: Option<String>,
    #[serde(deserialize_with = "text_or_number")]
    max_payload_length: Option<String>,
}

impl Parameters {
    fn read(uri: &Uri, headers: &HeaderMap, delivery: &Delivery) -> Result<Self, Refusal> {
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
        let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        let is_form = media_type.is_some_and(|value| {
            value.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        let mut given = match (delivery.body().is_empty() || is_form, content_type) {
            (true, _) => Self::default(),
            (false, content_type) => {
                delivery.json_of_type(content_type).map_err(|error| refusal(&error))?
            }
        };
        let form = if is_form { &delivery.body()[..] } else { b"" };
        for source in [uri.query().unwrap_or_default().as_bytes(), form] {
            for (name, value) in form_urlencoded::parse(source) {
                given.set(&name, value.into_owned())?;
            }
        }
        // As documented, an empty one is none.
        given.uuid = given.uuid.filter(|uuid| !uuid.is_empty());
        Ok(given)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let parameter = match name {
            "eventKey" => &mut self.event_key,
            "uuid" => &mut self.uuid,
            "payloadType" => &mut self.payload_type,
            "maxPayloadLength" => &mut self.max_payload_length,
            _ => return Ok(()),
        };
        match parameter.replace(value) {
            Some(other) if parameter.as_ref() != Some(&other) => {
                Err((StatusCode::BAD_REQUEST, "a parameter is given twice"))
            }
            _ => Ok(()),
        }
    }
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(json)? {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    })
}

/// Words that no pattern of a subscriber is made of.
fn is_event_key(key: &str) -> bool {
    let is_word = |word: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !word.is_empty() && word.bytes().all(fits)
    };
    key.len() <= MAX_KEY && key.split('.').all(is_word)
}

fn refusal(error: &ExtractError) -> Refusal {
    let status = StatusCode::from_u16(error.status());
    (status.unwrap_or(StatusCode::BAD_REQUEST), error.public_message())
}

fn unprocessable(text: &'static str) -> Refusal {
    (StatusCode::UNPROCESSABLE_ENTITY, text)
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    eprintln!("command failed: {error}");
    (StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable")
}
