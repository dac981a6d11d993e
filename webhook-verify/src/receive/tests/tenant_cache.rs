//! The cache of tenants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::admit;
use crate::{
    encoding::Encoding,
    key::{Key, Secret},
    receive::{Admission, Receiver, Tenant, TenantCache},
    request::RequestHead,
    scheme,
    verify::Verifier,
};

/// A receiver with a cache of two tenants for a minute, what it looks up, and the time.
struct Rig {
    receiver: Receiver,
    cache: TenantCache,
    names: Arc<Mutex<Vec<String>>>,
    seconds: Arc<AtomicU64>,
}

const BODY: &str = "{}";

/// Every tenant's secret is its name with a bang. Names that begin with `unknown` have no tenant.
fn secret_of(name: &str) -> Secret {
    Secret::new(format!("{name}!")).unwrap()
}

impl Rig {
    fn new(max: usize) -> Self {
        Self::with(max, |_| ())
    }

    /// Calls `meanwhile` during each lookup.
    fn with(max: usize, meanwhile: fn(&TenantCache)) -> Self {
        let names = Arc::<Mutex<Vec<String>>>::default();
        let seconds = Arc::<AtomicU64>::default();
        let clock = Arc::clone(&seconds);
        let clock = move || Duration::from_secs(clock.load(Ordering::Relaxed));
        let cache = TenantCache::with_clock(max, Duration::from_secs(60), clock);
        let (looked_up, looking) = (Arc::clone(&names), cache.clone());
        let look_up = move |name: String| {
            looked_up.lock().unwrap().push(name.clone());
            meanwhile(&looking);
            async move {
                let is_known = !name.starts_with("unknown");
                let tenant = || Tenant::new(&name, [secret_of(&name)]);
                Ok(is_known.then(tenant))
            }
        };
        let name_of = |head: &RequestHead<'_>| Some(head.path().strip_prefix('/')?.to_owned());
        let receiver = Receiver::builder(Verifier::builder(scheme::GENERIC_HEX))
            .tenants(cache.by_head(name_of, look_up))
            .build()
            .unwrap();
        Self { receiver, cache, names, seconds }
    }

    /// Sends a request that is signed with the secret of `signer`. Returns its status, and whether
    /// the tenant was looked up.
    fn send(&self, name: &str, signer: &str) -> (u16, bool) {
        self.names.lock().unwrap().clear();
        let key = Key::new(&scheme::GENERIC_HEX, &secret_of(signer)).unwrap();
        let signature = key.hmac(Encoding::Hex, BODY.as_bytes()).unwrap();
        let signature = format!("sha256={signature}");
        let headers = [("x-webhook-signature", signature.as_str())];
        let target = format!("/{name}");
        let head = RequestHead::new(&headers).target(&target);
        let status = match admit(&self.receiver, &head, BODY) {
            Ok(Admission::Admitted(admitted)) => {
                assert_eq!(admitted.delivery().namespace(), Some(name));
                200
            }
            Ok(Admission::Answer(answer)) => answer.status(),
            Err(rejection) => rejection.status(),
        };
        (status, !self.names.lock().unwrap().is_empty())
    }

    fn true_request(&self, name: &str) -> (u16, bool) {
        self.send(name, name)
    }
}

#[test]
fn a_tenant_is_looked_up_again_only_after_its_time() {
    let rig = Rig::new(2);
    assert_eq!(rig.true_request("a"), (200, true));
    for _ in 0..3 {
        assert_eq!(rig.true_request("a"), (200, false));
        assert_eq!(rig.send("a", "another"), (401, false));
    }
    rig.seconds.store(59, Ordering::Relaxed);
    assert_eq!(rig.true_request("a"), (200, false));
    rig.seconds.store(60, Ordering::Relaxed);
    assert_eq!(rig.true_request("a"), (200, true));
    assert_eq!(rig.true_request("a"), (200, false));
}

#[test]
fn requests_that_are_not_authentic_neither_fill_the_cache_nor_displace_a_tenant() {
    let rig = Rig::new(2);
    rig.true_request("a");
    rig.true_request("b");
    for n in 0..1_000 {
        assert_eq!(rig.send(&format!("t{n}"), "another"), (401, true));
        assert_eq!(rig.true_request(&format!("unknown{n}")), (401, true));
    }
    assert_eq!(rig.true_request("a"), (200, false));
    assert_eq!(rig.true_request("b"), (200, false));
    assert_eq!(rig.send("c", "another"), (401, true));
    assert_eq!(rig.send("c", "another"), (401, true), "was not verified");
}

#[test]
fn a_full_cache_drops_the_tenant_whose_time_ends_first() {
    let rig = Rig::new(2);
    for (second, name) in [(0, "a"), (1, "b"), (2, "c")] {
        rig.seconds.store(second, Ordering::Relaxed);
        assert_eq!(rig.true_request(name), (200, true));
    }
    assert_eq!(rig.true_request("b"), (200, false));
    assert_eq!(rig.true_request("c"), (200, false));
    assert_eq!(rig.true_request("a"), (200, true), "was dropped");

    let none = Rig::new(0);
    assert_eq!(none.true_request("a"), (200, true));
    assert_eq!(none.true_request("a"), (200, true));
}

#[test]
fn a_tenant_that_is_added_again_is_the_last_to_be_dropped() {
    let rig = Rig::new(2);
    for (second, name) in [(0, "a"), (1, "b"), (60, "a"), (60, "c")] {
        rig.seconds.store(second, Ordering::Relaxed);
        assert_eq!(rig.true_request(name), (200, true), "{name}");
    }
    assert_eq!(rig.true_request("a"), (200, false));
    assert_eq!(rig.true_request("c"), (200, false));
    assert_eq!(rig.true_request("b"), (200, true), "was dropped");
}

#[test]
fn a_full_cache_has_room_again_after_a_tenant_was_forgotten() {
    let rig = Rig::new(2);
    rig.true_request("a");
    rig.true_request("b");
    rig.cache.forget("b");
    assert_eq!(rig.true_request("c"), (200, true));
    assert_eq!(rig.true_request("a"), (200, false), "was not dropped for c");
}

#[test]
fn a_forgotten_tenant_is_looked_up_again() {
    let rig = Rig::new(2);
    rig.true_request("a");
    rig.true_request("b");
    rig.cache.forget("a");
    assert_eq!(rig.true_request("b"), (200, false));
    assert_eq!(rig.true_request("a"), (200, true));
}

#[test]
fn a_lookup_that_began_before_a_tenant_was_forgotten_adds_nothing() {
    let rig = Rig::with(2, |cache| cache.forget("a"));
    assert_eq!(rig.true_request("a"), (200, true));
    assert_eq!(rig.true_request("a"), (200, true));
}
