//! Counts connections by client, so that no client takes all of them.

use crate::settings::OF_ONE;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connection counts by client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A client's connection; dropping it releases its count.
#[derive(Debug)]
pub(crate) struct Client {
    clients: Clients,
    address: IpAddr,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` if its client has reached the limit. Loopback has no limit, as a proxy there stands
    /// for everyone.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Client> {
        let address = network(address);
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        (address.is_loopback() || *count < OF_ONE).then(|| *count += 1)?;
        Some(Client { clients: self.clone(), address })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        let left = counts.get_mut(&self.address).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            counts.remove(&self.address);
        }
    }
}

/// Returns the part of an address that identifies a client: the upper half of an IPv6 address, or else all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_half_and_this_machine_all() {
        let clients = Clients::default();
        let enter = |text: &str| clients.enter(text.parse().unwrap());
        let mut held: Vec<Client> = (0..OF_ONE).map(|i| enter(&format!("2001:db8::{i:x}")).unwrap()).collect();
        assert!(
            enter("2001:db8::ffff:1").is_none() && enter("2001:db8:0:1::1").is_some() && enter("192.0.2.1").is_some()
        );
        held.pop();
        assert!(enter("2001:db8::1").is_some());
        drop(held);
        let all: Vec<_> = (0..OF_ONE * 2).map(|_| enter("127.0.0.1").unwrap()).collect();
        drop(all);
        assert!(clients.lock().is_empty());
    }
}
