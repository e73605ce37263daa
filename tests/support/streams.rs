//! Cameras that do what a test says: frames, silence, refusal.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rollcall::{
    domain::{cameras::StreamFault, text::StreamName},
    ports::{PictureStream, Sample, StreamError, Streams},
};

/// What a camera does.
#[derive(Debug, Clone)]
pub enum Does {
    /// Sends pictures, numbered from 1 on, with so much time between two.
    Sends(Duration),
    /// Never says anything.
    Nothing,
    /// Fails.
    Fails(StreamError),
}

/// A fault in words.
pub fn fault(fault: StreamFault, cause: &str) -> StreamError {
    StreamError {
        fault,
        cause: cause.to_owned(),
    }
}

/// The picture of a number: not one that could be shown, but JPEG enough to be passed on.
pub fn picture(number: u32) -> Vec<u8> {
    [
        &b"\xff\xd8\r\n\r\n--"[..],
        &number.to_be_bytes(),
        b"\xff\xd9",
    ]
    .concat()
}

/// The server that brings in the cameras.
#[derive(Clone, Default)]
pub struct FakeStreams {
    cameras: Arc<Mutex<BTreeMap<StreamName, Does>>>,
    away: Arc<Mutex<Option<StreamError>>>,
    open: Arc<AtomicUsize>,
}

impl FakeStreams {
    /// A stream that is configured, and what its camera does.
    pub fn has(&self, name: &str, does: Does) {
        let name = StreamName::parse(name).unwrap();
        self.cameras.lock().unwrap().insert(name, does);
    }

    /// Whether the server itself fails.
    pub fn away(&self, away: Option<StreamError>) {
        *self.away.lock().unwrap() = away;
    }

    /// How many streams are open.
    pub fn open_now(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn answers(&self) -> Result<(), StreamError> {
        self.away.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Streams for FakeStreams {
    async fn names(&self) -> Result<Vec<StreamName>, StreamError> {
        self.answers()?;
        Ok(self.cameras.lock().unwrap().keys().cloned().collect())
    }

    async fn open(&self, stream: &StreamName) -> Result<Box<dyn PictureStream>, StreamError> {
        self.answers()?;
        let does = self.cameras.lock().unwrap().get(stream).cloned();
        let does = does.ok_or_else(|| fault(StreamFault::Refused, "no such stream"))?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakePictures {
            does,
            number: 0,
            open: self.open.clone(),
        }))
    }
}

struct FakePictures {
    does: Does,
    number: u32,
    open: Arc<AtomicUsize>,
}

#[async_trait]
impl PictureStream for FakePictures {
    async fn next(&mut self) -> Result<Sample, StreamError> {
        match &self.does {
            Does::Sends(every) => tokio::time::sleep(*every).await,
            Does::Nothing => std::future::pending().await,
            Does::Fails(error) => return Err(error.clone()),
        }
        self.number += 1;
        Ok(Sample::new(picture(self.number)))
    }
}

impl Drop for FakePictures {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}
