//! The worker's batch of observations: each request is counted in it exactly once.
//!
//! A request is put in when it has been decided upon, as [`Stage::Arrived`]. If it ends while the
//! batch is still here, its record is completed in place ([`Stage::Whole`]); if the batch has gone,
//! a second record follows ([`Stage::Finished`]). Sending never waits: a drowning engine must not
//! slow the traffic, so a batch that finds no room is lost and counted.

use std::sync::mpsc::{SyncSender, TrySendError};

use floodwall_model::limits::{BATCH_NAMES_MAX, BATCH_OBSERVATIONS_MAX};
use floodwall_model::{
    AttrWriter, Attrs, Handling, Observation, ObservationBatch, Outcome, RequestFacts, Source,
    Stage, ValueName,
};

use crate::counters::Counters;

/// Where a request's record is, and what it said.
#[derive(Debug)]
pub(crate) struct Ticket {
    generation: u64,
    index: usize,
    observation: Observation,
}

impl Ticket {
    /// What the request looked like.
    pub(crate) const fn attrs(&self) -> &Attrs {
        &self.observation.attrs
    }

    /// Who sent it.
    pub(crate) const fn source(&self) -> Source {
        self.observation.source
    }
}

/// Fills batches and sends them.
pub(crate) struct Observer {
    worker: u16,
    writer: AttrWriter,
    sender: SyncSender<ObservationBatch>,
    batch: Vec<Observation>,
    /// Of a lost batch, so that its values can still be named.
    names: Vec<ValueName>,
    names_dropped: u64,
    /// Number of the batch being filled.
    generation: u64,
    lost: u64,
}

impl Observer {
    pub(crate) fn new(
        worker: u16,
        writer: AttrWriter,
        sender: SyncSender<ObservationBatch>,
    ) -> Self {
        Observer {
            worker,
            writer,
            sender,
            batch: Vec::new(),
            names: Vec::new(),
            names_dropped: 0,
            generation: 0,
            lost: 0,
        }
    }

    /// The row of attributes of a request.
    pub(crate) fn attrs(&mut self, facts: &RequestFacts<'_>) -> Attrs {
        self.writer.attrs(facts)
    }

    /// Puts a request in, its outcome to come.
    pub(crate) fn arrived(&mut self, mut observation: Observation, counters: &Counters) -> Ticket {
        if self.batch.len() >= BATCH_OBSERVATIONS_MAX {
            self.flush(counters);
        }
        observation.stage = Stage::Arrived;
        observation.outcome = None;
        self.batch.push(observation);
        Ticket { generation: self.generation, index: self.batch.len() - 1, observation }
    }

    /// Tells how a request ended and what was finally done with it.
    pub(crate) fn finished(
        &mut self,
        ticket: Ticket,
        handling: Handling,
        outcome: Outcome,
        at_ms: u64,
        counters: &Counters,
    ) {
        let Ticket { generation, index, mut observation } = ticket;
        observation.handling = handling;
        observation.outcome = Some(outcome);
        if generation == self.generation
            && let Some(record) = self.batch.get_mut(index)
        {
            *record = Observation { stage: Stage::Whole, ..observation };
            return;
        }
        if self.batch.len() >= BATCH_OBSERVATIONS_MAX {
            self.flush(counters);
        }
        self.batch.push(Observation { at_ms, stage: Stage::Finished, ..observation });
    }

    /// Sends what is there.
    pub(crate) fn flush(&mut self, counters: &Counters) {
        let mut names = std::mem::take(&mut self.names);
        names.append(&mut self.writer.take_names());
        let overflow = names.len().saturating_sub(BATCH_NAMES_MAX) as u64;
        names.truncate(BATCH_NAMES_MAX);
        counters.names_dropped.add(overflow + self.writer.names_dropped() - self.names_dropped);
        self.names_dropped = self.writer.names_dropped();
        if self.batch.is_empty() && names.is_empty() && self.lost == 0 {
            return;
        }
        let capacity = self.batch.len().next_power_of_two().min(BATCH_OBSERVATIONS_MAX);
        let observations = std::mem::replace(&mut self.batch, Vec::with_capacity(capacity));
        self.generation += 1;
        let batch = ObservationBatch { worker: self.worker, observations, names, lost: self.lost };
        match self.sender.try_send(batch) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                let lost = batch.observations.len() as u64;
                counters.observations_lost.add(lost);
                self.lost += lost;
                self.names = batch.names;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodwall_model::{RequestKind, Source, ValueKey};
    use std::sync::mpsc::{Receiver, sync_channel};

    fn observer(room: usize) -> (Observer, Receiver<ObservationBatch>) {
        let (sender, receiver) = sync_channel(room);
        (Observer::new(3, AttrWriter::new(ValueKey::new(1, 2)), sender), receiver)
    }

    fn request(at_ms: u64) -> Observation {
        Observation {
            at_ms,
            source: Source::new("192.0.2.1".parse().unwrap()),
            attrs: Attrs::default(),
            kind: RequestKind::Page,
            handling: Handling::Passed,
            stage: Stage::Whole,
            outcome: None,
            handshake: true,
        }
    }

    const OK: Outcome = Outcome { status: 200, bytes: 5, origin_ms: Some(1) };

    #[test]
    fn a_quick_answer_completes_its_record_in_place() {
        let (mut observer, receiver) = observer(4);
        let counters = Counters::default();
        let ticket = observer.arrived(request(10), &counters);
        observer.finished(ticket, Handling::Passed, OK, 20, &counters);
        observer.flush(&counters);
        let batch = receiver.recv().unwrap();
        assert_eq!(batch.worker, 3);
        let [record] = batch.observations[..] else { panic!("one record") };
        assert_eq!((record.at_ms, record.stage, record.outcome), (10, Stage::Whole, Some(OK)));
    }

    #[test]
    fn a_slow_answer_follows_as_a_second_record_that_does_not_count() {
        let (mut observer, receiver) = observer(4);
        let counters = Counters::default();
        let ticket = observer.arrived(request(10), &counters);
        observer.flush(&counters);
        // Another request takes the same place in the next batch.
        observer.arrived(request(15), &counters);
        observer.finished(ticket, Handling::Passed, OK, 20, &counters);
        observer.flush(&counters);
        assert_eq!(receiver.recv().unwrap().observations[0].stage, Stage::Arrived);
        let second = receiver.recv().unwrap().observations;
        assert_eq!((second[0].at_ms, second[0].stage), (15, Stage::Arrived));
        assert_eq!((second[1].at_ms, second[1].stage), (20, Stage::Finished));
    }

    #[test]
    fn a_full_way_loses_and_reports_and_keeps_the_names() {
        let (mut observer, receiver) = observer(1);
        let counters = Counters::default();
        let facts = |path| RequestFacts { method: b"GET", path, ..RequestFacts::default() };
        observer.arrived(request(1), &counters);
        observer.flush(&counters);
        observer.attrs(&facts(b"/lost"));
        observer.arrived(request(2), &counters);
        observer.arrived(request(3), &counters);
        observer.flush(&counters);
        assert_eq!(counters.observations_lost.load(), 2);
        receiver.recv().unwrap();
        observer.arrived(request(4), &counters);
        observer.flush(&counters);
        let batch = receiver.recv().unwrap();
        assert_eq!((batch.lost, batch.observations.len()), (2, 1));
        assert!(batch.names.iter().any(|name| &*name.text == "/lost"));
        observer.arrived(request(5), &counters);
        observer.flush(&counters);
        assert_eq!(receiver.recv().unwrap().lost, 0, "reported once");
    }

    #[test]
    fn a_full_batch_goes_early() {
        let (mut observer, receiver) = observer(4);
        let counters = Counters::default();
        for at_ms in 0..BATCH_OBSERVATIONS_MAX as u64 + 1 {
            observer.arrived(request(at_ms), &counters);
        }
        assert_eq!(receiver.recv().unwrap().observations.len(), BATCH_OBSERVATIONS_MAX);
    }
}
