use std::{fmt, pin::Pin, sync::Arc};

use super::{
    Event, Events, ExtractError, FromEvent,
    filter::unreadable,
    pattern::{is_malformed, matches_known},
};

type Handling<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;
type Handler<E> = Arc<dyn Fn(&Event) -> Result<Handling<E>, ExtractError> + Send + Sync>;

/// Handlers of events by type. Each takes the event's data in a type of its own.
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
/// A handler of the framework passes its [`Events`] to [`handle`](Self::handle), whether the sender
/// puts one event into a request or many. On axum and actix-web that is
/// `move |Verified(events)| routes.handle(events)`.
///
/// All handlers have the same error `E`, which the framework turns into the response:
/// [`ExtractError`], or a type of your own that implements `From<ExtractError>`. A closure captures
/// the state that a handler needs. A clone shares the handlers.
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

    /// Adds a handler of the events whose type [matches](super::matches()) `pattern`, such as
    /// `customer.*`. Where several patterns match, the first one counts.
    ///
    /// The handler takes anything that is made [from the event](FromEvent): its data, as any type
    /// that serde deserializes, or the [`Event`].
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

    /// Sets the handler of all other events. Without it, they are acknowledged: most senders send
    /// types that a service does not use, and would retry them or disable the webhook.
    pub fn otherwise<T, F>(mut self, handler: impl Fn(T) -> F + Send + Sync + 'static) -> Self
    where
        T: FromEvent,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.otherwise = Some(erase(handler));
        self
    }

    /// Runs the handler of each event, one after the other, and marks the event
    /// [done](Event::done) if its handler succeeds. After an error, it goes on with the next event:
    /// not every sender retries.
    ///
    /// # Errors
    ///
    /// The first error: a handler's, or an [`ExtractError`] if the event is not what its handler
    /// takes. The other events stay done, and a retry runs those that failed.
    /// [`ExtractError::NoEventTypes`] if the scheme has no event types and there is no handler for
    /// `*` and [no other](Self::otherwise).
    pub fn handle(&self, events: Events) -> impl Future<Output = Result<(), E>> + Send + use<E>
    where
        E: From<ExtractError>,
    {
        let routes = self.clone();
        async move {
            let mut result = Ok(());
            for event in &events {
                match routes.run(event).await {
                    Ok(()) => event.done().await,
                    Err(error) => result = result.and(Err(error)),
                }
            }
            result
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
        // An unreadable type is an error: an acknowledged event is lost.
        let event_type = event.read_type().map_err(|_| unreadable(event))?;
        let mut by_type = self.by_type.iter();
        let found = by_type.find(|(pattern, _)| matches_known(pattern, event_type.as_deref()));
        if let Some(handler) = found.map(|(_, handler)| handler).or(self.otherwise.as_ref()) {
            return handler(event).map(Some);
        }
        if !event.scheme.has_event_types() {
            return Err(ExtractError::NoEventTypes);
        }
        let (scheme, event_type) = (event.scheme.name(), event_type.as_deref());
        tracing::debug!(target: "webhook_verify", scheme, event_type, "no route: acknowledged");
        Ok(None)
    }
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
