use std::net::IpAddr;

/// The caller's address as the host saw it: a request extension set by the doorway, never read from a header that
/// callers can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What counts as one caller: an IPv4 address, or the /64 that an IPv6 caller commands as a whole.
    pub fn network(&self) -> String {
        match self.0 {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network_of(address: &str) -> String {
        ClientAddress(address.parse().unwrap()).network()
    }

    #[test]
    fn counts_an_ipv6_network_as_one_caller() {
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network_of("2001:db8:1:2::1"), network_of("2001:db8:1:2:ffff::9"));
        assert_eq!(network_of("192.0.2.7"), "192.0.2.7");
    }
}
