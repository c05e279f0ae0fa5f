//! Tests of both machines, with messages passed by hand: no I/O, no clock, seeded randomness.

mod fixtures;
mod forge;
mod hostile;
mod limits;
mod misuse;
mod offers;
mod pair;
mod polite;
mod pool;
mod random;
mod table;
