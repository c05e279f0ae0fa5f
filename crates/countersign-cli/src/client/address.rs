//! Where to connect for a host and port: the system's answer, `--resolve`, `--connect-to`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use countersign::BoxFuture;
use countersign::client::Origin;

use crate::failure::{Exit, Failure};

/// `--resolve HOST:PORT:ADDR[,ADDR]`; `*` is any host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolve {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// `--connect-to HOST1:PORT1:HOST2:PORT2`; what is left empty in the first half matches anything, in
/// the second it stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectTo {
    from: (Option<String>, Option<u16>),
    to: (Option<String>, Option<u16>),
}

/// All that was said about where to connect; the first that matches counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) resolve: Vec<Resolve>,
    pub(crate) connect_to: Vec<ConnectTo>,
}

impl countersign::client::Resolve for Overrides {
    fn resolve(&self, origin: &Origin) -> BoxFuture<'_, std::io::Result<Vec<SocketAddr>>> {
        let (host, port) = (origin.host().to_owned(), origin.port());
        Box::pin(async move {
            self.addresses(&host, port)
                .await
                .map_err(|failure| std::io::Error::other(failure.to_string()))
        })
    }
}

impl Overrides {
    /// The addresses to try for `host` (an IPv6 address without brackets) and `port`, in this order.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = self.destination(host, port);
        let listed = self.resolve.iter().find(|entry| {
            entry.port == port && (entry.host == "*" || same_host(&entry.host, host))
        });
        if let Some(listed) = listed {
            return Ok(listed.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
        }
        let unresolved = |reason: String| {
            Failure::new(Exit::Resolve, format!("no address for {host}: {reason}"))
        };
        let found: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| unresolved(error.to_string()))?
            .collect();
        if found.is_empty() {
            return Err(unresolved("the name is known but has none".to_owned()));
        }
        Ok(found)
    }

    fn destination<'a>(&'a self, host: &'a str, port: u16) -> (&'a str, u16) {
        let rule = self.connect_to.iter().find(|rule| {
            rule.from.0.as_deref().is_none_or(|from| same_host(from, host))
                && rule.from.1.is_none_or(|from| from == port)
        });
        match rule {
            Some(rule) => (rule.to.0.as_deref().unwrap_or(host), rule.to.1.unwrap_or(port)),
            None => (host, port),
        }
    }
}

fn same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "write it like example.test:443:127.0.0.1".to_owned();
        let (host, rest) =
            host_and_rest(text.strip_prefix('+').unwrap_or(text)).ok_or_else(shape)?;
        let (port, addresses) = rest.split_once(':').ok_or_else(shape)?;
        let addresses = addresses
            .split(',')
            .map(|address| unbracketed(address).parse())
            .collect::<Result<Vec<IpAddr>, _>>()
            .map_err(|_| "after the port come IP addresses, with commas between".to_owned())?;
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| format!("\"{port}\" is no port"))?,
            addresses,
        })
    }
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || "write it like example.test:443:127.0.0.1:8443".to_owned();
        let port = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("\"{text}\" is no port")),
        };
        let host = |text: &str| Some(text.to_owned()).filter(|host| !host.is_empty());
        let (from, rest) = host_and_rest(text).ok_or_else(shape)?;
        let (from_port, rest) = rest.split_once(':').ok_or_else(shape)?;
        let (to, to_port) = host_and_rest(rest).ok_or_else(shape)?;
        Ok(Self { from: (host(from), port(from_port)?), to: (host(to), port(to_port)?) })
    }
}

/// Splits at the first colon that is not within brackets.
fn host_and_rest(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(inside) => inside.split_once("]:"),
        None => text.split_once(':'),
    }
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(resolve: &[&str], connect_to: &[&str]) -> Overrides {
        Overrides {
            resolve: resolve.iter().map(|text| text.parse().unwrap()).collect(),
            connect_to: connect_to.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[tokio::test]
    async fn listed_hosts_need_no_lookup() {
        let overrides =
            overrides(&["Example.test:443:192.0.2.1,[2001:db8::1]", "*:80:192.0.2.9"], &[]);
        let found = overrides.addresses("example.TEST", 443).await.unwrap();
        let expected: [SocketAddr; 2] =
            ["192.0.2.1:443".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap()];
        assert_eq!(found, expected);
        let any = overrides.addresses("whatever.test", 80).await.unwrap();
        assert_eq!(any, ["192.0.2.9:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn connections_go_where_they_are_sent() {
        let to = overrides(&[], &["a.test:443:127.0.0.1:8443", "[::1]:1:[::2]:", "::127.0.0.9:9"]);
        assert_eq!(to.destination("a.test", 443), ("127.0.0.1", 8443));
        assert_eq!(to.destination("::1", 1), ("::2", 1));
        assert_eq!(to.destination("b.test", 443), ("127.0.0.9", 9));
        let found = to.addresses("b.test", 443).await.unwrap();
        assert_eq!(found, ["127.0.0.9:9".parse().unwrap()]);
    }

    #[tokio::test]
    async fn names_that_do_not_exist_are_said_so() {
        let error = Overrides::default().addresses("no-such-host.invalid", 443).await.unwrap_err();
        assert_eq!(error.exit, Exit::Resolve);
        assert!(error.to_string().contains("no-such-host.invalid"));
    }

    #[test]
    fn shapes_are_checked() {
        assert!("a:1".parse::<Resolve>().is_err());
        assert!("a:x:127.0.0.1".parse::<Resolve>().is_err());
        assert!("a:1:localhost".parse::<Resolve>().is_err());
        assert!("a:1:b".parse::<ConnectTo>().is_err());
        assert!("a:1:b:c".parse::<ConnectTo>().is_err());
    }
}
