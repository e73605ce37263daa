//! The shipped settings of go2rtc, in a real go2rtc: it asks for a password, also on the same
//! machine; answers at the paths that are allowed and at no others; takes no source that runs
//! programs, nor one of a module that is off.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::*;

/// What the API may be asked for, as the shipped file says.
fn allowed() -> Vec<String> {
    let settings = yaml("deploy/go2rtc/go2rtc.yaml");
    let paths = items(&settings["api"]["allow_paths"]);
    paths
        .map(|path| path.as_str().unwrap().to_owned())
        .collect()
}

/// A go2rtc with the shipped settings and a password of its own.
struct Go2rtc {
    _process: Running,
    _folder: tempfile::TempDir,
    url: String,
}

impl Go2rtc {
    /// Starts one with these cameras; `None`, and a word why, when there is none to start.
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
        let answers = eventually(Duration::from_secs(10), || go2rtc.ask("/api", "hunter22"));
        assert!(answers.is_some(), "go2rtc does not answer");
        Some(go2rtc)
    }

    fn ask(&self, path: &str, password: &str) -> Option<u16> {
        status(&format!("{}{path}", self.url), Some(&basic(password)))
    }

    /// PUT with the password: the status, and what it says.
    fn put(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build();
        let request = agent.new_agent().put(format!("{}{path}", self.url));
        let mut answer = request
            .header("authorization", basic("hunter22"))
            .send_empty()
            .unwrap();
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().unwrap(),
        )
    }

    /// The bytes that a GET brings, with the password.
    fn bytes(&self, path: &str) -> Vec<u8> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        let request = agent.get(format!("{}{path}", self.url));
        let answer = request.header("authorization", basic("hunter22")).call();
        answer
            .and_then(|mut answer| answer.body_mut().read_to_vec())
            .unwrap_or_default()
    }
}

fn basic(password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("rollcall:{password}"))
    )
}

#[test]
fn go2rtc_asks_for_its_password_on_the_same_machine_too() {
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
fn go2rtc_answers_where_it_is_allowed_to_and_nowhere_else() {
    let Some(go2rtc) = Go2rtc::start("go2rtc's paths", "") else {
        return;
    };
    let allowed = allowed();
    for path in &allowed {
        // An unknown stream is "stream not found", told from a path that is none by its text.
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
fn go2rtc_takes_no_source_that_runs_a_program_and_none_of_a_module_that_is_off() {
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
        let (status, told) = go2rtc.put(&format!("/api/streams?name=new&src={source}"));
        assert_eq!(status, 400, "{source}: {told}");
    }
    // In its files, too, ffmpeg is all that may be run.
    assert!(
        go2rtc.bytes("/api/frame.jpeg?src=shell").is_empty() || {
            let told = go2rtc.bytes("/api/frame.jpeg?src=shell");
            String::from_utf8_lossy(&told).contains("not in allow_paths")
        }
    );
}

#[test]
fn a_camera_that_ffmpeg_reads_gives_its_picture() {
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
