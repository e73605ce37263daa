//! `rollcall people export` and `rollcall people erase`: what the law lets people ask for.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::Write,
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
    domain::{accounts::Actor, ids::EmployeeId, text::Code},
    ports::StoredRecord,
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
        made.map_err(|cause| Failure::Refused(format!("{}: {cause}", to.display())))?;
        // The trail tells of it first; so the copy has this entry only when it is made again.
        let audit = &records.audit;
        audit
            .record(Actor::Operator, "employee.export", id, None)
            .await?;
        let mut copy = Copy {
            folder: to.clone(),
            files: Vec::new(),
            unopened: 0,
        };
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
        for (kind, count) in counts(&about) {
            println!("{count:>8} {kind}");
        }
        println!("written to {}", to.display());
        println!(
            "It holds their photos and templates as they are: hand it over safely, and then delete it."
        );
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

/// A copy in the making.
struct Copy {
    folder: PathBuf,
    files: Vec<CopiedFile>,
    /// Templates, photos and pictures that no present key opens.
    unopened: usize,
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
        punches.write_record(["at", "kind", "workday", "site", "recorded_at"])?;
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
