//! Traffic that hears what became of it.
//!
//! A plain iterator of requests cannot: a visitor who is refused reloads or leaves, an attacker who
//! is refused changes his tool. So whoever drives traffic takes a request, decides, and tells.

use std::iter::Peekable;

use crate::open_loop::OpenLoop;
use crate::request::Planned;

/// Requests in the order of their times, each told its fate before the next is taken.
pub trait Traffic: Send {
    /// When the next request is due, ms; `None` when there will be none.
    fn due_ms(&mut self) -> Option<u64>;
    /// The next request.
    fn take(&mut self) -> Option<Planned>;
    /// Whether the request taken last was let through.
    fn told(&mut self, passed: bool);
}

impl Traffic for OpenLoop {
    fn due_ms(&mut self) -> Option<u64> {
        OpenLoop::due_ms(self)
    }

    fn take(&mut self) -> Option<Planned> {
        OpenLoop::take(self)
    }

    fn told(&mut self, passed: bool) {
        self.answered(passed);
    }
}

/// Traffic that does not listen.
pub struct Deaf<I: Iterator<Item = Planned>> {
    requests: Peekable<I>,
}

impl<I: Iterator<Item = Planned>> Deaf<I> {
    /// The requests of an iterator that is in the order of their times.
    pub fn new(requests: I) -> Self {
        Deaf { requests: requests.peekable() }
    }
}

impl<I: Iterator<Item = Planned> + Send> Traffic for Deaf<I> {
    fn due_ms(&mut self) -> Option<u64> {
        self.requests.peek().map(|planned| planned.at_ms)
    }

    fn take(&mut self) -> Option<Planned> {
        self.requests.next()
    }

    fn told(&mut self, _passed: bool) {}
}

/// Several streams as one, in the order of their times.
pub struct Company {
    streams: Vec<(Option<u64>, Box<dyn Traffic>)>,
    taken: usize,
}

impl Company {
    /// All of `streams`.
    pub fn new(streams: Vec<Box<dyn Traffic>>) -> Self {
        let due = |mut stream: Box<dyn Traffic>| (stream.due_ms(), stream);
        Company { streams: streams.into_iter().map(due).collect(), taken: 0 }
    }

    /// The next request before `until_ms` and the number of its stream. Its fate must be told
    /// before the next call.
    pub fn take_before(&mut self, until_ms: u64) -> Option<(usize, Planned)> {
        let dues = self.streams.iter().enumerate();
        let (at_ms, first) = dues.filter_map(|(i, (due, _))| Some(((*due)?, i))).min()?;
        if at_ms >= until_ms {
            return None;
        }
        self.taken = first;
        Some((first, self.streams[first].1.take()?))
    }

    /// What became of the request taken last.
    pub fn told(&mut self, passed: bool) {
        if let Some((due, stream)) = self.streams.get_mut(self.taken) {
            stream.told(passed);
            *due = stream.due_ms();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::address::AddressPlan;
    use crate::site::Site;
    use crate::visitors::{SessionArrivals, VisitorsConfig};
    use floodwall_model::RequestKind;

    fn visits(end_ms: u64) -> OpenLoop {
        let config = VisitorsConfig { end_ms, ..VisitorsConfig::honest(20.0) };
        let (site, plan) = (Arc::new(Site::campaign()), AddressPlan::loopback());
        OpenLoop::new(SessionArrivals::new(config, site, &plan.honest, 1), 30.0, 1)
    }

    #[test]
    fn visitors_who_are_refused_fetch_nothing_more_and_go() {
        let mut all_refused = Company::new(vec![Box::new(visits(20_000))]);
        let (mut sent, mut assets_late) = (0, 0);
        while let Some((_, planned)) = all_refused.take_before(u64::MAX) {
            sent += 1;
            assets_late += u64::from(planned.kind == RequestKind::Asset && planned.at_ms > 10_000);
            all_refused.told(false);
        }
        let undisturbed = visits(20_000).count();
        assert!(sent * 3 < undisturbed, "{sent} of {undisturbed}");
        assert_eq!(assets_late, 0, "who got no page asks for none of its parts");
    }

    #[test]
    fn streams_told_that_all_is_well_send_what_the_iterator_sends() {
        let plain: Vec<Planned> = visits(10_000).collect();
        let mut company = Company::new(vec![Box::new(Deaf::new(visits(10_000)))]);
        let mut heard = Company::new(vec![Box::new(visits(10_000))]);
        for expected in plain {
            assert_eq!(company.take_before(u64::MAX).unwrap().1, expected);
            company.told(true);
            assert_eq!(heard.take_before(u64::MAX).unwrap().1, expected);
            heard.told(true);
        }
        assert!(heard.take_before(u64::MAX).is_none());
    }
}
