//! The live feed as Server-Sent Events.

use std::{convert::Infallible, fmt::Display, sync::Arc, time::Duration};

use async_stream::stream;
use axum::{
    extract::{FromRef, State},
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    domain::{
        attendance::Punch,
        grants::{Permission, Placed, Reach},
        ids::{CameraId, DeviceId, EmployeeId, PunchId, SiteId},
    },
    http::{
        HttpState,
        field_error::FieldError,
        live::LiveSession,
        problem::Problem,
        views::{cameras::StateView, punches::NameLookup},
    },
    service::{
        cameras::{CameraError, Cameras},
        devices::Devices,
        employees::Employees,
        feed::{Feed, News},
        punch_ledger::PunchLedger,
    },
};

/// Maximum number of punches that are replayed to a client that reconnects. If there are more, the
/// event `reset` asks the client to read the lists again.
const REPLAY_MOST: usize = 500;

/// How far a replay goes back before the last event, because the clocks of instances differ.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5);

/// The longest time without data, so that proxies do not close the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A maker of events from news.
struct EventMaker {
    ledger: Arc<PunchLedger>,
    employees: Arc<Employees>,
    devices: Arc<Devices>,
    cameras: Arc<Cameras>,
    names: NameLookup,
}

impl EventMaker {
    /// Returns the events of news, as the session's account may get them; `reset` if the store
    /// does not respond.
    async fn events(&self, news: News, session: &LiveSession) -> Vec<Event> {
        let events = match news {
            News::Punch(id) => self.punch(id, session.reach()).await,
            News::Employee(id) => self.employee(id, session.reach()).await,
            News::Site(id) => Ok(site(id, session)),
            News::Device(id) => self.device(id, session).await,
            News::Camera(id) => self.camera(id, session).await,
            News::Plan(None) => Ok(vec![named("plan", &json!({}))]),
            News::Plan(Some(id)) => self.about("plan", id, session.reach()).await,
            News::Timesheet(id) => self.about("timesheet", id, session.reach()).await,
            // Only admins may see jobs.
            News::Job(_) => Ok(Vec::new()),
            News::Missed => Ok(vec![reset()]),
        };
        events.unwrap_or_else(|_| vec![reset()])
    }

    async fn punches(&self, punches: &[Punch]) -> Result<Vec<Event>, Problem> {
        let views = self.names.views(punches).await?;
        let events = punches.iter().zip(views).filter_map(|(punch, view)| {
            let event = Event::default().event("punch").id(event_id(punch));
            event.json_data(view).ok()
        });
        Ok(events.collect())
    }

    /// Returns the event of a punch; none if it does not exist or is not covered.
    async fn punch(&self, id: PunchId, reach: &Reach) -> Result<Vec<Event>, Problem> {
        let found = self.ledger.find(reach, id).await?;
        self.punches(found.as_slice()).await
    }

    /// Returns the event of an employee who is covered, deleted or not.
    async fn employee(&self, id: EmployeeId, reach: &Reach) -> Result<Vec<Event>, Problem> {
        let found = self.employees.find_many(&[id]).await?;
        Ok(changed("employee", &id, found.first(), reach))
    }

    /// Returns the event of something that belongs to an employee who is covered.
    async fn about(
        &self,
        name: &str,
        id: EmployeeId,
        reach: &Reach,
    ) -> Result<Vec<Event>, Problem> {
        let found = self.employees.find_many(&[id]).await?;
        let covered = found.iter().filter(|employee| reach.covers(*employee));
        let event = |_| named(name, &json!({ "employee": id.to_string() }));
        Ok(covered.map(event).collect())
    }

    /// Returns the event of a device that the account may survey, revoked or not.
    async fn device(&self, id: DeviceId, session: &LiveSession) -> Result<Vec<Event>, Problem> {
        let Some(reach) = session.account().access.reach(Permission::Survey) else {
            return Ok(Vec::new());
        };
        let found = self.devices.find_many(&[id]).await?;
        Ok(changed("device", &id, found.first(), &reach))
    }

    /// Returns the event of a camera, if the account may see it. A removed camera has no state.
    async fn camera(&self, id: CameraId, session: &LiveSession) -> Result<Vec<Event>, Problem> {
        let account = session.account();
        if !self.cameras.shows(id, account).await? {
            return Ok(Vec::new());
        }
        let state = match self.cameras.watched(id, account).await {
            Ok(watched) => StateView::from_watched(&watched),
            Err(CameraError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let data = json!({ "id": id.to_string(), "state": state });
        Ok(vec![named("camera", &data)])
    }

    /// Returns the covered punches that were recorded after an event, oldest first; `None` if there
    /// are too many.
    async fn since(
        &self,
        at: Timestamp,
        last: PunchId,
        reach: &Reach,
    ) -> Result<Option<Vec<Event>>, Problem> {
        let from = at.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let recorded = self.ledger.recorded_since(reach, from, REPLAY_MOST);
        let Some(mut found) = recorded.await? else {
            return Ok(None);
        };
        found.retain(|punch| punch.id != last);
        self.punches(&found).await.map(Some)
    }
}

/// Returns `TIME-ID`: when the punch was recorded, Unix milliseconds, and its ID.
fn event_id(punch: &Punch) -> String {
    format!("{}-{}", punch.recorded_at.as_millisecond(), punch.id)
}

fn read_event_id(text: &str) -> Option<(Timestamp, PunchId)> {
    let (at, id) = text.split_once('-')?;
    let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
    Some((at, id.parse().ok()?))
}

/// Reads the `Last-Event-ID` of a client that reconnects.
fn read_last_event(headers: &HeaderMap) -> Result<Option<(Timestamp, PunchId)>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let last = value.to_str().ok().and_then(read_event_id);
    last.map(Some)
        .ok_or_else(|| Problem::field("Last-Event-ID", FieldError::NotAnEventId))
}

fn named(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// Returns the event that asks a client to read a record again, if the record is covered. A missing
/// record concerns only clients that may read everything.
fn changed(
    name: &str,
    id: &impl Display,
    record: Option<&impl Placed>,
    reach: &Reach,
) -> Vec<Event> {
    let covered = match record {
        Some(record) => reach.covers(record),
        None => reach.covers_everything(),
    };
    let event = || named(name, &json!({ "id": id.to_string() }));
    covered.then(event).into_iter().collect()
}

/// Returns the event of a site that the account may survey.
fn site(id: SiteId, session: &LiveSession) -> Vec<Event> {
    let reach = session.account().access.reach(Permission::Survey);
    let covered = reach.is_some_and(|reach| reach.covers_site(id));
    let event = || named("site", &json!({ "id": id.to_string() }));
    covered.then(event).into_iter().collect()
}

fn reset() -> Event {
    named("reset", &json!({}))
}

/// Streams events as they happen.
///
/// Only events of records that the account may read are sent: `punch` (the punch, as in
/// `GET /api/punches/{id}`), `employee`, `site` and `device` (`{"id"}`: read it again), `camera`
/// (`{"id", "state"}`: it was changed or has another state; read it again), `plan` and `timesheet`
/// (`{"employee"}`: the plan or leave, or a timesheet or correction, of an employee was changed; a
/// `plan` of nobody, `{}`, may concern everybody: rules, shifts, cycles or holidays), and `reset`
/// (events were missed: read the lists again). A punch may be sent twice, with the same `id`. A client that
/// reconnects with `Last-Event-ID` first receives the punches that were recorded in between.
#[utoipa::path(
    get, path = "/api/events", tag = "punches",
    params(("Last-Event-ID" = Option<String>, Header, description = "The ID of the last event that the client received")),
    responses(
        (status = 200, description = "A stream that does not end", content_type = "text/event-stream", body = String),
        (status = 422, description = "`invalid`"),
    ),
)]
pub async fn follow_events(
    mut session: LiveSession,
    State(state): State<HttpState>,
    State(feed): State<Feed>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let maker = EventMaker {
        ledger: state.app.ledger.clone(),
        employees: state.app.employees.clone(),
        devices: state.app.devices.clone(),
        cameras: state.app.cameras.clone(),
        names: NameLookup::from_ref(&state),
    };
    let last = read_last_event(&headers)?;
    // Followed before the store is read, so that no event is lost in between.
    let mut following = feed.follow();
    let missed = match last {
        Some((at, id)) => maker.since(at, id, session.reach()).await?,
        None => Some(Vec::new()),
    };
    let events = stream! {
        match missed {
            Some(events) => {
                // The first line shows that the stream is open.
                yield Ok(Event::default().comment("following"));
                for event in events {
                    yield Ok(event);
                }
            }
            None => yield Ok(reset()),
        }
        loop {
            let news = tokio::select! {
                news = following.next() => news,
                () = state.stopping.cancelled() => break,
                () = session.check_due() => {
                    if session.check().await {
                        continue;
                    }
                    break;
                }
            };
            let Some(news) = news else { break };
            for event in maker.events(news, &session).await {
                yield Ok(event);
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_read_back() {
        let id = PunchId::new(uuid::Uuid::from_u128(7));
        let text = format!("1700000000123-{id}");
        let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        assert_eq!(read_event_id(&text), Some((at, id)));
        for wrong in ["", "1", "x-y", "1-2", "-1"] {
            assert_eq!(read_event_id(wrong), None, "{wrong}");
        }
    }
}
