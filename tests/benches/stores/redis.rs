//! `RedisStore` next to the driver that it uses, calling the same script.

use std::sync::Arc;

use integration_tests::RedisServer;
use redis::{Client, aio::ConnectionManager};
use webhook_verify::{RedisStore, idempotency::ClaimRequest};

use super::{
    CLIENTS, Claims, LEASE, Store, TTL, millis, rate, requests,
    rounds::{Bound, Rounds},
    runtime,
};

const SCRIPT: &str = include_str!("../../../webhook-verify/src/claim/redis/claim.lua");
const ROUNDS: usize = 51;
const COUNT: usize = 3200;

pub(crate) fn run() -> bool {
    let mut reached = true;
    for (title, fsync) in [
        ("RedisStore, appendfsync everysec", "everysec"),
        ("RedisStore, appendfsync always", "always"),
    ] {
        reached &= throughput(title, fsync);
    }
    reached
}

fn throughput(title: &'static str, fsync: &str) -> bool {
    let runtime = runtime();
    let server = RedisServer::start_with(&["--appendfsync", fsync]);
    let (store, raw) = runtime.block_on(async {
        let store = RedisStore::connect(server.url()).await.unwrap();
        (Arc::new(Store(store)), Arc::new(Raw::connect(&server).await))
    });
    let measured = Rounds::new(title, "claims/s")
        .case("store", || rate(&runtime, &store, CLIENTS, &requests(COUNT)))
        .case("redis", || rate(&runtime, &raw, CLIENTS, &requests(COUNT)))
        .run(ROUNDS);
    measured.hold(0, 1, Bound::AtLeast(0.9))
}

struct Raw {
    manager: ConnectionManager,
    digest: String,
}

impl Raw {
    async fn connect(server: &RedisServer) -> Self {
        let client = Client::open(server.url()).unwrap();
        let mut manager = ConnectionManager::new(client).await.unwrap();
        let digest =
            redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut manager).await.unwrap();
        Self { manager, digest }
    }
}

impl Claims for Raw {
    async fn claim(&self, request: &ClaimRequest) {
        let answer: (i64, i64) = redis::cmd("EVALSHA")
            .arg(&self.digest)
            .arg(1)
            .arg([b"wv:", &request.key.as_bytes()[..]].concat())
            .arg(&request.owner.as_bytes()[..])
            .arg(&request.fingerprint.0[..])
            .arg(millis(LEASE))
            .arg(millis(TTL))
            .arg("take")
            .query_async(&mut self.manager.clone())
            .await
            .unwrap();
        assert_eq!(answer, (1, 1));
    }
}
