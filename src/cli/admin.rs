//! `rollcall admin`: manages accounts, for operators with access to the server.

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
        accounts::{Account, Actor},
        employees::Employee,
        grants::{Access, Grant, Role, Scope},
        sites::Site,
        text::{Code, Email, Name, SiteName},
    },
    ports::Page,
    service::{
        accounts::{AccountError, NewAccount},
        second_factor,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an account
    Add(AddArguments),
    /// List the accounts and what they may do
    List,
    /// Set a new password and end all sessions of the account
    ResetPassword {
        /// Email address of the account
        #[arg(long, value_parser = Email::parse)]
        email: Email,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Remove all second factors of an account, for a person who lost them, and end all its sessions
    ResetSecondFactor {
        /// Email address of the account
        #[arg(long, value_parser = Email::parse)]
        email: Email,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Email address to sign in with
    #[arg(value_parser = Email::parse)]
    email: Email,
    /// How to address them; by default, the name of the employee or the role
    #[arg(long, value_parser = Name::parse)]
    name: Option<Name>,
    /// What they may do
    #[arg(long, value_enum, default_value_t = RoleArgument::Admin)]
    role: RoleArgument,
    /// Name of a site that a manager or viewer is limited to; may be repeated
    #[arg(long, value_parser = SiteName::parse)]
    site: Vec<SiteName>,
    /// Code of the employee whom the account belongs to, who may read their own records; required
    /// for the role employee
    #[arg(long, value_parser = Code::parse)]
    employee: Option<Code>,
    #[command(flatten)]
    password: PasswordArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleArgument {
    /// Has every permission that an account can have
    Admin,
    /// May read, add and change people, and view kept pictures, but not enroll faces or manage
    /// devices, cameras and accounts
    Manager,
    /// May only read
    Viewer,
    /// Reads the own record, punches and description of the enrolled face
    Employee,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Admin => Role::Admin,
            RoleArgument::Manager => Role::Manager,
            RoleArgument::Viewer => Role::Viewer,
            RoleArgument::Employee => Role::Employee,
        }
    }
}

impl AddArguments {
    /// Returns what the account may do, and the employee whom it belongs to.
    async fn access(&self, records: &Records) -> Result<(Access, Option<Employee>), Failure> {
        let employee = match &self.employee {
            Some(code) => Some(find_employee(records, code).await?),
            None => None,
        };
        let role = Role::from(self.role);
        let mut scopes = Vec::new();
        for name in &self.site {
            scopes.push(Scope::Site(find_site(records, name).await?.id));
        }
        if scopes.is_empty() {
            scopes.push(match role {
                Role::Employee => Scope::Own,
                Role::Admin | Role::Manager | Role::Viewer => Scope::Everything,
            });
        }
        let own = employee
            .iter()
            .map(|_| Grant::new(Role::Employee, Scope::Own));
        let grants = scopes.into_iter().map(|scope| Grant::new(role, scope));
        let grants: Vec<_> = grants
            .chain(own)
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        if matches!(role, Role::Employee) && employee.is_none() {
            return Err(Failure::Refused(
                "the role employee needs an employee: add --employee CODE".to_owned(),
            ));
        }
        let id = employee.as_ref().map(|employee| employee.id);
        Ok((Access::new(id, grants).map_err(refused)?, employee))
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

async fn find_employee(records: &Records, code: &Code) -> Result<Employee, Failure> {
    let employee = records.stores.employees.find_by_code(code).await?;
    employee.ok_or_else(|| {
        refused(format!(
            "no employee has the code {code}: the page People shows the codes"
        ))
    })
}

async fn find_site(records: &Records, name: &SiteName) -> Result<Site, Failure> {
    if let Some(site) = records.stores.sites.find_by_name(name).await? {
        return Ok(site);
    }
    let sites = records.stores.sites.all().await?;
    let present = sites.iter().filter(|site| site.removed_at.is_none());
    let names: Vec<_> = present.map(|site| site.name.as_str()).collect();
    Err(refused(match names[..] {
        [] => format!("no site is called {name}: there is no site yet, start the service once"),
        _ => format!(
            "no site is called {name}: choose one of {}",
            names.join(", ")
        ),
    }))
}

#[derive(Debug, Args)]
pub(super) struct PasswordArguments {
    /// Read the password from standard input instead of prompting for it
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
                "cannot prompt for the password without a terminal: use --password-stdin"
                    .to_owned(),
            ));
        }
        let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
        let password = ask("Password: ")?;
        if ask("Repeat it: ")?.expose_secret() != password.expose_secret() {
            return Err(Failure::Refused("the two passwords differ".to_owned()));
        }
        Ok(password)
    }
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    super::block_on(async {
        match command {
            Command::Add(arguments) => {
                let password = arguments.password.read()?;
                let records = boot::records(settings).await?;
                let done = add(&records, arguments, password).await;
                records.stores.engine.close().await;
                done
            }
            Command::List => {
                let records = boot::records(settings).await?;
                let done = list(&records).await;
                records.stores.engine.close().await;
                done
            }
            Command::ResetPassword { email, password } => {
                let password = password.read()?;
                let records = boot::records(settings).await?;
                let done = records
                    .accounts
                    .reset_password(Actor::Operator, &email, password)
                    .await;
                records.stores.engine.close().await;
                done?;
                println!("{email} has a new password; all sessions of the account have ended");
                Ok(ExitCode::SUCCESS)
            }
            Command::ResetSecondFactor { email } => {
                let records = boot::records(settings).await?;
                let done = reset_second_factor(&records, &email).await;
                records.stores.engine.close().await;
                done?;
                println!("{email} signs in with the password alone; all sessions have ended");
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn reset_second_factor(records: &Records, email: &Email) -> Result<(), Failure> {
    let account = records.stores.accounts.find_by_email(email).await?;
    let account = account.ok_or(AccountError::NoAccount)?;
    let reset = second_factor::reset(&records.stores, &records.audit, Actor::Operator, account.id);
    reset.await.map_err(refused)
}

/// Number of accounts in a page.
const PAGE: usize = 200;

async fn list(records: &Records) -> Result<ExitCode, Failure> {
    let sites = records.stores.sites.all().await?;
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    loop {
        let accounts = records.stores.accounts.list(&page).await?;
        for account in &accounts {
            // Newest first; ended sessions are not kept.
            let sessions = records.accounts.sessions(account.id).await?;
            let signed_in = match sessions.first() {
                Some(session) => {
                    format!("signed in {}", session.created_at.strftime("%F %H:%M UTC"))
                }
                None => "not signed in".to_owned(),
            };
            let state = if account.active { "" } else { ", disabled" };
            let grants = describe(records, &sites, account).await?;
            println!(
                "{}\t{}\t{grants}{state}\t{signed_in}",
                account.email, account.name
            );
        }
        page.after = accounts.last().map(|last| last.id);
        if accounts.len() < PAGE {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Describes what an account may do, such as `manager of Harbor, employee E7`.
async fn describe(records: &Records, sites: &[Site], account: &Account) -> Result<String, Failure> {
    let employee = match account.access.employee() {
        Some(id) => records.stores.employees.find(id).await?,
        None => None,
    };
    let grant = |grant: Grant| match grant.scope() {
        Scope::Everything => grant.role().to_string(),
        Scope::Site(id) => {
            let site = sites.iter().find(|site| site.id == id);
            let name = site.map_or_else(|| id.to_string(), |site| site.name.to_string());
            format!("{} of {name}", grant.role())
        }
        Scope::Own => {
            let code = employee.as_ref().map(|employee| employee.code.as_str());
            format!("{} {}", grant.role(), code.unwrap_or("unknown"))
        }
    };
    let grants: Vec<_> = account.access.grants().map(grant).collect();
    Ok(match grants[..] {
        [] => "nothing".to_owned(),
        _ => grants.join(", "),
    })
}

async fn add(
    records: &Records,
    arguments: AddArguments,
    password: SecretString,
) -> Result<ExitCode, Failure> {
    let (access, employee) = arguments.access(records).await?;
    let name = arguments
        .name
        .or_else(|| employee.map(|employee| employee.settings.name));
    let name = match name {
        Some(name) => name,
        None => Name::parse(match arguments.role {
            RoleArgument::Admin => "Admin",
            RoleArgument::Manager => "Manager",
            RoleArgument::Viewer => "Viewer",
            RoleArgument::Employee => "Employee",
        })
        .map_err(refused)?,
    };
    let new = NewAccount {
        email: arguments.email,
        name,
        password,
        access,
    };
    let first = records.accounts.needs_setup().await?;
    if first && new.access != Access::admin() {
        return Err(refused("the first account must be that of an admin"));
    }
    let account = if first {
        // Also invalidates the setup link.
        records.accounts.create_first(new).await?.ok_or_else(|| {
            refused("another process has just created the first account: try again")
        })?
    } else {
        records.accounts.create(Actor::Operator, new).await?
    };
    let sites = records.stores.sites.all().await?;
    let grants = describe(records, &sites, &account).await?;
    println!("{} can sign in as {grants}", account.email);
    Ok(ExitCode::SUCCESS)
}
