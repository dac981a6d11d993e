use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    thread,
};

use super::{
    Event, Events, ExtractError, FromEvent,
    filter::unreadable,
    pattern::{is_malformed, matches_known},
};

type Handling<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;
type Handler<E> = Arc<dyn Fn(&Event) -> Result<Handling<E>, ExtractError> + Send + Sync>;

/// Selects a handler by event type. Each handler takes the event's data in its own type.
///
/// ```
/// use serde::Deserialize;
/// use webhook_verify::{Event, ExtractError, Routes};
///
/// #[derive(Deserialize)]
/// struct Invoice {
///     id: String,
/// }
///
/// async fn paid(invoice: Invoice) -> Result<(), ExtractError> {
///     println!("{} is paid", invoice.id);
///     Ok(())
/// }
///
/// async fn on_customer(event: Event) -> Result<(), ExtractError> {
///     println!("{:?}", event.event_type());
///     Ok(())
/// }
///
/// let routes = Routes::new().on("invoice.paid", paid).on("customer.*", on_customer);
/// ```
///
/// Your framework's handler passes its [`Events`] to [`handle`](Self::handle), whether the sender
/// puts one event into a request or many. On axum and actix-web, use
/// `move |Verified(events)| routes.handle(events)`.
///
/// All handlers return the same error type `E`, which the framework turns into a response:
/// [`ExtractError`], or your own type that implements `From<ExtractError>`. To pass state to a
/// handler, use a closure. Clones share the handlers.
#[must_use]
pub struct Routes<E> {
    by_type: Arc<Vec<(String, Handler<E>)>>,
    otherwise: Option<Handler<E>>,
}

impl<E> Routes<E> {
    /// Creates routes that acknowledge every event.
    pub fn new() -> Self {
        Self { by_type: Arc::default(), otherwise: None }
    }

    /// Adds a handler for events whose type [matches](super::matches()) `pattern`, such as
    /// `customer.*`. The first matching pattern wins.
    ///
    /// The handler takes any type that implements [`FromEvent`]: the event's data, as any type that
    /// serde deserializes, or the [`Event`] itself.
    ///
    /// # Panics
    ///
    /// If the pattern is empty, or has a `*` that is not at its end.
    pub fn on<T, F>(
        mut self,
        pattern: impl Into<String>,
        handler: impl Fn(T) -> F + Send + Sync + 'static,
    ) -> Self
    where
        T: FromEvent,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let pattern = pattern.into();
        assert!(
            !is_malformed(&pattern),
            "{pattern:?} is empty, or has a `*` that is not at its end"
        );
        Arc::make_mut(&mut self.by_type).push((pattern, erase(handler)));
        self
    }

    /// Sets the handler for all other events. Without it, they are acknowledged, with a warning in
    /// the log if they have no type. Most senders send types that a service does not use, and after
    /// an error would retry them or disable the webhook.
    pub fn otherwise<T, F>(mut self, handler: impl Fn(T) -> F + Send + Sync + 'static) -> Self
    where
        T: FromEvent,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.otherwise = Some(erase(handler));
        self
    }

    /// Runs the handler of each event, one after the other, and marks the event
    /// [done](Event::done) if its handler succeeds. After an error or a panic, it continues with the
    /// next event: not every sender retries, and a retry would fail at the same event again.
    ///
    /// # Panics
    ///
    /// If a handler panics. The first panic resumes after the other handlers have run.
    ///
    /// # Errors
    ///
    /// The first error: of a handler, or an [`ExtractError`] if an event does not fit its handler's
    /// type. The other events stay done, and a retry runs those that failed.
    ///
    /// [`ExtractError::NoEventTypes`] if the scheme has no event types, and there is neither a
    /// handler for `*` nor [`otherwise`](Self::otherwise).
    pub fn handle(&self, events: Events) -> impl Future<Output = Result<(), E>> + Send + use<E>
    where
        E: From<ExtractError> + Send,
    {
        let routes = self.clone();
        async move {
            let (mut result, mut panic) = (Ok(()), None);
            for event in &events {
                match caught(routes.run(event)).await {
                    Ok(Ok(())) => event.done().await,
                    Ok(Err(error)) => result = result.and(Err(error)),
                    Err(payload) => panic = panic.or(Some(payload)),
                }
            }
            panic.map_or(result, |payload| resume_unwind(payload))
        }
    }

    async fn run(&self, event: &Event) -> Result<(), E>
    where
        E: From<ExtractError>,
    {
        match self.start(event)? {
            Some(handling) => handling.await,
            None => Ok(()),
        }
    }

    fn start(&self, event: &Event) -> Result<Option<Handling<E>>, ExtractError> {
        // If the type is unreadable, acknowledging the event would lose it.
        let event_type = event.read_type().map_err(|_| unreadable(event))?;
        let mut by_type = self.by_type.iter();
        let found = by_type.find(|(pattern, _)| matches_known(pattern, event_type.as_deref()));
        if let Some(handler) = found.map(|(_, handler)| handler).or(self.otherwise.as_ref()) {
            return handler(event).map(Some);
        }
        if !event.scheme.has_event_types() {
            let scheme = event.scheme.name().to_owned();
            return Err(ExtractError::NoEventTypes { scheme });
        }
        let scheme = event.scheme.name();
        match event_type.as_deref() {
            Some(event_type) => {
                tracing::debug!(
                    target: "webhook_verify",
                    scheme,
                    event_type,
                    "no route: acknowledged"
                );
            }
            // Of all patterns, only `*` matches an event without a type.
            None => tracing::warn!(
                target: "webhook_verify",
                scheme,
                "an event without a type has no route and is acknowledged: to handle such events, \
                 add a handler with `otherwise`"
            ),
        }
        Ok(None)
    }
}

/// Returns the output of a handler, or its panic.
async fn caught<F: Future>(handling: F) -> thread::Result<F::Output> {
    let mut handling = pin!(handling);
    poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| handling.as_mut().poll(cx));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

fn erase<T, F, E>(handler: impl Fn(T) -> F + Send + Sync + 'static) -> Handler<E>
where
    T: FromEvent,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    Arc::new(move |event| Ok(Box::pin(handler(event.data()?))))
}

impl<E> Default for Routes<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Routes<E> {
    fn clone(&self) -> Self {
        Self { by_type: Arc::clone(&self.by_type), otherwise: self.otherwise.clone() }
    }
}

impl<E> fmt::Debug for Routes<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.by_type.iter().map(|(pattern, _)| pattern).collect();
        f.debug_struct("Routes").field("by_type", &patterns).finish_non_exhaustive()
    }
}
