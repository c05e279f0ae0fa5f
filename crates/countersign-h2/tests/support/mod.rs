//! What several tests share.

#![expect(dead_code, reason = "not every test uses all of it")]

pub(crate) mod chaos;
pub(crate) mod mock;
pub(crate) mod wire;
