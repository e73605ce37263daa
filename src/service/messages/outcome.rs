//! What becomes of an attempt to send a message.

use jiff::SignedDuration;

use crate::{
    domain::messages::{Attempt, Channel, Delivery},
    ports::{MailError, PostAnswer, PostError},
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
    /// The receiver takes no message now; perhaps it says for how many seconds.
    Busy(Option<u16>, String, Option<u32>),
    /// There was no answer.
    NoAnswer(String),
}

impl Outcome {
    pub fn of(answer: Result<PostAnswer, PostError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(PostError::Refused(why)) => return Self::Refused(None, why),
            Err(PostError::NoAnswer(why)) => return Self::NoAnswer(why),
        };
        match answer.status {
            status @ 200..300 => Self::Accepted(Some(status)),
            410 => Self::Gone,
            status @ 300..400 => Self::Refused(
                Some(status),
                format!(
                    "the receiver answered with a redirect ({status}), which is not followed: set its final address"
                ),
            ),
            status => {
                let why = format!("the receiver answered {status}");
                match status {
                    429 | 502..=504 => Self::Busy(Some(status), why, answer.retry_after),
                    _ => Self::Refused(Some(status), why),
                }
            }
        }
    }

    pub fn of_mail(sent: Result<(), MailError>) -> Self {
        match sent {
            Ok(()) => Self::Accepted(None),
            Err(MailError::Rejected(why)) => Self::Rejected(why),
            Err(MailError::Refused(why)) => Self::Refused(None, why),
            Err(MailError::Unusable(why)) => Self::Busy(None, why, None),
            Err(MailError::NoAnswer(why)) => Self::NoAnswer(why),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "delivered",
            Self::Gone | Self::Rejected(_) | Self::Refused(..) | Self::Busy(..) => "refused",
            Self::NoAnswer(_) => "no_answer",
        }
    }

    /// Returns how long the receiver must rest at least before another message; `None` if it need
    /// not.
    pub fn rest(&self) -> Option<SignedDuration> {
        match self {
            Self::NoAnswer(_) => Some(SignedDuration::ZERO),
            Self::Busy(_, _, after) => Some(SignedDuration::from_secs(after.unwrap_or(0).into())),
            Self::Accepted(_) | Self::Gone | Self::Rejected(_) | Self::Refused(..) => None,
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
            Self::Refused(status, why) | Self::Busy(status, why, _) => {
                one.failed(attempt, *status, why.clone())
            }
            Self::NoAnswer(why) => one.failed(attempt, None, why.clone()),
        }
    }
}
