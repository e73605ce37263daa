//! `rollcall backup` and `rollcall restore`: one encrypted archive of a whole site.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, IsTerminal, Read, Write},
    iter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use age::{Decryptor, Encryptor, scrypt};
use clap::Args;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use secrecy::{ExposeSecret, SecretString};
use tempfile::{NamedTempFile, TempDir};

use super::Failure;
use crate::{
    boot::{self, Opened},
    clock::{Clock, SystemClock},
    config::{self, Settings, TemplateKeys},
    ports::Stores,
    service::{
        backup::{self, BackupError, Contents, Head},
        copying::{self, Compared, CopyError, Refusal},
    },
};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The archive to make; it must not exist yet
    file: PathBuf,
    /// Leave the template key out; without it, kept elsewhere, nobody's face can be opened again
    #[arg(long)]
    without_key: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The archive
    file: PathBuf,
    /// Only read all of it and tell what it holds
    #[arg(long)]
    check: bool,
    /// Only read all of it and print the template key in it, as TEMPLATE_KEY takes it; everything
    /// else goes to standard error
    #[arg(long)]
    show_key: bool,
}

/// What each guess of a passphrase costs: scrypt with N = 2^17, r = 8, which is OWASP's advice, and
/// takes 128 MB for a moment. Fixed, so that any machine can open what any other one made.
const WORK: u8 = 17;

/// The most that is spent on an archive that the `age` tool made again, 1 GB.
const WORK_MOST: u8 = 20;

/// How often a store is read that changes too much while it is.
const TRIES: u32 = 5;

/// Makes an archive of the settings' store; the service may go on meanwhile.
pub(super) fn backup(settings: &Settings, arguments: &Backup) -> Result<ExitCode, Failure> {
    let Backup { file, without_key } = arguments;
    let shown = file.display();
    if file.exists() {
        return Err(Failure::Refused(format!("{shown} is there already")));
    }
    let passphrase = passphrase(settings, true)?;
    let keys = boot::present_keys(settings)?.filter(|_| !without_key);
    let (draft, contents) = super::block_on_until_told(async {
        let stores = boot::open_present(settings).await?.stores;
        let made = whole_draft(&stores, file, &passphrase, keys.as_ref()).await;
        stores.health.close().await;
        made
    })?;
    let named = draft.persist_noclobber(file).map_err(|error| error.error);
    named.and_then(|_| File::open(folder_of(file))?.sync_all())?;
    show(&contents)?;
    println!("{shown} is whole");
    if *without_key {
        println!("The template key is not in it: keep it apart, or the faces in it are lost.");
    } else if let lost @ 1.. = lost(keys.as_ref(), &contents) {
        eprintln!(
            "warning: there are faces in it sealed with {lost} keys that are not here, nor in it: rollcall doctor tells more"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// How many keys there are that seal something in a backup and are not among these.
fn lost(keys: Option<&TemplateKeys>, contents: &Contents) -> usize {
    let vault = keys.map(boot::vault_with);
    let here = |id: &&String| vault.as_ref().is_some_and(|vault| vault.has(id));
    contents.sealed_with.iter().filter(|id| !here(id)).count()
}

/// Where a file is.
fn folder_of(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Writes the archive beside its place, for its owner's eyes alone; it is gone when dropped.
async fn whole_draft(
    stores: &Stores,
    file: &Path,
    passphrase: &SecretString,
    keys: Option<&TemplateKeys>,
) -> Result<(NamedTempFile, Contents), Failure> {
    let mut tries = 0;
    loop {
        let folder = folder_of(file);
        let draft = tempfile::Builder::new()
            .prefix(".rollcall-backup-")
            .tempfile_in(folder);
        let mut draft = draft.map_err(BackupError::Write)?;
        let keys = keys.map(TemplateKeys::text);
        let head = Head::new(SystemClock.now(), stores.health.description(), keys);
        let mut out = sealed(draft.as_file_mut(), passphrase)?;
        match backup::write(stores, &head, &mut out).await {
            Ok(contents) => {
                let ended = || {
                    let out = out.finish()?.finish()?;
                    out.into_inner()
                        .map_err(io::IntoInnerError::into_error)?
                        .sync_all()
                };
                ended().map_err(BackupError::Write)?;
                return Ok((draft, contents));
            }
            Err(BackupError::Moved(_)) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is written here is compressed, and sealed with a passphrase.
fn sealed<'a>(
    file: &'a mut File,
    passphrase: &SecretString,
) -> Result<GzEncoder<age::stream::StreamWriter<BufWriter<&'a mut File>>>, Failure> {
    let mut recipient = scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK);
    let sealed = Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))?;
    let sealed = sealed
        .wrap_output(BufWriter::new(file))
        .map_err(BackupError::Write)?;
    Ok(GzEncoder::new(sealed, Compression::default()))
}

fn unopened(file: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::Refused(format!("{} cannot be opened: {cause}", file.display()))
}

/// Opens what [`sealed`] wrote.
fn opened(file: &Path, input: File, passphrase: SecretString) -> Result<impl Read, Failure> {
    let refused = |cause: &dyn std::fmt::Display| unopened(file, cause);
    let mut identity = scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WORK_MOST);
    let decryptor = Decryptor::new_buffered(BufReader::new(input));
    let decryptor = decryptor.map_err(|cause| match cause {
        age::DecryptError::Io(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => {
            refused(&cause)
        }
        _ => Failure::Refused(format!(
            "{} is no backup of Rollcall, or is cut off at the beginning",
            file.display()
        )),
    })?;
    let plain = decryptor.decrypt(iter::once(&identity as &dyn age::Identity));
    let plain = plain.map_err(|cause| match cause {
        age::DecryptError::DecryptionFailed => refused(&"another passphrase made it"),
        cause => refused(&cause),
    })?;
    Ok(GzDecoder::new(plain))
}

/// Reads an archive, all of it, and then brings the settings' store to what it holds.
pub(super) fn restore(settings: &Settings, arguments: &Restore) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let input = File::open(file).map_err(|cause| unopened(file, &cause))?;
    let passphrase = passphrase(settings, false)?;
    let reads = arguments.check || arguments.show_key;
    if !reads && boot::in_use(settings)? {
        return Err(Failure::Refused(format!(
            "{} is in use: stop the service first",
            boot::database(settings).display()
        )));
    }
    super::block_on_until_told(async {
        let input = opened(file, input, passphrase)?;
        let folder = between(settings)?;
        let url = format!("sqlite://{}/", folder.path().display()).into();
        let between = boot::open_url(settings, &url, true).await?.stores;
        let done = restore_over(settings, arguments, input, &between).await;
        between.health.close().await;
        done
    })
}

/// A folder for what has been read and not been checked to its end: faces are sealed in it, and
/// passwords hashed. Gone when dropped. Beside the data, where there is room; elsewhere memory may
/// stand behind a folder for what is temporary.
fn between(settings: &Settings) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rollcall-restore-");
    let data = &settings.store.data_dir;
    Ok(match boot::make_data_dir(data) {
        Ok(()) => builder.tempdir_in(data)?,
        Err(_) => builder.tempdir()?,
    })
}

async fn restore_over(
    settings: &Settings,
    arguments: &Restore,
    input: impl Read,
    between: &Stores,
) -> Result<ExitCode, Failure> {
    let (head, contents) = backup::read(BufReader::new(input), between).await?;
    let whole = format!("{} is whole: {head}", arguments.file.display());
    let keys = of_backup(&head)?;
    if arguments.show_key {
        eprintln!("{whole}");
        let missing = || Failure::Refused("the template key is not in it".to_owned());
        let keys = keys.ok_or_else(missing)?;
        println!("{}", keys.text().expose_secret());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{whole}");
    show(&contents)?;
    if arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    let put = missing_here(settings, keys.as_ref())?;
    let Opened { stores, warnings } = boot::open_store(settings).await?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let target = stores.health.description();
    let done = bring(between, &stores).await;
    stores.health.close().await;
    done?;
    println!(
        "{target} holds what the backup holds. Sessions are in no backup: people sign in again."
    );
    if let Some(keys) = put {
        boot::make_data_dir(&settings.store.data_dir)?;
        let file = boot::key_file(settings);
        keys.create(&file)?;
        println!("its template key was put into {}", file.display());
    }
    if lost(boot::present_keys(settings)?.as_ref(), &contents) > 0 {
        println!(
            "Before you start the service: put the template key back that opens the faces (docs/OPERATIONS.md)."
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn of_backup(head: &Head) -> Result<Option<TemplateKeys>, Failure> {
    let parse = |keys: &SecretString| {
        TemplateKeys::parse(keys.expose_secret())
            .ok_or_else(|| Failure::Refused("the backup's template key is damaged".to_owned()))
    };
    head.keys.as_ref().map(parse).transpose()
}

/// The backup's keys, if there are none here. Refuses a site with others: its faces, or the
/// backup's, would be lost.
fn missing_here<'a>(
    settings: &Settings,
    keys: Option<&'a TemplateKeys>,
) -> Result<Option<&'a TemplateKeys>, Failure> {
    let Some(keys) = keys else { return Ok(None) };
    match boot::present_keys(settings)? {
        Some(here) if here.open_all_of(keys) => Ok(None),
        None => Ok(Some(keys)),
        Some(_) => {
            let here = match &settings.privacy.template_key {
                Some(_) => "TEMPLATE_KEY".to_owned(),
                None => boot::key_file(settings).display().to_string(),
            };
            Err(Failure::Refused(format!(
                "{here} does not open what the backup's template key sealed; nothing was restored. Print that key with --show-key, and add it to {here} after a comma; or put it in its place, if nothing is sealed with that yet"
            )))
        }
    }
}

/// What a store refuses, in words of a backup.
fn not_copied(target: &str, error: CopyError) -> Failure {
    let (holds, written) = match &error {
        CopyError::Refused(Refusal::Foreign { kind, count, .. }) => (
            format!(
                "holds {count} {} that the backup does not have",
                kind.plural()
            ),
            "nothing was written",
        ),
        CopyError::Refused(Refusal::Differs { kind, count, .. }) => (
            format!(
                "holds {count} {} that differ from the backup's",
                kind.plural()
            ),
            "nothing was written",
        ),
        CopyError::Taken { kind, id } => (
            format!(
                "has a value of the backup's {} {id} elsewhere",
                kind.singular()
            ),
            "what was restored stays",
        ),
        CopyError::Target(cause) => {
            return Failure::Refused(format!(
                "{target}: {cause}; what was restored stays, and the same command goes on from there"
            ));
        }
        _ => return error.into(),
    };
    Failure::Refused(format!(
        "{target} {holds}; {written}. To restore needs an empty store: a fresh DATA_DIR or database, in which the service was never started; or an earlier state of the same site"
    ))
}

/// Brings the target to what the source holds, and makes sure of it.
async fn bring(source: &Stores, target: &Stores) -> Result<(), Failure> {
    let copied = copying::copy(source, target, |_| {}).await;
    copied.map_err(|error| not_copied(&target.health.description(), error))?;
    let compared = copying::compare(source, target).await?;
    match compared.iter().all(Compared::same) {
        true => Ok(()),
        false => Err(Failure::Refused("the store does not hold what the backup holds, because somebody wrote to it meanwhile: stop the service, empty the store and restore again".to_owned())),
    }
}

/// `BACKUP_PASSPHRASE`, or what is typed; twice for a new archive.
fn passphrase(settings: &Settings, new: bool) -> Result<SecretString, Failure> {
    if let Some(given) = &settings.privacy.backup_passphrase {
        return Ok(given.clone());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Refused(
            "no passphrase: set BACKUP_PASSPHRASE, or BACKUP_PASSPHRASE_FILE to a file that holds it, or run this in a terminal".to_owned(),
        ));
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
    let typed = ask("Passphrase of the backup: ")?;
    let typed = config::parse_passphrase(typed.expose_secret().trim()).ok_or_else(|| {
        Failure::Refused("the passphrase must have at least 12 characters".to_owned())
    })?;
    if new && ask("Once more: ")?.expose_secret().trim() != typed.expose_secret() {
        return Err(Failure::Refused("the two passphrases differ".to_owned()));
    }
    Ok(typed)
}

fn show(contents: &Contents) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (kind, count) in contents.counts.iter().filter(|(_, count)| *count > 0) {
        writeln!(out, "{:>16}  {count}", kind.plural())?;
    }
    Ok(())
}
