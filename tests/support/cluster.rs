//! A Redis Cluster, and a Redis primary with Sentinels, for one test.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{RedisServer, gate::PATIENCE};

/// The number of hash slots of a cluster.
const SLOTS: usize = 16_384;

/// Moves some keys of a slot to another node.
const MOVE: &str = "
local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], ARGV[2])
for _, key in ipairs(keys) do
  redis.call('MIGRATE', '127.0.0.1', ARGV[3], key, 0, 10000)
end
return #keys";

/// Primaries that share the slots equally.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster of three primaries, each with these command-line options.
    pub fn start(options: &[&str]) -> Self {
        const COUNT: usize = 3;
        let cluster = Self { nodes: (0..COUNT).map(|_| start_node(options)).collect() };
        for (number, node) in cluster.nodes.iter().enumerate() {
            let [first, end] = [number, number + 1].map(|number| number * SLOTS / COUNT);
            node.command(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            node.command(&format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1));
        }
        for node in &cluster.nodes[1..] {
            cluster.meet(node);
        }
        cluster.until_agreed(|node| node.command("CLUSTER INFO").contains("cluster_state:ok"));
        cluster
    }

    /// Adds a node without slots.
    pub fn add(&mut self, options: &[&str]) {
        let node = start_node(options);
        self.meet(&node);
        self.nodes.push(node);
        self.until_agreed(|_| true);
    }

    /// Adds a replica of a node, and waits until it has the node's records.
    pub fn add_replica(&mut self, of: usize, options: &[&str]) {
        self.add(options);
        let (id, replica) = (self.id(of), self.nodes.last().unwrap());
        replica.command(&format!("CLUSTER REPLICATE {id}"));
        until("replica", || replica.command("INFO replication").contains("master_link_status:up"));
        self.until_agreed(|node| {
            let nodes = node.command("CLUSTER NODES");
            nodes.lines().any(|line| line.contains("slave") && line.contains(&id))
        });
    }

    /// Returns the URLs of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Returns the number of the primary that has a slot.
    pub fn owner(&self, slot: usize) -> usize {
        (0..self.nodes.len())
            .find(|node| {
                let nodes = self.nodes[*node].command("CLUSTER NODES");
                let own = nodes.lines().find(|line| line.contains("myself"));
                own.unwrap().split_whitespace().skip(8).any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let ends = (first.parse::<usize>(), last.parse::<usize>());
                    matches!(ends, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
                })
            })
            .unwrap()
    }

    /// Begins to move a slot: the node to which it moves gets half of its keys, and new keys.
    pub fn begin_to_move(&self, slot: usize, to: usize) {
        let from = self.owner(slot);
        let (source, target) = (self.id(from), self.id(to));
        self.nodes[to].command(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        self.nodes[from].command(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
        let count = self.nodes[from].command(&format!("CLUSTER COUNTKEYSINSLOT {slot}"));
        let count = count.trim_start_matches(':').trim().parse::<usize>().unwrap();
        self.migrate(slot, from, to, count / 2);
    }

    /// Moves the remaining keys, and then the slot.
    pub fn finish_moving(&self, slot: usize, to: usize) {
        self.migrate(slot, self.owner(slot), to, usize::MAX / 2);
        let target = self.id(to);
        // The target first, so that no node loses the slot before another has it.
        let others = (0..self.nodes.len()).filter(|node| *node != to);
        for node in std::iter::once(to).chain(others) {
            self.nodes[node].command(&format!("CLUSTER SETSLOT {slot} NODE {target}"));
        }
    }

    fn migrate(&self, slot: usize, from: usize, to: usize, count: usize) {
        let port = self.nodes[to].port().to_string();
        let (slot, count) = (slot.to_string(), count.min(1_000_000).to_string());
        self.nodes[from].send(&["EVAL", MOVE, "0", &slot, &count, &port]);
    }

    /// Does what [`RedisServer::age`] does, on each primary.
    pub fn age(&self, ms: i64) {
        self.nodes.iter().for_each(|node| node.age(ms));
    }

    fn id(&self, node: usize) -> String {
        let id = self.nodes[node].command("CLUSTER MYID");
        id.lines().nth(1).unwrap().trim().to_owned()
    }

    fn meet(&self, node: &RedisServer) {
        self.nodes[0].command(&format!("CLUSTER MEET 127.0.0.1 {}", node.port()));
    }

    /// Waits until all nodes know each other, and the condition is true on each.
    fn until_agreed(&self, condition: impl Fn(&RedisServer) -> bool) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        let agrees = |node: &RedisServer| {
            let nodes = node.command("CLUSTER NODES");
            let pending = nodes.contains("handshake") || nodes.contains("fail");
            node.command("CLUSTER INFO").contains(&known) && !pending && condition(node)
        };
        until("cluster", || self.nodes.iter().all(agrees));
    }
}

fn start_node(options: &[&str]) -> RedisServer {
    let own = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "3000",
        // A primary that loses its last slot stays one.
        "--cluster-allow-replica-migration",
        "no",
    ];
    RedisServer::start_with(&[&own, options].concat())
}

/// A primary, a replica, and three Sentinels, which call the primary `hooks`.
#[derive(Debug)]
pub struct RedisSentinels {
    /// The primary and its replica.
    pub servers: Vec<RedisServer>,
    /// The Sentinels.
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts all of them.
    pub fn start() -> Self {
        let primary = RedisServer::start();
        let of = format!("127.0.0.1 {}", primary.port());
        let replica = RedisServer::start_with(&["--replicaof", &of]);
        until("replica", || replica.command("INFO replication").contains("master_link_status:up"));
        let sentinels: Vec<_> = (0..3)
            .map(|_| {
                let monitor = format!("sentinel monitor hooks {of} 2");
                RedisServer::start_sentinel(&[
                    &monitor,
                    "sentinel down-after-milliseconds hooks 1000",
                    "sentinel failover-timeout hooks 5000",
                ])
            })
            .collect();
        let group = Self { servers: vec![primary, replica], sentinels };
        until("sentinels", || {
            group.sentinels.iter().all(|sentinel| {
                let info = sentinel.command("INFO sentinel");
                info.contains("status=ok") && info.contains("slaves=1,sentinels=3")
            })
        });
        group
    }

    /// Returns the URLs of the Sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }
}

/// Waits until a primary's replica has acknowledged all writes.
pub fn until_replicated(primary: &RedisServer) {
    until("acknowledgement", || {
        let info = primary.command("INFO replication");
        let written = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        let acknowledged = format!(",offset={},", written.unwrap().trim());
        info.lines().any(|line| line.starts_with("slave0:") && line.contains(&acknowledged))
    });
}

/// Waits until the servers are in a state.
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not ready within {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}
