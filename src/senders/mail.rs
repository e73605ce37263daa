//! Gives letters to a mail server with SMTP.

use std::{error::Error as _, time::Duration};

use async_trait::async_trait;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp::{
        Error, PoolConfig,
        client::{Certificate, Tls, TlsParameters},
    },
};

use url::Url;

use crate::{
    http_client::{self, Trust},
    ports::{Letter, MailError, MailSending},
};

/// How long a command of SMTP may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that are kept open.
const CONNECTIONS: u32 = 2;

/// Gives letters to a mail server.
pub struct MailSender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl MailSender {
    /// Creates the sender, without connecting. `url` is `smtp://` or `smtps://`.
    ///
    /// # Errors
    /// When the URL or the address of the sender is invalid. The text does not contain the URL.
    pub fn new(url: &str, from: &str, trust: &Trust) -> Result<Self, String> {
        let from: Mailbox = from
            .parse()
            .map_err(|_| "MAIL_FROM must be an address such as Rollcall <rollcall@example.org>")?;
        let invalid = "SMTP_URL must be smtps://user:password@host, or smtp://host:port";
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| invalid)?;
        if let Some(tls) = tls(url, trust).ok_or(invalid)? {
            transport = transport.tls(tls);
        }
        let transport = transport
            .timeout(Some(TIMEOUT))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS))
            .build();
        Ok(Self { transport, from })
    }

    fn message(&self, id: &str, letter: &Letter) -> Result<Message, MailError> {
        let rejected = |what: &str| MailError::Rejected(format!("{what} is not valid"));
        let address: Address = letter.to.parse().map_err(|_| rejected("the address"))?;
        let to = Mailbox::new(Some(plain(&letter.name)), address);
        let id = format!("<{id}@{}>", self.from.email.domain());
        let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(plain(&letter.subject))
            .message_id(Some(id))
            .multipart(body)
            .map_err(|_| rejected("the letter"))
    }
}

/// Returns how a URL wants to be encrypted, as the transport reads it, with the trusted authorities;
/// `Some(None)` for not at all.
fn tls(url: &str, trust: &Trust) -> Option<Option<Tls>> {
    let url = Url::parse(url).ok()?;
    let tls = url.query_pairs().find(|(name, _)| name == "tls");
    let kind = match (url.scheme(), tls.as_ref().map(|(_, value)| &**value)) {
        ("smtps", _) => Tls::Wrapper,
        (_, Some("required")) => Tls::Required,
        (_, Some("opportunistic")) => Tls::Opportunistic,
        _ => return Some(None),
    };
    let mut parameters = TlsParameters::builder(url.host_str()?.to_owned());
    for certificate in trust.extra() {
        let certificate = Certificate::from_der(certificate.to_vec()).ok()?;
        parameters = parameters.add_root_certificate(certificate);
    }
    Some(Some(kind(parameters.build().ok()?)))
}

/// Returns a text of one line: a line break would begin another header.
fn plain(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(printable).collect()
}

#[async_trait]
impl MailSending for MailSender {
    async fn send(&self, id: &str, letter: &Letter) -> Result<(), MailError> {
        let message = self.message(id, letter)?;
        let sent = self.transport.send(message).await;
        sent.map(drop).map_err(|error| {
            // This is about one address, and not about the mail server as a whole.
            match error.is_client() && !letter.to.is_ascii() {
                true => MailError::Refused(
                    "the mail server accepts no addresses with such letters".to_owned(),
                ),
                false => unsent(&error),
            }
        })
    }

    async fn check(&self) -> Result<(), MailError> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MailError::NoAnswer(
                "the mail server closed the connection".into(),
            )),
            Err(error) => Err(unsent(&error)),
        }
    }
}

/// Says why a letter was not sent, without the answer of the server, which may repeat an address.
fn unsent(error: &Error) -> MailError {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string);
        return answered(&code.to_string(), &text.unwrap_or_default());
    }
    match () {
        () if error.is_timeout() => {
            MailError::NoAnswer("the mail server did not answer in time".to_owned())
        }
        // The transport reports a certificate that is not accepted as any broken connection.
        () if error.is_tls() || http_client::is_of_tls(error) => {
            MailError::Unusable("the certificate of the mail server is not accepted".to_owned())
        }
        () if error.is_client() => {
            MailError::Unusable("the mail server does not offer what SMTP_URL needs".to_owned())
        }
        () => MailError::NoAnswer("could not connect to the mail server".to_owned()),
    }
}

/// Returns what an answer with an error says. A mail server that refuses this service as a whole uses
/// the same codes as for one address, so only the status of RFC 3463 tells them apart.
fn answered(code: &str, text: &str) -> MailError {
    let why = format!("the mail server answered {code}");
    let mut words = text.split_whitespace();
    let status = words.find(|word| {
        let numbers = word.split('.').map(|part| part.parse::<u16>().is_ok());
        numbers.eq([true; 3])
    });
    match (code, status) {
        // 5.1.7 and 5.1.8 are about the sender.
        (_, Some("5.1.7" | "5.1.8")) => MailError::Refused(why),
        ("550" | "551" | "553", Some(status)) if status.starts_with("5.1.") => {
            MailError::Rejected(why)
        }
        ("550", None) => MailError::Rejected(why),
        // Overloaded or stopping, no encryption, wrong credentials.
        ("421" | "454" | "530" | "534" | "535" | "538", _) => MailError::Unusable(why),
        _ => MailError::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_does_not_exist_rejects_a_letter_for_good() {
        let rejected = |code, text| matches!(answered(code, text), MailError::Rejected(_));
        for (code, text) in [
            ("550", "5.1.1 no such user"),
            ("553", "5.1.3 <a@b>: bad address"),
            ("551", "5.1.6 moved"),
            ("550", "mailbox unavailable"),
        ] {
            assert!(rejected(code, text), "{code} {text}");
        }
        for (code, text) in [
            ("554", "no service here"),
            ("554", "5.7.1 sender not allowed"),
            ("550", "5.7.1 relaying denied"),
            ("550", "5.1.8 bad sender"),
            ("552", "5.2.2 mailbox full"),
            ("450", "4.1.1 try again"),
        ] {
            let refused = answered(code, text);
            assert!(matches!(refused, MailError::Refused(_)), "{code} {text}");
            assert!(!refused.to_string().contains(text));
        }
        for code in ["421", "454", "530", "535"] {
            let refused = answered(code, "5.7.8 no");
            assert!(matches!(refused, MailError::Unusable(_)), "{code}");
        }
    }
}
