use std::rc::Rc;

use actix_web::{
    dev::{Extensions, ServiceRequest},
    web::{Data, FormConfig, JsonConfig, PayloadConfig},
};

/// Returns the settings of actix-web's own extractors, with `limit` as the maximum length of a
/// body, so that they accept every body that the receiver accepted.
pub(crate) fn with_limit(request: &ServiceRequest, limit: usize) -> Rc<Extensions> {
    let mut settings = Extensions::new();
    settings.insert(setting::<PayloadConfig>(request).limit(limit));
    settings.insert(setting::<JsonConfig>(request).limit(limit));
    settings.insert(setting::<FormConfig>(request).limit(limit));
    Rc::new(settings)
}

/// Returns the application's own setting, or the default.
fn setting<T: Clone + Default + 'static>(request: &ServiceRequest) -> T {
    let data = || request.app_data::<Data<T>>().map(Data::get_ref);
    request.app_data::<T>().or_else(data).cloned().unwrap_or_default()
}
