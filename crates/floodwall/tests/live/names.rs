//! Name resolution over UDP: a name server on the far host, and the near host that asks it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const NAME_SERVER_PORT: u16 = 53;
/// Every fourth answer is so large that it comes in pieces.
const LARGE_BYTES: usize = 3_000;
/// RFC 1035 § 4.1.1.
const HEADER_BYTES: usize = 12;
/// One question at most so often.
const EVERY: Duration = Duration::from_millis(20);
/// A question unanswered for so long has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// One question.
#[derive(Copy, Clone, Debug)]
pub struct Question {
    pub at: Instant,
    pub took: Duration,
    pub answered: bool,
    /// Whether its answer comes in pieces.
    pub large: bool,
}

/// Answers until told to stop; call it on a thread of the far host.
pub fn serve(address: IpAddr, stop: &Arc<AtomicBool>) {
    let socket = UdpSocket::bind((address, NAME_SERVER_PORT)).expect("port 53");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a deadline");
    let mut buffer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let Ok((bytes, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(question) = buffer.get(..bytes).filter(|q| q.len() > HEADER_BYTES) else {
            continue;
        };
        let mut answer = question.to_vec();
        // A response, recursion available (RFC 1035 § 4.1.1).
        answer[2] |= 0x80;
        answer[3] |= 0x80;
        let length = if is_large(question) { LARGE_BYTES } else { 120 };
        answer.resize(length, 0x41);
        // A lost answer is the asker's to notice.
        let _ = socket.send_to(&answer, from);
    }
}

/// By the identification that the asker drew.
fn is_large(message: &[u8]) -> bool {
    message.get(1).is_some_and(|low| low % 4 == 0)
}

/// Asks until told to stop, from a fresh port each time, as resolvers do (RFC 5452 § 9.2).
pub fn resolve(server: IpAddr, stop: &Arc<AtomicBool>) -> Vec<Question> {
    let server = SocketAddr::new(server, NAME_SERVER_PORT);
    let any: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let mut questions = Vec::new();
    let mut id = 0u16;
    while !stop.load(Ordering::Relaxed) {
        id = id.wrapping_add(1);
        let mut message = vec![0; HEADER_BYTES];
        message[..2].copy_from_slice(&id.to_be_bytes());
        message[2] = 1;
        message[5] = 1;
        message.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
        let socket = UdpSocket::bind(any).expect("a port");
        let at = Instant::now();
        let answered = ask(&socket, server, &message);
        let large = is_large(&message);
        questions.push(Question { at, took: at.elapsed(), answered, large });
        std::thread::sleep(EVERY.saturating_sub(at.elapsed()));
    }
    questions
}

/// Whether the answer to `message` came, whole and from where it was asked.
fn ask(socket: &UdpSocket, server: SocketAddr, message: &[u8]) -> bool {
    if socket.send_to(message, server).is_err() {
        return false;
    }
    let began = Instant::now();
    let expected = if is_large(message) { LARGE_BYTES } else { 120 };
    let mut buffer = [0; LARGE_BYTES + 1];
    loop {
        let left = PATIENCE.saturating_sub(began.elapsed());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        let Ok((bytes, from)) = socket.recv_from(&mut buffer) else { return false };
        if from == server && bytes == expected && buffer[..2] == message[..2] {
            return true;
        }
    }
}
