//! A small certificate authority: keys of every kind, chains, good and bad leaves, revocation lists.
//!
//! It serves tests, `countersign demo` and `countersign pki init`. It is no product to run a CA with:
//! authorities live in memory and are forgotten, and private keys are not kept out of swap or dumps.
//!
//! ```
//! use countersign_pki::{Authority, KeyKind, Leaf};
//!
//! # fn main() -> Result<(), countersign_pki::PkiError> {
//! let users = Authority::root("Users", KeyKind::P256)?.intermediate("Users 1", KeyKind::P256)?;
//! let alice = users.issue(&Leaf::client("alice").email("alice@example.test"))?;
//! assert_eq!(alice.chain.len(), 2); // alice and "Users 1"; the root is `users.root_der()`
//! # Ok(())
//! # }
//! ```

mod authority;
mod error;
mod issued;
mod key;
mod layout;
mod leaf;
#[cfg(test)]
mod tests;
mod validity;

pub use rcgen::{ExtendedKeyUsagePurpose as ExtendedKeyUsage, KeyUsagePurpose as KeyUsage};

pub use self::authority::Authority;
pub use self::error::PkiError;
pub use self::issued::{Issued, Serial, crls_pem};
pub use self::key::KeyKind;
pub use self::layout::{GATEWAY_TOML, TestPki};
pub use self::leaf::Leaf;
pub use self::validity::{Lifetime, Validity};
