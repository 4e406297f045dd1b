//! What a run may bring: drawn from its seed, and the kinds of faults that are allowed.

use crate::net::Weather;
use crate::rng::Rng;

/// Kinds of faults, to leave some out when a failure is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Wall clocks jump, and run fast or slow.
    Clocks,
    /// Processes die and machines lose their power.
    Crashes,
    /// Disks stall, run full, fail to sync, and rot.
    Disks,
    /// Members join, leave, and hand over.
    Members,
    /// Messages are late or lost, ways are cut, streams break.
    Network,
    /// Processes stand still.
    Pauses,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Clocks,
        Self::Crashes,
        Self::Disks,
        Self::Members,
        Self::Network,
        Self::Pauses,
    ];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clocks => "clocks",
            Self::Crashes => "crashes",
            Self::Disks => "disks",
            Self::Members => "members",
            Self::Network => "network",
            Self::Pauses => "pauses",
        }
    }
}

/// What a run is asked for, beside its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Nodes at the beginning; drawn from the seed where it is not said.
    pub nodes: Option<u64>,
    /// Kinds of faults that may strike.
    pub faults: Vec<Fault>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            nodes: None,
            faults: Fault::ALL.to_vec(),
        }
    }
}

/// A run as its seed has it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: u64,
    pub(crate) faults: Vec<Fault>,
    /// How long faults may strike.
    pub(crate) faults_us: u64,
    /// Between two faults, at most.
    pub(crate) between_us: u64,
    pub(crate) clients: u64,
    pub(crate) weather: Weather,
    pub(crate) drift_ppm: u64,
    pub(crate) skew_us: u64,
    pub(crate) flush_entries: u64,
    pub(crate) keep_entries: u64,
    /// A sync takes up to this long.
    pub(crate) sync_us: u64,
}

impl Plan {
    pub(crate) fn draw(setting: &Setting, rng: &mut Rng) -> Self {
        let drawn = if rng.chance(250) { 5 } else { 3 };
        let allowed = |fault| setting.faults.contains(&fault);
        // Each run leaves some kinds out, so that one does not hide another.
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| rng.chance(700)).collect();
        let network = faults.contains(&Fault::Network) && allowed(Fault::Network);
        let clocks = faults.contains(&Fault::Clocks) && allowed(Fault::Clocks);
        let weather = Weather {
            latency_us: rng.between(1000, 20_000),
            slow: rng.below(30),
            lost: rng.below(50),
            broken: rng.below(4),
        };
        let quiet = Weather {
            latency_us: weather.latency_us,
            ..Weather::FAIR
        };
        Self {
            nodes: setting.nodes.unwrap_or(drawn),
            faults: faults.into_iter().filter(|fault| allowed(*fault)).collect(),
            faults_us: rng.between(8_000_000, 25_000_000),
            between_us: rng.between(300_000, 4_000_000),
            clients: rng.between(1, 3),
            weather: if network { weather } else { quiet },
            drift_ppm: if clocks { 20_000 } else { 0 },
            skew_us: if clocks { 4_000_000 } else { 0 },
            flush_entries: rng.between(5, 300),
            keep_entries: if rng.chance(500) {
                rng.between(1, 200)
            } else {
                100_000
            },
            sync_us: rng.between(0, 8000),
        }
    }
}
