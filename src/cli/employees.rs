//! `rollcall employees`: adds people and enrolls their photos, straight to the store, also beside a
//! running service, which learns of it within seconds; and deletes every face at once.

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
        text::{Code, Name, SiteName},
    },
    ports::Sample,
    service::{
        enrollment::{EnrollError, EnrollRequest, PHOTOS_MOST, PhotoVerdict},
        sealing,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add people and enroll their photos; can be run again
    ///
    /// FROM is a folder with one folder of photos for each person, or a CSV file with the columns
    /// name, code, site, photos (paths separated by semicolons, relative to the file; a folder
    /// stands for all photos in it). The name of a person's folder is `CODE Name` when its first
    /// word has a digit in it, else both name and code; a file people.csv in the folder with the
    /// columns folder, name, code, site says better. A code that is there already is enrolled if
    /// nothing is yet, else left alone.
    Import(Import),
    /// Delete every enrolled face, with photos and consents, when no key opens them any more
    ///
    /// Stop the service first. People and punches stay; everybody has to be enrolled again.
    DeleteFaces(DeleteFaces),
    /// Copy everything that is kept about somebody into a folder, for them
    ///
    /// person.json has every record, punches.csv the punches once more, beside them are the
    /// photos that were kept, README.txt tells what is what, and receipt.json has the SHA-256 of
    /// each other file.
    Export(personal_data::Export),
    /// Delete somebody's face, name and code for good, and print a receipt
    ///
    /// Their punches stay under a number, unless --punches deletes them too. Can be run again.
    Erase(personal_data::Erase),
}

#[derive(Debug, Args)]
pub(super) struct DeleteFaces {
    /// Yes, all of them, for good
    #[arg(long, required = true)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Folder or CSV file
    from: PathBuf,
    /// Everybody who is imported has agreed to having their face enrolled; see docs/PRIVACY.md
    #[arg(long, required = true)]
    consent: bool,
    /// Site of those for whom none is given
    #[arg(long, value_parser = SiteName::parse)]
    site: Option<SiteName>,
}

/// Somebody to import.
#[derive(Debug, PartialEq)]
struct Person {
    name: Name,
    code: Code,
    site: Option<SiteName>,
    photos: Vec<PathBuf>,
}

/// What became of the people.
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
            "there is nobody in {}",
            import.from.display()
        )));
    }
    super::block_on(async {
        let core = Core::start(settings).await?;
        let Records { stores, clock, .. } = &core.records;
        let told = CancellationToken::new();
        let tally = tokio::select! {
            tally = import_all(&core, people, &import) => tally,
            () = sealing::hold(&*stores.leases, &**clock, &core.key_id, &told) => {
                Err(Failure::Refused("stopped before the end".to_owned()))
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
            "{enrolled} enrolled with {photos} photos, {present} enrolled before, added without a face: {faceless}"
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
    println!("the faces of {people} people are deleted; they and their punches stay");
    Ok(ExitCode::SUCCESS)
}

async fn import_all(core: &Core, people: Vec<Person>, import: &Import) -> Result<Tally, Failure> {
    let bar = ProgressBar::new(people.len() as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} {eta} {msg}",
    )?);
    let mut tally = Tally::default();
    for mut person in people {
        bar.set_message(person.name.to_string());
        person.site = person.site.or_else(|| import.site.clone());
        let who = format!("{} ({})", person.name, person.code);
        let say = |text: String| bar.suspend(|| eprintln!("{text}"));
        match import_one(core, person, import.consent, &say).await? {
            Fate::Enrolled(photos) => {
                tally.enrolled += 1;
                tally.photos += photos;
            }
            Fate::Present => tally.present += 1,
            Fate::Faceless(reason) => {
                tally.faceless += 1;
                say(format!("{who}: {reason}"));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(tally)
}

enum Fate {
    Enrolled(usize),
    Present,
    /// They are in the list, without a face; why.
    Faceless(String),
}

async fn import_one(
    core: &Core,
    person: Person,
    consent: bool,
    say: &dyn Fn(String),
) -> Result<Fate, Failure> {
    let employees = &core.app.employees;
    let employee = match employees.find_by_code(&person.code).await? {
        Some(employee) if employee.enrolled() => return Ok(Fate::Present),
        Some(employee) => employee,
        None => {
            employees
                .add(Actor::Operator, person.name, person.code, person.site)
                .await?
        }
    };
    if person.photos.is_empty() {
        return Ok(Fate::Faceless("has no photos".to_owned()));
    }
    for left in person.photos.iter().skip(PHOTOS_MOST) {
        say(format!(
            "{}: left out, {PHOTOS_MOST} photos are enough",
            left.display()
        ));
    }
    let files = &person.photos[..person.photos.len().min(PHOTOS_MOST)];
    let mut photos = Vec::with_capacity(files.len());
    for file in files {
        match fs::read(file) {
            Ok(bytes) => photos.push(Sample::new(bytes)),
            Err(cause) => return Ok(Fate::Faceless(format!("{}: {cause}", file.display()))),
        }
    }
    let refused = |verdicts: &[PhotoVerdict]| {
        for verdict in verdicts {
            if let (Some(flaw), Some(file)) = (&verdict.flaw, files.get(verdict.index)) {
                say(format!("{}: {}", file.display(), flaw.detail()));
            }
        }
    };
    let request = EnrollRequest {
        employee: employee.id,
        consent,
        photos,
        override_duplicate: false,
    };
    match core.app.enrolling.enroll(Actor::Operator, request).await {
        Ok(enrollment) => {
            refused(&enrollment.photos);
            let accepted = enrollment
                .photos
                .iter()
                .filter(|photo| photo.flaw.is_none())
                .count();
            Ok(Fate::Enrolled(accepted))
        }
        Err(EnrollError::NoUsablePhoto(verdicts)) => {
            refused(&verdicts);
            Ok(Fate::Faceless("no photo that can be used".to_owned()))
        }
        Err(EnrollError::Duplicate { other, photos }) => {
            refused(&photos);
            Ok(Fate::Faceless(format!(
                "the face is enrolled for {} ({}) already",
                other.name, other.code
            )))
        }
        Err(error @ (EnrollError::Inactive | EnrollError::Full)) => {
            Ok(Fate::Faceless(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads who is to be imported, sorted as they are on disk.
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
            "{} names the folder {missing:?}, which is not there",
            list.display()
        )));
    }
    Ok(people)
}

/// `E12 Ada Lovelace` is a code and a name, `Ada Lovelace` is both.
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

    fn told(people: &[Person]) -> Vec<String> {
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
    fn a_folder_of_folders_tells_codes_names_and_photos() {
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
            told(&found),
            ["E7|Ada Lovelace|-|2", "Grace Hopper|Grace Hopper|-|1"]
        );
    }

    #[test]
    fn a_list_beside_the_folders_says_better() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("p01/1.jpg"));
        touch(&root.path().join("p02/1.jpg"));
        fs::write(
            root.path().join("people.csv"),
            "folder,name,code,site\np01,Ada Lovelace,7,Berlin\n",
        )
        .unwrap();
        assert_eq!(
            told(&people(root.path()).unwrap()),
            ["7|Ada Lovelace|Berlin|1", "p02|p02|-|1"]
        );
        fs::write(root.path().join("people.csv"), "folder,name\np03,Nobody\n").unwrap();
        assert!(people(root.path()).unwrap_err().to_string().contains("p03"));
    }

    #[test]
    fn a_csv_file_tells_people_and_paths() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join("more/2.jpg"));
        touch(&root.path().join("more/3.jpg"));
        let file = root.path().join("staff.csv");
        fs::write(&file, "name,code,site,photos\nAda,7,Berlin,1.jpg; more\n").unwrap();
        let found = people(&file).unwrap();
        assert_eq!(told(&found), ["7|Ada|Berlin|3"]);
        fs::write(&file, "name,code,site,photos\nAda,,,\n").unwrap();
        assert!(
            people(&file)
                .unwrap_err()
                .to_string()
                .contains("the code \"\" must not be empty")
        );
    }

    #[test]
    fn the_same_code_twice_is_refused() {
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
