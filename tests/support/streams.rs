//! Fake cameras that send pictures, stay silent, or fail.

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

/// The behavior of a camera.
#[derive(Debug, Clone)]
pub enum Does {
    /// Sends pictures, numbered from 1, at this interval.
    Sends(Duration),
    /// Never sends anything.
    Nothing,
    /// Fails.
    Fails(StreamError),
}

/// Returns an error of a stream.
pub fn fault(fault: StreamFault, cause: &str) -> StreamError {
    StreamError {
        fault,
        cause: cause.to_owned(),
    }
}

/// Returns a picture with a number: enough of a JPEG to be passed on.
pub fn picture(number: u32) -> Vec<u8> {
    [
        &b"\xff\xd8\r\n\r\n--"[..],
        &number.to_be_bytes(),
        b"\xff\xd9",
    ]
    .concat()
}

/// A fake go2rtc.
#[derive(Clone, Default)]
pub struct FakeStreams {
    cameras: Arc<Mutex<BTreeMap<StreamName, Does>>>,
    unavailable: Arc<Mutex<Option<StreamError>>>,
    open: Arc<AtomicUsize>,
}

impl FakeStreams {
    /// Configures a stream with its behavior.
    pub fn has(&self, name: &str, does: Does) {
        let name = StreamName::parse(name).unwrap();
        self.cameras.lock().unwrap().insert(name, does);
    }

    /// Makes the server itself fail, or work again.
    pub fn set_unavailable(&self, unavailable: Option<StreamError>) {
        *self.unavailable.lock().unwrap() = unavailable;
    }

    /// Returns the number of open streams.
    pub fn open_now(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn answers(&self) -> Result<(), StreamError> {
        self.unavailable.lock().unwrap().clone().map_or(Ok(()), Err)
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
