//! Connects to a server, to a cluster, or to the master that Sentinels report.

use std::{
    fmt, mem,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::try_join_all;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline,
    RedisError, RedisResult, ServerErrorKind, TlsMode, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

use super::{
    cluster::{Cluster, ClusterConnection},
    link::SILENT,
    script::Script,
    tls::Tls,
};
use crate::{claim::StoreError, error::ConfigError};

/// The addresses that the user passed.
#[derive(Clone)]
pub(super) enum Address {
    Server(String),
    Cluster(Vec<String>),
    Sentinel { master: String, sentinels: Vec<String> },
}

pub(super) struct Target {
    client: Kind,
    config: ConnectionManagerConfig,
    /// The address for errors, without credentials.
    name: String,
}

enum Kind {
    Server(Client),
    Cluster(Cluster),
    Sentinel(Sentinels),
}

#[derive(Clone)]
pub(super) enum Connection {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Target {
    /// Parses the addresses. Each call takes at most `limit`.
    pub(super) fn new(address: &Address, tls: &Tls, limit: Duration) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None)
            // It is better to refuse deliveries at once than to keep them waiting: each call
            // reconnects.
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(1000);
        let (kind, name) = match address {
            Address::Server(url) => {
                let info = parse("url", url, tls)?;
                let name = format!("redis at {}", info.addr());
                let info = info.set_tcp_settings(tcp_settings(limit));
                (tls.server(info).map(Kind::Server), name)
            }
            Address::Cluster(urls) => {
                let nodes = parse_all("urls", urls, tls)?;
                let name = format!("redis cluster at {}", names(&nodes));
                let cluster = Cluster::new(nodes, tls, limit, config.clone());
                (cluster.map(Kind::Cluster), name)
            }
            Address::Sentinel { master, sentinels } => {
                let master = parse("master", master, tls)?;
                let sentinels = parse_all("sentinels", sentinels, tls)?;
                if sentinels[0].redis_settings().db() != 0 {
                    let reason = "set the database in the URL of the master instead";
                    return Err(StoreError::new(ConfigError::option("sentinels", reason)));
                }
                let sentinels = Sentinels::new(master, sentinels, tls.clone(), limit)?;
                let name = format!(
                    "redis master {} of the sentinels at {}",
                    sentinels.name,
                    names(&sentinels.servers)
                );
                (sentinels.client().map(|_| Kind::Sentinel(sentinels)), name)
            }
        };
        Ok(Self { client: kind.map_err(StoreError::new)?, config, name })
    }

    /// Opens a connection. A connection to a single server connects at its first call.
    pub(super) async fn open(&self) -> RedisResult<Connection> {
        let client = match &self.client {
            Kind::Server(client) => client.clone(),
            Kind::Sentinel(sentinels) => sentinels.client()?.async_get_client().await?,
            Kind::Cluster(cluster) => return cluster.open().await.map(Connection::Cluster),
        };
        let config = self.config.clone();
        ConnectionManager::new_lazy_with_config(client, config).map(Connection::Server)
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.client, Kind::Cluster(_))
    }

    /// Returns whether Sentinels may replace the connected server with another one.
    pub(super) fn has_sentinels(&self) -> bool {
        matches!(self.client, Kind::Sentinel(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Connection {
    /// Sends the commands in one round trip and returns their results, none of which is an error.
    /// In a cluster, each command goes to the primary that has its key.
    ///
    /// If a server has not loaded `script`, sends its source. If the connection has ended, sends
    /// the commands once more, so repeating them must be harmless.
    pub(super) async fn send(
        self,
        commands: &Pipeline,
        script: Option<&Script>,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(manager) => send(manager, commands, script).await,
            Self::Cluster(cluster) => {
                try_join_all(commands.cmd_iter().map(|call| cluster.send(call, script))).await
            }
        }
    }

    /// Sends the commands and returns their results, which may be server errors.
    pub(super) async fn try_each(self, mut commands: Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(mut manager) => {
                commands.ignore_errors();
                commands.query_async(&mut manager).await
            }
            Self::Cluster(cluster) => {
                let calls = commands.cmd_iter().map(async |call| {
                    let reply = cluster.send(call, None).await;
                    reply.or_else(|error| error.try_into().map(Value::ServerError))
                });
                try_join_all(calls).await
            }
        }
    }

    /// Sends a command to the server, or to each primary of the cluster. Returns the results, which
    /// may be server errors.
    pub(super) async fn try_all(self, command: Cmd) -> RedisResult<Vec<Value>> {
        if let Self::Cluster(cluster) = self {
            return cluster.try_all(command).await;
        }
        let mut commands = Pipeline::new();
        commands.add_command(command);
        self.try_each(commands).await
    }
}

async fn send(
    mut manager: ConnectionManager,
    commands: &Pipeline,
    script: Option<&Script>,
) -> RedisResult<Vec<Value>> {
    let (mut unknown, mut lost) = (script, true);
    let mut with_source = None;
    loop {
        let commands = with_source.as_ref().unwrap_or(commands);
        let error = match commands.query_async(&mut manager).await {
            Ok(replies) => return Ok(replies),
            Err(error) => error,
        };
        if is_unknown_script(&error)
            && let Some(script) = unknown.take()
        {
            with_source = Some(script.load_with(commands));
        } else if error.is_io_error() && mem::take(&mut lost) {
            // The manager is already reconnecting, and the next call waits for that.
        } else {
            return Err(error);
        }
    }
}

pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// The Sentinels that know the current master.
struct Sentinels {
    servers: Vec<ConnectionInfo>,
    master: ConnectionInfo,
    /// The master's name, which replaces the host in its URL.
    name: String,
    tls: Tls,
    /// The number of lookups of the master so far.
    lookups: AtomicUsize,
}

impl Sentinels {
    fn new(
        master: ConnectionInfo,
        servers: Vec<ConnectionInfo>,
        tls: Tls,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) =
            master.addr()
        else {
            return Err(StoreError::new(ConfigError::option("master", "a socket has no name")));
        };
        let name = name.clone();
        let master = master.set_tcp_settings(tcp_settings(limit));
        Ok(Self { servers, master, name, tls, lookups: AtomicUsize::new(0) })
    }

    /// Returns a client that asks the Sentinels for the master. Each client begins with another
    /// Sentinel, because one that does not respond can use up a call's time.
    fn client(&self) -> RedisResult<SentinelClient> {
        let first = self.lookups.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let (before, after) = self.servers.split_at(first);
        let servers = after.iter().chain(before).map(|server| server.addr().clone());
        let role = SentinelServerType::Master;
        let mut builder = self.tls.sentinel(SentinelClientBuilder::new(servers, &self.name, role)?);
        let login = self.servers[0].redis_settings();
        if let Some(username) = login.username() {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        let login = self.master.redis_settings();
        if let Some(username) = login.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        match self.master.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Insecure);
            }
            ConnectionAddr::TcpTls { .. } => {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
            _ => {}
        }
        builder
            .set_client_to_redis_db(login.db())
            .set_client_to_redis_protocol(login.protocol())
            .set_client_to_redis_tcp_settings(self.master.tcp_settings().clone())
            .build()
    }
}

/// Parses URLs, which may differ only in host and port: the driver takes the rest from the first.
fn parse_all(
    option: &'static str,
    urls: &[String],
    tls: &Tls,
) -> Result<Vec<ConnectionInfo>, StoreError> {
    let refuse = |reason: String| Err(StoreError::new(ConfigError::option(option, reason)));
    let infos =
        urls.iter().map(|url| parse(option, url, tls)).collect::<Result<Vec<_>, StoreError>>()?;
    let Some((first, others)) = infos.split_first() else {
        return refuse("none given".to_owned());
    };
    match others.iter().find_map(|other| difference(first, other)) {
        Some(part) => refuse(format!("all URLs must have the same {part}")),
        None => Ok(infos),
    }
}

/// Returns a part in which two addresses differ, other than host and port.
fn difference(one: &ConnectionInfo, other: &ConnectionInfo) -> Option<&'static str> {
    // `None` without TLS; otherwise, whether the server's certificate is checked.
    let tls = |info: &ConnectionInfo| match info.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => Some(!insecure),
        _ => None,
    };
    let (settings, of_other) = (one.redis_settings(), other.redis_settings());
    [
        ("user", settings.username() != of_other.username()),
        ("password", settings.password() != of_other.password()),
        ("database", settings.db() != of_other.db()),
        ("protocol", settings.protocol() != of_other.protocol()),
        ("TLS mode", tls(one) != tls(other)),
    ]
    .into_iter()
    .find_map(|(part, is_different)| is_different.then_some(part))
}

/// Parses a URL. Errors do not contain the URL, because it may contain a password.
fn parse(option: &'static str, url: &str, tls: &Tls) -> Result<ConnectionInfo, StoreError> {
    let refuse = |reason: String| StoreError::new(ConfigError::option(option, reason));
    let info = url.into_connection_info().map_err(|error| refuse(error.to_string()))?;
    match info.addr() {
        ConnectionAddr::TcpTls { .. } => Tls::choose_provider(),
        _ if tls.is_set() => return Err(refuse("certificates need rediss://".to_owned())),
        _ => {}
    }
    Ok(info)
}

/// Returns TCP options: no delay for small packets, and a time limit for data that the server does
/// not acknowledge.
pub(super) fn tcp_settings(limit: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(limit.saturating_mul(SILENT));
    #[cfg(not(target_os = "linux"))]
    let _ = limit;
    settings
}

fn names(servers: &[ConnectionInfo]) -> String {
    let names: Vec<_> = servers.iter().map(|server| server.addr().to_string()).collect();
    names.join(", ")
}
