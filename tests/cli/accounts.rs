//! `rollcall admin add`: accounts that may do some things, at some sites, for some employee.

use super::*;
use crate::{
    records::{code, employee, site},
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
            "no employee has the code E8",
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
        "ada@example.org\tAdmin\tadmin\tnot signed in",
        "ben@example.org\tManager\tmanager\tnot signed in",
        "cleo@example.org\tManager\tmanager of Harbor, manager of Yard\tnot signed in",
        "dan@example.org\tGrace Hopper\tviewer of Yard, employee E7\tnot signed in",
    ];
    assert_eq!(
        (code, out.lines().collect::<Vec<_>>()),
        (0, expected.to_vec()),
        "{err}"
    );
}
