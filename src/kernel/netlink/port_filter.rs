//! A socket filter that keeps multicast messages caused by certain ports out of a receive queue.
//!
//! Owns one small program of the classic packet filter (`include/uapi/linux/filter.h`). It looks at
//! the first message of a datagram only: the kernel never puts messages that two requesters caused
//! into one.

use std::io;

use nix::libc;

use super::Socket;
use crate::kernel::filter;

/// `BPF_LD | BPF_W | BPF_ABS`: load a word at an offset, as if it were in network byte order.
const LOAD_WORD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`: how many bytes to keep.
const KEEP: u16 = 0x06;
/// Offset of `nlmsg_pid` in `struct nlmsghdr`.
const NLMSG_PID: u32 = 12;
/// Jumps reach 255 instructions at most.
const MOST_PORTS: usize = 128;

impl Socket {
    /// From now on drops datagrams whose first message was caused by one of `ports` before they
    /// are queued. Replaces what was asked for before; an empty list drops nothing.
    ///
    /// Only the first 128 ports are honoured: callers check again.
    pub(crate) fn drop_messages_of(&self, ports: &[u32]) -> io::Result<()> {
        let mut program = program(ports);
        filter::attach(self.borrow_fd(), &mut program)
    }
}

/// Loads the port, compares it with each, and keeps nothing of a match.
fn program(ports: &[u32]) -> Vec<libc::sock_filter> {
    let ports = ports.get(..MOST_PORTS.min(ports.len())).unwrap_or_default();
    let mut program = vec![step(LOAD_WORD, NLMSG_PID, 0)];
    for (index, port) in ports.iter().enumerate() {
        // Over the remaining comparisons and the instruction that keeps everything.
        let distance = u8::try_from(ports.len() - index).unwrap_or(u8::MAX);
        // The port is in host byte order, the load is not.
        let loaded = u32::from_be_bytes(port.to_ne_bytes());
        program.push(step(JUMP_IF_EQUAL, loaded, distance));
    }
    program.push(step(KEEP, u32::MAX, 0));
    program.push(step(KEEP, 0, 0));
    program
}

/// An instruction; `jump` is how many to skip if the comparison holds.
fn step(code: u16, k: u32, jump: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: jump,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program keeps of a datagram that begins with a message of `port`.
    fn kept(program: &[libc::sock_filter], port: u32) -> u32 {
        let mut word = 0;
        let mut at = 0;
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD_WORD => word = u32::from_be_bytes(port.to_ne_bytes()),
                JUMP_IF_EQUAL if word == step.k => at += usize::from(step.jt),
                JUMP_IF_EQUAL => {}
                _ => return step.k,
            }
        }
    }

    #[test]
    fn messages_of_the_named_ports_are_dropped_and_all_others_kept() {
        let ports = [7, 4_294_963_201, 65_536];
        let program = program(&ports);
        for port in ports {
            assert_eq!(kept(&program, port), 0);
        }
        for port in [0, 8, 1 << 24 | 7, 4_294_963_202] {
            assert_eq!(kept(&program, port), u32::MAX);
        }
    }

    #[test]
    fn without_ports_everything_is_kept() {
        assert_eq!(kept(&program(&[]), 7), u32::MAX);
    }

    #[test]
    fn the_longest_program_still_jumps_to_its_end() {
        let ports: Vec<u32> = (1..=1000).collect();
        let program = program(&ports);
        assert_eq!(program.len(), MOST_PORTS + 3);
        assert_eq!((kept(&program, 1), kept(&program, 128)), (0, 0));
        assert_eq!(kept(&program, 129), u32::MAX);
    }

    #[test]
    fn the_kernel_accepts_the_program() {
        let socket = Socket::open().unwrap();
        socket.drop_messages_of(&[1, 2, 3]).unwrap();
        socket
            .drop_messages_of(&(1..1000).collect::<Vec<_>>())
            .unwrap();
        socket.drop_messages_of(&[]).unwrap();
    }
}
