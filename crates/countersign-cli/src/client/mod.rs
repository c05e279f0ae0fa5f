//! HTTP connections of which every byte is ours to explain, for `fetch` and `demo`.
//!
//! One [`Connection`] is one TCP or QUIC connection, with no pool behind it: that requests share it is
//! the point.

mod address;
mod connection;
mod ended;
mod protocol;
mod quic;
mod quic_ended;
mod tls;

pub(crate) use self::address::{ConnectTo, Overrides, Resolve};
pub(crate) use self::connection::{
    Body, Connection, Dialer, Facts, NotSent, ResponseBody, TransferError,
};
pub(crate) use self::ended::Ended;
pub(crate) use self::protocol::Protocol;
pub(crate) use self::tls::{Tls, Trust};
