//! The API: whom it obeys, and how its parameters may be written.

use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};

use super::hub::{ADMIN, FORM, Headers, Hub, json_of};

const PUT: &str = "/api/v3/command/webhook.put";

#[tokio::test]
async fn nobody_commands_without_the_admin_token() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let basic = format!("Basic {ADMIN}");
    let cut = format!("Bearer {}", &ADMIN[..ADMIN.len() - 1]);
    let webhook = format!("Bearer {token}");
    for authorization in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer wrong"),
        Some(ADMIN),
        Some(&basic),
        Some(&cut),
        Some(&webhook),
    ] {
        for command in ["put", "get", "delete"] {
            let target = format!("/api/v3/command/webhook.{command}?eventKey=b&token={ADMIN}");
            let mut headers = vec![FORM];
            headers.extend(authorization.map(|value| ("Authorization", value)));
            let body = format!("uuid={token}");
            let refused = hub.send("POST", &target, &headers, body).await;
            assert_eq!(
                (refused.status, refused.text()),
                (401, "invalid admin token"),
                "{authorization:?}"
            );
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
    }
    let all = json_of(&hub.command_with("get", "").await);
    assert_eq!((all.as_array().unwrap().len(), &all[0]["eventKey"]), (1, &json!("a")));
    hub.kill();
}

#[tokio::test]
async fn parameters_are_taken_from_query_form_and_json() {
    let mut hub = Hub::start(&["--public-url", "https://hooks.example.test/"]);
    let bearer = format!("bearer {ADMIN}");
    let admin = ("Authorization", bearer.as_str());
    let json_type = ("Content-Type", "application/json; charset=utf-8");
    let query = format!("{PUT}?eventKey=a.b&id=1");
    let requests: [(&str, Headers<'_>, &str); 5] = [
        (&query, &[admin], ""),
        (PUT, &[admin, FORM], "eventKey=a%2Eb&uuid="),
        (PUT, &[admin, json_type], r#"{"eventKey":"a.b","uuid":null,"if":true}"#),
        (&query, &[admin, FORM], "eventKey=a.b"),
        (&query, &[admin, json_type], r#"{"maxPayloadLength":512000,"payloadType":"base64"}"#),
    ];
    for (target, headers, body) in requests {
        let made = hub.send("POST", target, headers, body).await;
        assert_eq!(made.status, 200, "{target} {body} {}", made.text());
        let made = json_of(&made);
        hub.tokens.push(made["uuid"].as_str().unwrap().to_owned());
        assert_eq!(made["eventKey"], "a.b");
        let url = format!(
            "https://hooks.example.test/api/v3/webhook.receive?token={}",
            made["uuid"].as_str().unwrap()
        );
        assert_eq!(made["webhookUrl"], url);
    }
    let listed = hub.send("GET", "/api/v3/command/webhook.get", &[admin], "").await;
    let listed = json_of(&listed);
    let uuids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|webhook| webhook["uuid"].as_str().unwrap())
        .collect();
    assert_eq!(uuids, hub.tokens, "the oldest first");
    hub.kill();
}

#[tokio::test]
async fn parameters_that_cannot_be_right_are_refused() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let bearer = format!("Bearer {ADMIN}");
    let admin = ("Authorization", bearer.as_str());
    let long = format!("eventKey={}", "a".repeat(256));
    let json_type = "application/json";
    let form_type = FORM.1;
    for (content_type, body, status) in [
        (form_type, "", 422),
        (form_type, "eventKey=", 422),
        (form_type, "eventKey=a..b", 422),
        (form_type, "eventKey=.a", 422),
        (form_type, "eventKey=a.%23", 422),
        (form_type, "eventKey=a.*", 422),
        (form_type, "eventKey=a+b", 422),
        (form_type, "eventKey=a%0Ab", 422),
        (form_type, "eventKey=%C3%A4", 422),
        (form_type, &long, 422),
        (form_type, "eventKey=a&payloadType=outbound", 422),
        (form_type, "eventKey=a&maxPayloadLength=0", 422),
        (form_type, "eventKey=a&maxPayloadLength=512001", 422),
        (form_type, "eventKey=a&maxPayloadLength=-1", 422),
        (form_type, "eventKey=a&uuid=ba4825b6-6718-42f3-a400-ce08a16936bd", 404),
        (form_type, "eventKey=a&eventKey=b", 400),
        (json_type, "{", 400),
        (json_type, r#"{"eventKey":1}"#, 422),
        (json_type, r#"{"eventKey":"a","maxPayloadLength":1.5}"#, 422),
        ("text/plain", "eventKey=a", 415),
    ] {
        let headers = [admin, ("Content-Type", content_type)];
        let refused = hub.send("POST", PUT, &headers, body).await;
        assert_eq!(refused.status, status, "{body} {}", refused.text());
        assert!(!refused.text().is_empty(), "{body}");
    }
    let twice = hub.send("POST", &format!("{PUT}?eventKey=a"), &[admin, FORM], "eventKey=b").await;
    assert_eq!(twice.status, 400);
    assert_eq!(hub.command_with("delete", "").await.status, 422);
    let large = format!("eventKey=a&a={}", "a".repeat(16 * 1024));
    assert_eq!(hub.command_with("put", &large).await.status, 413);
    // GET, which browsers send by themselves, changes nothing.
    let delete = format!("/api/v3/command/webhook.delete?uuid={token}");
    for target in [&*delete, &format!("{PUT}?eventKey=b&uuid={token}")] {
        assert_eq!(hub.send("GET", target, &[admin], "").await.status, 405, "{target}");
    }
    let all = json_of(&hub.command_with("get", "").await);
    assert_eq!((all.as_array().unwrap().len(), &all[0]["eventKey"]), (1, &json!("a")));
    hub.kill();
}

/// A call in progress keeps the ID of its webhook after the webhook is deleted, so no other webhook
/// may get that ID.
#[tokio::test]
async fn ids_of_deleted_webhooks_are_not_used_again() {
    let mut hub = Hub::start(&[]);
    let mut connection = SqliteConnection::connect(&hub.db()).await.unwrap();
    let mut ids = async || -> Vec<i64> {
        sqlx::query_scalar("SELECT id FROM webhook").fetch_all(&mut connection).await.unwrap()
    };
    let token = hub.put("eventKey=a").await;
    let one = ids().await;
    assert_eq!(hub.command_with("delete", &format!("uuid={token}")).await.status, 204);
    assert_eq!(ids().await, [0; 0]);
    hub.put("eventKey=a").await;
    let two = ids().await;
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_ne!(one, two);

    let again = "INSERT INTO webhook SELECT id + 1, digest, uuid, event_key, payload_type,
        max_payload_length, created FROM webhook";
    let error = sqlx::query(again).execute(&mut connection).await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation(), "{error}");
}
