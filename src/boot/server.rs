//! The running server: its port, its background tasks, and the order in which they stop.

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
use tracing::{debug, error, info, warn};

use super::{
    BootError, Core, Records, Tls, TlsError,
    connection::{Acceptor, Places},
    database, process, redis,
};
use crate::{
    config::{self, Settings, StoreKind},
    domain::{grants::Access, text::Name},
    http,
    ports::Quota,
    service::{
        accounts::NewAccount,
        clock_check::ClockCheck,
        jobs::{JobServices, Runner, handlers},
        key_rotation,
    },
    telemetry,
    workers::{
        Supervisor, cameras, devices,
        gallery_sync::{self, GallerySync},
        jobs, mqtt, outbox,
        retention::{self, Ages},
        self_calibration,
    },
};

/// A service that accepts requests.
pub struct Running {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// The lines to print at start, each with a label.
    pub lines: Vec<(&'static str, String)>,
    /// The token of the one-time setup link; `None` if there is an account.
    pub setup_token: Option<SecretString>,
    public_url: Option<String>,
    core: Core,
    supervisor: Supervisor,
    /// Tasks that requests need until the last response.
    last: Supervisor,
    stopping: CancellationToken,
    places: Arc<Places>,
    router: axum::Router,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// Maximum time for a client to send the head of a request on a kept-alive connection. The first
/// one is due sooner, see [`Acceptor`].
const HEADERS_PATIENCE: Duration = Duration::from_secs(30);

/// Maximum time for a TLS handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a stopping service still accepts connections. Meanwhile every response closes its
/// connection and `/readyz` reports that the service is not ready, so that busy clients and load
/// balancers go elsewhere before a connection is refused.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the last accepted connections have to send their request.
const LAST_REQUESTS: Duration = Duration::from_millis(500);
/// Maximum time for requests in progress once the service stops.
pub const REQUESTS_PATIENCE: Duration = Duration::from_secs(7);
/// Maximum time for background tasks to stop after the requests, and again for the tasks that
/// requests need.
const TASKS_PATIENCE: Duration = Duration::from_millis(500);
/// Deadline of the whole shutdown: most process supervisors kill after 10 seconds.
const STOP_WITHIN: Duration = Duration::from_millis(9_500);

impl Running {
    /// Starts everything. Binds the port first, so that a second instance fails at once.
    ///
    /// # Errors
    /// Returns the first error.
    pub async fn start(settings: &Settings) -> Result<Self, BootError> {
        let listener = listen(settings.server.host, settings.server.port).await?;
        let files = process::raise_file_limit();
        let proxies = settings.server.trusted_proxies.clone();
        let address = listener.local_addr().map_err(BootError::Serve)?;
        let tls = tls(settings)?;
        let metrics =
            telemetry::start_metrics().map_err(|error| BootError::Metrics(error.to_string()))?;
        let core = Core::start(settings).await?;
        for warning in &core.records.warnings {
            warn!("{warning}");
        }
        if settings.server.static_dir.is_none() && !http::has_page_libraries() {
            error!("{}", http::PAGE_LIBRARIES_MISSING);
        }
        match ClockCheck::run(&core.records.stores, &*core.records.clock).await {
            Ok(check) => check
                .warnings()
                .iter()
                .for_each(|warning| warn!("{warning}")),
            Err(cause) => warn!(%cause, "could not compare the clocks"),
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
        watch_cameras(&supervisor, &core);
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
            public_url: settings.server.public_url.clone(),
            core,
            supervisor,
            last,
            stopping,
            places: Places::new(process::connections_most(files), proxies),
            router,
            listener,
            tls,
        })
    }

    /// Returns the one-time setup link, for a terminal only. Its token is in the fragment, which
    /// browsers do not send.
    pub fn setup_link(&self) -> Option<String> {
        let token = self.setup_token.as_ref()?;
        let own = url(self.address, self.tls.is_some());
        let origin = self.public_url.as_ref().unwrap_or(&own);
        Some(format!("{origin}/setup#{}", token.expose_secret()))
    }

    /// Serves until `stop` is canceled, then finishes requests, stops the tasks and the engine, and
    /// closes the store. Canceling `abort` aborts requests in progress.
    ///
    /// # Errors
    /// Fails if the server fails.
    pub async fn serve(
        self,
        stop: CancellationToken,
        abort: CancellationToken,
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
            .acceptor(Acceptor::new(self.stopping.clone(), self.places.clone()));
        let server = async {
            match &self.tls {
                None => with_header_timeout(plain).serve(service).await,
                Some(tls) => {
                    let tls = plain.map(|plain| {
                        RustlsAcceptor::new(tls.serving())
                            .handshake_timeout(HANDSHAKE_PATIENCE)
                            .acceptor(plain)
                    });
                    with_header_timeout(tls).serve(service).await
                }
            }
        };
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        let patience = async {
            stop.cancelled().await;
            // Streams never end by themselves, so they end at the signal. Tasks end meanwhile.
            self.stopping.cancel();
            self.supervisor.token().cancel();
            let requests = async {
                tokio::time::sleep(DRAIN).await;
                // From now on no connection is accepted. The last ones get time for their request,
                // so that the graceful shutdown closes idle connections only.
                if let Err(cause) = SockRef::from(&door).shutdown(Shutdown::Both) {
                    debug!(%cause, "could not stop accepting connections before shutdown");
                }
                tokio::time::sleep(LAST_REQUESTS).await;
                handle.graceful_shutdown(None);
                tokio::time::sleep(REQUESTS_PATIENCE - DRAIN - LAST_REQUESTS).await;
            };
            tokio::select! {
                () = requests => {}
                () = abort.cancelled() => {}
            }
        };
        let all = async {
            let served = tokio::select! {
                served = server => served.map_err(BootError::Serve),
                () = patience => {
                    warn!("aborted some requests");
                    Ok(())
                }
            };
            for supervisor in [&self.supervisor, &self.last] {
                for task in supervisor.shutdown(TASKS_PATIENCE).await {
                    warn!(task, "task did not stop in time");
                }
            }
            self.core.stop().await;
            served
        };
        tokio::select! {
            served = all => served,
            () = stopped => {
                warn!("engine or store did not close in time");
                Ok(())
            }
        }
    }
}

/// Sets header timeouts. HTTP/1 only, because hyper waits forever for an HTTP/2 preface.
fn with_header_timeout<A: Address, Acceptor>(server: Server<A, Acceptor>) -> Server<A, Acceptor> {
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

/// Creates the admin account of the settings, or returns the token for the setup page. Does neither
/// if there is an account.
async fn first_account(
    settings: &Settings,
    records: &Records,
) -> Result<Option<SecretString>, BootError> {
    let accounts = &records.accounts;
    if !accounts.needs_setup().await? {
        if settings.admin.email.is_some() {
            info!(
                "ignored ADMIN_EMAIL, because there is an account; `rollcall admin add` adds another"
            );
        }
        return Ok(None);
    }
    if let (Some(email), Some(password)) = (&settings.admin.email, &settings.admin.password) {
        let new = NewAccount {
            email: email.clone(),
            name: Name::parse("Admin").expect("the name is valid"),
            password: password.clone(),
            access: Access::admin(),
        };
        if accounts.create_first(new).await?.is_none() {
            tracing::warn!(
                "ignored ADMIN_EMAIL, because another instance created the first account"
            );
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
    for loader in std::iter::once(&core.loader).chain(&core.previous_loader) {
        let (loader, sync_parts) = (loader.clone(), parts.clone());
        let sync_feed = core.records.shared.feed();
        supervisor.keep("gallery sync", move |stop| {
            GallerySync::new(loader.clone(), sync_parts.clone()).run(sync_feed.follow(), stop)
        });
    }
    let growth = core.app.growth.clone();
    supervisor.keep("template growth", move |stop| {
        let growth = growth.clone();
        async move { growth.work(stop).await }
    });
    let (watched, feed) = (core.app.devices.clone(), core.records.shared.feed());
    supervisor.keep("devices", move |stop| {
        devices::run(watched.clone(), feed.clone(), stop)
    });
    let recognition = core.app.recognition.clone();
    supervisor.keep("self-calibration", move |stop| {
        self_calibration::run(recognition.clone(), stop)
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
            redis::report_health(servers.clone(), parts.clone(), stop)
        });
    }
    if let Some(bus) = shared.remote_bus.clone() {
        supervisor.keep("bus", move |stop| {
            let bus = bus.clone();
            async move { bus.listen(stop).await }
        });
    }
    let runner = Arc::new(Runner::new(&stores, clock.clone(), shared.feed()));
    let services = JobServices {
        stores: stores.clone(),
        employees: core.app.employees.clone(),
        enrollments: core.app.enrolling.clone(),
    };
    for handler in handlers(&services) {
        let (runner, feed) = (runner.clone(), shared.feed());
        supervisor.keep(handler.worker(), move |stop| {
            jobs::run(handler.clone(), runner.clone(), feed.clone(), stop)
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
    let (outbox, leases, feed) = (core.outbox.clone(), stores.leases.clone(), shared.feed());
    let sending = clock.clone();
    supervisor.keep("outbox", move |stop| {
        let (outbox, leases, clock) = (outbox.clone(), leases.clone(), sending.clone());
        outbox::run(outbox, leases, clock, feed.clone(), stop)
    });
    if let Some(context) = core.mqtt.clone() {
        supervisor.keep("mqtt", move |stop| mqtt::run(context.clone(), stop));
    }
    supervisor.keep("retention", move |stop| {
        retention::run(stores.clone(), clock.clone(), ages, stop)
    });
    supervisor.keep("metrics", move |stop| {
        telemetry::keep_metrics(metrics.clone(), stop)
    });
}

fn watch_cameras(supervisor: &Supervisor, core: &Core) {
    let Records { stores, clock, .. } = &core.records;
    let context = Arc::new(cameras::CameraWorkerContext {
        store: stores.cameras.clone(),
        leases: stores.leases.clone(),
        streams: core.streams.clone(),
        pipeline: core.pipeline.clone(),
        overlays: core.records.overlays.clone(),
        feed: core.records.shared.feed(),
        sites: core.app.sites.clone(),
        clock: clock.clone(),
        held: AtomicU32::new(0),
    });
    let parent = supervisor.clone();
    supervisor.keep("cameras", move |stop| {
        cameras::run(context.clone(), parent.clone(), stop)
    });
    let pipeline = core.pipeline.clone();
    supervisor.keep("punches of cameras", move |stop| {
        cameras::write_waiting(pipeline.clone(), stop)
    });
}

fn per_minute(most: u32) -> Option<Quota> {
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
        public_url: server.public_url.clone(),
        rate_limit: server.rate_limit,
        sign_in: per_minute(server.sign_in_limit),
        pairing: per_minute(server.pairing_limit),
        enroll_limit: server.enroll_limit,
        timeout: server.request_timeout.unsigned_abs(),
        body_timeout: http::BODY_TIMEOUT,
        metrics_token: server.metrics_token.clone(),
        static_dir: server.static_dir.clone(),
    }
}

/// Formats the address for people. Uses `localhost` for local addresses, because browsers let its
/// pages use the camera without TLS.
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
        model += ", not calibrated: cannot identify people";
    }
    let mut people = core.filled.people.to_string();
    if core.filled.damaged > 0 {
        people += &format!(
            ", and {} whose templates cannot be decrypted",
            core.filled.damaged
        );
    }
    let mut key = String::from(if settings.privacy.template_key.is_some() {
        "from TEMPLATE_KEY"
    } else {
        "from the key file in the data folder: back it up separately from the data"
    });
    if settings.store.used() != StoreKind::Sqlite && settings.privacy.template_key.is_none() {
        key += "; other instances need the same key, as TEMPLATE_KEY";
    }
    let zone = core.zone.to_string();
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("store", core.records.stores.engine.description() + &place),
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
        ("time zone", zone),
        ("address", url(address, settings.server.tls_cert.is_some())),
    ]
}

/// Starts the tasks that must outlive requests and cameras: one makes the pictures of the last
/// punches, one sends the links that the last requests asked for, and one holds the lease that
/// reports which key this instance encrypts with.
fn start_last(last: &Supervisor, core: &Core) {
    let Records { stores, clock, .. } = &core.records;
    let (leases, clock) = (stores.leases.clone(), clock.clone());
    let key_id = core.key_id.clone();
    last.keep("sealing", move |stop| {
        let (leases, clock, key_id) = (leases.clone(), clock.clone(), key_id.clone());
        async move { key_rotation::hold(&leases, &*clock, &key_id, &stop).await }
    });
    let pictures = core.app.pictures.clone();
    last.keep("pictures", move |stop| {
        let pictures = pictures.clone();
        async move { pictures.work(stop).await }
    });
    let resets = core.app.password_resets.clone();
    last.keep("password resets", move |stop| {
        let resets = resets.clone();
        async move { resets.work(stop).await }
    });
}
