//! Completing a reply with what upstream says.

use hickory_proto::op::ResponseCode;

use super::respond::{Pending, Responder, Step};
use crate::dns::forward::{Forwarder, Reply, UpstreamError};

impl Responder {
    /// Asks upstream, and completes the reply.
    pub(super) async fn ask_upstream(
        &self,
        forwarder: &Forwarder,
        mut pending: Pending,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let kind = pending.query.query_type();
        let mut outcome = Err(UpstreamError::NoServer);
        for name in std::mem::take(&mut pending.names) {
            outcome = forwarder.ask(&name, kind).await;
            let is_known = matches!(&outcome, Ok(reply) if reply.code == ResponseCode::NoError);
            if pending.unknown.is_some() && is_known {
                pending.unknown = None;
                let asked = pending.query.name();
                let glue = self
                    .names
                    .read(|zone| zone.map(|zone| zone.glue(asked, &name)));
                pending.answer.answers.extend(glue);
            }
            if is_known {
                break;
            }
        }
        self.finish(pending, outcome, buffer)
    }

    /// Completes a reply with what upstream said.
    fn finish(
        &self,
        pending: Pending,
        outcome: Result<Reply, UpstreamError>,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let Pending {
            query,
            mut reply,
            mut answer,
            unknown,
            ..
        } = pending;
        if let Some(unknown) = unknown {
            // The client goes on searching by itself.
            reply.metadata.response_code = ResponseCode::NXDomain;
            return self.write(&reply, Some(&query), &unknown, buffer);
        }
        let is_alias = !answer.answers.is_empty();
        match outcome {
            Ok(upstream) => {
                reply.metadata.truncation = upstream.truncated;
                answer.answers.extend(upstream.answers);
                if !is_alias {
                    reply.metadata.response_code = upstream.code;
                    answer.authorities = upstream.authorities;
                }
            }
            // Not that there is no such address: the client is to ask again.
            Err(_) => reply.metadata.response_code = ResponseCode::ServFail,
        }
        self.write(&reply, Some(&query), &answer, buffer)
    }
}
