//! `rollcall employees`: imports people with photos, exports and erases personal data, and deletes
//! all faces. Works directly on the store, also beside a running service, which picks up an import
//! within seconds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Failure, personal_data};
use crate::{
    boot::{self, Core, Records},
    config::Settings,
    domain::{
        accounts::Actor,
        employees::EmployeeSettings,
        grants::Reach,
        ids::SiteId,
        text::{Code, Name, SiteName},
    },
    ports::Sample,
    service::{
        enrollment::{EnrollError, EnrollRequest, PHOTOS_MOST, PhotoVerdict},
        key_rotation,
        sites::{SiteMap, no_such_site},
    },
    vision::{decode::SampleLimits, reduced_photo},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add people and enroll their photos; can be run again
    ///
    /// FROM is a folder with one subfolder of photos per person, or a CSV file with the columns name,
    /// code, site, photos (paths separated by semicolons, relative to the file; a folder stands for
    /// all photos in it). A subfolder is named `CODE Name` if its first word contains a digit;
    /// otherwise its name is both name and code. A file people.csv in the folder, with the columns
    /// folder, name, code, site, overrides that. If a code exists already, its photos are enrolled
    /// only if the person is not enrolled yet.
    Import(Import),
    /// Delete every enrolled face, with photos and consents, after the template key was lost
    ///
    /// Stop the service first. People and punches are kept; everybody must be enrolled again.
    DeleteFaces(DeleteFaces),
    /// Export all data about a person into a folder, to hand over to them
    ///
    /// person.json contains every record, and punches.csv the punches again. Stored photos are beside
    /// them, README.txt explains the files, and receipt.json contains the SHA-256 of every other file.
    Export(personal_data::ExportArguments),
    /// Permanently delete a person's face, name and code, and print a receipt
    ///
    /// Their punches are kept under an ID, unless --punches deletes them too. Can be run again.
    Erase(personal_data::EraseArguments),
}

#[derive(Debug, Args)]
pub(super) struct DeleteFaces {
    /// Confirm that all faces are permanently deleted
    #[arg(long, required = true)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Folder or CSV file
    from: PathBuf,
    /// Confirm that every imported person consented to face enrollment; see docs/PRIVACY.md
    #[arg(long, required = true)]
    consent: bool,
    /// Name of the site of people for whom none is given; the default site without it
    #[arg(long, value_parser = SiteName::parse)]
    site: Option<SiteName>,
}

/// A person to import.
#[derive(Debug, PartialEq)]
struct Person {
    name: Name,
    code: Code,
    site: Option<SiteName>,
    photos: Vec<PathBuf>,
}

/// The result of an import.
#[derive(Debug, Default)]
struct Tally {
    enrolled: usize,
    photos: usize,
    present: usize,
    faceless: usize,
}

pub(super) fn run(settings: &Settings, command: Command) -> Result<ExitCode, Failure> {
    let import = match command {
        Command::Import(import) => import,
        Command::DeleteFaces(DeleteFaces { .. }) => return delete_faces(settings),
        Command::Export(arguments) => return personal_data::export(settings, &arguments),
        Command::Erase(arguments) => return personal_data::erase(settings, &arguments),
    };
    let people = people(&import.from)?;
    if people.is_empty() {
        return Err(Failure::Refused(format!(
            "found no people in {}",
            import.from.display()
        )));
    }
    super::block_on(async {
        let core = Core::start(settings).await?;
        let Records { stores, clock, .. } = &core.records;
        let never = CancellationToken::new();
        let tally = tokio::select! {
            tally = import_all(&core, people, &import) => tally,
            () = key_rotation::hold(&stores.leases, &**clock, &core.key_id, &never) => {
                Err(Failure::Refused("interrupted".to_owned()))
            }
        };
        core.stop().await;
        let Tally {
            enrolled,
            photos,
            present,
            faceless,
        } = tally?;
        println!(
            "{enrolled} enrolled with {photos} photos, {present} already enrolled, {faceless} added without a face"
        );
        Ok(if faceless == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

fn delete_faces(settings: &Settings) -> Result<ExitCode, Failure> {
    let people = super::block_on(async { Ok(boot::delete_faces(settings).await?) })?;
    println!("deleted the faces of {people} people; the people and their punches are kept");
    Ok(ExitCode::SUCCESS)
}

async fn import_all(core: &Core, people: Vec<Person>, import: &Import) -> Result<Tally, Failure> {
    let bar = ProgressBar::new(people.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {eta} {msg}",
    )?);
    let sites = core.app.sites.all().await?;
    let sites = sites_of(&people, import.site.as_ref(), &sites)?;
    let mut tally = Tally::default();
    for (person, site) in people.into_iter().zip(sites) {
        bar.set_message(person.name.to_string());
        let who = format!("{} ({})", person.name, person.code);
        let print = |text: String| bar.suspend(|| eprintln!("{text}"));
        match import_one(core, (person, site), import.consent, &print).await? {
            Outcome::Enrolled(photos) => {
                tally.enrolled += 1;
                tally.photos += photos;
            }
            Outcome::Present => tally.present += 1,
            Outcome::Faceless(reason) => {
                tally.faceless += 1;
                print(format!("{who}: {reason}"));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

/// Returns the IDs of people's sites, in the order of the people. If a site does not exist, no
/// person is imported.
fn sites_of(
    people: &[Person],
    fallback: Option<&SiteName>,
    sites: &SiteMap,
) -> Result<Vec<SiteId>, Failure> {
    let site = |person: &Person| match person.site.as_ref().or(fallback) {
        None => Ok(SiteId::DEFAULT),
        Some(name) => match sites.named(name) {
            Some(site) => Ok(site.id),
            None => Err(Failure::Refused(no_such_site(name))),
        },
    };
    people.iter().map(site).collect()
}

/// The outcome of one person's import.
enum Outcome {
    /// Enrolled, with this many photos.
    Enrolled(usize),
    /// Already enrolled.
    Present,
    /// In the list of employees but without a face; contains the reason.
    Faceless(String),
}

async fn import_one(
    core: &Core,
    (person, site): (Person, SiteId),
    consent: bool,
    print: &dyn Fn(String),
) -> Result<Outcome, Failure> {
    let employees = &core.app.employees;
    let employee = match employees.find_by_code(&person.code).await? {
        Some(person) if person.enrolled() => return Ok(Outcome::Present),
        Some(person) => person,
        None => {
            let new = EmployeeSettings::new(person.name, person.code, site);
            employees
                .add(&Reach::Everything, Actor::Operator, new)
                .await?
        }
    };
    if person.photos.is_empty() {
        return Ok(Outcome::Faceless("has no photos".to_owned()));
    }
    for left in person.photos.iter().skip(PHOTOS_MOST) {
        print(format!(
            "{}: skipped, at most {PHOTOS_MOST} photos are enrolled",
            left.display()
        ));
    }
    let files = &person.photos[..person.photos.len().min(PHOTOS_MOST)];
    let mut photos = Vec::with_capacity(files.len());
    for file in files {
        match fs::read(file) {
            Ok(bytes) => photos.push(enrollable(bytes)),
            Err(cause) => return Ok(Outcome::Faceless(format!("{}: {cause}", file.display()))),
        }
    }
    let refused = |verdicts: &[PhotoVerdict]| {
        for verdict in verdicts {
            if let (Some(flaw), Some(file)) = (&verdict.flaw, files.get(verdict.index)) {
                print(format!("{}: {}", file.display(), flaw.detail()));
            }
        }
    };
    let request = EnrollRequest {
        employee: employee.id,
        consent,
        photos,
        override_duplicate: false,
    };
    match core
        .app
        .enrolling
        .enroll(&Reach::Everything, Actor::Operator, request)
        .await
    {
        Ok(enrollment) => {
            refused(&enrollment.photos);
            let accepted = enrollment
                .photos
                .iter()
                .filter(|photo| photo.flaw.is_none())
                .count();
            Ok(Outcome::Enrolled(accepted))
        }
        Err(EnrollError::NoUsablePhoto(verdicts)) => {
            refused(&verdicts);
            Ok(Outcome::Faceless("has no usable photo".to_owned()))
        }
        Err(EnrollError::Duplicate { other, photos }) => {
            refused(&photos);
            Ok(Outcome::Faceless(format!(
                "the face is already enrolled for {} ({})",
                other.name, other.code
            )))
        }
        Err(error @ (EnrollError::Inactive | EnrollError::Full)) => {
            Ok(Outcome::Faceless(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a photo, as a smaller file if it is too large to enroll. If it cannot be decoded, the
/// enrollment says why.
fn enrollable(bytes: Vec<u8>) -> Sample {
    let reduced = match bytes.len() > SampleLimits::default().bytes {
        true => reduced_photo(&bytes).ok(),
        false => None,
    };
    Sample::new(reduced.unwrap_or(bytes))
}

/// Reads the people to import, in the order of the file or folder.
fn people(from: &Path) -> Result<Vec<Person>, Failure> {
    let people = if from.is_dir() {
        from_folder(from)?
    } else {
        from_csv(from)?
    };
    let mut codes = BTreeMap::new();
    for person in &people {
        if let Some(other) = codes.insert(person.code.key(), &person.name) {
            return Err(Failure::Refused(format!(
                "{other} and {} have the same code {}",
                person.name, person.code
            )));
        }
    }
    Ok(people)
}

#[derive(Debug, Deserialize)]
struct Row {
    name: Option<String>,
    code: Option<String>,
    site: Option<String>,
    photos: Option<String>,
    folder: Option<String>,
}

fn rows(file: &Path) -> Result<Vec<Row>, Failure> {
    let wrong = |cause: csv::Error| Failure::Refused(format!("{}: {cause}", file.display()));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .map_err(wrong)?;
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(wrong)
}

fn person(row: Row, fallback: (&str, &str), photos: Vec<PathBuf>) -> Result<Person, Failure> {
    let (code, name) = fallback;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (code, name) = (
        filled(row.code).unwrap_or_else(|| code.to_owned()),
        filled(row.name).unwrap_or_else(|| name.to_owned()),
    );
    let wrong =
        |what: &str, text: &str, cause| Failure::Refused(format!("the {what} {text:?} {cause}"));
    Ok(Person {
        name: Name::parse(&name).map_err(|cause| wrong("name", &name, cause))?,
        code: Code::parse(&code).map_err(|cause| wrong("code", &code, cause))?,
        site: match filled(row.site) {
            Some(site) => {
                Some(SiteName::parse(&site).map_err(|cause| wrong("site", &site, cause))?)
            }
            None => None,
        },
        photos,
    })
}

fn from_csv(file: &Path) -> Result<Vec<Person>, Failure> {
    let beside = file.parent().unwrap_or(Path::new("."));
    rows(file)?
        .into_iter()
        .map(|mut row| {
            let mut photos = Vec::new();
            let paths = row.photos.take().unwrap_or_default();
            for path in paths
                .split(';')
                .map(str::trim)
                .filter(|path| !path.is_empty())
            {
                let path = beside.join(path);
                if path.is_dir() {
                    photos.extend(photos_in(&path)?);
                } else {
                    photos.push(path);
                }
            }
            person(row, ("", ""), photos)
        })
        .collect()
}

fn from_folder(folder: &Path) -> Result<Vec<Person>, Failure> {
    let list = folder.join("people.csv");
    let mut described: BTreeMap<String, Row> = BTreeMap::new();
    if list.is_file() {
        for mut row in rows(&list)? {
            let Some(name) = row.folder.take() else {
                return Err(Failure::Refused(format!(
                    "{} has no column folder",
                    list.display()
                )));
            };
            described.insert(name, row);
        }
    }
    let mut people = Vec::new();
    for path in sorted(folder)? {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let row = described.remove(name).unwrap_or(Row {
            name: None,
            code: None,
            site: None,
            photos: None,
            folder: None,
        });
        people.push(person(row, code_and_name(name), photos_in(&path)?)?);
    }
    if let Some(missing) = described.keys().next() {
        return Err(Failure::Refused(format!(
            "{} lists the folder {missing:?}, which does not exist",
            list.display()
        )));
    }
    Ok(people)
}

/// Splits a folder's name: `E12 Ada Lovelace` is a code and a name, `Ada Lovelace` is both.
fn code_and_name(folder: &str) -> (&str, &str) {
    match folder.split_once(' ') {
        Some((code, name)) if code.contains(|c: char| c.is_ascii_digit()) => (code, name),
        _ => (folder, folder),
    }
}

fn photos_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let photo = |path: &PathBuf| {
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        path.is_file()
            && ["jpg", "jpeg", "png", "webp"].contains(&extension.to_ascii_lowercase().as_str())
    };
    Ok(sorted(folder)?.into_iter().filter(photo).collect())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |cause| Failure::Refused(format!("{}: {cause}", folder.display()));
    let mut paths = fs::read_dir(folder)
        .map_err(wrong)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn summaries(people: &[Person]) -> Vec<String> {
        let site = |person: &Person| {
            person
                .site
                .as_ref()
                .map_or("-", |site| site.as_str())
                .to_owned()
        };
        people
            .iter()
            .map(|p| format!("{}|{}|{}|{}", p.code, p.name, site(p), p.photos.len()))
            .collect()
    }

    #[test]
    fn a_folder_of_subfolders_gives_codes_names_and_photos() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "E7 Ada Lovelace/a.jpg",
            "E7 Ada Lovelace/b.PNG",
            "E7 Ada Lovelace/notes.txt",
            "Grace Hopper/1.webp",
            ".hidden/1.jpg",
            "loose.jpg",
        ] {
            touch(&root.path().join(file));
        }
        let found = people(root.path()).unwrap();
        assert_eq!(
            summaries(&found),
            ["E7|Ada Lovelace|-|2", "Grace Hopper|Grace Hopper|-|1"]
        );
    }

    #[test]
    fn a_list_beside_the_subfolders_overrides_their_names() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("p01/1.jpg"));
        touch(&root.path().join("p02/1.jpg"));
        fs::write(
            root.path().join("people.csv"),
            "folder,name,code,site\np01,Ada Lovelace,7,Berlin\n",
        )
        .unwrap();
        assert_eq!(
            summaries(&people(root.path()).unwrap()),
            ["7|Ada Lovelace|Berlin|1", "p02|p02|-|1"]
        );
        fs::write(root.path().join("people.csv"), "folder,name\np03,Nobody\n").unwrap();
        assert!(people(root.path()).unwrap_err().to_string().contains("p03"));
    }

    #[test]
    fn a_csv_file_gives_people_and_photos() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("more/2.jpg"));
        touch(&root.path().join("more/3.jpg"));
        let file = root.path().join("staff.csv");
        fs::write(&file, "name,code,site,photos\nAda,7,Berlin,1.jpg; more\n").unwrap();
        let found = people(&file).unwrap();
        assert_eq!(summaries(&found), ["7|Ada|Berlin|3"]);
        fs::write(&file, "name,code,site,photos\nAda,,,\n").unwrap();
        assert!(
            people(&file)
                .unwrap_err()
                .to_string()
                .contains("the code \"\" must not be empty")
        );
    }

    #[test]
    fn duplicate_codes_are_rejected() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("staff.csv");
        fs::write(&file, "name,code\nAda,e7\nGrace,E7\n").unwrap();
        assert!(
            people(&file)
                .unwrap_err()
                .to_string()
                .contains("same code E7")
        );
    }
}
