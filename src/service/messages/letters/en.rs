//! The texts of letters in English. Another language is another file like this.

use super::occasions::{Occasion, Words};
use crate::domain::mail::SecurityChange;

/// Returns the words of a letter.
pub(super) fn words(occasion: &Occasion<'_>) -> Words {
    match occasion {
        Occasion::Invitation {
            account,
            link,
            until,
        } => {
            let (what, action) = match account {
                true => ("create an account for Rollcall", "Create your account"),
                false => ("add your face to Rollcall", "Add your face"),
            };
            Words {
                subject: "You are invited to Rollcall".to_owned(),
                lines: vec![
                    format!("You are invited to {what}, which records attendance."),
                    format!("The link can be used once, until {until}."),
                    "If you did not expect this, ignore this email.".to_owned(),
                ],
                link: Some((action.to_owned(), (*link).to_owned())),
            }
        }
        Occasion::Reset { link, until } => Words {
            subject: "Set a new password".to_owned(),
            lines: vec![
                "A link for a new password of your account was requested, on the sign-in page or by an administrator.".to_owned(),
                format!("The link can be used once, until {until}."),
                "If you did not ask for it, ignore this email: your password stays as it is.".to_owned(),
            ],
            link: Some(("Set a new password".to_owned(), (*link).to_owned())),
        },
        Occasion::Security { change, at, link } => {
            let what = match change {
                SecurityChange::Password => "The password of your account was changed",
                SecurityChange::AppAdded => {
                    "An app that shows one-time codes was added to your account"
                }
                SecurityChange::AppRemoved => {
                    "The app that shows one-time codes was removed from your account"
                }
                SecurityChange::PasskeyAdded => "A passkey was added to your account",
                SecurityChange::PasskeyRemoved => "A passkey was removed from your account",
                SecurityChange::RecoveryCodes => "Your account has new recovery codes",
                SecurityChange::FactorsRemoved => {
                    "An administrator removed the second step of your account"
                }
                SecurityChange::Unlinked => {
                    "An administrator ended the link of your account to the identity provider"
                }
                SecurityChange::TokenMade => "An API token of your account was made",
            };
            let by_admin = matches!(
                change,
                SecurityChange::FactorsRemoved | SecurityChange::Unlinked
            );
            let advice = match by_admin {
                true => {
                    "If you did not ask for this, ask an administrator at once for a new password."
                }
                false => "If it was not you, ask an administrator at once for a new password.",
            };
            Words {
                subject: what.to_owned(),
                lines: vec![format!("{what}, at {at}."), advice.to_owned()],
                link: link.map(|link| ("Open your account".to_owned(), link.to_owned())),
            }
        }
        Occasion::SignIn {
            at,
            address,
            browser,
            link,
        } => Words {
            subject: "New sign-in to your account".to_owned(),
            lines: vec![
                format!("Your account was used in a browser that it had not used before, at {at}."),
                format!("Address: {address}. Browser: {browser}."),
                "If it was not you, change your password now, and end the session.".to_owned(),
            ],
            link: link.map(|link| ("Open Rollcall".to_owned(), link.to_owned())),
        },
        Occasion::MissingOut { day, ended, link } => Words {
            subject: format!("You have not punched out on {day}"),
            lines: vec![
                format!("Your shift on {day} ended at {ended}, and there is no punch after it."),
                "If you left, request a correction. If you still work, punch when you leave."
                    .to_owned(),
            ],
            link: link.map(|link| ("Open Rollcall".to_owned(), link.to_owned())),
        },
        Occasion::Waiting { counts, link } => Words {
            subject: format!("New in your inbox: {counts}"),
            lines: vec![format!(
                "Since the last hour, these wait for a decision: {counts}."
            )],
            link: link.map(|link| ("Open the inbox".to_owned(), link.to_owned())),
        },
        Occasion::WebhookDisabled { name, reason, link } => Words {
            subject: format!("The webhook {name} was disabled"),
            lines: vec![
                format!("Rollcall sends nothing to the webhook {name} anymore: {reason}."),
                "Repair the receiver, then turn the webhook on again.".to_owned(),
            ],
            link: link.map(|link| ("Open Rollcall".to_owned(), link.to_owned())),
        },
        Occasion::Summary {
            counts,
            names,
            link,
        } => {
            let mut lines = vec![format!("This waits for you: {counts}.")];
            if !names.is_empty() {
                lines.push(format!("It is about {}.", names.join(", ")));
            }
            Words {
                subject: format!("Today in Rollcall: {counts}"),
                lines,
                link: link.map(|link| ("Open the inbox".to_owned(), link.to_owned())),
            }
        }
    }
}

/// Returns why a person gets a letter.
pub(super) fn footer(optional: bool) -> &'static str {
    match optional {
        true => {
            "You get this email because you have an account at Rollcall. You can turn emails of this kind off in the settings of your account."
        }
        false => "You get this email because this address was used at Rollcall.",
    }
}

/// Returns how many of something wait.
pub(super) fn count(word: &str, number: usize) -> String {
    let (one, many) = match word {
        "missing_out" => ("missing out", "missing outs"),
        "correction" => ("correction", "corrections"),
        "timesheet" => ("timesheet", "timesheets"),
        "leave" => ("request for leave", "requests for leave"),
        _ => ("notice", "notices"),
    };
    format!("{number} {}", if number == 1 { one } else { many })
}
