//! The parts of a request that are read before it is verified.

mod form;
mod head;
mod header_index;
pub(crate) mod json;

pub use self::head::{Headers, RequestHead};
pub(crate) use self::{
    form::{is_form_type, single_value},
    head::AmbiguousHeader,
    header_index::{Names, Picked},
};
