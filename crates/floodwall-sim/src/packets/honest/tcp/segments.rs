//! Single segments of a connection, as they stand on the host's link.

use floodwall_model::packet::TcpFlag;

use super::{ACK, Connection};
use crate::packets::header::{IpHeader, Payload, TcpHeader};
use crate::packets::stream::LabelledPacket;

impl Connection<'_> {
    /// A reset; without ACK it has no acknowledgement number (RFC 9293 § 3.5.2).
    pub(super) fn client_resets(&mut self, ack: u8) {
        let server_seq = self.server_seq;
        if ack == 0 {
            self.server_seq = 0;
        }
        let header = self.client_header(TcpFlag::RST | ack, Payload::NONE, &[]);
        self.push_inbound(TcpHeader { window: 0, ..header });
        self.server_seq = server_seq;
    }

    pub(super) fn syn(&mut self, id: u16) {
        let flags = if self.ecn { TcpFlag::ECE | TcpFlag::CWR } else { 0 } | TcpFlag::SYN;
        let header = TcpHeader {
            acknowledgement: 0,
            window: self.client.stack.syn_window(self.client.mss),
            mss: self.client.mss,
            ..self.client_header(flags, Payload::NONE, self.client.stack.syn_options)
        };
        self.push_inbound_with(id, header);
    }

    pub(super) fn syn_ack(&mut self) {
        let header = TcpHeader {
            source_port: self.port,
            destination_port: self.client_port,
            sequence: self.server_seq,
            acknowledgement: self.client_seq.wrapping_add(1),
            flags: TcpFlag::SYN | ACK | if self.ecn { TcpFlag::ECE } else { 0 },
            window: self.server.window,
            options: self.server.options,
            mss: self.server.mss,
            payload: Payload::NONE,
        };
        self.push_outbound(0, header);
        self.answered = true;
    }

    pub(super) fn client_acknowledges(&mut self, selective: bool) {
        let options: &[u8] = match (selective, self.client.stack.timestamps) {
            (true, true) => &[1, 1, 8, 1, 1, 5],
            (true, false) => &[1, 1, 5],
            (false, _) => self.client.stack.later_options(),
        };
        let header = self.client_header(ACK, Payload::NONE, options);
        self.push_inbound(header);
    }

    pub(super) fn client_sends(&mut self, flags: u8, payload: Payload) {
        let header = self.client_header(flags, payload, self.client.stack.later_options());
        self.push_inbound(header);
    }

    fn client_header(
        &mut self,
        flags: u8,
        payload: Payload,
        options: &'static [u8],
    ) -> TcpHeader<'static> {
        TcpHeader {
            source_port: self.client_port,
            destination_port: self.port,
            sequence: self.client_seq,
            acknowledgement: self.server_seq,
            flags,
            window: self.client.stack.later_window(self.rng),
            options,
            mss: 0,
            payload,
        }
    }

    fn push_inbound(&mut self, header: TcpHeader<'_>) {
        let id = self.client.next_id(self.rng);
        self.push_inbound_with(id, header);
    }

    fn push_inbound_with(&mut self, id: u16, header: TcpHeader<'_>) {
        let ip = IpHeader::new(self.client.address, self.address, self.client.ttl, id);
        self.out.push(LabelledPacket {
            at_us: self.at_us,
            facts: ip.tcp(&header),
            attack: false,
            group: "web",
            inbound: true,
            solicited: self.answered,
        });
    }

    pub(super) fn host_sends(&mut self, flags: u8, payload: Payload) {
        self.host_id = self.host_id.wrapping_add(1);
        let header = TcpHeader {
            source_port: self.port,
            destination_port: self.client_port,
            sequence: self.server_seq,
            acknowledgement: self.client_seq,
            flags,
            window: 501,
            options: self.client.stack.later_options(),
            mss: 0,
            payload,
        };
        self.push_outbound(self.host_id, header);
    }

    fn push_outbound(&mut self, id: u16, header: TcpHeader<'_>) {
        let ip = IpHeader::new(self.address, self.client.address, 64, id);
        self.out.push(LabelledPacket {
            at_us: self.at_us,
            facts: ip.tcp(&header),
            attack: false,
            group: "web",
            inbound: false,
            solicited: false,
        });
    }
}
