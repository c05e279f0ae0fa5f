//! Servers that prove further certificates, and clients that use a connection for their names.

mod authority;
mod host;
mod offers;
mod visitor;
