//! A bounded queue in front of several pipelines, each on a thread of its own.
//!
//! Several single-threaded sessions have a higher throughput than one multi-threaded session. If
//! the queue or the sender's share of it is full, the caller gets an error at once. A job is dropped
//! if its caller is gone, and a panic costs one job.

use std::{
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::{Counter, counter, histogram};
use tokio::sync::oneshot;

use super::{
    decode::SampleLimits,
    embed::Embedder,
    pack::{Pack, PackError, Precision, Variant},
    pipeline::{Models, Pipeline},
    queue::{Job, Queue, Refusal, count_departed},
    runtime::{Runtime, RuntimeError},
};
use crate::{
    domain::biometrics::{Calibration, ModelId, Views},
    ports::{Analysis, EngineError, FaceEngine, Sample, Work},
};

/// The choice between the variants of the embedder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// Times every variant at start and uses the fastest.
    #[default]
    Auto,
    /// Uses this variant.
    Only(Precision),
}

/// The options of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Number of threads, each with its own sessions.
    pub threads: usize,
    /// Maximum number of waiting samples; more are rejected.
    pub queue: usize,
    /// Maximum number of waiting samples of one sender; more are rejected.
    pub share: usize,
    /// The variant of the embedder.
    pub precision: PrecisionChoice,
    /// The size limits of a sample.
    pub limits: SampleLimits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = cpu_quota();
        Self {
            threads,
            queue: threads * 8,
            share: (threads * 2).max(8),
            precision: PrecisionChoice::Auto,
            limits: SampleLimits::default(),
        }
    }
}

/// Returns the number of processors that this process may use, with CPU affinity and cgroup quotas
/// (v1 and v2) applied.
pub fn cpu_quota() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The reason why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// ONNX Runtime could not be loaded.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A file of the pack is missing, damaged or not a face model.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The pack has no embedder of the requested precision.
    #[error("the pack {pack} has no {precision} embedder")]
    NoVariant {
        /// The pack.
        pack: String,
        /// The requested precision.
        precision: Precision,
    },
    /// The system did not start a thread.
    #[error("could not start a thread of the face engine: {0}")]
    Thread(#[from] io::Error),
}

/// A summary of a running engine, for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The pack's id and version.
    pub pack: String,
    /// The embedding space.
    pub model: ModelId,
    /// The variant of the embedder in use.
    pub precision: Precision,
    /// The version of ONNX Runtime.
    pub runtime: String,
    /// Number of threads.
    pub threads: usize,
    /// Maximum number of waiting samples.
    pub queue: usize,
    /// Whether the model has a calibration, without which it cannot identify people.
    pub calibrated: bool,
    /// Whether there is a liveness model.
    pub liveness: bool,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pack,
            model,
            precision,
            runtime,
            threads,
            ..
        } = self;
        write!(
            f,
            "pack {pack} ({model}, {precision}), ONNX Runtime {runtime}, threads {threads}"
        )?;
        if self.liveness {
            f.write_str(", liveness")?;
        }
        if !self.calibrated {
            f.write_str(", not calibrated: cannot identify people")?;
        }
        Ok(())
    }
}

/// The face engine. Stops and joins its threads when dropped.
pub struct Engine {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
    description: Description,
    calibration: Option<Calibration>,
    enrollment_views: Views,
    fingerprint: String,
}

impl Engine {
    /// Reads and verifies the pack's files, checks that every model runs, and starts the threads.
    pub fn start(
        runtime: &Runtime,
        pack: &Pack,
        options: EngineOptions,
    ) -> Result<Self, EngineStartError> {
        let manifest = pack.manifest();
        let models = Models::read(pack)?;
        let (variant, file, first) = choose_variant(runtime, pack, &models, options.precision)?;
        let threads = options.threads.max(1);
        let exact = exact_variant(pack, variant, options.precision)?;
        let mut pipelines = Vec::with_capacity(threads);
        let mut first = Some(first);
        for _ in 0..threads {
            let embedder = match first.take() {
                Some(embedder) => embedder,
                None => models.embedder(runtime, variant, &file)?,
            };
            let mut pipeline = models.pipeline(runtime, embedder, options.limits)?;
            if let Some((exact, file)) = &exact {
                pipeline.set_photo_embedder(models.embedder(runtime, exact, file)?);
            }
            pipelines.push(pipeline);
        }

        // Registers the counter at zero: otherwise Prometheus does not see the first increase.
        rejected().increment(0);
        let queue = Arc::new(Queue::new(options.queue, options.share));
        let engine = Self {
            queue: queue.clone(),
            threads: Mutex::new(Vec::with_capacity(threads)),
            stopping: Arc::new(AtomicBool::new(false)),
            description: Description {
                pack: format!("{} {}", manifest.id, manifest.version),
                model: manifest.embedder.model.clone(),
                precision: variant.precision,
                runtime: runtime.version().to_owned(),
                threads,
                queue: queue.places(),
                calibrated: manifest.calibration.is_some(),
                liveness: !manifest.liveness.is_empty(),
            },
            calibration: manifest.calibration.clone(),
            enrollment_views: manifest.embedder.enroll_views,
            fingerprint: manifest.fingerprint(
                [variant]
                    .into_iter()
                    .chain(exact.iter().map(|(exact, _)| *exact)),
            ),
        };
        for (number, pipeline) in pipelines.into_iter().enumerate() {
            let queue = queue.clone();
            let stopping = Arc::clone(&engine.stopping);
            let thread = std::thread::Builder::new()
                .name(format!("vision-{number}"))
                .spawn(move || run(pipeline, &queue, &stopping))?;
            engine.threads().push(thread);
        }
        Ok(engine)
    }

    /// Returns a summary of the engine.
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// Rejects new samples, fails waiting ones with [`EngineError::Stopped`], and blocks until the
    /// threads have finished their current samples.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        for thread in self.threads().drain(..) {
            // The panic hook has already reported a panic outside a job.
            let _ = thread.join();
        }
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a sample and waits for its analysis; with `only_idle`, rejects it while others wait.
    async fn enqueue_and_wait(
        &self,
        sample: Sample,
        work: Work,
        only_idle: bool,
    ) -> Result<Analysis, EngineError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            sample,
            work,
            queued: Instant::now(),
            reply,
        };
        self.queue
            .push(job, only_idle)
            .map_err(|refusal| match refusal {
                Refusal::Full => {
                    if !only_idle {
                        rejected().increment(1);
                    }
                    EngineError::Overloaded
                }
                Refusal::Closed => EngineError::Stopped,
            })?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.description).finish()
    }
}

#[async_trait]
impl FaceEngine for Engine {
    fn model(&self) -> &ModelId {
        &self.description.model
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    fn enrollment_views(&self) -> Views {
        self.enrollment_views
    }

    fn judges_liveness(&self) -> bool {
        self.description.liveness
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn analyze(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.enqueue_and_wait(sample, work, false).await
    }

    async fn analyze_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.enqueue_and_wait(sample, work, true).await
    }
}

/// Chooses the variant of the embedder. Returns it, the content of its file, and the opened
/// embedder.
fn choose_variant<'a>(
    runtime: &Runtime,
    pack: &'a Pack,
    models: &Models<'_>,
    precision: PrecisionChoice,
) -> Result<(&'a Variant, Vec<u8>, Embedder), EngineStartError> {
    let manifest = pack.manifest();
    let allowed = |variant: &&Variant| match precision {
        PrecisionChoice::Auto => true,
        PrecisionChoice::Only(only) => variant.precision == only,
    };
    let variants: Vec<&Variant> = manifest.embedder.variants.iter().filter(allowed).collect();
    let mut best: Option<(Duration, &Variant, Vec<u8>, Embedder)> = None;
    for variant in &variants {
        let file = pack.read(&variant.model_file())?;
        let mut embedder = models.embedder(runtime, variant, &file)?;
        let mut took = Duration::ZERO;
        if variants.len() > 1 {
            took = embedder
                .median_time()
                .map_err(|cause| PackError::NotAModel {
                    path: pack.path(&variant.file),
                    cause,
                })?;
            tracing::debug!(precision = %variant.precision, ?took, "timed an embedder variant");
        }
        if best.as_ref().is_none_or(|(least, ..)| took < *least) {
            best = Some((took, *variant, file, embedder));
        }
    }
    match (best, precision) {
        (Some((_, variant, file, embedder)), _) => Ok((variant, file, embedder)),
        (None, PrecisionChoice::Only(precision)) => Err(EngineStartError::NoVariant {
            pack: manifest.id.clone(),
            precision,
        }),
        (None, PrecisionChoice::Auto) => Err(PackError::Manifest {
            path: pack.path(super::pack::MANIFEST),
            cause: "embedder.variants must not be empty".into(),
        }
        .into()),
    }
}

/// Returns the variant in full precision with the content of its file, if the chosen one is another.
///
/// Photos to enroll are embedded in full precision, because time does not matter there. Otherwise the
/// rounding errors of the template and those of the probe would add up, and raise the false match
/// rate: to 1.1 to 1.4 times that of the calibration with the default pack, where templates in full
/// precision have 1.0 times (models/mobilefacenet/README.md).
fn exact_variant<'a>(
    pack: &'a Pack,
    chosen: &Variant,
    precision: PrecisionChoice,
) -> Result<Option<(&'a Variant, Vec<u8>)>, PackError> {
    let mut variants = pack.manifest().embedder.variants.iter();
    let exact = variants.find(|variant| variant.precision == Precision::Fp);
    let differs = precision == PrecisionChoice::Auto && chosen.precision != Precision::Fp;
    let Some(exact) = exact.filter(|_| differs) else {
        return Ok(None);
    };
    Ok(Some((exact, pack.read(&exact.model_file())?)))
}

/// Returns the counter of samples that were rejected because the queue, or the sender's share of
/// it, was full.
fn rejected() -> Counter {
    counter!("rollcall_engine_refused_total")
}

/// Analyzes samples on this thread until the queue is closed.
fn run(mut pipeline: Pipeline, queue: &Queue, stopping: &AtomicBool) {
    while let Some(job) = queue.pop() {
        if job.reply.is_closed() {
            count_departed(1);
            continue;
        }
        if stopping.load(Ordering::Relaxed) {
            let _ = job.reply.send(Err(EngineError::Stopped));
            continue;
        }
        histogram!("rollcall_stage_seconds", "stage" => "queue")
            .record(job.queued.elapsed().as_secs_f64());
        // Unwind safe, because every stage overwrites the pipeline's buffers from the start: the next
        // job never reads what a panicked one left.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pipeline.analyze(job.sample.bytes(), job.work)
        }));
        let answer = outcome.unwrap_or_else(|_| {
            tracing::error!("the face engine panicked on a sample");
            Err(EngineError::Failed("it panicked on this sample".into()))
        });
        // The caller may be gone by now.
        let _ = job.reply.send(answer);
    }
}
