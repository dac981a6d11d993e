//! Attacks on the signature and on HTTP, by number: against both adapters through real sockets, and
//! against the plain function where a request needs no server. A refusal must have the exact status
//! and text, its reason must be the expected one, and neither the handler nor the store may have
//! heard of it.
//!
//! | | attack | where |
//! |---|---|---|
//! | A1 | empty secrets | `keys` |
//! | A2 | no signature | `signatures` |
//! | A3 | no secret, or none that can be looked up | `keys` |
//! | A4 | signatures cut short, to nothing | `signatures` |
//! | A5 | signatures with bytes to spare | `signatures` |
//! | A6 | truncated tags, right in themselves | `keys` |
//! | A7 | algorithm or version chosen by the sender | `signatures` |
//! | A8 | a result that is ignored, a proof that is forged | `keys`; extractors without their layer in `extractors`; `Delivery` has a test that must not compile |
//! | A9 | timing | `keys`, by structure; no statistics, which need a quiet machine and millions of samples |
//! | A10 | the right one of many signatures | `keys` |
//! | A11 | too many signatures, too long headers | `signatures`, and their cost in `limits` |
//! | A12 | repeated signature headers | `signatures` |
//! | A13 | folded and split lists | `signatures` |
//! | A14 | repeated ids and timestamps | `signatures` |
//! | A15 | bytes that are not ASCII | `encodings` |
//! | A16 | Unicode look-alikes | `encodings` |
//! | A17 | other forms of base64 | `encodings` |
//! | A18 | other forms of hex | `encodings` |
//! | A19 | white space | `encodings` |
//! | A20 | timestamps that are no plain numbers | `times` |
//! | A21 | timestamps in another unit | `times` |
//! | A22 | edges of the window | `times` |
//! | A23 | answers that tell which check failed | `times` |
//! | A24 | signed parts that run into each other | `times` |
//! | A25 | JSON written in another way | `bodies` |
//! | A26 | bodies rewritten or read by an outer layer | `bodies` |
//! | A27 | compressed bodies, bombs | `bodies` |
//! | A28 | declared lengths over the limit | `limits` |
//! | A29 | bodies without an end | `limits`, and what they hold in the test `memory` |
//! | A30 | slow bodies | `limits`, and what they hold in the test `memory`; slow *heads* are not seen by an adapter: the server's own deadline ends them, and `axum::serve` has none |
//! | A31 | bodies behind a head that cannot be right | `limits` |
//! | A32 | `Expect: 100-continue` | `http1` |
//! | A33 | signatures in trailers | `bodies` |
//! | A34 | clients that leave in the body | `bodies` |
//! | A35 | conflicting lengths, smuggled requests | `http1` |
//! | A36 | HTTP/2 | `http2`, on axum; actix-web has HTTP/2 in clear text only where it is asked for |
//! | A37 | empty bodies | `bodies` |
//! | A38 | other methods | `http1` |
//! | A39 | URLs that are signed | `http1` |
//! | A40 | bodies made to be hard work | `limits` |
//! | A41 | secrets in logs, errors, panics and `Debug` | the test `leaks`; that secrets are wiped on drop cannot be seen without `unsafe` |
//! | A42 | rotation, two senders | `keys` |
//! | A43 | weak keys and signatures of asymmetric schemes | the unit tests of `key/public_key` |

mod bodies;
mod encodings;
mod http1;
mod http2;
mod keys;
mod limits;
mod signatures;
mod times;
pub(crate) mod work;
