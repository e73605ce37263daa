//! `rollcall people export` and `rollcall people erase`: what the law lets people ask for.

use std::{
    collections::{BTreeMap, HashMap},
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
        employees::{CONSENT_TEXT, CONSENT_VERSION},
        ids::{DeviceId, EmployeeId},
        text::Code,
    },
    ports::{RecordKind, StoredRecord},
    service::personal_data::{self, Erased, Inside, digest},
};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Their id, or their code; of somebody deleted the id
    who: String,
    /// The folder to make for it [default: export-ID]
    #[arg(long)]
    to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Erase {
    /// Their id, or their code; of somebody deleted the id
    who: String,
    /// Their punches too, where no law asks you to keep them
    #[arg(long)]
    punches: bool,
    /// Yes, for good
    #[arg(long, required = true)]
    yes: bool,
}

/// Writes everything that is kept about somebody into a new folder that only its owner can read.
pub(super) fn export(settings: &Settings, arguments: &Export) -> Result<ExitCode, Failure> {
    with_records(settings, async |records| {
        let id = find(records, &arguments.who).await?;
        let about = personal_data::records_of(&records.stores, id).await?;
        if about.is_empty() {
            return Err(nobody(&arguments.who));
        }
        let vault = boot::present_vault(settings)?;
        let to = arguments.to.clone();
        let to = to.unwrap_or_else(|| PathBuf::from(format!("export-{id}")));
        let made = DirBuilder::new().mode(0o700).create(&to);
        made.map_err(|cause| {
            Failure::Refused(match cause.kind() {
                ErrorKind::AlreadyExists => format!(
                    "{} is there already; choose another name with --to",
                    to.display()
                ),
                _ => format!("{}: {cause}", to.display()),
            })
        })?;
        // The trail tells of it first; so the copy has this entry only when it is made again.
        let audit = &records.audit;
        audit
            .record(Actor::Operator, "employee.export", id, None)
            .await?;
        let mut copy = Copy {
            folder: to.clone(),
            files: Vec::new(),
            unopened: 0,
            device_names: personal_data::device_names(&records.stores, &about).await?,
        };
        copy.file("README.txt", guide().as_bytes())?;
        copy.write(&about, |record| {
            personal_data::inside(record, vault.as_ref())
        })?;
        let receipt = json!({
            "receipt": "export",
            "employee": id.to_string(),
            "at": records.clock.now().to_string(),
            "program": program(),
            "store": records.stores.health.description(),
            "records": counts(&about),
            "could_not_be_opened": copy.unopened,
            "files": copy.files,
        });
        copy.file("receipt.json", &pretty(&receipt)?)?;
        let counts = counts(&about);
        for kind in RecordKind::ALL {
            match counts.get(kind.plural()) {
                Some(1) => println!("{:>8} {}", 1, kind.singular()),
                Some(count) => println!("{count:>8} {}", kind.plural()),
                None => {}
            }
        }
        println!(
            "written to {}; README.txt in it tells what is what",
            to.display()
        );
        let faces = [RecordKind::Template, RecordKind::Photo, RecordKind::Picture];
        let held = faces.map(RecordKind::plural).into_iter();
        let held: Vec<_> = held.filter(|kind| counts.contains_key(kind)).collect();
        match held.is_empty() {
            true => println!("No face is in it. Hand it over safely, and then delete it."),
            false => println!(
                "It holds their {} as they are: hand it over safely, and then delete it.",
                held.join(", ")
            ),
        }
        if copy.unopened > 0 {
            return Err(Failure::Refused(format!(
                "{} templates, photos or pictures could not be opened with the present TEMPLATE_KEY and are left out",
                copy.unopened
            )));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Erases somebody; the receipt goes to standard output.
pub(super) fn erase(settings: &Settings, arguments: &Erase) -> Result<ExitCode, Failure> {
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
            named,
            templates,
            photos,
            pictures,
            answers,
            punches,
            traces,
        } = erased;
        let replaced: &[&str] = match named {
            true => &["name", "code", "site", "consent"],
            false => &[],
        };
        let mut elsewhere = vec![
            "backups, copies of the store and exports that were made before hold everything until they are deleted".to_owned(),
            "kept faces that nobody knew may be theirs: the page Unknown faces shows and deletes them".to_owned(),
            "what was seen in images that were posted is remembered for an hour, sealed and without a name".to_owned(),
            "results of imports may quote the name for up to 14 days".to_owned(),
            "logs have identities, and no names".to_owned(),
        ];
        elsewhere.extend(traces);
        let stays = counts(&personal_data::records_of(stores, id).await?);
        let receipt = pretty(&json!({
            "receipt": "erasure",
            "employee": id.to_string(),
            "at": clock.now().to_string(),
            "program": program(),
            "store": stores.health.description(),
            "deleted": {
                "templates": templates,
                "photos": photos,
                "pictures": pictures,
                "kept_answers": answers,
                "punches": punches,
            },
            "replaced": replaced,
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
        records.stores.health.close().await;
        done
    })
}

fn program() -> String {
    format!("rollcall {}", env!("CARGO_PKG_VERSION"))
}

fn nobody(who: &str) -> Failure {
    Failure::Refused(format!(
        "there is nobody with the id or code {who:?}; somebody who was deleted is found by id"
    ))
}

async fn find(records: &Records, who: &str) -> Result<EmployeeId, Failure> {
    if let Ok(id) = who.parse::<EmployeeId>() {
        return Ok(id);
    }
    let code = Code::parse(who).map_err(|cause| Failure::Refused(format!("{who:?} {cause}")))?;
    let found = records.stores.employees.find_by_code(&code).await?;
    Ok(found.ok_or_else(|| nobody(who))?.id)
}

/// How many records of each kind, under names for people.
fn counts(records: &[StoredRecord]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.kind().plural()).or_default() += 1;
    }
    counts
}

fn pretty(value: &Value) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// A file of a copy, so that whoever gets it can tell that it is whole.
#[derive(Debug, Serialize)]
struct CopiedFile {
    name: String,
    bytes: usize,
    sha256: String,
}

/// What is in a copy, for whoever gets it.
fn guide() -> String {
    format!(
        "\
This folder is a copy of everything that the attendance service keeps about one person.
Times are in UTC.

receipt.json   when the copy was made, how many records of each kind are in it, and the SHA-256
               of each other file, by which it can be told that nothing was changed since
punches.csv    the punches, for a spreadsheet: when, what, the workday it counts for, the site,
               the name of the device or camera, and when it was written
photo-*        photos that were kept of the enrollment
picture-*      small pictures that were kept of punches
person.json    every record:

  employees        name, code, site, whether a face is enrolled, and the consent: when it was
                   given, who wrote it down, and in `text` the version of the words
  templates        the numbers that the face was turned into, with which program of recognition
                   (`model`) and what was measured on the photo
  photos           which file, when, of which template
  pictures         which file, when, of which punch
  punches          each coming and going: `clock` is whose clock tells the time, `device_name` the
                   device or camera, `evidence` how alike the face was and what was needed
  kept_answers     what a device was answered that sent a punch, kept for a while so that the same
                   punch sent again gets the same answer and is not written twice
  gallery_changes  when the face last changed in, or left, the list by which people are recognised
  audit_entries    who did something about this person, and when: an account (somebody who was
                   signed in), a device, `operator` (a command on the server) or `system`
                   (the service by itself)

`\"opened\": false` stands where something is sealed with a key that was not there.
Long identities, such as 0199f3a0-7c1e-7d5a-9f0e-2b7f6f0c1a2b, only tell which records belong
together.

The words of the consent in the version {CONSENT_VERSION}, which is today's:

  {CONSENT_TEXT}

Whoever runs the service can tell the words of an earlier version.
"
    )
}

/// A copy in the making.
struct Copy {
    folder: PathBuf,
    files: Vec<CopiedFile>,
    /// Templates, photos and pictures that no present key opens.
    unopened: usize,
    /// What the devices and cameras are called.
    device_names: HashMap<DeviceId, String>,
}

impl Copy {
    /// Writes a new file that only its owner can read.
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        self.files.push(CopiedFile {
            name: name.to_owned(),
            bytes: bytes.len(),
            sha256: digest(bytes),
        });
        Ok(())
    }

    /// `person.json` with all records, `punches.csv` once more for spreadsheets, the photos and
    /// pictures.
    fn write(
        &mut self,
        about: &[StoredRecord],
        inside: impl Fn(&StoredRecord) -> Inside,
    ) -> Result<(), Failure> {
        let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in about {
            let kind = record.kind().plural().replace(' ', "_");
            let opened = self.opened(record, inside(record))?;
            kinds.entry(kind).or_default().push(opened);
        }
        self.file("person.json", &pretty(&json!(kinds))?)?;
        let mut punches = csv::Writer::from_writer(Vec::new());
        punches.write_record([
            "at",
            "kind",
            "workday",
            "site",
            "recorded_at",
            "device_name",
        ])?;
        for record in about {
            if let StoredRecord::Punch(punch) = record {
                punches.write_record([
                    punch.at.to_string(),
                    punch.kind.as_str().to_owned(),
                    punch.workday.to_string(),
                    punch
                        .site
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    punch.recorded_at.to_string(),
                    self.device_names
                        .get(&punch.device)
                        .cloned()
                        .unwrap_or_default(),
                ])?;
            }
        }
        self.file("punches.csv", &punches.into_inner()?)
    }

    /// A record as JSON, with the numbers of a template and the file of a photo or picture in the
    /// place of what is sealed.
    fn opened(&mut self, record: &StoredRecord, inside: Inside) -> Result<Value, Failure> {
        let tagged = serde_json::to_value(record)?;
        let mut value = tagged.get("record").cloned().unwrap_or_default();
        if let (Some(device), Some(fields)) =
            (personal_data::device_of(record), value.as_object_mut())
        {
            let name = self.device_names.get(&device);
            fields.insert("device_name".to_owned(), json!(name));
        }
        let (member, opened) = match inside {
            Inside::Nothing => return Ok(value),
            Inside::Unopened => {
                self.unopened += 1;
                ("opened", Value::Bool(false))
            }
            Inside::Numbers(numbers) => ("numbers", json!(numbers)),
            Inside::Image(bytes) => {
                let kind = record.kind().singular();
                let name = format!("{kind}-{}.{}", record.id(), extension(&bytes));
                self.file(&name, &bytes)?;
                ("file", name.into())
            }
        };
        if let Some(fields) = value.as_object_mut() {
            fields.remove("sealed");
            fields.insert(member.to_owned(), opened);
        }
        Ok(value)
    }
}

/// What a photo's file is called, by how it begins.
fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xd8, ..] => "jpg",
        [0x89, b'P', ..] => "png",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => "bin",
    }
}
