//! The parts of a request that are read before it is verified.

mod form;
mod head;
pub(crate) mod json;

pub use self::head::{Headers, RequestHead};
pub(crate) use self::{
    form::{is_form_type, only_value, single_value},
    head::{Names, Picked},
};
