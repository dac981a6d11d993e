//! Claims in a Redis Cluster.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use axum::Router;
use integration_tests::{App, RedisCluster, Response, call_axum, size, to_axum, until_replicated};
use webhook_verify::{
    Idempotency, Receiver, Verifier, scheme,
    testing::{SignedRequest, Signer},
};

use super::*;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CLIENTS: usize = 32;

async fn connect_to(cluster: &RedisCluster) -> RedisStore {
    RedisStore::connect_cluster(cluster.urls()).timeout(PATIENCE / 2).await.unwrap()
}

/// Counts how often the handler runs for each event.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<String, usize>>>);

impl Runs {
    /// Returns an application on the store, without the cache of completed deliveries.
    fn app(&self, store: RedisStore) -> Router {
        let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
        let idempotency = Idempotency::new(store, "cluster")
            .claim_timeout(Duration::from_secs(10))
            .completed_cache(0, Duration::ZERO);
        let receiver = Receiver::builder(verifier).idempotency(idempotency).build().unwrap();
        let runs = self.clone();
        let app = App::new(
            receiver,
            Arc::new(move |delivery| {
                let id = delivery.id().unwrap().into_owned();
                *runs.0.lock().unwrap().entry(id).or_default() += 1;
                Box::pin(async { 200 })
            }),
        );
        app.axum().0
    }

    fn counts(&self) -> Vec<usize> {
        self.0.lock().unwrap().values().copied().collect()
    }
}

fn event(id: &str) -> SignedRequest {
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    signer.id(id).sign("{}").unwrap()
}

async fn deliver(app: &Router, event: &SignedRequest) -> Response {
    call_axum(app.clone(), to_axum("/", event)).await
}

#[tokio::test]
async fn conformance_in_a_cluster() {
    let cluster = RedisCluster::start(&[]);
    for protocol in ["", "?protocol=resp3"] {
        let urls = cluster.urls().into_iter().map(|url| url + protocol);
        let connect = RedisStore::connect_cluster(urls).timeout(PATIENCE / 2);
        let store = connect.prefix(format!("{protocol}:")).await.unwrap();
        let suite =
            Suite::new(&store).keeps_responses().tick(Duration::from_secs(60)).clears_by_itself();
        suite.run(async |by| cluster.age(by.as_millis() as i64)).await.unwrap();
    }
}

/// In a healthy cluster, no delivery is refused and none runs twice. Each event is delivered to one
/// process and then to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_deliveries() {
    let events = size(1000, 5000);
    let cluster = RedisCluster::start(&[]);
    let runs = Runs::default();
    let apps = [runs.app(connect_to(&cluster).await), runs.app(connect_to(&cluster).await)];
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let apps = apps.clone();
        clients.spawn(async move {
            for number in (client..events).step_by(CLIENTS) {
                let event = event(&format!("evt_{number}"));
                let first = client % 2;
                assert_eq!(deliver(&apps[first], &event).await.status, 200, "{number}");
                assert_eq!(deliver(&apps[1 - first], &event).await.status, 200, "{number} again");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(runs.counts(), vec![1; events]);
    let sizes = cluster.nodes.iter().map(|node| node.command("DBSIZE"));
    let sizes: Vec<_> = sizes.map(|size| size[1..].trim().parse::<usize>().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), events);
    assert!(sizes.iter().all(|size| *size > events / 4), "{sizes:?}");
}

/// While the slot of all claims moves between the nodes, and to one that has no slots and no
/// scripts, each event runs once. Once the slot has moved, no delivery is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_moves_under_load() {
    // All keys of this prefix are in one slot.
    const PREFIX: &str = "{hooks}:";
    let mut cluster = RedisCluster::start(&[]);
    let connect = RedisStore::connect_cluster(cluster.urls()).prefix(PREFIX);
    let connect = connect.timeout(Duration::from_secs(5));
    let runs = Runs::default();
    let apps = [runs.app(connect.clone().await.unwrap()), runs.app(connect.clone().await.unwrap())];
    cluster.add(&[]);
    let (done, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (apps, done, refused) = (apps.clone(), Arc::clone(&done), Arc::clone(&refused));
        clients.spawn(async move {
            let mut delivered = 0;
            while !done.load(SeqCst) {
                let event = event(&format!("evt_{client}_{delivered}"));
                // Two processes at once, and once more.
                let both = [0, 1].map(|app| until_accepted(&apps[app], &event, &refused));
                futures_util::future::join_all(both).await;
                until_accepted(&apps[delivered % 2], &event, &refused).await;
                delivered += 1;
            }
            delivered
        });
    }
    let slot = cluster.nodes[0].command(&format!("CLUSTER KEYSLOT {PREFIX}"));
    let slot = slot.trim_start_matches(':').trim().parse().unwrap();
    let move_about = move || {
        for to in [0, 1, 2, 3, 0] {
            if cluster.owner(slot) != to {
                cluster.begin_to_move(slot, to);
                std::thread::sleep(Duration::from_millis(300));
                cluster.finish_moving(slot, to);
                std::thread::sleep(Duration::from_millis(300));
            }
        }
        cluster
    };
    let cluster = tokio::task::spawn_blocking(move_about).await.unwrap();
    done.store(true, SeqCst);
    let events: usize = clients.join_all().await.into_iter().sum();
    println!("{events} events, {} refusals", refused.load(SeqCst));
    assert_eq!(runs.counts(), vec![1; events]);
    for number in 0..200 {
        let event = event(&format!("after_{number}"));
        assert_eq!(deliver(&apps[number % 2], &event).await.status, 200);
    }
    drop(cluster);
}

/// New claims in a slot that is on its way to another node are on that node: the owner redirects
/// each call.
#[tokio::test]
async fn a_slot_that_moves_grants_claims_on_its_new_node() {
    const PREFIX: &str = "{moving}:";
    let cluster = RedisCluster::start(&[]);
    let connect = RedisStore::connect_cluster(cluster.urls()).prefix(PREFIX);
    let runs = Runs::default();
    let app = runs.app(connect.timeout(PATIENCE / 2).await.unwrap());
    let slot = cluster.nodes[0].command(&format!("CLUSTER KEYSLOT {PREFIX}"));
    let slot = slot.trim_start_matches(':').trim().parse().unwrap();
    let to = (cluster.owner(slot) + 1) % 3;
    cluster.begin_to_move(slot, to);
    for number in 0..100 {
        let event = event(&format!("evt_{number}"));
        assert_eq!(deliver(&app, &event).await.status, 200, "{number}");
        let again = deliver(&app, &event).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{number}");
    }
    assert_eq!(runs.counts(), [1; 100]);
    let on_new_node = cluster.nodes[to].command("DBSIZE");
    assert_eq!(on_new_node[1..].trim().parse(), Ok(100));
}

/// Nodes with `unknown-endpoint` redirect to a port without a host. The store then uses the host of
/// the node that replied. It closes the connection for redirections after a minute.
#[tokio::test]
async fn redirections_without_a_host() {
    const PREFIX: &str = "{moving}:";
    let options = ["--cluster-preferred-endpoint-type", "unknown-endpoint"];
    let mut cluster = RedisCluster::start(&options);
    cluster.add(&options);
    let connect = RedisStore::connect_cluster(cluster.urls()).prefix(PREFIX);
    let store = connect.timeout(PATIENCE / 2).await.unwrap();
    let slot = cluster.nodes[0].command(&format!("CLUSTER KEYSLOT {PREFIX}"));
    let slot = slot.trim_start_matches(':').trim().parse().unwrap();
    // The driver has no connection to the new node.
    assert_eq!(clients(&cluster.nodes[3]).len(), 0);
    cluster.begin_to_move(slot, 3);
    for number in 0..20 {
        assert_eq!(store.claim_one(&request(number)).await.unwrap(), won(1));
    }
    assert_eq!(clients(&cluster.nodes[3]).len(), 1);
    let stopped = stop_time();
    tokio::time::advance(Duration::from_secs(61)).await;
    let start = Instant::now();
    while !clients(&cluster.nodes[3]).is_empty() {
        assert!(start.elapsed() < PATIENCE, "the connection is still open");
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    drop(stopped);
    // Now the owner redirects to the new node permanently.
    cluster.finish_moving(slot, 3);
    for number in 20..40 {
        assert_eq!(store.claim_one(&request(number)).await.unwrap(), won(1));
    }
    assert!(is_busy(store.claim_one(&again(&request(1))).await.unwrap()));
}

/// Returns the IDs of the connections of stores.
fn clients(node: &RedisServer) -> BTreeSet<String> {
    let clients = node.command("CLIENT LIST");
    let of_store = |line: &&str| {
        ["cmd=evalsha ", "cmd=eval ", "cmd=ping ", "cmd=cluster|slots "]
            .iter()
            .any(|command| line.contains(command))
    };
    let ids = clients.lines().filter(of_store).map(|line| {
        let id = line.split(' ').find(|field| field.contains("id="));
        id.unwrap().rsplit('=').next().unwrap().to_owned()
    });
    ids.collect()
}

/// Delivers until the response is 2xx, and counts the refusals because of the store.
async fn until_accepted(app: &Router, event: &SignedRequest, refused: &AtomicUsize) {
    loop {
        let response = deliver(app, event).await;
        match response.status {
            200 => return,
            503 if response.text() == "temporarily unavailable" => {
                refused.fetch_add(1, SeqCst);
            }
            status => assert_eq!(status, 503),
        }
        sleep(5 * MS).await;
    }
}

/// Claims fresh keys in all parts of the cluster until each is granted.
async fn comes_back_everywhere(store: &RedisStore, round: u32) {
    let claims = (0..60).map(|number| {
        let claim = request(10_000 * round + number);
        async move {
            answered(|| store.claim_one(&claim)).await;
        }
    });
    futures_util::future::join_all(claims).await;
}

/// A primary is killed, or it stops responding without closing its connections. Its replica takes
/// over, the calls reach the replica, and no record is lost.
#[tokio::test]
async fn a_replica_takes_over() {
    for is_killed in [true, false] {
        // The other primaries serve their slots meanwhile.
        let options = ["--cluster-require-full-coverage", "no"];
        let mut cluster = RedisCluster::start(&options);
        cluster.add_replica(0, &options);
        let connect = RedisStore::connect_cluster(cluster.urls()).timeout(500 * MS);
        let store = answered(|| connect.clone().into_future()).await;
        let claims: Vec<_> = (0..60).map(request).collect();
        let granted = answered(|| store.claim(&claims)).await;
        assert_eq!(granted, vec![won(1); 60]);
        until_replicated(&cluster.nodes[0]);
        // The other nodes respond meanwhile.
        let mut others = JoinSet::new();
        for claim in claims.clone() {
            let store = store.clone();
            others.spawn(async move {
                loop {
                    let _ = store.claim_one(&claim).await;
                    sleep(20 * MS).await;
                }
            });
        }
        if is_killed {
            cluster.nodes[0].stop();
        } else {
            cluster.nodes[0].pause();
        }
        comes_back_everywhere(&store, 1).await;
        for claim in &claims {
            let claim = again(claim);
            assert!(is_busy(answered(|| store.claim_one(&claim)).await));
        }
    }
}

/// A batch is in several slots and nodes, and each of its claims has its own result.
#[tokio::test]
async fn a_batch_in_all_parts_of_a_cluster() {
    let cluster = RedisCluster::start(&[]);
    let store = connect_to(&cluster).await;
    let flush = || cluster.nodes.iter().for_each(|node| drop(node.command("SCRIPT FLUSH")));
    let requests: Vec<_> = (0..1000).map(request).collect();
    let taken = [again(&requests[3]), again(&requests[500])];
    assert_eq!(store.claim(&taken).await.unwrap(), [won(1); 2]);
    flush();
    let outcomes = store.claim(&requests).await.unwrap();
    for (number, outcome) in outcomes.iter().enumerate() {
        match number {
            3 | 500 => assert!(is_busy(*outcome)),
            _ => assert_eq!(*outcome, won(1)),
        }
    }
    flush();
    let holders: Vec<_> = requests.iter().map(ClaimRequest::holder).collect();
    let settled = store.complete_all(&holders, 200, HOUR).await.unwrap();
    for (number, settled) in settled.iter().enumerate() {
        let expected =
            if matches!(number, 3 | 500) { Settled::Superseded } else { Settled::Applied };
        assert_eq!(*settled, expected);
    }
}

/// If the wrong method is used for a server or node, the start fails, and the error names the right
/// method.
#[tokio::test]
async fn the_other_method() {
    let (cluster, server) = (RedisCluster::start(&[]), RedisServer::start());
    let connect = RedisStore::connect(cluster.nodes[1].url()).timeout(PATIENCE / 2);
    let error = fails(connect.clone().into_future()).await;
    let text = "url: the server is a node of a cluster: use RedisStore::connect_cluster";
    assert_eq!(error, text);
    let store = connect.lazy().await.unwrap();
    assert_eq!(fails(store.claim_one(&request(1))).await, text);

    let connect = RedisStore::connect_cluster([server.url()]).timeout(PATIENCE / 2);
    let error = fails(connect.into_future()).await;
    assert!(error.contains("cluster support disabled"), "{error}");
}

/// The primaries are checked at the same time: one that does not serve writes delays no other.
#[tokio::test]
async fn primaries_are_checked_in_parallel() {
    let cluster = RedisCluster::start(&[]);
    for node in &cluster.nodes {
        node.command("CLIENT PAUSE 1000000 WRITE");
    }
    let connect = RedisStore::connect_cluster(cluster.urls()).timeout(PATIENCE / 2);
    let store = tokio::spawn(connect.into_future());
    let all_wait = async {
        let is_waiting =
            |node: &RedisServer| !node.command("INFO clients").contains("blocked_clients:0");
        while !cluster.nodes.iter().all(is_waiting) {
            sleep(MS).await;
        }
    };
    soon("check of all primaries", all_wait).await;
    for node in &cluster.nodes {
        node.command("CLIENT UNPAUSE");
    }
    let store = store.await.unwrap().unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}

/// Each primary has its own users and its own policy.
#[tokio::test]
async fn every_primary_is_checked() {
    let cluster = RedisCluster::start(&[]);
    for node in &cluster.nodes {
        node.command(&format!("ACL SETUSER app on >sesame {}", start::RIGHTS));
        node.command("ACL SETUSER app +asking +cluster|slots +ping +info");
    }
    let connect = || {
        let urls = cluster.urls().into_iter().map(|url| url.replace("://", "://app:sesame@"));
        RedisStore::connect_cluster(urls).timeout(PATIENCE / 2)
    };
    let store = connect().await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    for (number, node) in cluster.nodes.iter().enumerate() {
        for right in ["time", "pexpire", "asking"] {
            node.command(&format!("ACL SETUSER app -{right}"));
            let error = fails(connect().into_future()).await;
            let text = format!("rights: the user lacks +{right}: the store needs ");
            assert!(error.starts_with(&text), "{number}: {error}");
            assert!(error.ends_with(" +asking +cluster|slots +ping"), "{error}");
            node.command(&format!("ACL SETUSER app +{right}"));
        }
        node.command("CONFIG SET maxmemory-policy allkeys-lru");
        let error = fails(connect().into_future()).await;
        assert!(error.starts_with("maxmemory-policy: the server has allkeys-lru"), "{error}");
        node.command("CONFIG SET maxmemory-policy noeviction");
    }
    let left: usize =
        cluster.nodes.iter().map(|node| usize::from(node.command("DBSIZE") != ":0\r\n")).sum();
    assert_eq!(left, 1, "only the claim is left");
}
