//! `rollcall backup` and `rollcall restore`, between real stores.

use std::io::Read;

use age::{Decryptor, Encryptor, scrypt};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use rollcall::config::TemplateKeys;
use tokio::task::block_in_place;

use super::{store::*, *};
use crate::{servers::MongoServer, skip::skip};

const PASSPHRASE: &str = "a fence of nine willows";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Returns a command on the SQLite store of a folder, with the passphrase in its environment.
fn on(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = rollcall(folder.path(), arguments);
    command.env("BACKUP_PASSPHRASE", PASSPHRASE);
    command
}

/// An installation with its key, and an archive of it.
struct BackedUp {
    data: TempDir,
    folder: TempDir,
    archive: String,
}

async fn backed_up(punches: u64, more: &[&str]) -> BackedUp {
    let (data, _) = filled(punches).await;
    let key = data.path().join("template.key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("site.age").to_str().unwrap().to_owned();
    let (code, out, err) = run(&mut on(&data, &[&["backup", &archive], more].concat()));
    assert_eq!(code, 0, "{out}{err}");
    let complete = out.contains(&format!("punches  {punches}")) && out.contains("is complete");
    assert!(complete, "{out}");
    BackedUp {
        data,
        folder,
        archive,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn key_in(folder: &TempDir) -> TemplateKeys {
    let text = fs::read_to_string(folder.path().join("template.key")).unwrap();
    TemplateKeys::parse(text.trim()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_restored_into_any_store_with_its_key() {
    let (redis, mongo) = match (redis(), MongoServer::start()) {
        (Ok(redis), Ok(mongo)) => (redis, mongo),
        (Err(why), _) | (_, Err(why)) => return skip("a backup into any store", &why),
    };
    let first = backed_up(60, &[]).await;
    let (sqlite, folder) = (tempfile::tempdir().unwrap(), first.folder.path());
    let place = |folder: &TempDir| format!("sqlite://{}", folder.path().display());
    let stores = [
        ("sqlite", None, place(&sqlite)),
        ("redis", Some(("REDIS_URL", redis.url())), redis.url()),
        (
            "mongodb",
            Some(("MONGODB_URI", mongo.uri())),
            format!("{}rollcall", mongo.uri()),
        ),
    ];
    let mut archive = first.archive.clone();
    // Each store is restored from a backup of the previous one.
    for (store, address, place_of_it) in stores {
        let mode = fs::metadata(&archive).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let bytes = fs::read(&archive).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
        let other = tempfile::tempdir().unwrap();
        let target = if store == "sqlite" { &sqlite } else { &other };
        let run_with = |arguments: &[&str]| {
            let mut command = on(target, arguments);
            command.env("STORE", store).envs(address.clone());
            run(&mut command)
        };
        let (code, out, err) = run_with(&["restore", &archive, "--check"]);
        assert!(code == 0 && out.contains("punches  60"), "{out}{err}");
        assert_eq!(names(target.path()), [""; 0], "nothing is written");
        // The second time there is nothing to do.
        for _ in 0..2 {
            let (code, out, err) = run_with(&["restore", &archive]);
            assert_eq!(code, 0, "{store}: {out}{err}");
            assert!(out.contains("contains everything in the backup"), "{out}");
        }
        assert!(key_in(target).open_all_of(&TemplateKeys::parse(KEY).unwrap()));
        let (code, out, err) = run(&mut copy(&place(&first.data), &place_of_it, &["--check"]));
        assert_eq!(code, 0, "{store}: {out}{err}");
        archive = folder.join(store).to_str().unwrap().to_owned();
        let (code, out, err) = run_with(&["backup", &archive]);
        assert_eq!(code, 0, "{store}: {out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_archive_writes_nothing() {
    let BackedUp {
        data: _data,
        folder,
        archive,
    } = backed_up(60, &[]).await;
    let bytes = fs::read(&archive).unwrap();
    let target = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8], passphrase: &str| {
        let path = folder.path().join("other.age");
        fs::write(&path, bytes).unwrap();
        let mut command = on(&target, &["restore", path.to_str().unwrap()]);
        let (code, out, err) = run(command.env("BACKUP_PASSPHRASE", passphrase));
        assert_eq!(code, 1, "{out}");
        assert_eq!(
            names(target.path()),
            [""; 0],
            "nothing is written or left behind"
        );
        err
    };
    let wrong = refused(&bytes, "a fence of ten willows");
    assert!(wrong.contains("the passphrase is wrong"), "{wrong}");
    for place in [40, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        refused(&flipped, PASSPHRASE);
    }
    for length in [0, 100, bytes.len() / 2, bytes.len() - 1] {
        refused(&bytes[..length], PASSPHRASE);
    }
    for none in [&b""[..], &bytes[..100], b"{}", b"SQLite format 3\0"] {
        let reason = refused(none, PASSPHRASE);
        assert!(
            reason.contains("other.age is not a backup of Rollcall, or is truncated"),
            "{reason}"
        );
    }
    let longer = [&bytes[..], b"more"].concat();
    refused(&longer, PASSPHRASE);
    refused(b"{}", PASSPHRASE);

    // Encrypted with the right passphrase, but with altered content.
    let lines = lines_of(&bytes);
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        refused(&sealed(&lines), PASSPHRASE)
    };
    let newer = changed(&|lines| lines[0] = lines[0].replace("\"form\":2", "\"form\":3"));
    assert!(newer.contains("in the format of this version"), "{newer}");
    let lost = changed(&|lines| {
        let person = lines
            .iter_mut()
            .find(|line| line.starts_with(r#"{"kind":"employees""#));
        let person = person.unwrap();
        *person = person.replace("\"name\":", "\"badge\":7,\"name\":");
    });
    assert!(lost.contains("would lose some of its employees"), "{lost}");
    let kinds =
        changed(&|lines| lines[1] = r#"{"kind":"planets","version":1,"record":{}}"#.to_owned());
    assert!(kinds.contains("would lose some of its planets"), "{kinds}");
    let fewer = changed(&|lines| {
        let punch = lines
            .iter()
            .position(|line| line.starts_with(r#"{"kind":"punches""#));
        lines.remove(punch.unwrap());
    });
    assert!(fewer.contains("its punches do not match"), "{fewer}");
    let twice = changed(&|lines| lines.insert(1, lines[1].clone()));
    assert!(twice.contains("contains duplicate"), "{twice}");
    let early = changed(&|lines| drop(lines.pop()));
    assert!(early.contains("is truncated"), "{early}");
    changed(&|lines| lines.push("{}".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_an_older_version_is_restored() {
    let BackedUp {
        data: _data,
        folder: _folder,
        archive,
    } = backed_up(3, &[]).await;
    let mut lines = lines_of(&fs::read(&archive).unwrap());
    // A kind of record that did not exist in that version.
    let cameras = lines
        .iter()
        .filter(|line| line.starts_with(r#"{"kind":"cameras""#));
    assert_eq!(cameras.count(), 2);
    lines.retain(|line| !line.starts_with(r#"{"kind":"cameras""#));
    let end: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let mut end = end;
    assert!(
        end["end"]
            .as_object_mut()
            .unwrap()
            .remove("cameras")
            .is_some()
    );
    *lines.last_mut().unwrap() = end.to_string();
    fs::write(&archive, sealed(&lines)).unwrap();
    let target = tempfile::tempdir().unwrap();
    let (code, out, err) = run(&mut on(&target, &["restore", &archive]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("punches  3") && !out.contains("cameras"),
        "{out}"
    );
}

fn lines_of(archive: &[u8]) -> Vec<String> {
    let identity = scrypt::Identity::new(PASSPHRASE.to_owned().into());
    let sealed = Decryptor::new_buffered(archive).unwrap();
    let plain = sealed.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut text = String::new();
    GzDecoder::new(plain.unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

fn sealed(lines: &[String]) -> Vec<u8> {
    let mut recipient = scrypt::Recipient::new(PASSPHRASE.to_owned().into());
    recipient.set_work_factor(2);
    let sealed = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
    let sealed = sealed.unwrap().wrap_output(Vec::new()).unwrap();
    let mut out = GzEncoder::new(sealed, Compression::fast());
    for line in lines {
        writeln!(out, "{line}").unwrap();
    }
    out.finish().unwrap().finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_overwrites_nothing_and_needs_a_passphrase() {
    let BackedUp {
        data,
        folder,
        archive,
    } = backed_up(3, &[]).await;
    let (code, _, err) = run(&mut on(&data, &["backup", &archive]));
    assert!(code == 1 && err.contains("already exists"), "{err}");

    let other = folder.path().join("b");
    let other = other.to_str().unwrap();
    let (code, _, err) = run(on(&data, &["backup", other]).env("BACKUP_PASSPHRASE", "too short"));
    assert!(code == 2 && err.contains("12 characters"), "{err}");
    for (command, file) in [("backup", other), ("restore", &archive)] {
        let (code, _, err) = run(&mut rollcall(data.path(), &[command, file]));
        assert!(code == 1 && err.contains("BACKUP_PASSPHRASE_FILE"), "{err}");
    }
    let (code, _, err) = run(&mut on(&data, &["backup", "none/such/folder/b"]));
    assert!(
        code == 1 && err.contains("could not write the backup"),
        "{err}"
    );
    let empty = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&mut on(&empty, &["backup", other]));
    assert!(code == 1 && err.contains("no database"), "{err}");
    assert_eq!(names(empty.path()), [""; 0]);

    // A passphrase in a file that ends with a newline, as editors write it.
    let secret = folder.path().join("passphrase");
    fs::write(&secret, format!("{PASSPHRASE}\n")).unwrap();
    let mut checked = rollcall(empty.path(), &["restore", &archive, "--check"]);
    let (code, out, err) = run(checked.env("BACKUP_PASSPHRASE_FILE", &secret));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(names(folder.path()), ["passphrase", "site.age"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_kept_and_the_key_of_the_archive_can_be_shown() {
    let BackedUp {
        data: _data,
        folder: _folder,
        archive,
    } = backed_up(3, &[]).await;
    let target = tempfile::tempdir().unwrap();
    let with = |key: &str, arguments: &[&str]| {
        let mut command = on(&target, &[&["restore", &archive], arguments].concat());
        run(command.env("TEMPLATE_KEY", key))
    };
    let other = "ff".repeat(32);
    let (code, _, err) = with(&other, &[]);
    assert!(code == 1 && err.contains("nothing was restored"), "{err}");
    assert_eq!(names(target.path()), [""; 0]);
    let (code, key, err) = with(&other, &["--show-key"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(names(target.path()), [""; 0], "nothing is written");
    let (code, out, err) = with(&format!("{other},{}", key.trim()), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!target.path().join("template.key").exists());

    let bare = backed_up(3, &["--without-key"]).await;
    let target = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&mut on(&target, &["restore", &bare.archive, "--show-key"]));
    assert!(
        code == 1 && err.contains("does not contain the template key"),
        "{err}"
    );
    let (code, out, err) = run(&mut on(&target, &["restore", &bare.archive]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("restore the template key"), "{out}");
    assert!(!target.path().join("template.key").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_can_be_backed_up_but_not_restored_over() {
    if runtime::missing() {
        return;
    }
    let (data, _) = filled(3).await;
    let key = [("TEMPLATE_KEY", KEY), ("ADMIN_EMAIL", "")];
    let service = block_in_place(|| Service::start(data.path(), &key));
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("site.age");
    let archive = archive.to_str().unwrap();
    let run_with = |arguments: &[&str]| run(on(&data, arguments).envs(key));
    let (code, _, err) = run_with(&["restore", archive]);
    assert!(
        code == 1 && err.contains("could not open"),
        "not there, which comes first: {err}"
    );
    let (code, out, err) = run_with(&["backup", archive]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = run_with(&["restore", archive]);
    assert!(code == 1 && err.contains("stop the service"), "{out}{err}");
    assert_eq!(block_in_place(|| service.get("/readyz").0), 200);
    assert_eq!(service.stop(), 0);

    // A restore does not undo changes after the backup; that needs an empty store.
    let news = on_sqlite(data.path(), async |stores| {
        let entry = installation::audit("employee.add", 7, 7);
        stores.audit.append(&entry).await.unwrap();
    });
    news.await;
    let (code, out, err) = run_with(&["restore", archive]);
    assert!(
        code == 1 && err.contains("nothing was written") && err.contains("needs an empty store"),
        "{out}{err}"
    );
    assert!(!err.contains("source") && !err.contains("copy"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_restore_continues_where_it_stopped() {
    let redis = match redis() {
        Ok(redis) => redis,
        Err(why) => return skip("a_restore_that_is_killed", &why),
    };
    let BackedUp {
        data,
        folder: _folder,
        archive,
    } = backed_up(4000, &[]).await;
    let target = tempfile::tempdir().unwrap();
    let restore = || {
        let mut command = on(&target, &["restore", &archive]);
        command.env("STORE", "redis").env("REDIS_URL", redis.url());
        command
    };
    // It may end before anyone can look: then it begins again.
    let mut tries = 0..10;
    loop {
        let mut child = restore().stdout(Stdio::null()).spawn().unwrap();
        while punches_on(&redis).await < 300 && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if punches_on(&redis).await < 4000 {
            break;
        }
        assert!(tries.next().is_some(), "it always ends before the kill");
        redis.ask::<()>(&["FLUSHALL"]);
    }
    let (code, out, err) = run(&mut restore());
    assert_eq!(code, 0, "{out}{err}");
    let place = format!("sqlite://{}", data.path().display());
    let (code, out, err) = run(&mut copy(&place, &redis.url(), &["--check"]));
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_command_leaves_nothing_behind() {
    let BackedUp { data, folder, .. } = backed_up(4000, &[]).await;
    let other = folder.path().join("b");
    // The archive must not exceed this size, as on a full disk.
    let full = format!(
        "trap '' XFSZ; ulimit -f 100; exec {} backup {}",
        env!("CARGO_BIN_EXE_rollcall"),
        other.display()
    );
    let mut shell = Command::new("sh");
    shell.env_clear().args(["-c", &full]);
    shell.env("DATA_DIR", data.path());
    let (code, out, err) = run(shell.env("BACKUP_PASSPHRASE", PASSPHRASE));
    assert!(
        code == 1 && err.contains("could not write the backup"),
        "{out}{err}"
    );
    assert_eq!(names(folder.path()), ["site.age"]);

    // Interrupted at any moment.
    let target = tempfile::tempdir().unwrap();
    for (folder, command) in [
        (&folder, on(&data, &["backup", other.to_str().unwrap()])),
        (&target, {
            let archive = folder.path().join("site.age");
            on(&target, &["restore", archive.to_str().unwrap(), "--check"])
        }),
    ] {
        let mut command = command;
        let before = names(folder.path());
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while names(folder.path()) == before {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended before the signal"
            );
        }
        let kill = ["-TERM", &child.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert_eq!(names(folder.path()), before);
    }
}
