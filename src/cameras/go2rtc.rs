//! Pictures from go2rtc: a held MJPEG stream where the camera's stream has one, else one
//! picture asked for after the other.
//!
//! go2rtc dials, reads or runs whatever `src` names that it does not know, so only streams of
//! its own configuration are asked for. It answers 200 with nothing at all for a camera that is
//! down, and waits without end for one that stalls: only what arrives counts.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout};

use super::mjpeg::{MOST_BYTES, Parts};
use crate::{
    domain::{cameras::StreamFault, text::StreamName},
    ports::{PictureStream, Sample, StreamError, Streams},
};

/// How to get at go2rtc.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where its API is, `http://host:port`.
    pub url: String,
    /// User and password, when it asks for them.
    pub user: Option<(String, SecretString)>,
}

/// The URL of go2rtc has another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GO2RTC_URL cannot be used: it takes http://host:port")]
pub struct UrlError;

/// go2rtc.
#[derive(Debug, Clone)]
pub struct Go2rtc {
    client: Client,
    access: Access,
}

/// How long a connection may take: it runs beside.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take that waits for no camera.
const ANSWER: Duration = Duration::from_secs(3);
/// How long the first picture may take: go2rtc dials the camera only now, and H.264 waits for a
/// key frame, which many cameras send every ten seconds.
const FIRST_PICTURE: Duration = Duration::from_secs(15);
/// How long any other may take before the stream is given up: it stalls.
const NEXT_PICTURE: Duration = Duration::from_secs(8);
/// How long nothing may come for a picture to be the newest.
const DRAIN: Duration = Duration::from_millis(2);
/// Least time between two pictures that are asked for one by one: each may cost a transcoding.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Longest list of streams, bytes.
const MOST_LIST: usize = 4 << 20;

impl Go2rtc {
    /// Of an address; nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is none of HTTP.
    pub fn new(access: Access) -> Result<Self, UrlError> {
        let client = Client::builder()
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
        // A stream's name needs no escape.
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
            Err(_) => return Err(unreachable("go2rtc has no picture of the camera")),
        };
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(refused(
                "go2rtc wants another user or password: set GO2RTC_USERNAME and GO2RTC_PASSWORD",
            )),
            StatusCode::NOT_FOUND => Err(refused(
                "go2rtc knows nothing of this: is the stream in its configuration, and the path allowed?",
            )),
            status => Err(unreachable(&format!("go2rtc answers {status}"))),
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

/// A whole body of at most so many bytes.
async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, StreamError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|_| unreachable("the connection to go2rtc broke"))?
    {
        if body.len() + chunk.len() > most {
            return Err(unreachable("go2rtc's answer is too large"));
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
        // What the streams are made of may hold the cameras' passwords: it is not even read.
        let list: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&list)
            .map_err(|_| unreachable("what answers at GO2RTC_URL is no go2rtc"))?;
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
            how: How::Unknown,
            asked: None,
        }))
    }
}

/// The pictures of one stream.
struct Pictures {
    go2rtc: Go2rtc,
    stream: StreamName,
    how: How,
    asked: Option<Instant>,
}

/// How they come.
enum How {
    /// Nothing was asked for yet.
    Unknown,
    /// In one answer that does not end.
    Held { answer: Response, parts: Parts },
    /// One by one.
    Asked,
}

#[async_trait]
impl PictureStream for Pictures {
    async fn next(&mut self) -> Result<Sample, StreamError> {
        if matches!(self.how, How::Unknown) {
            if let Some(picture) = self.hold().await? {
                return Ok(picture);
            }
            self.how = How::Asked;
        }
        match &mut self.how {
            How::Held { answer, parts } => timeout(NEXT_PICTURE, held(answer, parts))
                .await
                .map_err(|_| unreachable("the camera sends no more pictures"))??
                .ok_or_else(|| unreachable("go2rtc ended the stream")),
            How::Asked | How::Unknown => self.ask().await,
        }
    }

    fn asked(&self) -> bool {
        matches!(self.how, How::Asked)
    }
}

impl Pictures {
    /// Opens the held stream; its first picture, `None` when there is none to be had.
    async fn hold(&mut self) -> Result<Option<Sample>, StreamError> {
        let begun = self
            .go2rtc
            .send("stream.mjpeg", Some(&self.stream), FIRST_PICTURE);
        let mut answer = begun.await?;
        let mut parts = Parts::default();
        let first = timeout(FIRST_PICTURE, held(&mut answer, &mut parts))
            .await
            .map_err(|_| unreachable("the camera sends no pictures"))??;
        if first.is_some() {
            self.how = How::Held { answer, parts };
        }
        Ok(first)
    }

    /// Asks for one picture, never for two at a time.
    async fn ask(&mut self) -> Result<Sample, StreamError> {
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

/// The newest picture of a held stream; `None` at its end. What has come meanwhile is left out.
async fn held(answer: &mut Response, parts: &mut Parts) -> Result<Option<Sample>, StreamError> {
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
            // What waits comes piece by piece, each only once the one before was taken.
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
            // The end, or the fault, is told at the next call.
            (_, Some(picture)) => return Ok(Some(Sample::new(picture))),
            (Ok(None), None) => return Ok(None),
            (Err(_), None) => return Err(unreachable("the connection to go2rtc broke")),
        }
    }
}
