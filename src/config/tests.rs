//! Tests of settings: defaults, invalid values, redaction and secret files.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, time::Duration};

use jiff::civil;
use secrecy::ExposeSecret;

use super::*;

fn problems<const N: usize>(source: [(&str, &str); N]) -> Vec<String> {
    let error = Settings::read(&source).expect_err("these settings are invalid");
    error
        .problems
        .iter()
        .map(|problem| format!("{}: {}", problem.name, problem.message))
        .collect()
}

#[test]
fn every_default_is_accepted() {
    let settings = Settings::read(&BTreeMap::new()).unwrap();
    assert_eq!(settings.server.port, 10000);
    assert!(settings.server.host.is_loopback());
    assert_eq!(settings.attendance.cooldown, SignedDuration::from_secs(60));
    assert_eq!(settings.attendance.workday_starts, civil::time(4, 0, 0, 0));
    assert_eq!(settings.recognition.threads, None);
    assert_eq!(settings.recognition.min_margin, None);
    assert_eq!(settings.store.used(), StoreKind::Sqlite);
    assert!(!settings.privacy.keep_photos);
    assert!(settings.shown().iter().all(|shown| !shown.set));
}

#[test]
fn retention_periods_accept_days_and_forever() {
    let kept = |text: &str| Settings::read(&[("KEEP_AUDIT", text)]).map(|s| s.privacy.keep_audit);
    let hours = |hours| Ok(Some(SignedDuration::from_hours(hours)));
    assert_eq!(kept("forever"), Ok(None));
    assert_eq!(kept(""), Ok(None));
    assert_eq!(kept("1095d"), hours(26_280));
    assert_eq!(kept("30 d"), hours(720));
    assert_eq!(kept("26280h"), hours(26_280));
    assert_eq!(kept("1 second"), Ok(Some(SignedDuration::from_secs(1))));
    for bad in ["0", "30", "0d", "-1d", "off", "d", "1.5d", "a while"] {
        assert!(kept(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_retention_period_without_a_unit_is_rejected() {
    for name in ["KEEP_AUDIT", "KEEP_PUNCH_PICTURES", "KEEP_UNKNOWN_FACES"] {
        for bare in ["30", "1", "1.5", "-30"] {
            let problem = &problems([(name, bare)])[0];
            let expected = format!("{name}: {bare:?} has no unit; it must be ");
            assert!(problem.starts_with(&expected), "{problem}");
            assert!(problem.contains("with its unit, such as"), "{problem}");
        }
        assert!(Settings::read(&[(name, "30d")]).is_ok());
    }
    let off = Settings::read(&[("KEEP_PUNCH_PICTURES", "0")]).unwrap();
    assert_eq!(off.privacy.keep_punch_pictures, None);
}

#[test]
fn an_empty_value_counts_as_unset() {
    let settings = Settings::read(&[("PORT", ""), ("MONGODB_HOST", "  ")]).unwrap();
    assert_eq!(settings.server.port, 10000);
    assert_eq!(settings.store.used(), StoreKind::Sqlite);
}

#[test]
fn all_invalid_values_are_reported_at_once_with_the_accepted_ones() {
    assert_eq!(
        problems([("PORT", "web"), ("COOLDOWN", "60"), ("STORE", "oracle")]),
        [
            "PORT: \"web\" is invalid; it must be a port number, 0 to 65535",
            "STORE: \"oracle\" is invalid; it must be auto, sqlite, mongodb or redis",
            "COOLDOWN: \"60\" is invalid; it must be a duration such as 60s, 5m or 500ms",
        ]
    );
}

#[test]
fn every_variable_with_a_format_rejects_nonsense_and_is_named() {
    let free = [
        "DATA_DIR",
        "MONGODB_URI",
        "MONGODB_DATABASE",
        "MONGODB_HOST",
        "MONGODB_USER",
        "MONGODB_PASSWORD",
        "REDIS_HOST",
        "REDIS_USER",
        "REDIS_PASSWORD",
        "REDIS_CA",
        "TLS_CERT",
        "TLS_KEY",
        "EXTRA_CA",
        "GO2RTC_USERNAME",
        "GO2RTC_PASSWORD",
        "OIDC_CLIENT_ID",
        "OIDC_CLIENT_SECRET",
        "OIDC_NAME",
        "OIDC_GROUPS_CLAIM",
        "MODEL_PACK",
        "PREVIOUS_MODEL_PACK",
        "LIVENESS_PACK",
        "MODELS_DIR",
        "ORT_DYLIB_PATH",
        "METRICS_TOKEN",
        "STATIC_DIR",
    ];
    for variable in Settings::SECTIONS
        .iter()
        .flat_map(|(_, variables)| *variables)
    {
        if free.contains(&variable.name) {
            continue;
        }
        let problems = problems([(variable.name, "!=!")]);
        assert!(problems[0].starts_with(variable.name), "{problems:?}");
        assert!(problems[0].ends_with(variable.accepts), "{problems:?}");
    }
}

#[test]
fn numbers_outside_their_bounds_are_rejected() {
    for (name, value) in [
        ("FPIR", "0"),
        ("FPIR", "0.5"),
        ("FPIR", "NaN"),
        ("MIN_MARGIN", "-0.1"),
        ("MIN_MARGIN", "inf"),
        ("ENGINE_THREADS", "0"),
        ("WORKDAY_STARTS", "24:00"),
        ("COOLDOWN", "-5s"),
        ("SESSION_COOKIE_AGE", "0"),
        ("REDIS_DB", "-1"),
        ("REDIS_PREFIX", "a{b}"),
        ("REDIS_COMMAND_TIMEOUT", "0"),
        ("SESSION_COOKIE_SAMESITE", "none"),
        ("TRUSTED_PROXIES", "10.0.0.0/40"),
    ] {
        assert_eq!(problems([(name, value)]).len(), 1, "{name}={value}");
    }
}

#[test]
fn every_documented_format_is_accepted() {
    let settings = Settings::read(&[
        ("FPIR", "0.1%"),
        ("COOLDOWN", "500ms"),
        ("SESSION_COOKIE_AGE", "1h 30m"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("WORKDAY_STARTS", "05:30"),
        ("TIME_ZONE", "Europe/Berlin"),
        ("ENGINE_THREADS", "3"),
        ("KEEP_PHOTOS", "ON"),
    ])
    .unwrap();
    assert!((settings.recognition.fpir.value() - 0.001).abs() < 1e-9);
    assert_eq!(
        settings.attendance.cooldown,
        SignedDuration::from_millis(500)
    );
    assert_eq!(
        settings.server.session_age.unsigned_abs(),
        Duration::from_secs(5400)
    );
    assert_eq!(settings.server.trusted_proxies.len(), 2);
    assert_eq!(settings.attendance.workday_starts, civil::time(5, 30, 0, 0));
    assert_eq!(
        settings.attendance.time_zone.unwrap().name(),
        "Europe/Berlin"
    );
    assert_eq!(settings.recognition.threads, Some(3));
    assert!(settings.privacy.keep_photos);
}

#[test]
fn settings_that_belong_together_must_be_set_together() {
    assert!(problems([("ADMIN_EMAIL", "a@example.org")])[0].contains("ADMIN_PASSWORD"));
    assert!(problems([("GO2RTC_USERNAME", "u")])[0].contains("GO2RTC_PASSWORD"));
    let mail = [("SMTP_URL", "smtp://mail"), ("MAIL_FROM", "a@example.org")];
    assert!(problems(mail)[0].contains("set PUBLIC_URL"));
    assert!(problems([("STORE", "mongodb")])[0].contains("MONGODB_URI"));
    assert!(problems([("STORE", "redis")])[0].contains("REDIS_URL"));
    assert!(problems([("PRESIS_NO_FSDB", "True")])[0].starts_with("PRESIS_NO_FSDB"));
    assert!(
        problems([("MONGODB_HOST", "db"), ("MONGODB_USER", "u")])[0].contains("MONGODB_PASSWORD")
    );
}

#[test]
fn without_a_file_system_records_are_stored_in_redis_unless_a_store_is_set() {
    let used = |more: &[(&str, &str)]| {
        let given = [("PRESIS_NO_FSDB", "True"), ("REDIS_HOST", "cache")];
        let source: BTreeMap<String, String> = given
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::read(&source).unwrap().store.used()
    };
    assert_eq!(used(&[]), StoreKind::Redis);
    assert_eq!(used(&[("STORE", "auto")]), StoreKind::Redis);
    assert_eq!(used(&[("MONGODB_HOST", "db")]), StoreKind::Redis);
    assert_eq!(used(&[("STORE", "sqlite")]), StoreKind::Sqlite);
    assert_eq!(used(&[("PRESIS_NO_FSDB", "False")]), StoreKind::Sqlite);
    assert_eq!(
        used(&[("PRESIS_NO_FSDB", "off"), ("STORE", "redis")]),
        StoreKind::Redis
    );
}

#[test]
fn secrets_are_never_shown() {
    let settings = Settings::read(&[
        ("MONGODB_URI", "mongodb://u:hunter22@db/"),
        ("ADMIN_EMAIL", "a@example.org"),
        ("ADMIN_PASSWORD", "hunter22hunter22"),
        ("MONGODB_USER", "u"),
        ("MONGODB_PASSWORD", "hunter22"),
        ("TEMPLATE_KEY", &"ab".repeat(32)),
    ])
    .unwrap();
    let everything = format!("{settings:?}{:?}", settings.shown());
    assert!(!everything.contains("hunter22"));
    assert!(!everything.contains("abab"));
    assert!(!everything.contains("171, 171"));
    let message =
        problems([("TEMPLATE_KEY", "hunter22"), ("ADMIN_PASSWORD", "hunter22")]).join(" ");
    assert!(!message.contains("hunter22"), "{message}");
}

#[test]
fn only_secrets_can_be_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let path = file.to_str().unwrap();
    fs::write(&file, "hunter22\n").unwrap();
    let of_file = [
        ("MONGODB_HOST", "db"),
        ("MONGODB_USER", "u"),
        ("MONGODB_PASSWORD_FILE", path),
    ];
    let settings = Settings::read(&of_file).unwrap();
    let uri = settings.store.mongodb_connection().unwrap();
    assert_eq!(uri.expose_secret(), "mongodb://u:hunter22@db:27017/");
    assert!(settings.is_set("MONGODB_PASSWORD"));
    assert!(!format!("{settings:?}{:?}", settings.shown()).contains("hunter22"));

    let both = [("METRICS_TOKEN", "a"), ("METRICS_TOKEN_FILE", path)];
    assert!(
        problems(both)[0]
            .starts_with("METRICS_TOKEN: is set both directly and by METRICS_TOKEN_FILE")
    );
    let invalid = problems([("TEMPLATE_KEY_FILE", path)]);
    assert!(invalid[0].contains("32 bytes") && !invalid[0].contains("hunter22"));
    let plain = Settings::read(&[("PORT_FILE", path)]).unwrap();
    assert_eq!(plain.server.port, 10000);
}

#[test]
fn a_missing_or_empty_secret_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let path = file.to_str().unwrap();
    let missing = problems([("REDIS_HOST", "r"), ("REDIS_PASSWORD_FILE", path)]);
    assert!(missing[0].starts_with("REDIS_PASSWORD: could not read"));
    fs::write(&file, " \n").unwrap();
    let empty = problems([("METRICS_TOKEN_FILE", path)]);
    assert!(empty[0].ends_with("is empty"), "{empty:?}");
}

#[test]
fn the_parts_of_a_mongodb_address_are_escaped() {
    let settings = Settings::read(&[
        ("MONGODB_HOST", "::1"),
        ("MONGODB_USER", "a@b"),
        ("MONGODB_PASSWORD", "p:/w"),
    ])
    .unwrap();
    let uri = settings.store.mongodb_connection().unwrap();
    assert_eq!(uri.expose_secret(), "mongodb://a%40b:p%3A%2Fw@[::1]:27017/");
}

#[test]
fn the_first_of_several_keys_encrypts() {
    let keys = TemplateKeys::parse(&format!(
        "{}, {}",
        "01".repeat(32),
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
    ))
    .unwrap();
    assert_eq!(*keys.sealing, [1; 32]);
    assert_eq!(*keys.older[0], [2; 32]);
    assert!(TemplateKeys::parse("0101").is_none());
    assert!(TemplateKeys::parse("").is_none());
}

#[test]
fn a_key_file_is_created_once_private_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.key");
    assert!(TemplateKeys::read(&file).unwrap().is_none());
    let first = TemplateKeys::read_or_create(&file, [7; 32]).unwrap();
    assert_eq!(*first.sealing, [7; 32]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = TemplateKeys::read_or_create(&file, [8; 32]).unwrap();
    assert_eq!(*second.sealing, [7; 32]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_key_file_that_others_can_read_or_without_a_key_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.key");
    TemplateKeys::read_or_create(&file, [7; 32]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = TemplateKeys::read(&file).unwrap_err().to_string();
    assert!(
        error.contains("mode 640") && error.contains("chmod 600"),
        "{error}"
    );
    fs::write(&file, "no key").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let error = TemplateKeys::read(&file).unwrap_err().to_string();
    assert!(error.contains("does not contain keys"), "{error}");
}

#[test]
fn redis_is_configured_by_a_url_or_by_its_parts() {
    fn url<const N: usize>(variables: [(&str, &str); N]) -> Option<String> {
        let url = Settings::read(&variables).unwrap().redis.connection()?;
        Some(url.expose_secret().to_owned())
    }
    assert_eq!(url([]), None);
    let both = [("REDIS_URL", "rediss://a"), ("REDIS_HOST", "b")];
    assert_eq!(url(both).as_deref(), Some("rediss://a"));
    let parts = [
        ("REDIS_HOST", "::1"),
        ("REDIS_PORT", "7000"),
        ("REDIS_USER", "me"),
        ("REDIS_PASSWORD", "p@ss/word"),
    ];
    let url = url(parts);
    assert_eq!(url.as_deref(), Some("redis://me:p%40ss%2Fword@[::1]:7000/"));
    let settings = Settings::read(&[
        ("SESSION_ENGINE", "django.contrib.sessions.backends.db"),
        ("SESSION_COOKIE_AGE", "86400"),
    ]);
    let settings = settings.unwrap();
    assert_eq!(settings.redis.session_engine, SessionEngine::Db);
    assert_eq!(settings.redis.cache_fallback, CacheFallback::Memory);
    let caching = |text| Settings::read(&[("CACHE", text)]).unwrap().redis.caching;
    assert!(settings.redis.caching && caching("True"));
    assert!(!caching("dummy") && !caching("off"));
    assert!(problems([("CACHE", "memory")])[0].contains("on, off or dummy"));
    let settings = Settings::read(&[("CACHE_FALLBACK", "store")]).unwrap();
    assert_eq!(settings.redis.cache_fallback, CacheFallback::Store);
    assert_eq!(settings.server.session_age, SignedDuration::from_hours(24));
}

#[test]
fn the_go2rtc_url_must_be_plain_http_without_a_password() {
    let url = |url| Settings::read(&[("GO2RTC_URL", url)]).map(|read| read.cameras.url);
    assert_eq!(url("").unwrap(), "http://localhost:1984");
    assert_eq!(url("http://go2rtc:1984/").unwrap(), "http://go2rtc:1984");
    for bad in [
        "go2rtc:1984",
        "https://go2rtc",
        "http://",
        "http://u:p@go2rtc",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
}

#[test]
fn no_password_is_sent_in_clear_over_a_network() {
    for (name, good, bad) in [
        (
            "SMTP_URL",
            [
                "smtps://me:secret@mail.example.org",
                "smtp://me:secret@mail.example.org:587?tls=required",
                "smtp://mail.example.org:25",
                "smtp://me:secret@localhost:2525",
                "smtp://me:secret@[::1]",
            ],
            [
                "smtp://me:secret@mail.example.org:587",
                "smtp://me:secret@mail.example.org?tls=opportunistic",
                "smtp://me:secret@mail.example.org?tls=opportunistic&tls=required",
                "smtp://me:secret@localhost.example.org",
                "http://mail.example.org",
            ],
        ),
        (
            "MQTT_URL",
            [
                "mqtts://me:secret@broker:8883",
                "mqtts://me:secret@[2001:db8::1]",
                "mqtt://broker:1883",
                "mqtt://me:secret@localhost",
                "mqtt://me:secret@192.168.1.5?tls=none",
            ],
            [
                "mqtt://me:secret@broker:1883",
                "mqtt://me:secret@broker:1883?tls=required",
                "mqtt://",
                "mqttss://broker",
                "broker:1883",
            ],
        ),
    ] {
        let public = ("PUBLIC_URL", "https://rollcall.example");
        let read = |url| Settings::read(&[(name, url), ("MAIL_FROM", "a@example.org"), public]);
        for url in good {
            // Without SMTP_URL, MAIL_FROM alone is refused.
            let problems = read(url)
                .err()
                .map(|error| error.problems)
                .unwrap_or_default();
            assert!(
                problems.iter().all(|one| one.name != name),
                "{url}: {problems:?}"
            );
        }
        for url in bad {
            let problems = read(url).unwrap_err().problems;
            let problem = problems.iter().find(|one| one.name == name);
            let message = &problem.unwrap_or_else(|| panic!("{url}")).message;
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
