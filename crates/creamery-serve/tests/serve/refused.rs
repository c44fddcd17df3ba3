//! What is refused or cut off.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use creamery_serve::{Dashboard, ServeError};

use crate::support::{Answer, LONG, Runs, Served, local, wait};

const TOKEN: &str = "0123456789abcdef0123";

fn runs() -> Runs {
    let runs = Runs::new();
    runs.finished("a", "cream", 40.0);
    runs
}

#[test]
fn no_path_leads_out() {
    let runs = Runs::new();
    runs.finished("inner/a", "cream", 40.0);
    runs.finished("outside", "cream", 40.0);
    runs.write("secret.txt", "a secret");
    runs.write("inner/a/notes.txt", "a secret");
    let served = Served::of(Dashboard::bind(&runs.file("inner"), local(), None).unwrap());
    served.wait_for_runs(1);
    let up = [
        "..",
        "%2e%2e",
        "..%2f",
        "%2e%2e%2f",
        "..%5c",
        ".%2e/",
        "%252e%252e%252f",
        "a%2f..%2f..",
        "..%00",
        "%c0%ae%c0%ae",
        "//",
        "/etc",
    ];
    for up in up {
        for path in [
            format!("/api/run/{up}/file/result.json"),
            format!("/api/run/{up}outside/file/result.json"),
            format!("/api/run/{up}%2foutside/file/result.json"),
            format!("/api/run/a/file/{up}secret.txt"),
            format!("/api/run/a/file/{up}%2f{up}%2fsecret.txt"),
            format!("/run/{up}outside"),
            format!("/assets/{up}%2f..%2fCargo.toml"),
            format!("/{up}/outside/result.json"),
            format!("/compare?run={up}%2foutside"),
        ] {
            let answer = served.get(&path);
            let text = answer.text();
            assert!(
                !text.contains("a secret") && !text.contains("1741296"),
                "{path}: {text}"
            );
            assert!(
                [400, 404].contains(&answer.status) || path.starts_with("/compare"),
                "{path}: {}",
                answer.status
            );
        }
    }
    for name in [
        "notes.txt",
        "lock",
        "checkpoint",
        ".index.sqlite",
        "",
        "%2e",
        "result.json%00.txt",
    ] {
        assert_eq!(
            served.get(&format!("/api/run/a/file/{name}")).status,
            404,
            "{name}"
        );
    }
    assert_eq!(served.get("/api/run/a/file/result.json").status, 200);
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let runs = Runs::new();
    runs.finished("inner/a", "cream", 40.0);
    runs.finished("outside", "cream", 77.5);
    symlink(runs.file("outside"), runs.file("inner/linked")).unwrap();
    symlink(
        runs.file("outside/result.json"),
        runs.file("inner/a/board.json"),
    )
    .unwrap();
    std::fs::remove_file(runs.file("inner/a/result.json")).unwrap();
    symlink(
        runs.file("outside/result.json"),
        runs.file("inner/a/result.json"),
    )
    .unwrap();
    let served = Served::of(Dashboard::bind(&runs.file("inner"), local(), None).unwrap());
    served.wait_for_runs(1);
    let page = served.get("/run/a");
    assert!(
        page.status == 200 && !page.text().contains("77.5"),
        "{}",
        page.text()
    );
    for file in ["board.json", "result.json"] {
        assert_eq!(served.get(&format!("/api/run/a/file/{file}")).status, 404);
    }
    // Also where the link was put there after the run was opened.
    std::fs::remove_file(runs.file("inner/a/metrics.jsonl")).unwrap();
    symlink("/etc/passwd", runs.file("inner/a/metrics.jsonl")).unwrap();
    assert_eq!(served.get("/api/run/a/file/metrics.jsonl").status, 404);
}

#[test]
fn a_forged_token_is_refused() {
    let runs = runs();
    let served = runs.serve_with(TOKEN);
    let tried = [
        String::new(),
        "Authorization: Bearer 0123456789abcdef0124\r\n".into(),
        "Authorization: Bearer\r\n".into(),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}0\r\n"),
        format!("Authorization: Bearer {}\r\n", &TOKEN[..19]),
        format!("Cookie: other={TOKEN}\r\n"),
        "Cookie: creamery-token=; creamery-token=x\r\n".into(),
    ];
    for headers in &tried {
        for path in [
            "/",
            "/api/runs",
            "/run/a",
            "/assets/page.js",
            "/api/runs/live",
            "/nothing",
            "/?token=0123456789abcdef0124",
        ] {
            let answer = served.get_with(path, headers);
            assert_eq!(answer.status, 401, "{path} {headers}");
            assert!(!answer.text().contains("run/a"));
        }
    }
    for headers in [
        format!("Authorization: Bearer {TOKEN}\r\n"),
        format!("Cookie: x=1; creamery-token={TOKEN}\r\n"),
    ] {
        assert_eq!(
            served.get_with("/api/runs", &headers).status,
            200,
            "{headers}"
        );
    }
    let welcome = served.get(&format!("/?q=x&token={TOKEN}"));
    assert_eq!(welcome.status, 303);
    let headers = welcome.headers.to_lowercase();
    assert!(
        headers.contains("location: /?q=x\r\n") && headers.contains("httponly; samesite=lax"),
        "{headers}"
    );
    let elsewhere = served.get(&format!("//evil.example/?token={TOKEN}"));
    assert!(
        elsewhere
            .headers
            .to_lowercase()
            .contains("location: /evil.example/\r\n"),
        "{}",
        elsewhere.headers
    );
}

#[test]
fn other_machines_need_a_token() {
    let runs = runs();
    let refused = Dashboard::bind(runs.path(), "0.0.0.0:0".parse().unwrap(), None);
    assert!(matches!(refused, Err(ServeError::Open(_))));
}

#[test]
fn a_port_in_use_is_told() {
    let runs = runs();
    let served = runs.serve();
    let again = Dashboard::bind(runs.path(), served.address, None);
    let Err(error) = again else {
        panic!("the port is taken")
    };
    assert!(
        error
            .to_string()
            .contains(&format!("port {} is in use", served.address.port())),
        "{error}"
    );
}

#[test]
fn pages_of_other_hosts_cannot_ask() {
    let runs = runs();
    let served = runs.serve();
    for host in [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "10.1.2.3",
    ] {
        let answer = served.send(&format!(
            "GET /api/runs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(answer.status, 403, "{host}");
    }
    let answer = served.get("/");
    let headers = answer.headers.to_lowercase();
    for part in [
        "content-security-policy: default-src 'none'",
        "nosniff",
        "same-origin",
        "no-referrer",
    ] {
        assert!(headers.contains(part), "{part}: {headers}");
    }
    assert!(!headers.contains("access-control"));
}

#[test]
fn nothing_can_be_written() {
    let runs = runs();
    let served = runs.serve();
    for method in [
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "FROBNICATE",
    ] {
        for path in [
            "/",
            "/api/runs",
            "/api/run/a",
            "/api/run/a/file/result.json",
        ] {
            let host = served.address;
            let answer = served.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
}

#[test]
fn an_oversized_request_is_refused() {
    let runs = runs();
    let served = runs.serve();
    let long = "x".repeat(100_000);
    let host = served.address;
    for (request, status) in [
        (
            format!("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            &[414, 431][..],
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n"),
            &[431],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n",
                "X: y\r\n".repeat(500)
            ),
            &[431],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n{long}"
            ),
            &[413],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n{long}\r\n0\r\n\r\n"
            ),
            &[413],
        ),
        ("\x16\x03\x01\x02\x00\x01 hello\r\n\r\n".into(), &[400]),
    ] {
        let answer = served.send(&request);
        assert!(
            status.contains(&answer.status),
            "{:.80}: {} not {status:?}",
            request,
            answer.status
        );
    }
    assert_eq!(served.get("/").status, 200);
}

#[test]
fn slow_clients_are_cut_off() {
    let runs = runs();
    // Far more than the buffers of a connection hold.
    runs.write("a/metrics.jsonl", vec![b'\n'; 64 << 20]);
    let patience = Duration::from_millis(400);
    let served = Served::of(
        Dashboard::bind(runs.path(), local(), None)
            .unwrap()
            .patience(patience, patience),
    );
    served.wait_for_runs(1);

    // One whose request does not end.
    let mut slow = served.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(begun.elapsed() < LONG / 2, "it is waited for");

    // One that sends a letter now and then.
    let mut drops = served.connect();
    let begun = Instant::now();
    while drops.write_all(b"G").is_ok() {
        assert!(begun.elapsed() < LONG, "it is waited for");
        std::thread::sleep(Duration::from_millis(100));
    }

    // One that takes nothing of a large answer.
    let mut lazy = served.connect();
    write!(
        lazy,
        "GET /api/run/a/file/metrics.jsonl HTTP/1.1\r\nHost: {}\r\n\r\n",
        served.address
    )
    .unwrap();
    std::thread::sleep(3 * patience);
    lazy.shutdown(Shutdown::Write).unwrap();
    let mut taken = Vec::new();
    let _ = lazy.read_to_end(&mut taken);
    assert!(taken.len() < 60 << 20, "{} bytes", taken.len());
    assert_eq!(served.get("/").status, 200);
}

#[test]
fn one_connection_too_many_is_closed() {
    let runs = runs();
    let served = runs.serve();
    let many: Vec<_> = (0..1024).map(|_| served.connect()).collect();
    wait(|| {
        let mut extra = served.connect();
        let asked = write!(
            extra,
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            served.address
        );
        (asked.is_err() || Answer::read(extra).status == 0).then_some(())
    });
    drop(many);
    wait(|| (served.get("/").status == 200).then_some(()));
}
