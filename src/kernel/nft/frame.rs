//! What is known of a batch beside its bytes: which message belongs to which step.
//!
//! Most steps are one message; steps on elements are any number, none included.

/// What is known of a batch beside its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Sequence number of the opening message; steps follow, the closing message is last.
    pub(super) first_seq: u32,
    /// Steps so far.
    pub(super) steps: usize,
    /// Messages of the steps so far.
    pub(super) messages: usize,
    /// The steps that are not one message each, in order.
    pub(super) uneven: Vec<Span>,
    /// Steps that ask for their handle.
    pub(super) echoes: usize,
    /// Bytes of the steps that ask for their handle, which come back.
    pub(super) echoed_bytes: usize,
    /// Messages between the opening one and the first step: the anchor.
    pub(super) anchors: usize,
    /// The step that carries the request for the new generation without asking for its own handle.
    pub(super) silent_anchor: Option<usize>,
    /// Whether the kernel was asked to report the new generation.
    pub(super) reports: bool,
    /// The generation the batch is bound to.
    pub(super) generation: Option<u32>,
}

/// The messages of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Index of the step.
    step: usize,
    /// Its first message, counted from the first message of the first step.
    first: usize,
    /// How many messages it has.
    messages: usize,
}

impl Frame {
    /// Which message of the batch has a sequence number.
    pub(super) fn position_of(&self, seq: u32) -> Position {
        let slot = self.slot_of(seq);
        let first_op = self.anchors + 1;
        let end = first_op + self.messages;
        match slot {
            0 => Position::Begin,
            _ if slot < first_op => Position::Anchor,
            _ if slot < end => Position::Op(self.step_of(slot - first_op)),
            _ if slot == end => Position::End,
            _ => Position::Foreign,
        }
    }

    /// Number of the message with a sequence number, the opening one being 0; a number beyond the
    /// end for foreign ones.
    pub(super) fn slot_of(&self, seq: u32) -> usize {
        let distance = seq.wrapping_sub(self.first_seq);
        usize::try_from(distance).unwrap_or(usize::MAX)
    }

    /// Sequence number of the message to come.
    pub(super) fn next_seq(&self) -> u32 {
        let slot = self.anchors + 1 + self.messages;
        let distance = u32::try_from(slot).unwrap_or(u32::MAX);
        self.first_seq.wrapping_add(distance)
    }

    /// The step a message belongs to, counted from the first message of the first step.
    fn step_of(&self, message: usize) -> usize {
        let after = self.uneven.partition_point(|span| span.first <= message);
        let before = after
            .checked_sub(1)
            .and_then(|index| self.uneven.get(index));
        match before {
            None => message,
            Some(span) => match message.checked_sub(span.first + span.messages) {
                None => span.step,
                Some(further) => span.step + 1 + further,
            },
        }
    }

    /// Counts a step of so many messages.
    pub(super) fn count(&mut self, messages: usize) {
        if messages != 1 {
            self.uneven.push(Span {
                step: self.steps,
                first: self.messages,
                messages,
            });
        }
        self.steps += 1;
        self.messages += messages;
    }
}

/// Which message of a batch a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The opening message.
    Begin,
    /// The message that carries the request for the new generation.
    Anchor,
    /// A step.
    Op(usize),
    /// The closing message.
    End,
    /// None of this batch.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of steps with so many messages each.
    fn frame(steps: &[usize]) -> Frame {
        let mut frame = Frame {
            first_seq: u32::MAX - 1,
            ..Frame::default()
        };
        for messages in steps {
            frame.count(*messages);
        }
        frame
    }

    fn positions(frame: &Frame) -> Vec<Position> {
        let end = u32::try_from(frame.anchors + frame.messages + 2).unwrap();
        let numbers = 0..=end;
        numbers
            .map(|slot| frame.position_of(frame.first_seq.wrapping_add(slot)))
            .collect()
    }

    #[test]
    fn messages_are_those_of_their_steps() {
        use Position::{Begin, End, Foreign, Op};
        let expected = [Begin, Op(0), Op(1), Op(2), End, Foreign];
        assert_eq!(positions(&frame(&[1, 1, 1])), expected);
        let uneven = frame(&[1, 3, 0, 0, 1, 2, 1]);
        let expected = [
            Begin,
            Op(0),
            Op(1),
            Op(1),
            Op(1),
            Op(4),
            Op(5),
            Op(5),
            Op(6),
            End,
            Foreign,
        ];
        assert_eq!(positions(&uneven), expected);
    }

    #[test]
    fn an_anchor_comes_before_the_first_step() {
        let mut frame = frame(&[0, 2]);
        frame.anchors = 1;
        let expected = [
            Position::Begin,
            Position::Anchor,
            Position::Op(1),
            Position::Op(1),
            Position::End,
            Position::Foreign,
        ];
        assert_eq!(positions(&frame), expected);
    }
}
