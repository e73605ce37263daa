//! Settings: one struct per section. Each field is declared once, with its environment variable,
//! its default, its accepted values and its purpose. The README's table, `doctor` and the messages
//! about invalid values are generated from these declarations.

mod keys;
mod parse;
mod source;

use std::{fmt, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use jiff::{SignedDuration, civil::Time};
use secrecy::SecretString;

pub use keys::{KeyFileError, KeyFileProblem, TemplateKey, TemplateKeys};
pub use parse::passphrase as parse_passphrase;
pub use source::{Environment, NotUnicode, Source};

use crate::domain::{biometrics::ErrorRate, single_sign_on::GroupRole, sites::Zone, text::Email};

/// The declaration of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The environment variable.
    pub name: &'static str,
    /// The value if it is unset or empty; `None` if there is no default.
    pub default: Option<&'static str>,
    /// Its accepted values, to follow "accepts" or "must be".
    pub accepts: &'static str,
    /// Its purpose: one sentence without a full stop.
    pub about: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

/// A setting with its current value, safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The environment variable.
    pub name: &'static str,
    /// Its value; `(hidden)` for a secret, `None` if it has none.
    pub value: Option<String>,
    /// Whether it was set explicitly.
    pub set: bool,
}

/// An invalid setting. The message never contains the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable.
    pub name: &'static str,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// The error with every invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The invalid settings; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.problems.len() {
            1 => "a setting is invalid",
            _ => "some settings are invalid",
        })?;
        for problem in &self.problems {
            write!(f, "\n  {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A reader of variables, which collects their problems.
struct Reader<'a> {
    source: &'a dyn Source,
    problems: Vec<Problem>,
    shown: Vec<Shown>,
}

impl Reader<'_> {
    fn text(&mut self, variable: &Variable) -> Option<String> {
        let mut given = self.given(variable.name, variable.name);
        if variable.secret {
            given = self.secret(variable.name, given);
        }
        let set = given.is_some();
        let text = given.or_else(|| variable.default.map(str::to_owned));
        self.shown.push(Shown {
            name: variable.name,
            value: text.as_ref().map(|text| {
                if variable.secret {
                    "(hidden)".to_owned()
                } else {
                    text.clone()
                }
            }),
            set,
        });
        text
    }

    /// Returns the value in the environment; problems are reported for `about`.
    fn given(&mut self, name: &str, about: &'static str) -> Option<String> {
        let text = self.source.get(name).unwrap_or_else(|NotUnicode| {
            self.problem(about, "is not valid Unicode".to_owned());
            None
        });
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// Returns the given secret, or else the content of the file that `NAME_FILE` names. An empty
    /// file is an error, because a secret that counts as unset would leave open what it protects.
    fn secret(&mut self, name: &'static str, given: Option<String>) -> Option<String> {
        let variable = format!("{name}_FILE");
        let Some(path) = self.given(&variable, name) else {
            return given;
        };
        if given.is_some() {
            self.problem(
                name,
                format!("is set both directly and by {variable}: keep one of them"),
            );
            return given;
        }
        let read = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
        match read {
            Ok(text) if !text.is_empty() => return Some(text),
            Ok(_) => self.problem(name, format!("the file {path:?} is empty")),
            Err(cause) => {
                self.problem(name, format!("could not read {path:?}: {cause}"));
            }
        }
        None
    }

    /// Reads one variable. Returns `None` after a problem, and `Some(None)` for a variable with
    /// neither value nor default.
    fn read<T>(&mut self, variable: &Variable, parse: fn(&str) -> Option<T>) -> Option<Option<T>> {
        let Some(text) = self.text(variable) else {
            return Some(None);
        };
        let value = parse(&text);
        if value.is_none() {
            let accepts = variable.accepts;
            self.problem(
                variable.name,
                if variable.secret {
                    format!("the value is invalid; it must be {accepts}")
                } else if accepts.contains("with its unit") && text.parse::<f64>().is_ok() {
                    format!("{text:?} has no unit; it must be {accepts}")
                } else {
                    format!("{text:?} is invalid; it must be {accepts}")
                },
            );
        }
        value.map(Some)
    }

    fn problem(&mut self, name: &'static str, message: String) {
        self.problems.push(Problem { name, message });
    }
}

/// Declares the sections: for every field `name: type = VARIABLE, parser, default, accepts, about`.
macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $section:ident: $Section:ident {
            $(
                $field:ident: $type:ty = $name:literal, $parse:path, $(default $default:literal,)?
                $(secret $secret:literal,)? accepts $accepts:literal, $about:literal;
            )+
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone)]
            pub struct $Section {
                $(#[doc = concat!("`", $name, "`: ", $about, ".")] pub $field: sections!(@type $type $(, $default)?),)+
            }

            impl $Section {
                /// The declarations of this section.
                pub const VARIABLES: &[Variable] = &[$(Variable {
                    name: $name,
                    default: sections!(@optional $($default)?),
                    accepts: $accepts,
                    about: $about,
                    secret: sections!(@flag $($secret)?),
                },)+];

                fn read(reader: &mut Reader<'_>) -> Option<Self> {
                    let mut variables = Self::VARIABLES.iter();
                    $(let $field = variables.next().and_then(|variable| reader.read::<$type>(variable, $parse));)+
                    Some(Self { $($field: sections!(@value $field $(, $default)?),)+ })
                }
            }
        )+

        /// All settings, by section.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[$doc])* pub $section: $Section,)+
            shown: Vec<Shown>,
        }

        impl Settings {
            /// The name and the declarations of each section.
            pub const SECTIONS: &[(&str, &[Variable])] =
                &[$((stringify!($section), $Section::VARIABLES),)+];

            /// Reads all settings.
            ///
            /// # Errors
            /// Reports all invalid settings at once.
            pub fn read(source: &dyn Source) -> Result<Self, ConfigError> {
                let mut reader = Reader { source, problems: Vec::new(), shown: Vec::new() };
                $(let $section = $Section::read(&mut reader);)+
                let settings = (|| Some(Self { $($section: $section?,)+ shown: Vec::new() }))();
                if let Some(settings) = &settings {
                    settings.check(&mut reader);
                }
                match settings {
                    Some(settings) if reader.problems.is_empty() =>
                        Ok(Self { shown: reader.shown, ..settings }),
                    _ => Err(ConfigError { problems: reader.problems }),
                }
            }
        }
    };
    (@type $type:ty, $default:literal) => { $type };
    (@type $type:ty) => { Option<$type> };
    (@value $field:ident, $default:literal) => { $field?? };
    (@value $field:ident) => { $field? };
    (@optional $default:literal) => { Some($default) };
    (@optional) => { None };
    (@flag $secret:literal) => { $secret };
    (@flag) => { false };
}

sections! {
    /// Addresses, TLS, sign-ins and limits.
    server: Server {
        host: IpAddr = "HOST", parse::any, default "127.0.0.1",
            accepts "an IP address", "Address to listen on; `0.0.0.0` listens on every interface";
        port: u16 = "PORT", parse::any, default "10000",
            accepts "a port number, 0 to 65535", "Port to listen on; 0 selects a free one";
        tls_cert: PathBuf = "TLS_CERT", parse::path,
            accepts "the path of a PEM file", "Certificate for serving TLS without a proxy, followed by those of its authorities; reloaded when it changes. `rollcall tls init` creates one";
        tls_key: PathBuf = "TLS_KEY", parse::path,
            accepts "the path of a PEM file", "Private key of the certificate";
        hsts: Option<SignedDuration> = "HSTS", parse::off_or_age, default "off",
            accepts "off, or a duration such as 720h", "`Strict-Transport-Security` max-age, sent over TLS only. Browsers remember it, so start small";
        extra_ca: PathBuf = "EXTRA_CA", parse::path,
            accepts "the path of a PEM file", "Certificates of authorities that are trusted besides the public ones, for the TLS of mail server, broker of MQTT, webhooks and identity provider in your own network; read at start";
        public_url: String = "PUBLIC_URL", parse::origin,
            accepts "https://host or http://host, with a port if it is not the usual one", "Address under which people open the service. Links in emails begin with it, and passkeys and single sign-on are bound to it; for these the address of the request counts without it. `SMTP_URL` needs it";
        trusted_proxies: Vec<IpNet> = "TRUSTED_PROXIES", parse::networks, default "none",
            accepts "none, or addresses or networks such as 10.0.0.0/8, separated by commas", "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` headers are trusted";
        cookie_secure: CookieSecure = "SESSION_COOKIE_SECURE", parse::cookie_secure, default "auto",
            accepts "auto, on or off", "Whether browsers send the session cookie over TLS only; `auto`: yes, if the request arrived over TLS, also through a trusted proxy";
        cookie_same_site: SameSite = "SESSION_COOKIE_SAMESITE", parse::same_site, default "lax",
            accepts "lax or strict", "Whether browsers send the session cookie when another site links to this one; `strict` never does";
        cookie_ends_with_browser: bool = "SESSION_EXPIRE_AT_BROWSER_CLOSE", parse::switch, default "off",
            accepts "on or off", "Whether closing the browser signs out";
        session_age: SignedDuration = "SESSION_COOKIE_AGE", parse::age, default "24h",
            accepts "a duration such as 12h or 30m, or a number of seconds", "How long a sign-in lasts";
        session_idle: Option<SignedDuration> = "SESSION_IDLE", parse::off_or_idle, default "1h",
            accepts "off, or a duration of at least 10m such as 1h", "How long a sign-in lasts without a request; `off`: until `SESSION_COOKIE_AGE`. A page that waits for events sends none";
        device_token_age: Option<SignedDuration> = "DEVICE_TOKEN_AGE", parse::forever_or_retention, default "180d",
            accepts "forever, or a duration with its unit, such as 180d", "How long the token of a device lasts. Kiosks renew theirs after a third of that; other devices need a new one by hand";
        rate_limit: u32 = "RATE_LIMIT", parse::any, default "50",
            accepts "a whole number of requests per second, 0 for no limit", "Requests per second for one client address; 0 turns the limit off";
        enroll_limit: u32 = "ENROLL_LIMIT", parse::any, default "5",
            accepts "a whole number of enrollments per hour, 0 for no limit", "Enrollments per hour for one account; 0 turns the limit off";
        sign_in_limit: u32 = "SIGN_IN_LIMIT", parse::any, default "10",
            accepts "a whole number of attempts per minute, 0 for no limit", "Sign-in attempts and requests for a link for a new password per minute for one client address; 0 turns this limit off, and that of wrong passwords for one account";
        pairing_limit: u32 = "PAIRING_LIMIT", parse::any, default "10",
            accepts "a whole number of codes per minute, 0 for no limit", "Kiosk pairing codes per minute for one client address; 0 turns the limit off";
        request_timeout: SignedDuration = "REQUEST_TIMEOUT", parse::longer_than_zero, default "30s",
            accepts "a duration such as 30s or 2m", "Maximum time of a request after its last byte arrived";
        metrics_token: SecretString = "METRICS_TOKEN", parse::secret, secret true,
            accepts "a secret of your choice", "Bearer token for `/metrics`; without it, `/metrics` is open";
        static_dir: PathBuf = "STATIC_DIR", parse::path,
            accepts "a folder", "Serves the pages from this folder instead of from the binary, for development";
    }
    /// The system of record.
    store: Store {
        kind: StoreKind = "STORE", parse::store, default "auto",
            accepts "auto, sqlite, mongodb or redis", "The system of record; `auto` is MongoDB if `MONGODB_URI` or `MONGODB_HOST` is set, else the embedded SQLite";
        no_fsdb: bool = "PRESIS_NO_FSDB", parse::switch, default "off",
            accepts "on or off", "Whether to store nothing in the file system; with `STORE=auto`, the same as `STORE=redis`";
        data_dir: PathBuf = "DATA_DIR", parse::path, default "./data",
            accepts "a folder", "Folder of the SQLite database and the generated template key; created if it does not exist";
        mongodb_uri: SecretString = "MONGODB_URI", parse::secret, secret true,
            accepts "a MongoDB connection string", "Connection string of MongoDB; replaces `MONGODB_HOST`, `MONGODB_PORT`, `MONGODB_USER` and `MONGODB_PASSWORD`";
        mongodb_database: String = "MONGODB_DATABASE", parse::text, default "rollcall",
            accepts "a database name", "Name of the database in MongoDB";
        mongodb_host: String = "MONGODB_HOST", parse::text,
            accepts "a host name or an address", "Host of MongoDB";
        mongodb_port: u16 = "MONGODB_PORT", parse::any, default "27017",
            accepts "a port number, 0 to 65535", "Port of MongoDB";
        mongodb_user: String = "MONGODB_USER", parse::text,
            accepts "a user name", "User name for MongoDB";
        mongodb_password: SecretString = "MONGODB_PASSWORD", parse::secret, secret true,
            accepts "a password", "Password for MongoDB";
    }
    /// Short-lived data that instances share; nothing is lost without it.
    redis: Redis {
        url: SecretString = "REDIS_URL", parse::redis_url, secret true,
            accepts "redis://[user:password@]host[:port][/number], rediss:// for TLS, unix:///path, redis+sentinel://host[:port],…/master[/number] or redis+cluster://host[:port],…", "URL of Redis; without it and `REDIS_HOST`, instances share nothing but the store";
        host: String = "REDIS_HOST", parse::text,
            accepts "a host name or an address", "Host of Redis, instead of `REDIS_URL`";
        port: u16 = "REDIS_PORT", parse::any, default "6379",
            accepts "a port number, 0 to 65535", "Port of Redis, with `REDIS_HOST`";
        database: i64 = "REDIS_DB", parse::database,
            accepts "a database number, 0 to 15 unless the server has more", "Database number in Redis; overrides the number in the URL";
        user: String = "REDIS_USER", parse::text,
            accepts "a user name", "User name for Redis, with `REDIS_HOST`";
        password: SecretString = "REDIS_PASSWORD", parse::secret, secret true,
            accepts "a password", "Password for Redis, with `REDIS_HOST`";
        authority: PathBuf = "REDIS_CA", parse::path,
            accepts "the path of a PEM file", "Certificate authority that `rediss://` trusts instead of the public ones";
        cache_url: SecretString = "CACHE_URL", parse::redis_url, secret true,
            accepts "a Redis URL, as for REDIS_URL", "URL of a separate Redis for cached data";
        sessions_url: SecretString = "SESSION_CACHE_URL", parse::redis_url, secret true,
            accepts "a Redis URL, as for REDIS_URL", "URL of a separate Redis for sessions";
        cache_database: i64 = "REDIS_DB_CACHE", parse::database,
            accepts "a database number", "Database number for cached data; overrides `REDIS_DB`";
        sessions_database: i64 = "REDIS_DB_SESSIONS", parse::database,
            accepts "a database number", "Database number for sessions; overrides `REDIS_DB`";
        limits_database: i64 = "REDIS_DB_LIMITS", parse::database,
            accepts "a database number", "Database number for rate limits; overrides `REDIS_DB`";
        locks_database: i64 = "REDIS_DB_LOCKS", parse::database,
            accepts "a database number", "Database number for locks; overrides `REDIS_DB`";
        prefix: String = "REDIS_PREFIX", parse::prefix, default "rollcall",
            accepts "letters, digits, dots, dashes and underscores", "Prefix of every key; must differ between installations that share a Redis";
        connection_timeout: u64 = "REDIS_CONNECTION_TIMEOUT", parse::millis, default "1000",
            accepts "a number of milliseconds, 1 to 60000", "Maximum time for connecting to Redis; no request waits for it";
        command_timeout: u64 = "REDIS_COMMAND_TIMEOUT", parse::millis, default "50",
            accepts "a number of milliseconds, 1 to 60000", "Maximum time for a reply from Redis; after that, Redis counts as unavailable";
        pool_size: usize = "REDIS_POOL_SIZE", parse::count, default "2",
            accepts "a number, 1 to 100000", "Number of connections to each Redis, shared by all requests";
        session_engine: SessionEngine = "SESSION_ENGINE", parse::session_engine, default "cached_db",
            accepts "cached_db, cache or db", "Where sessions are stored; `cached_db`: in the store, cached in Redis; `cache`: in Redis only, so that flushing Redis signs everybody out; `db`: in the store only";
        caching: bool = "CACHE", parse::caching, default "on",
            accepts "on, off or dummy", "Whether image analysis and sessions are cached, in each instance and in Redis; `off` or `dummy` for measurements and troubleshooting";
        cache_fallback: CacheFallback = "CACHE_FALLBACK", parse::cache_fallback, default "memory",
            accepts "memory or store", "Where pairing codes, unfinished sign-ins and names on live pictures are cached without Redis, and while it is unavailable; `memory`: in each instance; `store`: in the store, shared by all instances";
    }
    /// Face recognition.
    recognition: Recognition {
        model_pack: String = "MODEL_PACK", parse::text, default "mobilefacenet",
            accepts "the ID of a model pack, or builtin for the default", "The model pack; see docs/MODELS.md";
        previous_model_pack: String = "PREVIOUS_MODEL_PACK", parse::text,
            accepts "the ID of a model pack", "The model pack before a change of `MODEL_PACK`; people who have no template of the new one yet are recognized with it";
        liveness_pack: String = "LIVENESS_PACK", parse::text,
            accepts "the ID of an add-on", "Liveness add-on of the model pack, such as `liveness-minifasnet`; see docs/MODELS.md";
        models_dir: PathBuf = "MODELS_DIR", parse::path, default "./models",
            accepts "a folder", "Folder with one subfolder per model pack";
        precision: Precision = "PRECISION", parse::precision, default "auto",
            accepts "auto, fp or int8", "Variant of the embedding model; `auto` measures both at start and uses the faster one";
        threads: Option<usize> = "ENGINE_THREADS", parse::threads, default "auto",
            accepts "auto or a number, 1 to 256", "Number of threads that analyze images; `auto` is the container's CPU quota";
        queue: usize = "ENGINE_QUEUE", parse::count, default "32",
            accepts "a number, 1 to 100000", "Maximum number of images that wait for a thread, a quarter of them from one device or account; further requests get a 503";
        ort_dylib_path: PathBuf = "ORT_DYLIB_PATH", parse::path,
            accepts "the path of a shared library", "Library of ONNX Runtime, 1.24 or newer; without it, `.tools/onnxruntime/` and the system's libraries are tried";
        fpir: ErrorRate = "FPIR", parse::rate, default "0.001",
            accepts "a rate from 0.000001 to 0.1, or a percentage such as 0.1%", "Accepted false positive identification rate of one punch: how often a stranger may be identified as an employee";
        min_margin: Option<f32> = "MIN_MARGIN", parse::margin, default "auto",
            accepts "auto or a number from 0 to 1", "Minimum lead of the best candidate over the second; `auto` follows from the model pack, 0 requires none";
        min_liveness: f32 = "MIN_LIVENESS", parse::share, default "0.5",
            accepts "a number from 0 to 1", "Minimum liveness probability of a punch, if the model pack measures it; 0 only records it";
    }
    /// Storage of biometric and personal data.
    privacy: Privacy {
        template_key: TemplateKeys = "TEMPLATE_KEY", parse::template_keys, secret true,
            accepts "32 bytes in base64 or hexadecimal, older keys after commas", "Key that encrypts templates and photos, followed by older keys that only decrypt; without it, `DATA_DIR/template.key` is created";
        keep_photos: bool = "KEEP_PHOTOS", parse::switch, default "off",
            accepts "on or off", "Whether enrollment photos are stored, encrypted like templates";
        keep_audit: Option<SignedDuration> = "KEEP_AUDIT", parse::forever_or_retention, default "forever",
            accepts "forever, or a duration with its unit, such as 1095d or 26280h", "How long entries of the audit trail are stored";
        keep_punch_pictures: Option<SignedDuration> = "KEEP_PUNCH_PICTURES", parse::off_or_retention, default "off",
            accepts "off, or a duration with its unit, such as 30d or 12h", "How long a small picture of each punch is stored, encrypted like templates; see docs/PRIVACY.md";
        keep_unknown_faces: Option<SignedDuration> = "KEEP_UNKNOWN_FACES", parse::off_or_retention, default "off",
            accepts "off, or a duration with its unit, such as 30d or 12h", "How long a small picture of each unknown face is stored, encrypted like templates; see docs/PRIVACY.md";
        backup_passphrase: SecretString = "BACKUP_PASSPHRASE", parse::passphrase, secret true,
            accepts "12 characters or more", "Passphrase of backups; without it, `rollcall backup` and `rollcall restore` prompt for it";
    }
    /// Rules for punches.
    attendance: Attendance {
        cooldown: SignedDuration = "COOLDOWN", parse::duration, default "60s",
            accepts "a duration such as 60s, 5m or 500ms", "Time after a punch in which another punch of the same person is a duplicate";
        replay_window: Option<SignedDuration> = "REPLAY_WINDOW", parse::off_or_retention, default "30d",
            accepts "off, or a duration with its unit, such as 30d or 12h", "Time after a punch in which the same picture, byte for byte, does not punch again: the answer is `cooldown`. `off` allows it, for tests with photos";
        time_zone: Zone = "TIME_ZONE", parse::zone,
            accepts "an IANA time zone such as Europe/Berlin", "Time zone with which the default site is made at the first start, by default the zone of the machine; later change it on the page Sites";
        workday_starts: Time = "WORKDAY_STARTS", parse::time_of_day, default "04:00",
            accepts "a time of day such as 04:00", "Start of the workday with which the default site is made at the first start; later change it on the page Sites";
    }
    /// The source of cameras.
    cameras: Cameras {
        url: String = "GO2RTC_URL", parse::http_url, default "http://localhost:1984",
            accepts "http://host:port", "URL of go2rtc's API, which provides the cameras; not contacted while there is no camera";
        user: String = "GO2RTC_USERNAME", parse::text,
            accepts "a user name", "User name for go2rtc";
        password: SecretString = "GO2RTC_PASSWORD", parse::secret, secret true,
            accepts "a password", "Password for go2rtc";
    }
    /// Messages to the outside.
    messages: Messages {
        smtp_url: SecretString = "SMTP_URL", parse::smtp_url, secret true,
            accepts "smtps://user:password@host, smtp://user:password@host:587?tls=required, or smtp://host:port without a password, which may have one only on this machine", "Mail server for emails to people; without it, none are sent. Needs `MAIL_FROM` and `PUBLIC_URL`";
        mail_from: String = "MAIL_FROM", parse::mailbox,
            accepts "an address such as Rollcall <rollcall@example.org>", "Sender of emails";
        mail_summary: Time = "MAIL_SUMMARY", parse::time_of_day, default "07:00",
            accepts "a time of day such as 07:00", "When managers get the daily email about what waits for them, in the time zone of their site";
        mqtt_url: SecretString = "MQTT_URL", parse::mqtt_url, secret true,
            accepts "mqtts://user:password@host:port, or mqtt:// for no TLS; a password then goes over a network in clear, and only with ?tls=none", "Broker of MQTT for signals to Home Assistant: who is there, by site, and the states of cameras and kiosks";
        webhook_allow: Destinations = "WEBHOOK_ALLOW", parse::destinations, default "none",
            accepts "none, or addresses, networks such as 10.0.0.0/8 or names of hosts, separated by commas", "Receivers of webhooks that are not on the internet; others are refused, because a webhook must not reach what only the server can";
    }
    /// The first account, for unattended installations.
    admin: Admin {
        email: Email = "ADMIN_EMAIL", parse::email,
            accepts "an email address", "Email address of the admin account that is created at start if there is no account; without it, a one-time setup link is printed";
        password: SecretString = "ADMIN_PASSWORD", parse::password, secret true,
            accepts "12 to 256 characters that are not easy to guess", "Password of that account";
    }
    /// Single sign-on with an identity provider.
    sign_on: SignOn {
        issuer: String = "OIDC_ISSUER", parse::issuer,
            accepts "an https:// address; http:// only on this machine", "Address of an OpenID Connect provider with which people sign in; see docs/DEPLOYMENT.md";
        client_id: String = "OIDC_CLIENT_ID", parse::text,
            accepts "a client ID", "ID of Rollcall at the provider";
        client_secret: SecretString = "OIDC_CLIENT_SECRET", parse::secret, secret true,
            accepts "a client secret", "Secret of Rollcall at the provider; none for a public client";
        name: String = "OIDC_NAME", parse::text, default "Single sign-on",
            accepts "a short text", "Name of the provider on the sign-in page";
        groups_claim: String = "OIDC_GROUPS_CLAIM", parse::text, default "groups",
            accepts "the name of a claim", "Claim with the groups of a person";
        roles: Vec<GroupRole> = "OIDC_ROLES", parse::group_roles,
            accepts "group=role or group=role@Site, separated by commas; the roles are admin, manager and viewer", "What the members of groups may do, such as `hr=manager,harbor=manager@Harbor,it=admin`. At each sign-in, the grants follow the groups. Without it, people can only sign in to accounts that exist";
    }
    /// The log.
    log: Log {
        format: LogFormat = "LOG_FORMAT", parse::log_format, default "text",
            accepts "text or json", "Format of the log, which is written to standard error";
        level: String = "LOG_LEVEL", parse::log_level, default "info",
            accepts "a level (error, warn, info, debug, trace) or directives such as info,rollcall=debug", "Level of the log; commands other than `serve` default to `warn`";
        rust_log: String = "RUST_LOG", parse::log_level,
            accepts "a level or directives, as for LOG_LEVEL", "Alternative name of `LOG_LEVEL`, which it overrides";
    }
}

/// Variables that must be set together.
const TOGETHER: [(&str, &str); 6] = [
    ("SMTP_URL", "MAIL_FROM"),
    ("MONGODB_USER", "MONGODB_PASSWORD"),
    ("GO2RTC_USERNAME", "GO2RTC_PASSWORD"),
    ("TLS_CERT", "TLS_KEY"),
    ("ADMIN_EMAIL", "ADMIN_PASSWORD"),
    ("OIDC_ISSUER", "OIDC_CLIENT_ID"),
];

fn is_set(shown: &[Shown], name: &str) -> bool {
    shown.iter().any(|shown| shown.name == name && shown.set)
}

impl Settings {
    /// Returns all settings in the order of their declaration, with secrets hidden.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Returns whether a variable was set explicitly.
    pub fn is_set(&self, name: &str) -> bool {
        is_set(&self.shown, name)
    }

    /// Checks rules across sections.
    fn check(&self, reader: &mut Reader<'_>) {
        let store = &self.store;
        if store.kind == StoreKind::Mongodb
            && store.mongodb_uri.is_none()
            && store.mongodb_host.is_none()
        {
            reader.problem(
                "STORE",
                "is mongodb, but neither MONGODB_URI nor MONGODB_HOST is set".to_owned(),
            );
        }
        if store.used() == StoreKind::Redis && self.redis.connection().is_none() {
            reader.problem(
                if store.no_fsdb {
                    "PRESIS_NO_FSDB"
                } else {
                    "STORE"
                },
                "stores everything in Redis, but neither REDIS_URL nor REDIS_HOST is set"
                    .to_owned(),
            );
        }
        if is_set(&reader.shown, "SMTP_URL") && self.server.public_url.is_none() {
            reader.problem(
                "SMTP_URL",
                "set PUBLIC_URL as well: the links in emails begin with it, because a sender can forge the address of a request"
                    .to_owned(),
            );
        }
        for (one, other) in TOGETHER {
            if is_set(&reader.shown, one) != is_set(&reader.shown, other) {
                reader.problem(one, format!("set it together with {other}, or set neither"));
            }
        }
    }
}

impl Store {
    /// Returns the system of record: never [`StoreKind::Auto`].
    pub fn used(&self) -> StoreKind {
        match self.kind {
            StoreKind::Auto if self.no_fsdb => StoreKind::Redis,
            StoreKind::Auto if self.mongodb_uri.is_some() || self.mongodb_host.is_some() => {
                StoreKind::Mongodb
            }
            StoreKind::Auto => StoreKind::Sqlite,
            kind => kind,
        }
    }

    /// Returns the connection string of MongoDB, as given or built from its parts; `None` without
    /// either.
    pub fn mongodb_connection(&self) -> Option<SecretString> {
        use secrecy::ExposeSecret;
        if let Some(uri) = &self.mongodb_uri {
            return Some(uri.clone());
        }
        let host = bracketed(self.mongodb_host.as_ref()?);
        let credentials = match (&self.mongodb_user, &self.mongodb_password) {
            (Some(user), Some(password)) => {
                format!("{}:{}@", escape(user), escape(password.expose_secret()))
            }
            _ => String::new(),
        };
        Some(format!("mongodb://{credentials}{host}:{}/", self.mongodb_port).into())
    }
}

impl Redis {
    /// Returns the URL of Redis, as given or built from its parts; `None` without either.
    pub fn connection(&self) -> Option<SecretString> {
        use secrecy::ExposeSecret;
        if let Some(url) = &self.url {
            return Some(url.clone());
        }
        let host = bracketed(self.host.as_ref()?);
        let user = self.user.as_deref().map(escape).unwrap_or_default();
        let credentials = match &self.password {
            Some(password) => format!("{user}:{}@", escape(password.expose_secret())),
            None => String::new(),
        };
        Some(format!("redis://{credentials}{host}:{}/", self.port).into())
    }
}

/// Adds the brackets that an IPv6 address needs in a URL.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

/// Percent-encodes everything except RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

impl Log {
    /// Returns the effective directives.
    pub fn directives(&self) -> &str {
        self.rust_log.as_deref().unwrap_or(&self.level)
    }
}

/// The kind of the system of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// MongoDB if it is configured, else SQLite.
    Auto,
    /// The embedded SQLite.
    Sqlite,
    /// MongoDB.
    Mongodb,
    /// Redis, without a file system.
    Redis,
}

/// Receivers of webhooks that are allowed besides those on the internet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destinations {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Names of hosts, in lowercase.
    pub hosts: Vec<String>,
}

/// The variant of the embedding model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The faster one, measured at start.
    Auto,
    /// Floating point.
    Fp,
    /// 8-bit integers.
    Int8,
}

/// Whether browsers send the session cookie over TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSecure {
    /// If the request arrived over TLS, also through a trusted proxy.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Whether browsers send the session cookie with requests from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Only when the user follows a link.
    Lax,
    /// Never.
    Strict,
}

/// Where sessions are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEngine {
    /// In the store, cached in Redis.
    CachedDb,
    /// In Redis only; in the store if there is no Redis.
    Cache,
    /// In the store only.
    Db,
}

/// Where pairing codes, unfinished sign-ins and names on live pictures are cached without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheFallback {
    /// In the memory of each instance.
    Memory,
    /// In the store, shared by all instances.
    Store,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Formats the README's table of settings, in Markdown.
pub fn settings_table() -> String {
    let mut out = String::from("| variable | default | purpose |\n|---|---|---|\n");
    for variable in Settings::SECTIONS
        .iter()
        .flat_map(|(_, variables)| *variables)
    {
        let default = variable
            .default
            .map_or(String::new(), |text| format!("`{text}`"));
        out += &format!(
            "| `{}` | {default} | {}. Accepts {}. |\n",
            variable.name, variable.about, variable.accepts
        );
    }
    out
}

#[cfg(test)]
mod tests;
