//! Background jobs whose worker crashes, and jobs between two instances.

use std::{
    collections::BTreeSet,
    ops::Range,
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use rollcall::domain::jobs::JobState;
use serde_json::Value;

use crate::{
    PATIENCE, Service,
    frozen::{freeze, thaw},
    instances::Servers,
    redis_server::RedisServer,
    runtime,
    servers::MongoServer,
    skip::skip,
};

/// Number of imported people, and a smaller number for slower stores.
const PEOPLE: usize = 500;
const FEWER: usize = 200;

/// Starts an import of as many people as there are numbers in the range; returns the job's ID.
async fn import(service: &Service, admin: &Client, people: Range<usize>) -> String {
    let rows = people.map(|number| format!("\"Person, {number}\",C{number},main site\n"));
    let list = format!("name,code,site\n{}", rows.collect::<String>());
    let request = admin.post(service.url("/api/imports")).body(list);
    let answer = request
        .header("content-type", "text/csv")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let job: Value = answer.json().await.unwrap();
    job["id"].as_str().unwrap().to_owned()
}

/// Starts an import and waits until some of it is done. If all of it is done by then, a longer one
/// follows. Returns the job's ID, and its people.
async fn running_import(
    service: &Service,
    admin: &Client,
    mut people: Range<usize>,
) -> (String, Range<usize>) {
    loop {
        let id = import(service, admin, people.clone()).await;
        let seen = until(service, admin, &id, |job| job["done"].as_u64() > Some(0)).await;
        if seen["state"] == "running" {
            return (id, people);
        }
        assert!(people.len() < 50 * PEOPLE, "it is always too late: {seen}");
        people = people.end..people.end + 4 * people.len();
    }
}

async fn job(service: &Service, admin: &Client, id: &str) -> Value {
    let answer = admin
        .get(service.url(&format!("/api/jobs/{id}")))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

/// Waits until the job satisfies a condition.
async fn until(
    service: &Service,
    admin: &Client,
    id: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let begin = Instant::now();
    loop {
        let job = job(service, admin, id).await;
        if wanted(&job) {
            return job;
        }
        assert!(begin.elapsed() < PATIENCE, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the codes of all employees; each must exist once.
async fn codes(service: &Service, admin: &Client) -> BTreeSet<String> {
    let (mut codes, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/api/employees?limit=200&cursor={cursor}");
        let answer = admin.get(service.url(&path)).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        for one in list["items"].as_array().unwrap() {
            assert!(
                codes.insert(one["code"].as_str().unwrap().to_owned()),
                "{one} exists twice"
            );
        }
        match list["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return codes,
        }
    }
}

/// Kills the program in the middle of an import: after its restart, everybody exists once.
async fn killed_in_the_middle(mut service: Service, people: usize) {
    let admin = service.admin().await;
    let (id, people) = running_import(&service, &admin, 0..people).await;
    // The rest may be done before anyone can look after the restart.
    service.kill_and_restart().await;
    let admin = service.admin().await;
    let done = until(&service, &admin, &id, |job| job["finished_at"].is_string()).await;
    assert_eq!(
        (&done["state"], &done["attempts"]),
        (&"done".into(), &1.into()),
        "it continued after the kill: {done}"
    );
    assert_eq!(codes(&service, &admin).await.len(), people.end);
    let counted = ["added", "existing"].map(|of| done["result"][of].as_u64().unwrap());
    assert_eq!(
        counted,
        [people.len() as u64, 0],
        "who was added after the last stored progress counts as added: {done}"
    );
}

#[tokio::test]
async fn a_killed_import_loses_and_duplicates_nobody_on_sqlite() {
    if runtime::missing() {
        return;
    }
    killed_in_the_middle(Service::start(None).await, PEOPLE).await;
}

#[tokio::test]
async fn a_killed_import_loses_and_duplicates_nobody_on_mongodb() {
    if runtime::missing() {
        return;
    }
    match MongoServer::start() {
        Ok(server) => {
            killed_in_the_middle(Service::start(Some(server.uri())).await, FEWER).await;
        }
        Err(why) => skip("an import on MongoDB", &why),
    }
}

#[tokio::test]
async fn a_killed_import_loses_and_duplicates_nobody_on_redis() {
    if runtime::missing() {
        return;
    }
    let redis = match RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]) {
        Ok(redis) => redis,
        Err(why) => return skip("an import on Redis", &why),
    };
    let environment = vec![("STORE", "redis".to_owned()), ("REDIS_URL", redis.url())];
    killed_in_the_middle(Service::with(environment).await, PEOPLE).await;
}

#[tokio::test]
async fn a_job_continues_on_another_instance_when_its_instance_stops() {
    let Some(servers) = Servers::start("two instances and jobs") else {
        return;
    };
    let mut one = servers.instance(&[]).await;
    let two = servers.instance(&[]).await;
    let admin = one.admin().await;
    let other = two.admin().await;

    // Many at once, from both instances: each is done once.
    let mut ids = Vec::new();
    for number in 0..6 {
        let (service, admin) = if number % 2 == 0 {
            (&one, &admin)
        } else {
            (&two, &other)
        };
        ids.push(import(service, admin, 0..40).await);
    }
    let (mut added, mut existing) = (0, 0);
    for id in &ids {
        let done = until(&two, &other, id, |job| job["finished_at"].is_string()).await;
        assert_eq!(
            (&done["state"], &done["attempts"]),
            (&"done".into(), &1.into()),
            "{done}"
        );
        added += done["result"]["added"].as_u64().unwrap();
        existing += done["result"]["existing"].as_u64().unwrap();
    }
    assert_eq!((added, existing), (40, 5 * 40));
    assert_eq!(codes(&two, &other).await.len(), 40);

    // The instance with the job is stopped: another one continues without waiting for the lease.
    // That one is frozen until then, so that it cannot begin the job.
    freeze(two.child.id());
    let (id, people) = running_import(&one, &admin, 40..40 + FEWER).await;
    assert_eq!(one.stop().await, Some(0));
    let left = servers.records().await.jobs.find(id.parse().unwrap()).await;
    let left = left.unwrap().unwrap();
    assert_eq!(left.state, JobState::Queued, "it was given back: {left:?}");
    thaw(two.child.id());
    let done = until(&two, &other, &id, |job| job["finished_at"].is_string()).await;
    assert_eq!(
        (&done["state"], &done["attempts"]),
        (&"done".into(), &1.into()),
        "{done}"
    );
    let counted = ["added", "existing", "refused"].map(|of| done["result"][of].as_u64().unwrap());
    assert_eq!(
        counted,
        [people.len() as u64, 0, 0],
        "nothing was done twice"
    );
    assert_eq!(codes(&two, &other).await.len(), people.end);
}
