//! The address of a Redis, read from a URL: one server, a Sentinel's master, or a cluster.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates, TlsMode,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use secrecy::{ExposeSecret, SecretString};

/// Why a URL cannot be used. The messages do not show the URL, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The URL has none of the known forms.
    #[error(
        "is not redis://[user:password@]host[:port][/number], rediss://…, unix:///path, \
         redis+sentinel://host[:port],…/master[/number] or redis+cluster://host[:port],…"
    )]
    Form,
    /// A cluster has one database only.
    #[error("a cluster has only database 0: remove the database number")]
    ClusterDatabase,
}

/// The time limits of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For opening a connection.
    pub connect: Duration,
    /// For the reply to a command.
    pub command: Duration,
}

/// One database of one server, master or cluster.
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    certificates: Option<TlsCertificates>,
    shown: String,
}

#[derive(Clone)]
enum Kind {
    Server(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionAddr>,
        master: String,
        tls: bool,
        user: Option<String>,
        password: Option<SecretString>,
        database: i64,
    },
    Cluster(Vec<ConnectionInfo>),
}

/// A connection that many callers share.
#[derive(Clone)]
pub(super) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Address {
    /// Reads a URL. `database` overrides the number in the URL. `authority` is the content of a
    /// PEM file that TLS trusts instead of the public authorities.
    ///
    /// # Errors
    /// When the URL has none of the known forms.
    pub fn parse(
        url: &SecretString,
        database: Option<i64>,
        authority: Option<Vec<u8>>,
    ) -> Result<Self, AddressError> {
        let text = url.expose_secret();
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Form)?;
        let kind = match scheme {
            "redis+sentinel" | "rediss+sentinel" => {
                sentinel(rest, scheme.starts_with("rediss"), database)?
            }
            "redis+cluster" | "rediss+cluster" => {
                let plain = scheme.trim_end_matches("+cluster");
                cluster(plain, rest, database)?
            }
            _ => Kind::Server(server(text, database)?),
        };
        let shown = kind.shown();
        Ok(Self {
            kind,
            certificates: authority.map(|pem| TlsCertificates {
                client_tls: None,
                root_cert: Some(pem),
            }),
            shown,
        })
    }

    /// Returns the address without user and password, for messages and as an identifier.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Checks whether it is a cluster, where the keys of one command must share a hash slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    /// Returns the client of the server, or of the Sentinel's current master; `None` for a cluster.
    async fn master(&self) -> RedisResult<Option<Client>> {
        match &self.kind {
            Kind::Server(info) => self.client(info.clone()).map(Some),
            Kind::Cluster(_) => Ok(None),
            Kind::Sentinel {
                sentinels,
                master,
                tls,
                user,
                password,
                database,
            } => {
                // Asks all Sentinels at once and uses the first reply: one of them often runs on
                // the machine that failed together with the master.
                let asks = sentinels.iter().map(|sentinel| {
                    Box::pin(async move {
                        let mut builder = SentinelClientBuilder::new(
                            vec![sentinel.clone()],
                            master,
                            SentinelServerType::Master,
                        )?
                        .set_client_to_redis_db(*database);
                        if let Some(user) = user {
                            builder = builder.set_client_to_redis_username(user);
                        }
                        if let Some(password) = password {
                            builder =
                                builder.set_client_to_redis_password(password.expose_secret());
                        }
                        if *tls {
                            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                        }
                        if let Some(certificates) = &self.certificates {
                            builder =
                                builder.set_client_to_redis_certificates(certificates.clone());
                        }
                        builder.build()?.async_get_client().await
                    })
                });
                let (client, _) = futures::future::select_ok(asks).await?;
                Ok(Some(client))
            }
        }
    }

    /// Opens a connection; through a Sentinel, to the current master.
    pub(super) async fn connect(&self, patience: Patience) -> RedisResult<Link> {
        let links = self.connect_all(patience, 1).await?;
        let link = links.into_iter().next();
        link.ok_or_else(|| (redis::ErrorKind::Client, "no connection").into())
    }

    /// Opens several connections to the same server.
    pub(super) async fn connect_all(
        &self,
        patience: Patience,
        count: usize,
    ) -> RedisResult<Vec<Link>> {
        let mut links = Vec::with_capacity(count);
        if let Kind::Cluster(nodes) = &self.kind {
            let client = self.cluster(nodes, patience)?;
            for _ in 0..count {
                links.push(Link::Cluster(client.get_async_connection().await?));
            }
            return Ok(links);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience.connect))
            .set_response_timeout(Some(patience.command));
        let Some(client) = self.master().await? else {
            return Err((redis::ErrorKind::Client, "no master").into());
        };
        for _ in 0..count {
            let link = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            links.push(Link::Server(link));
        }
        Ok(links)
    }

    fn cluster(&self, nodes: &[ConnectionInfo], patience: Patience) -> RedisResult<ClusterClient> {
        let mut builder = ClusterClientBuilder::new(nodes.to_vec())
            .connection_timeout(patience.connect)
            .response_timeout(patience.command)
            .retries(2)
            .min_retry_wait(5)
            .max_retry_wait(20);
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder.build()
    }

    /// Opens a connection for subscriptions. In a cluster, every node receives every channel.
    pub(super) async fn listen(&self, patience: Patience) -> RedisResult<redis::aio::PubSub> {
        let connect = async {
            match &self.kind {
                Kind::Cluster(nodes) => {
                    let mut last = (redis::ErrorKind::Client, "no node").into();
                    for node in nodes {
                        match self.client(node.clone())?.get_async_pubsub().await {
                            Ok(connection) => return Ok(connection),
                            Err(error) => last = error,
                        }
                    }
                    Err(last)
                }
                _ => match self.master().await? {
                    Some(client) => client.get_async_pubsub().await,
                    None => Err((redis::ErrorKind::Client, "no master").into()),
                },
            }
        };
        tokio::time::timeout(patience.connect * 4, connect)
            .await
            .unwrap_or_else(|_| Err((redis::ErrorKind::Io, "no reply in time").into()))
    }
}

impl Kind {
    fn shown(&self) -> String {
        let list = |addresses: Vec<String>| addresses.join(",");
        match self {
            Self::Server(info) => match info.addr() {
                ConnectionAddr::Unix(path) => {
                    format!(
                        "unix://{} db {}",
                        path.display(),
                        info.redis_settings().db()
                    )
                }
                addr => format!("{addr}/{}", info.redis_settings().db()),
            },
            Self::Sentinel {
                sentinels,
                master,
                database,
                ..
            } => format!(
                "master {master} of {}/{database}",
                list(sentinels.iter().map(ToString::to_string).collect())
            ),
            Self::Cluster(nodes) => format!(
                "cluster of {}",
                list(nodes.iter().map(|node| node.addr().to_string()).collect())
            ),
        }
    }
}

fn server(url: &str, database: Option<i64>) -> Result<ConnectionInfo, AddressError> {
    let info = url.into_connection_info().map_err(|_| AddressError::Form)?;
    let settings = info.redis_settings().clone();
    Ok(match database {
        Some(number) => info.set_redis_settings(settings.set_db(number)),
        None => info,
    })
}

/// Splits `user:password` from the hosts.
fn credentials(rest: &str) -> (&str, &str) {
    rest.rsplit_once('@').unwrap_or(("", rest))
}

fn cluster(scheme: &str, rest: &str, database: Option<i64>) -> Result<Kind, AddressError> {
    let (credentials, hosts) = credentials(rest);
    let hosts = hosts.trim_end_matches('/');
    if hosts.contains('/') || database.is_some_and(|number| number != 0) {
        return Err(AddressError::ClusterDatabase);
    }
    let at = if credentials.is_empty() { "" } else { "@" };
    let nodes = hosts
        .split(',')
        .map(|host| server(&format!("{scheme}://{credentials}{at}{host}"), None))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Kind::Cluster(nodes))
}

fn sentinel(rest: &str, tls: bool, database: Option<i64>) -> Result<Kind, AddressError> {
    let (credentials, rest) = credentials(rest);
    let (hosts, path) = rest.split_once('/').ok_or(AddressError::Form)?;
    let (master, number) = path.split_once('/').unwrap_or((path, "0"));
    let own: i64 = number.parse().map_err(|_| AddressError::Form)?;
    if master.is_empty() {
        return Err(AddressError::Form);
    }
    // User and password are for the master; the Sentinels get none.
    let sentinels = hosts
        .split(',')
        .map(|host| {
            let host = if host.contains(':') {
                host.to_owned()
            } else {
                format!("{host}:26379")
            };
            server(&format!("redis://{host}"), None).map(|info| info.addr().clone())
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Uses the same parser as the other forms, so that escapes mean the same in all of them.
    let parsed = server(
        &format!(
            "redis://{credentials}{}localhost",
            if credentials.is_empty() { "" } else { "@" }
        ),
        None,
    )?;
    let settings = parsed.redis_settings();
    Ok(Kind::Sentinel {
        sentinels,
        master: master.to_owned(),
        tls,
        user: settings.username().map(str::to_owned),
        password: settings
            .password()
            .map(|password| password.to_owned().into()),
        database: database.unwrap_or(own),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str, database: Option<i64>) -> Result<String, AddressError> {
        Address::parse(&url.to_owned().into(), database, None).map(|address| address.shown)
    }

    #[test]
    fn every_form_is_understood_and_shown_without_its_password() {
        let expected = [
            ("redis://localhost", None, "localhost:6379/0"),
            ("redis://:secret@10.0.0.1:6380/3", None, "10.0.0.1:6380/3"),
            (
                "rediss://me:secret@cache.example/1",
                Some(7),
                "cache.example:6379/7",
            ),
            (
                "unix:///run/redis.sock?db=2",
                None,
                "unix:///run/redis.sock db 2",
            ),
            (
                "redis+sentinel://me:secret@a,b:5000/main/4",
                None,
                "master main of a:26379,b:5000/4",
            ),
            (
                "redis+cluster://:secret@a:7000,b:7001",
                None,
                "cluster of a:7000,b:7001",
            ),
        ];
        for (url, database, address) in expected {
            assert_eq!(shown(url, database).as_deref(), Ok(address), "{url}");
        }
    }

    #[test]
    fn other_forms_are_refused_without_showing_them() {
        for url in [
            "",
            "localhost",
            "http://:secret@localhost",
            "redis+sentinel://a",
            "redis://:secret@host:port",
        ] {
            let refused = shown(url, None).unwrap_err();
            assert_eq!(refused, AddressError::Form, "{url}");
            assert!(!refused.to_string().contains("secret"));
        }
        assert_eq!(
            shown("redis+cluster://a/1", None),
            Err(AddressError::ClusterDatabase)
        );
        assert_eq!(
            shown("redis+cluster://a", Some(1)),
            Err(AddressError::ClusterDatabase)
        );
    }
}
