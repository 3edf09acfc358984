//! The order of the scenes and their lengths. Pure: the director asks it what time it is.

/// A scene.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Scene {
    /// Everyday visitors only: the defence learns what is normal.
    Quiet,
    /// The council attack.
    Attack,
    /// Everyday visitors again.
    Calm,
    /// Twenty times as many visitors, all welcome.
    Crowd,
}

impl Scene {
    /// What is going on, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Scene::Quiet => "an ordinary day",
            Scene::Attack => "the council attack",
            Scene::Calm => "calm after the attack",
            Scene::Crowd => "a crowd, all of it welcome",
        }
    }
}

/// When each scene begins and the demo ends, ms since the start.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Schedule {
    /// The attack begins.
    pub(super) attack_ms: u64,
    /// The attack ends.
    pub(super) calm_ms: u64,
    /// The crowd comes.
    pub(super) crowd_ms: u64,
    /// The demo ends.
    pub(super) end_ms: u64,
}

impl Schedule {
    /// The lengths of a run: in full, or shortened so that the whole stays below 90 s.
    pub(super) fn new(fast: bool, crowd: bool) -> Self {
        let (quiet_s, attack_s, calm_s, crowd_s) =
            if fast { (20, 20, 8, 20) } else { (60, 45, 20, 40) };
        let attack_ms = quiet_s * 1_000;
        let calm_ms = attack_ms + attack_s * 1_000;
        let crowd_ms = calm_ms + calm_s * 1_000;
        let end_ms = crowd_ms + if crowd { crowd_s * 1_000 } else { 0 };
        Schedule { attack_ms, calm_ms, crowd_ms, end_ms }
    }

    /// The scene at `now_ms`; `None` after the end.
    pub(super) fn scene(&self, now_ms: u64) -> Option<Scene> {
        if now_ms >= self.end_ms {
            None
        } else if now_ms < self.attack_ms {
            Some(Scene::Quiet)
        } else if now_ms < self.calm_ms {
            Some(Scene::Attack)
        } else if now_ms < self.crowd_ms {
            Some(Scene::Calm)
        } else {
            Some(Scene::Crowd)
        }
    }

    /// Which of how many scenes it is, counted from one.
    pub(super) fn number(&self, scene: Scene) -> (u32, u32) {
        let all = if self.end_ms > self.crowd_ms { 4 } else { 3 };
        (scene as u32 + 1, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_follow_each_other_without_gaps() {
        for fast in [false, true] {
            let schedule = Schedule::new(fast, true);
            let scenes: Vec<Option<Scene>> =
                (0..=schedule.end_ms / 500).map(|half_s| schedule.scene(half_s * 500)).collect();
            let mut order = scenes.clone();
            order.dedup();
            let all = [Scene::Quiet, Scene::Attack, Scene::Calm, Scene::Crowd];
            assert_eq!(order, all.map(Some).into_iter().chain([None]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_fast_run_leaves_time_to_start_and_stop_within_ninety_seconds() {
        assert!(Schedule::new(true, true).end_ms <= 80_000);
    }

    #[test]
    fn without_a_crowd_there_are_three_scenes() {
        let schedule = Schedule::new(true, false);
        assert_eq!(schedule.scene(schedule.crowd_ms), None);
        assert_eq!(schedule.number(Scene::Calm), (3, 3));
    }
}
