//! Databases in every layout that is read, and everything that is none.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

#[path = "../../tests/support/mmdb.rs"]
#[allow(dead_code, unreachable_pub, reason = "it serves other tests too")]
mod mmdb;

use Value::{Number, Text, Truth};
use mmdb::{Mmdb, Value, map};

/// `floodwall_model::Place` as one line: country, network, class.
fn words(place: &Place) -> String {
    let country = place
        .country
        .map_or("-".to_owned(), |c| c.letters().iter().map(|letter| char::from(*letter)).collect());
    let network = place.network.as_ref().map_or("-".to_owned(), ToString::to_string);
    format!("{country} {network} {}", place.class.map_or("-", |class| class.words()))
}

fn file(bytes: &[u8]) -> tempfile::TempPath {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file.into_temp_path()
}

/// One file for every role that it can fill.
fn opened(database: &Mmdb) -> Opened {
    let file = file(&database.bytes());
    let database = Database::open(&file).unwrap();
    let roles = Role::ALL.into_iter().filter(|role| database.holds(*role)).collect();
    Opened { read: vec![Reading { database, roles }], passed_over: Vec::new() }
}

fn place(opened: &Opened, address: &str) -> String {
    words(&opened.place(address.parse().unwrap()))
}

#[test]
fn every_layout_is_read() {
    let check = |record: Value, expected: &str| {
        let opened = opened(&Mmdb::new(6).put("192.0.2.0/24", &record));
        assert_eq!(place(&opened, "192.0.2.9"), expected, "{record:?}");
        assert_eq!(place(&opened, "192.0.3.9"), "- - -");
    };
    let names = || ("names", map([("en", Text("Germany"))]));
    check(map([("country", map([names(), ("iso_code", Text("DE"))]))]), "DE - -");
    check(map([("country_code", Text("de"))]), "DE - -");
    check(map([("country", Text("DE")), ("continent", Text("EU"))]), "DE - -");
    check(map([("country", Text("Germany")), ("country_code", Text("DE"))]), "DE - -");
    let asn = || ("autonomous_system_number", Number(64_500));
    let organization = || ("autonomous_system_organization", Text("Example Ltd"));
    check(map([asn(), organization()]), "- AS64500 (Example Ltd) -");
    check(map([asn()]), "- AS64500 -");
    check(map([("asn", Text("AS64500")), ("as_name", Text("Example"))]), "- AS64500 (Example) -");
    check(map([("asn", Number(64_500)), ("name", Text("Example"))]), "- AS64500 (Example) -");
    check(map([("asn", Text("64500")), ("domain", Text("a.example"))]), "- AS64500 -");
    check(
        map([
            ("traits", map([asn(), organization(), ("user_type", Text("hosting"))])),
            ("country", map([("iso_code", Text("DE"))])),
        ]),
        "DE AS64500 (Example Ltd) hosting",
    );
    check(
        map([asn(), ("type", Text("isp"))]),
        "- AS64500 - residential".replace(" - r", " r").as_str(),
    );
    check(map([("connection_type", Text("Cellular"))]), "- - mobile");
    check(map([("connection_type", Text("Cable/DSL"))]), "- - residential");
    check(map([("connection_type", Text("Corporate")), ("hosting", Text("true"))]), "- - hosting");
    check(map([("is_hosting_provider", Truth(true))]), "- - hosting");
    check(map([("is_hosting_provider", Truth(false)), ("user_type", Text("school"))]), "- - -");
}

#[test]
fn a_field_that_means_something_else_says_nothing() {
    let odd = map([
        ("country", Number(49)),
        ("country_code", Text("Germany")),
        ("asn", Truth(true)),
        ("autonomous_system_number", Text("many")),
        ("type", map([("a", Value::List(vec![Number(1), Text("b")]))])),
        ("hosting", Text("perhaps")),
    ]);
    let opened = opened(&Mmdb::new(4).put("192.0.2.0/24", &odd));
    assert_eq!(place(&opened, "192.0.2.9"), "- - -");
    assert_eq!(opened.databases().next().unwrap().0.failed(), 0);
}

#[test]
fn both_families_and_every_size_of_record_are_read() {
    let country = |code| map([("country_code", Text(code))]);
    for bits in [24, 28, 32] {
        let database = Mmdb::new(6)
            .with_record_bits(bits)
            .put("192.0.0.0/16", &country("XA"))
            .put("192.0.2.128/25", &country("XB"))
            .put("2001:db8::/32", &country("XC"))
            .put("2001:db8:1:2::/64", &country("XD"));
        let opened = opened(&database);
        let check = |address: &str, expected: &str, whole: bool| {
            let place = opened.place(address.parse().unwrap());
            assert_eq!(words(&place), format!("{expected} - -"), "{address}");
            assert_eq!(place.of_whole_network, whole, "{address}: of its whole /24 or /48");
        };
        check("192.0.9.1", "XA", true);
        check("192.0.2.1", "XA", false);
        check("192.0.2.129", "XB", false);
        check("198.51.100.1", "-", true);
        check("2001:db8:2::1", "XC", true);
        check("2001:db8:1:2::1", "XD", false);
        check("2001:db8:1:3::1", "XC", false);
    }
    let v4 = opened(&Mmdb::new(4).put("192.0.2.0/24", &country("XA")));
    assert_eq!(
        (place(&v4, "192.0.2.1"), place(&v4, "2001:db8::1")),
        ("XA - -".into(), "- - -".into())
    );
    assert_eq!(v4.databases().next().unwrap().0.failed(), 0, "an IPv6 address is no damage");
}

fn config(country: Option<&std::path::Path>, network: Option<&std::path::Path>) -> GeographyConfig {
    GeographyConfig {
        country: country.map(Into::into),
        network: network.map(Into::into),
        ..GeographyConfig::none()
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_what_to_do() {
    let countries = Mmdb::new(6).put("192.0.2.0/24", &map([("country_code", Text("XA"))])).bytes();
    let check = |bytes: &[u8], expected: &str| {
        let file = file(bytes);
        let error = Opened::open(&config(None, Some(&file))).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&*file.to_string_lossy()), "{error}");
    };
    check(b"", "not a database");
    check(b"country,DE\n", "not a database");
    check(&countries[..countries.len() / 2], "damaged");
    check(&countries, "holds no networks; it holds countries (`country`)");
    let other = Mmdb::new(4).put("192.0.2.0/24", &map([("city", Text("Bonn"))]));
    check(&other.bytes(), "holds nothing known here");
    let missing = config(Some("/nonexistent/a.mmdb".as_ref()), None);
    let error = Opened::open(&missing).unwrap_err().to_string();
    assert!(error.contains("cannot be read") && error.contains("none is needed"), "{error}");
}

#[test]
fn two_files_make_one_place_and_one_file_may_fill_every_role() {
    let countries = Mmdb::new(6).put("192.0.2.0/24", &map([("country_code", Text("XA"))]));
    let asn = ("asn", Text("AS64500"));
    let networks = Mmdb::new(4).put("192.0.0.0/16", &map([asn.clone(), ("type", Text("hosting"))]));
    let (countries, networks) = (file(&countries.bytes()), file(&networks.bytes()));
    let opened = Opened::open(&config(Some(&countries), Some(&networks))).unwrap();
    assert_eq!(place(&opened, "192.0.2.1"), "XA AS64500 hosting");
    assert_eq!(place(&opened, "192.0.3.1"), "- AS64500 hosting");
    let both = Mmdb::new(4).put("192.0.2.0/24", &map([("country", Text("XB")), asn]));
    let both = file(&both.bytes());
    let opened = Opened::open(&config(Some(&both), Some(&both))).unwrap();
    assert_eq!(place(&opened, "192.0.2.1"), "XB AS64500 -");
    assert_eq!(opened.databases().count(), 1, "it is read once");
}

#[test]
fn at_the_usual_places_the_smallest_files_are_taken_and_broken_ones_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let country = map([("country", map([("iso_code", Text("XA"))]))]);
    let places = || [folder.path().to_str().unwrap().to_owned(), "/nonexistent".to_owned()];
    let open = || usual::open(&places().each_ref().map(String::as_str));
    assert_eq!(open().databases().count(), 0, "none is no error");
    Mmdb::new(6).put("192.0.2.0/24", &country).write(&at("b.mmdb"));
    let mut large = Mmdb::new(6).put("192.0.2.0/24", &country);
    for n in 0..50 {
        large = large.put(&format!("198.51.{n}.0/24"), &country);
    }
    large.write(&at("a.mmdb"));
    Mmdb::new(6).put("192.0.2.0/24", &map([("asn", Number(64_500))])).write(&at("c.mmdb"));
    std::fs::write(at("d.mmdb"), "nothing").unwrap();
    std::fs::write(at("e.txt"), "nothing").unwrap();
    let opened = open();
    let mut read: Vec<_> = opened.databases().map(|(d, _)| d.path().to_owned()).collect();
    read.sort();
    assert_eq!(read, [at("b.mmdb"), at("c.mmdb")]);
    assert_eq!(place(&opened, "192.0.2.1"), "XA AS64500 -");
    assert_eq!(opened.passed_over().len(), 1);
}

#[test]
fn other_databases_are_asked_from_the_moment_they_are_put_in_place() {
    let country =
        |code| opened(&Mmdb::new(4).put("0.0.0.0/1", &map([("country_code", Text(code))])));
    let databases = Databases::new(country("XA"));
    let address: IpAddr = "9.9.9.9".parse().unwrap();
    assert_eq!((databases.revision(), words(&databases.place(address))), (0, "XA - -".into()));
    databases.replace(country("XB"));
    assert_eq!((databases.revision(), words(&databases.place(address))), (1, "XB - -".into()));
}

fn specimen() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let mut database = Mmdb::new(6);
        for n in 0..60 {
            let record = map([
                ("country", map([("iso_code", Text("XA")), ("names", map([("en", Text("A"))]))])),
                ("asn", Number(64_500 + n)),
                ("as_name", Text("Example Ltd")),
                ("type", Text("hosting")),
            ]);
            database = database.put(&format!("192.{n}.0.0/16"), &record);
        }
        database.bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a disk or a download does to it: it is refused, or addresses are unknown.
    #[test]
    fn a_damaged_database_never_panics(
        places in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..12),
        cut in proptest::option::of(0..20_000usize),
        addresses in proptest::collection::vec(any::<u32>(), 20),
    ) {
        let mut bytes = specimen().to_vec();
        for (place, byte) in places {
            let at = place as usize % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let file = file(&bytes);
        if let Ok(database) = Database::open(&file) {
            let read = vec![Reading { database, roles: Role::ALL.to_vec() }];
            let opened = Opened { read, passed_over: Vec::new() };
            for address in addresses {
                opened.place(std::net::Ipv4Addr::from(address).into());
                opened.place(std::net::Ipv4Addr::from(0xc000_0000 | address >> 8).into());
                opened.place(std::net::Ipv6Addr::from(u128::from(address) << 96).into());
            }
        }
    }
}
