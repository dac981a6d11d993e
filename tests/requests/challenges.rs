//! The challenges of all senders, through both adapters in process, and what strangers make of
//! them.

mod answered;
mod body;
mod handshake;
mod head;
mod routing;
mod signed;
mod support;
mod tenants;

use integration_tests::attacks;
