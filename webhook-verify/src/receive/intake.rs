use std::{future::Future, pin::Pin, sync::Arc};

use super::Rejection;
use crate::{
    answer::Answer, delivery::Delivery, error::ConfigError, request::RequestHead, scheme::Scheme,
    timer::Timer, verify::Verifier,
};

/// Takes verified deliveries in place of a handler.
pub(crate) trait Intake: Send + Sync {
    /// Checks the settings against the verifier, and returns the intake to use with it.
    fn build(&self, verifier: &Verifier) -> Result<Arc<dyn Intake>, ConfigError>;

    /// Returns the name in logs and metrics.
    fn endpoint(&self) -> &Arc<str>;

    /// Returns what to keep of the head: names in lower case, and values.
    fn kept(&self, head: &RequestHead<'_>, scheme: &Scheme) -> Vec<(String, String)>;

    /// Stores the delivery, and returns the response once it is durable.
    fn take<'a>(
        &'a self,
        delivery: &'a Delivery,
        headers: Vec<(String, String)>,
        timer: &'a Timer,
    ) -> Taking<'a>;
}

pub(crate) type Taking<'a> = Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send + 'a>>;
