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
        grants::{Access, Grant, GrantError, Role, Scope},
        invitations::Purpose,
        sites::Site,
        text::{Code, Email, Name, SiteName},
    },
    ports::Page,
    service::{
        account_changes::AccountSettings,
        accounts::{AccountError, NewAccount},
        invitations::Inviter,
        second_factor,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an account
    Add(AddArguments),
    /// List the accounts and what they may do
    List,
    /// Make a link with which a person creates an account, valid for 7 days
    Invite(InviteArguments),
    /// Change what an account may do, or the employee whom it belongs to
    Change(ChangeArguments),
    /// Keep an account from signing in, and end its sessions
    Disable(One),
    /// Let a disabled account sign in again
    Enable(One),
    /// Remove an account, and end its sessions
    Remove(One),
    /// Set a new password and end all sessions of the account
    ///
    /// Without --email, sets ADMIN_PASSWORD for ADMIN_EMAIL, and makes that account an admin who can
    /// sign in.
    ResetPassword {
        /// Email address of the account
        #[arg(long, value_parser = Email::parse)]
        email: Option<Email>,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// End the link of an account to a person at the identity provider, and all its sessions
    Unlink(One),
    /// Remove all second factors of an account, for a person who lost them, and end all its sessions
    ResetSecondFactor {
        /// Email address of the account
        #[arg(long, value_parser = Email::parse)]
        email: Email,
    },
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Email address of the account
    #[arg(value_parser = Email::parse)]
    email: Email,
}

#[derive(Debug, Args)]
pub(super) struct InviteArguments {
    /// Email address that the person signs in with
    #[arg(value_parser = Email::parse)]
    email: Email,
    /// How to address them; by default, the name of the employee or the role
    #[arg(long, value_parser = Name::parse)]
    name: Option<Name>,
    #[command(flatten)]
    access: AccessArguments,
    /// Let the person enroll their own face, too
    #[arg(long, requires = "employee")]
    enroll: bool,
}

#[derive(Debug, Args)]
pub(super) struct ChangeArguments {
    /// Email address of the account
    #[arg(value_parser = Email::parse)]
    email: Email,
    /// How to address them
    #[arg(long, value_parser = Name::parse)]
    name: Option<Name>,
    /// What they may do, instead of what they may do now
    #[arg(long, value_enum)]
    role: Option<RoleArgument>,
    /// Name of a site that a manager or viewer is limited to; may be repeated
    #[arg(long, value_parser = SiteName::parse, requires = "role")]
    site: Vec<SiteName>,
    /// Code of the employee whom the account belongs to
    #[arg(long, value_parser = Code::parse)]
    employee: Option<Code>,
    /// Remove the link to an employee, and access to their own records
    #[arg(long, conflicts_with = "employee")]
    no_employee: bool,
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Email address to sign in with
    #[arg(value_parser = Email::parse)]
    email: Email,
    /// How to address them; by default, the name of the employee or the role
    #[arg(long, value_parser = Name::parse)]
    name: Option<Name>,
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    password: PasswordArguments,
}

#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// What they may do; without it, that of an employee if --employee is given
    #[arg(long, value_enum)]
    role: Option<RoleArgument>,
    /// Name of a site that a manager or viewer is limited to; may be repeated
    #[arg(long, value_parser = SiteName::parse)]
    site: Vec<SiteName>,
    /// Code of the employee whom the account belongs to, who may read their own records; required
    /// for the role employee
    #[arg(long, value_parser = Code::parse)]
    employee: Option<Code>,
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

impl AccessArguments {
    /// Returns the role. An account without one and without an employee is the first of an
    /// installation, or as good as that.
    fn role(&self) -> RoleArgument {
        let role = match self.employee {
            Some(_) => RoleArgument::Employee,
            None => RoleArgument::Admin,
        };
        self.role.unwrap_or(role)
    }

    /// Returns what the account may do, and the employee whom it belongs to.
    async fn read(&self, records: &Records) -> Result<(Access, Option<Employee>), Failure> {
        let employee = match &self.employee {
            Some(code) => Some(find_employee(records, code).await?),
            None => None,
        };
        let mut grants = grants(records, self.role(), &self.site).await?;
        if employee.is_some() {
            grants.push(own()?);
        }
        if matches!(self.role(), RoleArgument::Employee) && employee.is_none() {
            return Err(Failure::Refused(
                "the role employee needs an employee: add --employee CODE".to_owned(),
            ));
        }
        let id = employee.as_ref().map(|employee| employee.id);
        Ok((Access::new(id, grants).map_err(refused)?, employee))
    }

    /// Returns the name of an account: the given one, or that of the employee or the role.
    fn name(&self, given: Option<Name>, employee: Option<Employee>) -> Result<Name, Failure> {
        let name = given.or_else(|| employee.map(|employee| employee.settings.name));
        match name {
            Some(name) => Ok(name),
            None => Name::parse(match self.role() {
                RoleArgument::Admin => "Admin",
                RoleArgument::Manager => "Manager",
                RoleArgument::Viewer => "Viewer",
                RoleArgument::Employee => "Employee",
            })
            .map_err(refused),
        }
    }
}

/// Returns the grants of a role at sites, or for everything that it can cover.
async fn grants(
    records: &Records,
    role: RoleArgument,
    sites: &[SiteName],
) -> Result<Vec<Grant>, Failure> {
    let role = Role::from(role);
    let mut scopes = Vec::new();
    for name in sites {
        scopes.push(Scope::Site(find_site(records, name).await?.id));
    }
    if scopes.is_empty() {
        scopes.push(match role {
            Role::Employee => Scope::Own,
            Role::Admin | Role::Manager | Role::Viewer => Scope::Everything,
        });
    }
    let grants = scopes.into_iter().map(|scope| Grant::new(role, scope));
    grants.collect::<Result<_, _>>().map_err(refused)
}

/// Returns the grant of the own records.
fn own() -> Result<Grant, Failure> {
    Grant::new(Role::Employee, Scope::Own).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

async fn find_employee(records: &Records, code: &Code) -> Result<Employee, Failure> {
    let employee = records.stores.employees.find_by_code(code).await?;
    employee.ok_or_else(|| {
        refused(format!(
            "no employee has the staff number {code}: the page People shows them"
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
        // Read before the store is opened, because a prompt may wait for long.
        let password = match &command {
            Command::Add(AddArguments { password, .. })
            | Command::ResetPassword {
                email: Some(_),
                password,
            } => Some(password.read()?),
            _ => None,
        };
        let records = boot::records(settings).await?;
        let done = execute(settings, &records, command, password).await;
        records.stores.engine.close().await;
        done
    })
}

async fn execute(
    settings: &Settings,
    records: &Records,
    command: Command,
    password: Option<SecretString>,
) -> Result<ExitCode, Failure> {
    match (command, password) {
        (Command::Add(arguments), Some(password)) => add(records, arguments, password).await,
        (Command::List, _) => list(records).await,
        (Command::Invite(arguments), _) => invite(settings, records, arguments).await,
        (Command::Change(arguments), _) => change(records, arguments).await,
        (Command::Disable(One { email }), _) => {
            set_active(records, &email, false).await?;
            println!("{email} cannot sign in; all sessions of the account have ended");
            Ok(ExitCode::SUCCESS)
        }
        (Command::Enable(One { email }), _) => {
            set_active(records, &email, true).await?;
            println!("{email} can sign in");
            Ok(ExitCode::SUCCESS)
        }
        (Command::Unlink(One { email }), _) => {
            let account = find_account(records, &email).await?;
            let (stores, actor) = (&records.stores, Actor::Operator);
            let now = records.clock.now();
            let unlinked = second_factor::unlink(stores, &records.audit, actor, account.id, now);
            unlinked.await.map_err(refused)?;
            println!(
                "{email} belongs to nobody at the identity provider; all sessions and API tokens have ended"
            );
            Ok(ExitCode::SUCCESS)
        }
        (Command::ResetSecondFactor { email }, _) => {
            let account = find_account(records, &email).await?;
            let (stores, actor) = (&records.stores, Actor::Operator);
            let now = records.clock.now();
            let reset = second_factor::reset(stores, &records.audit, actor, account.id, now);
            reset.await.map_err(refused)?;
            println!(
                "{email} signs in with the password alone; all sessions and API tokens have ended"
            );
            Ok(ExitCode::SUCCESS)
        }
        (Command::Remove(One { email }), _) => {
            let account = find_account(records, &email).await?;
            records.accounts.remove(Actor::Operator, account.id).await?;
            println!("{email} was removed; all sessions of the account have ended");
            Ok(ExitCode::SUCCESS)
        }
        (
            Command::ResetPassword {
                email: Some(email), ..
            },
            Some(password),
        ) => {
            reset_password(records, &email, password).await?;
            Ok(ExitCode::SUCCESS)
        }
        (Command::ResetPassword { .. }, _) => {
            let (Some(email), Some(password)) = (&settings.admin.email, &settings.admin.password)
            else {
                return Err(refused(
                    "which account: use --email ADDRESS, or set ADMIN_EMAIL and ADMIN_PASSWORD",
                ));
            };
            reset_password(records, email, password.clone()).await?;
            make_admin(records, email).await
        }
        (Command::Add(_), None) => Err(refused("no password was given")),
    }
}

async fn find_account(records: &Records, email: &Email) -> Result<Account, Failure> {
    let account = records.stores.accounts.find_by_email(email).await?;
    Ok(account.ok_or(AccountError::NoAccount)?)
}

async fn reset_password(
    records: &Records,
    email: &Email,
    password: SecretString,
) -> Result<(), Failure> {
    let account = records
        .accounts
        .reset_password(Actor::Operator, email, password)
        .await?;
    println!("{email} has a new password; all sessions and API tokens of the account have ended");
    if !account.active {
        println!("the account is disabled: `rollcall admin enable {email}` lets it sign in");
    }
    Ok(())
}

/// Makes an account an admin who can sign in, if it is not one.
async fn make_admin(records: &Records, email: &Email) -> Result<ExitCode, Failure> {
    let account = find_account(records, email).await?;
    if account.is_active_admin() {
        return Ok(ExitCode::SUCCESS);
    }
    let admin = Grant::new(Role::Admin, Scope::Everything).map_err(refused)?;
    edit(records, &account, |settings| {
        let access = &settings.access;
        settings.access = Access::new(access.employee(), access.grants().chain([admin]))?;
        settings.active = true;
        Ok(())
    })
    .await?;
    println!("{email} is an admin");
    Ok(ExitCode::SUCCESS)
}

/// Changes the settings of an account.
async fn edit(
    records: &Records,
    account: &Account,
    change: impl Fn(&mut AccountSettings) -> Result<(), GrantError>,
) -> Result<Account, Failure> {
    let edited = |account: &Account| {
        let mut settings = AccountSettings::of(account);
        change(&mut settings).map_err(refused)?;
        Ok::<_, Failure>(settings)
    };
    records
        .accounts
        .change(Actor::Operator, account.id, edited)
        .await
}

async fn set_active(records: &Records, email: &Email, active: bool) -> Result<(), Failure> {
    let account = find_account(records, email).await?;
    if active && account.access.is_empty() {
        return Err(AccountError::NoGrant.into());
    }
    edit(records, &account, |settings| {
        settings.active = active;
        Ok(())
    })
    .await?;
    Ok(())
}

async fn change(records: &Records, arguments: ChangeArguments) -> Result<ExitCode, Failure> {
    let account = find_account(records, &arguments.email).await?;
    let new_grants = match arguments.role {
        Some(role) => Some(grants(records, role, &arguments.site).await?),
        None => None,
    };
    let employee = match &arguments.employee {
        Some(code) => Some(find_employee(records, code).await?.id),
        None => None,
    };
    let own = own()?;
    let account = edit(records, &account, |settings| {
        let access = &settings.access;
        let linked = match arguments.no_employee {
            true => None,
            false => employee.or(access.employee()),
        };
        let mut grants: Vec<_> = match &new_grants {
            Some(grants) => grants.clone(),
            None => access.grants().filter(|grant| *grant != own).collect(),
        };
        if linked.is_some() {
            grants.push(own);
        }
        settings.access = Access::new(linked, grants)?;
        if let Some(name) = &arguments.name {
            settings.name = name.clone();
        }
        Ok(())
    })
    .await?;
    let sites = records.stores.sites.all().await?;
    let grants = describe(records, &sites, &account).await?;
    println!("{} is {grants}", account.email);
    Ok(ExitCode::SUCCESS)
}

async fn invite(
    settings: &Settings,
    records: &Records,
    arguments: InviteArguments,
) -> Result<ExitCode, Failure> {
    if records.accounts.needs_setup().await? {
        return Err(refused(
            "there is no account yet: use `rollcall admin add` for the first admin",
        ));
    }
    if arguments.access.role.is_none() && arguments.access.employee.is_none() {
        return Err(refused(
            "say what the person may do: add --role admin, manager or viewer, or --employee CODE",
        ));
    }
    let (access, employee) = arguments.access.read(records).await?;
    let purpose = Purpose::Account {
        email: arguments.email,
        name: arguments.access.name(arguments.name, employee)?,
        access,
        enroll: arguments.enroll,
    };
    let made = records
        .invitations
        .invite(&Inviter::OPERATOR, purpose)
        .await?;
    let origin = settings.server.public_url.as_deref();
    println!("{}{}", origin.unwrap_or_default(), made.path());
    let todo = match origin {
        Some(_) => "pass it on",
        None => "put the address of the service before it (PUBLIC_URL does), and pass it on",
    };
    let until = made.invitation.expires_at.strftime("%F %H:%M UTC");
    println!("{todo}; it can be used once, until {until}");
    Ok(ExitCode::SUCCESS)
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
            let signed_in = match account.signed_in_at {
                Some(at) => format!("signed in {}", at.strftime("%F %H:%M UTC")),
                None => "never signed in".to_owned(),
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
    let (access, employee) = arguments.access.read(records).await?;
    let name = arguments.access.name(arguments.name, employee)?;
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
