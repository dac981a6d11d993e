use std::{iter, vec};

use super::Event;
use crate::{Claim, Timer, idempotency::Progress};

/// What a duplicate of a delivery is answered whose events were completed one by one.
pub(crate) const COMPLETED: u16 = 204;

/// The events of a delivery that are left to do, in the sender's order: an iterator, and for handlers
/// [`next_event`](Self::next_event).
#[derive(Debug)]
#[must_use]
pub struct Events {
    rest: vec::IntoIter<Event>,
    in_hand: Option<Event>,
    /// Whether there was but one from the start.
    single: bool,
    begun: bool,
}

impl Events {
    pub(super) fn new(events: Vec<Event>) -> Self {
        Self {
            single: events.len() == 1,
            rest: events.into_iter(),
            in_hand: None,
            begun: false,
        }
    }

    /// Those that were not given out yet.
    pub fn as_slice(&self) -> &[Event] {
        self.rest.as_slice()
    }

    /// The next event. To ask for it says that the one before it is done.
    ///
    /// Where deliveries are deduplicated, each of several is completed in the store before the next is given out. So when the
    /// handler fails, or its process dies, a retry goes on with the event that was in hand, also if its sender has put the
    /// events together in another way meanwhile. For that, end with an error where one fails: `?` will do. (Whoever answers
    /// success all the same and leaves events undone is answered for with 500.)
    ///
    /// Events whose claim was [lost](Claim::lost) before they began are left to whoever has it now, and those that are done
    /// are not given out again, whoever asks. A future that is dropped leaves the event in hand; ask again.
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
    /// let mut events = delivery.events()?;
    /// while let Some(event) = events.next_event(timer).await {
    ///     if event.matches("mautic.lead_post_delete") {
    ///         let lead: serde_json::Value = event.data()?;
    ///         deleted.push(lead["id"].clone());
    ///     }
    /// }
    /// # assert_eq!(deleted, [52]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn next_event(&mut self, timer: impl Timer) -> Option<Event> {
        if !self.begun {
            let claims = self.as_slice().iter().filter_map(|it| it.claim.as_ref());
            claims.for_each(Claim::set_undone);
            self.begun = true;
        }
        if let Some(event) = &self.in_hand {
            match &event.claim {
                // What the handler answers will decide, as its duplicates are answered so.
                Some(claim) if self.single => claim.set_progress(Progress::Whole),
                Some(claim) => claim.complete(COMPLETED, &timer).await,
                None => {}
            }
        }
        let is_left = |claim: &Claim| !claim.is_lost() && claim.progress() < Progress::Done;
        let is_left = |event: &Event| event.claim.as_ref().is_none_or(is_left);
        self.in_hand = self.rest.find(is_left);
        self.in_hand.clone()
    }
}

/// The events alone, none of which is said to be done: that is decided by what the handler answers.
impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.rest.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Events {}

impl iter::FusedIterator for Events {}
