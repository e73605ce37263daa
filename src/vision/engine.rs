//! A bounded queue in front of a few pipelines, each on a thread of its own.
//!
//! Several one-thread sessions beat one session with several threads. A full queue is an
//! answer, not a wait; a job whose caller has gone is dropped; a panic costs one job.

use std::{
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use metrics::{Counter, counter, gauge, histogram};
use tokio::sync::oneshot;

use super::{
    decode::SampleLimits,
    embed::Embedder,
    pack::{Pack, PackError, Precision, Variant},
    pipeline::{Models, Pipeline},
    runtime::{Runtime, RuntimeError},
};
use crate::{
    domain::biometrics::{Calibration, ModelId},
    ports::{Analysis, EngineError, FaceEngine, Sample, Work},
};

/// Which variant of the embedder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// Times every variant at start and takes the fastest.
    #[default]
    Auto,
    /// This one.
    Only(Precision),
}

/// How an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads, each with its own sessions.
    pub threads: usize,
    /// Samples that may wait; more are refused.
    pub queue: usize,
    /// Which variant of the embedder runs.
    pub precision: PrecisionChoice,
    /// How large a sample may be.
    pub limits: SampleLimits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = cpu_quota();
        Self {
            threads,
            queue: threads * 8,
            precision: PrecisionChoice::Auto,
            limits: SampleLimits::default(),
        }
    }
}

/// How many processors this process may use: affinity and cgroup quotas (v1 and v2) count.
pub fn cpu_quota() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// ONNX Runtime is not there.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A file of the pack is missing, damaged or not a face model.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The pack has no embedder of the wanted precision.
    #[error("the pack {pack} has no {precision} embedder")]
    NoVariant {
        /// The pack.
        pack: String,
        /// What was asked for.
        precision: Precision,
    },
    /// The system gave no thread.
    #[error("a thread of the face engine could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// What an engine runs on, for the lines at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The pack's id and version.
    pub pack: String,
    /// The embedding space.
    pub model: ModelId,
    /// The variant that runs.
    pub precision: Precision,
    /// ONNX Runtime's version.
    pub runtime: String,
    /// Threads.
    pub threads: usize,
    /// Samples that may wait.
    pub queue: usize,
    /// Whether people can be identified.
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
            f.write_str(", not calibrated: nobody will be identified")?;
        }
        Ok(())
    }
}

struct Job {
    sample: Sample,
    work: Work,
    queued: Instant,
    reply: oneshot::Sender<Result<Analysis, EngineError>>,
}

/// The face engine. Stops and joins its threads when dropped.
pub struct Engine {
    jobs: RwLock<Option<Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
    description: Description,
    calibration: Option<Calibration>,
    fingerprint: String,
}

impl Engine {
    /// Reads and verifies the pack's files, tries every model, and starts the threads.
    pub fn start(
        runtime: &Runtime,
        pack: &Pack,
        options: EngineOptions,
    ) -> Result<Self, EngineStartError> {
        let manifest = pack.manifest();
        let models = Models::read(pack)?;
        let (variant, file, first) = choose(runtime, pack, &models, options.precision)?;
        let threads = options.threads.max(1);
        let mut pipelines = vec![models.pipeline(runtime, first, options.limits)?];
        for _ in 1..threads {
            let embedder = models.embedder(runtime, variant, &file)?;
            pipelines.push(models.pipeline(runtime, embedder, options.limits)?);
        }

        // There from the start: only so is the first one an increase.
        refused().increment(0);
        let (sender, receiver) = bounded(options.queue.max(1));
        let engine = Self {
            jobs: RwLock::new(Some(sender)),
            threads: Mutex::new(Vec::with_capacity(threads)),
            stopping: Arc::new(AtomicBool::new(false)),
            description: Description {
                pack: format!("{} {}", manifest.id, manifest.version),
                model: manifest.embedder.model.clone(),
                precision: variant.precision,
                runtime: runtime.version().to_owned(),
                threads,
                queue: options.queue.max(1),
                calibrated: manifest.calibration.is_some(),
                liveness: !manifest.liveness.is_empty(),
            },
            calibration: manifest.calibration.clone(),
            fingerprint: manifest.fingerprint(variant),
        };
        for (number, pipeline) in pipelines.into_iter().enumerate() {
            let jobs = receiver.clone();
            let stopping = Arc::clone(&engine.stopping);
            let thread = std::thread::Builder::new()
                .name(format!("vision-{number}"))
                .spawn(move || run(pipeline, &jobs, &stopping))?;
            engine.threads().push(thread);
        }
        Ok(engine)
    }

    /// What it runs on.
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// Takes no more samples, answers those that wait with [`EngineError::Stopped`], and waits
    /// for the threads: at most as long as the sample in hand takes. Blocks.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(
            self.jobs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        for thread in self.threads().drain(..) {
            // A panic outside a job has been printed by the thread itself.
            let _ = thread.join();
        }
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a sample and waits for what is seen; `only_idle` refuses it while others wait.
    async fn ask(
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
        self.enqueue(job, only_idle)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    fn enqueue(&self, job: Job, only_idle: bool) -> Result<(), EngineError> {
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.as_ref().ok_or(EngineError::Stopped)?;
        if only_idle && !jobs.is_empty() {
            return Err(EngineError::Overloaded);
        }
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                refused().increment(1);
                EngineError::Overloaded
            }
            TrySendError::Disconnected(_) => EngineError::Stopped,
        })?;
        gauge!("rollcall_engine_queue").set(jobs.len() as f64);
        Ok(())
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

    fn judges_liveness(&self) -> bool {
        self.description.liveness
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn analyse(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.ask(sample, work, false).await
    }

    async fn analyse_if_idle(&self, sample: Sample, work: Work) -> Result<Analysis, EngineError> {
        self.ask(sample, work, true).await
    }
}

/// The variant to run, its file's content, and an embedder made from it.
fn choose<'a>(
    runtime: &Runtime,
    pack: &'a Pack,
    models: &Models<'_>,
    precision: PrecisionChoice,
) -> Result<(&'a Variant, Vec<u8>, Embedder), EngineStartError> {
    let manifest = pack.manifest();
    let wanted = |variant: &&Variant| match precision {
        PrecisionChoice::Auto => true,
        PrecisionChoice::Only(only) => variant.precision == only,
    };
    let variants: Vec<&Variant> = manifest.embedder.variants.iter().filter(wanted).collect();
    let mut best: Option<(Duration, &Variant, Vec<u8>, Embedder)> = None;
    for variant in &variants {
        let file = pack.read(&variant.model_file())?;
        let mut embedder = models.embedder(runtime, variant, &file)?;
        let mut took = Duration::ZERO;
        if variants.len() > 1 {
            took = embedder.time().map_err(|cause| PackError::NotAModel {
                path: pack.path(&variant.file),
                cause,
            })?;
            tracing::debug!(precision = %variant.precision, ?took, "timed an embedder");
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
            cause: "embedder.variants is empty".into(),
        }
        .into()),
    }
}

/// Counts samples that were refused because the queue was full.
fn refused() -> Counter {
    counter!("rollcall_engine_refused_total")
}

/// One thread: looks at samples until the queue is closed.
fn run(mut pipeline: Pipeline, jobs: &Receiver<Job>, stopping: &AtomicBool) {
    for job in jobs {
        gauge!("rollcall_engine_queue").set(jobs.len() as f64);
        if job.reply.is_closed() {
            counter!("rollcall_engine_departed_total").increment(1);
            continue;
        }
        if stopping.load(Ordering::Relaxed) {
            let _ = job.reply.send(Err(EngineError::Stopped));
            continue;
        }
        histogram!("rollcall_stage_seconds", "stage" => "queue")
            .record(job.queued.elapsed().as_secs_f64());
        // Every stage overwrites the pipeline's memory from its start, so that a job that
        // panicked half-way leaves nothing behind that the next would read.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            pipeline.analyse(job.sample.bytes(), job.work)
        }));
        let answer = looked.unwrap_or_else(|_| {
            tracing::error!("the face engine panicked on a sample");
            Err(EngineError::Failed("it panicked on this sample".into()))
        });
        // The caller may have left meanwhile.
        let _ = job.reply.send(answer);
    }
}
