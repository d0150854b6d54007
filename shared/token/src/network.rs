use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A network in CIDR notation (RFC 4632, RFC 4291 section 2.3): an address, `/` and how many bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Not `address/length`.
    #[error("a network such as 192.0.2.0/24 or 2001:db8::/32 was expected")]
    Malformed,
    /// A bit behind the length is set, so that the address is not the network's.
    #[error("the address has bits behind the length: write the network's own address")]
    HostBits,
    /// `::ffff:192.0.2.0/120`: nobody comes from there, because such callers are known by their IPv4 addresses.
    #[error("write an IPv4 network as such")]
    MappedIpv4,
}

impl Network {
    /// Whether `address` is in the network. An IPv4 address counts as such also when it is written as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                (bits(self.address) ^ bits(address.to_canonical())) & mask(self.length) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').ok_or(NetworkError::Malformed)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let parsed: u8 = length.parse().map_err(|_| NetworkError::Malformed)?;
        if parsed > most || parsed.to_string() != length {
            return Err(NetworkError::Malformed);
        }
        if bits(address) & !mask(parsed) != 0 {
            return Err(NetworkError::HostBits);
        }
        if address.to_canonical() != address {
            return Err(NetworkError::MappedIpv4);
        }
        Ok(Self { address, length: parsed })
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The address from the highest of 128 bits on.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The highest `length` bits.
fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_from_the_first_to_the_last() {
        for address in ["192.0.2.0", "192.0.2.7", "192.0.2.255", "::ffff:192.0.2.7"] {
            assert!(contains("192.0.2.0/24", address), "{address}");
        }
        for address in ["192.0.1.255", "192.0.3.0", "c000:207::", "::c000:207"] {
            assert!(!contains("192.0.2.0/24", address), "{address}");
        }
        assert!(contains("2001:db8::/33", "2001:db8:7fff:ffff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::"));
        assert!(contains("192.0.2.7/32", "192.0.2.7") && !contains("192.0.2.7/32", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "203.0.113.9"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        for text in [
            "",
            "/",
            "192.0.2.0",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2.0/08",
            "192.0.2.0/8 ",
            "192.0.2/24",
            "192.0.02.0/24",
            "2001:db8::/129",
            "2001:db8::%1/64",
            "[2001:db8::]/32",
            "localhost/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text}");
        }
        for text in ["192.0.2.1/24", "2001:db8::1/64"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits), "{text}");
        }
        assert_eq!("::ffff:192.0.2.0/120".parse::<Network>(), Err(NetworkError::MappedIpv4));
    }

    proptest! {
        #[test]
        fn an_ipv4_network_is_what_its_leading_bits_say(network: u32, address: u32, length in 0..=32_u8) {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let text = format!("{}/{length}", Ipv4Addr::from(network & mask));
            let parsed: Network = text.parse().unwrap();
            prop_assert_eq!(parsed.to_string(), text);
            let is_inside = network & mask == address & mask;
            prop_assert_eq!(parsed.contains(IpAddr::V4(address.into())), is_inside);
            let near = network & mask | address & !mask;
            prop_assert!(parsed.contains(IpAddr::V4(near.into())));
        }

        #[test]
        fn an_ipv6_network_is_what_its_leading_bits_say(network: u128, address: u128, length in 0..=128_u8) {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            // Global addresses, of which none is mapped.
            let network = network & mask | 1 << 127 & mask;
            let address = address | 1 << 127;
            let parsed: Network = format!("{}/{length}", Ipv6Addr::from(network)).parse().unwrap();
            prop_assert_eq!(parsed.contains(IpAddr::V6(address.into())), network & mask == address & mask);
            prop_assert!(parsed.contains(IpAddr::V6((network | address & !mask | 1 << 127).into())));
        }
    }
}
