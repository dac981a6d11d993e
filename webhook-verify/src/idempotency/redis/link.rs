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
use crate::{StoreError, idempotency::limiter::Limiter};

/// For how many time limits a connection may be silent before another one takes its place. Less would
/// lose the order of calls with every short stall: a claim that got no answer is followed by its
/// release, and should be on the server, too.
const SILENT: u32 = 2;

/// How many claims are on their way at a time: enough to fill the connection, and few enough for what
/// settles a claim not to queue behind thousands.
const SLOTS: usize = 256;

/// The way to the server: one connection, shared by all calls, that comes back by itself.
///
/// The connection manager connects again after a connection has ended. What it does not see is done here: a peer that is
/// silent without the connection ending (a machine gone from the network), a primary that has become a replica, and a
/// server that refuses the login for a while. There a new connection is made, to wherever the name resolves to by then.
pub(super) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    limit: Duration,
    current: Mutex<Current>,
    pub(super) limiter: Arc<Limiter>,
}

struct Current {
    manager: ConnectionManager,
    /// Tells this connection from those before it.
    number: u64,
    since: Instant,
    /// The first call that was not answered, if none was answered since.
    waiting_since: Option<Instant>,
}

impl Link {
    /// Connects at the first call. Each call takes at most `limit`.
    pub(super) fn new(client: Client, limit: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None)
            // Deliveries are better refused at once than kept waiting: each call tries anew.
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

    /// Sends the commands in one round trip, and gives their answers, of which none is an error.
    ///
    /// If the connection turns out to have ended, they are sent once more, so each must be harmless when repeated. If the
    /// server does not know `script`, it is told.
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

    /// The connection to use for a call that begins now.
    fn begin(&self) -> (ConnectionManager, u64) {
        let mut current = self.lock();
        let now = Instant::now();
        let waiting_since = *current.waiting_since.get_or_insert(now);
        let silent = now.duration_since(waiting_since) > self.limit * SILENT;
        let old = silent.then(|| self.renew(&mut current)).flatten();
        let begun = (current.manager.clone(), current.number);
        drop(current);
        // Closing it takes locks of its own.
        drop(old);
        begun
    }

    /// Takes note of what a call of connection `number` came to.
    fn end(&self, number: u64, error: Option<&RedisError>) {
        let mut current = self.lock();
        if current.number != number {
            return;
        }
        current.waiting_since = None;
        // The manager renews the connection after errors of I/O. Others are the server's, and of most it is unknown
        // whether a new connection would help: so there is one now and then.
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
            // The manager is connecting again by now, and the next call waits for that.
        } else {
            return Err(error);
        }
    }
}
