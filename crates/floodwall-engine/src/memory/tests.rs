//! A memory comes back as it was, and nothing that a disk or a stranger does to it is taken for one.

use floodwall_model::{
    Attrs, Handling, Observation, Outcome, RequestKind, Source, Stage, ValueName,
};
use proptest::prelude::*;

use super::*;
use crate::{Engine, EngineConfig};

const T0_MS: u64 = 1_700_000_000_000;

fn key() -> ValueKey {
    ValueKey::new(7, 8)
}

fn observation(at_ms: u64, n: u32) -> Observation {
    let mut attrs = Attrs::default();
    for (at, attr) in Attr::ALL.iter().enumerate() {
        attrs[*attr] = ValueId(10 + at as u64 * 100 + u64::from(n % 7));
    }
    attrs[Attr::CookieState] = if n.is_multiple_of(3) { ValueId::ABSENT } else { ValueId(9) };
    Observation {
        at_ms,
        source: Source::new(std::net::Ipv4Addr::from(0x0a00_0000 + (n % 97) * 300).into()),
        attrs,
        kind: if n.is_multiple_of(2) { RequestKind::Page } else { RequestKind::Asset },
        handling: Handling::Passed,
        stage: Stage::Whole,
        outcome: Some(Outcome { status: 200, ..Outcome::default() }),
        handshake: true,
    }
}

/// An engine that met ten requests a second for `seconds`.
fn taught(seconds: u64) -> Engine {
    let config = EngineConfig { source_slots: 1 << 10, ..EngineConfig::default() };
    let mut engine = Engine::new(config, key(), 1);
    let id = ValueId(10 + Attr::UserAgent as u64 * 100);
    engine.learn_names(&[ValueName { attr: Attr::UserAgent, id, text: "an agent".into() }]);
    for tick in 0..seconds * 10 {
        let now_ms = T0_MS + tick * 100;
        engine.step(now_ms, &[observation(now_ms, (tick * 31 % 1009) as u32)]);
    }
    engine
}

fn fresh() -> Engine {
    Engine::new(EngineConfig { source_slots: 1 << 10, ..EngineConfig::default() }, key(), 2)
}

#[test]
fn what_was_learned_is_there_after_a_restart() {
    let (engine, mut restarted) = (taught(1_200), fresh());
    let (before, bytes) = (engine.status(), engine.snapshot().to_bytes());
    let recalled = restarted.restore(&bytes, before.now_ms + 5_000).unwrap();
    let after = restarted.status();
    assert_eq!(recalled.records as u64, before.baseline_records);
    assert!(before.baseline_records > 10_000);
    assert_eq!(after.baseline_span_s, before.baseline_span_s);
    assert!((after.expected_rps - before.expected_rps).abs() < 0.1, "{}", after.expected_rps);
    for (then, now) in before.tables.iter().zip(&after.tables) {
        // Sources are not remembered, quarantine was not judged yet, and texts are kept only of
        // values that are.
        if !["sources", "quarantine"].contains(&then.name) {
            assert_eq!((then.name, then.used), (now.name, now.used));
        }
    }
    assert_eq!(restarted.snapshot().names.text(Attr::UserAgent, ValueId(610)), "an agent");
}

/// The places of addresses joined the row later than everything else.
#[test]
fn a_memory_from_before_places_were_looked_up_is_read_and_lacks_them() {
    let (engine, mut restarted) = (taught(400), fresh());
    let (memory, now_ms) = (engine.snapshot(), engine.status().now_ms);
    restarted.restore(&memory.to_bytes_of_row(ROW_MIN), now_ms).unwrap();
    assert_eq!(restarted.status().baseline_records, engine.status().baseline_records);
    assert_eq!(restarted.snapshot().names.text(Attr::UserAgent, ValueId(610)), "an agent");
    let len = |memory: &EngineMemory| memory.to_bytes_of_row(ROW_MIN).len();
    assert_eq!(len(&restarted.snapshot()), len(&memory), "nothing of what it held is lost");
    let mut third = fresh();
    third.restore(&restarted.snapshot().to_bytes(), now_ms).unwrap();
    assert_eq!(third.status().baseline_records, engine.status().baseline_records);
    assert_eq!(
        fresh().restore(&memory.to_bytes_of_row(ROW_MIN - 1), now_ms),
        Err(MemoryRefused::OtherAttributes)
    );
}

#[test]
fn a_second_generation_is_the_same_as_the_first() {
    let (engine, mut restarted) = (taught(400), fresh());
    let first = engine.snapshot().to_bytes();
    restarted.restore(&first, engine.status().now_ms).unwrap();
    let mut third = fresh();
    third.restore(&restarted.snapshot().to_bytes(), engine.status().now_ms).unwrap();
    assert_eq!(third.status().tables, restarted.status().tables);
    assert_eq!(third.status().baseline_records, engine.status().baseline_records);
}

#[test]
fn a_memory_is_refused_with_the_reason() {
    let engine = taught(60);
    let now_ms = engine.status().now_ms;
    let bytes = engine.snapshot().to_bytes();
    let check = |bytes: &[u8], now_ms: u64, expected: MemoryRefused| {
        let mut restarted = fresh();
        assert_eq!(restarted.restore(bytes, now_ms), Err(expected), "{expected}");
        assert_eq!(restarted.status().baseline_records, 0, "nothing is taken over");
    };
    check(&bytes, now_ms + 29 * DAY_MS, MemoryRefused::TooOld { days: 29 });
    check(&bytes, now_ms - 3 * DAY_MS, MemoryRefused::FromTheFuture { days: 3 });
    check(&[], now_ms, MemoryRefused::Damaged("it is too short"));
    check(&bytes[..bytes.len() - 1], now_ms, MemoryRefused::Damaged("it ends too early"));
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    check(&changed(0), now_ms, MemoryRefused::OtherVersion { found: MEMORY_VERSION ^ 1 });
    check(&changed(4), now_ms, MemoryRefused::OtherAttributes);
    check(&changed(12), now_ms, MemoryRefused::OtherKey);
    let config = EngineConfig { source_slots: 1 << 10, ..EngineConfig::default() };
    let mut stranger = Engine::new(config, ValueKey::new(1, 2), 1);
    assert_eq!(stranger.restore(&bytes, now_ms), Err(MemoryRefused::OtherKey));
}

/// The clock was an hour ahead when the memory was made and was set back meanwhile.
#[test]
fn a_clock_set_back_loses_nothing_and_learning_goes_on() {
    let (engine, mut restarted) = (taught(1_200), fresh());
    let records = engine.status().baseline_records;
    let mut now_ms = engine.status().now_ms - 3_600_000;
    restarted.restore(&engine.snapshot().to_bytes(), now_ms).unwrap();
    assert_eq!(restarted.status().baseline_records, records);
    for tick in 0..6_000 {
        now_ms += 100;
        restarted.step(now_ms, &[observation(now_ms, tick)]);
    }
    let status = restarted.status();
    assert!(status.baseline_records > records + 2_000, "{}", status.baseline_records);
    assert!(status.baseline_span_s < 3_600, "{}", status.baseline_span_s);
}

/// Nothing of an address is in the bytes: who visited a site is nobody's business for weeks.
#[test]
fn no_address_is_written_down() {
    let engine = taught(60);
    let bytes = engine.snapshot().to_bytes();
    for n in 0..97u32 {
        let key = observation(0, n).source.key();
        let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        assert!(!holds(&bytes, &key.to_le_bytes()), "{n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a disk does to it: it is refused or read, and never panics. (The store's checksum
    /// keeps such bytes from getting here.)
    #[test]
    fn damaged_bytes_never_panic(places in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..20)) {
        static BYTES: std::sync::OnceLock<(Vec<u8>, u64)> = std::sync::OnceLock::new();
        let (bytes, now_ms) = BYTES.get_or_init(|| {
            let engine = taught(30);
            (engine.snapshot().to_bytes(), engine.status().now_ms)
        });
        let mut damaged = bytes.clone();
        for (place, byte) in places {
            let at = HEAD_BYTES + place as usize % (damaged.len() - HEAD_BYTES);
            damaged[at] = byte;
        }
        let mut engine = fresh();
        if engine.restore(&damaged, *now_ms).is_ok() {
            for tick in 1..50 {
                let at_ms = now_ms + tick * 100;
                engine.step(at_ms, &[observation(at_ms, tick as u32)]);
            }
            engine.snapshot().to_bytes();
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut whole = taught(0).snapshot().to_bytes()[..HEAD_BYTES].to_vec();
        whole.extend(bytes);
        let _ = fresh().restore(&whole, T0_MS);
    }
}
