//! Pictures from go2rtc: an MJPEG stream if the camera's stream has one, else one request per
//! picture.
//!
//! If go2rtc does not know the stream in `src`, it dials, reads or runs that text, so only
//! configured streams are requested. go2rtc returns an empty 200 for a camera that is down, and
//! waits forever for one that stalls, so only received pictures count.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout};

use super::mjpeg::{MOST_BYTES, Parts};
use crate::{
    domain::{cameras::StreamFault, text::StreamName},
    http_client,
    ports::{PictureStream, Sample, StreamError, Streams},
};

/// The address and credentials of go2rtc.
#[derive(Debug, Clone)]
pub struct Access {
    /// URL of its API, `http://host:port`.
    pub url: String,
    /// User and password, if it requires them.
    pub user: Option<(String, SecretString)>,
}

/// The error for an invalid URL of go2rtc.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GO2RTC_URL is invalid; it must be http://host:port")]
pub struct UrlError;

/// A client of go2rtc.
#[derive(Debug, Clone)]
pub struct Go2rtc {
    client: Client,
    access: Access,
}

/// Timeout of a connection; short, because go2rtc runs next to the service.
const CONNECT: Duration = Duration::from_secs(2);
/// Timeout of a response that does not depend on a camera.
const ANSWER: Duration = Duration::from_secs(3);
/// Timeout of the first picture: go2rtc dials the camera on request, and H.264 waits for a key
/// frame, which many cameras send every ten seconds.
const FIRST_PICTURE: Duration = Duration::from_secs(15);
/// Timeout of any other picture, after which the stream counts as stalled.
const NEXT_PICTURE: Duration = Duration::from_secs(8);
/// Pause in the received bytes after which a picture counts as the newest.
const DRAIN: Duration = Duration::from_millis(2);
/// Minimum time between two requests for single pictures, because each may cost a transcoding.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Maximum size of the list of streams, in bytes.
const MOST_LIST: usize = 4 << 20;

impl Go2rtc {
    /// Creates a client without connecting.
    ///
    /// # Errors
    /// Fails if the URL is not an HTTP URL.
    pub fn new(access: Access) -> Result<Self, UrlError> {
        let client = http_client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| UrlError)?;
        let url = access.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") {
            return Err(UrlError);
        }
        let go2rtc = Self {
            client,
            access: Access { url, ..access },
        };
        let parses = go2rtc.request("streams", None).build().is_ok();
        parses.then_some(go2rtc).ok_or(UrlError)
    }

    fn request(&self, path: &str, src: Option<&StreamName>) -> reqwest::RequestBuilder {
        // A stream's name needs no escaping.
        let query = src.map(|name| format!("?src={name}")).unwrap_or_default();
        let request = self
            .client
            .get(format!("{}/api/{path}{query}", self.access.url));
        match &self.access.user {
            Some((user, password)) => request.basic_auth(user, Some(password.expose_secret())),
            None => request,
        }
    }

    async fn send(
        &self,
        path: &str,
        src: Option<&StreamName>,
        patience: Duration,
    ) -> Result<Response, StreamError> {
        let answer = timeout(patience, self.request(path, src).send()).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                return Err(unreachable(
                    "go2rtc does not answer: is it running, and is GO2RTC_URL right?",
                ));
            }
            Err(_) => return Err(unreachable("go2rtc did not return a picture in time")),
        };
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(refused(
                "go2rtc rejected the user name or password: set GO2RTC_USERNAME and GO2RTC_PASSWORD",
            )),
            StatusCode::NOT_FOUND => Err(refused(
                "go2rtc returned 404: is the stream in its configuration, and is the path allowed?",
            )),
            status => Err(unreachable(&format!("go2rtc returned {status}"))),
        }
    }
}

fn unreachable(cause: &str) -> StreamError {
    StreamError {
        fault: StreamFault::Unreachable,
        cause: cause.to_owned(),
    }
}

fn refused(cause: &str) -> StreamError {
    StreamError {
        fault: StreamFault::Refused,
        cause: cause.to_owned(),
    }
}

/// Reads a whole body of at most `most` bytes.
async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, StreamError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|_| unreachable("the connection to go2rtc broke"))?
    {
        if body.len() + chunk.len() > most {
            return Err(unreachable("go2rtc's response is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[async_trait]
impl Streams for Go2rtc {
    async fn names(&self) -> Result<Vec<StreamName>, StreamError> {
        let answer = self.send("streams", None, ANSWER).await?;
        let list = timeout(ANSWER, body(answer, MOST_LIST))
            .await
            .map_err(|_| unreachable("go2rtc does not answer in time"))??;
        // The details of a stream are not read, because they may contain passwords of cameras.
        let list: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&list)
            .map_err(|_| unreachable("the server at GO2RTC_URL is not go2rtc"))?;
        Ok(list
            .keys()
            .filter_map(|name| StreamName::parse(name).ok())
            .collect())
    }

    async fn open(&self, stream: &StreamName) -> Result<Box<dyn PictureStream>, StreamError> {
        if !self.names().await?.contains(stream) {
            return Err(refused("go2rtc has no stream of this name"));
        }
        Ok(Box::new(Pictures {
            go2rtc: self.clone(),
            stream: stream.clone(),
            delivery: Delivery::Unknown,
            asked: None,
        }))
    }
}

/// The pictures of one stream.
struct Pictures {
    go2rtc: Go2rtc,
    stream: StreamName,
    delivery: Delivery,
    /// When a single picture was last requested.
    asked: Option<Instant>,
}

/// How go2rtc delivers the pictures.
enum Delivery {
    /// Not known before the first request.
    Unknown,
    /// As an MJPEG stream, in one endless response.
    Stream { answer: Response, parts: Parts },
    /// One request per picture.
    Single,
}

#[async_trait]
impl PictureStream for Pictures {
    async fn next(&mut self) -> Result<Sample, StreamError> {
        if matches!(self.delivery, Delivery::Unknown) {
            if let Some(picture) = self.open_stream().await? {
                return Ok(picture);
            }
            self.delivery = Delivery::Single;
        }
        match &mut self.delivery {
            Delivery::Stream { answer, parts } => timeout(NEXT_PICTURE, newest(answer, parts))
                .await
                .map_err(|_| unreachable("the camera stopped sending pictures"))??
                .ok_or_else(|| unreachable("go2rtc closed the stream")),
            Delivery::Single | Delivery::Unknown => self.request_picture().await,
        }
    }

    fn asked(&self) -> bool {
        matches!(self.delivery, Delivery::Single)
    }
}

impl Pictures {
    /// Opens the MJPEG stream and returns its first picture; `None` if there is no such stream.
    async fn open_stream(&mut self) -> Result<Option<Sample>, StreamError> {
        let begun = self
            .go2rtc
            .send("stream.mjpeg", Some(&self.stream), FIRST_PICTURE);
        let mut answer = begun.await?;
        let mut parts = Parts::default();
        let first = timeout(FIRST_PICTURE, newest(&mut answer, &mut parts))
            .await
            .map_err(|_| unreachable("the camera sends no pictures"))??;
        if first.is_some() {
            self.delivery = Delivery::Stream { answer, parts };
        }
        Ok(first)
    }

    /// Requests one picture, at most one every [`ASK_EVERY`].
    async fn request_picture(&mut self) -> Result<Sample, StreamError> {
        let first = self.asked.is_none();
        if let Some(asked) = self.asked {
            tokio::time::sleep_until(asked + ASK_EVERY).await;
        }
        self.asked = Some(Instant::now());
        let patience = if first { FIRST_PICTURE } else { NEXT_PICTURE };
        let answer = async {
            let answer = self
                .go2rtc
                .send("frame.jpeg", Some(&self.stream), patience)
                .await?;
            body(answer, MOST_BYTES).await
        };
        let picture = timeout(patience, answer)
            .await
            .map_err(|_| unreachable("the camera sends no pictures"))??;
        if picture.is_empty() {
            return Err(unreachable(
                "go2rtc has no picture of the camera: is the camera on, and its address in go2rtc right?",
            ));
        }
        Ok(Sample::new(picture))
    }
}

/// Returns the newest picture of an MJPEG stream and drops older ones; `None` at its end.
async fn newest(answer: &mut Response, parts: &mut Parts) -> Result<Option<Sample>, StreamError> {
    let mut newest = None;
    loop {
        while let Some(picture) = parts
            .next()
            .map_err(|cause| unreachable(&cause.to_string()))?
        {
            newest = Some(picture);
        }
        let chunk = match &newest {
            None => answer.chunk().await,
            // Buffered data arrives in chunks, each after the one before was read.
            Some(picture) => match timeout(DRAIN, answer.chunk()).await {
                Ok(chunk) => chunk,
                Err(_) => return Ok(Some(Sample::new(picture.clone()))),
            },
        };
        match (chunk, newest.take()) {
            (Ok(Some(chunk)), picture) => {
                newest = picture;
                parts.push(&chunk);
            }
            // The next call reports the end or the error.
            (_, Some(picture)) => return Ok(Some(Sample::new(picture))),
            (Ok(None), None) => return Ok(None),
            (Err(_), None) => return Err(unreachable("the connection to go2rtc broke")),
        }
    }
}
