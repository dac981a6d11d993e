//! HMAC with SHA-256 (RFC 2104), with the key's two blocks hashed in advance.
//!
//! Nearly every sender uses it, and for the small bodies of webhooks the buffers that the general implementation clones
//! and wipes for each message cost as much as a block or two of the hash. Here whole blocks are hashed where they lie,
//! and what is left of a message is padded on the stack. The hash itself is the library's; the other HMACs are, too.

use sha2::{Digest as _, Sha256, block_api::compress256};
use zeroize::Zeroize as _;

const BLOCK: usize = 64;
/// What is hashed before a message: one block, made of the key.
const KEY_BITS: u64 = BLOCK as u64 * 8;
/// The initial state (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key made ready.
#[derive(Clone)]
pub(crate) struct Key {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Key {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        match key.len() {
            ..=BLOCK => block[..key.len()].copy_from_slice(key),
            _ => block[..32].copy_from_slice(&Sha256::digest(key)),
        }
        let (mut inner, mut outer) = (INITIAL, INITIAL);
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        compress256(&mut inner, &[block]);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        compress256(&mut outer, &[block]);
        block.zeroize();
        Self { inner, outer }
    }

    /// Begins a message.
    #[inline]
    pub(crate) fn begin(&self) -> Running {
        Running {
            state: self.inner,
            outer: self.outer,
            rest: [0; BLOCK],
            len: 0,
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// A message under way.
#[derive(Clone)]
pub(crate) struct Running {
    state: [u32; 8],
    outer: [u32; 8],
    /// What is left over of the last block, `len % 64` bytes of it.
    rest: [u8; BLOCK],
    /// How many bytes of the message were taken in.
    len: u64,
}

impl Running {
    #[inline]
    pub(crate) fn update(&mut self, mut piece: &[u8]) {
        let used = self.len as usize % BLOCK;
        self.len += piece.len() as u64;
        if used > 0 {
            let (rest, next) = (&mut self.rest[used..], piece);
            let Some((fits, next)) = next.split_at_checked(rest.len()) else {
                rest[..next.len()].copy_from_slice(next);
                return;
            };
            rest.copy_from_slice(fits);
            compress256(&mut self.state, &[self.rest]);
            piece = next;
        }
        let (blocks, rest) = piece.as_chunks();
        compress256(&mut self.state, blocks);
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    #[inline]
    pub(crate) fn finish(mut self) -> [u8; 32] {
        let used = self.len as usize % BLOCK;
        self.rest[used] = 0x80;
        self.rest[used + 1..].fill(0);
        if used + 1 + 8 > BLOCK {
            compress256(&mut self.state, &[self.rest]);
            self.rest = [0; BLOCK];
        }
        self.rest[BLOCK - 8..].copy_from_slice(&(KEY_BITS + self.len * 8).to_be_bytes());
        compress256(&mut self.state, &[self.rest]);

        let mut block = [0; BLOCK];
        block[..32].copy_from_slice(&bytes(self.state));
        block[32] = 0x80;
        block[BLOCK - 8..].copy_from_slice(&(KEY_BITS + 32 * 8).to_be_bytes());
        compress256(&mut self.outer, &[block]);
        bytes(self.outer)
    }
}

/// The outer state is the key's, whatever the message is.
impl Drop for Running {
    fn drop(&mut self) {
        self.outer.zeroize();
    }
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    use super::Key;

    /// Keys of any length, and messages cut anywhere, come out as in the general implementation.
    #[test]
    fn it_is_the_hmac_of_the_library() {
        let text: Vec<u8> = (0..400_u32).map(|n| (n * 7 + n / 13) as u8).collect();
        for key_len in [0, 1, 31, 32, 63, 64, 65, 100, 200] {
            let key = &text[..key_len];
            for len in 0..=260 {
                let message = &text[3..3 + len];
                let expected = Hmac::<Sha256>::new_from_slice(key)
                    .unwrap()
                    .chain_update(message);
                let expected: [u8; 32] = expected.finalize().into_bytes().into();
                let ready = Key::new(key);
                for cut in [0, 1, len / 3, 63, 64, 65, 128] {
                    let (first, rest) = message.split_at(cut.min(len));
                    let (second, third) = rest.split_at(rest.len() / 2);
                    let mut running = ready.begin();
                    for piece in [first, second, third] {
                        running.update(piece);
                    }
                    assert_eq!(running.finish(), expected, "{key_len} {len} {cut}");
                }
            }
        }
    }
}
