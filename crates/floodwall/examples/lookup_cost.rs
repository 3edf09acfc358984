//! What it costs to know where an address belongs: a look into two databases of a size that real ones
//! have, and the same behind what a worker remembers. `cargo run --release -p floodwall --example
//! lookup_cost`. A figure is never typed: what is printed was measured in this run.

#[path = "../tests/support/mmdb.rs"]
#[allow(dead_code, unreachable_pub, reason = "it serves tests too")]
mod mmdb;

use std::error::Error;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use floodwall::geography::{Databases, GeographyConfig, Opened};
use floodwall_model::request::Seen;
use floodwall_model::{AttrWriter, Geography, RequestFacts, Source, ValueKey};
use mmdb::{Mmdb, Value, map};

/// Networks in each database; one of countries for all of IPv4 has about as many.
const NETWORKS: u32 = 300_000;
/// Networks (autonomous systems) there are, about.
const SYSTEMS: u32 = 75_000;
const LOOKS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(7);
    let folder = std::env::temp_dir().join(format!("lookup-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (country, network) = (folder.join("country.mmdb"), folder.join("network.mmdb"));
    countries(&mut random).write(&country);
    networks(&mut random).write(&network);
    let bytes = std::fs::metadata(&country)?.len() + std::fs::metadata(&network)?.len();
    let config = GeographyConfig {
        country: Some(country),
        network: Some(network),
        ..GeographyConfig::none()
    };
    let began = Instant::now();
    let opened = Opened::open(&config)?;
    println!("two databases, {} MB, opened in {:.0?}", bytes >> 20, began.elapsed());
    std::fs::remove_dir_all(&folder)?;
    let databases = Arc::new(Databases::new(opened));
    let known = (0..10_000)
        .filter(|_| databases.place(Ipv4Addr::from(random.u32(..)).into()).country.is_some())
        .count();
    println!("{known} of 10,000 addresses are in a country");
    let addresses: Vec<Ipv4Addr> = (0..LOOKS).map(|_| Ipv4Addr::from(random.u32(..))).collect();
    let ns = time(&addresses, |address| {
        black_box(databases.place(address.into()));
    });
    println!("a look into both, any address       {ns:>7.0} ns");
    let few: Vec<Ipv4Addr> = addresses.iter().map(|a| addresses[a.octets()[3] as usize]).collect();
    let ns = time(&few, |address| {
        black_box(databases.place(address.into()));
    });
    println!("the same, 256 addresses in turn     {ns:>7.0} ns");
    let geography: Arc<dyn Geography> = databases;
    let without = writer_ns(&addresses, None);
    println!("a row of attributes, no database    {without:>7.0} ns");
    let any = writer_ns(&addresses, Some(geography.clone()));
    println!("the same with both, any address     {any:>7.0} ns, {:>4.0} more", any - without);
    let remembered = writer_ns(&few, Some(geography));
    let without = writer_ns(&few, None);
    println!(
        "the same, 256 networks in turn      {remembered:>7.0} ns, {:>4.0} more",
        remembered - without
    );
    Ok(())
}

fn writer_ns(addresses: &[Ipv4Addr], geography: Option<Arc<dyn Geography>>) -> f64 {
    let mut writer = AttrWriter::new(ValueKey::new(1, 2)).with_geography(geography);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(time(addresses, |address| {
            let facts = RequestFacts {
                method: b"GET",
                path: b"/news/2024/17",
                version: b"HTTP/1.1",
                host: Seen::Is(b"a.example"),
                header_names: Seen::Is(b"host,user-agent,accept,accept-language,accept-encoding"),
                user_agent: Seen::Is(b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101"),
                language: Seen::Is(b"en-GB,en;q=0.5"),
                accept: Seen::Is(b"text/html,*/*;q=0.8"),
                encodings: Seen::Is(b"gzip, deflate, br"),
                source: Some(Source::new(address.into())),
                ..RequestFacts::default()
            };
            black_box(writer.attrs(&facts));
        }));
        writer.take_names();
    }
    best
}

fn time(addresses: &[Ipv4Addr], mut work: impl FnMut(Ipv4Addr)) -> f64 {
    let began = Instant::now();
    addresses.iter().for_each(|address| work(*address));
    began.elapsed().as_nanos() as f64 / addresses.len() as f64
}

/// With names in several languages beside each code, as such databases have them.
fn countries(random: &mut fastrand::Rng) -> Mmdb {
    const CODES: [&str; 8] = ["XA", "XB", "XC", "XD", "XE", "XF", "XG", "XH"];
    let names = || ["de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"].map(|l| (l, "Some land"));
    let mut database = Mmdb::new(6).with_record_bits(28);
    for _ in 0..NETWORKS {
        let names = Value::Map(names().map(|(l, name)| (l, Value::Text(name))).into());
        let country = [
            ("geoname_id", Value::Number(random.u32(..2_000_000) % 250)),
            ("iso_code", Value::Text(CODES[random.usize(..8)])),
            ("names", names),
        ];
        let record = map([("continent", map(country.clone())), ("country", map(country))]);
        database = database.put(&prefix(random), &record);
    }
    database
}

fn networks(random: &mut fastrand::Rng) -> Mmdb {
    let mut database = Mmdb::new(6).with_record_bits(28);
    for _ in 0..NETWORKS {
        let record = map([
            ("autonomous_system_number", Value::Number(random.u32(1..SYSTEMS))),
            ("autonomous_system_organization", Value::Text("Example Networks Ltd")),
        ]);
        database = database.put(&prefix(random), &record);
    }
    database
}

/// From a /14 to a /24, so that most addresses are in one.
fn prefix(random: &mut fastrand::Rng) -> String {
    let bits = [14, 16, 18, 19, 20, 20, 21, 22, 22, 23, 24, 24][random.usize(..12)];
    format!("{}/{bits}", Ipv4Addr::from(random.u32(..) & (u32::MAX << (32 - bits))))
}
