//! Uploads that are too many, too slow or refused: none of them keeps others out.

use std::time::Duration;

use reqwest::multipart::Form;
use rollcall::domain::attendance::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::app::{Kiosk, TestApp, images, photo};

/// Returns the head of a punch without the length of its body.
fn head(kiosk: &Kiosk, kind: &str) -> String {
    let token = kiosk.client.headers["authorization"].to_str().unwrap();
    format!(
        "POST /api/punches HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: {kind}\r\n"
    )
}

/// Reads an answer with a body whose length it declares.
async fn answer(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let whole = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            let length = text
                .to_ascii_lowercase()
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.split_once("\r\n")?.0.parse::<usize>().ok());
            if let (Some(length), Some(end)) = (length, text.find("\r\n\r\n"))
                && answer.len() >= end + 4 + length
            {
                return text;
            }
            if socket.read_buf(&mut answer).await.unwrap() == 0 {
                return text;
            }
        }
    };
    timeout(Duration::from_secs(60), whole).await.unwrap()
}

#[tokio::test]
async fn a_form_ends_at_the_first_part_that_is_not_accepted() {
    // So many that each error would be seen, and so few that the service reads the rest before it
    // answers: a client that still sends may not read the answer.
    const PARTS: usize = 400;
    let app = TestApp::start().await;
    let kiosk = app.kiosk().await.client;
    let unknown = |form: Form, number: usize| form.text(format!("x{number}"), "");
    let many = (0..PARTS).fold(images("image", &[photo("obama")]), unknown);
    let refused = kiosk.post_form("/api/punches", many).await;
    refused.problem(422, "invalid");
    assert_eq!(refused.fields(), ["x0"]);
    assert!(refused.text.len() < 1000, "{}", refused.text);

    let twice = (0..PARTS).fold(Form::new(), |form, _| form.text("kind", "in"));
    let refused = kiosk.post_form("/api/punches", twice).await;
    refused.problem(422, "invalid");
    assert_eq!(refused.fields(), ["kind"]);
}

#[tokio::test]
async fn at_most_twenty_errors_are_listed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let query: Vec<_> = (0..100).map(|number| format!("x{number}=1")).collect();
    let refused = admin
        .get(&format!("/api/punches?{}", query.join("&")))
        .await;
    refused.problem(422, "invalid");
    assert!(refused.fields().len() <= 20, "{}", refused.text);
}

#[tokio::test]
async fn uploads_that_stall_end_and_keep_nobody_out() {
    let app = TestApp::with(|options| {
        options.settings.body_timeout = Duration::from_secs(2);
    })
    .await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let mut stalled = Vec::new();
    for number in 0..12 {
        let mut socket = TcpStream::connect(app.address).await.unwrap();
        let head = match number % 2 {
            0 => head(&kiosk, "image/jpeg") + "Content-Length: 12000000\r\n\r\n\u{1}\u{2}",
            _ => {
                head(&kiosk, "multipart/form-data; boundary=x")
                    + "Transfer-Encoding: chunked\r\n\r\n5\r\n--x\r\n\r\n"
            }
        };
        socket.write_all(head.as_bytes()).await.unwrap();
        stalled.push(socket);
    }
    // Together they declared more than the memory for uploads.
    sleep(Duration::from_millis(200)).await;
    kiosk.punch(&photo("obama3")).await.expect(201);
    for mut socket in stalled {
        let answer = answer(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("no bytes of the body arrived"), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_upload_is_read_to_its_end() {
    let limit = Duration::from_secs(5);
    let app = TestApp::with(|options| {
        options.settings.timeout = limit;
        options.settings.body_timeout = limit;
    })
    .await;
    let admin = app.admin().await;
    app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let photo = photo("obama3");
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let head = head(&kiosk, "image/jpeg") + &format!("Content-Length: {}\r\n\r\n", photo.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    // Longer than a request may take.
    for piece in photo.chunks(photo.len().div_ceil(6)) {
        socket.write_all(piece).await.unwrap();
        sleep(limit / 5).await;
    }
    let answer = answer(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn a_refusal_before_the_body_keeps_the_connection_or_says_that_it_closes() {
    let app = TestApp::start().await;
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    // A small body is read, although nobody asked for it.
    for _ in 0..2 {
        let head = "POST /api/punches HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 20000\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&[0; 20_000]).await.unwrap();
        let answer = answer(&mut socket).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 401"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // A large one is not, nor one whose client waits for permission to send it.
    for (more, sent) in [("", 200_000), ("Expect: 100-continue\r\n", 0)] {
        let mut socket = TcpStream::connect(app.address).await.unwrap();
        let head = format!(
            "POST /api/punches HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n{more}Content-Length: 9000000\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![0; sent]).await.unwrap();
        let answer = answer(&mut socket).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 401"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn the_engine_learns_who_sent_a_sample() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrolled(&admin).await;
    let kiosk = app.kiosk().await;
    let senders = || -> Vec<_> {
        let works = std::mem::take(&mut *app.scripted.works.lock().unwrap());
        works.iter().map(|work| work.sender).collect()
    };
    let account = senders();
    assert!(
        matches!(account[..], [Some(Origin::Account(one)), Some(Origin::Account(two))] if one == two),
        "{account:?}"
    );
    let device = Some(Origin::Device(kiosk.id.parse().unwrap()));
    kiosk.punch(&photo("obama3")).await.expect(201);
    assert_eq!(senders(), [device]);
    let form = images("image", &[photo("obama"), photo("obama2")]).text("employee", id);
    let verified = kiosk.client.post_form("/api/verify", form).await;
    verified.expect(200);
    assert_eq!(senders(), [device, device]);
    admin
        .post_bytes("/api/identify", "image/jpeg", photo("obama"))
        .await
        .expect(200);
    assert_eq!(senders(), [account[0]]);
}
