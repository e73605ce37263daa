//! `rollcall redis`: keys, counters and locks of an operator's own, cached keys by group and
//! pattern, and a service that caches nothing.

use super::*;
use crate::{redis_server::RedisServer, skip::skip};

/// A Redis, and a folder for the commands' data.
struct Operator {
    redis: RedisServer,
    folder: TempDir,
}

impl Operator {
    fn start(test: &str) -> Option<Self> {
        match RedisServer::with(&[]) {
            Ok(redis) => Some(Self {
                redis,
                folder: tempfile::tempdir().unwrap(),
            }),
            Err(why) => {
                skip(test, &why);
                None
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rollcall(self.folder.path(), &["redis"]);
        command.args(arguments).env("REDIS_URL", self.redis.url());
        // A busy machine takes its time.
        command.env("REDIS_COMMAND_TIMEOUT", "3000");
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&mut self.command(arguments))
    }

    /// Returns what a command prints that succeeds.
    fn ask(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    /// Returns the error of a command that fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        err
    }
}

#[test]
fn custom_keys_are_set_read_counted_and_deleted() {
    let Some(operator) = Operator::start("custom keys") else {
        return;
    };
    operator.ask(&[
        "set",
        "greeting=good morning=all",
        "color=blue",
        "--ttl",
        "60",
    ]);
    assert_eq!(operator.ask(&["get", "greeting"]), "good morning=all\n");
    let both = operator.ask(&["get", "color", "greeting"]);
    assert_eq!(both, "color\tblue\ngreeting\tgood morning=all\n");
    let (code, out, err) = operator.run(&["get", "color", "shape"]);
    assert_eq!((code, out.as_str()), (1, "color\tblue\n"));
    assert!(err.contains("there is no key shape"), "{err}");

    assert_eq!(operator.ask(&["count", "visits"]), "1\n");
    assert_eq!(operator.ask(&["count", "visits", "--by", "5"]), "6\n");
    assert_eq!(operator.ask(&["count", "visits", "--by", "-2"]), "4\n");
    assert!(
        operator
            .refused(&["count", "color"])
            .contains("not a number")
    );
    operator.ask(&["expire", "color", "--ttl", "5000"]);
    assert!(
        operator
            .refused(&["expire", "shape"])
            .contains("no key shape")
    );
    let keys = operator.ask(&["keys", "custom:*"]);
    let keys: Vec<Vec<&str>> = keys
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let names: Vec<_> = keys.iter().map(|key| key[1]).collect();
    assert_eq!(names, ["custom:color", "custom:greeting", "custom:visits"]);
    let seconds = |at: usize| keys[at][0].trim_end_matches('s').parse::<u64>().unwrap();
    assert!(seconds(0) > 4000 && seconds(1) <= 60 && seconds(2) <= 300);
    let deleted = operator.ask(&["delete", "color", "shape"]);
    assert_eq!(deleted, "deleted 1 keys\n");

    let (code, _, err) = operator.run(&["set", "color"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("must be KEY=VALUE"), "{err}");
    let mut without = rollcall(operator.folder.path(), &["redis", "keys"]);
    let (code, _, err) = run(&mut without);
    assert_eq!(code, 1);
    assert!(err.contains("set REDIS_URL or REDIS_HOST"), "{err}");
}

#[test]
fn cached_keys_are_deleted_by_group_or_pattern_after_a_confirmation() {
    let Some(operator) = Operator::start("clearing keys") else {
        return;
    };
    let all = [
        "rollcall:embedding:model:1",
        "rollcall:embedding:model:2",
        "rollcall:limit:enroll:1",
        "rollcall:lock:{job}",
        "rollcall:session:1",
        "{rollcall}:employees:1",
    ];
    for key in all {
        operator.redis.ask::<()>(&["SET", key, "1"]);
    }
    operator.ask(&["set", "mine=1"]);
    let err = operator.refused(&["clear", "images"]);
    assert!(err.contains("2 keys match: add --yes"), "{err}");
    let cleared = operator.ask(&["clear", "embedding:model:2", "--yes"]);
    assert_eq!(cleared, "deleted 1 keys\n");
    let cleared = operator.ask(&["clear", "*:model:*", "session:", "--yes"]);
    assert_eq!(cleared, "deleted 2 keys\n");
    for mistake in ["image", "lock:", "employees:"] {
        let err = operator.refused(&["clear", mistake, "--yes"]);
        assert!(err.contains("all, images, sessions"), "{err}");
    }
    // Whatever the pattern is, locks and records stay.
    let cleared = operator.ask(&["clear", "*", "--yes"]);
    assert_eq!(cleared, "deleted 2 keys\n");
    assert_eq!(operator.ask(&["clear", "all"]), "deleted 0 keys\n");
    let mut left: Vec<String> = operator.redis.ask(&["KEYS", "*"]);
    left.retain(|key| !key.contains(":probe:"));
    left.sort();
    assert_eq!(left, ["rollcall:lock:{job}", "{rollcall}:employees:1"]);
}

#[test]
fn a_command_runs_on_one_machine_at_a_time() {
    let Some(operator) = Operator::start("a command under a lock") else {
        return;
    };
    let shell = |name: &str, script: &str, options: &[&str]| {
        let mut arguments = vec!["lock", name];
        arguments.extend(options);
        arguments.extend(["--", "/bin/sh", "-c", script]);
        operator.command(&arguments)
    };
    let (code, first, err) = run(&mut shell("report", "echo $ROLLCALL_FENCE; exit 3", &[]));
    assert_eq!(code, 3, "the code of the command: {err}");
    let (code, second, _) = run(&mut shell("report", "echo $ROLLCALL_FENCE", &[]));
    assert_eq!(code, 0, "it was released");
    let fence = |out: &str| out.trim().parse::<u64>().unwrap();
    assert!(fence(&second) > fence(&first), "{first} {second}");

    // While another process holds the lock, longer than its lease.
    let mut holder = shell("report", "echo begun; read end", &["--lease", "3"]);
    let mut holder = holder
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begun = String::new();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    out.read_line(&mut begun).unwrap();
    assert_eq!(begun, "begun\n");
    let (code, out, err) = run(&mut shell("report", "echo mine", &["--wait", "5"]));
    assert_eq!((code, out.as_str()), (75, ""), "{err}");
    assert!(
        err.contains("another process holds the lock report"),
        "{err}"
    );
    let (code, out, _) = run(&mut shell("other", "echo mine", &[]));
    assert_eq!((code, out.as_str()), (0, "mine\n"));
    drop(holder.stdin.take());
    // `read` found the end of its input.
    assert_eq!(holder.wait().unwrap().code(), Some(1));
    let (code, out, _) = run(&mut shell("report", "echo mine", &[]));
    assert_eq!((code, out.as_str()), (0, "mine\n"));

    let (code, _, err) = run(&mut operator.command(&["lock", "report", "--", "/no/such/program"]));
    assert_eq!(code, 1);
    assert!(err.contains("/no/such/program"), "{err}");
}

#[test]
fn a_command_whose_lock_is_lost_is_killed() {
    let Some(operator) = Operator::start("a lost lock") else {
        return;
    };
    let script = [
        "lock",
        "report",
        "--lease",
        "1",
        "--",
        "/bin/sh",
        "-c",
        "echo begun; exec sleep 600",
    ];
    let mut holder = operator.command(&script);
    let begin = Instant::now();
    let mut holder = holder
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begun = String::new();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    out.read_line(&mut begun).unwrap();
    operator.redis.ask::<()>(&["FLUSHALL"]);
    assert_eq!(holder.wait().unwrap().code(), Some(1));
    let mut err = String::new();
    holder.stderr.unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("the lock was lost"), "{err}");
    assert!(begin.elapsed() < PATIENCE, "it was killed");
}

#[test]
fn a_service_with_a_dummy_cache_caches_nothing() {
    if runtime::missing() {
        return;
    }
    let Some(operator) = Operator::start("a dummy cache") else {
        return;
    };
    let url = operator.redis.url();
    for (caching, sessions) in [("on", 1), ("dummy", 0)] {
        let data = tempfile::tempdir().unwrap();
        let settings = [
            ("REDIS_URL", url.as_str()),
            ("REDIS_PREFIX", caching),
            ("REDIS_COMMAND_TIMEOUT", "3000"),
            ("CACHE", caching),
            ("ADMIN_EMAIL", "ada@example.org"),
            ("ADMIN_PASSWORD", "correct horse battery"),
        ];
        let service = Service::start(data.path(), &settings);
        let (status, cookie) = service.sign_in("ada@example.org", "correct horse battery");
        assert_eq!(status, 200);
        let answer = Service::client()
            .get(format!("http://127.0.0.1:{}/api/session", service.port))
            .header("cookie", cookie)
            .send()
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let mut keys = operator.command(&["keys", "session:*"]);
        let (code, out, err) = run(keys.env("REDIS_PREFIX", caching));
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.lines().count(), sessions, "{caching}: {out}");
    }
}
