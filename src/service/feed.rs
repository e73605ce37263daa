//! The live feed: word of what was just written, to every instance. Only identities travel;
//! what they stand for is read from the store by whoever may see it.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;

use crate::{
    domain::ids::{CameraId, DeviceId, EmployeeId, JobId, PunchId},
    ports::{BUS_BEGINS, Bus, Message},
};

/// What is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A punch was written.
    Punch(PunchId),
    /// An employee, or what is enrolled of them, was changed.
    Employee(EmployeeId),
    /// A device was registered or withdrawn.
    Device(DeviceId),
    /// A camera was added, changed or removed, or is in another state.
    Camera(CameraId),
    /// A job was queued, or given back.
    Job(JobId),
    /// Some news were missed: whoever follows reads the store.
    Missed,
}

/// Tells and hears news.
#[derive(Clone)]
pub struct Feed(Arc<dyn Bus>);

impl Feed {
    /// Over a bus.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self(bus)
    }

    /// Tells every instance. Nothing is lost when that fails: news are in the store first.
    pub async fn tell(&self, news: News) {
        let (topic, id) = match news {
            News::Punch(id) => ("punch", id.uuid()),
            News::Employee(id) => ("employee", id.uuid()),
            News::Device(id) => ("device", id.uuid()),
            News::Camera(id) => ("camera", id.uuid()),
            News::Job(id) => ("job", id.uuid()),
            News::Missed => return,
        };
        self.0.publish(topic, id.as_bytes()).await;
    }

    /// Hears what is told from now on.
    pub fn follow(&self) -> Following {
        Following(self.0.subscribe())
    }
}

/// Hears news one after the other.
pub struct Following(Receiver<Message>);

impl Following {
    /// Waits for news that are wanted, or for word that some were missed. Without anybody who tells
    /// any more it waits for ever: whoever follows asks the store as well.
    pub async fn until(&mut self, wanted: impl Fn(News) -> bool) {
        loop {
            match self.next().await {
                Some(news) if news == News::Missed || wanted(news) => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// The next news; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            match self.0.recv().await {
                Ok(message) => {
                    if let Some(news) = read(&message) {
                        return Some(news);
                    }
                }
                Err(RecvError::Lagged(_)) => return Some(News::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// `None` for what this version does not know.
fn read(message: &Message) -> Option<News> {
    let id = Uuid::from_slice(&message.payload).ok()?;
    match message.topic.as_str() {
        "punch" => Some(News::Punch(PunchId::new(id))),
        "employee" => Some(News::Employee(EmployeeId::new(id))),
        "device" => Some(News::Device(DeviceId::new(id))),
        "camera" => Some(News::Camera(CameraId::new(id))),
        "job" => Some(News::Job(JobId::new(id))),
        BUS_BEGINS => Some(News::Missed),
        _ => None,
    }
}
