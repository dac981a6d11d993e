//! The parts of a request that are read before it is verified.

pub(crate) mod coding;
mod form;
mod head;
mod hex;
pub(crate) mod json;
mod pointers;
mod scan;

pub use self::head::{Headers, RequestHead};
#[cfg(all(test, feature = "rsa", feature = "testing"))]
pub(crate) use self::json::BYTES_READ;
pub(crate) use self::{
    form::{
        MAX_FIELDS, is_form_type, is_media_type, lone_value, only_value, pairs, single_value,
        values,
    },
    head::{Names, Picked, begins_with},
    pointers::{Fields, Pointers, Slot},
};

/// Returns the bit of a text's length, for sets in which most texts are looked up in vain. All long
/// texts share one.
#[inline]
fn length_bit(text: &[u8]) -> u64 {
    1 << text.len().min(63)
}
