use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

fn socket() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/control.sock");
    (dir, path)
}

/// Answers every incident number below 10 with an incident of that number.
fn echo(request: Request) -> Response {
    match request {
        Request::Incident { id } if id < 10 => {
            Response::Incident { incident: Box::new(Incident { id, ..Incident::default() }) }
        }
        Request::Incidents { limit } => {
            Response::Incidents { incidents: vec![], unreadable: vec![limit as u64] }
        }
        _ => Response::Error { kind: ErrorKind::NotFound, message: "no such incident".into() },
    }
}

fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    // The server may answer and close before it has read everything.
    let _sent = stream.write_all(bytes);
    let _ended = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn what_is_asked_is_answered() {
    let (_dir, path) = socket();
    let _server = ControlServer::start(&path, echo).unwrap();
    for id in 0..10 {
        let expected =
            Response::Incident { incident: Box::new(Incident { id, ..Incident::default() }) };
        assert_eq!(ask(&path, &Request::Incident { id }).unwrap(), expected);
    }
    let missing = ask(&path, &Request::Incident { id: 11 }).unwrap();
    assert!(matches!(missing, Response::Error { kind: ErrorKind::NotFound, .. }));
}

#[test]
fn the_protocol_is_these_lines() {
    let (_dir, path) = socket();
    let _server = ControlServer::start(&path, echo).unwrap();
    assert_eq!(
        raw(&path, b"{\"request\":\"incidents\",\"limit\":5}\n"),
        "{\"response\":\"incidents\",\"incidents\":[],\"unreadable\":[5]}\n"
    );
    assert_eq!(
        raw(&path, b"{\"request\":\"incident\",\"id\":77}"),
        "{\"response\":\"error\",\"kind\":\"not_found\",\"message\":\"no such incident\"}\n"
    );
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_answered() {
    let (_dir, path) = socket();
    let _server = ControlServer::start(&path, echo).unwrap();
    let cases: [&[u8]; 7] = [
        b"\n",
        b"hello\n",
        b"{\"request\":\"reboot\"}\n",
        b"{\"request\":\"incident\"}\n",
        b"{\"request\":\"incident\",\"id\":1,\"force\":true}\n",
        b"\xff\xfe\n",
        &[b'['; 60_000],
    ];
    for case in cases {
        let answer = raw(&path, case);
        assert!(answer.contains("bad_request"), "{answer}");
        assert!(answer.len() < 1_000);
    }
    assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let (_dir, path) = socket();
    let _server = ControlServer::start(&path, echo).unwrap();
    let answer = raw(&path, &vec![b' '; REQUEST_BYTES_MAX + 1]);
    assert!(answer.is_empty() || answer.contains("too long"), "{answer}");
    assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
}

#[test]
fn one_connection_too_many_is_told_so_and_counted() {
    let (_dir, path) = socket();
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (arrived, arrivals) = mpsc::channel::<()>();
    let slow = move |request| {
        arrived.send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        echo(request)
    };
    let server = ControlServer::start(&path, slow).unwrap();
    let asking: Vec<_> = (0..CONNECTIONS_MAX)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || ask(&path, &Request::Incident { id: 1 }).unwrap())
        })
        .collect();
    for _ in 0..CONNECTIONS_MAX {
        arrivals.recv().unwrap();
    }
    let refused = ask(&path, &Request::Status).unwrap();
    assert!(matches!(refused, Response::Error { kind: ErrorKind::Busy, .. }), "{refused:?}");
    assert_eq!(server.turned_away(), 1);
    for _ in 0..=CONNECTIONS_MAX {
        release.send(()).unwrap();
    }
    for asked in asking {
        assert!(matches!(asked.join().unwrap(), Response::Incident { .. }));
    }
    // All places are free again.
    let again = ask(&path, &Request::Incident { id: 2 });
    assert!(matches!(again, Ok(Response::Incident { .. })));
}

#[test]
fn a_handler_that_panics_gives_its_place_back() {
    let (_dir, path) = socket();
    let fragile = |request: Request| match request {
        Request::Status => panic!("a mistake in the handler, on purpose"),
        other => echo(other),
    };
    let _server = ControlServer::start(&path, fragile).unwrap();
    for _ in 0..CONNECTIONS_MAX + 1 {
        let error = ask(&path, &Request::Status).unwrap_err();
        assert!(matches!(error, ControlError::BadAnswer { .. }), "{error}");
    }
    assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
}

#[test]
fn a_trickling_line_is_cut_off_at_the_deadline() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let trickle = std::thread::spawn(move || {
        let mut theirs = theirs;
        while theirs.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let started = Instant::now();
    let read = read_line(&mut ours, 1_000_000, started + Duration::from_millis(80));
    assert!(read.is_err());
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(ours);
    trickle.join().unwrap();
}

#[test]
fn only_owner_and_group_may_ask() {
    let (_dir, path) = socket();
    let _server = ControlServer::start(&path, echo).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().unwrap()), 0o750);
}

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let (_dir, path) = socket();
    let _first = ControlServer::start(&path, echo).unwrap();
    let error = ControlServer::start(&path, echo).unwrap_err();
    assert!(error.to_string().contains("already running"), "{error}");
    assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
}

#[test]
fn a_socket_left_by_a_dead_process_is_replaced() {
    let (_dir, path) = socket();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let error = ask(&path, &Request::Status).unwrap_err();
    assert!(matches!(error, ControlError::Ended(_)), "{error}");
    let _server = ControlServer::start(&path, echo).unwrap();
    assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
}

#[test]
fn a_live_socket_of_another_program_is_left_alone() {
    let (_dir, path) = socket();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    let error = ControlServer::start(&path, echo).unwrap_err();
    assert!(matches!(error, ControlError::AlreadyRunning(_)), "{error}");
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let (_dir, path) = socket();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "precious").unwrap();
    for error in
        [ControlServer::start(&path, echo).unwrap_err(), ask(&path, &Request::Status).unwrap_err()]
    {
        assert!(matches!(error, ControlError::NotASocket(_)), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn stopping_removes_the_socket_and_the_next_one_can_start() {
    let (_dir, path) = socket();
    for _ in 0..3 {
        let server = ControlServer::start(&path, echo).unwrap();
        assert!(ask(&path, &Request::Incident { id: 1 }).is_ok());
        server.stop();
        assert!(!path.exists());
        let error = ask(&path, &Request::Status).unwrap_err();
        assert!(error.to_string().contains("start it with `floodwall run`"), "{error}");
    }
}

#[test]
fn stopping_leaves_the_socket_of_a_successor() {
    let (_dir, path) = socket();
    let server = ControlServer::start(&path, echo).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    server.stop();
    assert!(path.exists());
}

#[test]
fn a_path_too_long_for_a_socket_is_said_with_the_limit() {
    let (_dir, path) = socket();
    let long = path.with_file_name("x".repeat(120));
    let error = ControlServer::start(&long, echo).unwrap_err();
    assert!(error.to_string().contains("longer than the 103 bytes"), "{error}");
}

#[test]
fn the_group_is_named() {
    let groups = "root:x:0:\nbroken\nfloodwall:x:998:ann,ben\n";
    assert_eq!(client::group_name(groups, 998), Some("floodwall"));
    assert_eq!(client::group_name(groups, 5), None);
}

#[test]
fn garbage_instead_of_an_answer_is_no_panic() {
    let (_dir, path) = socket();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        for answer in [&b"\n"[..], b"{}\n", b"\xff\n", b"{\"response\":\"later\"}\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let _read = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        }
    });
    for _ in 0..4 {
        let error = ask(&path, &Request::Status).unwrap_err();
        assert!(error.to_string().contains("another version"), "{error}");
    }
    answering.join().unwrap();
}
