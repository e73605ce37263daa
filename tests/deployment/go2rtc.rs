//! The shipped settings of go2rtc, in a real go2rtc: it requires a password, even on the same
//! machine; it serves only the allowed paths; and it accepts neither sources that run programs nor
//! sources of disabled modules.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::*;

/// Returns the allowed paths of the API, as in the shipped file.
fn allowed() -> Vec<String> {
    let settings = yaml("deploy/go2rtc/go2rtc.yaml");
    let paths = items(&settings["api"]["allow_paths"]);
    paths
        .map(|path| path.as_str().unwrap().to_owned())
        .collect()
}

/// A go2rtc with the shipped settings and its own password.
struct Go2rtc {
    _process: Running,
    _folder: tempfile::TempDir,
    url: String,
}

impl Go2rtc {
    /// Starts one with these cameras; returns `None`, and reports a skip, if the program is
    /// missing.
    fn start(test: &str, cameras: &str) -> Option<Self> {
        let program = std::env::var_os("ROLLCALL_TEST_GO2RTC")
            .map_or_else(|| project(".tools/bin/go2rtc"), PathBuf::from);
        if !program.exists() {
            let why = format!("{} is missing: run `make setup-tests`", program.display());
            skip::skip(test, &why);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let cameras_file = folder.path().join("cameras.yaml");
        fs::write(&cameras_file, cameras).unwrap();
        fs::write(folder.path().join("GO2RTC_PASSWORD"), "hunter22\n").unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(program)
            .arg("-config")
            .arg(project("deploy/go2rtc/go2rtc.yaml"))
            .arg("-config")
            .arg(cameras_file)
            .env("CREDENTIALS_DIRECTORY", folder.path())
            .env("GO2RTC_LISTEN", &address)
            .env("GO2RTC_RTSP_LISTEN", format!("127.0.0.1:{}", free_port()))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let go2rtc = Self {
            _process: Running(process),
            _folder: folder,
            url: format!("http://{address}"),
        };
        let answers = eventually(PATIENCE, || go2rtc.ask("/api", "hunter22"));
        assert!(answers.is_some(), "go2rtc does not respond");
        Some(go2rtc)
    }

    fn ask(&self, path: &str, password: &str) -> Option<u16> {
        status(&format!("{}{path}", self.url), Some(&basic(password)))
    }

    /// Sends a PUT with the password; returns the status and the body.
    fn put(&self, path: &str) -> (u16, String) {
        let client = http_client::blocking().build().unwrap();
        let request = client.put(format!("{}{path}", self.url));
        let answer = request
            .header("authorization", basic("hunter22"))
            .send()
            .unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    /// Returns the body of a GET with the password.
    fn bytes(&self, path: &str) -> Vec<u8> {
        let client = http_client::blocking()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        let request = client.get(format!("{}{path}", self.url));
        let answer = request.header("authorization", basic("hunter22")).send();
        let bytes = answer.and_then(Response::bytes);
        bytes.unwrap_or_default().to_vec()
    }
}

fn basic(password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("rollcall:{password}"))
    )
}

#[test]
fn go2rtc_requires_its_password_even_on_the_same_machine() {
    let Some(go2rtc) = Go2rtc::start("go2rtc's password", "") else {
        return;
    };
    assert_eq!(go2rtc.ask("/api", "hunter22"), Some(200));
    for path in allowed() {
        let url = format!("{}{path}", go2rtc.url);
        assert_eq!(status(&url, None), Some(401), "{path}");
        assert_eq!(go2rtc.ask(&path, "wrong"), Some(401), "{path}");
        assert_eq!(go2rtc.ask(&path, "${GO2RTC_PASSWORD}"), Some(401), "{path}");
    }
}

#[test]
fn go2rtc_serves_only_the_allowed_paths() {
    let Some(go2rtc) = Go2rtc::start("go2rtc's paths", "") else {
        return;
    };
    let allowed = allowed();
    for path in &allowed {
        // An unknown stream is "stream not found"; the text distinguishes it from an unknown path.
        let answer = go2rtc.bytes(path);
        assert!(!answer.starts_with(b"404 page not found"), "{path}");
    }
    for path in [
        "/",
        "/api/config",
        "/api/exit",
        "/api/restart",
        "/api/log",
        "/api/stack",
        "/api/streams.dot",
        "/api/preload",
        "/api/ffmpeg",
        "/api/onvif",
        "/api/webrtc",
        "/api/homekit",
        "/api/hass",
        "/api/stream.m3u8",
        "/stream.html",
    ] {
        assert!(!allowed.iter().any(|allowed| allowed == path));
        assert_eq!(go2rtc.ask(path, "hunter22"), Some(404), "{path}");
    }
}

#[test]
fn go2rtc_refuses_sources_that_run_programs_and_sources_of_disabled_modules() {
    let cameras = "streams:\n  shell: exec:sh -c id\n";
    let Some(go2rtc) = Go2rtc::start("go2rtc's sources", cameras) else {
        return;
    };
    for source in [
        "exec:ffmpeg%20-version",
        "exec:sh",
        "echo:id",
        "expr:1",
        "homekit://h",
        "onvif://h",
    ] {
        let (status, body) = go2rtc.put(&format!("/api/streams?name=new&src={source}"));
        assert_eq!(status, 400, "{source}: {body}");
    }
    // Even in its configuration files, only ffmpeg may be run.
    assert!(
        go2rtc.bytes("/api/frame.jpeg?src=shell").is_empty() || {
            let reply = go2rtc.bytes("/api/frame.jpeg?src=shell");
            String::from_utf8_lossy(&reply).contains("not in allow_paths")
        }
    );
}

#[test]
fn a_camera_that_ffmpeg_reads_provides_pictures() {
    const TEST: &str = "a picture through go2rtc";
    if !have("ffmpeg") {
        return skip::skip(TEST, "ffmpeg is missing");
    }
    let photo = project("tests/fixtures/faces/obama.jpg");
    let cameras = format!(
        "streams:\n  door: exec:ffmpeg -v error -re -loop 1 -i {} -c:v mjpeg -f mjpeg -\n",
        photo.display()
    );
    let Some(go2rtc) = Go2rtc::start(TEST, &cameras) else {
        return;
    };
    let picture = go2rtc.bytes("/api/frame.jpeg?src=door");
    assert!(
        picture.starts_with(&[0xff, 0xd8]),
        "{} bytes",
        picture.len()
    );
}
