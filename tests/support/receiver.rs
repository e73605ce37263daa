//! A receiver of webhooks: a real HTTP server on loopback, which answers as a test wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn topic(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// What the receiver answers.
#[derive(Debug, Clone, Default)]
pub struct Answering {
    /// The status; 204 by default.
    pub status: Option<u16>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// For how many seconds it wants no other message.
    pub retry_after: Option<u32>,
    /// How long an answer takes.
    pub after: Duration,
}

type Script = Arc<dyn Fn(&Received) -> Answering + Send + Sync>;

/// The most time that a test waits for a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running receiver.
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that accepts everything.
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    /// Starts one at an address.
    pub async fn at(address: SocketAddr) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(|_| Answering::default())));
        let (log, plan) = (received.clone(), script.clone());
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (log, plan) = (log.clone(), plan.clone());
            async move {
                let message = Received {
                    headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let script = plan.lock().unwrap().clone();
                let answer = script(&message);
                log.lock().unwrap().push(message);
                tokio::time::sleep(answer.after).await;
                let status = StatusCode::from_u16(answer.status.unwrap_or(204)).unwrap();
                let mut headers = HeaderMap::new();
                if let Some(location) = answer.location {
                    headers.insert(header::LOCATION, location.parse().unwrap());
                }
                if let Some(seconds) = answer.retry_after {
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
                (status, headers).into_response()
            }
        };
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            received,
            script,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?key=s3cret", self.address)
    }

    /// Answers as `script` says from now on.
    pub fn answers(&self, script: impl Fn(&Received) -> Answering + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Answers with a status from now on.
    pub fn answers_with(&self, status: u16) {
        self.answers(move |_| Answering {
            status: Some(status),
            ..Answering::default()
        });
    }

    /// Returns what has arrived.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until `enough` of what arrived is true; returns it.
    pub async fn until(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let begin = Instant::now();
        loop {
            let received = self.received();
            if enough(&received) {
                return received;
            }
            assert!(begin.elapsed() < PATIENCE, "{received:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for this many messages.
    pub async fn count(&self, count: usize) -> Vec<Received> {
        self.until(|received| received.len() >= count).await
    }

    /// Stops listening.
    pub async fn stop(self) -> SocketAddr {
        self.server.abort();
        let _ = self.server.await;
        self.address
    }
}
