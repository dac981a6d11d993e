use std::{slice, sync::Arc};

use super::Event;
use crate::{claim::Claim, timer::Timer};

/// What a duplicate of a delivery is answered whose events were completed one by one.
pub(crate) const COMPLETED: u16 = 204;

/// The events of a delivery that are left to do, in the sender's order.
///
/// A handler takes them one by one, and says of each that it is [done](Event::done). It ends with an error where one fails; `?`
/// will do. Whoever takes events so and answers success, although some are not done, is answered for with 500, so that they are not
/// lost. (That is told by the events' claims: where they have [none](Event::claim), the answer stands.) A handler that does all of
/// them or nothing, decided by its answer, looks at them [as a slice](Self::as_slice). So is one that gives them to a task and
/// answers before: its success is a promise, and what is said after it is not heard.
///
/// ```
/// # use webhook_verify::{Verifier, scheme};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop { if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) { return output } }
/// # }
/// # block_on(async {
/// # let timer = |_| std::future::pending::<()>();
/// # let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// # let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
/// # let delivery = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":52}]}"#)?;
/// # let mut deleted = Vec::new();
/// for event in &delivery.events()? {
///     if event.matches("mautic.lead_post_delete") {
///         let lead: serde_json::Value = event.data()?;
///         deleted.push(lead["id"].clone());
///     }
///     event.done(timer).await;
/// }
/// # assert_eq!(deleted, [52]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Events(Arc<[Event]>);

impl Events {
    pub(super) fn new(events: Arc<[Event]>) -> Self {
        Self(events)
    }

    /// All of them, as they were left to do when the delivery came. The handler's answer decides of them as a whole.
    pub fn as_slice(&self) -> &[Event] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are still left to do when it is their turn: not those that are [done](Event::done) meanwhile, nor those
    /// whose claim was [lost](Claim::lost) before they began, which are another's by then.
    ///
    /// Whoever calls this takes the events one by one, and has to say what is done; to look at them there is
    /// [`as_slice`](Self::as_slice).
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let claims = self.0.iter().filter_map(|event| event.claim.as_ref());
        claims.for_each(Claim::set_taken);
        Iter(self.0.iter())
    }
}

/// The events that are left to do: see [`Events::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, Event>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Event;

    fn next(&mut self) -> Option<&'a Event> {
        let is_left = |event: &&Event| event.claim.as_ref().is_none_or(Claim::is_left);
        self.0.find(is_left)
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

impl Event {
    /// Says that the event is done, whatever becomes of those after it.
    ///
    /// Where each event of a delivery has a [claim](Self::claim) of its own, that one is completed in the store. So when the
    /// handler fails later, or its process dies, a retry goes on with the events that were not done, also if its sender has put
    /// them together in another way meanwhile. Those that are not done when the handler ends are released.
    ///
    /// The store is told when the handler ends, if the event is the only one that is left of its delivery (with the handler's
    /// status, so that duplicates are answered it), if a transaction of the handler's completes the claim and is not committed
    /// yet, or if this future is dropped. Without a claim there is nothing to tell.
    pub async fn done(&self, timer: impl Timer) {
        let Some(claim) = &self.claim else { return };
        // A transaction that is open holds the store's own call up, and completes the claim if it is committed.
        if claim.set_done() && !claim.is_alone() && !claim.is_open() {
            claim.complete(COMPLETED, &timer).await;
        }
    }
}
