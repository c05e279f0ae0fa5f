//! Who may come in: places for connections in all and per address, and the pace of new ones.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_proto::Pace;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::limits::Limits;
use crate::refusals::{Reason, Refusals};

/// The places of one gateway. The limits are passed in with each call, since a reload may change them.
#[derive(Debug)]
pub(crate) struct Places {
    state: Mutex<State>,
    freed: Notify,
    refusals: Arc<Refusals>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// Addresses that have connections.
    by_address: HashMap<IpAddr, usize>,
    pace: Pace,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    pub(crate) fn new(refusals: Arc<Refusals>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), freed: Notify::new(), refusals })
    }

    /// Waits until one more connection may come. It is for a single task that accepts.
    pub(crate) async fn room(&self, limits: impl Fn() -> Limits) {
        let mut noted = None;
        loop {
            let freed = self.freed.notified();
            let limits = limits();
            let (reason, until) = {
                let state = self.lock();
                let now = Instant::now();
                let turn = state.pace.next(limits.handshakes_per_second, now.into_std());
                if state.open >= limits.connections {
                    (Reason::Connections, None)
                } else if let Some(turn) = turn {
                    (Reason::HandshakeRate, Some(Instant::from_std(turn)))
                } else {
                    return;
                }
            };
            if noted.replace(reason) != Some(reason) {
                self.refusals.count(reason);
            }
            match until {
                Some(turn) => sleep_until(turn).await,
                None => freed.await,
            }
        }
    }

    /// A place for a connection from `address`, if it has not too many.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Place> {
        let address = network(address);
        let mut state = self.lock();
        let taken = state.by_address.entry(address).or_default();
        if *taken >= limits.connections_per_address {
            drop(state);
            self.refusals.count(Reason::ConnectionsPerAddress);
            return None;
        }
        *taken += 1;
        state.open += 1;
        state.pace.take(limits.handshakes_per_second, 1, Instant::now().into_std());
        Some(Place { places: Arc::clone(self), address })
    }

    /// Whether more than half of the places are taken, in all or for `address`, which may not be the
    /// client's own.
    pub(crate) fn crowded(&self, address: IpAddr, limits: &Limits) -> bool {
        let state = self.lock();
        let here = state.by_address.get(&network(address)).copied().unwrap_or(0);
        state.open >= limits.connections.div_ceil(2)
            || here >= limits.connections_per_address.div_ceil(2)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.open = state.open.saturating_sub(1);
        if let Some(taken) = state.by_address.get_mut(&self.address) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                state.by_address.remove(&self.address);
            }
        }
        drop(state);
        self.places.freed.notify_one();
    }
}

/// What counts as one address: an IPv4 address, however it is written, or a /64 of IPv6, the least that
/// one client is given.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_client() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[tokio::test]
    async fn places_are_given_back() {
        let refusals = Arc::new(Refusals::default());
        let places = Places::new(Arc::clone(&refusals));
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = places.take(one, &limits).unwrap();
        assert!(places.crowded(one, &limits) && !places.crowded(other, &limits));
        let _second = places.take(one, &limits).unwrap();
        assert!(places.crowded(other, &limits), "two of three in all");
        assert!(places.take(one, &limits).is_none());
        assert_eq!(refusals.get(Reason::ConnectionsPerAddress), 1);
        let _third = places.take(other, &limits).unwrap();
        let mut room = std::pin::pin!(places.room(|| limits));
        let short = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(short, room.as_mut()).await.is_err());
        drop(first);
        room.await;
        assert_eq!(refusals.get(Reason::Connections), 1);
        assert!(places.take(one, &limits).is_some());
    }

    #[tokio::test]
    async fn new_ones_come_at_a_pace() {
        let refusals = Arc::new(Refusals::default());
        let places = Places::new(Arc::clone(&refusals));
        let limits = Limits { handshakes_per_second: 50, ..Limits::default() };
        let address = "192.0.2.1".parse().unwrap();
        let begun = Instant::now();
        for _ in 0..60 {
            places.room(|| limits).await;
            drop(places.take(address, &limits));
        }
        let took = begun.elapsed().as_millis();
        assert!(took >= 180, "50 at once and 10 at 50 per second: {took} ms");
        assert!(refusals.get(Reason::HandshakeRate) > 0);
    }
}
