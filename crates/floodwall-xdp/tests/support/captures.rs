//! The recordings that tests read, if they are here: FLOODWALL_DATA, else the data folder beside
//! the workspace. They are never copied into the project.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use pcap_parser::{PcapBlockOwned, PcapError, create_reader};

/// Largest block that is read: a packet of 256 KiB with its options.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// How the bytes of a packet begin (LINKTYPE_ numbers of tcpdump.org).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    Ethernet,
    Ip,
    Other,
}

/// Every recording under pcap/, in order; `None` without the folder.
pub(crate) fn files() -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("FLOODWALL_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let mut found = Vec::new();
    collect(&root.join("pcap"), &mut found);
    found.sort();
    (!found.is_empty()).then_some(found)
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if ["pcap", "pcapng", "cap", "gz"]
            .iter()
            .any(|e| path.extension().is_some_and(|x| x == *e))
        {
            found.push(path);
        }
    }
}

fn link(number: i32) -> Link {
    match number {
        1 => Link::Ethernet,
        12 | 14 | 101 | 228 | 229 => Link::Ip,
        _ => Link::Other,
    }
}

/// Calls `each` with every packet of a file; says how reading ended, if not at the end.
pub(crate) fn packets(path: &Path, mut each: impl FnMut(Link, &[u8])) -> Result<(), String> {
    let mut bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let ended = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain);
        if plain.is_empty() {
            ended.map_err(|e| e.to_string())?;
        }
        bytes = plain;
    }
    let mut reader =
        create_reader(BLOCK_BYTES_MAX, Cursor::new(bytes)).map_err(|e| format!("{e:?}"))?;
    let mut links = Vec::new();
    let mut stalled = false;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                block_packets(&block, &mut links, &mut each);
                reader.consume(length);
                stalled = false;
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) if !stalled => {
                reader.refill().map_err(|e| format!("{e:?}"))?;
                stalled = true;
            }
            Err(error) => return Err(format!("{error:?}").chars().take(60).collect()),
        }
    }
}

fn block_packets(
    block: &PcapBlockOwned<'_>,
    links: &mut Vec<Link>,
    each: &mut impl FnMut(Link, &[u8]),
) {
    use pcap_parser::Block;
    match block {
        PcapBlockOwned::LegacyHeader(header) => *links = vec![link(header.network.0)],
        PcapBlockOwned::Legacy(packet) => {
            each(links.first().copied().unwrap_or(Link::Other), packet.data);
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            links.push(link(interface.linktype.0));
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let kept = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
            each(links.get(packet.if_id as usize).copied().unwrap_or(Link::Other), kept);
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let kept = packet.data.get(..packet.origlen as usize).unwrap_or(packet.data);
            each(links.first().copied().unwrap_or(Link::Other), kept);
        }
        PcapBlockOwned::NG(_) => {}
    }
}
