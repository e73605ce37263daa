//! Sends messages to webhooks with HTTP.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    header::RETRY_AFTER,
    redirect::Policy,
};
use url::{Host, Url};

use super::Allowed;
use crate::{
    http_client::Trust,
    ports::{PostAnswer, PostError, WebhookPosting, WebhookRequest},
};

/// How long the whole exchange may take, and connecting.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);

/// How much of an answer is read, so that its connection can be used again.
const ANSWER_MOST: usize = 4 << 10;

/// The program that receivers see.
const AGENT: &str = concat!("rollcall/", env!("CARGO_PKG_VERSION"));

/// Sends messages to webhooks.
pub struct WebhookSender {
    client: Client,
    allowed: Arc<Allowed>,
}

impl WebhookSender {
    /// Creates the sender, which connects only to what is allowed.
    ///
    /// # Errors
    /// When the client cannot be created.
    pub fn new(allowed: Allowed, trust: &Trust) -> Result<Self, String> {
        let allowed = Arc::new(allowed);
        let client = trust
            .http()
            .dns_resolver(Resolver(allowed.clone()))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(AGENT)
            .build();
        let client = client.map_err(|cause| cause.to_string())?;
        Ok(Self { client, allowed })
    }

    /// Reads a URL, and checks the address that is written in it.
    fn read(&self, url: &str) -> Result<Url, PostError> {
        let refused = |why: &str| PostError::Refused(why.to_owned());
        let url = Url::parse(url).map_err(|_| refused("the URL is invalid"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("the URL is not of http or https"));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(url),
            None => return Err(refused("the URL has no host")),
        };
        match self.allowed.address(address) {
            true => Ok(url),
            false => Err(PostError::Refused(NotAllowed(address).to_string())),
        }
    }
}

#[async_trait]
impl WebhookPosting for WebhookSender {
    fn check(&self, url: &str) -> Result<(), PostError> {
        self.read(url).map(drop)
    }

    async fn post(&self, request: WebhookRequest) -> Result<PostAnswer, PostError> {
        let url = self.read(&request.url)?;
        let mut sent = self.client.post(url).body(request.body);
        for (name, value) in request.headers {
            sent = sent.header(name, value);
        }
        let mut answer = sent.send().await.map_err(unanswered)?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut read = 0;
        while read < ANSWER_MOST {
            match answer.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                // The status says enough.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(PostAnswer {
            status,
            retry_after,
        })
    }
}

/// Says why there is no answer, without the URL, which may contain a key.
fn unanswered(error: reqwest::Error) -> PostError {
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut last = String::new();
    while let Some(this) = cause {
        if let Some(refused) = this.downcast_ref::<NotAllowed>() {
            return PostError::Refused(refused.to_string());
        }
        last = this.to_string();
        cause = this.source();
    }
    PostError::NoAnswer(match error {
        _ if error.is_timeout() => "the receiver did not answer in time".to_owned(),
        _ if error.is_connect() => format!("could not connect: {last}"),
        _ => format!("the connection broke: {last}"),
    })
}

/// The error for an address to which the service may not connect.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address {0} is not on the internet: if the receiver is in your own network, add it to WEBHOOK_ALLOW"
)]
struct NotAllowed(IpAddr);

/// Resolves names, and leaves out addresses that are not allowed. The client connects to what is
/// left, so a name cannot lead elsewhere after the check.
struct Resolver(Arc<Allowed>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
            let any = allowed.host(name);
            let fits = |address: IpAddr| any || allowed.address(address);
            let refused = found.iter().map(SocketAddr::ip).find(|one| !fits(*one));
            let left: Vec<_> = found.into_iter().filter(|one| fits(one.ip())).collect();
            match (left.is_empty(), refused) {
                (true, Some(address)) => Err(NotAllowed(address).into()),
                _ => Ok(Box::new(left.into_iter()) as Addrs),
            }
        })
    }
}
