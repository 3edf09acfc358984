//! What is said to nft(8) and what it answers, as text.
//!
//! Pure: it must never start a process. It names no table but its own, and nothing that came from
//! outside is in the text except addresses that were parsed before.

use std::fmt::Write;
use std::net::IpAddr;

use crate::abi::BanKey;

/// The table that is Floodwall's. nftables(8) keeps tables of different families apart.
pub(crate) const TABLE: &str = "inet floodwall";

/// Packets and bytes that met one counter or one banned source.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The set that holds `key`.
pub(crate) const fn set_of(key: BanKey) -> &'static str {
    match key {
        BanKey::V4(_) => "banned_v4",
        BanKey::V6(_) => "banned_v6",
    }
}

/// The whole table with room for `max_bans` per family, in place of one that a killed process left
/// behind; one transaction. Adding it first makes that deleting it cannot fail.
pub(crate) fn table(max_bans: u32) -> String {
    // An element that has ended keeps its place until the kernel's collector comes by, about once a
    // second (nft_rhash_gc in net/netfilter/nft_set_hash.c): in the worst case all have ended and
    // as many are new. That no more than `max_bans` stand is the loader's account's to see to.
    let size = max_bans.saturating_mul(2);
    format!(
        "add table {TABLE}
delete table {TABLE}
table {TABLE} {{
    counter seen {{ }}
    counter dropped {{ }}
    set banned_v4 {{ type ipv4_addr; size {size}; flags timeout; counter; }}
    set banned_v6 {{ type ipv6_addr; size {size}; flags timeout; counter; }}
    chain drop_banned {{
        type filter hook prerouting priority raw; policy accept;
        counter name seen
        ip saddr @banned_v4 counter name dropped drop
        ip6 saddr & ffff:ffff:ffff:ffff:: @banned_v6 counter name dropped drop
    }}
}}
"
    )
}

/// Takes the table away.
pub(crate) fn no_table() -> String {
    format!("delete table {TABLE}\n")
}

/// One ban in a transaction.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Element {
    pub(crate) key: BanKey,
    pub(crate) length_ms: u64,
    /// What it dropped before, if it is renewed.
    pub(crate) dropped: Count,
}

/// Bans all of them. Each is taken out first: kernels before 6.12 do not change the end of an
/// element that is there (nft_set_ext_timeout in net/netfilter/nf_tables_api.c). It may not be
/// there, or end in this moment, so it is put in before it is taken out. Nothing of it is seen by
/// packets before the transaction is whole.
pub(crate) fn bans(elements: &[Element]) -> String {
    let mut text = String::new();
    for element in elements {
        lift(&mut text, element.key);
        let (set, address) = (set_of(element.key), address(element.key));
        let (Count { packets, bytes }, ms) = (element.dropped, element.length_ms);
        put(
            &mut text,
            format_args!(
                "add element {TABLE} {set} {{ {address} counter packets {packets} bytes {bytes} \
                 timeout {ms}ms }}\n"
            ),
        );
    }
    text
}

/// Lifts all of them, whether they have ended or not.
pub(crate) fn lifts(keys: &[BanKey]) -> String {
    let mut text = String::new();
    keys.iter().for_each(|key| lift(&mut text, *key));
    text
}

fn lift(text: &mut String, key: BanKey) {
    let (set, address) = (set_of(key), address(key));
    for verb in ["add", "delete"] {
        put(text, format_args!("{verb} element {TABLE} {set} {{ {address} }}\n"));
    }
}

/// The elements of one set that are asked for, as nft(8) takes them for an argument.
pub(crate) fn element_list(keys: &[BanKey]) -> String {
    let addresses: Vec<String> = keys.iter().map(|key| address(*key).to_string()).collect();
    format!("{{ {} }}", addresses.join(", "))
}

fn address(key: BanKey) -> IpAddr {
    key.prefix().address()
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(line);
}

/// The elements in nft's listing of a set, with what each dropped.
pub(crate) fn read_elements(listing: &str) -> Vec<(IpAddr, Count)> {
    let Some((_, elements)) = listing.split_once("elements = {") else { return Vec::new() };
    let elements = elements.split('}').next().unwrap_or_default();
    elements
        .split(',')
        .filter_map(|element| {
            let address = element.split_whitespace().next()?.parse().ok()?;
            Some((address, read_count(element).unwrap_or_default()))
        })
        .collect()
}

/// The named counter in nft's listing of counters.
pub(crate) fn read_counter(listing: &str, name: &str) -> Option<Count> {
    let (_, counter) = listing.split_once(&format!("counter {name} {{"))?;
    read_count(counter.split('}').next()?)
}

/// The first "packets N bytes N".
fn read_count(text: &str) -> Option<Count> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    let packets = words.next()?.parse().ok()?;
    let bytes = words.next().filter(|word| *word == "bytes").and(words.next())?.parse().ok()?;
    Some(Count { packets, bytes })
}

#[cfg(test)]
mod tests {
    use floodwall_model::Source;

    use super::*;

    fn key(text: &str) -> BanKey {
        BanKey::of(Source::new(text.parse().unwrap()).counted()).unwrap()
    }

    #[test]
    fn a_ban_replaces_what_may_be_there_and_keeps_its_count() {
        let dropped = Count { packets: 5, bytes: 300 };
        let element = Element { key: key("2001:db8:1:2:3::4"), length_ms: 61_500, dropped };
        assert_eq!(
            bans(&[element]),
            "add element inet floodwall banned_v6 { 2001:db8:1:2:: }\n\
             delete element inet floodwall banned_v6 { 2001:db8:1:2:: }\n\
             add element inet floodwall banned_v6 { 2001:db8:1:2:: counter packets 5 bytes 300 \
             timeout 61500ms }\n"
        );
    }

    #[test]
    fn every_line_of_every_transaction_is_about_our_table() {
        let dropped = Count::default();
        let element = Element { key: key("203.0.113.9"), length_ms: 1, dropped };
        let lifts = lifts(&[key("203.0.113.9"), key("2001:db8::1")]);
        for text in [bans(&[element]), lifts, no_table()] {
            for line in text.lines() {
                assert!(line.contains(" inet floodwall"), "{line}");
            }
        }
        let tables: Vec<String> =
            table(7).lines().filter(|l| l.contains("table ")).map(str::to_owned).collect();
        assert_eq!(tables.len(), 3, "{tables:?}");
        assert!(tables.iter().all(|line| line.contains("table inet floodwall")), "{tables:?}");
        assert!(table(7).contains("size 14;"));
    }

    #[test]
    fn elements_are_read_as_nft_lists_them() {
        let listing = "table inet floodwall {\n\tset banned_v4 {\n\t\ttype ipv4_addr\n\t\tsize 10\n\
            \t\tflags timeout\n\t\telements = { 127.7.7.7 counter packets 5 bytes 6 timeout 9s500ms \
            expires 9s480ms, 127.7.7.8 counter packets 0 bytes 0 timeout 3s expires 2s968ms,\n\
            \t\t\t     2001:db8:: counter packets 7 bytes 420 timeout 3s }\n\t}\n}\n";
        let count = |packets, bytes| Count { packets, bytes };
        assert_eq!(
            read_elements(listing),
            [
                ("127.7.7.7".parse().unwrap(), count(5, 6)),
                ("127.7.7.8".parse().unwrap(), count(0, 0)),
                ("2001:db8::".parse().unwrap(), count(7, 420)),
            ]
        );
    }

    #[test]
    fn a_counter_is_read_by_its_name() {
        let listing = "table inet floodwall {\n\tcounter seen {\n\t\tpackets 12 bytes 900\n\t}\n\
            \tcounter dropped {\n\t\tpackets 3 bytes 180\n\t}\n}\n";
        assert_eq!(read_counter(listing, "dropped"), Some(Count { packets: 3, bytes: 180 }));
        assert_eq!(read_counter(listing, "seen").unwrap().packets, 12);
        assert_eq!(read_counter(listing, "other"), None);
    }

    #[test]
    fn a_listing_that_is_not_one_says_nothing() {
        for text in ["", "elements = {", "elements = { x, 1.2.3, }", "counter seen { packets x }"] {
            assert_eq!(read_elements(text), [], "{text}");
            assert_eq!(read_counter(text, "seen"), None, "{text}");
        }
    }
}
