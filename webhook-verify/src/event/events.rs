use std::{ops::Deref, vec};

use super::Event;
use crate::{Timer, idempotency::Progress};

/// What a duplicate of a delivery is answered whose events were completed one by one.
const COMPLETED: u16 = 204;

/// The events of a delivery that are left to do, in the sender's order.
#[derive(Clone, Debug)]
#[must_use]
pub struct Events(pub(super) Vec<Event>);

impl Events {
    /// Handles them one by one, and stops at the first that fails.
    ///
    /// Where deliveries are deduplicated, each event of a batch is completed in the store before the next one begins. So when
    /// the handler fails, or its process dies, a retry goes on with the first event that was not done, also if its sender
    /// has put the events together in another way meanwhile. For that, answer anything but success when this is an error:
    /// `?` will do. (A receiver answers 500 in place of a success that leaves events undone.)
    ///
    /// Events whose claim was [lost](crate::Claim::lost) before they began are left to whoever has it now.
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
    /// let mut deleted = Vec::new();
    /// delivery.events()?.each(async |event| {
    ///     if event.matches("mautic.lead_post_delete") {
    ///         let lead: serde_json::Value = event.data()?;
    ///         deleted.push(lead["id"].clone());
    ///     }
    ///     Ok::<_, webhook_verify::ExtractError>(())
    /// }, timer).await?;
    /// assert_eq!(deleted, [52]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// That of `handle`.
    pub async fn each<E>(
        self,
        mut handle: impl AsyncFnMut(Event) -> Result<(), E>,
        timer: impl Timer,
    ) -> Result<(), E> {
        for event in &self.0 {
            event.set_progress(Progress::Undone);
        }
        for event in self.0 {
            let claim = event.claim.clone();
            if claim.as_ref().is_some_and(|claim| claim.is_lost()) {
                continue;
            }
            let one_of_several = event.scheme.sends_batches();
            handle(event.clone()).await?;
            match claim {
                Some(claim) if one_of_several => claim.settle(Some(COMPLETED), &timer).await,
                // The delivery's own, which is settled by what the handler answers.
                _ => event.set_progress(Progress::Whole),
            }
        }
        Ok(())
    }
}

impl Event {
    fn set_progress(&self, progress: Progress) {
        if let Some(claim) = &self.claim {
            claim.set_progress(progress);
        }
    }
}

impl Deref for Events {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.0
    }
}

impl IntoIterator for Events {
    type Item = Event;
    type IntoIter = vec::IntoIter<Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
