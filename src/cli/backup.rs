//! `rollcall backup` and `rollcall restore`: one encrypted archive of everything in a store.

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
    repositories::Repositories,
    service::{
        backup::{self, BackupError, Contents, Head},
        store_copy::{self, Compared, CopyError, Refusal},
    },
};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The archive to create; it must not exist yet
    file: PathBuf,
    /// Leave out the template key; keep it elsewhere, because without it no face can be decrypted
    #[arg(long)]
    without_key: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The archive
    file: PathBuf,
    /// Only read the whole archive, and print its contents
    #[arg(long)]
    check: bool,
    /// Only read the whole archive, and print its template key in the format of TEMPLATE_KEY;
    /// everything else goes to standard error
    #[arg(long)]
    show_key: bool,
}

/// The cost of guessing a passphrase: scrypt with N = 2^17 and r = 8, as OWASP recommends, needs
/// 128 MB. The cost is fixed, so that every machine can open an archive of any other machine.
const WORK: u8 = 17;

/// Maximum cost of opening an archive, for archives encrypted again with the `age` tool: 1 GB.
const WORK_MOST: u8 = 20;

/// Maximum number of attempts if the store changes too much while it is read.
const TRIES: u32 = 5;

/// Creates an archive of the configured store; the service may be running.
pub(super) fn backup(settings: &Settings, arguments: &Backup) -> Result<ExitCode, Failure> {
    let Backup { file, without_key } = arguments;
    let shown = file.display();
    if file.exists() {
        return Err(Failure::Refused(format!(
            "{shown} already exists: choose another name"
        )));
    }
    let passphrase = passphrase(settings, true)?;
    let keys = boot::present_keys(settings)?.filter(|_| !without_key);
    let (draft, contents) = super::block_on_until_signal(async {
        let stores = boot::open_present(settings).await?.stores;
        let made = write_draft(&stores, file, &passphrase, keys.as_ref()).await;
        stores.engine.close().await;
        made
    })?;
    let named = draft.persist_noclobber(file).map_err(|error| error.error);
    named.and_then(|_| File::open(folder_of(file))?.sync_all())?;
    show(&contents)?;
    println!("{shown} is complete");
    if *without_key {
        println!(
            "It does not contain the template key: keep the key elsewhere, because the faces are lost without it."
        );
    } else if let missing @ 1.. = missing_keys(keys.as_ref(), &contents) {
        eprintln!(
            "warning: it contains faces that are encrypted with {missing} missing keys; see `rollcall doctor`"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts the keys that sealed something in a backup and are not among `keys`.
fn missing_keys(keys: Option<&TemplateKeys>, contents: &Contents) -> usize {
    let vault = keys.map(boot::vault_with);
    let has_key = |id: &&String| vault.as_ref().is_some_and(|vault| vault.has(id));
    contents
        .sealed_with
        .iter()
        .filter(|id| !has_key(id))
        .count()
}

/// Returns the folder of a file.
fn folder_of(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Writes the archive to a temporary file in the same folder, which only its owner can read.
async fn write_draft(
    stores: &Repositories,
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
        let head = Head::new(SystemClock.now(), stores.engine.description(), keys);
        let mut out = encrypting(draft.as_file_mut(), passphrase)?;
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

/// Returns a writer that compresses, and encrypts with a passphrase.
fn encrypting<'a>(
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

fn cannot_open(file: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::Refused(format!("could not open {}: {cause}", file.display()))
}

/// Returns a reader of what [`encrypting`] wrote.
fn decrypting(file: &Path, input: File, passphrase: SecretString) -> Result<impl Read, Failure> {
    let refused = |cause: &dyn std::fmt::Display| cannot_open(file, cause);
    let mut identity = scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WORK_MOST);
    let decryptor = Decryptor::new_buffered(BufReader::new(input));
    let decryptor = decryptor.map_err(|cause| match cause {
        age::DecryptError::Io(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => {
            refused(&cause)
        }
        _ => Failure::Refused(format!(
            "{} is not a backup of Rollcall, or is truncated near its beginning",
            file.display()
        )),
    })?;
    let plain = decryptor.decrypt(iter::once(&identity as &dyn age::Identity));
    let plain = plain.map_err(|cause| match cause {
        age::DecryptError::DecryptionFailed => refused(&"the passphrase is wrong"),
        cause => refused(&cause),
    })?;
    Ok(GzDecoder::new(plain))
}

/// Reads a whole archive, then writes its records to the configured store.
pub(super) fn restore(settings: &Settings, arguments: &Restore) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let input = File::open(file).map_err(|cause| cannot_open(file, &cause))?;
    let passphrase = passphrase(settings, false)?;
    let only_reads = arguments.check || arguments.show_key;
    if !only_reads && boot::in_use(settings)? {
        return Err(Failure::Refused(format!(
            "{} is in use: stop the service first",
            boot::database(settings).display()
        )));
    }
    // Outlives the runtime: after a signal, threads of the store may still write to the folder until
    // the runtime has ended, and what they write must be deleted too.
    let mut staging = None;
    super::block_on_until_signal(async {
        let input = decrypting(file, input, passphrase)?;
        let folder = staging.insert(staging_folder(settings)?);
        let url = format!("sqlite://{}/", folder.path().display()).into();
        let staging = boot::open_url(settings, &url, true).await?.stores;
        let done = restore_via(settings, arguments, input, &staging).await;
        staging.engine.close().await;
        done
    })
}

/// Creates a temporary folder for the records of an archive until the whole archive is checked. In
/// it, faces are encrypted and passwords hashed. It is in the data folder, which has enough space,
/// while the system's temporary folder may be in memory.
fn staging_folder(settings: &Settings) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rollcall-restore-");
    let data = &settings.store.data_dir;
    Ok(match boot::make_data_dir(data) {
        Ok(()) => builder.tempdir_in(data)?,
        Err(_) => builder.tempdir()?,
    })
}

async fn restore_via(
    settings: &Settings,
    arguments: &Restore,
    input: impl Read,
    staging: &Repositories,
) -> Result<ExitCode, Failure> {
    let (head, contents) = backup::read(BufReader::new(input), staging).await?;
    let complete = format!("{} is complete: {head}", arguments.file.display());
    let keys = keys_of(&head)?;
    if arguments.show_key {
        eprintln!("{complete}");
        let missing =
            || Failure::Refused("the archive does not contain the template key".to_owned());
        let keys = keys.ok_or_else(missing)?;
        println!("{}", keys.text().expose_secret());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{complete}");
    show(&contents)?;
    if arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    let new_keys = keys_to_add(settings, keys.as_ref())?;
    let Opened { stores, warnings } = boot::open_store(settings).await?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let target = stores.engine.description();
    let done = copy_and_compare(staging, &stores).await;
    stores.engine.close().await;
    done?;
    println!(
        "{target} contains everything in the backup. Backups contain no sessions: people must sign in again."
    );
    if let Some(keys) = new_keys {
        boot::make_data_dir(&settings.store.data_dir)?;
        let file = boot::key_file(settings);
        keys.create(&file)?;
        println!(
            "the template key of the backup was written to {}",
            file.display()
        );
    }
    if missing_keys(boot::present_keys(settings)?.as_ref(), &contents) > 0 {
        println!(
            "Before you start the service, restore the template key that decrypts the faces (docs/OPERATIONS.md)."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the template keys in a backup.
fn keys_of(head: &Head) -> Result<Option<TemplateKeys>, Failure> {
    let parse = |keys: &SecretString| {
        TemplateKeys::parse(keys.expose_secret())
            .ok_or_else(|| Failure::Refused("the template key in the backup is damaged".to_owned()))
    };
    head.keys.as_ref().map(parse).transpose()
}

/// Returns the backup's keys if the installation has none. Fails if it has others, because either
/// its faces or those of the backup would be lost.
fn keys_to_add<'a>(
    settings: &Settings,
    keys: Option<&'a TemplateKeys>,
) -> Result<Option<&'a TemplateKeys>, Failure> {
    let Some(keys) = keys else { return Ok(None) };
    match boot::present_keys(settings)? {
        Some(present) if present.open_all_of(keys) => Ok(None),
        None => Ok(Some(keys)),
        Some(_) => {
            let present = match &settings.privacy.template_key {
                Some(_) => "TEMPLATE_KEY".to_owned(),
                None => boot::key_file(settings).display().to_string(),
            };
            Err(Failure::Refused(format!(
                "{present} cannot decrypt what the backup's template key encrypted; nothing was restored. Print that key with --show-key and add it to {present} after a comma, or replace {present} with it if nothing is encrypted with {present} yet"
            )))
        }
    }
}

/// Explains an error of the copy for the restore of a backup.
fn not_restored(target: &str, error: CopyError) -> Failure {
    let (problem, written) = match &error {
        CopyError::Refused(Refusal::Foreign { kind, count, .. }) => (
            format!(
                "contains {count} {} that the backup does not have",
                kind.many()
            ),
            "nothing was written",
        ),
        CopyError::Refused(Refusal::Differs { kind, count, .. }) => (
            format!(
                "contains {count} {} that differ from those in the backup",
                kind.many()
            ),
            "nothing was written",
        ),
        CopyError::Taken { kind, id } => (
            format!(
                "already has a unique value of the {} {id} in the backup",
                kind.one
            ),
            "records that were already restored stay",
        ),
        CopyError::Target(cause) => {
            return Failure::Refused(format!(
                "{target}: {cause}; records that were already restored stay, and the same command continues from there"
            ));
        }
        _ => return error.into(),
    };
    Failure::Refused(format!(
        "{target} {problem}; {written}. A restore needs an empty store (a fresh DATA_DIR or database, with which the service was never started), or an earlier state of the same installation"
    ))
}

/// Copies the source to the target, and checks that they are the same.
async fn copy_and_compare(source: &Repositories, target: &Repositories) -> Result<(), Failure> {
    let copied = store_copy::copy(source, target, |_| {}).await;
    copied.map_err(|error| not_restored(&target.engine.description(), error))?;
    let compared = store_copy::compare(source, target).await?;
    match compared.iter().all(Compared::same) {
        true => Ok(()),
        false => Err(Failure::Refused("the store differs from the backup, because it was used during the restore: stop the service, empty the store and restore again".to_owned())),
    }
}

/// Returns `BACKUP_PASSPHRASE`, or prompts for the passphrase; twice for a new archive.
fn passphrase(settings: &Settings, new: bool) -> Result<SecretString, Failure> {
    if let Some(given) = &settings.privacy.backup_passphrase {
        return Ok(given.clone());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Refused(
            "there is no passphrase: set BACKUP_PASSPHRASE, set BACKUP_PASSPHRASE_FILE to a file that contains it, or run this in a terminal".to_owned(),
        ));
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
    let typed = ask("Passphrase of the backup: ")?;
    let typed = config::parse_passphrase(typed.expose_secret().trim()).ok_or_else(|| {
        Failure::Refused("the passphrase must have at least 12 characters".to_owned())
    })?;
    if new && ask("Repeat it: ")?.expose_secret().trim() != typed.expose_secret() {
        return Err(Failure::Refused("the two passphrases differ".to_owned()));
    }
    Ok(typed)
}

fn show(contents: &Contents) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (kind, count) in contents.counts.iter().filter(|(_, count)| *count > 0) {
        writeln!(out, "{:>17}  {count}", kind.many())?;
    }
    Ok(())
}
