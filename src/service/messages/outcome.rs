//! What becomes of an attempt to send a message.

use crate::{
    domain::messages::{Attempt, Channel, Delivery},
    ports::{MailError, PostError},
};

/// The outcome of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The receiver accepted it.
    Accepted(Option<u16>),
    /// The receiver does not want any more messages.
    Gone,
    /// The receiver will never accept this message.
    Rejected(String),
    /// The receiver answered with an error, or cannot be sent to.
    Refused(Option<u16>, String),
    /// There was no answer.
    NoAnswer(String),
}

impl Outcome {
    pub fn of(answer: Result<u16, PostError>) -> Self {
        match answer {
            Ok(status @ 200..300) => Self::Accepted(Some(status)),
            Ok(410) => Self::Gone,
            Ok(status @ 300..400) => Self::Refused(
                Some(status),
                format!(
                    "the receiver answered with a redirect ({status}), which is not followed: set its final address"
                ),
            ),
            Ok(status) => Self::Refused(Some(status), format!("the receiver answered {status}")),
            Err(PostError::Refused(why)) => Self::Refused(None, why),
            Err(PostError::NoAnswer(why)) => Self::NoAnswer(why),
        }
    }

    pub fn of_mail(sent: Result<(), MailError>) -> Self {
        match sent {
            Ok(()) => Self::Accepted(None),
            Err(MailError::Rejected(why)) => Self::Rejected(why),
            Err(MailError::Refused(why)) => Self::Refused(None, why),
            Err(MailError::NoAnswer(why)) => Self::NoAnswer(why),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "delivered",
            Self::Gone | Self::Rejected(_) | Self::Refused(..) => "refused",
            Self::NoAnswer(_) => "no_answer",
        }
    }

    /// Counts the attempt.
    pub fn counted(self, channel: Channel) -> Self {
        let labels = [("channel", channel.as_str()), ("result", self.word())];
        metrics::counter!("rollcall_deliveries_total", &labels).increment(1);
        self
    }

    /// Returns the delivery after the attempt.
    pub fn settle(&self, one: Delivery, attempt: Attempt) -> Delivery {
        let now = attempt.now;
        match self {
            Self::Accepted(status) => one.delivered(now, *status),
            Self::Gone => {
                let gone = "the receiver answered 410: it is gone".to_owned();
                one.failed(attempt, Some(410), gone.clone())
                    .given_up(now, gone)
            }
            Self::Rejected(why) => {
                let failed = one.failed(attempt, None, why.clone());
                failed.given_up(now, why.clone())
            }
            Self::Refused(status, why) => one.failed(attempt, *status, why.clone()),
            Self::NoAnswer(why) => one.failed(attempt, None, why.clone()),
        }
    }
}
