//! Stopping under load: nothing that was acknowledged is lost, no request is cut off, and it ends
//! in time.

use super::*;

/// Number of clients with one connection, and of clients with a new connection for each request.
const KEEPING_ALIVE: usize = 4;
const RECONNECTING: usize = 4;
/// Number of punches before the service is stopped.
const BEFORE: usize = 40;
/// A stopping service ends within this time: its own limit is ten seconds, and the machine may be
/// busy. A client that is waited for without a limit keeps its connection for longer.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The results of one client.
#[derive(Default)]
struct Results {
    /// IDs of acknowledged punches.
    punches: Vec<String>,
    /// Requests that were sent but got no complete response.
    cut: Vec<String>,
}

/// Checks whether a connection was reset before the service accepted it: the system queued it, and
/// reset it when the service closed its listener. Connections that the service has accepted end
/// differently.
fn never_accepted(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Sends requests until no connection is accepted anymore.
async fn ask(
    client: Client,
    (url, token, who): (&str, &str, usize),
    photo: &[u8],
    answered: &AtomicUsize,
) -> Results {
    let mut results = Results::default();
    for number in 0.. {
        let request = client
            .post(url)
            .bearer_auth(token)
            .header("content-type", "image/jpeg")
            .header("idempotency-key", format!("{who}-{number}"))
            .body(photo.to_vec());
        let answer = match request.send().await {
            Err(error) if error.is_connect() || never_accepted(&error) => break,
            Err(error) => Err(error),
            // A request that can no longer be served gets a response, and is not dropped.
            Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => continue,
            Ok(answer) => answer.json::<Value>().await,
        };
        match answer {
            Ok(answer) => {
                if answer["outcome"] == "punched" {
                    let id = answer["punch"]["id"].as_str().unwrap();
                    results.punches.push(id.to_owned());
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => results.cut.push(format!("{error:?}")),
        }
        assert!(number < 10_000, "it never stops");
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_accepted_requests_and_cuts_off_none() {
    if runtime::missing() {
        return;
    }
    let mut service = Service::start(None).await;
    let admin = service.admin().await;
    for portrait in ["obama", "biden", "collins", "hopper"] {
        service.enroll(&admin, portrait, &[portrait]).await;
    }
    let device = service
        .create(&admin, "/api/devices", json!({"name": "Front door"}))
        .await;
    let token = device["token"].as_str().unwrap();
    let photos = ["obama3", "biden", "collins", "hopper"].map(small);
    let url = service.url("/api/punches");
    let answered = AtomicUsize::new(0);
    let clients = (0..KEEPING_ALIVE + RECONNECTING).map(|who| {
        let client = http_client::builder().timeout(PATIENCE);
        let client = match who < KEEPING_ALIVE {
            true => client,
            false => client.pool_max_idle_per_host(0),
        };
        let photo = &photos[who % photos.len()];
        ask(
            client.build().unwrap(),
            (&url, token, who),
            photo,
            &answered,
        )
    });
    // The event stream of a desk ends properly.
    let events = admin.get(service.url("/api/events")).send().await.unwrap();
    assert_eq!(events.status(), StatusCode::OK);
    let follow = async {
        let (mut events, mut received) = (events, 0);
        while let Some(part) = events.chunk().await.expect("the stream ends properly") {
            received += part.len();
        }
        received
    };
    let stop = async {
        while answered.load(Ordering::SeqCst) < BEFORE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let begin = Instant::now();
        let code = service.stop().await;
        (code, begin.elapsed())
    };
    let (results, received, (code, took)) =
        futures::join!(futures::future::join_all(clients), follow, stop);
    assert_eq!(code, Some(0));
    assert!(took < STOP_WITHIN, "{took:?}");
    assert!(received > 0);
    let cut: Vec<_> = results.iter().flat_map(|one| &one.cut).collect();
    assert!(cut.is_empty(), "{} were cut off: {}", cut.len(), cut[0]);
    let acknowledged: BTreeSet<String> = results.into_iter().flat_map(|one| one.punches).collect();
    assert!(acknowledged.len() > BEFORE / 2, "{}", acknowledged.len());

    service.start_again().await;
    let stored = stored_punches(&service).await;
    let unique: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(unique.len(), stored.len(), "none exists twice");
    let lost: Vec<_> = acknowledged.difference(&unique).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// The service waits for a client that sends its photo slowly, but not longer than its time limit
/// for stopping.
#[tokio::test]
async fn a_client_that_never_finishes_does_not_delay_the_stop() {
    if runtime::missing() {
        return;
    }
    use std::io::{Read, Write};
    let mut service = Service::start(None).await;
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    let head = "POST /api/punches HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 1000\r\n\r\nnot all of it";
    slow.write_all(head.as_bytes()).unwrap();
    let mut idle = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    // Connections are accepted in order, so both are accepted before this one is answered.
    let alive = client().get(service.url("/healthz")).send().await;
    assert_eq!(alive.unwrap().status(), StatusCode::OK);
    let begin = Instant::now();
    assert_eq!(service.stop().await, Some(0));
    let took = begin.elapsed();
    assert!(took < STOP_WITHIN, "{took:?}");
    let mut rest = Vec::new();
    assert!(matches!(idle.read_to_end(&mut rest), Ok(0)), "{rest:?}");
}
