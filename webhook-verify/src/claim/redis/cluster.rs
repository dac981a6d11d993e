//! Sends calls to a Redis Cluster.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo},
};
use tokio::time::sleep;

use super::{
    script::Script,
    target::{is_unknown_script, tcp_settings},
    tls::Tls,
};

/// The maximum attempts to send a call. The pauses between them add up to a quarter of a second.
const TRIES: u32 = 8;

/// A cluster, with the addresses of some nodes.
pub(super) struct Cluster {
    client: ClusterClient,
    asked: Arc<Asked>,
}

/// A connection to all primaries of a cluster.
#[derive(Clone)]
pub(super) struct ClusterConnection {
    connection: cluster_async::ClusterConnection,
    asked: Arc<Asked>,
}

/// Connections to nodes that are importing slots.
///
/// The driver sends `ASKING` on the connection that all calls share, waits for the reply, and then
/// sends the command. Under load, another command gets in between, and the node refuses the first
/// one. So this type sends both commands together.
struct Asked {
    node: ConnectionInfo,
    tls: Tls,
    config: ConnectionManagerConfig,
    managers: Mutex<HashMap<String, ConnectionManager>>,
}

impl Cluster {
    pub(super) fn new(
        nodes: Vec<ConnectionInfo>,
        tls: &Tls,
        limit: Duration,
        config: ConnectionManagerConfig,
    ) -> RedisResult<Self> {
        let node = nodes[0].clone().set_tcp_settings(tcp_settings(limit));
        let builder = ClusterClientBuilder::new(nodes)
            .tcp_settings(tcp_settings(limit))
            // After a failover, the driver connects to all nodes twice within one call. A node that
            // is gone must not use up the call's time.
            .connection_timeout(limit / 3)
            // The driver notices a silent node only if its own limit is shorter than the call's.
            .response_timeout(limit * 3 / 4)
            .overall_response_timeout(None)
            .retries(0);
        let client = tls.cluster(builder).build()?;
        let (tls, managers) = (tls.clone(), Mutex::default());
        Ok(Self { client, asked: Arc::new(Asked { node, tls, config, managers }) })
    }

    pub(super) async fn open(&self) -> RedisResult<ClusterConnection> {
        let connection = self.client.get_async_connection().await?;
        Ok(ClusterConnection { connection, asked: Arc::clone(&self.asked) })
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
                && error.kind() == ErrorKind::Server(ServerErrorKind::Ask)
                && let Some((node, _)) = error.redirect_node()
            {
                reply = self.asked.send(node, command).await;
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

    /// Sends a command to each primary and returns the results, which may be server errors.
    pub(super) async fn try_all(mut self, command: Cmd) -> RedisResult<Vec<Value>> {
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        match self.connection.route_command(command, all).await? {
            Value::Map(replies) => Ok(replies.into_iter().map(|(_, reply)| reply).collect()),
            reply => Ok(vec![reply]),
        }
    }
}

impl Asked {
    /// Sends a command for a slot that this node is importing.
    async fn send(&self, node: &str, command: &Cmd) -> RedisResult<Value> {
        let mut manager = self.manager(node)?;
        let mut commands = Pipeline::new();
        commands.cmd("ASKING").ignore().add_command(command.clone());
        let (reply,) = commands.query_async(&mut manager).await?;
        Ok(reply)
    }

    fn manager(&self, node: &str) -> RedisResult<ConnectionManager> {
        let mut managers = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manager) = managers.get(node) {
            return Ok(manager.clone());
        }
        let address = node.rsplit_once(':').and_then(|(host, port)| {
            let (host, port) = (host.to_owned(), port.parse().ok()?);
            Some(match self.node.addr().clone() {
                ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                    ConnectionAddr::TcpTls { host, port, insecure, tls_params }
                }
                _ => ConnectionAddr::Tcp(host, port),
            })
        });
        let address = address.ok_or((ErrorKind::Parse, "address of a node"))?;
        let client = self.tls.server(self.node.clone().set_addr(address))?;
        let manager = ConnectionManager::new_lazy_with_config(client, self.config.clone())?;
        managers.insert(node.to_owned(), manager.clone());
        Ok(manager)
    }
}

/// Returns whether the call may succeed later. After such an error, the driver refreshes the slots
/// or reconnects.
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
