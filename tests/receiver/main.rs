//! A receiver on either framework that tests run as a process, to race, freeze and kill it.
//!
//! ```sh
//! cargo run -p integration-tests --bin receiver -- --help
//! ```

mod effect;
mod flags;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::UNIX_EPOCH};

use actix_web::{App as ActixApp, HttpResponse, HttpServer, web};
use axum::{Router, http::StatusCode, routing};
use integration_tests::{App, Framework};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use webhook_verify::{Delivery, Event, Events, testing::Signer};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use self::{
    effect::Effects,
    flags::{Flags, Outcome, Setup},
};

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let flags = Flags::read();
    let served = match (flags.effect, flags.framework()) {
        (Some(_), _) => Runtime::new().map(|runtime| runtime.block_on(with_effects(flags))),
        (None, Framework::Axum) => Runtime::new().map(|runtime| runtime.block_on(axum(flags))),
        (None, Framework::Actix) => Ok(actix_web::rt::System::new().block_on(actix(flags))),
    };
    if let Err(error) = served.map_err(Into::into).flatten() {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}

async fn axum(flags: Flags) -> Outcome<()> {
    use webhook_verify_axum::Verified;

    let setup = flags.set_up().await?;
    let listener = TcpListener::bind(setup.flags.listen).await?;
    announce(&setup, listener.local_addr()?);
    let flags = setup.flags;
    let receive = move |Verified(delivery): Verified, Verified(events): Verified<Events>| async move {
        let status = handle(&flags, &delivery, &events).await;
        StatusCode::from_u16(status).unwrap_or_default()
    };
    let receive = routing::get(receive.clone()).post(receive);
    let receive = receive.layer(WebhookLayer::new(setup.receiver));
    let app = Router::new().route("/", receive.clone()).route("/{*path}", receive);
    Ok(axum::serve(listener, app).await?)
}

async fn actix(flags: Flags) -> Outcome<()> {
    use webhook_verify_actix::Verified;

    let setup = flags.set_up().await?;
    let (receiver, flags) = (setup.receiver.clone(), setup.flags.clone());
    let server = HttpServer::new(move || {
        let flags = flags.clone();
        let receive = move |Verified(delivery): Verified, Verified(events): Verified<Events>| {
            let flags = flags.clone();
            async move {
                let status = handle(&flags, &delivery, &events).await;
                HttpResponse::new(status.try_into().unwrap_or_default())
            }
        };
        let resource = web::resource("/{path:.*}").wrap(WebhookMiddleware::new(receiver.clone()));
        let resource = resource.route(web::get().to(receive.clone()));
        ActixApp::new().service(resource.route(web::post().to(receive)))
    });
    let server = server.bind(setup.flags.listen)?;
    announce(&setup, server.addrs()[0]);
    Ok(server.run().await?)
}

/// Handles the events of a delivery, each as the flags say, up to the first that fails.
async fn handle(flags: &Flags, delivery: &Delivery, events: &Events) -> u16 {
    note_test(delivery);
    let mut status = flags.status;
    for event in events {
        status = flags.handle(delivery, event).await;
        if status >= 300 {
            break;
        }
        event.done().await;
    }
    status
}

/// Serves a handler that commits an effect with each claim.
async fn with_effects(flags: Flags) -> Outcome<()> {
    let setup = flags.set_up().await?;
    let effects = Effects::of(&setup.flags).await?;
    let flags = Arc::new(setup.flags.clone());
    let handle = move |delivery: Delivery| {
        let (effects, flags) = (effects.clone(), Arc::clone(&flags));
        let handled: Pin<Box<dyn Future<Output = u16> + Send>> =
            Box::pin(async move { effects.handle(&flags, &delivery).await });
        handled
    };
    let app = App::new(setup.receiver.clone(), Arc::new(handle));
    let server = app.serve(setup.flags.framework()).await;
    announce(&setup, server.addr);
    std::future::pending().await
}

impl Flags {
    /// Handles an event: takes its time, and prints it as a JSON line. Returns the status.
    async fn handle(&self, delivery: &Delivery, event: &Event) -> u16 {
        if self.trace {
            println!("{}", self.line(delivery, event, "begins"));
        }
        sleep(self.delay()).await;
        println!("{}", self.line(delivery, event, "ends"));
        self.status
    }

    fn line(&self, delivery: &Delivery, event: &Event, handler: &str) -> Value {
        let claim = event.claim();
        let mut line = json!({
            "scheme": delivery.scheme().name(),
            "event_type": event.event_type(),
            "id": event.id(),
            "time": event.time().map(|time| time.as_secs()),
            "key": claim.map(|claim| claim.key().to_string()),
            "attempt": claim.map(webhook_verify::idempotency::Claim::fencing_token),
            "length": event.raw().len(),
        });
        if delivery.is_test() {
            line["test"] = true.into();
        }
        if self.trace {
            let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
            line["handler"] = handler.into();
            line["at"] = u64::try_from(now).unwrap_or_default().into();
        }
        line
    }
}

/// Logs that a delivery is the sender's test payload.
fn note_test(delivery: &Delivery) {
    if delivery.is_test() {
        tracing::info!(scheme = delivery.scheme().name(), "test payload");
    }
}

/// Prints the server's address, and a `curl` line that sends a valid delivery.
fn announce(setup: &Setup, addr: SocketAddr) {
    if let Some(secret) = &setup.random_secret {
        println!("secret {secret}");
    }
    println!("listening on http://{addr}");
    match curl(setup, addr) {
        Ok(line) => println!("{line}"),
        Err(error) => println!("no example delivery: {error}"),
    }
}

fn curl(setup: &Setup, addr: SocketAddr) -> Outcome<String> {
    let scheme = setup.receiver.verifier().scheme();
    let mut signer = Signer::new(scheme.clone(), &setup.secrets[0])?.event_type("example.created");
    if let Some(now) = setup.flags.now() {
        signer = signer.at(now);
    }
    if let Some(url) = &setup.flags.public_url {
        signer = signer.public_url(url);
    }
    for (name, value) in &setup.flags.parameter {
        signer = signer.parameter(name, value);
    }
    Ok(signer.sample()?.curl(&format!("http://{addr}")))
}
