//! Checks the server's eviction policy and the user's permissions before the first call.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use futures_util::future::try_join_all;
use redis::{Arg, Pipeline, Value, cluster_routing::Slot};

use super::{RedisStore, link::not_a_node, millis, unexpected};
use crate::{
    claim::{ClaimKey, ClaimRequest, Fingerprint, Owner, Step, StoreError},
    error::ConfigError,
};

/// How long the check's records live if the check cannot delete them.
const LIFE: Duration = Duration::from_secs(60);

/// Refuses a server that may evict claims, a node of a cluster that is addressed as a single
/// server, and a user that lacks a permission.
///
/// Also runs each script once, which loads it. A call whose caller has given up is not sent again,
/// so its script should be loaded already.
pub(super) async fn check(store: RedisStore) -> Result<(), StoreError> {
    check_policy(&store).await?;
    let keys = keys(&store).await?;
    if !store.inner.link.target.is_cluster() {
        check_node(&store).await?;
    }
    check_rights(&store, &keys).await?;
    try_join_all(keys.iter().map(|key| run_scripts(&store, *key))).await.map(|_| ())
}

/// Refuses a server that may evict, or a node of a cluster that is addressed as a single server.
///
/// Managed servers usually allow `INFO` but forbid `CONFIG`, so a forbidden command is not an error
/// here. If the server does not report its policy, logs a warning and accepts it.
async fn check_policy(store: &RedisStore) -> Result<(), StoreError> {
    let link = &store.inner.link;
    let mut replies = link.try_all(redis::cmd("INFO")).await?;
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg("maxmemory-policy");
    replies.extend(link.try_all(config).await?);
    for reply in &replies {
        if let Value::ServerError(error) = reply
            && !matches!(error.code(), "NOPERM" | "ERR")
        {
            return Err(StoreError::new(error.to_string()));
        }
    }
    if !link.target.is_cluster() && replies.iter().any(is_node) {
        return Err(not_a_node());
    }
    if store.inner.allow_eviction {
        return Ok(());
    }
    let policies: Vec<_> = replies.iter().filter_map(policy_in).collect();
    match policies.iter().find(|policy| *policy != "noeviction") {
        Some(policy) => Err(StoreError::new(ConfigError::option(
            "maxmemory-policy",
            format!(
                "the server has {policy} and may evict claims: set noeviction, or allow_eviction"
            ),
        ))),
        None if policies.is_empty() => {
            tracing::warn!(
                target: "webhook_verify",
                "redis does not report its maxmemory-policy: \
                 with any policy but noeviction it may lose deliveries"
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// Returns whether a reply to `INFO` is from a node of a cluster.
fn is_node(reply: &Value) -> bool {
    text_in(reply).is_some_and(|info| info.lines().any(|line| line == "cluster_enabled:1"))
}

/// Returns the policy, from a line of `INFO` or a pair of `CONFIG GET` (a map in newer protocols).
fn policy_in(reply: &Value) -> Option<String> {
    match reply {
        Value::Array(_) | Value::Map(_) => {
            let pairs: Vec<(String, String)> = redis::from_redis_value(reply.clone()).ok()?;
            let mut values = pairs.into_iter().filter(|(name, _)| name == "maxmemory-policy");
            values.next().map(|(_, value)| value)
        }
        _ => {
            let info = text_in(reply)?;
            let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
            policy.map(str::to_owned)
        }
    }
}

fn text_in(reply: &Value) -> Option<String> {
    match reply {
        Value::BulkString(_) | Value::VerbatimString { .. } | Value::SimpleString(_) => {
            redis::from_redis_value(reply.clone()).ok()
        }
        _ => None,
    }
}

/// Returns fresh keys: a single one, or in a cluster one for each primary, because each primary has
/// its own users.
async fn keys(store: &RedisStore) -> Result<Vec<ClaimKey>, StoreError> {
    let fresh = fresh_keys()?;
    if !store.inner.link.target.is_cluster() {
        return Ok(fresh.take(1).collect());
    }
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    let replies = store.inner.link.try_all(slots).await?;
    let ranges = replies.iter().find_map(ranges).ok_or_else(unexpected)?;
    let mut primaries: Vec<&Value> = ranges.iter().map(|(_, primary)| *primary).collect();
    let mut keys = Vec::new();
    // This may miss a primary that has only a few of the 16,384 slots.
    for key in fresh.take(5000) {
        let slot = Slot::for_key(store.key(&key));
        let mut of_key = ranges
            .iter()
            .filter(|(range, _)| range.clone().any(|number| Slot::new(number) == Some(slot)));
        if let Some((_, primary)) = of_key.next()
            && primaries.contains(primary)
        {
            primaries.retain(|other| other != primary);
            keys.push(key);
        }
        if primaries.is_empty() {
            break;
        }
    }
    Ok(keys)
}

/// Returns keys that no delivery has.
fn fresh_keys() -> Result<impl Iterator<Item = ClaimKey>, StoreError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(StoreError::new)?;
    Ok((0..u32::MAX).map(move |number| {
        random[..4].copy_from_slice(&number.to_be_bytes());
        random.into()
    }))
}

/// Parses the slot ranges and their primaries from a reply to `CLUSTER SLOTS`.
fn ranges(reply: &Value) -> Option<Vec<(RangeInclusive<u16>, &Value)>> {
    fn range(reply: &Value) -> Option<(RangeInclusive<u16>, &Value)> {
        let Value::Array(parts) = reply else {
            return None;
        };
        let [Value::Int(first), Value::Int(last), primary, ..] = parts.as_slice() else {
            return None;
        };
        Some((u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?, primary))
    }
    let Value::Array(ranges) = reply else {
        return None;
    };
    ranges.iter().map(range).collect()
}

/// Refuses a node of a cluster that is named alone, for a user who may not call `INFO`. The node
/// refuses keys of other nodes, and 32 keys are not all its own.
async fn check_node(store: &RedisStore) -> Result<(), StoreError> {
    let mut commands = Pipeline::new();
    for key in fresh_keys()?.take(32) {
        commands.cmd("HGET").arg(store.key(&key)).arg("check");
    }
    let replies = store.inner.link.try_each(commands).await?;
    let is_elsewhere = |reply: &Value| match reply {
        Value::ServerError(error) => matches!(error.code(), "MOVED" | "CLUSTERDOWN"),
        _ => false,
    };
    if replies.iter().any(is_elsewhere) { Err(not_a_node()) } else { Ok(()) }
}

/// Refuses a user that lacks permissions, and names them. Calls each command directly, because not
/// every server names the command that a script may not call.
async fn check_rights(store: &RedisStore, keys: &[ClaimKey]) -> Result<(), StoreError> {
    let link = &store.inner.link;
    let pattern = format!("~{}*", store.inner.prefix);
    let mut missing = BTreeSet::new();
    // `ASKING` affects only the connection's next command, so `TIME` follows it.
    let unkeyed: &[_] = if link.target.is_cluster() { &["ASKING", "TIME"] } else { &["TIME"] };
    for name in unkeyed {
        let replies = link.try_all(redis::cmd(name)).await?;
        missing.extend(replies.iter().filter_map(|reply| missing_right(name, &pattern, reply)));
    }
    let calls: Vec<_> = keys.iter().map(|key| direct_calls(&store.key(key))).collect();
    let replies = try_join_all(calls.iter().map(|calls| link.try_each(calls.clone()))).await?;
    for (command, reply) in calls.iter().flat_map(Pipeline::cmd_iter).zip(replies.iter().flatten())
    {
        if let Some(Arg::Simple(name)) = command.args_iter().next() {
            let name = String::from_utf8_lossy(name);
            missing.extend(missing_right(&name, &pattern, reply));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.into_iter().collect();
    let for_cluster = if link.target.is_cluster() { " +asking +cluster|slots +ping" } else { "" };
    Err(StoreError::new(ConfigError::option(
        "rights",
        format!(
            "the user lacks {}: the store needs {pattern} +del +eval +evalsha +hget +hmget +hset \
             +pexpire +pttl +time{for_cluster}",
            missing.join(" ")
        ),
    )))
}

/// Returns one call of each command, on a key that the calls create and delete.
fn direct_calls(key: &[u8]) -> Pipeline {
    let mut commands = Pipeline::new();
    commands.cmd("HSET").arg(key).arg("check").arg(1);
    commands.cmd("PEXPIRE").arg(key).arg(millis(LIFE));
    commands.cmd("HMGET").arg(key).arg("check");
    commands.cmd("HGET").arg(key).arg("check");
    commands.cmd("PTTL").arg(key);
    commands.cmd("EVAL").arg("return 1").arg(1).arg(key);
    commands.cmd("EVALSHA").arg("0".repeat(40)).arg(1).arg(key);
    commands.cmd("DEL").arg(key);
    commands
}

/// Returns the permission that the reply reports as missing, in the syntax of `ACL SETUSER`: for
/// the command or for the keys.
fn missing_right(command: &str, pattern: &str, reply: &Value) -> Option<String> {
    match reply {
        Value::ServerError(error) if error.code() == "NOPERM" => {
            let of_keys = error.details().is_some_and(|details| details.contains("access"));
            Some(if of_keys { pattern.to_owned() } else { format!("+{}", command.to_lowercase()) })
        }
        _ => None,
    }
}

/// Runs each script on a key, and then deletes the key.
async fn run_scripts(store: &RedisStore, key: ClaimKey) -> Result<(), StoreError> {
    let (owner, body) = (Owner::random()?, Fingerprint([0; 32]));
    let claim = ClaimRequest::new(key, owner, body, LIFE, LIFE);
    let holder = claim.holder();
    let steps =
        [Step::Extend { lease: LIFE }, Step::Release, Step::Complete { status: 200, ttl: LIFE }];
    let calls = steps.iter().map(|step| store.step_call(&holder, *step));
    let calls: Vec<_> = std::iter::once(store.claim_call(&claim)).chain(calls).collect();
    for (script, call) in calls {
        let mut commands = Pipeline::new();
        commands.add_command(script.load_by(&call));
        store.inner.link.send(&commands, None).await?;
    }
    let mut commands = Pipeline::new();
    commands.cmd("DEL").arg(store.key(&key));
    store.inner.link.send(&commands, None).await.map(|_| ())
}
