//! The live feed: tells every instance which records were just written. Only IDs travel. A
//! subscriber reads the records from the store, if its user may see them.

use std::sync::Arc;

use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use uuid::Uuid;

use crate::{
    domain::ids::{CameraId, DeviceId, EmployeeId, JobId, PunchId, SiteId},
    ports::{BUS_BEGINS, Bus, Message},
};

/// A change of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A punch was written.
    Punch(PunchId),
    /// An employee or an enrollment was changed.
    Employee(EmployeeId),
    /// A site was added, changed or removed.
    Site(SiteId),
    /// A device was registered, changed or revoked.
    Device(DeviceId),
    /// A camera was added, changed or removed, or its state changed.
    Camera(CameraId),
    /// A job was queued.
    Job(JobId),
    /// What is planned for an employee was changed, or their leave; `None` if it may concern
    /// everybody: rules, shifts, cycles, holidays.
    Plan(Option<EmployeeId>),
    /// A timesheet of an employee or a correction in it was changed.
    Timesheet(EmployeeId),
    /// Some news were missed: subscribers must read the store.
    Missed,
}

/// Publishes news to all instances, and receives theirs.
#[derive(Clone)]
pub struct Feed(Arc<dyn Bus>);

impl Feed {
    /// Makes a feed over a bus.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self(bus)
    }

    /// Publishes news to every instance. Nothing is lost when that fails, because the record is in
    /// the store already.
    pub async fn publish(&self, news: News) {
        let (topic, id) = match news {
            News::Punch(id) => ("punch", id.uuid()),
            News::Employee(id) => ("employee", id.uuid()),
            News::Site(id) => ("site", id.uuid()),
            News::Device(id) => ("device", id.uuid()),
            News::Camera(id) => ("camera", id.uuid()),
            News::Job(id) => ("job", id.uuid()),
            News::Plan(id) => ("plan", id.map_or(Uuid::nil(), EmployeeId::uuid)),
            News::Timesheet(id) => ("timesheet", id.uuid()),
            News::Missed => return,
        };
        self.0.publish(topic, id.as_bytes()).await;
    }

    /// Subscribes to news from now on.
    pub fn follow(&self) -> Following {
        Following(self.0.subscribe())
    }
}

/// A subscription to news.
pub struct Following(Receiver<Message>);

impl Following {
    /// Waits for wanted news, or until some were missed. Waits forever once the bus has closed, so
    /// callers ask the store at intervals, too.
    pub async fn until(&mut self, wanted: impl Fn(News) -> bool) {
        loop {
            match self.next().await {
                Some(news) if news == News::Missed || wanted(news) => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the next news that have arrived already.
    pub fn try_next(&mut self) -> Option<News> {
        loop {
            match self.0.try_recv() {
                Ok(message) => {
                    if let Some(news) = read(&message) {
                        return Some(news);
                    }
                }
                Err(TryRecvError::Lagged(_)) => return Some(News::Missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// Returns the next news; `None` once the bus has closed.
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

/// Returns the news in a message; `None` for topics that this version does not know.
fn read(message: &Message) -> Option<News> {
    let id = Uuid::from_slice(&message.payload).ok()?;
    match message.topic.as_str() {
        "punch" => Some(News::Punch(PunchId::new(id))),
        "employee" => Some(News::Employee(EmployeeId::new(id))),
        "site" => Some(News::Site(SiteId::new(id))),
        "device" => Some(News::Device(DeviceId::new(id))),
        "camera" => Some(News::Camera(CameraId::new(id))),
        "job" => Some(News::Job(JobId::new(id))),
        "plan" => Some(News::Plan((!id.is_nil()).then(|| EmployeeId::new(id)))),
        "timesheet" => Some(News::Timesheet(EmployeeId::new(id))),
        BUS_BEGINS => Some(News::Missed),
        _ => None,
    }
}
