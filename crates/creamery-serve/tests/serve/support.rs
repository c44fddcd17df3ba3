//! Folders of runs, a dashboard, and a client that sends what it is told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use creamery_serve::{Dashboard, Token};
use serde_json::Value;

/// The longest that anything here is waited for.
pub const LONG: Duration = Duration::from_secs(20);

/// A folder of runs.
pub struct Runs(tempfile::TempDir);

impl Runs {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A finished search.
    pub fn finished(&self, id: &str, method: &str, top1: f64) {
        self.write(
            &format!("{id}/run.toml"),
            format!("method = \"{method}\"\nseed = 3\nspace = \"tiny-32\"\n"),
        );
        self.write(&format!("{id}/metrics.jsonl"), started() + &steps(0..20));
        let result = format!(
            r#"{{"kind":"search","method":"{method}","selector":"board","space":"tiny-32","dataset":"fashion-mini","seed":3,
            "architecture":{{"space":"tiny-32","resolution":28,"choices":[[0],[3,3],[3]]}},"macs":1741296,"params":133514,
            "flops_thop":1882144,"validation":{{"top1":{top1},"top5":90.0,"loss":1.0,"images":100}},"weights":"model.safetensors",
            "timing":{{"seconds":61.5,"images_per_second":1234.0}}}}"#
        );
        self.write(&format!("{id}/result.json"), result);
        self.write(&format!("{id}/lock"), "");
    }

    /// A run that was stopped.
    pub fn stopped(&self, id: &str) {
        self.write(&format!("{id}/run.toml"), "method = \"spos\"\n");
        self.write(&format!("{id}/metrics.jsonl"), started() + &steps(0..5));
        self.write(&format!("{id}/lock"), "");
    }

    pub fn serve(&self) -> Served {
        Served::of(Dashboard::bind(self.path(), local(), None).unwrap())
    }

    pub fn serve_with(&self, token: &str) -> Served {
        Served::of(Dashboard::bind(self.path(), local(), Some(Token::new(token).unwrap())).unwrap())
    }
}

pub fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub fn started() -> String {
    let line = r#"{"event":"started","task":"search","epochs":4,"steps_per_epoch":10,"batch":50,"step":0,"images":{"train":500,"validation":100,"test":10}}"#;
    format!("{line}\n")
}

pub fn steps(steps: std::ops::Range<u64>) -> String {
    let line = |step: u64| {
        format!(
            "{{\"event\":\"step\",\"step\":{step},\"epoch\":{},\"loss\":{},\"top1\":50.0,\"lr\":0.05,\"grad_norm\":1.0,\"macs\":5000000}}\n",
            step / 10,
            2.0 - step as f64 / 100.0,
        )
    };
    steps.map(line).collect()
}

/// A dashboard that runs until it is dropped.
pub struct Served {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub fn of(dashboard: Dashboard) -> Self {
        let address = dashboard.address();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || dashboard.run(&flag).unwrap());
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends a request as it stands.
    pub fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        // One that is refused halfway may be cut off.
        let _ = stream.write_all(request.as_bytes());
        Answer::read(stream)
    }

    pub fn get_with(&self, path: &str, headers: &str) -> Answer {
        let host = self.address;
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits until the list has so many runs.
    pub fn wait_for_runs(&self, count: usize) -> Value {
        wait(|| {
            let list = self.json("/api/runs");
            (list["of"] == count && list["reading"].is_null()).then_some(list)
        })
    }

    /// Opens a stream of server-sent events.
    pub fn events(&self, path: &str) -> Events {
        let mut stream = self.connect();
        let host = self.address;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        assert_eq!(status, 200);
        assert!(headers.contains("text/event-stream"), "{headers}");
        Events(reader)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Status 0 if the connection was closed without an answer.
    pub fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        let mut body = Vec::new();
        let _ = reader.read_to_end(&mut body);
        if headers
            .to_lowercase()
            .contains("transfer-encoding: chunked")
        {
            body = whole(&body);
        }
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn head(reader: &mut impl BufRead) -> (u16, String) {
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        headers.push_str(&line);
    }
    let status = headers
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), headers)
}

fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 4 + size..];
    }
    body
}

/// Server-sent events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// The next event's value.
    pub fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.0.read_line(&mut line).unwrap() > 0,
                "the stream has ended"
            );
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

/// Asks until there is an answer.
pub fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "it did not come");
        std::thread::sleep(Duration::from_millis(30));
    }
}
