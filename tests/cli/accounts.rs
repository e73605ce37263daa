//! `rollcall admin add`: accounts that may do some things, at some sites, for some employee.

use super::*;
use rollcall::domain::text::Email;

use crate::{
    records::{code, employee, second_factors, site},
    store::on_sqlite,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_limited_to_sites_and_linked_to_employees() {
    let data = tempfile::tempdir().unwrap();
    on_sqlite(data.path(), async |stores| {
        for name in ["Harbor", "Yard"] {
            stores.sites.insert(&site(name)).await.unwrap();
        }
        let mut grace = employee("Grace Hopper", "E7");
        grace.settings.code = code("E7");
        stores.employees.insert(&grace).await.unwrap();
    })
    .await;
    let add = |email: &str, more: &[&str]| {
        let mut arguments = vec!["admin", "add", email, "--password-stdin"];
        arguments.extend(more);
        with_input(rollcall(data.path(), &arguments), "a long pass phrase\n")
    };
    for (email, more, says) in [
        ("ada@example.org", &[][..], "admin"),
        ("ben@example.org", &["--role", "manager"], "manager"),
        (
            "cleo@example.org",
            &["--role", "manager", "--site", "harbor", "--site", "Yard"],
            "manager of Harbor, manager of Yard",
        ),
        (
            "dan@example.org",
            &["--role", "viewer", "--site", "Yard", "--employee", "e7"],
            "viewer of Yard, employee E7",
        ),
    ] {
        let (code, out, err) = add(email, more);
        let expected = format!("{email} can sign in as {says}\n");
        assert_eq!((code, &*out), (0, &*expected), "{err}");
    }
    for (more, says) in [
        (&["--site", "Yard"][..], "the role admin covers everything"),
        (&["--role", "employee"], "--employee CODE"),
        (
            &["--role", "employee", "--employee", "E7", "--site", "Yard"],
            "the role employee covers only a person's own records",
        ),
        (
            &["--role", "manager", "--site", "Tower"],
            "no site is called Tower: choose one of Harbor, Yard",
        ),
        (
            &["--role", "employee", "--employee", "E8"],
            "no employee has the staff number E8",
        ),
        (
            &["--role", "employee", "--employee", "E7"],
            "this employee already has an account",
        ),
    ] {
        let (code, _, err) = add("eve@example.org", more);
        assert!(code == 1 && err.contains(says), "{more:?}: {err}");
    }
    let (code, out, err) = run(&mut rollcall(data.path(), &["admin", "list"]));
    let expected = [
        "ada@example.org\tAdmin\tadmin\tnever signed in",
        "ben@example.org\tManager\tmanager\tnever signed in",
        "cleo@example.org\tManager\tmanager of Harbor, manager of Yard\tnever signed in",
        "dan@example.org\tGrace Hopper\tviewer of Yard, employee E7\tnever signed in",
    ];
    assert_eq!(
        (code, out.lines().collect::<Vec<_>>()),
        (0, expected.to_vec()),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_changed_disabled_removed_and_invited() {
    let data = tempfile::tempdir().unwrap();
    on_sqlite(data.path(), async |stores| {
        stores.sites.insert(&site("Harbor")).await.unwrap();
        let mut grace = employee("Grace Hopper", "E7");
        grace.settings.code = code("E7");
        stores.employees.insert(&grace).await.unwrap();
    })
    .await;
    let admin = |arguments: &[&str]| {
        let arguments = [&["admin"], arguments].concat();
        run(&mut rollcall(data.path(), &arguments))
    };
    let add = |email: &str, more: &[&str]| {
        let arguments = [&["admin", "add", email, "--password-stdin"], more].concat();
        let (code, _, err) = with_input(rollcall(data.path(), &arguments), "a long pass phrase\n");
        assert_eq!(code, 0, "{err}");
    };
    let (code, _, err) = admin(&["invite", "eve@example.org"]);
    assert!(code == 1 && err.contains("rollcall admin add"), "{err}");
    add("ada@example.org", &[]);
    add("ben@example.org", &["--role", "viewer"]);
    let weak = ["admin", "add", "eve@example.org", "--password-stdin"];
    let (code, _, err) = with_input(rollcall(data.path(), &weak), "passwordpassword\n");
    assert!(code == 1 && err.contains("easy to guess"), "{err}");

    for (arguments, code, says) in [
        (
            &[
                "change",
                "ben@example.org",
                "--role",
                "manager",
                "--site",
                "Harbor",
            ][..],
            0,
            "ben@example.org is manager of Harbor",
        ),
        (
            &["change", "ben@example.org", "--employee", "E7"],
            0,
            "ben@example.org is manager of Harbor, employee E7",
        ),
        (
            &["change", "ben@example.org", "--no-employee"],
            0,
            "ben@example.org is manager of Harbor",
        ),
        (
            &["change", "ben@example.org", "--role", "employee"],
            1,
            "needs an employee",
        ),
        (
            &["change", "ada@example.org", "--role", "viewer"],
            1,
            "the last admin",
        ),
        (&["disable", "ada@example.org"], 1, "the last admin"),
        (&["remove", "ada@example.org"], 1, "the last admin"),
        (&["disable", "ben@example.org"], 0, "cannot sign in"),
        (&["list"], 0, "manager of Harbor, disabled"),
        (&["enable", "ben@example.org"], 0, "can sign in"),
        (
            &["remove", "nobody@example.org"],
            1,
            "no account has this email address",
        ),
        (&["reset-password"], 1, "ADMIN_EMAIL and ADMIN_PASSWORD"),
        (
            &[
                "invite",
                "grace@example.org",
                "--role",
                "employee",
                "--employee",
                "E7",
                "--enroll",
            ],
            0,
            "/join#",
        ),
        (
            &["invite", "eve@example.org"],
            1,
            "add --role admin, manager or viewer",
        ),
        (
            &["invite", "ben@example.org", "--role", "viewer"],
            1,
            "already has an account",
        ),
    ] {
        let (status, out, err) = admin(arguments);
        assert_eq!(status, code, "{arguments:?}: {out}{err}");
        let said = if code == 0 { &out } else { &err };
        assert!(said.contains(says), "{arguments:?}: {out}{err}");
    }

    // A link is whole if the service knows its address.
    let invite = ["admin", "invite", "zoe@example.org", "--role", "viewer"];
    let mut invite = rollcall(data.path(), &invite);
    let (_, out, err) = run(invite.env("PUBLIC_URL", "https://rollcall.example.com"));
    let whole = out.starts_with("https://rollcall.example.com/join#");
    assert!(whole && !out.contains("put the address"), "{out}{err}");

    // As scripts of other systems do it: the account of the environment becomes an admin.
    let mut reset = rollcall(data.path(), &["admin", "reset-password"]);
    reset.env("ADMIN_EMAIL", "ben@example.org");
    reset.env("ADMIN_PASSWORD", "another long pass phrase");
    let (code, out, err) = run(&mut reset);
    assert!(
        code == 0 && out.contains("ben@example.org is an admin"),
        "{out}{err}"
    );
    assert!(
        !format!("{out}{err}").contains("another long"),
        "{out}{err}"
    );
    let (code, out, err) = admin(&["remove", "ada@example.org"]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, out, _) = admin(&["list"]);
    assert_eq!(
        out,
        "ben@example.org\tViewer\tadmin, manager of Harbor\tnever signed in\n"
    );
}

#[tokio::test]
async fn lost_second_factors_are_removed() {
    let data = tempfile::tempdir().unwrap();
    let add = ["admin", "add", "ada@example.org", "--password-stdin"];
    let (code, _, err) = with_input(rollcall(data.path(), &add), "a long pass phrase\n");
    assert_eq!(code, 0, "{err}");
    let reset = |email| {
        let arguments = ["admin", "reset-second-factor", "--email", email];
        run(&mut rollcall(data.path(), &arguments))
    };
    let (code, _, err) = reset("ben@example.org");
    assert!(code == 1 && err.contains("no account has this"), "{err}");
    let (code, _, err) = reset("ada@example.org");
    assert!(code == 1 && err.contains("does not have"), "{err}");
    on_sqlite(data.path(), async |stores| {
        let email = Email::parse("ada@example.org").unwrap();
        let account = stores
            .accounts
            .find_by_email(&email)
            .await
            .unwrap()
            .unwrap();
        let add = |_| Some(second_factors(account.id, 3));
        stores.second_factors.change(account.id, add).await.unwrap();
    })
    .await;
    let (code, out, err) = reset("ada@example.org");
    let expected = "ada@example.org signs in with the password alone; all sessions and API tokens have ended\n";
    assert_eq!((code, &*out), (0, expected), "{err}");
    on_sqlite(data.path(), async |stores| {
        let factors = stores.second_factors.all().await.unwrap();
        assert!(!factors[0].required());
        assert!(factors[0].identity.is_some());
        let last = stores.audit.latest(1).await.unwrap();
        assert_eq!(last[0].action, "second_factor.reset");
    })
    .await;
    let unlink = || {
        let arguments = ["admin", "unlink", "ada@example.org"];
        run(&mut rollcall(data.path(), &arguments))
    };
    assert_eq!(unlink().0, 0);
    let (code, _, err) = unlink();
    assert!(code == 1 && err.contains("is not linked"), "{err}");
}
