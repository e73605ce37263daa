//! Gives letters to a mail server with SMTP.

use std::time::Duration;

use async_trait::async_trait;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp::{Error, PoolConfig},
};

use crate::ports::{Letter, MailError, MailSending};

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
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let from: Mailbox = from
            .parse()
            .map_err(|_| "MAIL_FROM must be an address such as Rollcall <rollcall@example.org>")?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| "SMTP_URL must be smtps://user:password@host, or smtp://host:port")?
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
        sent.map(drop).map_err(|error| unsent(&error))
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
    let code = error.status().map(|code| code.to_string());
    match code {
        // The mailbox does not exist, or the letter is refused for good.
        Some(code) if error.is_permanent() && code.starts_with("55") => {
            MailError::Rejected(format!("the mail server answered {code}"))
        }
        Some(code) => MailError::Refused(format!("the mail server answered {code}")),
        None if error.is_timeout() => {
            MailError::NoAnswer("the mail server did not answer in time".to_owned())
        }
        None if error.is_tls() => {
            MailError::Refused("the certificate of the mail server is not accepted".to_owned())
        }
        None if error.is_client() => {
            MailError::Refused("the mail server does not offer what SMTP_URL needs".to_owned())
        }
        None => MailError::NoAnswer("could not connect to the mail server".to_owned()),
    }
}
