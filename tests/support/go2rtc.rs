//! A real go2rtc, which runs for one test, and fake cameras that it connects to: each serves what a
//! scene shows as MJPEG over HTTP, as many real cameras do.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use image::{Rgb, RgbImage, imageops};

use crate::ports::free_port;

/// Returns the path of the program; `ROLLCALL_TEST_GO2RTC` overrides it.
fn program() -> PathBuf {
    std::env::var_os("ROLLCALL_TEST_GO2RTC").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/go2rtc"),
        PathBuf::from,
    )
}

/// A running go2rtc on loopback.
pub struct Go2rtc {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

/// The user name of its API.
pub const USER: &str = "rollcall";
/// The password of its API.
pub const PASSWORD: &str = "open sesame";

impl Go2rtc {
    /// Starts one with streams, by name and source. The error is the reason for skipping the test.
    pub fn with(streams: &[(&str, String)]) -> Result<Self, String> {
        let program = program();
        if !program.is_file() {
            let path = program.display();
            return Err(format!("{path} is missing; scripts/setup-tests builds it"));
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        for _ in 0..5 {
            let port = free_port();
            let streams: String = streams
                .iter()
                .map(|(name, source)| format!("  {name}: {source:?}\n"))
                .collect();
            let configuration = format!(
                "api:\n  listen: \"127.0.0.1:{port}\"\n  username: {USER}\n  password: {PASSWORD}\n  local_auth: true\nrtsp:\n  listen: \"127.0.0.1:{}\"\nwebrtc:\n  listen: \"\"\nstreams:\n{streams}",
                free_port(),
            );
            std::fs::write(folder.path().join("go2rtc.yaml"), configuration)
                .map_err(|error| error.to_string())?;
            let mut child = spawn(folder.path())?;
            if answers(&mut child, port) {
                return Ok(Self {
                    child,
                    folder,
                    port,
                });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        Err(format!("{} does not answer", program.display()))
    }

    /// Returns the URL of its API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill).
    pub fn restart(&mut self) {
        self.child = spawn(self.folder.path()).unwrap();
        assert!(
            answers(&mut self.child, self.port),
            "go2rtc did not start again"
        );
    }
}

impl Drop for Go2rtc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &std::path::Path) -> Result<Child, String> {
    Command::new(program())
        .current_dir(folder)
        .args(["-config", "go2rtc.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("go2rtc does not start: {error}"))
}

fn answers(child: &mut Child, port: u16) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The scene in front of a camera, 640×480, repeated; each picture has the noise of a sensor.
#[derive(Clone)]
pub struct Scene {
    pictures: Vec<Vec<u8>>,
    /// Pictures per second.
    rate: u32,
}

/// Number of pictures before a scene repeats.
const LOOP: u32 = 24;

impl Scene {
    /// Returns an empty scene.
    pub fn empty() -> Self {
        Self::of(&[])
    }

    /// Returns a scene with people side by side, each a portrait, who move a little.
    pub fn of(portraits: &[&[u8]]) -> Self {
        let portraits: Vec<RgbImage> = portraits
            .iter()
            .map(|portrait| {
                let picture = image::load_from_memory(portrait).unwrap().to_rgb8();
                let height = 400;
                let width = picture.width() * height / picture.height();
                imageops::resize(&picture, width, height, imageops::FilterType::Triangle)
            })
            .collect();
        let pictures = (0..LOOP)
            .map(|number| {
                let mut picture = RgbImage::from_fn(640, 480, |x, _| {
                    let shade = 90 + (x / 10) as u8;
                    Rgb([shade, shade, shade])
                });
                for (place, portrait) in portraits.iter().enumerate() {
                    let slot = 640 * (2 * place as i64 + 1) / (2 * portraits.len() as i64);
                    let sway = i64::from(number % 12) - 6;
                    let x = slot - i64::from(portrait.width() / 2) + sway * 2;
                    imageops::overlay(&mut picture, portrait, x, 60 + sway.abs());
                }
                jpeg(noisy(picture, number))
            })
            .collect();
        Self { pictures, rate: 8 }
    }

    /// Returns its JPEG pictures, and their number per second.
    pub fn pictures(&self) -> (&[Vec<u8>], u32) {
        (&self.pictures, self.rate)
    }

    /// Returns the scene behind a lens cap.
    pub fn black() -> Self {
        let pictures = (0..LOOP)
            .map(|number| jpeg(noisy(RgbImage::new(640, 480), number)))
            .collect();
        Self { pictures, rate: 8 }
    }

    /// Sets the number of pictures per second.
    pub fn at(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// Repeats exactly the same picture.
    pub fn frozen(self) -> Self {
        Self {
            pictures: self.pictures[..1].to_vec(),
            ..self
        }
    }
}

/// Adds up to 6 to each value, differently in each picture.
fn noisy(mut picture: RgbImage, seed: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    for pixel in picture.pixels_mut() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let noise = (state % 7) as u8;
        pixel.0 = pixel.0.map(|value| value.saturating_add(noise));
    }
    picture
}

fn jpeg(picture: RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 85)
        .encode_image(&picture)
        .unwrap();
    bytes
}

/// A camera on the network, until it is dropped.
pub struct TestCamera {
    port: u16,
    shown: Arc<Mutex<Shown>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The behavior of a camera.
#[derive(Clone)]
enum Shown {
    /// It sends pictures.
    Scene(Arc<Scene>),
    /// It stays connected and sends nothing.
    Nothing,
    /// It accepts no connections and drops existing ones.
    Off,
}

impl TestCamera {
    /// Starts a camera that shows a scene.
    pub fn new(scene: Scene) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shown = Arc::new(Mutex::new(Shown::Scene(Arc::new(scene))));
        let stop = Arc::new(AtomicBool::new(false));
        let (of, stopped) = (shown.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (of, stopped) = (of.clone(), stopped.clone());
                // The thread ends after its client has disconnected.
                std::thread::spawn(move || serve(socket, &of, &stopped));
            }
        });
        Self {
            port,
            shown,
            stop,
            thread: Some(thread),
        }
    }

    /// Returns the source for go2rtc.
    pub fn source(&self) -> String {
        format!("http://127.0.0.1:{}/video.mjpg", self.port)
    }

    /// Shows another scene from now on.
    pub fn show(&self, scene: Scene) {
        *self.shown.lock().unwrap() = Shown::Scene(Arc::new(scene));
    }

    /// Stays connected and sends nothing.
    pub fn stall(&self) {
        *self.shown.lock().unwrap() = Shown::Nothing;
    }

    /// Turns off.
    pub fn off(&self) {
        *self.shown.lock().unwrap() = Shown::Off;
    }
}

impl Drop for TestCamera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Serves one connection of a camera.
fn serve(mut socket: TcpStream, shown: &Mutex<Shown>, stop: &AtomicBool) -> std::io::Result<()> {
    socket.set_write_timeout(Some(Duration::from_secs(2)))?;
    let now = || shown.lock().unwrap().clone();
    if matches!(now(), Shown::Off) {
        return Ok(());
    }
    let mut request = [0; 4096];
    let _ = socket.read(&mut request)?;
    socket.write_all(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n",
    )?;
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let scene = match now() {
            Shown::Scene(scene) => scene,
            Shown::Off => return Ok(()),
            Shown::Nothing => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        let picture = &scene.pictures[number % scene.pictures.len()];
        number += 1;
        let length = picture.len();
        write!(
            socket,
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        )?;
        socket.write_all(picture)?;
        socket.write_all(b"\r\n")?;
        std::thread::sleep(Duration::from_secs(1) / scene.rate);
    }
    Ok(())
}
