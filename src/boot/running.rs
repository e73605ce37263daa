//! The running service: its port, its background tasks, and the order in which it stops.

use std::{
    io,
    net::{IpAddr, Shutdown, SocketAddr},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use axum_server::{Address, Server, tls_rustls::RustlsAcceptor};
use hyper_util::rt::TokioTimer;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{BootError, Core, Records, Tls, TlsError, database, shared, stalls::Patient};
use crate::{
    config::{self, Settings, StoreKind},
    domain::{accounts::Role, jobs::JobKind, text::Name},
    http,
    ports::Quota,
    service::{accounts::NewAccount, jobs::Runner, sealing},
    telemetry,
    workers::{
        Supervisor, cameras,
        gallery_sync::{self, GallerySync},
        jobs,
        retention::{self, Ages},
    },
};

/// A service that accepts requests.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What to say at start, line by line.
    pub lines: Vec<(&'static str, String)>,
    /// The token of the one-time set-up link; `None` when there is an account.
    pub setup_token: Option<SecretString>,
    core: Core,
    supervisor: Supervisor,
    /// What requests need until the last one is answered.
    last: Supervisor,
    stopping: CancellationToken,
    router: axum::Router,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// How long a client may take to send the head of a request, and to send another one on a
/// connection that it keeps.
const HEADERS_PATIENCE: Duration = Duration::from_secs(30);

/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long connections are still taken once the service stops. Every answer says meanwhile that
/// its connection ends with it, and `/readyz` that the service is not ready: so clients that ask
/// one request after the other, and balancers, go elsewhere before anything is closed on them.
const TURNING_AWAY: Duration = Duration::from_millis(500);
/// How long connections that were taken last have for their request, once none is taken any more.
const LAST_CALL: Duration = Duration::from_millis(500);
/// How long requests that are under way may take once the service stops.
pub const REQUESTS_PATIENCE: Duration = Duration::from_secs(7);
/// How much longer than requests background tasks may take to stop, and how much longer than
/// those what requests need.
const TASKS_PATIENCE: Duration = Duration::from_millis(500);
/// When everything is over, whatever hangs: most supervisors kill after 10 seconds.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

impl Running {
    /// Starts everything, first of all the port, so that a second start is told at once.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub async fn start(settings: &Settings) -> Result<Self, BootError> {
        let listener = listen(settings.server.host, settings.server.port).await?;
        let address = listener.local_addr().map_err(BootError::Serve)?;
        let tls = tls(settings)?;
        let metrics =
            telemetry::start_metrics().map_err(|error| BootError::Metrics(error.to_string()))?;
        let core = Core::start(settings).await?;
        for warning in &core.records.warnings {
            warn!("{warning}");
        }
        let setup_token = first_account(settings, &core.records).await?;
        let parts = Arc::new(telemetry::Health::default());
        parts.note(gallery_sync::PART, telemetry::Condition::Fine);
        let (supervisor, stopping) = (Supervisor::new(), CancellationToken::new());
        let ages = Ages {
            audit: settings.privacy.keep_audit,
            punch_pictures: settings.privacy.keep_punch_pictures,
            unknown_faces: settings.privacy.keep_unknown_faces,
        };
        let last = Supervisor::new();
        start_last(&last, &core);
        start_workers(&supervisor, &core, &parts, metrics.clone(), ages);
        watch_cameras(&supervisor, &core, settings);
        let render = move || metrics.render();
        let router = http::router(http::Parts {
            app: core.app.clone(),
            settings: http_settings(settings),
            limits: core.records.shared.limits.clone(),
            feed: core.records.shared.feed(),
            redis: core.records.shared.redis(),
            stopping: stopping.clone(),
            clock: core.records.clock.clone(),
            health: parts,
            metrics: Arc::new(render),
        });
        if let Some(tls) = &tls {
            let (tls, clock) = (tls.clone(), core.records.clock.clone());
            supervisor.keep("tls", move |stop| tls.clone().follow(clock.clone(), stop));
        }
        let lines = lines(settings, &core, address);
        Ok(Self {
            address,
            lines,
            setup_token,
            core,
            supervisor,
            last,
            stopping,
            router,
            listener,
            tls,
        })
    }

    /// The one-time set-up link, for a terminal and nowhere else. Its token stands in the
    /// fragment, which browsers do not send.
    pub fn setup_link(&self) -> Option<String> {
        let token = self.setup_token.as_ref()?;
        Some(format!(
            "{}/setup#{}",
            url(self.address, self.tls.is_some()),
            token.expose_secret()
        ))
    }

    /// Serves until `stop` is cancelled, then lets requests finish, stops the tasks and the
    /// engine, and closes the store. Cancelling `hurry` cuts off requests that are under way.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve(
        self,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> Result<(), BootError> {
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        let listener = self.listener.into_std().map_err(BootError::Serve)?;
        let door = listener.try_clone().map_err(BootError::Serve)?;
        let handle = axum_server::Handle::new();
        let plain = axum_server::from_tcp(listener)
            .map_err(BootError::Serve)?
            .handle(handle.clone())
            .acceptor(Patient::until(self.stopping.clone()));
        let server = async {
            match &self.tls {
                None => bounded(plain).serve(service).await,
                Some(tls) => {
                    let tls = plain.map(|plain| {
                        RustlsAcceptor::new(tls.serving())
                            .handshake_timeout(HANDSHAKE_PATIENCE)
                            .acceptor(plain)
                    });
                    bounded(tls).serve(service).await
                }
            }
        };
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        let patience = async {
            stop.cancelled().await;
            // Streams would go on for ever: they end with the word to stop. Tasks end meanwhile.
            self.stopping.cancel();
            self.supervisor.token().cancel();
            let requests = async {
                tokio::time::sleep(TURNING_AWAY).await;
                // From now on nobody is let in, and those who just were get their answer: what
                // closes below are connections on which nothing is asked.
                if let Err(cause) = SockRef::from(&door).shutdown(Shutdown::Both) {
                    debug!(%cause, "connections are taken until the end");
                }
                tokio::time::sleep(LAST_CALL).await;
                handle.graceful_shutdown(None);
                tokio::time::sleep(REQUESTS_PATIENCE - TURNING_AWAY - LAST_CALL).await;
            };
            tokio::select! {
                () = requests => {}
                () = hurry.cancelled() => {}
            }
        };
        let all = async {
            let served = tokio::select! {
                served = server => served.map_err(BootError::Serve),
                () = patience => {
                    warn!("some requests were cut off");
                    Ok(())
                }
            };
            for supervisor in [&self.supervisor, &self.last] {
                for task in supervisor.shutdown(TASKS_PATIENCE).await {
                    warn!(task, "the task did not stop in time");
                }
            }
            self.core.stop().await;
            served
        };
        tokio::select! {
            served = all => served,
            () = stopped => {
                warn!("the engine or the store did not close in time");
                Ok(())
            }
        }
    }
}

/// Bounds what a silent client costs. HTTP/1 alone: whoever might speak HTTP/2 is waited for,
/// without end, until they say so.
fn bounded<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
    let mut server = server.http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_PATIENCE);
    server
}

fn tls(settings: &Settings) -> Result<Option<Tls>, TlsError> {
    let server = &settings.server;
    let files = server.tls_cert.as_ref().zip(server.tls_key.as_ref());
    files
        .map(|(certificate, key)| Tls::open(certificate, key))
        .transpose()
}

async fn listen(host: IpAddr, port: u16) -> Result<TcpListener, BootError> {
    let address = SocketAddr::new(host, port);
    TcpListener::bind(address)
        .await
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => BootError::PortInUse(address),
            _ => BootError::Listen { address, cause },
        })
}

/// Makes the account that the settings ask for, or the token for whoever sets the service up;
/// neither when there is an account.
async fn first_account(
    settings: &Settings,
    records: &Records,
) -> Result<Option<SecretString>, BootError> {
    let accounts = &records.accounts;
    if !accounts.needs_setup().await? {
        if settings.admin.email.is_some() {
            info!(
                "ADMIN_EMAIL was left alone: there is an account already, `rollcall admin create` makes another"
            );
        }
        return Ok(None);
    }
    if let (Some(email), Some(password)) = (&settings.admin.email, &settings.admin.password) {
        let new = NewAccount {
            email: email.clone(),
            name: Name::parse("Admin").expect("it is a name"),
            password: password.clone(),
            role: Role::Admin,
        };
        if accounts.create_first(new).await?.is_none() {
            tracing::warn!("somebody else is making the first account: ADMIN_EMAIL was left alone");
        }
        return Ok(None);
    }
    Ok(accounts
        .offer_setup()
        .map(|token| token.reveal().to_owned().into()))
}

fn start_workers(
    supervisor: &Supervisor,
    core: &Core,
    parts: &Arc<telemetry::Health>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    ages: Ages,
) {
    let Records { stores, clock, .. } = core.records.clone();
    let (references, since) = (core.references.clone(), core.filled_at);
    let (templates, sync_clock, sync_parts) =
        (stores.templates.clone(), clock.clone(), parts.clone());
    let sync_feed = core.records.shared.feed();
    supervisor.keep("gallery sync", move |stop| {
        let (references, templates) = (references.clone(), templates.clone());
        GallerySync::new(
            references,
            templates,
            sync_clock.clone(),
            sync_parts.clone(),
            since,
        )
        .run(sync_feed.follow(), stop)
    });
    let shared = &core.records.shared;
    for server in shared.servers.clone() {
        supervisor.keep("redis", move |stop| {
            let server = server.clone();
            async move { server.watch(stop).await }
        });
    }
    if !shared.servers.is_empty() {
        let (servers, parts) = (shared.servers.clone(), parts.clone());
        supervisor.keep("redis health", move |stop| {
            shared::tell(servers.clone(), parts.clone(), stop)
        });
    }
    if let Some(bus) = shared.remote_bus.clone() {
        supervisor.keep("bus", move |stop| {
            let bus = bus.clone();
            async move { bus.listen(stop).await }
        });
    }
    let runner = Arc::new(Runner::new(
        stores.clone(),
        core.app.employees.clone(),
        core.app.enrolling.clone(),
        clock.clone(),
        shared.feed(),
    ));
    for kind in JobKind::ALL {
        let (runner, feed) = (runner.clone(), shared.feed());
        supervisor.keep(jobs::name(kind), move |stop| {
            jobs::run(kind, runner.clone(), feed.clone(), stop)
        });
    }
    supervisor.spawn(
        "model change",
        jobs::after_model_change(core.app.jobs.clone(), supervisor.token()),
    );
    if shared.in_store {
        let (cache, clock) = (stores.cache.clone(), clock.clone());
        supervisor.keep("cache", move |stop| {
            retention::sweep(cache.clone(), clock.clone(), stop)
        });
    }
    supervisor.keep("retention", move |stop| {
        retention::run(stores.clone(), clock.clone(), ages, stop)
    });
    supervisor.keep("metrics", move |stop| {
        telemetry::keep_metrics(metrics.clone(), stop)
    });
}

fn watch_cameras(supervisor: &Supervisor, core: &Core, settings: &Settings) {
    let Records { stores, clock, .. } = &core.records;
    let deck = Arc::new(cameras::Deck {
        store: stores.cameras.clone(),
        leases: stores.leases.clone(),
        streams: core.streams.clone(),
        watching: core.watching.clone(),
        overlays: core.records.overlays.clone(),
        feed: core.records.shared.feed(),
        zone: settings.attendance.time_zone.clone(),
        clock: clock.clone(),
        held: AtomicU32::new(0),
    });
    let parent = supervisor.clone();
    supervisor.keep("cameras", move |stop| {
        cameras::run(deck.clone(), parent.clone(), stop)
    });
    let watching = core.watching.clone();
    supervisor.keep("punches of cameras", move |stop| {
        cameras::write_waiting(watching.clone(), stop)
    });
}

fn a_minute(most: u32) -> Option<Quota> {
    let window = Duration::from_mins(1);
    (most > 0).then_some(Quota { most, window })
}

fn http_settings(settings: &Settings) -> http::Settings {
    let server = &settings.server;
    http::Settings {
        trusted_proxies: server.trusted_proxies.clone(),
        tls: server.tls_cert.is_some(),
        hsts: server.hsts.map(SignedDuration::unsigned_abs),
        secure_cookies: match server.cookie_secure {
            config::CookieSecure::Auto => None,
            config::CookieSecure::On => Some(true),
            config::CookieSecure::Off => Some(false),
        },
        strict_cookies: server.cookie_same_site == config::SameSite::Strict,
        cookies_end_with_browser: server.cookie_ends_with_browser,
        rate_limit: server.rate_limit,
        sign_in: a_minute(server.sign_in_limit),
        pairing: a_minute(server.pairing_limit),
        enroll_limit: server.enroll_limit,
        timeout: server.request_timeout.unsigned_abs(),
        metrics_token: server.metrics_token.clone(),
        static_dir: server.static_dir.clone(),
    }
}

/// The address as people type it. Browsers give pages from `localhost` the camera without TLS.
fn url(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => {
            format!("{scheme}://localhost:{}", address.port())
        }
        _ => format!("{scheme}://{address}"),
    }
}

fn lines(settings: &Settings, core: &Core, address: SocketAddr) -> Vec<(&'static str, String)> {
    let engine = core.engine.describe();
    let place = if settings.store.used() == StoreKind::Sqlite {
        format!(" in {}", database(settings).display())
    } else {
        String::new()
    };
    let mut model = format!("{}, {}, {}", engine.pack, engine.model, engine.precision);
    if !engine.calibrated {
        model += ", not calibrated: nobody will be identified";
    }
    let mut people = core.filled.people.to_string();
    if core.filled.damaged > 0 {
        people += &format!(
            ", and {} whose templates cannot be opened",
            core.filled.damaged
        );
    }
    let mut key = String::from(if settings.privacy.template_key.is_some() {
        "from TEMPLATE_KEY"
    } else {
        "from the key file in the data folder: back it up apart from the data"
    });
    if settings.store.used() != StoreKind::Sqlite && settings.privacy.template_key.is_none() {
        key += "; other instances need the same as TEMPLATE_KEY";
    }
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("store", core.records.stores.health.description() + &place),
        ("redis", core.records.shared.line()),
        ("models", model),
        (
            "engine",
            format!(
                "ONNX Runtime {}, {} threads",
                engine.runtime, engine.threads
            ),
        ),
        ("templates", key),
        ("people", people),
        ("address", url(address, settings.server.tls_cert.is_some())),
    ]
}

/// Starts what has to go on for as long as requests and cameras do: a punch of the last moment
/// has its picture made, and whoever enrolls is known to seal.
fn start_last(last: &Supervisor, core: &Core) {
    let Records { stores, clock, .. } = &core.records;
    let (leases, clock) = (stores.leases.clone(), clock.clone());
    let key_id = core.key_id.clone();
    last.keep("sealing", move |stop| {
        let (leases, clock, key_id) = (leases.clone(), clock.clone(), key_id.clone());
        async move { sealing::hold(&*leases, &*clock, &key_id, &stop).await }
    });
    let pictures = core.app.pictures.clone();
    last.keep("pictures", move |stop| {
        let pictures = pictures.clone();
        async move { pictures.work(stop).await }
    });
}
