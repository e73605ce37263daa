//! `rollcall admin`: accounts, for whoever sits at the server itself.

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::Failure;
use crate::{
    boot::{self, Records},
    config::Settings,
    domain::{
        accounts::{Actor, Role},
        text::{Email, Name},
    },
    ports::Page,
    service::accounts::NewAccount,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account
    Create {
        /// E-mail address to sign in with
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        /// How to address them
        #[arg(long, value_parser = Name::parse, default_value = "Admin")]
        name: Name,
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleArgument::Admin)]
        role: RoleArgument,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// List the accounts
    List,
    /// Set a new password and end all sessions of the account
    ResetPassword {
        /// E-mail address of the account
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        #[command(flatten)]
        password: PasswordArguments,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleArgument {
    /// Everything
    Admin,
    /// Reads, adds and changes people, looks at kept pictures; enrolls no faces, manages no devices, cameras or accounts
    Manager,
    /// Reads
    Viewer,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Admin => Role::Admin,
            RoleArgument::Manager => Role::Manager,
            RoleArgument::Viewer => Role::Viewer,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct PasswordArguments {
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArguments {
    fn read(&self) -> Result<SecretString, Failure> {
        if self.password_stdin {
            let mut text = Zeroizing::new(String::new());
            std::io::stdin().read_to_string(&mut text)?;
            return Ok(text.trim_end_matches(['\r', '\n']).to_owned().into());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Refused(
                "there is no terminal to ask for the password on: use --password-stdin".to_owned(),
            ));
        }
        let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
        let password = ask("Password: ")?;
        if ask("Once more: ")?.expose_secret() != password.expose_secret() {
            return Err(Failure::Refused("the two passwords differ".to_owned()));
        }
        Ok(password)
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    super::block_on(async {
        match command {
            Command::Create {
                email,
                name,
                role,
                password,
            } => {
                let password = password.read()?;
                let records = boot::records(settings).await?;
                let new = NewAccount {
                    email,
                    name,
                    password,
                    role: role.into(),
                };
                let done = create(&records, new).await;
                records.stores.health.close().await;
                done
            }
            Command::List => {
                let records = boot::records(settings).await?;
                let done = list(&records).await;
                records.stores.health.close().await;
                done
            }
            Command::ResetPassword { email, password } => {
                let password = password.read()?;
                let records = boot::records(settings).await?;
                let done = records
                    .accounts
                    .reset_password(Actor::Operator, &email, password)
                    .await;
                records.stores.health.close().await;
                done?;
                println!("{email} has a new password; all its sessions have ended");
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// Accounts in a page of the list.
const PAGE: usize = 200;

async fn list(records: &Records) -> Result<ExitCode, Failure> {
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let accounts = records.stores.accounts.list(&page).await?;
        for account in &accounts {
            // The newest first; sessions that were ended are not kept.
            let sessions = records.accounts.sessions(account.id).await?;
            let signed_in = match sessions.first() {
                Some(session) => {
                    format!("signed in {}", session.created_at.strftime("%F %H:%M UTC"))
                }
                None => "not signed in".to_owned(),
            };
            let state = if account.active { "" } else { ", disabled" };
            println!(
                "{}\t{}\t{}{state}\t{signed_in}",
                account.email,
                account.name,
                account.role.as_str()
            );
        }
        page.after = accounts.last().map(|last| last.id);
        if accounts.len() < PAGE {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn create(records: &Records, new: NewAccount) -> Result<ExitCode, Failure> {
    let account = if new.role == Role::Admin && records.accounts.needs_setup().await? {
        // Ends the offer of the set-up link as well.
        records.accounts.create_first(new).await?.ok_or_else(|| {
            Failure::Refused(
                "somebody made the first account at this very moment: try again".to_owned(),
            )
        })?
    } else {
        records.accounts.create(Actor::Operator, new).await?
    };
    println!("{} can sign in as {}", account.email, account.role.as_str());
    Ok(ExitCode::SUCCESS)
}
