//! Folders of good and bad files: `tests/config/good` must be accepted, and each file of
//! `tests/config/bad` must bring exactly the text beside it (`FLOODWALL_BLESS=1` writes it anew).

use std::path::PathBuf;

use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn toml_files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

fn parse(text: &str) -> Result<Config, Mistakes> {
    Config::parse("floodwall.toml", Path::new("/etc/floodwall"), text)
}

/// The messages for `text`, without their place.
fn messages(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn every_good_file_is_accepted() {
    let files = toml_files("good");
    assert!(files.len() >= 5, "the folder of good files is nearly empty");
    for path in files {
        let loaded = Config::load(&path);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}

#[test]
fn every_bad_file_brings_its_messages() {
    let files = toml_files("bad");
    assert!(files.len() >= 20, "the folder of bad files is nearly empty");
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let directory = path.parent().unwrap();
        let text = mistake::read_text(&path, name);
        let parsed = text.and_then(|text| Config::parse(name, directory, &text));
        let shown = parsed.expect_err(name).to_string();
        // The folder is elsewhere on every machine.
        let shown = shown.replace(&format!("{}/", directory.display()), "") + "\n";
        let expected = path.with_extension("expected");
        if std::env::var_os("FLOODWALL_BLESS").is_some() {
            std::fs::write(&expected, &shown).unwrap();
        }
        assert_eq!(shown, std::fs::read_to_string(&expected).unwrap_or_default(), "{name}");
    }
}

#[test]
fn the_smallest_file_is_two_lines() {
    let config =
        parse("[site.\"campaign.example\"]\norigin = \"http://127.0.0.1:3000\"\n").unwrap();
    assert_eq!(config.mode, Mode::Shadow);
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(config.sites[0].names, ["campaign.example"]);
    assert_eq!(config.sites[0].origin, OriginConfig { host: "127.0.0.1".into(), port: 3000 });
    assert_eq!(config.state_dir, crate::paths::state_dir_default());
    assert_eq!(config.control_socket, crate::paths::control_socket_default());
    assert_eq!(config.limits, LimitsConfig::default());
}

#[test]
fn the_whole_file_is_read() {
    let config = Config::load(&folder("good").join("whole.toml")).unwrap();
    assert_eq!(config.mode, Mode::Protect);
    assert_eq!(config.listen, ["0.0.0.0:80".parse().unwrap(), "[::]:80".parse().unwrap()]);
    assert_eq!(config.listen_tls, ["0.0.0.0:443".parse().unwrap()]);
    assert_eq!(config.interfaces, ["eth0"]);
    assert_eq!(config.operators, ["198.51.100.0/24".parse().unwrap()]);
    assert_eq!(config.trusted_proxies, ["2001:db8::7".parse().unwrap()]);
    assert_eq!(config.sites.len(), 3);
    let first = &config.sites[0];
    assert_eq!(first.names, ["campaign.example", "www.campaign.example", "*.shop.example"]);
    let certificate = first.certificate.as_ref().unwrap();
    assert_eq!(certificate.chain, folder("good").join("pem/fullchain.pem"));
    assert_eq!(config.sites[1].origin, OriginConfig { host: "::1".into(), port: 8001 });
    assert_eq!(config.sites[2].names, Vec::<String>::new(), "`*` is every other host");
    assert_eq!(config.kernel.allow.len(), 2);
    assert_eq!(config.kernel.udp_services, [443, 51_820]);
    assert_eq!(config.kernel.source_rate, Some(20_000));
    assert_eq!(config.kernel.source_connection_rate, Some(500));
    assert!(!config.kernel.sanity);
    assert_eq!(config.allowed().len(), 4, "operators and proxies are among them");
    assert_eq!(config.limits.body_bytes_max, Some(10_485_760));
    assert_eq!(config.limits.head_ms, Some(10_000));
    assert_eq!(config.limits.uri_bytes_max, None);
}

#[test]
fn events_come_from_the_file_and_its_calendar() {
    let config = Config::load(&folder("good").join("events.toml")).unwrap();
    let names: Vec<&str> = config.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["Results night", "Debate", "Weekly talk"]);
    let night = &config.events[0];
    assert_eq!((night.from_ms, night.until_ms), (1_795_539_600_000, 1_795_568_400_000));
    assert_eq!(night.expected_factor, Some(20));
    let talk = &config.events[2];
    assert!(talk.repeat.is_some() && talk.paths.len() == 2, "{talk:?}");
}

#[test]
fn as_many_events_as_may_be_declared() {
    let site = "[site.\"a.example\"]\norigin = \"http://h\"\n";
    let event = "[[event]]\nname = \"x\"\nfrom = 2026-11-24T18:00:00Z\n\
                 until = 2026-11-24T19:00:00Z\npaths = [\"/x\"]\n";
    let most = floodwall_model::event::EVENTS_MAX;
    assert_eq!(parse(&(site.to_owned() + &event.repeat(most))).unwrap().events.len(), most);
    let shown = messages(&(site.to_owned() + &event.repeat(most + 1)));
    assert!(shown.contains("257 events are declared; at most 256"), "{shown}");
}

#[test]
fn the_default_listener_keeps_out_of_the_origins_way() {
    let port =
        |origin: &str| Config::for_origin(origin, &[], &[]).map(|config| config.listen[0].port());
    assert_eq!(port("http://127.0.0.1:3000"), Ok(8080));
    assert_eq!(port("http://127.0.0.1:8080"), Ok(8081));
    assert_eq!(port("http://localhost:8080"), Ok(8081));
    assert_eq!(port("http://[::1]:8080"), Ok(8080), "the other address family");
    assert_eq!(port("http://192.0.2.7:8080"), Ok(8080), "another host");
    let sites = "[site.\"a.example\"]\norigin = \"http://127.0.0.1:8080\"\n\
                 [site.\"b.example\"]\norigin = \"http://127.0.0.1:8081\"\n";
    assert_eq!(parse(sites).unwrap().listen[0].port(), 8082);
}

#[test]
fn one_interface_or_several() {
    let site = "[site.\"a.example\"]\norigin = \"http://127.0.0.1:3000\"\n";
    for (text, expected) in [
        ("", Ok(vec![])),
        ("interface = \"eth0\"\n", Ok(vec!["eth0"])),
        ("[kernel]\ninterfaces = [\"eth0\"]\n", Ok(vec!["eth0"])),
        ("[kernel]\ninterfaces = [\"eth0\", \"eth1\"]\n", Ok(vec!["eth0", "eth1"])),
        ("interface = \"eth0\"\n[kernel]\ninterfaces = [\"eth1\"]\n", Err("both given")),
        ("[kernel]\ninterfaces = [\"eth0\", \"eth0\"]\n", Err("`eth0` is given twice")),
        ("[kernel]\ninterfaces = [\"a/b\"]\n", Err("not a name of an interface")),
        (
            "[kernel]\ninterfaces = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]\n",
            Err("9 are given; at most 8"),
        ),
    ] {
        match (parse(&format!("{text}{site}")), expected) {
            (Ok(config), Ok(interfaces)) => assert_eq!(config.interfaces, interfaces, "{text}"),
            (Err(mistakes), Err(why)) => {
                assert!(mistakes.to_string().contains(why), "{text}: {mistakes}");
            }
            (found, expected) => panic!("{text}: {found:?} and not {expected:?}"),
        }
    }
    let twice = ["eth0".to_owned(), "eth0".to_owned()];
    let error = Config::checked_interfaces(&twice).unwrap_err().to_string();
    assert!(error.contains("--interface: `eth0` is given twice"), "{error}");
}

#[test]
fn a_command_line_is_checked_like_a_file() {
    let listen = ["127.0.0.1:8081".to_owned(), "[::1]:8081".to_owned()];
    let config = Config::for_origin("http://127.0.0.1:8080", &listen, &["lo".into()]).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.interfaces, ["lo"]);
    assert_eq!(config.sites[0].names, Vec::<String>::new());

    let listen = ["8081".to_owned(), "127.0.0.1:1".to_owned(), "127.0.0.1:1".to_owned()];
    let wrong = Config::for_origin("127.0.0.1:8080", &listen, &["eth0:1".into()]).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "\
--origin: `127.0.0.1:8080` has no scheme; it must be http://host or http://host:port
--listen: `8081` is not an address with a port, such as 0.0.0.0:80 or [::]:443
--listen: `127.0.0.1:1` is given twice
--interface: `eth0:1` is not a name of an interface, such as eth0
4 mistakes in the command line"
    );
    let own = Config::for_origin("http://127.0.0.1:80", &["0.0.0.0:80".into()], &[]).unwrap_err();
    assert!(own.to_string().starts_with("--origin: port 80 of this host"), "{own}");
}

#[test]
fn origins_are_http_and_a_place() {
    for (text, host, port) in [
        ("http://127.0.0.1", "127.0.0.1", 80),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080),
        ("HTTP://Backend_1.internal:1", "backend_1.internal", 1),
        ("http://[2001:db8::1]:65535", "2001:db8::1", 65_535),
        ("http://[::1]", "::1", 80),
    ] {
        let expected = OriginConfig { host: host.into(), port };
        assert_eq!(site::parse_origin(text), Ok(expected), "{text}");
    }
    for (text, words) in [
        ("https://127.0.0.1", "not supported yet"),
        ("127.0.0.1:80", "no scheme"),
        ("ftp://127.0.0.1", "other than http"),
        ("http://", "no right host"),
        ("http://a b", "no right host"),
        ("http://*.example", "no right host"),
        ("http://host/path", "has a path"),
        ("http://host?x", "has a path"),
        ("http://me@host", "a user name"),
        ("http://host:0", "no port"),
        ("http://host:65536", "no port"),
        ("http://host:", "no port"),
        ("http://::1:80", "no port"),
        ("http://[host]:80", "without an IPv6 address"),
        ("http://[::1]80", "something odd"),
    ] {
        let error = site::parse_origin(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn names_are_hosts() {
    for (text, expected) in [
        ("Campaign.Example", "campaign.example"),
        ("*.example.org", "*.example.org"),
        ("localhost", "localhost"),
        ("192.0.2.7", "192.0.2.7"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("*", "*"),
    ] {
        assert_eq!(site::parse_name(text).as_deref(), Ok(expected));
    }
    let long = "a".repeat(64);
    for text in
        ["", "a..b", ".a", "-a.b", "a b", "a.example:80", "http://a", "a/b", "bücher.example", "*."]
    {
        assert!(site::parse_name(text).is_err(), "{text}");
    }
    assert!(site::parse_name(&long).is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let missing = Config::load(&folder("good").join("no-such.toml")).unwrap_err();
    assert!(
        missing.to_string().contains("no-such.toml: cannot be read: No such file"),
        "{missing}"
    );
    assert_eq!(missing.list().len(), 1);
    let directory = Config::load(&folder("good")).unwrap_err();
    assert!(directory.to_string().contains("cannot be read"), "{directory}");
    let endless = Config::load(Path::new("/dev/zero")).unwrap_err();
    assert!(endless.to_string().contains("larger than 1048576 bytes"), "{endless}");
}

#[test]
fn relative_paths_count_from_the_file() {
    let config = parse(
        "state_dir = \"state\"\ncontrol_socket = \"/run/other.sock\"\n\
         [site.\"a.example\"]\norigin = \"http://h\"\n",
    )
    .unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/floodwall/state"));
    assert_eq!(config.control_socket, Path::new("/run/other.sock"));
}

#[test]
fn each_limit_refuses_what_is_beyond_its_range() {
    for key in limits::KEYS {
        for value in ["-1", "9223372036854775807"] {
            let text =
                format!("[site.\"a.example\"]\norigin = \"http://h\"\n[limits]\n{key} = {value}\n");
            let shown = messages(&text);
            assert!(
                shown.starts_with(&format!("floodwall.toml:4: `{key}` is {value};")),
                "{shown}"
            );
        }
    }
}

proptest::proptest! {
    /// Letters thrown at every place where a letter matters.
    #[test]
    fn no_text_brings_a_panic(text in "([a-z_]{0,9}|[\\[\\]=\"'.,#{}\\n ]{0,4}|http://|site|listen|limits|[0-9:]{1,5}){0,40}") {
        if let Err(mistakes) = parse(&text) {
            let shown = mistakes.to_string();
            let lines = text.lines().count().max(1);
            for mistake in mistakes.list() {
                if let Place::Line(line) = mistake.place {
                    proptest::prop_assert!((1..=lines).contains(&line), "{shown}");
                }
            }
        }
    }

    /// A good file with one letter changed is either accepted or explained.
    #[test]
    fn one_wrong_letter_is_accepted_or_explained(at in 0_usize..10_000, letter in "\\PC") {
        let whole = include_str!("../../tests/config/good/whole.toml");
        let characters: Vec<char> = whole.chars().collect();
        let mut changed = characters.clone();
        changed[at % characters.len()] = letter.chars().next().unwrap_or('x');
        let text: String = changed.into_iter().collect();
        if let Err(mistakes) = Config::parse("whole.toml", &folder("good"), &text) {
            proptest::prop_assert!(!mistakes.list().is_empty());
        }
    }
}
