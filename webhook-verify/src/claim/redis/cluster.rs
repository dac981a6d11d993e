//! Sends calls to a Redis Cluster.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async,
    cluster_routing::{
        MultiSlotArgPattern, MultipleNodeRoutingInfo, Route, RoutingInfo, Slot, SlotAddr,
    },
};
use tokio::time::sleep;

use super::{
    script::Script,
    target::{is_unknown_script, tcp_settings},
    tls::Tls,
};

/// The maximum attempts to send a call. The pauses between them add up to a quarter of a second.
const TRIES: u32 = 8;

/// How long a connection for redirections stays open.
const LIFE: Duration = Duration::from_secs(60);

/// A cluster, with the addresses of some nodes.
pub(super) struct Cluster {
    client: ClusterClient,
    redirected: Arc<Redirected>,
}

/// A connection to all primaries of a cluster.
#[derive(Clone)]
pub(super) struct ClusterConnection {
    connection: cluster_async::ClusterConnection,
    redirected: Arc<Redirected>,
}

/// Connections to nodes that redirections name. Each is closed after a minute.
///
/// After `ASK`, the driver sends `ASKING` on the connection that all calls share, waits for the
/// reply, and then sends the command. Under load, another command gets in between, and the node
/// refuses the redirected one. So this type sends both commands together.
///
/// After `MOVED`, the driver refreshes its slots, but from any node, whose slots may be outdated.
/// So this type sends the command to the named node.
struct Redirected {
    node: ConnectionInfo,
    tls: Tls,
    config: ConnectionManagerConfig,
    managers: Mutex<HashMap<(String, u16), ConnectionManager>>,
}

impl Cluster {
    pub(super) fn new(
        nodes: Vec<ConnectionInfo>,
        tls: &Tls,
        limit: Duration,
        config: ConnectionManagerConfig,
    ) -> RedisResult<Self> {
        let node = nodes[0].clone().set_tcp_settings(tcp_settings(limit));
        // After a failover, the driver connects to all nodes twice within one call. A node that is
        // gone must not use up the call's time.
        let connection_timeout = limit / 3;
        let config = config.set_connection_timeout(Some(connection_timeout));
        let builder = ClusterClientBuilder::new(nodes)
            .tcp_settings(tcp_settings(limit))
            .connection_timeout(connection_timeout)
            // The driver notices a silent node only if its own limit is shorter than the call's.
            .response_timeout(limit * 3 / 4)
            .overall_response_timeout(None)
            .retries(0);
        let client = tls.cluster(builder).build()?;
        let (tls, managers) = (tls.clone(), Mutex::default());
        Ok(Self { client, redirected: Arc::new(Redirected { node, tls, config, managers }) })
    }

    pub(super) async fn open(&self) -> RedisResult<ClusterConnection> {
        let connection = self.client.get_async_connection().await?;
        Ok(ClusterConnection { connection, redirected: Arc::clone(&self.redirected) })
    }
}

impl ClusterConnection {
    /// Sends a command to the primary that has its key. Repeats it while the slot migrates or the
    /// primary fails over. If the primary has not loaded `script`, sends its source.
    pub(super) async fn send(&self, command: &Cmd, script: Option<&Script>) -> RedisResult<Value> {
        let mut connection = self.connection.clone();
        let (mut with_source, mut tries) = (None, 0);
        loop {
            let command = with_source.as_ref().unwrap_or(command);
            let mut reply = command.query_async(&mut connection).await;
            if let Err(error) = &reply
                && let Some(address) = self.redirection(error).await
            {
                let is_ask = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
                reply = self.redirected.send(address, is_ask, command).await;
            }
            let Err(error) = reply else {
                return reply;
            };
            if is_unknown_script(&error)
                && let (Some(script), None) = (script, &with_source)
            {
                with_source = Some(script.load_by(command));
                continue;
            }
            tries += 1;
            if tries == TRIES || !is_passing(&error) {
                return Err(error);
            }
            sleep(Duration::from_millis(1 << tries)).await;
        }
    }

    /// Returns the host and port that a redirection names.
    async fn redirection(&self, error: &RedisError) -> Option<(String, u16)> {
        let (address, slot) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        match host.trim_start_matches('[').trim_end_matches(']') {
            // Without a host, the host is that of the node that replied.
            "" => Some((self.host(slot).await?, port)),
            host => Some((host.to_owned(), port)),
        }
    }

    /// Returns the host of the primary that has a slot.
    async fn host(&self, slot: u16) -> Option<String> {
        let route = Route::with_slot(Slot::new(slot)?, SlotAddr::Master);
        // The reply to a command for several slots names each node.
        let slots = (vec![(route, Vec::new())], MultiSlotArgPattern::KeysOnly);
        let slots = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::MultiSlot(slots), None));
        let mut connection = self.connection.clone();
        let Value::Map(replies) = connection.route_command(redis::cmd("PING"), slots).await.ok()?
        else {
            return None;
        };
        let (address, _) = replies.into_iter().next()?;
        let address: String = redis::from_redis_value(address).ok()?;
        address.rsplit_once(':').map(|(host, _)| host.to_owned())
    }

    /// Sends a command to each primary and returns the results, which may be server errors.
    pub(super) async fn try_all(mut self, command: Cmd) -> RedisResult<Vec<Value>> {
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        match self.connection.route_command(command, all).await? {
            Value::Map(replies) => Ok(replies.into_iter().map(|(_, reply)| reply).collect()),
            reply => Ok(vec![reply]),
        }
    }
}

impl Redirected {
    /// Sends a command to the node at `address`, which may still be importing the command's slot.
    async fn send(
        self: &Arc<Self>,
        address: (String, u16),
        is_importing: bool,
        command: &Cmd,
    ) -> RedisResult<Value> {
        let mut manager = self.manager(address)?;
        if !is_importing {
            return command.query_async(&mut manager).await;
        }
        let mut commands = Pipeline::new();
        commands.cmd("ASKING").ignore();
        // The error of a pipeline would hide the server's own.
        commands.add_command(command.clone()).ignore_errors();
        let replies: Vec<Value> = commands.query_async(&mut manager).await?;
        match replies.into_iter().next_back() {
            Some(Value::ServerError(error)) => Err(error.into()),
            reply => Ok(reply.unwrap_or(Value::Nil)),
        }
    }

    fn manager(self: &Arc<Self>, address: (String, u16)) -> RedisResult<ConnectionManager> {
        let mut managers = self.managers();
        if let Some(manager) = managers.get(&address) {
            return Ok(manager.clone());
        }
        let (host, port) = address.clone();
        let node = match self.node.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let client = self.tls.server(self.node.clone().set_addr(node))?;
        let manager = ConnectionManager::new_lazy_with_config(client, self.config.clone())?;
        managers.insert(address.clone(), manager.clone());
        drop(managers);
        let redirected = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(LIFE).await;
            if let Some(redirected) = redirected.upgrade() {
                let old = redirected.managers().remove(&address);
                // Closing the connection takes other locks, so the map is not locked here.
                drop(old);
            }
        });
        Ok(manager)
    }

    fn managers(&self) -> MutexGuard<'_, HashMap<(String, u16), ConnectionManager>> {
        self.managers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether the call may succeed later. After such an error, the driver refreshes the slots
/// or reconnects, or the [`Link`](super::link::Link) does.
fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match error.kind() {
        ErrorKind::Server(
            Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain,
        )
        | ErrorKind::ClusterConnectionNotFound => true,
        _ => error.is_io_error(),
    }
}
