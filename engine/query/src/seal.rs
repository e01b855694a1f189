//! Seals what is handed to clients and comes back: encrypted and authenticated, bound to its caller.
//!
//! ```text
//!   sealed = nonce (12 bytes) ‖ AES-256-GCM(key, nonce, text, associated data = purpose ‖ 0 ‖ user)
//! ```
//!
//! Invariants
//! * What does not open was not sealed with this key, for this purpose and this caller, or was changed: nothing of it is
//!   read.
//! * Nonces are random: one key may seal 2^32 texts (NIST SP 800-38D, 8.3). A key of the process is new with each start.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, OsRng, Payload, rand_core::RngCore};
use aes_gcm::{Aes256Gcm, Nonce};

use crate::caller::Caller;

const NONCE_BYTES: usize = 12;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// A key to seal with.
#[derive(Clone)]
pub struct Seal(Aes256Gcm);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// A key that no other process has.
    pub fn of_process() -> Self {
        Seal(Aes256Gcm::new(&Aes256Gcm::generate_key(OsRng)))
    }

    /// A key that several servers share: what one of them sealed the others open.
    pub fn shared(key: &[u8; KEY_BYTES]) -> Self {
        Seal(Aes256Gcm::new(key.into()))
    }

    /// Seals a text for a purpose and a caller; none only where the text is larger than the cipher takes (64 GiB).
    pub fn seal(&self, purpose: &str, caller: &Caller, text: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0_u8; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let aad = associated(purpose, caller);
        let sealed = self.0.encrypt(Nonce::from_slice(&nonce), Payload { msg: text, aad: &aad }).ok()?;
        Some([nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// The text that was sealed for this purpose and this caller; none if it was not.
    pub fn open(&self, purpose: &str, caller: &Caller, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let aad = associated(purpose, caller);
        self.0.decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: &aad }).ok()
    }
}

fn associated(purpose: &str, caller: &Caller) -> Vec<u8> {
    [purpose.as_bytes(), &[0], caller.user().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_purpose_alone() {
        let (seal, text) = (Seal::of_process(), b"SELECT secret FROM t".as_slice());
        let sealed = seal.seal("statement", &Caller::ANONYMOUS, text).unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(seal.open("statement", &Caller::ANONYMOUS, &sealed).unwrap(), text);
        assert_ne!(sealed, seal.seal("statement", &Caller::ANONYMOUS, text).unwrap());
        assert_eq!(seal.open("other", &Caller::ANONYMOUS, &sealed), None);
        assert_eq!(Seal::of_process().open("statement", &Caller::ANONYMOUS, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open("statement", &Caller::ANONYMOUS, &changed), None, "{at}");
            assert_eq!(seal.open("statement", &Caller::ANONYMOUS, &sealed[..at]), None, "{at}");
        }
    }
}
