//! Lookups of secrets that fail in every way, under load. The sender gets 503 and retries, and the
//! tenant whose lookup works does not notice.

use std::{
    error::Error,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use integration_tests::{
    App, Framework, Gate, HandClock, Logs, Response, answer, assert_in_flight, each_framework,
    exchange, raw_request, soon,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Scheme, Secret, Tenant, Verifier,
    clock::Clock as _,
    scheme::{self, Algorithm, KeyForm},
    testing::Signer,
};

/// The number of requests at once. Half of them are for the healthy tenant, which gets each
/// delivery twice.
const REQUESTS: usize = 200;

/// The number of lines about one reason that may be logged at once, and one more each second.
const BURST: usize = 5;

/// The time limit of lookups.
const LIMIT: Duration = Duration::from_secs(5);

/// The source of the secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tenants,
    Tokens,
    Keys,
}
use Kind::{Keys, Tenants, Tokens};

/// The tenants whose lookups fail, the error in the log, and the lookups that can fail so.
const FAULTS: [(&str, &str, &[Kind]); 8] = [
    ("hanging", "no result within 5 s", &[Tenants, Tokens, Keys]),
    ("error", "no connection", &[Tenants, Tokens, Keys]),
    ("panic", "` panicked", &[Tenants, Tokens, Keys]),
    ("blank", "secret: empty or blank", &[Tenants, Tokens, Keys]),
    ("other-kind", "secret: not ", &[Tenants, Keys]),
    ("no-secret", "secret: none given", &[Tenants, Tokens]),
    ("many", "secret: 9 given, at most 8 may be live", &[Tenants, Tokens]),
    ("nameless", "the tenant's namespace is empty", &[Tenants, Tokens]),
];

impl Kind {
    fn scheme(self) -> Scheme {
        match self {
            Tenants => scheme::STANDARD_WEBHOOKS,
            Tokens => scheme::PIPEFORCE_TOKEN,
            Keys => Scheme::builder("keys")
                .algorithm(Algorithm::Ed25519)
                .key_form(KeyForm::Spki)
                .key_from_header("x-key", ["keys.test"])
                .signature_header("x-signature")
                .build()
                .unwrap(),
        }
    }

    fn faults(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let faults = FAULTS.iter().filter(move |(_, _, kinds)| kinds.contains(&self));
        faults.map(|(name, error, _)| (*name, *error))
    }

    /// Returns the names of all tenants.
    fn tenants(self) -> Vec<&'static str> {
        self.faults().map(|(name, _)| name).chain(["slow", "healthy"]).collect()
    }
}

/// The sender, and the lookups of the receiver.
#[derive(Clone)]
struct Lookups {
    kind: Kind,
    signer: Signer,
    clock: HandClock,
    /// Holds slow lookups.
    slow: Arc<Gate>,
    /// Counts the hanging lookups that have begun.
    begun: Arc<Semaphore>,
    /// Has one receiver for each hanging lookup that was not dropped.
    hanging: watch::Sender<()>,
    /// Whether lookups have reached their time limit.
    limit: watch::Sender<bool>,
}

impl Lookups {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            signer: Signer::generate(kind.scheme()).unwrap(),
            clock: HandClock::new(),
            slow: Gate::new(),
            begun: Arc::new(Semaphore::new(0)),
            hanging: watch::Sender::new(()),
            limit: watch::Sender::new(false),
        }
    }

    fn receiver(&self, endpoint: &str) -> Receiver {
        let idempotency = Idempotency::new(MemoryStore::new(), endpoint)
            .identity_from(|delivery| Some(delivery.body().to_vec()));
        let limit = self.limit.clone();
        let timer = move |time| {
            let mut limit = limit.subscribe();
            async move {
                if time == LIMIT {
                    limit.wait_for(|is_reached| *is_reached).await.unwrap();
                } else {
                    sleep(time).await;
                }
            }
        };
        let verifier = Verifier::builder(self.kind.scheme()).clock(self.clock.clone());
        let receiver = Receiver::builder(verifier).idempotency(idempotency).timer(timer);
        let lookups = self.clone();
        let receiver = match self.kind {
            Tenants => receiver.tenants(move |head: &RequestHead<'_>| {
                lookups.clone().tenant(head.path()[1..].to_owned())
            }),
            Tokens => receiver.token_lookup(move |digest| {
                let mut names = Tokens.tenants().into_iter();
                let name = names.find(|name| *Sha256::digest(token(name)) == digest);
                lookups.clone().tenant(name.unwrap().to_owned())
            }),
            Keys => receiver.key_lookup(move |address| {
                let name = address.strip_prefix("https://keys.test/").unwrap().to_owned();
                let lookups = lookups.clone();
                async move { Ok(lookups.secrets(&name).await?.pop()) }
            }),
        };
        receiver.build().unwrap()
    }

    async fn tenant(self, name: String) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let secrets = self.secrets(&name).await?;
        let namespace = if name == "nameless" { String::new() } else { name };
        Ok(Some(Tenant::new(namespace, secrets)))
    }

    async fn secrets(&self, name: &str) -> Result<Vec<Secret>, Box<dyn Error + Send + Sync>> {
        let secret = || match self.kind {
            Tokens => Secret::new(token(name)).unwrap(),
            Tenants | Keys => self.signer.secret().clone(),
        };
        match name {
            "hanging" => {
                let _alive = self.hanging.subscribe();
                self.begun.add_permits(1);
                pending().await
            }
            "error" => Err("no connection".into()),
            "panic" => panic!("on purpose"),
            "blank" => Ok(vec![Secret::new(" ")?]),
            "other-kind" => Ok(vec![Secret::new("a text that is not a key")?]),
            "no-secret" => Ok(Vec::new()),
            "many" => Ok(vec![secret(); 9]),
            "slow" => {
                self.slow.wait().await;
                Ok(vec![secret()])
            }
            "nameless" | "healthy" => Ok(vec![secret()]),
            _ => panic!("no tenant {name}"),
        }
    }

    /// Returns the request with a tenant's delivery.
    fn request(&self, name: &str, number: usize) -> Vec<u8> {
        let body = format!(r#"{{"n":{number}}}"#);
        let signer = match self.kind {
            Tokens => Signer::new(self.kind.scheme(), token(name)).unwrap(),
            Tenants | Keys => self.signer.clone(),
        };
        let mut request = signer.at(self.clock.now()).sign(body).unwrap();
        if self.kind == Keys {
            request.headers.retain(|(name, _)| name != "x-key");
            request.headers.push(("x-key".to_owned(), format!("https://keys.test/{name}")));
        }
        raw_request("POST", &format!("/{name}"), &request.headers, &request.body)
    }
}

fn token(name: &str) -> String {
    format!("the token of {name}")
}

fn assert_unavailable(name: &str, response: &Response) {
    assert_eq!((response.status, response.text()), (503, "temporarily unavailable"), "{name}");
    assert_eq!(response.header("retry-after"), Some("30"), "{name}");
}

#[tokio::test]
async fn failing_lookups_of_tenants_are_503_and_other_tenants_are_served() {
    each_framework(|framework| check(framework, Tenants)).await;
}

#[tokio::test]
async fn failing_lookups_of_tokens_are_503_and_other_tenants_are_served() {
    each_framework(|framework| check(framework, Tokens)).await;
}

#[tokio::test]
async fn failing_lookups_of_keys_are_503_and_other_keys_are_found() {
    each_framework(|framework| check(framework, Keys)).await;
}

async fn check(framework: Framework, kind: Kind) {
    let (logs, begun_at) = (Logs::collect_all(), Instant::now());
    let endpoint = format!("lookups-{kind:?}-{framework:?}");
    let lookups = Lookups::new(kind);
    let app = App::new(lookups.receiver(&endpoint), answer(204));
    let server = app.serve(framework).await;
    let addr = server.addr;
    let lines = || {
        let text = logs.text();
        let failures = text
            .lines()
            .filter(|line| line.contains(&endpoint) && line.contains(r#"reason="secrets""#));
        failures.map(ToOwned::to_owned).collect::<Vec<_>>()
    };

    let others: Vec<_> = kind.tenants().into_iter().filter(|name| *name != "healthy").collect();
    let mut healthy = Vec::new();
    let mut tasks: Vec<_> = others.iter().map(|name| (*name, Vec::new())).collect();
    for number in 0..REQUESTS {
        if number % 2 == 0 {
            let raw = lookups.request("healthy", 2 * REQUESTS + number / 4);
            healthy.push(tokio::spawn(async move {
                loop {
                    let response = exchange(addr, &raw).await;
                    if response.status != 503 {
                        return response.status;
                    }
                    assert_in_flight(&response);
                    sleep(Duration::from_millis(10)).await;
                }
            }));
        } else {
            let (name, tasks) = &mut tasks[number / 2 % others.len()];
            let raw = lookups.request(name, number);
            tasks.push(tokio::spawn(async move { exchange(addr, &raw).await }));
        }
    }
    let (hanging, slow) = (tasks.remove(0).1, tasks.pop().unwrap().1);
    let begun = lookups.begun.acquire_many(hanging.len() as u32);
    soon("the hanging lookups", begun).await.unwrap().forget();
    for _ in &slow {
        lookups.slow.entered().await;
    }

    // While lookups hang, the others get their responses.
    for status in soon("the healthy deliveries", join_all(healthy)).await {
        assert_eq!(status.unwrap(), 204);
    }
    for (name, tasks) in tasks {
        for response in join_all(tasks).await {
            assert_unavailable(name, &response.unwrap());
        }
    }
    assert_eq!(app.runs(), REQUESTS / 4, "each delivery once");
    let seconds = begun_at.elapsed().as_secs() as usize;
    let count = lines().len();
    assert!((1..=BURST + seconds + 1).contains(&count), "{count} lines in {seconds} s");

    let runs = app.runs() + slow.len();
    lookups.slow.open(slow.len());
    for response in join_all(slow).await {
        assert_eq!(response.unwrap().status, 204);
    }
    assert!(hanging.iter().all(|task| !task.is_finished()));
    assert_eq!(lookups.hanging.receiver_count(), hanging.len());
    lookups.limit.send_replace(true);
    for response in join_all(hanging).await {
        assert_unavailable("hanging", &response.unwrap());
    }
    soon("the end of the hanging lookups", lookups.hanging.closed()).await;

    for (number, (name, error)) in kind.faults().enumerate() {
        let path = format!(r#"path="/{name}""#);
        let is_named = || {
            let lines = lines();
            lines
                .iter()
                .any(|line| line.contains("ERROR") && line.contains(error) && line.contains(&path))
        };
        // A request may have no line, because their number is limited.
        let named = async {
            loop {
                let response = exchange(addr, &lookups.request(name, REQUESTS + number)).await;
                assert_unavailable(name, &response);
                if is_named() {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        soon(&format!("a line about {name}: {error}"), named).await;
    }
    assert_eq!(app.runs(), runs);
}
