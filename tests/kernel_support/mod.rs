//! What the kernel tests share: a private network namespace per test, and short words for steps.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: each test file uses a part of it, and a failure is a failed test"
)]

pub mod xt;

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use nix::sched::{CloneFlags, unshare};
use portolan::kernel::Socket;
use portolan::model::IpFamily;
use portolan::plan::expr::{Expr, RuleBody, Verdict};
use portolan::plan::op::{ChainRef, Hook, Op, Place, TableRef};

/// Says why a test does nothing, past the capture of the output of tests that pass.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Runs a test on a thread of its own in a network namespace of its own, which is gone when the
/// thread ends. Says why and skips where namespaces cannot be made.
pub fn in_new_netns(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                skipped(&format!(
                    "cannot make a network namespace: {errno} (root is needed)"
                ));
                return;
            }
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

pub fn socket() -> Socket {
    Socket::open().expect("netfilter socket")
}

pub fn table(family: IpFamily, name: &str) -> TableRef {
    TableRef {
        family,
        name: name.into(),
    }
}

pub fn chain(family: IpFamily, table_name: &str, name: &str) -> ChainRef {
    ChainRef {
        table: table(family, table_name),
        name: Arc::from(name),
    }
}

pub fn add_chain(chain: &ChainRef) -> Op {
    Op::AddChain {
        chain: chain.clone(),
        hook: None,
    }
}

pub fn add_base(chain: &ChainRef, chain_type: &'static str, hook: u32, priority: i32) -> Op {
    Op::AddChain {
        chain: chain.clone(),
        hook: Some(Hook {
            chain_type,
            hook,
            priority,
        }),
    }
}

pub fn append(chain: &ChainRef, exprs: Vec<Expr>) -> Op {
    add_rule(chain, Place::Append, exprs)
}

pub fn add_rule(chain: &ChainRef, place: Place, exprs: Vec<Expr>) -> Op {
    Op::AddRule {
        chain: chain.clone(),
        place,
        rule: RuleBody {
            exprs,
            ..RuleBody::default()
        },
    }
}

pub fn jump(to: &ChainRef) -> Expr {
    Expr::Verdict(Verdict::Jump(Box::from(&*to.name)))
}

/// Runs a program in the namespace of the calling thread and gives its output.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
