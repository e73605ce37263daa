//! `rollcall people export` and `rollcall people erase`: the rights of access and erasure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::Failure;
use crate::{
    boot::{self, Records},
    config::Settings,
    domain::{
        accounts::Actor,
        attendance::Punch,
        employees::{CONSENT_TEXT, CONSENT_VERSION},
        ids::EmployeeId,
        record::Kind,
        sealed::{Binding, SealedPart},
        text::Code,
    },
    ports::Expect,
    repositories::Found,
    service::{
        personal_data::{self, CopyNames, Erased, digest, extension, replace_sealed},
        sealed_faces::Counts,
        unseal::{Inside, unseal},
    },
};

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// ID or staff number of the employee; for a deleted employee, the ID
    who: String,
    /// Folder to create [default: export-ID]
    #[arg(long)]
    to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArguments {
    /// ID or staff number of the employee; for a deleted employee, the ID
    who: String,
    /// Also delete punches and other attendance records, if no law requires you to keep them
    #[arg(long)]
    punches: bool,
    /// Confirm that the data is permanently deleted
    #[arg(long, required = true)]
    yes: bool,
}

/// Writes all records about an employee into a new folder that only its owner can read.
pub(super) fn export(
    settings: &Settings,
    arguments: &ExportArguments,
) -> Result<ExitCode, Failure> {
    with_records(settings, async |records| {
        let id = find(records, &arguments.who).await?;
        let about = personal_data::records_of(&records.stores, id).await?;
        if about.is_empty() {
            return Err(not_found(&arguments.who));
        }
        let vault = boot::present_vault(settings)?;
        let to = arguments.to.clone();
        let to = to.unwrap_or_else(|| PathBuf::from(format!("export-{id}")));
        let made = DirBuilder::new().mode(0o700).create(&to);
        made.map_err(|cause| {
            Failure::Refused(match cause.kind() {
                ErrorKind::AlreadyExists => format!(
                    "{} already exists: choose another name with --to",
                    to.display()
                ),
                _ => format!("{}: {cause}", to.display()),
            })
        })?;
        // Written before the export, but after its records were read, so this export does not
        // contain the entry.
        let audit = &records.audit;
        audit
            .record(Actor::Operator, "employee.export", id, None)
            .await?;
        let mut export = Export {
            folder: to.clone(),
            files: Vec::new(),
            unopened: 0,
            decrypted_kinds: BTreeSet::new(),
        };
        export.file("README.txt", guide().as_bytes())?;
        let counts = counts(&about);
        let open = |part: &SealedPart<'_>| unseal(part, vault.as_ref());
        export.write(records, about, open).await?;
        let receipt = json!({
            "receipt": "export",
            "employee": id.to_string(),
            "at": records.clock.now().to_string(),
            "program": program(),
            "store": records.stores.engine.description(),
            "records": counts,
            "could_not_be_opened": export.unopened,
            "files": export.files,
        });
        export.file("receipt.json", &pretty(&receipt)?)?;
        for Kind { name, one, .. } in records.stores.kinds.iter().map(|one| one.kind) {
            match counts.get(name) {
                Some(1) => println!("{:>8} {one}", 1),
                Some(count) => println!("{count:>8} {}", name.replace('_', " ")),
                None => {}
            }
        }
        println!(
            "written to {}; README.txt in it explains the files",
            to.display()
        );
        let decrypted: Vec<_> = export.decrypted_kinds.iter().map(String::as_str).collect();
        match decrypted.is_empty() {
            true => println!("It contains no face. Hand it over safely, then delete it."),
            false => println!(
                "It contains their {} unencrypted: hand it over safely, then delete it.",
                decrypted.join(", ")
            ),
        }
        if export.unopened > 0 {
            return Err(Failure::Refused(format!(
                "{} templates, photos or pictures could not be decrypted with the current template key and are left out",
                export.unopened
            )));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Erases an employee and prints the receipt to standard output.
pub(super) fn erase(settings: &Settings, arguments: &EraseArguments) -> Result<ExitCode, Failure> {
    with_records(settings, async |records| {
        let id = find(records, &arguments.who).await?;
        let Records {
            stores,
            clock,
            audit,
            ..
        } = records;
        let erased = personal_data::erase(stores, audit, &**clock, id, arguments.punches).await?;
        let Erased {
            replaced,
            deleted,
            anonymized,
            traces,
        } = erased;
        let mut elsewhere = vec![
            "earlier backups, copies of the store and exports contain everything until they are deleted".to_owned(),
            "kept pictures of unknown faces may show the person: the page Unknown faces shows and deletes them".to_owned(),
            "running instances delete cached analyses of posted images within seconds; without one, those in Redis end within an hour".to_owned(),
            "results of imports may contain the name for up to 14 days".to_owned(),
            "logs contain IDs, but no names".to_owned(),
        ];
        elsewhere.extend(traces);
        let stays = personal_data::count_of(stores, id).await?;
        let receipt = pretty(&json!({
            "receipt": "erasure",
            "employee": id.to_string(),
            "at": clock.now().to_string(),
            "program": program(),
            "store": stores.engine.description(),
            "deleted": deleted,
            "replaced": replaced,
            "anonymized": anonymized,
            "stays": stays,
            "elsewhere": elsewhere,
        }))?;
        let detail = format!("receipt {}", digest(&receipt));
        audit
            .record(Actor::Operator, "employee.erased", id, Some(detail))
            .await?;
        std::io::stdout().write_all(&receipt)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn with_records<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Records) -> Result<T, Failure>,
) -> Result<T, Failure> {
    super::block_on(async {
        let records = boot::records(settings).await?;
        let done = work(&records).await;
        records.stores.engine.close().await;
        done
    })
}

fn program() -> String {
    format!("rollcall {}", env!("CARGO_PKG_VERSION"))
}

fn not_found(who: &str) -> Failure {
    Failure::Refused(format!(
        "no employee has the ID or staff number {who:?}; a deleted employee can be found only by ID"
    ))
}

async fn find(records: &Records, who: &str) -> Result<EmployeeId, Failure> {
    if let Ok(id) = who.parse::<EmployeeId>() {
        return Ok(id);
    }
    let code = Code::parse(who).map_err(|cause| Failure::Refused(format!("{who:?} {cause}")))?;
    let found = records.stores.employees.find_by_code(&code).await?;
    Ok(found.ok_or_else(|| not_found(who))?.id)
}

/// Counts the records of each kind.
fn counts(records: &[Found]) -> Counts {
    let mut counts = Counts::new();
    for found in records {
        *counts.entry(found.record.kind_of().name).or_default() += 1;
    }
    counts
}

fn pretty(value: &Value) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// A file of an export, with its digest, so that the recipient can check that it is unchanged.
#[derive(Debug, Serialize)]
struct ExportedFile {
    name: String,
    bytes: usize,
    sha256: String,
}

/// Returns the explanation of an export, for its recipient.
fn guide() -> String {
    format!(
        "\
This folder contains everything that the attendance service stores about one person.
Times are in UTC.

receipt.json   when the export was created, the number of records of each kind, and the SHA-256 of
               each other file, to prove that no file was changed
punches.csv    the punches, for a spreadsheet: time, kind, workday, site, the time at which it was
               recorded, the name of the device or camera, and how the person was established
photo-*        stored photos of the enrollment
picture-*      stored small pictures of punches
person.json    every record:

  employees         name, code, site, the dates of employment, and when the person asked to be
                    erased
  accounts          the account with which the person signs in: the email address, and what it may
                    do. The password is not stored, and its hash is left out
  second_factors    how the account signs in besides the password: when its app for codes was
                    added (the secret of the app is left out), the number of recovery codes, the
                    names of passkeys, and who the person is at the identity provider
  sessions          browsers in which the account is signed in: since when, until when, the last use,
                    the address and a short description of the browser
  mail_preferences  emails that the person does not want
  api_tokens        tokens for programs that the person made: the name, what they may do, and until
                    when; of a token itself, only a hash is stored, which is left out
  api_token_uses    when such a token was used last
  face_enrollments  the enrolled face: the consent, with its time, who recorded it, how it was
                    given (`given`; without it, the one who recorded it stated it), the version
                    of its wording (`text`) and the wording itself (`wording`; null if it is not on
                    record); and the templates, which are the numbers that
                    describe the face, with the recognition model (`model`) that computed them and
                    the measured quality of the photo. `look_alikes` are the IDs of people whose
                    faces also matched. `changed_at` is the time of the last change
  photos            the file and the time of each photo
  pictures          the file, the time and the punch of each picture, and what took it (`origin`,
                    `origin_name`)
  refused_punches   punches with their staff number that a kiosk saved while it was offline and that
                    were refused when it delivered them: when, why, and what a manager decided
                    (`resolution`: who, and to whose punches it was added)
  punches           each arrival and departure: `clock` says whose clock gave the time. `origin` is
                    what recorded the punch: a device, a camera, or an account (a person who was
                    signed in); `origin_name` is the name of the device or camera. `proof` is how
                    the person was established: `face` (the similarity of the face and the required
                    threshold), `face_and_pin` and `face_and_badge` (also with a PIN or badge),
                    `pin`, `badge`, `manual` (entered by hand, with the reason) or `import` (from
                    another system). `digests` are digests of the pictures that a device sent
  timesheets        the months whose hours were corrected, submitted or approved: `corrections` with
                    their reasons, who made and who decided them, and in `progress` the approved
                    figures
  entitlements      how much leave of a kind the person may take, in hundredths of days or hours, and
                    what was carried over
  balance_entries   values that were entered beside the hours of days: the balance of an older system
                    (`opening`), time that was paid (`payout`) and other changes (`manual`), in
                    seconds, with the reason and who entered them
  calendar_addresses  when the secret address of their calendar was made, and by whom; of the
                    address itself, only a hash is stored
  punch_credentials  when their PIN was set and by whom, and how often it was typed wrongly; when
                    their badge was issued and by whom. Of both, only hashes are stored, which are
                    left out
  invitations       links that the person has not used yet, to create an account or to enroll their own
                    face: who made them and when, the email address, and what the account may do; of
                    the link itself, only a hash is stored
  kept_answers      responses to devices that sent a punch. They are stored for a while, so that a
                    repeated request gets the same response and does not write a second punch
  deliveries        messages about this person to other systems (`webhook`), with what they say; and
                    emails to them (`mail`), each in a file of its own. They are deleted seven days
                    after they arrived or were given up
  camera_reports    when a camera last saw the person; stored until its next report
  audit_entries     what was done with this person's data, when and by whom: an account (a person
                    who was signed in), a device, `operator` (a command on the server) or `system`
                    (the service itself)

`\"opened\": false` marks data that could not be decrypted, because its key is missing.
Long IDs, such as 0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b, only show which records belong together.

The current wording of the consent, version {CONSENT_VERSION}:

  {CONSENT_TEXT}
"
    )
}

/// An export in progress.
struct Export {
    folder: PathBuf,
    files: Vec<ExportedFile>,
    /// Number of sealed values that no key opens.
    unopened: usize,
    /// The plural names of the kinds with sealed values.
    decrypted_kinds: BTreeSet<String>,
}

impl Export {
    /// Writes a new file that only its owner can read.
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        self.files.push(ExportedFile {
            name: name.to_owned(),
            bytes: bytes.len(),
            sha256: digest(bytes),
        });
        Ok(())
    }

    /// Writes `person.json` with all records, `punches.csv` with the punches for spreadsheets, and
    /// the photos and pictures.
    async fn write(
        &mut self,
        records: &Records,
        about: Vec<Found>,
        open: impl Fn(&SealedPart<'_>) -> Inside,
    ) -> Result<(), Failure> {
        let mut opened = Vec::new();
        for mut found in about {
            let json = self.opened(&mut found, &open)?;
            opened.push((found, json));
        }
        let json = opened.iter().map(|(_, json)| json);
        let names = CopyNames::of(&records.stores, json).await?;
        let mut punches = csv::Writer::from_writer(Vec::new());
        punches.write_record([
            "at",
            "kind",
            "workday",
            "site",
            "recorded_at",
            "origin_name",
            "proof",
        ])?;
        let mut kinds: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (found, mut json) in opened {
            if let Some(punch) = found.record.downcast::<Punch>() {
                punches.write_record([
                    punch.at.to_string(),
                    punch.kind.as_str().to_owned(),
                    punch.workday.to_string(),
                    names.site(&json).unwrap_or_default().to_owned(),
                    punch.recorded_at.to_string(),
                    names.origin(&json).unwrap_or_default().to_owned(),
                    punch.proof.as_str().to_owned(),
                ])?;
            }
            names.complete(&mut json);
            let kind = found.record.kind_of().name;
            kinds.entry(kind).or_default().push(json);
        }
        self.file("person.json", &pretty(&json!(kinds))?)?;
        self.file("punches.csv", &punches.into_inner()?)
    }

    /// Returns a record as JSON. Replaces each sealed value with the numbers of the template, or
    /// the name of the file.
    fn opened(
        &mut self,
        found: &mut Found,
        open: impl Fn(&SealedPart<'_>) -> Inside,
    ) -> Result<Value, Failure> {
        let (kind, id) = (found.record.kind_of(), found.record.id_text());
        let write = found.record.to_write(Expect::Absent)?;
        let mut json: Value = serde_json::from_str(&write.body)?;
        let mut files = 0;
        for part in found.record.sealed_parts() {
            // It would help only a thief of the copy.
            let links = ["reset", "invitation"].map(Value::from);
            let link =
                matches!(part.binding, Binding::Message(_)) && links.contains(&json["topic"]);
            if link || matches!(part.binding, Binding::OneTimeCodes(_)) {
                replace_sealed(&mut json, part.sealed, "left_out", &true.into())?;
                continue;
            }
            self.decrypted_kinds.insert(kind.many());
            let (member, opened) = match open(&part) {
                Inside::Unopened => {
                    self.unopened += 1;
                    ("opened", Value::Bool(false))
                }
                Inside::Numbers(numbers) => ("numbers", json!(numbers)),
                Inside::File(bytes) => {
                    files += 1;
                    let more = if files > 1 {
                        format!("-{files}")
                    } else {
                        String::new()
                    };
                    let (one, extension) = (kind.one.replace(' ', "-"), extension(&bytes));
                    let name = format!("{one}-{id}{more}.{extension}");
                    self.file(&name, &bytes)?;
                    ("file", Value::from(name))
                }
            };
            replace_sealed(&mut json, part.sealed, member, &opened)?;
        }
        Ok(json)
    }
}
