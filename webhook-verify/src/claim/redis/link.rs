use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    Client, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout;

use super::script::Script;
use crate::claim::{StoreError, limiter::Limiter};

/// How many time limits a connection may be silent before it is replaced. A lower number would
/// break the order of calls at every short stall: a claim without a response is followed by its
/// release, which should reach the server on the same connection.
const SILENT: u32 = 5;

/// How many claims are sent at a time: enough to fill the connection, and few enough that
/// completions, releases and renewals do not queue behind thousands.
const SLOTS: usize = 256;

/// The connection to the server, which all calls share and which is replaced when it fails.
///
/// The connection manager reconnects after a connection has ended. It does not notice:
///
/// * a peer that is silent without ending the connection, such as a machine that left the network;
/// * a primary that has become a replica;
/// * a server that refuses the login for a while.
///
/// In those cases this type opens a new connection, after it has resolved the name again.
pub(super) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    limit: Duration,
    current: Mutex<Current>,
    pub(super) limiter: Arc<Limiter>,
}

struct Current {
    manager: ConnectionManager,
    /// Distinguishes this connection from earlier ones.
    number: u64,
    since: Instant,
    /// When the first call began that has no response yet, if none has returned since.
    waiting_since: Option<Instant>,
}

impl Link {
    /// Creates a link that connects at the first call. Each call takes at most `limit`.
    pub(super) fn new(client: Client, limit: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None)
            // It is better to refuse deliveries at once than to keep them waiting: each call
            // reconnects.
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(1000);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self {
            client,
            config,
            limit,
            limiter: Limiter::new(SLOTS),
            current: Mutex::new(Current {
                manager,
                number: 0,
                since: Instant::now(),
                waiting_since: None,
            }),
        })
    }

    /// Sends the commands in one round trip and returns their results, none of which is an error.
    ///
    /// If the connection has ended, the commands are sent once more, so each must be harmless when
    /// repeated. If the server has not loaded `script`, it is loaded first.
    pub(super) async fn send(
        &self,
        commands: &Pipeline,
        script: Option<&Script>,
    ) -> Result<Vec<Value>, StoreError> {
        let (mut manager, number) = self.begin();
        let sent = timeout(self.limit, send(commands, script, &mut manager)).await;
        let Ok(result) = sent else {
            return Err(StoreError::new(format!(
                "redis: no answer within {} ms",
                self.limit.as_millis()
            )));
        };
        self.end(number, result.as_ref().err());
        result.map_err(StoreError::new)
    }

    /// Returns the connection for a call that begins now.
    fn begin(&self) -> (ConnectionManager, u64) {
        let mut current = self.lock();
        let now = Instant::now();
        let waiting_since = *current.waiting_since.get_or_insert(now);
        let silent = now.duration_since(waiting_since) > self.limit * SILENT;
        let old = silent.then(|| self.renew(&mut current)).flatten();
        let connection = (current.manager.clone(), current.number);
        drop(current);
        // Closing the connection takes locks of its own, so release this one first.
        drop(old);
        connection
    }

    /// Records the result of a call on connection `number`.
    fn end(&self, number: u64, error: Option<&RedisError>) {
        let mut current = self.lock();
        if current.number != number {
            return;
        }
        current.waiting_since = None;
        // The manager reconnects after I/O errors. Other errors come from the server, and a new
        // connection may or may not help. So open one at most once per limit.
        let renew =
            error.is_some_and(|error| !error.is_io_error()) && current.since.elapsed() > self.limit;
        let old = renew.then(|| self.renew(&mut current)).flatten();
        drop(current);
        drop(old);
    }

    fn renew(&self, current: &mut Current) -> Option<ConnectionManager> {
        let manager =
            ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone())
                .ok()?;
        let now = Instant::now();
        current.number += 1;
        current.since = now;
        current.waiting_since = Some(now);
        Some(mem::replace(&mut current.manager, manager))
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(
    commands: &Pipeline,
    script: Option<&Script>,
    manager: &mut ConnectionManager,
) -> RedisResult<Vec<Value>> {
    let (mut unknown, mut lost) = (script, true);
    loop {
        let error = match commands.query_async(manager).await {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
            && let Some(script) = unknown.take()
        {
            script.load().exec_async(manager).await?;
        } else if error.is_io_error() && mem::take(&mut lost) {
            // The manager is already reconnecting, and the next call waits for that.
        } else {
            return Err(error);
        }
    }
}
