// SPDX-License-Identifier: Apache-2.0
//! Message ids: the producer's unique id (wire.md 5.7) and the broker's offset id (wire.md 5.8).
//!
//! Both are upper-case hexadecimal text of the same lengths: 32 digits with an IPv4 and 56 with an IPv6 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Makes unique ids: `address (4 or 16) | pid (2) | instance (4) | ms since the local month began (4) | counter (2)`.
#[derive(Debug)]
pub struct UniqueIds {
    /// Hexadecimal digits of address, pid and instance.
    prefix: String,
    counter: AtomicU16,
}

/// The parts of a unique id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueId {
    /// Address of the producer's host.
    pub host: IpAddr,
    /// Low 16 bits of its process id.
    pub pid: u16,
    /// Number that tells apart instances in one process.
    pub instance: u32,
    /// Milliseconds between the beginning of the local month and the making of the id.
    pub ms_in_month: u32,
    /// Wrapping counter.
    pub counter: u16,
}

impl UniqueIds {
    /// A source of ids for one process (or one instance in it); `first` is where the counter starts.
    pub fn new(host: IpAddr, pid: u32, instance: u32, first: u16) -> Self {
        let mut prefix = String::with_capacity(44);
        push_address(&mut prefix, host);
        let pid = (pid & 0xFFFF).to_be_bytes();
        push_hex(&mut prefix, &[&pid[2..], &instance.to_be_bytes()]);
        Self {
            prefix,
            counter: AtomicU16::new(first),
        }
    }

    /// The next id; `ms_in_month` counts from the first instant of the current month in local time.
    pub fn next(&self, ms_in_month: u32) -> String {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(self.prefix.len() + 12);
        id.push_str(&self.prefix);
        push_hex(
            &mut id,
            &[&ms_in_month.to_be_bytes(), &counter.to_be_bytes()],
        );
        id
    }
}

/// Takes a unique id apart; `None` if the text has another length or other characters.
pub fn parse_unique_id(id: &str) -> Option<UniqueId> {
    let (host, [p0, p1, i0, i1, i2, i3, m0, m1, m2, m3, c0, c1]) = parse_address(id)?;
    Some(UniqueId {
        host,
        pid: u16::from_be_bytes([p0, p1]),
        instance: u32::from_be_bytes([i0, i1, i2, i3]),
        ms_in_month: u32::from_be_bytes([m0, m1, m2, m3]),
        counter: u16::from_be_bytes([c0, c1]),
    })
}

/// The offset id of the record at `physical_offset` in the commit log of `store_host`.
pub fn offset_id(store_host: SocketAddr, physical_offset: i64) -> String {
    let mut id = String::with_capacity(56);
    push_offset_ids(&mut id, store_host, [physical_offset]);
    id
}

/// Appends the offset ids of records of one host, with commas between them, as the answer to a batch has them.
pub fn push_offset_ids(
    text: &mut String,
    store_host: SocketAddr,
    physical_offsets: impl IntoIterator<Item = i64>,
) {
    let mut host = [[0; 2]; 20];
    let port = u32::from(store_host.port()).to_be_bytes();
    let len = match store_host.ip() {
        IpAddr::V4(ip) => digits(&[&ip.octets(), &port], &mut host),
        IpAddr::V6(ip) => digits(&[&ip.octets(), &port], &mut host),
    };
    let host = host.as_flattened().get(..len).unwrap_or_default();
    // Digits are text: that is looked at once for all of them.
    let mut bytes = std::mem::take(text).into_bytes();
    for (number, offset) in physical_offsets.into_iter().enumerate() {
        if number > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(host);
        bytes.extend_from_slice(offset.to_be_bytes().map(pair).as_flattened());
    }
    *text = String::from_utf8(bytes).unwrap_or_default();
}

/// Store host and physical offset of an offset id; lower-case digits are accepted. `None` if it is malformed.
pub fn parse_offset_id(id: &str) -> Option<(SocketAddr, i64)> {
    let (host, rest) = parse_address(id)?;
    let (port, offset) = rest.split_first_chunk::<4>()?;
    let port = u16::try_from(i32::from_be_bytes(*port)).ok()?;
    Some((
        SocketAddr::new(host, port),
        i64::from_be_bytes(*offset.first_chunk()?),
    ))
}

/// The address that starts an id, and the 12 bytes after it.
fn parse_address(id: &str) -> Option<(IpAddr, [u8; 12])> {
    let mut bytes = [0; 28];
    if !matches!(id.len(), 32 | 56) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(id.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        let digit = |c: u8| {
            char::from(c)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    if id.len() == 32 {
        let (address, rest) = bytes.split_first_chunk::<4>()?;
        Some((Ipv4Addr::from(*address).into(), *rest.first_chunk()?))
    } else {
        let (address, rest) = bytes.split_first_chunk::<16>()?;
        Some((Ipv6Addr::from(*address).into(), *rest.first_chunk()?))
    }
}

fn push_address(text: &mut String, host: IpAddr) {
    match host {
        IpAddr::V4(host) => push_hex(text, &[&host.octets()]),
        IpAddr::V6(host) => push_hex(text, &[&host.octets()]),
    }
}

/// The two upper-case digits of each byte value.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

fn pair(byte: u8) -> [u8; 2] {
    PAIRS[usize::from(byte)]
}

/// Writes the digits of bytes in parts, of as many as there is room for; returns how many digits.
fn digits(parts: &[&[u8]], out: &mut [[u8; 2]]) -> usize {
    let bytes = parts.iter().copied().flatten();
    let mut len = 0;
    for (byte, place) in bytes.zip(out) {
        *place = pair(*byte);
        len += 2;
    }
    len
}

/// Appends the digits of up to 28 bytes, as many as the longest id has.
fn push_hex(text: &mut String, parts: &[&[u8]]) {
    let mut pairs = [[0; 2]; 28];
    let len = digits(parts, &mut pairs);
    let digits = pairs.as_flattened().get(..len);
    text.push_str(std::str::from_utf8(digits.unwrap_or_default()).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offset_ids_match_the_reference() {
        let host: SocketAddr = "10.0.0.1:10911".parse().unwrap();
        assert_eq!(offset_id(host, 4096), "0A00000100002A9F0000000000001000");
        let mut several = String::from("ids: ");
        push_offset_ids(&mut several, host, [4096, 1]);
        assert_eq!(
            several,
            "ids: 0A00000100002A9F0000000000001000,0A00000100002A9F0000000000000001"
        );
        assert_eq!(
            parse_offset_id("0a00000100002a9f0000000000001000"),
            Some((host, 4096))
        );
        let host: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        let id = offset_id(host, -2);
        assert_eq!((id.len(), parse_offset_id(&id)), (56, Some((host, -2))));
    }

    #[test]
    fn unique_ids_count_and_parse() {
        let ids = UniqueIds::new(
            Ipv4Addr::new(192, 168, 0, 1).into(),
            0x1_2345,
            0xDEAD_BEEF,
            u16::MAX,
        );
        assert_eq!(ids.next(7), "C0A800012345DEADBEEF00000007FFFF");
        let id = parse_unique_id(&ids.next(8)).unwrap();
        assert_eq!((id.pid, id.ms_in_month, id.counter), (0x2345, 8, 0));
        let ids = UniqueIds::new(Ipv6Addr::LOCALHOST.into(), 1, 2, 3);
        assert_eq!(
            parse_unique_id(&ids.next(4)).unwrap().host,
            Ipv6Addr::LOCALHOST
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,70}", hex in "[0-9a-fA-F]{32}") {
            let _ = (parse_offset_id(&text), parse_unique_id(&text), parse_offset_id(&hex));
            prop_assert!(parse_unique_id(&hex).is_some());
        }
    }
}
