//! Told to stop while everybody asks: nothing that was acknowledged is lost, nobody is cut off,
//! and it is over within ten seconds.

use super::*;

/// How many ask on one connection each, and how many on a new one for each request.
const KEEPING: usize = 4;
const ANEW: usize = 4;
/// How many punches are answered before it is told to stop.
const BEFORE: usize = 40;

/// What became of what one client asked.
#[derive(Default)]
struct Told {
    /// Ids of punches that were acknowledged.
    punches: Vec<String>,
    /// Requests that were sent, and got no whole answer.
    cut: Vec<String>,
}

/// Whether a connection was reset: the system had taken it for a service that has no time, and
/// gives it back when that takes none any more. What the service took itself ends otherwise.
fn never_taken(error: &reqwest::Error) -> bool {
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

/// Asks until nothing takes connections any more.
async fn ask(
    client: Client,
    (url, token, who): (&str, &str, usize),
    photo: &[u8],
    answered: &AtomicUsize,
) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let request = client
            .post(url)
            .bearer_auth(token)
            .header("content-type", "image/jpeg")
            .header("idempotency-key", format!("{who}-{number}"))
            .body(photo.to_vec());
        let answer = match request.send().await {
            Err(error) if error.is_connect() || never_taken(&error) => break,
            Err(error) => Err(error),
            // What cannot be taken any more is said, and not dropped.
            Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => continue,
            Ok(answer) => answer.json::<Value>().await,
        };
        match answer {
            Ok(answer) => {
                if answer["outcome"] == "punched" {
                    let id = answer["punch"]["id"].as_str().unwrap();
                    told.punches.push(id.to_owned());
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => told.cut.push(format!("{error:?}")),
        }
        assert!(number < 10_000, "it never stops");
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_finishes_what_it_took_and_cuts_nobody_off() {
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
    let clients = (0..KEEPING + ANEW).map(|who| {
        let client = Client::builder().timeout(Duration::from_secs(20));
        let client = match who < KEEPING {
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
    // A desk that follows what happens: its stream ends, and is not torn.
    let events = admin.get(service.url("/api/events")).send().await.unwrap();
    assert_eq!(events.status(), StatusCode::OK);
    let follow = async {
        let (mut events, mut heard) = (events, 0);
        while let Some(part) = events.chunk().await.expect("the stream ends by itself") {
            heard += part.len();
        }
        heard
    };
    let stop = async {
        while answered.load(Ordering::SeqCst) < BEFORE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let begin = Instant::now();
        let code = service.stop().await;
        (code, begin.elapsed())
    };
    let (told, heard, (code, took)) =
        futures::join!(futures::future::join_all(clients), follow, stop);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(heard > 0);
    let cut: Vec<_> = told.iter().flat_map(|told| &told.cut).collect();
    assert!(cut.is_empty(), "{} were cut off: {}", cut.len(), cut[0]);
    let acknowledged: BTreeSet<String> = told.into_iter().flat_map(|told| told.punches).collect();
    assert!(acknowledged.len() > BEFORE / 2, "{}", acknowledged.len());

    service.start_again().await;
    let stored = stored_punches(&service).await;
    let unique: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(unique.len(), stored.len(), "none is there twice");
    let lost: Vec<_> = acknowledged.difference(&unique).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

/// A client that sends its photo slowly is waited for, but not for longer than the service may
/// take to stop.
#[tokio::test]
async fn whoever_never_finishes_holds_nothing_up() {
    use std::io::{Read, Write};
    let mut service = Service::start(None).await;
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    let head = "POST /api/punches HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 1000\r\n\r\nnot all of it";
    slow.write_all(head.as_bytes()).unwrap();
    let mut idle = std::net::TcpStream::connect(("127.0.0.1", service.port)).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    assert_eq!(service.stop().await, Some(0));
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut rest = Vec::new();
    assert!(matches!(idle.read_to_end(&mut rest), Ok(0)), "{rest:?}");
}
