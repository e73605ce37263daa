//! Cameras: adding, changing and removing them, how they are, and looking through one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use super::{
    application_cache::AppCache,
    audit::Audit,
    feed::{Feed, News},
};
use crate::{
    clock::Clock,
    domain::{
        accounts::{Account, Actor, Permission},
        cameras::{Camera, CameraStatus, Direction, LookEvery, StreamFault, VisitGap, WatchHours},
        ids::{CameraId, EmployeeId},
        text::{Email, Name, SiteName, StreamName},
    },
    ports::{
        AccountStore, CameraStore, FaceBox, Page, PictureStream, Sample, StoreError, StreamError,
        Streams,
    },
};

/// Why something could not be done with a camera.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// There is no such camera.
    #[error("there is no such camera")]
    NotFound,
    /// Another camera has the stream.
    #[error("another camera has this stream")]
    StreamTaken,
    /// No account has the address of somebody who is to look.
    #[error("nobody signs in with {0}: make an account for them first")]
    NoAccount(Email),
    /// go2rtc is not configured with the stream.
    #[error("go2rtc has no stream of this name: add it to its configuration first")]
    UnknownStream,
    /// Others kept changing it at the same time.
    #[error("others are changing this camera at the same time")]
    Raced,
    /// As many look already as may.
    #[error("{VIEWERS_MOST} others look already: try again in a moment")]
    TooManyViewers,
    /// There is no picture.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A camera to be added.
#[derive(Debug, Clone)]
pub struct NewCamera {
    /// What people call it.
    pub name: Name,
    /// The stream's name in go2rtc.
    pub stream: StreamName,
    /// Where it stands.
    pub site: Option<SiteName>,
    /// Which way people pass it.
    pub direction: Direction,
    /// When it is watched; always without hours.
    pub hours: Option<WatchHours>,
    /// How often it is looked at.
    pub every: LookEvery,
    /// What a new visit is.
    pub visit: VisitGap,
    /// Who may look besides admins; everybody who signs in without.
    pub viewers: Option<Vec<Email>>,
}

/// What to change of a camera; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct CameraChange {
    /// A new name.
    pub name: Option<Name>,
    /// Another stream.
    pub stream: Option<StreamName>,
    /// Another site, or none.
    pub site: Option<Option<SiteName>>,
    /// Another direction.
    pub direction: Option<Direction>,
    /// Other hours, or none.
    pub hours: Option<Option<WatchHours>>,
    /// How often it is looked at.
    pub every: Option<LookEvery>,
    /// What a new visit is.
    pub visit: Option<VisitGap>,
    /// Whether it is watched.
    pub active: Option<bool>,
    /// Who may look besides admins, or everybody.
    pub viewers: Option<Option<Vec<Email>>>,
}

impl CameraChange {
    fn apply(&self, camera: &Camera) -> Camera {
        let change = self.clone();
        Camera {
            name: change.name.unwrap_or_else(|| camera.name.clone()),
            stream: change.stream.unwrap_or_else(|| camera.stream.clone()),
            site: change.site.unwrap_or_else(|| camera.site.clone()),
            direction: change.direction.unwrap_or(camera.direction),
            hours: change.hours.unwrap_or_else(|| camera.hours.clone()),
            every: change.every.unwrap_or(camera.every),
            visit: change.visit.unwrap_or(camera.visit),
            active: change.active.unwrap_or(camera.active),
            viewers: change.viewers.unwrap_or_else(|| camera.viewers.clone()),
            ..camera.clone()
        }
    }
}

/// A camera and how it is, as far as somebody said.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The camera.
    pub camera: Camera,
    /// What was last said of it.
    pub status: Option<CameraStatus>,
    /// Whether somebody says so still.
    pub fresh: bool,
}

/// A stream that go2rtc is configured with.
#[derive(Debug, Clone)]
pub struct Configured {
    /// Its name.
    pub stream: StreamName,
    /// The camera that uses it.
    pub camera: Option<Camera>,
}

/// Faces in the last picture of a camera that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// When it was.
    pub at: Timestamp,
    /// Width of the picture, pixels.
    pub width: u32,
    /// Height of the picture, pixels.
    pub height: u32,
    /// The faces.
    pub faces: Vec<OverlayFace>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverlayFace {
    /// Left edge, pixels.
    pub x: f32,
    /// Upper edge, pixels.
    pub y: f32,
    /// Width, pixels.
    pub width: f32,
    /// Height, pixels.
    pub height: f32,
    /// Who it is, once that is known.
    pub employee: Option<EmployeeId>,
}

impl OverlayFace {
    /// A face that was found, and who it is.
    pub fn new(bounds: FaceBox, employee: Option<EmployeeId>) -> Self {
        Self {
            x: bounds.x,
            y: bounds.y,
            width: bounds.width,
            height: bounds.height,
            employee,
        }
    }
}

/// Where whoever watches a camera leaves the faces that it sees, for whoever looks at the live
/// picture on any instance. No record: gone in a moment, and left only while somebody asks.
#[derive(Clone)]
pub struct Overlays {
    cache: AppCache,
    /// By camera, until when it is known whether somebody asks, and whether.
    asked: Arc<Mutex<HashMap<CameraId, (Instant, bool)>>>,
}

/// How long after somebody asked what a camera sees is left for them.
const ASKED: Duration = Duration::from_secs(12);
/// How often whoever watches looks whether somebody asks, and whoever asks says so.
const ASK_EVERY: Duration = Duration::from_secs(2);

impl Overlays {
    /// How long they are good for: whoever watches a camera looks more often.
    pub const LIVES: Duration = Duration::from_secs(12);

    /// Over a cache.
    pub fn new(cache: AppCache) -> Self {
        Self {
            cache,
            asked: Arc::default(),
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<CameraId, (Instant, bool)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of whether somebody asks.
    fn known(&self, camera: CameraId) -> Option<bool> {
        let (until, asked) = *self.asked().get(&camera)?;
        (Instant::now() < until).then_some(asked)
    }

    fn know(&self, camera: CameraId, asked: bool) {
        let until = Instant::now() + ASK_EVERY;
        self.asked().insert(camera, (until, asked));
    }

    fn asked_key(camera: CameraId) -> String {
        format!("asked:{camera}")
    }

    fn key(camera: CameraId) -> String {
        format!("faces:{camera}")
    }

    /// Leaves what is seen now, if somebody asks.
    pub async fn show(&self, camera: CameraId, overlay: &Overlay) {
        let asked = match self.known(camera) {
            Some(asked) => asked,
            None => {
                let asked = self.cache.get(&Self::asked_key(camera)).await;
                self.know(camera, asked.unwrap_or(false));
                asked.unwrap_or(false)
            }
        };
        if asked {
            let key = Self::key(camera);
            self.cache.set_for(&key, overlay, Self::LIVES).await;
        }
    }

    /// What was seen last; `None` when that is long ago, or nobody asked until now.
    pub async fn of(&self, camera: CameraId) -> Option<Overlay> {
        if self.known(camera) != Some(true) {
            let key = Self::asked_key(camera);
            self.cache.set_for(&key, &true, ASKED).await;
            self.know(camera, true);
        }
        self.cache.get(&Self::key(camera)).await
    }
}

/// How often a change is tried when others change the same at that moment.
const TRIES: usize = 8;

/// How long the first picture may take.
const FIRST_PICTURE: Duration = Duration::from_secs(10);

/// How many live pictures, and how many single ones, are open at the same time at most, of all
/// cameras on this instance: each costs a connection to go2rtc, and for H.264 a transcoding.
const VIEWERS_MOST: usize = 8;

/// Least time between two live pictures.
const LIVE_EVERY: Duration = Duration::from_millis(100);

/// How many cameras are read at once.
const PAGE: usize = 200;

/// Who may look through a camera, in words of the audit trail.
fn who_may_look(camera: &Camera) -> String {
    match camera.viewers.as_deref() {
        None => "viewers: everybody".to_owned(),
        Some([]) => "viewers: admins".to_owned(),
        Some(some) => {
            let some: Vec<&str> = some.iter().map(Email::as_str).collect();
            format!("viewers: admins, {}", some.join(", "))
        }
    }
}

/// All that are not removed, however many.
pub async fn every_camera(store: &dyn CameraStore) -> Result<Vec<Camera>, StoreError> {
    let (mut cameras, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after, limit: PAGE };
        let found = store.list(&page).await?;
        after = found.last().map(|last| last.id);
        let more = found.len() == PAGE;
        cameras.extend(found);
        if !more {
            return Ok(cameras);
        }
    }
}

/// Cameras.
pub struct Cameras {
    store: Arc<dyn CameraStore>,
    accounts: Arc<dyn AccountStore>,
    streams: Arc<dyn Streams>,
    overlays: Overlays,
    audit: Audit,
    clock: Arc<dyn Clock>,
    feed: Feed,
    /// For live pictures.
    seats: Arc<Semaphore>,
    /// For single ones.
    glances: Semaphore,
}

impl Cameras {
    /// Over stores and the server that brings in the pictures.
    pub fn new(
        (store, accounts): (Arc<dyn CameraStore>, Arc<dyn AccountStore>),
        streams: Arc<dyn Streams>,
        overlays: Overlays,
        audit: Audit,
        clock: Arc<dyn Clock>,
        feed: Feed,
    ) -> Self {
        Self {
            store,
            accounts,
            streams,
            overlays,
            audit,
            clock,
            feed,
            seats: Arc::new(Semaphore::new(VIEWERS_MOST)),
            glances: Semaphore::new(VIEWERS_MOST),
        }
    }

    /// Adds one. Its stream must be one that go2rtc is configured with; when go2rtc does not say,
    /// the camera is added all the same, and its state tells.
    pub async fn add(&self, actor: Actor, new: NewCamera) -> Result<Camera, CameraError> {
        self.check_stream(&new.stream).await?;
        self.check_viewers(new.viewers.as_deref()).await?;
        let camera = Camera {
            id: CameraId::new(self.clock.id()),
            name: new.name,
            stream: new.stream,
            site: new.site,
            direction: new.direction,
            hours: new.hours,
            every: new.every,
            visit: new.visit,
            active: true,
            created_at: self.clock.now(),
            removed_at: None,
            viewers: new.viewers,
        };
        // First, as everywhere: no camera is there of which the trail does not tell.
        self.audit
            .record(actor, "camera.add", camera.id, Some(who_may_look(&camera)))
            .await?;
        match self.store.insert(&camera).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => return Err(CameraError::StreamTaken),
            Err(error) => return Err(error.into()),
        }
        self.feed.tell(News::Camera(camera.id)).await;
        Ok(camera)
    }

    async fn check_stream(&self, stream: &StreamName) -> Result<(), CameraError> {
        match self.streams.names().await {
            Ok(names) if !names.contains(stream) => Err(CameraError::UnknownStream),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Nobody is to look who cannot sign in: a wrong address would be found out too late.
    async fn check_viewers(&self, viewers: Option<&[Email]>) -> Result<(), CameraError> {
        for email in viewers.unwrap_or_default() {
            if self.accounts.find_by_email(email).await?.is_none() {
                return Err(CameraError::NoAccount(email.clone()));
            }
        }
        Ok(())
    }

    /// Whether somebody may hear of a camera, removed or not.
    pub async fn concerns(&self, id: CameraId, by: &Account) -> Result<bool, StoreError> {
        let camera = self.store.find(id).await?;
        Ok(camera.is_none_or(|camera| camera.shown_to(by)))
    }

    /// One that is not removed and that somebody may see: of others they do not even know.
    pub async fn seen_by(&self, id: CameraId, by: &Account) -> Result<Camera, CameraError> {
        let camera = self.find(id).await?;
        let shown = camera.shown_to(by);
        shown.then_some(camera).ok_or(CameraError::NotFound)
    }

    /// Whether somebody may see what a camera saw, also after it was removed; of one that nobody
    /// knows, only admins may.
    pub async fn shows(&self, id: CameraId, by: &Account) -> Result<bool, CameraError> {
        let camera = self.store.find(id).await?;
        Ok(match camera {
            Some(camera) => camera.shown_to(by),
            None => by.role.permits(Permission::Administer),
        })
    }

    /// One that is not removed.
    async fn find(&self, id: CameraId) -> Result<Camera, CameraError> {
        let camera = self.store.find(id).await?;
        camera
            .filter(|camera| camera.removed_at.is_none())
            .ok_or(CameraError::NotFound)
    }

    /// One that somebody may see, and how it is.
    pub async fn watched(&self, id: CameraId, by: &Account) -> Result<Watched, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let watched = self.with_statuses(vec![camera]).await?.pop();
        watched.ok_or(CameraError::NotFound)
    }

    /// A page of those not removed that somebody may see, and how they are.
    pub async fn list(
        &self,
        page: &Page<CameraId>,
        by: &Account,
    ) -> Result<Vec<Watched>, StoreError> {
        let (mut shown, mut after, limit) = (Vec::new(), page.after, page.limit);
        while shown.len() < limit {
            let found = self.store.list(&Page { after, limit }).await?;
            after = found.last().map(|last| last.id);
            let more = found.len() == limit;
            shown.extend(found.into_iter().filter(|camera| camera.shown_to(by)));
            if !more {
                break;
            }
        }
        shown.truncate(limit);
        self.with_statuses(shown).await
    }

    async fn with_statuses(&self, cameras: Vec<Camera>) -> Result<Vec<Watched>, StoreError> {
        let ids: Vec<_> = cameras.iter().map(|camera| camera.id).collect();
        let mut statuses = self.store.statuses(&ids).await?;
        let now = self.clock.now();
        let cameras = cameras.into_iter().map(|camera| {
            let status = statuses.iter().position(|(id, _)| *id == camera.id);
            let status = status.map(|place| statuses.swap_remove(place).1);
            Watched {
                fresh: status.as_ref().is_some_and(|status| status.fresh(now)),
                camera,
                status,
            }
        });
        Ok(cameras.collect())
    }

    /// Cameras by identity, removed ones too: the names behind punches.
    pub async fn find_many(&self, ids: &[CameraId]) -> Result<Vec<Camera>, StoreError> {
        if ids.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.find_many(ids).await
        }
    }

    /// Changes one. Another stream is held to what [`add`](Self::add) holds it to.
    pub async fn change(
        &self,
        actor: Actor,
        id: CameraId,
        change: CameraChange,
    ) -> Result<Camera, CameraError> {
        let camera = self.find(id).await?;
        if let Some(stream) = change.stream.as_ref().filter(|new| **new != camera.stream) {
            self.check_stream(stream).await?;
        }
        let is = change.apply(&camera);
        let others = is.viewers != camera.viewers;
        if others {
            self.check_viewers(is.viewers.as_deref()).await?;
        }
        let who = others.then(|| who_may_look(&is));
        self.audit.record(actor, "camera.change", id, who).await?;
        self.exchange(id, |was| change.apply(was)).await
    }

    /// Takes one out: nobody watches it any more, and its stream is free. Its name stays behind
    /// old punches.
    pub async fn remove(&self, actor: Actor, id: CameraId) -> Result<(), CameraError> {
        self.find(id).await?;
        self.audit.record(actor, "camera.remove", id, None).await?;
        let at = self.clock.now();
        let removed = |was: &Camera| Camera {
            active: false,
            removed_at: Some(at),
            ..was.clone()
        };
        self.exchange(id, removed).await.map(drop)
    }

    /// Replaces one by what `change` makes of it as it is now, and tells.
    async fn exchange(
        &self,
        id: CameraId,
        change: impl Fn(&Camera) -> Camera,
    ) -> Result<Camera, CameraError> {
        for _ in 0..TRIES {
            let was = self.find(id).await?;
            let is = change(&was);
            match self.store.update(&was, &is).await {
                Ok(true) => {
                    self.feed.tell(News::Camera(id)).await;
                    return Ok(is);
                }
                Ok(false) => {}
                Err(StoreError::Conflict) => return Err(CameraError::StreamTaken),
                Err(error) => return Err(error.into()),
            }
        }
        Err(CameraError::Raced)
    }

    /// The streams that go2rtc is configured with, and which camera uses each.
    pub async fn streams(&self) -> Result<Vec<Configured>, CameraError> {
        let names = self.streams.names().await?;
        let cameras = every_camera(&*self.store).await?;
        let configured = names.into_iter().map(|stream| Configured {
            camera: cameras.iter().find(|one| one.stream == stream).cloned(),
            stream,
        });
        Ok(configured.collect())
    }

    /// One picture, as it comes now.
    pub async fn picture(&self, id: CameraId, by: &Account) -> Result<Sample, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let seat = self.glances.try_acquire();
        let _seat = seat.map_err(|_| CameraError::TooManyViewers)?;
        Ok(self.open(&camera).await?.1)
    }

    /// Live pictures, once the first one is there.
    pub async fn live(&self, id: CameraId, by: &Account) -> Result<Live, CameraError> {
        let camera = self.seen_by(id, by).await?;
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| CameraError::TooManyViewers)?;
        let (stream, first) = self.open(&camera).await?;
        Ok(Live {
            stream,
            first: Some(first),
            not_before: Instant::now(),
            _seat: seat,
        })
    }

    /// The stream of a camera and its first picture.
    async fn open(&self, camera: &Camera) -> Result<(Box<dyn PictureStream>, Sample), StreamError> {
        let opened = async {
            let mut stream = self.streams.open(&camera.stream).await?;
            let first = stream.next().await?;
            Ok((stream, first))
        };
        match timeout(FIRST_PICTURE, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(StreamError {
                fault: StreamFault::Unreachable,
                cause: format!("no picture came within {} s", FIRST_PICTURE.as_secs()),
            }),
        }
    }

    /// The faces in the last picture of a camera that was looked at; `None` when that is long ago.
    pub async fn faces(&self, id: CameraId, by: &Account) -> Result<Option<Overlay>, CameraError> {
        self.seen_by(id, by).await?;
        Ok(self.overlays.of(id).await)
    }
}

/// Somebody who looks through a camera; dropping it ends that.
pub struct Live {
    stream: Box<dyn PictureStream>,
    first: Option<Sample>,
    not_before: Instant,
    _seat: OwnedSemaphorePermit,
}

impl Live {
    /// The newest picture, a tenth of a second after the last one at the earliest.
    pub async fn next(&mut self) -> Result<Sample, StreamError> {
        sleep_until(self.not_before).await;
        let picture = match self.first.take() {
            Some(first) => first,
            None => self.stream.next().await?,
        };
        self.not_before = Instant::now() + LIVE_EVERY;
        Ok(picture)
    }
}
