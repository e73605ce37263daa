//! TLS to the servers to which messages go, with certificates of an authority that is not public.

use std::net::TcpListener;

use axum::{Router, http::StatusCode};
use rollcall::{
    boot::Tls,
    http_client::Trust,
    ports::{
        Broker, BrokerError, Letter, MailError, MailSending, PostError, WebhookPosting,
        WebhookRequest,
    },
    senders::{Allowed, MailSender, MqttBroker, WebhookSender},
    service::messages::Signals,
};

use crate::{authority::Authority, node::NodeServer, skip::skip};

/// Starts a server that encrypts with the certificate of the authority.
fn server(script: &str, mode: &str, authority: &Authority) -> Option<NodeServer> {
    let files = authority.server().map(|file| file.display().to_string());
    match NodeServer::with(script, 0, &[mode, &files[0], &files[1]]) {
        Ok(server) => Some(server),
        Err(why) => {
            skip("encryption", &why);
            None
        }
    }
}

fn letter() -> Letter {
    Letter {
        to: "ann@example.org".to_owned(),
        name: "Ann".to_owned(),
        subject: "Gr\u{fc}\u{df}e, Zo\u{eb} \u{1f469} and more words, so that it fills a line"
            .to_owned(),
        text: "Hello".to_owned(),
        html: "<p>Hello</p>".to_owned(),
    }
}

async fn mailed(url: &str, trust: &Trust) -> Result<(), MailError> {
    let sender = MailSender::new(url, "rollcall@example.org", trust).unwrap();
    sender.send("0199f3a0", &letter()).await
}

#[tokio::test]
async fn a_mail_server_is_trusted_by_its_authority_and_its_name() {
    let authority = Authority::new();
    for (mode, scheme, query) in [
        ("smtps", "smtps", ""),
        ("starttls", "smtp", "?tls=required"),
    ] {
        let Some(server) = server("smtp.mjs", mode, &authority) else {
            return;
        };
        let url = |host| format!("{scheme}://rollcall:s3cret@{host}:{}{query}", server.port);
        let refused = [
            mailed(&url("localhost"), &Trust::default()).await,
            // Its certificate is not for this name.
            mailed(&url("127.0.0.1"), &authority.trust()).await,
        ];
        for refused in refused {
            let text = "the certificate of the mail server is not accepted";
            assert_eq!(refused, Err(MailError::Unusable(text.to_owned())), "{mode}");
        }
        assert_eq!(server.lines().len(), 0, "{mode}");
        assert_eq!(mailed(&url("localhost"), &authority.trust()).await, Ok(()));
        let arrived = server.until(|lines| lines.len() == 1).await.remove(0);
        assert_eq!(arrived["user"], "rollcall");
        assert_eq!(arrived["encrypted"], true);
        // A subject beyond ASCII arrives as it was.
        assert_eq!(arrived["subject"], letter().subject);
    }
}

#[tokio::test]
async fn without_starttls_no_letter_and_no_password_leaves() {
    let server = match NodeServer::start("smtp.mjs", 0) {
        Ok(server) => server,
        Err(why) => return skip("encryption", &why),
    };
    let url = format!(
        "smtp://rollcall:s3cret@localhost:{}?tls=required",
        server.port
    );
    let refused = mailed(&url, &Trust::default()).await;
    assert!(
        matches!(refused, Err(MailError::Unusable(_))),
        "{refused:?}"
    );
    assert_eq!(server.lines().len(), 0);
}

#[tokio::test]
async fn a_broker_is_trusted_by_its_authority_and_its_name() {
    let authority = Authority::new();
    let Some(server) = server("mqtt.mjs", "tls", &authority) else {
        return;
    };
    let connect = async |host: &str, trust: &Trust| {
        let url = format!("mqtts://rollcall:s3cret@{host}:{}", server.port);
        let broker = MqttBroker::new(&url, "rollcall-test", trust).unwrap();
        broker.connect(Signals::available(false)).await.map(drop)
    };
    for refused in [
        connect("localhost", &Trust::default()).await,
        connect("127.0.0.1", &authority.trust()).await,
    ] {
        let text = "the certificate of the broker is not accepted";
        assert_eq!(refused, Err(BrokerError(text.to_owned())));
    }
    assert_eq!(server.lines().len(), 0);
    assert_eq!(connect("localhost", &authority.trust()).await, Ok(()));
    server
        .until(|lines| lines.iter().any(|line| line["came"] == "rollcall-test"))
        .await;
}

#[tokio::test]
async fn a_receiver_of_webhooks_is_trusted_by_its_authority_and_its_name() {
    let authority = Authority::new();
    let [certificate, key] = authority.server();
    let tls = Tls::open(&certificate, &key).unwrap().serving();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(async || StatusCode::ACCEPTED);
    let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
    tokio::spawn(server.serve(router.into_make_service()));
    let post = async |host: &str, trust: &Trust| {
        let allowed = Allowed {
            networks: vec!["127.0.0.0/8".parse().unwrap()],
            hosts: vec!["localhost".to_owned()],
        };
        let request = WebhookRequest {
            url: format!("https://{host}:{port}/hook?key=s3cret"),
            headers: Vec::new(),
            body: "{}".to_owned(),
        };
        WebhookSender::new(allowed, trust)
            .unwrap()
            .post(request)
            .await
    };
    let accepted = post("localhost", &authority.trust()).await;
    assert_eq!(accepted.map(|answer| answer.status), Ok(202));
    for refused in [
        post("localhost", &Trust::default()).await,
        post("127.0.0.1", &authority.trust()).await,
    ] {
        let Err(PostError::NoAnswer(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            why.contains("certificate") && !why.contains("s3cret"),
            "{why}"
        );
    }
}

#[test]
fn a_file_without_an_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    assert!(Trust::with_file(&path).is_err(), "it does not exist");
    for text in [
        "",
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, text).unwrap();
        assert!(Trust::with_file(&path).is_err(), "{text}");
    }
}
