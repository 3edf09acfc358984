//! A small web server: every request is answered with the same page.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

/// Bytes of the page.
pub const PAGE_BYTES: usize = 4_000;

/// Starts it on a free port of `address`. It ends with the process.
pub fn start(address: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let at = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    at
}

fn answer(stream: TcpStream) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {PAGE_BYTES}\r\n\r\n"
    )
    .into_bytes();
    page.resize(page.len() + PAGE_BYTES, b'.');
    loop {
        let mut close = false;
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => close |= line.eq_ignore_ascii_case("connection: close\r\n"),
            }
        }
        if writer.write_all(&page).is_err() || close {
            return;
        }
    }
}
