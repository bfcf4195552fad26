//! Throttling of wrong passwords.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords that an address may send without a wait.
const FREE: u32 = 5;
/// The longest that an address waits.
const LONGEST: Duration = Duration::from_mins(1);
/// The same for all addresses together, against guesses from many.
const FREE_IN_ALL: u32 = 50;
const LONGEST_IN_ALL: Duration = Duration::from_secs(5);
/// Wrong passwords are forgotten after this time.
const REMEMBERED: Duration = Duration::from_mins(10);
/// Largest number of addresses remembered; others count for the shared limit only.
const MOST: usize = 4_096;
/// The time between two log lines about wrong passwords.
const LOGGED: Duration = Duration::from_secs(10);

/// Counts wrong passwords by address, and makes their senders wait longer each time.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Tries>);

#[derive(Debug, Default)]
struct Tries {
    from: HashMap<IpAddr, Wrong>,
    in_all: Option<Wrong>,
    logged: Option<Instant>,
    unlogged: u64,
}

/// Wrong passwords in a row.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    last: Instant,
}

impl Wrong {
    fn again(before: Option<Self>, now: Instant) -> Self {
        let count = before.filter(|wrong| wrong.counts(now)).map_or(0, |wrong| wrong.count);
        Self { count: count.saturating_add(1), last: now }
    }

    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < REMEMBERED
    }

    /// Returns what is left of the wait, which doubles with each wrong password from one second on.
    fn wait(&self, now: Instant, free: u32, longest: Duration) -> Option<Duration> {
        let beyond = self.count.checked_sub(free)?;
        let wait = Duration::from_secs(1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX)).min(longest);
        let left = wait.checked_sub(now.saturating_duration_since(self.last))?;
        (!left.is_zero()).then_some(left)
    }
}

impl Throttle {
    /// Returns how long this address has to wait before its next password is looked at, if at all.
    pub(super) fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let tries = self.tries();
        let own = tries.from.get(&network(from)).and_then(|wrong| wrong.wait(now, FREE, LONGEST));
        let all = tries.in_all.and_then(|wrong| wrong.wait(now, FREE_IN_ALL, LONGEST_IN_ALL));
        own.max(all)
    }

    /// Notes a wrong password, and logs it, unless another was logged a moment ago.
    pub(super) fn wrong(&self, from: IpAddr, now: Instant) {
        let mut tries = self.tries();
        tries.in_all = Some(Wrong::again(tries.in_all, now));
        if tries.from.len() >= MOST {
            tries.from.retain(|_, wrong| wrong.counts(now));
        }
        let network = network(from);
        if tries.from.len() < MOST || tries.from.contains_key(&network) {
            let wrong = Wrong::again(tries.from.get(&network).copied(), now);
            tries.from.insert(network, wrong);
        }
        tries.unlogged = tries.unlogged.saturating_add(1);
        if tries.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOGGED) {
            // Neither the password nor the name: people type the one in the place of the other.
            tracing::warn!(%from, count = tries.unlogged, "wrong passwords for the dashboard");
            (tries.logged, tries.unlogged) = (Some(now), 0);
        }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what is counted as one visitor: an address, and of IPv6 its network of 64 bits, which one visitor usually has
/// whole.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn waits_grow_with_each_wrong_password_after_the_free_ones() {
        let (throttle, one, other) = (Throttle::default(), address("10.0.0.1"), address("10.0.0.2"));
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..14 {
            assert_eq!(throttle.wait(one, now), None);
            throttle.wrong(one, now);
            let wait = throttle.wait(one, now).unwrap_or_default();
            waits.push(wait.as_secs());
            assert_eq!(throttle.wait(other, now), None, "others need not wait");
            now += wait;
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        now += REMEMBERED;
        throttle.wrong(one, now);
        assert_eq!(throttle.wait(one, now), None, "what is long ago is forgotten");
    }

    #[test]
    fn many_addresses_are_slowed_down_together() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..FREE_IN_ALL {
            let from = IpAddr::from([10, 0, 1, u8::try_from(n).expect("few")]);
            assert_eq!(throttle.wait(from, now), None);
            throttle.wrong(from, now);
        }
        assert_eq!(throttle.wait(address("10.0.2.1"), now), Some(Duration::from_secs(1)));
        for n in 0..2 * MOST {
            throttle.wrong(IpAddr::from(u32::try_from(n).expect("few").to_be_bytes()), now);
        }
        assert_eq!(throttle.wait(address("10.0.2.1"), now), Some(LONGEST_IN_ALL));
        assert!(throttle.tries().from.len() <= MOST);
    }

    #[test]
    fn a_network_of_64_bits_is_one_visitor() {
        assert_eq!(network(address("2001:db8:1:2:3::4")), network(address("2001:db8:1:2::9")));
        assert_ne!(network(address("2001:db8:1:2::4")), network(address("2001:db8:1:3::4")));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
