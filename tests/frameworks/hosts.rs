//! Tenants by their host, over HTTP/2 and with an absolute target (D6).

use std::net::SocketAddr;

use bytes::Bytes;
use integration_tests::{App, Framework, answer, each_framework, exchange};
use tokio::net::TcpStream;
use webhook_verify::{
    Receiver, RequestHead, Secret, Tenant, Verifier, scheme, testing::SignedRequest,
};

use super::{SECRET, signed};

const HOSTS: [(&str, u16); 4] =
    [("acme.test", 204), ("acme.test:8443", 401), ("other.test", 401), ("127.0.0.1", 401)];

/// An application whose only tenant has the host `acme.test`.
fn app() -> App {
    let receiver =
        Receiver::builder(Verifier::builder(scheme::GITHUB)).tenants(|head: &RequestHead<'_>| {
            let is_known = head.header("host") == Some("acme.test");
            async move {
                Ok(if is_known { Some(Tenant::new("acme", [Secret::new(SECRET)?])) } else { None })
            }
        });
    App::new(receiver.build().unwrap(), answer(204))
}

async fn over_http2(addr: SocketAddr, host: &str, request: &SignedRequest) -> u16 {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut head = http::Request::post(format!("http://{host}/hook"));
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(head.body(()).unwrap(), false).unwrap();
    // A refusal may come before the body is taken.
    let _ = body.send_data(Bytes::clone(&request.body), true);
    response.await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_authority_selects_the_tenant_over_http2() {
    let server = app().serve(Framework::Axum).await;
    for (host, status) in HOSTS {
        assert_eq!(over_http2(server.addr, host, &signed("{}")).await, status, "{host}");
    }
}

/// HTTP/1.0 requests need no `Host`. actix-web shows the authority of HTTP/2 in the same place.
#[tokio::test]
async fn the_host_of_an_absolute_target_selects_the_tenant() {
    each_framework(async |framework| {
        let server = app().serve(framework).await;
        for (host, status) in HOSTS {
            let request = signed("{}");
            let mut raw = format!("POST http://{host}/hook HTTP/1.0\r\nContent-Length: 2\r\n");
            for (name, value) in &request.headers {
                raw += &format!("{name}: {value}\r\n");
            }
            let response = exchange(server.addr, format!("{raw}\r\n{{}}").as_bytes()).await;
            assert_eq!(response.status, status, "{host}");
        }
    })
    .await;
}
