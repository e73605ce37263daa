//! The addresses to which the service may connect on behalf of a webhook: those of the internet, and
//! those that the operator lists. So a webhook cannot reach what only the server can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What the operator allows besides addresses of the internet.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Names of hosts, in lowercase; any address of theirs is allowed.
    pub hosts: Vec<String>,
}

impl Allowed {
    /// Checks whether a host may have any address.
    pub fn host(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.contains(&name)
    }

    /// Checks whether the service may connect to an address.
    pub fn address(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        is_public(address) || self.networks.iter().any(|net| net.contains(&address))
    }
}

/// Returns the IPv4 address in an IPv6 address that leads to one: mapped, compatible, NAT64, 6to4.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) if (g, h) > (0, 1) => v4(g, h).into(),
        (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h).into(),
        (0x2002, ..) => v4(b, c).into(),
        _ => address,
    }
}

/// Checks whether an address belongs to the internet. Unknown special ranges of IPv6 do not:
/// only 2000::/3 is assigned.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        // Shared by the customers of a provider (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, relays of 6to4, benchmarks.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        // Reserved, and broadcast.
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let assigned = (0x2000..0x4000).contains(&a);
    // Protocol assignments with Teredo and ORCHID, documentation.
    let special = matches!((a, b), (0x2001, 0..0x200 | 0xdb8) | (0x3fff, _));
    assigned && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_allowed() {
        let allowed = Allowed::default();
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "64:ff9b::101:101",
        ] {
            assert!(allowed.address(text.parse().unwrap()), "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "192.88.99.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!allowed.address(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_operator_allows_more() {
        let allowed = Allowed {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            hosts: vec!["hooks.internal".to_owned()],
        };
        assert!(allowed.address("10.9.9.9".parse().unwrap()));
        assert!(allowed.address("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!allowed.address("192.168.0.1".parse().unwrap()));
        assert!(allowed.host("Hooks.Internal."));
        assert!(!allowed.host("internal"));
    }
}
