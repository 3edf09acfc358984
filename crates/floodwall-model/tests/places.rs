//! How the place of an address gets into the row of attributes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use floodwall_model::limits::BATCH_NAMES_MAX;
use floodwall_model::{
    Attr, AttrWriter, Attrs, Country, Geography, NetworkClass, NetworkNumber, Place, RequestFacts,
    Source, ValueId, ValueKey,
};

/// Knows 192.0.0.0/8 as a whole, 198.0.0.0/8 address by address, every network of 203.0.0.0/8 as one
/// of its own, IPv6 by country alone.
#[derive(Debug, Default)]
struct Book {
    revision: AtomicU64,
    asked: AtomicU64,
}

impl Geography for Book {
    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    fn place(&self, address: IpAddr) -> Place {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let number = 64_500 + self.revision() as u32;
        let known = Place {
            country: Country::of_code("de"),
            network: Some(NetworkNumber::new(number, Some("Example Ltd"))),
            class: Some(NetworkClass::Hosting),
            of_whole_network: true,
        };
        let nothing = Place { of_whole_network: true, ..Place::default() };
        match address {
            IpAddr::V4(v4) => match v4.octets()[0] {
                192 => known,
                198 => Place { of_whole_network: false, ..known },
                203 => {
                    let network = NetworkNumber::new(u32::from(v4), None);
                    Place { network: Some(network), ..nothing }
                }
                _ => nothing,
            },
            IpAddr::V6(_) => Place { network: None, class: None, ..known },
        }
    }
}

fn writer(book: &Arc<Book>) -> AttrWriter {
    let geography: Arc<dyn Geography> = book.clone();
    AttrWriter::new(ValueKey::new(1, 2)).with_geography(Some(geography))
}

fn place(writer: &mut AttrWriter, address: &str) -> [ValueId; 3] {
    row(writer, Some(Source::new(address.parse().unwrap())))
}

fn row(writer: &mut AttrWriter, source: Option<Source>) -> [ValueId; 3] {
    let attrs: Attrs = writer.attrs(&RequestFacts { source, ..RequestFacts::default() });
    [Attr::Country, Attr::Network, Attr::NetworkClass].map(|attr| attrs[attr])
}

#[test]
fn a_place_is_in_the_row_and_its_texts_are_announced_once() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    let known = place(&mut writer, "192.0.2.1");
    assert!(known.iter().all(|id| id.0 > 1), "{known:?}");
    let names = writer.take_names();
    let text = |attr| names.iter().find(|n| n.attr == attr).map(|n| &*n.text);
    assert_eq!(text(Attr::Country), Some("DE"));
    assert_eq!(text(Attr::Network), Some("AS64500 (Example Ltd)"));
    assert_eq!(known[2], NetworkClass::Hosting.id(), "it needs no announcement");
    assert_eq!(place(&mut writer, "192.0.7.1"), known, "another network of the same place");
    assert!(writer.take_names().iter().all(|n| !n.attr.is_place()));
}

#[test]
fn what_is_not_known_is_unknown_and_never_a_value() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    assert_eq!(place(&mut writer, "10.0.0.1"), [ValueId::UNKNOWN; 3]);
    let [country, network, class] = place(&mut writer, "2001:db8::1");
    assert!(country.is_known() && !network.is_known() && !class.is_known());
    assert_eq!(row(&mut writer, None), [ValueId::UNKNOWN; 3], "no address, no place");
    let mut without = AttrWriter::new(ValueKey::new(1, 2));
    assert_eq!(place(&mut without, "192.0.2.1"), [ValueId::UNKNOWN; 3]);
}

#[test]
fn a_network_is_looked_up_once_unless_it_is_several_places() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    for host in 0..100 {
        place(&mut writer, &format!("192.0.2.{host}"));
        place(&mut writer, &format!("2001:db8::{host}:1"));
        place(&mut writer, &format!("10.0.0.{host}"));
    }
    assert_eq!(book.asked.load(Ordering::Relaxed), 3, "what is not known is remembered, too");
    for host in 0..100 {
        place(&mut writer, &format!("198.51.100.{host}"));
    }
    assert_eq!(book.asked.load(Ordering::Relaxed), 103);
}

/// However many networks come, as many are remembered as there is room for, and every answer is right.
#[test]
fn a_flood_from_everywhere_costs_looks_and_no_memory() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    let address = |n: u32| Source::new(std::net::Ipv4Addr::from(0xcb00_0000 | n << 8).into());
    let first: Vec<_> = (0..20_000).map(|n| row(&mut writer, Some(address(n)))).collect();
    let distinct: std::collections::HashSet<_> = first.iter().map(|ids| ids[1]).collect();
    assert_eq!(distinct.len(), 20_000);
    assert!((0..20_000).all(|n| row(&mut writer, Some(address(n))) == first[n as usize]));
}

#[test]
fn other_databases_give_other_answers_at_once() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    let before = place(&mut writer, "192.0.2.1");
    book.revision.store(1, Ordering::Relaxed);
    let after = place(&mut writer, "192.0.2.1");
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

#[test]
fn a_place_whose_text_found_no_room_is_announced_later() {
    let book = Arc::new(Book::default());
    let mut writer = writer(&book);
    let address = |n: u32| Source::new(std::net::Ipv4Addr::from(0xcb00_0000 | n << 8).into());
    for n in 0..=BATCH_NAMES_MAX as u32 {
        row(&mut writer, Some(address(n)));
    }
    assert!(writer.names_dropped() > 0);
    writer.take_names();
    row(&mut writer, Some(address(BATCH_NAMES_MAX as u32)));
    assert!(writer.take_names().iter().any(|name| name.attr == Attr::Network));
}
