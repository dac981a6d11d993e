//! Stores the events of a verified delivery.

use std::{sync::Arc, time::Duration};

use super::{Inbox, Inserted, Intake, NewEvent, StoredEvent, TARGET, group::Groups, scoped};
use crate::{
    answer::Answer,
    claim::{ClaimKey, Owner, StoreError, contain},
    clock::{Clock as _, SystemClock},
    delivery::{Delivery, Event},
    error::ConfigError,
    receive::{self, ReceiverBuilder, Rejection, Taking},
    request::RequestHead,
    scheme::Scheme,
    timer::Timer,
    verify::Verifier,
};

/// The status once all events are stored.
const STORED: u16 = 204;

impl ReceiverBuilder {
    /// Stores the events of each delivery in an inbox, and responds with 204 once they are durable.
    /// The receiver needs no handler. The adapters have a route for it: `RouterExt::inbox` on axum,
    /// and `inbox` on actix-web. A handler in a layer or middleware with this receiver never runs.
    ///
    /// A sender's [test payload](crate::Delivery::is_test) is acknowledged and not stored.
    ///
    /// The inbox also recognizes duplicates, so [`idempotency`](Self::idempotency) cannot be set as
    /// well. A receiver has one inbox at most.
    pub fn inbox(self, inbox: &Inbox) -> Self {
        self.intake(Arc::new(inbox.clone()))
    }
}

impl receive::Intake for Inbox {
    fn build(&self, verifier: &Verifier) -> Result<Arc<dyn receive::Intake>, ConfigError> {
        let scheme = verifier.scheme();
        self.check()?;
        if self.ordering.key.is_some() && self.idempotency.joins_events(scheme) {
            let reason = "a delivery of several events has one idempotency key, so it is stored as \
                          one event";
            return Err(ConfigError::option("ordered_by", reason));
        }
        let is_secret = |name: &str| {
            ["authorization", "cookie", "proxy-authorization"].contains(&name)
                || scheme.may_sign_in(name)
        };
        if let Some(name) = self.headers.iter().find(|name| is_secret(name)) {
            let reason = format!("`{name}` may contain a secret or a signature");
            return Err(ConfigError::option("keep_headers", reason));
        }
        let idempotency = self.idempotency.clone().build(verifier)?;
        let groups = Groups::new(Arc::clone(&self.store));
        Ok(Arc::new(Self { idempotency, groups, ..self.clone() }))
    }

    fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    fn kept(&self, head: &RequestHead<'_>, scheme: &Scheme) -> Vec<(String, String)> {
        // Only headers that the request has once, as text.
        let header = |name: &str| Some((name.to_owned(), head.header(name)?.to_owned()));
        let headers = self.headers.iter().filter_map(|name| header(name));
        let target = self.keeps_target.then(|| scheme.without_proof(head.path_and_query()));
        headers.chain(target.map(|target| (TARGET.to_owned(), target))).collect()
    }

    fn take<'a>(
        &'a self,
        delivery: &'a Delivery,
        headers: Vec<(String, String)>,
        timer: &'a Timer,
    ) -> Taking<'a> {
        Box::pin(async move {
            if delivery.is_test() {
                // Its events are samples. A worker could not distinguish them from others.
                let endpoint = &*self.endpoint;
                tracing::info!(target: "webhook_verify", endpoint, "test payload: not stored");
                return Ok(Answer::text(STORED, ""));
            }
            let events = self.events(delivery, headers)?;
            let all = events.len();
            if all == 0 {
                return Ok(Answer::text(STORED, ""));
            }
            let new = self.insert(events, timer).await?;
            self.meter.report_stored(&self.endpoint, new, all - new);
            // A duplicate may be new to the workers, if the reply to an earlier insert was lost.
            self.wake();
            if new == 0 {
                return Ok(Answer::replayed(STORED));
            }
            Ok(Answer::text(STORED, ""))
        })
    }
}

impl Inbox {
    /// Stores the events, and returns how many are new. If the store fails, retries once, without
    /// other deliveries. A retry is harmless, because duplicates change nothing.
    async fn insert(&self, events: Vec<NewEvent>, timer: &Timer) -> Result<usize, StoreError> {
        let intake = Arc::new(Intake {
            endpoint: Arc::clone(&self.endpoint),
            consumers: Arc::clone(&self.consumers),
            events,
            limit: self.timeout,
        });
        let keeper = &self.idempotency.keeper;
        let grouped = self.groups.insert(&intake, timer);
        let inserted = match keeper.answer("insert", grouped, timer, self.timeout).await {
            Err(error) if !error.is_overloaded() => {
                if let Some(suppressed) = keeper.admit_line("not_stored") {
                    tracing::warn!(
                        target: "webhook_verify",
                        endpoint = &*self.endpoint,
                        suppressed,
                        "events not stored at the first attempt: {error:#}"
                    );
                }
                let alone = self.store.insert(&intake);
                keeper.answer("insert", alone, timer, self.timeout).await?
            }
            inserted => inserted?,
        };
        Ok(inserted.iter().filter(|it| **it == Inserted::New).count())
    }

    /// Returns the events to store. A delivery that cannot be split is stored as one event, because
    /// its handler may still use it.
    fn events(
        &self,
        delivery: &Delivery,
        mut headers: Vec<(String, String)>,
    ) -> Result<Vec<NewEvent>, Rejection> {
        if delivery.was_in_form()
            && let Some((_, value)) = headers.iter_mut().find(|(name, _)| name == "content-type")
        {
            "application/json".clone_into(value);
        }
        if let Some(events) = self.idempotency.events_to_claim(delivery)? {
            let requests = self.idempotency.requests(delivery, &events)?;
            let events = events.iter().zip(requests);
            return events
                .map(|(event, request)| {
                    self.of_event(delivery, event, &headers, request.key, request.ttl)
                })
                .collect();
        }
        let batch = delivery.batch().ok();
        if batch.as_ref().is_some_and(|events| events.is_empty()) {
            return Ok(Vec::new());
        }
        if let Some(request) = self.idempotency.request(delivery)? {
            let only = batch.as_ref().filter(|events| events.len() == 1);
            return Ok(vec![match only.and_then(|events| events.iter().next()) {
                Some(event) => {
                    self.of_event(delivery, event, &headers, request.key, request.ttl)?
                }
                None => self.of_delivery(delivery, headers, request.key, request.ttl),
            }]);
        }
        // Nothing distinguishes a duplicate from a new event, so each is new.
        let ttl = Duration::ZERO;
        match batch {
            Some(events) => events
                .iter()
                .map(|event| self.of_event(delivery, event, &headers, random_key()?, ttl))
                .collect(),
            None => Ok(vec![self.of_delivery(delivery, headers, random_key()?, ttl)]),
        }
    }

    fn of_event(
        &self,
        delivery: &Delivery,
        event: &Event,
        headers: &[(String, String)],
        key: ClaimKey,
        ttl: Duration,
    ) -> Result<NewEvent, Rejection> {
        let order_key = self.ordering.key.as_ref();
        let order_key = contain(|| order_key.and_then(|key| key(event)))
            .ok_or(Rejection::CallbackPanicked { callback: "ordered_by" })?;
        let order_key = order_key.map(|key| scoped(delivery.namespace(), &key));
        let position = self.ordering.by_event_time && order_key.is_some();
        let position = position.then(|| event.time().unwrap_or_else(|| SystemClock.now()));
        Ok(NewEvent {
            ttl,
            order_key,
            position: position.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            event: StoredEvent {
                key,
                namespace: delivery.namespace().map(str::to_owned),
                scheme: delivery.scheme().name().to_owned(),
                event_type: event.event_type().map(Into::into),
                id: event.id().map(Into::into),
                time: event.time(),
                data_pointer: delivery.scheme().event_data.as_deref().map(str::to_owned),
                headers: headers.to_vec(),
                body: event.raw().clone(),
            },
        })
    }

    fn of_delivery(
        &self,
        delivery: &Delivery,
        headers: Vec<(String, String)>,
        key: ClaimKey,
        ttl: Duration,
    ) -> NewEvent {
        NewEvent {
            ttl,
            order_key: None,
            position: None,
            event: StoredEvent {
                key,
                namespace: delivery.namespace().map(str::to_owned),
                scheme: delivery.scheme().name().to_owned(),
                event_type: delivery.event_type().map(Into::into),
                id: delivery.id().map(Into::into),
                time: None,
                data_pointer: None,
                headers,
                body: delivery.body().clone(),
            },
        }
    }
}

/// Returns a key that no other event has.
fn random_key() -> Result<ClaimKey, StoreError> {
    let halves = [Owner::random()?, Owner::random()?];
    let mut key = [0; 32];
    for (part, half) in key.chunks_exact_mut(16).zip(&halves) {
        part.copy_from_slice(half.as_bytes());
    }
    Ok(ClaimKey::from(key))
}
