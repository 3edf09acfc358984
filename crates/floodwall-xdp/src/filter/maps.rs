//! The kernel's tables of a loaded filter, those that are memory and those that are asked.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf};

use crate::abi::{self, Counts, EgressNet, Net, Volume};
use crate::ban_slots::{BanSlots, SlotsV4, SlotsV6};
use crate::error::AttachError;
use crate::icmp_shares::IcmpShares;
use crate::local_addresses::LocalAddresses;
use crate::mapped::Mapped;
use crate::networks::Tries;
use crate::object::{Settings, refused};
use crate::policy::PolicyMap;

/// The kernel's tables, those that are memory and those that are asked.
pub(crate) struct Maps {
    pub(crate) policy: PolicyMap,
    pub(super) bans_v4: BanSlots<SlotsV4>,
    pub(super) bans_v6: BanSlots<SlotsV6>,
    pub(super) networks: Tries<Net>,
    pub(super) allowed: Tries<u32>,
    pub(super) counts: PerCpuArray<MapData, Counts>,
    pub(crate) ports: Mapped,
    pub(crate) icmp: IcmpShares,
    pub(crate) local: LocalAddresses,
    pub(crate) egress: PerCpuHashMap<MapData, EgressNet, Volume>,
    pub(crate) samples: RingBuf<MapData>,
}

impl Maps {
    /// Out of the loaded object. The memory of the rule table comes apart.
    pub(super) fn take(
        ebpf: &mut Ebpf,
        settings: &Settings,
    ) -> Result<(Maps, Mapped), AttachError> {
        let mut taken = Taken { ebpf };
        let (v4, v6) = (settings.buckets_v4(), settings.buckets_v6());
        let policy = PolicyMap::new(taken.memory(abi::MAP_POLICY, size_of::<abi::Policy>())?);
        let rules = taken.memory(abi::MAP_RULES, size_of::<abi::Rules>())?;
        let slots_v4 = SlotsV4 {
            entries: taken.memory(abi::MAP_BANS_V4, v4 as usize * 64)?,
            hits: taken.memory(abi::MAP_HITS_V4, v4 as usize * 32)?,
        };
        let slots_v6 = SlotsV6 { entries: taken.memory(abi::MAP_BANS_V6, v6 as usize * 64)? };
        let maps = Maps {
            policy,
            bans_v4: BanSlots::new(slots_v4, settings.secret, v4),
            bans_v6: BanSlots::new(slots_v6, settings.secret, v6),
            networks: Tries::new(
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_NETS_V4)?,
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_NETS_V6)?,
            ),
            allowed: Tries::new(
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_ALLOW_V4)?,
                taken.map::<LpmTrie<_, _, _>>(abi::MAP_ALLOW_V6)?,
            ),
            counts: taken.map(abi::MAP_COUNTS)?,
            ports: taken.memory(abi::MAP_PORTS, 65_536 * size_of::<abi::Port>())?,
            icmp: IcmpShares::new(taken.memory(abi::MAP_ICMP, IcmpShares::BYTES)?),
            local: LocalAddresses::new(
                taken.memory(abi::MAP_LOCAL, LocalAddresses::BYTES)?,
                settings.secret,
            ),
            egress: taken.map(abi::MAP_EGRESS)?,
            samples: taken.map(abi::MAP_SAMPLES)?,
        };
        Ok((maps, rules))
    }
}

/// Takes maps out of a loaded object by name.
struct Taken<'a> {
    ebpf: &'a mut Ebpf,
}

impl Taken<'_> {
    fn any(&mut self, name: &str) -> Result<Map, AttachError> {
        let missing = || AttachError::Kernel { detail: format!("map {name} is missing") };
        self.ebpf.take_map(name).ok_or_else(missing)
    }

    fn map<M: TryFrom<Map, Error = MapError>>(&mut self, name: &str) -> Result<M, AttachError> {
        self.any(name)?.try_into().map_err(|error: MapError| refused(&error))
    }

    /// The map itself stays in the object, whose programs refer to it by descriptor when they are
    /// loaded.
    fn memory(&mut self, name: &str, bytes: usize) -> Result<Mapped, AttachError> {
        let Some(Map::Array(data)) = self.ebpf.map(name) else {
            return Err(AttachError::Kernel { detail: format!("there is no array {name}") });
        };
        Mapped::of(data.fd().as_fd(), bytes).map_err(|error| refused(&error))
    }
}
