//! `rollcall employees`: imports people with photos, exports and erases personal data, and deletes
//! all faces. Works directly on the store, also beside a running service, which picks up an import
//! within seconds.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Failure, personal_data};
use crate::{
    boot::{self, Core, Records},
    config::Settings,
    domain::{
        accounts::Actor, employees::ConsentGiven, grants::Reach, ids::SiteId, text::SiteName,
    },
    ports::Sample,
    service::{
        enrollment::{EnrollError, EnrollRequest, PHOTOS_MOST, PhotoVerdict},
        jobs::list::{self, Columns, Fields, ListedPerson, Row},
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
    /// code, site, employed_from, employed_until, photos (paths separated by semicolons, relative to the file; a folder stands for
    /// all photos in it). A subfolder is named `CODE Name` if its first word contains a digit;
    /// otherwise its name is both name and code. A file people.csv in the folder, with the columns
    /// folder, name, code, site, employed_from, employed_until, overrides that. Both lists may be as spreadsheets save them,
    /// separated by commas, semicolons or tabs. If a code exists already, its photos are enrolled only
    /// if the person is not enrolled yet.
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
struct NewPerson {
    listed: ListedPerson,
    photos: Vec<PathBuf>,
}

/// The result of an import.
#[derive(Debug, Default)]
struct Tally {
    enrolled: usize,
    photos: usize,
    already_enrolled: usize,
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
            already_enrolled,
            faceless,
        } = tally?;
        println!(
            "{enrolled} enrolled with {photos} photos, {already_enrolled} already enrolled, {faceless} added without a face"
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

async fn import_all(
    core: &Core,
    people: Vec<NewPerson>,
    import: &Import,
) -> Result<Tally, Failure> {
    let bar = ProgressBar::new(people.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {eta} {msg}",
    )?);
    let sites = core.app.sites.all().await?;
    let sites = sites_of(&people, import.site.as_ref(), &sites)?;
    let mut tally = Tally::default();
    for (person, site) in people.into_iter().zip(sites) {
        bar.set_message(person.listed.name.to_string());
        let who = format!("{} ({})", person.listed.name, person.listed.code);
        let print = |text: String| bar.suspend(|| eprintln!("{text}"));
        match import_one(core, (person, site), import.consent, &print).await? {
            Outcome::Enrolled(photos) => {
                tally.enrolled += 1;
                tally.photos += photos;
            }
            Outcome::AlreadyEnrolled => tally.already_enrolled += 1,
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
    people: &[NewPerson],
    fallback: Option<&SiteName>,
    sites: &SiteMap,
) -> Result<Vec<SiteId>, Failure> {
    let site = |person: &NewPerson| match person.listed.site.as_ref().or(fallback) {
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
    /// Enrolled before.
    AlreadyEnrolled,
    /// In the list of employees but without a face; contains the reason.
    Faceless(String),
}

async fn import_one(
    core: &Core,
    (person, site): (NewPerson, SiteId),
    consent: bool,
    print: &dyn Fn(String),
) -> Result<Outcome, Failure> {
    let employees = &core.app.employees;
    let NewPerson {
        listed,
        photos: files,
    } = person;
    let employee = match employees.find_by_code(&listed.code).await? {
        Some(person) if person.enrolled() => return Ok(Outcome::AlreadyEnrolled),
        Some(person) => person,
        None => {
            let new = listed.settings(site);
            employees
                .add(&Reach::Everything, Actor::Operator, new)
                .await?
        }
    };
    if files.is_empty() {
        return Ok(Outcome::Faceless("has no photos".to_owned()));
    }
    for left in files.iter().skip(PHOTOS_MOST) {
        print(format!(
            "{}: skipped, at most {PHOTOS_MOST} photos are enrolled",
            left.display()
        ));
    }
    let files = &files[..files.len().min(PHOTOS_MOST)];
    let mut photos = Vec::with_capacity(files.len());
    for file in files {
        match fs::read(file) {
            Ok(bytes) => photos.push(enrollable(bytes)),
            Err(cause) => return Ok(Outcome::Faceless(format!("{}: {cause}", file.display()))),
        }
    }
    let print_flaws = |verdicts: &[PhotoVerdict]| {
        for verdict in verdicts {
            if let (Some(flaw), Some(file)) = (&verdict.flaw, files.get(verdict.index)) {
                print(format!("{}: {}", file.display(), flaw.detail()));
            }
        }
    };
    let request = EnrollRequest {
        employee: employee.id,
        consent: consent.then_some(ConsentGiven::Stated),
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
            print_flaws(&enrollment.photos);
            let accepted = enrollment
                .photos
                .iter()
                .filter(|photo| photo.flaw.is_none())
                .count();
            Ok(Outcome::Enrolled(accepted))
        }
        Err(EnrollError::NoUsablePhoto(verdicts)) => {
            print_flaws(&verdicts);
            Ok(Outcome::Faceless("has no usable photo".to_owned()))
        }
        Err(EnrollError::Duplicate { other, photos }) => {
            print_flaws(&photos);
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
fn people(from: &Path) -> Result<Vec<NewPerson>, Failure> {
    let people = if from.is_dir() {
        from_folder(from)?
    } else {
        from_csv(from)?
    };
    let mut codes = BTreeMap::new();
    for person in &people {
        let ListedPerson { name, code, .. } = &person.listed;
        if let Some(other) = codes.insert(code.key(), name) {
            return Err(Failure::Refused(format!(
                "{other} and {name} have the same staff number {code}"
            )));
        }
    }
    Ok(people)
}

/// Returns the error of a file or folder.
fn refused(path: &Path, cause: impl fmt::Display) -> Failure {
    Failure::Refused(format!("{}: {cause}", path.display()))
}

/// Reads a list with `read`, which is called for each row.
fn read_list<T>(
    file: &Path,
    columns: &'static Columns,
    mut read: impl FnMut(Fields) -> Result<T, String>,
) -> Result<Vec<T>, Failure> {
    let bytes = fs::read(file).map_err(|cause| refused(file, cause))?;
    let rows = list::decode(&bytes).and_then(|text| list::rows(&text, columns));
    let rows = rows.map_err(|cause| refused(file, cause))?.into_iter();
    let read = |row: Row| {
        let result = row.fields.and_then(&mut read);
        result.map_err(|cause| refused(file, format!("line {}: {cause}", row.line)))
    };
    rows.map(read).collect()
}

fn from_csv(file: &Path) -> Result<Vec<NewPerson>, Failure> {
    let beside = file.parent().unwrap_or(Path::new("."));
    read_list(file, &list::PEOPLE_WITH_PHOTOS, |fields| {
        let mut photos = Vec::new();
        let paths = fields.get("photos").split(';').map(str::trim);
        for path in paths.filter(|path| !path.is_empty()) {
            let path = beside.join(path);
            if path.is_dir() {
                photos.extend(photos_in(&path).map_err(|failure| failure.to_string())?);
            } else {
                photos.push(path);
            }
        }
        let listed = fields.person()?;
        Ok(NewPerson { listed, photos })
    })
}

fn from_folder(folder: &Path) -> Result<Vec<NewPerson>, Failure> {
    let file = folder.join("people.csv");
    let mut described: BTreeMap<String, Fields> = BTreeMap::new();
    if file.is_file() {
        let by_folder = |fields: Fields| Ok((fields.get("folder").to_owned(), fields));
        described.extend(read_list(&file, &list::FOLDERS, by_folder)?);
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
        let mut fields = described.remove(name).unwrap_or_default();
        let (code, person) = list::code_and_name(name);
        fields.fill("code", code);
        fields.fill("name", person);
        let listed = fields.person().map_err(|cause| refused(&path, cause))?;
        let photos = photos_in(&path)?;
        people.push(NewPerson { listed, photos });
    }
    if let Some(missing) = described.keys().next() {
        return Err(Failure::Refused(format!(
            "{} lists the folder {missing:?}, which does not exist",
            file.display()
        )));
    }
    Ok(people)
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
    let entries = fs::read_dir(folder).map_err(|cause| refused(folder, cause))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(|cause| refused(folder, cause))?;
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

    fn summaries(people: &[NewPerson]) -> Vec<String> {
        let summary = |person: &NewPerson| {
            let ListedPerson {
                name, code, site, ..
            } = &person.listed;
            let site = site.as_ref().map_or("-", SiteName::as_str);
            format!("{code}|{name}|{site}|{}", person.photos.len())
        };
        people.iter().map(summary).collect()
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
                .contains("staff.csv: line 2: code must not be empty")
        );
    }

    #[test]
    fn lists_are_read_as_spreadsheets_save_them() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("staff.csv");
        let list = b"NAME;Code;Photos\r\nJ\xfcrgen;7;\"1.jpg; 2.jpg\"\r\n;;\r\n";
        fs::write(&file, list).unwrap();
        assert_eq!(summaries(&people(&file).unwrap()), ["7|J\u{fc}rgen|-|2"]);
        touch(&root.path().join("p01/1.jpg"));
        let list = "\u{feff}Folder;Name\r\np01;J\u{fc}rgen\r\n";
        fs::write(root.path().join("people.csv"), list).unwrap();
        assert_eq!(
            summaries(&people(root.path()).unwrap()),
            ["p01|J\u{fc}rgen|-|1"]
        );
        fs::write(&file, "name,code,phone\nAda,7,1\n").unwrap();
        let refused = people(&file).unwrap_err().to_string();
        let wanted = "line 1 has the unknown column \"phone\": the first row must be name,code and optionally site,employed_from,employed_until,photos";
        assert!(refused.contains(wanted), "{refused}");
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
                .contains("same staff number E7")
        );
    }
}
