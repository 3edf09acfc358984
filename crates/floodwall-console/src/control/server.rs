//! The answering side: one thread that accepts, one short-lived thread per connection.
//!
//! The socket appears under its name only once it is restricted, by renaming: nobody can connect
//! to a half-open door, and a left-over socket is replaced without a gap. A lock beside it decides
//! between two processes that start at once; the kernel frees it however the holder ends.

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{
    CONNECTIONS_MAX, ControlError, EXCHANGE_TIME_MAX, ErrorKind, REQUEST_BYTES_MAX, Request,
    Response, read_line, write_all,
};

/// Owner and group may ask, nobody else.
const SOCKET_MODE: u32 = 0o660;
/// `sun_path` has 108 bytes with its end mark (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Appended while the socket is being made.
const UNFINISHED: &str = ".new";
/// Appended for the lock.
const LOCK: &str = ".lock";
/// After accepting failed (no descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Makes the answers. Called from several threads at once.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request, within [`EXCHANGE_TIME_MAX`].
    fn handle(&self, request: Request) -> Response;
}

impl<F: Fn(Request) -> Response + Send + Sync + 'static> Handler for F {
    fn handle(&self, request: Request) -> Response {
        self(request)
    }
}

/// A running control socket. Dropping it stops it and removes the socket.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    /// Device and inode of our socket, so that a successor's is not removed.
    identity: (u64, u64),
    listener: UnixListener,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Held as long as we live.
    _lock: File,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    serving: AtomicUsize,
    turned_away: AtomicU64,
}

impl ControlServer {
    /// Listens at `path`, making its directory (mode 0750) where missing.
    pub fn start(path: &Path, handler: impl Handler) -> Result<ControlServer, ControlError> {
        let unfinished = beside(path, UNFINISHED);
        if unfinished.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let max = SOCKET_PATH_BYTES_MAX - UNFINISHED.len();
            return Err(ControlError::PathTooLong { path: path.to_owned(), max });
        }
        let io = || ControlError::io(path);
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o750).create(directory).map_err(io())?;
        }
        let lock = take_lock(path)?;
        check_free(path)?;
        remove_left_over(&unfinished)?;
        let listener = UnixListener::bind(&unfinished).map_err(io())?;
        let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
        std::fs::set_permissions(&unfinished, mode).map_err(io())?;
        std::fs::rename(&unfinished, path).map_err(io())?;
        let made = std::fs::symlink_metadata(path).map_err(io())?;

        let shared = Arc::new(Shared::default());
        let accepting = listener.try_clone().map_err(io())?;
        let thread = std::thread::Builder::new()
            .name("floodwall-control".into())
            .spawn({
                let shared = Arc::clone(&shared);
                let handler: Arc<dyn Handler> = Arc::new(handler);
                move || accept(&accepting, &shared, &handler)
            })
            .map_err(io())?;
        let identity = (made.dev(), made.ino());
        Ok(ControlServer {
            path: path.to_owned(),
            identity,
            listener,
            shared,
            thread: Some(thread),
            _lock: lock,
        })
    }

    /// Connections turned away because [`CONNECTIONS_MAX`] were being served.
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }

    /// Stops accepting and removes the socket. Answers being made are finished by their threads.
    pub fn stop(self) {}
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "the control socket could not be removed");
        }
        self.shared.stopping.store(true, Ordering::Release);
        // Shutting a listening socket down ends the `accept` that waits on it (net/unix/af_unix.c,
        // `unix_shutdown`); the standard library has `shutdown` on streams only.
        let woken = self
            .listener
            .try_clone()
            .map(|listener| UnixStream::from(OwnedFd::from(listener)))
            .and_then(|socket| socket.shutdown(std::net::Shutdown::Both));
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            // A panic of the accepting thread has been printed where it happened.
            let _ended = thread.join();
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn take_lock(path: &Path) -> Result<File, ControlError> {
    let lock_path = beside(path, LOCK);
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(ControlError::io(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(ControlError::AlreadyRunning(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(ControlError::Io { path: lock_path, source }),
    }
}

/// The lock is ours, so a socket at `path` is left over, unless somebody else's program answers.
fn check_free(path: &Path) -> Result<(), ControlError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(ControlError::NotASocket(path.to_owned()))
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            Err(ControlError::AlreadyRunning(path.to_owned()))
        }
        _ => Ok(()),
    }
}

fn remove_left_over(unfinished: &Path) -> Result<(), ControlError> {
    match std::fs::symlink_metadata(unfinished) {
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(unfinished).map_err(ControlError::io(unfinished))
        }
        Ok(_) => Err(ControlError::NotASocket(unfinished.to_owned())),
        Err(_) => Ok(()),
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>, handler: &Arc<dyn Handler>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        match accepted {
            Ok((stream, _)) => dispatch(stream, shared, handler),
            Err(_) => std::thread::sleep(ACCEPT_PAUSE),
        }
    }
}

fn dispatch(mut stream: UnixStream, shared: &Arc<Shared>, handler: &Arc<dyn Handler>) {
    let place = Place::take(shared);
    let deadline = Instant::now() + EXCHANGE_TIME_MAX;
    let Some(place) = place else {
        shared.turned_away.fetch_add(1, Ordering::Relaxed);
        // A fresh socket's buffer takes these few bytes at once.
        answer(&mut stream, &error(ErrorKind::Busy, "too many connections; try again"), deadline);
        return;
    };
    let handler = Arc::clone(handler);
    // Without a thread the connection is closed, and the client says that the answer was empty.
    let _started = std::thread::Builder::new().name("floodwall-answer".into()).spawn(move || {
        serve(stream, handler.as_ref(), deadline);
        drop(place);
    });
}

/// One of the [`CONNECTIONS_MAX`] places, given back when dropped, also by a panic.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Place> {
        let taken = shared.serving.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(shared));
        (taken < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(mut stream: UnixStream, handler: &dyn Handler, deadline: Instant) {
    let response = match read_line(&mut stream, REQUEST_BYTES_MAX, deadline) {
        Ok(Some(line)) => match serde_json::from_slice::<Request>(&line) {
            Ok(request) => handler.handle(request),
            Err(why) => error(ErrorKind::BadRequest, &format!("not a request: {why}")),
        },
        Ok(None) => error(ErrorKind::BadRequest, "the request is too long"),
        // Too slow, or gone: nobody is there to be told.
        Err(_) => return,
    };
    answer(&mut stream, &response, deadline);
}

fn answer(stream: &mut UnixStream, response: &Response, deadline: Instant) {
    let mut line = serde_json::to_vec(response).unwrap_or_else(|why| {
        let told = error(ErrorKind::Internal, &format!("the answer cannot be written: {why}"));
        serde_json::to_vec(&told).unwrap_or_default()
    });
    line.push(b'\n');
    // A client that does not read its answer loses it.
    let _lost = write_all(stream, &line, deadline);
}

fn error(kind: ErrorKind, message: &str) -> Response {
    Response::Error { kind, message: message.into() }
}
