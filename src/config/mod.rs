//! Settings: one struct a section, each field declared once with its environment variable, its
//! default, what it takes and what it is for. The README's table, `doctor` and the messages
//! about bad values all come from these declarations.

mod keys;
mod parse;
mod source;

use std::{fmt, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use jiff::{SignedDuration, tz::TimeZone};
use secrecy::SecretString;

pub use keys::{KeyFileError, KeyFileProblem, TemplateKey, TemplateKeys};
pub use parse::passphrase as parse_passphrase;
pub use source::{Environment, NotUnicode, Source};

use crate::domain::{biometrics::ErrorRate, text::Email};

/// One setting as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The environment variable.
    pub name: &'static str,
    /// What counts when it is unset or empty; `None` when there is no default.
    pub default: Option<&'static str>,
    /// What it takes, to follow "takes".
    pub takes: &'static str,
    /// What it is for, one sentence without a full stop.
    pub about: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

/// A setting as it stands, fit to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The environment variable.
    pub name: &'static str,
    /// Its value; `(hidden)` for a secret, `None` when it has none.
    pub value: Option<String>,
    /// Whether it was set, and is not just the default.
    pub set: bool,
}

/// A value that is not what its variable takes. Values of secrets are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every bad setting at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.problems.len() {
            1 => "a setting cannot be used",
            _ => "some settings cannot be used",
        })?;
        for problem in &self.problems {
            write!(f, "\n  {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads one variable after the other and collects what is wrong with them.
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

    /// What the environment says; problems are told as ones of `about`.
    fn given(&mut self, name: &str, about: &'static str) -> Option<String> {
        let text = self.source.get(name).unwrap_or_else(|NotUnicode| {
            self.problem(about, "is not valid Unicode".to_owned());
            None
        });
        text.map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// A secret that is given, or else what is in the file that `NAME_FILE` names. A file that
    /// holds nothing is a problem and no secret that is unset: that would open what it guards.
    fn secret(&mut self, name: &'static str, given: Option<String>) -> Option<String> {
        let variable = format!("{name}_FILE");
        let Some(path) = self.given(&variable, name) else {
            return given;
        };
        if given.is_some() {
            self.problem(name, format!("and {variable} are both set: keep one"));
            return given;
        }
        let read = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
        match read {
            Ok(text) if !text.is_empty() => return Some(text),
            Ok(_) => self.problem(name, format!("is to come from {path:?}, which is empty")),
            Err(cause) => {
                self.problem(name, format!("is to come from {path:?}: {cause}"));
            }
        }
        None
    }

    /// `None` after a problem; `Some(None)` for a variable without value and default.
    fn read<T>(&mut self, variable: &Variable, parse: fn(&str) -> Option<T>) -> Option<Option<T>> {
        let Some(text) = self.text(variable) else {
            return Some(None);
        };
        let value = parse(&text);
        if value.is_none() {
            let takes = variable.takes;
            self.problem(
                variable.name,
                if variable.secret {
                    format!("has a value that does not fit; it takes {takes}")
                } else if takes.contains("with its unit") && text.parse::<f64>().is_ok() {
                    format!("cannot be {text:?}, which has no unit; it takes {takes}")
                } else {
                    format!("cannot be {text:?}; it takes {takes}")
                },
            );
        }
        value.map(Some)
    }

    fn problem(&mut self, name: &'static str, message: String) {
        self.problems.push(Problem { name, message });
    }
}

/// Declares the sections: for every field `name: type = VARIABLE, parser, default, takes, about`.
/// A section may add checks over several fields.
macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $section:ident: $Section:ident {
            $(
                $field:ident: $type:ty = $name:literal, $parse:path, $(default $default:literal,)?
                $(secret $secret:literal,)? takes $takes:literal, $about:literal;
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
                    takes: $takes,
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

        /// Everything that can be set, section by section.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[$doc])* pub $section: $Section,)+
            shown: Vec<Shown>,
        }

        impl Settings {
            /// The title and the declarations of each section.
            pub const SECTIONS: &[(&str, &[Variable])] =
                &[$((stringify!($section), $Section::VARIABLES),)+];

            /// Reads all settings.
            ///
            /// # Errors
            /// Everything that is wrong, at once.
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
    /// Where the service listens and whom it believes.
    server: Server {
        host: IpAddr = "HOST", parse::any, default "127.0.0.1",
            takes "an IP address", "Address to listen on; `0.0.0.0` for every interface";
        port: u16 = "PORT", parse::any, default "10000",
            takes "a port number, 0 to 65535", "Port to listen on; 0 takes a free one";
        tls_cert: PathBuf = "TLS_CERT", parse::path,
            takes "the path of a PEM file", "Certificate, with those of its authorities after it, to speak TLS without a proxy; read again when it changes. `rollcall tls init` makes one";
        tls_key: PathBuf = "TLS_KEY", parse::path,
            takes "the path of a PEM file", "The certificate's private key";
        hsts: Option<SignedDuration> = "HSTS", parse::off_or_age, default "off",
            takes "off, or a duration such as 720h", "How long browsers shall come back over TLS only, told to those who come over TLS; hard to take back";
        trusted_proxies: Vec<IpNet> = "TRUSTED_PROXIES", parse::networks, default "none",
            takes "none, or addresses or networks such as 10.0.0.0/8, separated by commas",
            "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed";
        cookie_secure: CookieSecure = "SESSION_COOKIE_SECURE", parse::cookie_secure, default "auto",
            takes "auto, on or off", "Whether the session cookie is for TLS only; `auto`: when a trusted proxy says that the request came over TLS";
        cookie_same_site: SameSite = "SESSION_COOKIE_SAMESITE", parse::same_site, default "lax",
            takes "lax or strict", "Whether the session cookie comes along when another site links here; `strict`: never";
        cookie_ends_with_browser: bool = "SESSION_EXPIRE_AT_BROWSER_CLOSE", parse::switch, default "off",
            takes "on or off", "Whether closing the browser signs out";
        session_age: SignedDuration = "SESSION_COOKIE_AGE", parse::age, default "24h",
            takes "a duration such as 12h or 30m, or a number of seconds", "How long somebody stays signed in";
        rate_limit: u32 = "RATE_LIMIT", parse::any, default "50",
            takes "a whole number of requests a second, 0 for no limit", "Requests a second for one client address; 0 turns it off";
        enroll_limit: u32 = "ENROLL_LIMIT", parse::any, default "5",
            takes "a whole number of enrollments an hour, 0 for no limit", "Enrollments an hour for one account; 0 turns it off";
        sign_in_limit: u32 = "SIGN_IN_LIMIT", parse::any, default "10",
            takes "a whole number of attempts a minute, 0 for no limit", "Attempts to sign in, a minute, for one client address; 0 turns it off";
        pairing_limit: u32 = "PAIRING_LIMIT", parse::any, default "10",
            takes "a whole number of codes a minute, 0 for no limit", "Codes to pair a kiosk with, a minute, for one client address; 0 turns it off";
        request_timeout: SignedDuration = "REQUEST_TIMEOUT", parse::longer_than_zero, default "30s",
            takes "a duration such as 30s or 2m", "How long a request may take";
        metrics_token: SecretString = "METRICS_TOKEN", parse::secret, secret true,
            takes "a secret of your own", "What `/metrics` asks for as bearer token; without it `/metrics` is open";
        static_dir: PathBuf = "STATIC_DIR", parse::path,
            takes "a folder", "Serves the pages from this folder instead of from the binary, for work on them";
    }
    /// Where records are kept.
    store: Store {
        kind: StoreKind = "STORE", parse::store, default "auto",
            takes "auto, sqlite, mongodb or redis", "The system of record; `auto`: MongoDB when `MONGODB_URI` or `MONGODB_HOST` is set, else the embedded SQLite";
        no_fsdb: bool = "PRESIS_NO_FSDB", parse::switch, default "off",
            takes "on or off", "Whether nothing is kept in the file system: with `STORE=auto` the same as `STORE=redis`";
        data_dir: PathBuf = "DATA_DIR", parse::path, default "./data",
            takes "a folder", "Folder of the SQLite database and the generated template key; made when it is missing";
        mongodb_uri: SecretString = "MONGODB_URI", parse::secret, secret true,
            takes "a MongoDB connection string", "Connection string of MongoDB; the parts below count without it";
        mongodb_database: String = "MONGODB_DATABASE", parse::text, default "rollcall",
            takes "a database name", "Database in MongoDB";
        mongodb_host: String = "MONGODB_HOST", parse::text,
            takes "a host name or address", "Host of MongoDB";
        mongodb_port: u16 = "MONGODB_PORT", parse::any, default "27017",
            takes "a port number, 0 to 65535", "Port of MongoDB";
        mongodb_user: String = "MONGODB_USER", parse::text,
            takes "a user name", "User of MongoDB";
        mongodb_password: SecretString = "MONGODB_PASSWORD", parse::secret, secret true,
            takes "a password", "Password of MongoDB";
    }
    /// What instances share for a while; nothing is lost without it.
    redis: Redis {
        url: SecretString = "REDIS_URL", parse::redis_url, secret true,
            takes "redis://[user:password@]host[:port][/number], rediss:// for TLS, unix:///path, redis+sentinel://host[:port],…/master[/number] or redis+cluster://host[:port],…", "Where Redis is; without it and `REDIS_HOST`, each instance keeps to itself";
        host: String = "REDIS_HOST", parse::text,
            takes "a host name or an address", "Redis's host, in place of `REDIS_URL`";
        port: u16 = "REDIS_PORT", parse::any, default "6379",
            takes "a port number, 0 to 65535", "Redis's port, with `REDIS_HOST`";
        database: i64 = "REDIS_DB", parse::database,
            takes "a database number, 0 to 15 unless the server has more", "Redis's database, before the number in the URL";
        user: String = "REDIS_USER", parse::text,
            takes "a user name", "User of Redis, with `REDIS_HOST`";
        password: SecretString = "REDIS_PASSWORD", parse::secret, secret true,
            takes "a password", "Password of Redis, with `REDIS_HOST`";
        authority: PathBuf = "REDIS_CA", parse::path,
            takes "the path of a PEM file", "Authority that `rediss://` trusts instead of the public ones";
        cache_url: SecretString = "CACHE_URL", parse::redis_url, secret true,
            takes "the same as REDIS_URL", "Another Redis for what is cached";
        sessions_url: SecretString = "SESSION_CACHE_URL", parse::redis_url, secret true,
            takes "the same as REDIS_URL", "Another Redis for sessions";
        cache_database: i64 = "REDIS_DB_CACHE", parse::database,
            takes "a database number", "Database for what is cached, before `REDIS_DB`";
        sessions_database: i64 = "REDIS_DB_SESSIONS", parse::database,
            takes "a database number", "Database for sessions, before `REDIS_DB`";
        limits_database: i64 = "REDIS_DB_LIMITS", parse::database,
            takes "a database number", "Database for rate limits, before `REDIS_DB`";
        locks_database: i64 = "REDIS_DB_LOCKS", parse::database,
            takes "a database number", "Database for locks, before `REDIS_DB`";
        prefix: String = "REDIS_PREFIX", parse::prefix, default "rollcall",
            takes "letters, digits, dots, dashes and underscores", "What every key begins with: one for each installation on a Redis";
        connection_timeout: u64 = "REDIS_CONNECTION_TIMEOUT", parse::millis, default "1000",
            takes "milliseconds, 1 to 60000", "How long a connection to Redis may take; no request waits for it";
        command_timeout: u64 = "REDIS_COMMAND_TIMEOUT", parse::millis, default "50",
            takes "milliseconds, 1 to 60000", "How long an answer of Redis may take before it counts as away";
        pool_size: usize = "REDIS_POOL_SIZE", parse::count, default "2",
            takes "a number, 1 to 100000", "Connections to each Redis; requests share them";
        session_engine: SessionEngine = "SESSION_ENGINE", parse::session_engine, default "cached_db",
            takes "cached_db, cache or db", "Where sessions are: in the store with Redis in front, in Redis alone (who empties it signs everybody out), or in the store";
        cache_fallback: CacheFallback = "CACHE_FALLBACK", parse::cache_fallback, default "memory",
            takes "memory or store", "Where lists and pairings are remembered without Redis, and while it is away: by each instance for itself, or in the store by all";
    }
    /// How faces are found and told apart.
    recognition: Recognition {
        model_pack: String = "MODEL_PACK", parse::text, default "builtin",
            takes "the id of a model pack", "The model pack; see docs/MODELS.md";
        liveness_pack: String = "LIVENESS_PACK", parse::text,
            takes "the id of an add-on", "Liveness models that join the pack, such as `liveness-minifasnet`; see docs/MODELS.md";
        models_dir: PathBuf = "MODELS_DIR", parse::path, default "./models",
            takes "a folder", "Folder that holds one folder for each model pack";
        precision: Precision = "PRECISION", parse::precision, default "auto",
            takes "auto, fp or int8", "Which form of the embedder runs; `auto` times both at start and takes the faster";
        threads: Option<usize> = "ENGINE_THREADS", parse::threads, default "auto",
            takes "auto or a number, 1 to 256", "Threads that look at images; `auto`: the container's CPU quota";
        queue: usize = "ENGINE_QUEUE", parse::count, default "32",
            takes "a number, 1 to 100000", "Images that may wait for a thread; when as many wait, the answer is 503";
        ort_dylib_path: PathBuf = "ORT_DYLIB_PATH", parse::path,
            takes "the path of a shared library", "ONNX Runtime's library, 1.24 or newer; without it `.tools/onnxruntime/` and the system's libraries are tried";
        fpir: ErrorRate = "FPIR", parse::rate, default "0.001",
            takes "a rate from 0.000001 to 0.1, or as percentage such as 0.1%", "How often a stranger may be named: the wanted false positive identification rate of one punch";
        min_margin: f32 = "MIN_MARGIN", parse::share, default "0",
            takes "a number from 0 to 1", "How far the best candidate must lead the second; 0 asks for no lead";
        min_liveness: f32 = "MIN_LIVENESS", parse::share, default "0.5",
            takes "a number from 0 to 1", "Probability of a live person that a punch needs, with a model pack that measures it; 0 only records it";
    }
    /// What is kept about faces, and how.
    privacy: Privacy {
        template_key: TemplateKeys = "TEMPLATE_KEY", parse::template_keys, secret true,
            takes "32 bytes in base64 or hexadecimal, older keys after commas", "Key that seals templates and photos, then older keys that still open; without it `DATA_DIR/template.key` is made";
        keep_photos: bool = "KEEP_PHOTOS", parse::switch, default "off",
            takes "on or off", "Whether enrollment photos are kept, sealed like templates";
        keep_audit: Option<SignedDuration> = "KEEP_AUDIT", parse::forever_or_kept, default "forever",
            takes "forever, or a duration with its unit such as 1095d or 26280h", "How long the entries of the audit trail are kept";
        keep_punch_pictures: Option<SignedDuration> = "KEEP_PUNCH_PICTURES", parse::off_or_kept, default "off",
            takes "off, or a duration with its unit such as 30d or 12h", "How long a small picture of each punch is kept, sealed like templates; see docs/PRIVACY.md";
        keep_unknown_faces: Option<SignedDuration> = "KEEP_UNKNOWN_FACES", parse::off_or_kept, default "off",
            takes "off, or a duration with its unit such as 30d or 12h", "How long a small picture of each face that nobody knows is kept, sealed like templates; see docs/PRIVACY.md";
        backup_passphrase: SecretString = "BACKUP_PASSPHRASE", parse::passphrase, secret true,
            takes "12 characters or more", "Passphrase of backups; without it `rollcall backup` and `restore` ask for it";
    }
    /// What punches mean.
    attendance: Attendance {
        cooldown: SignedDuration = "COOLDOWN", parse::duration, default "60s",
            takes "a duration such as 60s, 5m or 500ms", "Time after a punch in which another one of the same person says nothing new";
        time_zone: TimeZone = "TIME_ZONE", parse::zone, default "UTC",
            takes "an IANA time zone such as Europe/Berlin", "Time zone of workdays";
        workday_starts: SignedDuration = "WORKDAY_STARTS", parse::time_of_day, default "04:00",
            takes "a time of day such as 04:00", "When a workday begins, so that a late shift's end belongs to its beginning";
    }
    /// Where the cameras come from.
    cameras: Cameras {
        url: String = "GO2RTC_URL", parse::http_url, default "http://localhost:1984",
            takes "http://host:port", "Where go2rtc's API is, which brings in the cameras; nothing is asked of it without a camera";
        user: String = "GO2RTC_USERNAME", parse::text,
            takes "a user name", "User of go2rtc";
        password: SecretString = "GO2RTC_PASSWORD", parse::secret, secret true,
            takes "a password", "Password of go2rtc";
    }
    /// The first account, for installations without anybody at a keyboard.
    admin: Admin {
        email: Email = "ADMIN_EMAIL", parse::email,
            takes "an e-mail address", "Makes this admin account at start when there is no account; without it a one-time set-up link is printed";
        password: SecretString = "ADMIN_PASSWORD", parse::password, secret true,
            takes "10 to 256 characters", "Password of that account";
    }
    /// What is told about the service's work.
    log: Log {
        format: LogFormat = "LOG_FORMAT", parse::log_format, default "text",
            takes "text or json", "Form of the log, which goes to standard error";
        level: String = "LOG_LEVEL", parse::log_level, default "info",
            takes "a level (error, warn, info, debug, trace) or directives such as info,rollcall=debug", "How much is logged; commands other than `serve` log from `warn` on unless it is set";
        rust_log: String = "RUST_LOG", parse::log_level,
            takes "the same as LOG_LEVEL", "The same, for those used to it; counts before `LOG_LEVEL`";
    }
}

/// Variables that are worth nothing without each other.
const TOGETHER: [(&str, &str); 4] = [
    ("MONGODB_USER", "MONGODB_PASSWORD"),
    ("GO2RTC_USERNAME", "GO2RTC_PASSWORD"),
    ("TLS_CERT", "TLS_KEY"),
    ("ADMIN_EMAIL", "ADMIN_PASSWORD"),
];

fn is_set(shown: &[Shown], name: &str) -> bool {
    shown.iter().any(|shown| shown.name == name && shown.set)
}

impl Settings {
    /// All settings as they stand, secrets hidden, in the order of their declaration.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Whether a variable was set, and does not just have its default.
    pub fn is_set(&self, name: &str) -> bool {
        is_set(&self.shown, name)
    }

    /// What one section cannot see by itself.
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
                "keeps everything in redis, but neither REDIS_URL nor REDIS_HOST is set".to_owned(),
            );
        }
        for (one, other) in TOGETHER {
            if is_set(&reader.shown, one) != is_set(&reader.shown, other) {
                reader.problem(
                    one,
                    format!("and {other} need each other: set both or none"),
                );
            }
        }
    }
}

impl Store {
    /// Where records go: never [`StoreKind::Auto`].
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

    /// MongoDB's connection string: the one given, or made of its parts; `None` without either.
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
    /// The URL of the one Redis: the one given, or made of its parts; `None` without either.
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

/// A bare IPv6 address with the brackets that it needs in a URL.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
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
    /// The directives that count.
    pub fn directives(&self) -> &str {
        self.rust_log.as_deref().unwrap_or(&self.level)
    }
}

/// Which system of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// MongoDB when something is said about it, else SQLite.
    Auto,
    /// The embedded SQLite.
    Sqlite,
    /// MongoDB.
    Mongodb,
    /// Redis, without a file system.
    Redis,
}

/// Which form of the embedder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The faster one, timed at start.
    Auto,
    /// Floating point.
    Fp,
    /// 8-bit integers.
    Int8,
}

/// Whether the session cookie is for TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSecure {
    /// When the request came over TLS, as a trusted proxy says.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// When browsers send the session cookie along with requests that other sites begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// When somebody follows a link.
    Lax,
    /// Never.
    Strict,
}

/// Where sessions are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEngine {
    /// In Redis, then in the store.
    CachedDb,
    /// In Redis alone; in the store when there is no Redis.
    Cache,
    /// In the store.
    Db,
}

/// Where the application cache is without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheFallback {
    /// In each process.
    Memory,
    /// In the store.
    Store,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The README's table of settings, in Markdown.
pub fn table_of_settings() -> String {
    let mut out = String::from("| variable | default | what it is for |\n|---|---|---|\n");
    for variable in Settings::SECTIONS
        .iter()
        .flat_map(|(_, variables)| *variables)
    {
        let default = variable
            .default
            .map_or(String::new(), |text| format!("`{text}`"));
        out += &format!(
            "| `{}` | {default} | {}. Takes {}. |\n",
            variable.name, variable.about, variable.takes
        );
    }
    out
}

#[cfg(test)]
mod tests;
