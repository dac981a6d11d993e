use std::{ops::Deref, slice, sync::Arc};

use super::{Delivery, Event, EventsError, ExtractError};
use crate::claim::Claim;

/// The stored status of events that were completed one by one.
pub(crate) const COMPLETED: u16 = 204;

/// The events of a delivery that are left to do, in the sender's order, for a handler that works
/// event by event.
///
/// The handler marks each event [done](Event::done), and ends with an error if one fails. If it
/// then responds with 2xx although events are not done, the response becomes 500 and the sender
/// retries, so a forgotten event is not lost. A delivery that contains a single event needs no
/// mark: a 2xx completes it while its lease is held. (One event that is left of several needs its
/// mark.) Events without a [claim](Event::claim) need none either: the response stands.
///
/// A handler that succeeds or fails as a whole takes a [`Batch`]. So does one that hands the events
/// to a background task and responds before they are done: finishing them is then its
/// responsibility.
///
/// ```
/// # use webhook_verify::{Verifier, scheme};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop { if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) { return output } }
/// # }
/// # block_on(async {
/// # let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// # let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
/// # let delivery = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":52}]}"#)?;
/// # let mut deleted = Vec::new();
/// for event in &delivery.events()? {
///     if event.matches("mautic.lead_post_delete") {
///         let lead: serde_json::Value = event.data()?;
///         deleted.push(lead["id"].clone());
///     }
///     event.done().await;
/// }
/// # assert_eq!(deleted, [52]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Events(Batch);

/// The events of a delivery that are left to do, in the sender's order, for a handler that succeeds
/// or fails as a whole.
///
/// A 2xx completes all of them, and any other status releases them. To look at the events of a
/// delivery without a say in how they are settled, take a batch.
#[derive(Clone, Debug)]
#[must_use]
pub struct Batch(Arc<[Event]>);

impl Delivery {
    /// Returns the delivery's events, for a handler that marks each of them
    /// [done](Event::done). From now on the handler's status does not decide about the events that
    /// it did not mark, unless the delivery contains a single event: see [`Events`].
    ///
    /// Behind a [receiver](crate::Receiver) with idempotency, these are the events that are left to
    /// do: not those that are completed, in progress elsewhere or
    /// [filtered out](crate::ReceiverBuilder::only).
    ///
    /// # Errors
    ///
    /// The errors of [`batch`](Self::batch).
    pub fn events(&self) -> Result<Events, EventsError> {
        let batch = self.batch()?;
        batch.iter().filter_map(Event::claim).for_each(Claim::set_by_event);
        Ok(Events(batch))
    }

    /// Returns the same events as [`events`](Self::events), for handlers that succeed or fail as a
    /// whole.
    ///
    /// Some senders of lists also send requests without a list, such as HubSpot's workflows. The
    /// body is then empty, or an object without the list. Such a request is one event, and its
    /// bytes are the body.
    ///
    /// ```
    /// # use webhook_verify::{Verifier, scheme};
    /// # let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
    /// # let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
    /// let delivery = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":52}]}"#)?;
    /// let batch = delivery.batch()?;
    /// assert_eq!(batch.len(), 1);
    /// assert_eq!(batch[0].event_type().as_deref(), Some("mautic.lead_post_delete"));
    /// assert_eq!(batch[0].raw(), r#"{"id":52}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventsError`] if the body is not what the scheme defines, or has more events than
    /// [`max_events`](crate::VerifierBuilder::max_events).
    pub fn batch(&self) -> Result<Batch, EventsError> {
        Ok(Batch(match &self.events {
            Some(events) => Arc::clone(events),
            None => self.split()?.into(),
        }))
    }
}

/// A part of a verified delivery that a handler can take: the whole [`Delivery`], its [`Events`],
/// its
/// [`Batch`] or its only [`Event`].
pub trait FromDelivery: Sized {
    /// Takes it out of the delivery.
    ///
    /// # Errors
    ///
    /// [`ExtractError::Events`] or [`ExtractError::NotOneEvent`].
    fn from_delivery(delivery: &Delivery) -> Result<Self, ExtractError>;
}

impl FromDelivery for Delivery {
    fn from_delivery(delivery: &Delivery) -> Result<Self, ExtractError> {
        Ok(delivery.clone())
    }
}

impl FromDelivery for Events {
    fn from_delivery(delivery: &Delivery) -> Result<Self, ExtractError> {
        Ok(delivery.events()?)
    }
}

impl FromDelivery for Batch {
    fn from_delivery(delivery: &Delivery) -> Result<Self, ExtractError> {
        Ok(delivery.batch()?)
    }
}

impl FromDelivery for Event {
    fn from_delivery(delivery: &Delivery) -> Result<Self, ExtractError> {
        delivery.event()
    }
}

impl Events {
    /// Returns the number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an iterator over the events that are still left when their turn comes: it skips
    /// those that were marked [done](Event::done) and those whose claim was [lost](Claim::lost)
    /// before they began.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }
}

impl Deref for Batch {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.0
    }
}

/// An iterator over the events that are left to do. See [`Events::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, Event>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Event;

    fn next(&mut self) -> Option<&'a Event> {
        self.0.find(|event| event.claim.as_ref().is_none_or(Claim::is_left))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.0.len()))
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Event;
    type IntoIter = slice::Iter<'a, Event>;

    fn into_iter(self) -> slice::Iter<'a, Event> {
        self.0.iter()
    }
}

impl Event {
    /// Marks the event done, whatever happens to those after it.
    ///
    /// If each event of the delivery has a [claim](Self::claim), this completes the event's claim
    /// in the store. If the handler fails later, or its process dies, a retry resumes with the
    /// events that were not done, even if the sender regroups them. The claims of events that are
    /// not done when the handler ends are released.
    ///
    /// The store is called when the handler ends in three cases: the event is the only one that is
    /// left of its delivery (its claim then stores the handler's status, for duplicates), an open
    /// transaction of the handler completes the claim, or this future is dropped. Without a claim
    /// this does nothing.
    pub async fn done(&self) {
        let Some(claim) = &self.claim else { return };
        // An open transaction blocks the store's own call, and completes the claim if it is
        // committed.
        if claim.set_done() && !claim.is_alone() {
            claim.complete(COMPLETED).await;
        }
    }
}
