use super::*;

/// Runs `client` against an origin of this capacity.
fn with_origin<F, R>(capacity: u32, client: impl FnOnce(SocketAddr, Arc<OriginCounters>) -> F) -> R
where
    F: Future<Output = R>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let phase = Arc::new(CurrentPhase::default());
    let origin = Origin::bind(&Site::campaign(), capacity, AddressPlan::loopback(), phase).unwrap();
    let (address, counters) = (origin.address().unwrap(), origin.counters());
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let serving = tokio::task::spawn_local(origin.serve());
        let result = client(address, counters).await;
        serving.abort();
        result
    })
}

/// Sends `text` and returns everything up to the end of the connection.
async fn talk(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

#[test]
fn pages_set_a_cookie_once_and_assets_never() {
    with_origin(1_000, |address, _| async move {
        assert!(talk(address, &get("/", "")).await.contains("\r\nSet-Cookie: sid="));
        assert!(!talk(address, &get("/", "Cookie: sid=1\r\n")).await.contains("Set-Cookie"));
        assert!(!talk(address, &get("/assets/site.css", "")).await.contains("Set-Cookie"));
    });
}

#[test]
fn a_copy_that_is_still_good_is_not_sent_again() {
    with_origin(1_000, |address, _| async move {
        let first = talk(address, &get("/assets/logo.svg", "")).await;
        let etag = first.split("ETag: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let again = get("/assets/logo.svg", &format!("If-None-Match: {etag}\r\n"));
        let again = talk(address, &again).await;
        assert!(again.starts_with("HTTP/1.1 304") && again.ends_with("\r\n\r\n"), "{again}");
    });
}

#[test]
fn bad_requests_get_a_status_and_do_not_harm_the_next_client() {
    with_origin(1_000, |address, _| async move {
        for (request, status) in [
            ("nonsense\r\n\r\n".to_owned(), "400"),
            (get("/no-such-page", ""), "404"),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "405"),
            (get("/", "Content-Length: 5\r\n"), "413"),
            (get("/", "Transfer-Encoding: chunked\r\n"), "411"),
            (get("/", &format!("X: {}\r\n", "y".repeat(20_000))), "431"),
            (get("/search?q=%3C<b>", ""), "200"),
        ] {
            let answer = talk(address, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:.80}");
            assert!(!answer.contains("<b>"));
        }
    });
}

#[test]
fn one_connection_carries_many_requests_even_sent_at_once() {
    with_origin(1_000, |address, _| async move {
        let two = format!("GET /about HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/assets/site.js", ""));
        let answer = talk(address, &two).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    });
}

#[test]
fn senders_are_told_apart_by_the_last_forwarded_address() {
    with_origin(1_000, |address, counters| async move {
        for forwarded in ["127.64.1.1", "127.16.0.5, 127.65.1.1", "127.20.1.1", "192.0.2.1"] {
            talk(address, &get("/", &format!("X-Forwarded-For: {forwarded}\r\n"))).await;
        }
        assert_eq!(counters.reached_total(Label::Attack), 2);
        assert_eq!(counters.reached(Label::Honest, Phase::Before), 1);
        assert_eq!(counters.strangers.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_capacity_exceeded_makes_everybody_wait_and_then_turns_away() {
    with_origin(50, |address, counters| async move {
        let begun = Instant::now();
        let clients: Vec<_> = (0..60)
            .map(|_| tokio::task::spawn_local(async move { talk(address, &get("/", "")).await }))
            .collect();
        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.unwrap());
        }
        let served = answers.iter().filter(|a| a.starts_with("HTTP/1.1 200")).count();
        // Half a second of backlog at fifty a second, and what is served meanwhile.
        assert!((24..=40).contains(&served), "{served}");
        assert_eq!(counters.turned_away.load(Ordering::Relaxed) as usize, 60 - served);
        assert!(begun.elapsed() >= Duration::from_millis(400));
        assert!((counters.work_units() - served as f64).abs() < 0.01);
    });
}
