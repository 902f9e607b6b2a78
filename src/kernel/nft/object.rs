//! Owned libnftnl objects: table, chain, rule and expression, each freed when dropped.
//!
//! Owns every call into libnftnl. libnftnl does not look at the room it writes into, so the sizes
//! of what goes in are bounded here and in [`super::encode`]: names by 255 bytes, user data by 256,
//! all expressions of a rule by 65 535; [`Scratch`] has twice the room of the sum.

use std::ffi::CStr;
use std::ptr::NonNull;

use nftnl_sys as sys;
use nftnl_sys::libc;

/// libnftnl could not get memory, or did not take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejected;

/// What to put into a message header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Message number without subsystem.
    pub(super) number: u16,
    /// `NFPROTO_*`.
    pub(super) family: u16,
    /// `NLM_F_*`; `NLM_F_REQUEST` is implied.
    pub(super) flags: u16,
    /// Sequence number.
    pub(super) seq: u32,
}

/// What a message is about.
pub(super) enum Object {
    /// A table.
    Table(NftTable),
    /// A chain.
    Chain(NftChain),
    /// A rule, or all rules of a chain.
    Rule(NftRule),
}

impl Object {
    /// Appends the object's attributes to the message at `header`.
    ///
    /// # Safety
    /// `header` points to a message with room for all attributes of the object behind it.
    unsafe fn write(&self, header: *mut libc::nlmsghdr) {
        match self {
            // SAFETY: the table is live, the caller vouches for the room.
            Self::Table(t) => unsafe {
                sys::nftnl_table_nlmsg_build_payload(header, t.0.as_ptr());
            },
            // SAFETY: the chain is live, the caller vouches for the room.
            Self::Chain(c) => unsafe {
                sys::nftnl_chain_nlmsg_build_payload(header, c.0.as_ptr());
            },
            // SAFETY: the rule is live, the caller vouches for the room.
            Self::Rule(r) => unsafe {
                sys::nftnl_rule_nlmsg_build_payload(header, r.0.as_ptr());
            },
        }
    }
}

/// Room for one message, aligned for its header.
pub(super) struct Scratch {
    words: Box<[u32]>,
}

impl Scratch {
    /// 128 KiB. The biggest part of a message is a nested attribute, whose length is 16 bits.
    const WORDS: usize = 32 * 1024;

    /// Makes the room.
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; Self::WORDS].into_boxed_slice(),
        }
    }

    /// Builds a message and gives its bytes.
    pub(super) fn build(&mut self, header: Header, object: &Object) -> &[u8] {
        let start: *mut u32 = self.words.as_mut_ptr();
        // SAFETY: the scratch has room for a header, and is aligned for one (4 bytes).
        let message = unsafe {
            sys::nftnl_nlmsg_build_hdr(
                start.cast(),
                header.number,
                header.family,
                header.flags,
                header.seq,
            )
        };
        // SAFETY: `message` is the header just written; the room behind it is twice what the
        // largest object takes.
        unsafe { object.write(message) };
        // SAFETY: `message` still points to the initialised header.
        let len = unsafe { (*message).nlmsg_len } as usize;
        debug_assert!(
            len <= Self::WORDS * 4,
            "message of {len} bytes overran the scratch"
        );
        // SAFETY: the scratch was initialised when made and is longer than `len`; u8 has no
        // alignment and the slice borrows `self`.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>().cast_const(), len) }
    }
}

/// `struct nftnl_table`.
pub(super) struct NftTable(NonNull<sys::nftnl_table>);

impl NftTable {
    /// A table of that name.
    pub(super) fn new(name: &CStr) -> Result<Self, Rejected> {
        // SAFETY: allocation without arguments; null is checked.
        let table = Self(NonNull::new(unsafe { sys::nftnl_table_alloc() }).ok_or(Rejected)?);
        // SAFETY: the table is live, the name is NUL-terminated and copied by libnftnl.
        taken(unsafe {
            sys::nftnl_table_set_str(table.0.as_ptr(), id(sys::NFTNL_TABLE_NAME), name.as_ptr())
        })?;
        Ok(table)
    }

    /// Sets `NFT_TABLE_F_*`.
    pub(super) fn flags(&mut self, flags: u32) {
        // SAFETY: the table is live.
        unsafe { sys::nftnl_table_set_u32(self.0.as_ptr(), id(sys::NFTNL_TABLE_FLAGS), flags) };
    }

    /// Sets the user data, at most 256 bytes.
    pub(super) fn userdata(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        let len = u32::try_from(bytes.len()).map_err(|_| Rejected)?;
        let (attr, bytes) = (id(sys::NFTNL_TABLE_USERDATA), bytes.as_ptr().cast());
        // SAFETY: the table is live; libnftnl copies `len` bytes, which `bytes` has.
        taken(unsafe { sys::nftnl_table_set_data(self.0.as_ptr(), attr, bytes, len) })
    }
}

impl Drop for NftTable {
    fn drop(&mut self) {
        // SAFETY: allocated by `nftnl_table_alloc`, freed once.
        unsafe { sys::nftnl_table_free(self.0.as_ptr()) };
    }
}

/// `struct nftnl_chain`.
pub(super) struct NftChain(NonNull<sys::nftnl_chain>);

impl NftChain {
    /// A chain of that name in that table.
    pub(super) fn new(table: &CStr, name: &CStr) -> Result<Self, Rejected> {
        // SAFETY: allocation without arguments; null is checked.
        let mut chain = Self(NonNull::new(unsafe { sys::nftnl_chain_alloc() }).ok_or(Rejected)?);
        chain.text(sys::NFTNL_CHAIN_TABLE, table)?;
        chain.text(sys::NFTNL_CHAIN_NAME, name)?;
        Ok(chain)
    }

    /// Makes it a base chain.
    pub(super) fn hook(&mut self, kind: &CStr, hook: u32, priority: i32) -> Result<(), Rejected> {
        self.text(sys::NFTNL_CHAIN_TYPE, kind)?;
        // SAFETY: the chain is live.
        unsafe {
            sys::nftnl_chain_set_u32(self.0.as_ptr(), id(sys::NFTNL_CHAIN_HOOKNUM), hook);
        }
        // SAFETY: the chain is live.
        unsafe {
            sys::nftnl_chain_set_s32(self.0.as_ptr(), id(sys::NFTNL_CHAIN_PRIO), priority);
        }
        Ok(())
    }

    fn text(&mut self, attr: u32, text: &CStr) -> Result<(), Rejected> {
        // SAFETY: the chain is live, the text is NUL-terminated and copied by libnftnl.
        taken(unsafe { sys::nftnl_chain_set_str(self.0.as_ptr(), id(attr), text.as_ptr()) })
    }
}

impl Drop for NftChain {
    fn drop(&mut self) {
        // SAFETY: allocated by `nftnl_chain_alloc`, freed once.
        unsafe { sys::nftnl_chain_free(self.0.as_ptr()) };
    }
}

/// `struct nftnl_rule`.
pub(super) struct NftRule(NonNull<sys::nftnl_rule>);

impl NftRule {
    /// An empty rule of that chain.
    pub(super) fn new(table: &CStr, chain: &CStr) -> Result<Self, Rejected> {
        // SAFETY: allocation without arguments; null is checked.
        let mut rule = Self(NonNull::new(unsafe { sys::nftnl_rule_alloc() }).ok_or(Rejected)?);
        rule.text(sys::NFTNL_RULE_TABLE, table)?;
        rule.text(sys::NFTNL_RULE_CHAIN, chain)?;
        Ok(rule)
    }

    /// Sets `NFTA_RULE_HANDLE`.
    pub(super) fn handle(&mut self, handle: u64) {
        self.u64(sys::NFTNL_RULE_HANDLE, handle);
    }

    /// Sets `NFTA_RULE_POSITION`: the handle of the neighbour.
    pub(super) fn position(&mut self, handle: u64) {
        self.u64(sys::NFTNL_RULE_POSITION, handle);
    }

    /// Sets `NFTA_RULE_COMPAT`.
    pub(super) fn compat(&mut self, protocol: u32, flags: u32) {
        self.u32(sys::NFTNL_RULE_COMPAT_PROTO, protocol);
        self.u32(sys::NFTNL_RULE_COMPAT_FLAGS, flags);
    }

    /// Sets `NFTA_RULE_USERDATA`.
    pub(super) fn userdata(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        let len = u32::try_from(bytes.len()).map_err(|_| Rejected)?;
        // SAFETY: the rule is live; libnftnl copies `len` bytes.
        taken(unsafe {
            sys::nftnl_rule_set_data(
                self.0.as_ptr(),
                id(sys::NFTNL_RULE_USERDATA),
                bytes.as_ptr().cast(),
                len,
            )
        })
    }

    /// Appends an expression, which the rule then owns.
    pub(super) fn add(&mut self, expr: NftExpr) {
        // SAFETY: both are live; ownership of the expression goes to the rule, so it is not
        // dropped here.
        unsafe { sys::nftnl_rule_add_expr(self.0.as_ptr(), expr.into_raw()) };
    }

    fn text(&mut self, attr: u32, text: &CStr) -> Result<(), Rejected> {
        // SAFETY: the rule is live, the text is NUL-terminated and copied by libnftnl.
        taken(unsafe { sys::nftnl_rule_set_str(self.0.as_ptr(), id(attr), text.as_ptr()) })
    }

    fn u32(&mut self, attr: u32, value: u32) {
        // SAFETY: the rule is live and the attribute is a 32-bit one.
        unsafe { sys::nftnl_rule_set_u32(self.0.as_ptr(), id(attr), value) };
    }

    fn u64(&mut self, attr: u32, value: u64) {
        // SAFETY: the rule is live and the attribute is a 64-bit one.
        unsafe { sys::nftnl_rule_set_u64(self.0.as_ptr(), id(attr), value) };
    }
}

impl Drop for NftRule {
    fn drop(&mut self) {
        // SAFETY: allocated by `nftnl_rule_alloc`, freed once, with its expressions.
        unsafe { sys::nftnl_rule_free(self.0.as_ptr()) };
    }
}

/// `struct nftnl_expr`.
pub(super) struct NftExpr(NonNull<sys::nftnl_expr>);

impl NftExpr {
    /// An expression of that kernel name.
    pub(super) fn new(name: &'static CStr) -> Result<Self, Rejected> {
        // SAFETY: the name is NUL-terminated; null, for a name libnftnl does not know, is checked.
        NonNull::new(unsafe { sys::nftnl_expr_alloc(name.as_ptr()) })
            .map(Self)
            .ok_or(Rejected)
    }

    /// Sets a number.
    pub(super) fn u32(self, attr: u32, value: u32) -> Self {
        // SAFETY: the expression is live and the attribute is a 32-bit one.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), id(attr), value) };
        self
    }

    /// Sets an 8-bit number.
    pub(super) fn u8(self, attr: u32, value: u8) -> Self {
        // SAFETY: the expression is live and the attribute is an 8-bit one.
        unsafe { sys::nftnl_expr_set_u8(self.0.as_ptr(), id(attr), value) };
        self
    }

    /// Sets a 64-bit number.
    pub(super) fn u64(self, attr: u32, value: u64) -> Self {
        // SAFETY: the expression is live and the attribute is a 64-bit one.
        unsafe { sys::nftnl_expr_set_u64(self.0.as_ptr(), id(attr), value) };
        self
    }

    /// Sets a text.
    pub(super) fn text(self, attr: u32, text: &CStr) -> Result<Self, Rejected> {
        // SAFETY: the expression is live, the text is NUL-terminated and copied by libnftnl.
        taken(unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), id(attr), text.as_ptr()) })?;
        Ok(self)
    }

    /// Sets register data, at most 64 bytes (`NFT_DATA_VALUE_MAXLEN`); libnftnl has no more room.
    pub(super) fn data(self, attr: u32, data: &[u8]) -> Result<Self, Rejected> {
        let len = u32::try_from(data.len()).map_err(|_| Rejected)?;
        if len > 64 {
            return Err(Rejected);
        }
        // SAFETY: the expression is live; libnftnl copies `len` bytes, which it has room for.
        taken(unsafe {
            sys::nftnl_expr_set(self.0.as_ptr(), id(attr), data.as_ptr().cast(), len)
        })?;
        Ok(self)
    }

    /// Sets the private structure of a `match` or `target`.
    pub(super) fn info(self, attr: u32, info: &[u8]) -> Result<Self, Rejected> {
        let len = u32::try_from(info.len()).map_err(|_| Rejected)?;
        // libnftnl frees this with free(3), so it must come from malloc(3).
        // SAFETY: plain allocation; a size of 0 is made 1 so that null means failure.
        let copy = unsafe { libc::malloc(info.len().max(1)) };
        if copy.is_null() {
            return Err(Rejected);
        }
        // SAFETY: `copy` has room for `info.len()` bytes and cannot overlap a Rust slice.
        unsafe {
            std::ptr::copy_nonoverlapping(info.as_ptr(), copy.cast::<u8>(), info.len());
        }
        // SAFETY: the expression is live and takes ownership of `copy`.
        let result = unsafe { sys::nftnl_expr_set(self.0.as_ptr(), id(attr), copy, len) };
        if result < 0 {
            // SAFETY: libnftnl refused it, so it is still ours.
            unsafe { libc::free(copy) };
        }
        taken(result)?;
        Ok(self)
    }

    fn into_raw(self) -> *mut sys::nftnl_expr {
        let raw = self.0.as_ptr();
        std::mem::forget(self);
        raw
    }
}

impl Drop for NftExpr {
    fn drop(&mut self) {
        // SAFETY: allocated by `nftnl_expr_alloc`, freed once; not dropped when a rule owns it.
        unsafe { sys::nftnl_expr_free(self.0.as_ptr()) };
    }
}

/// libnftnl numbers its attributes in an `enum` and takes them as 16 bits; there are a few dozen.
#[expect(
    clippy::cast_possible_truncation,
    reason = "attribute numbers are below 100"
)]
const fn id(attr: u32) -> u16 {
    attr as u16
}

/// libnftnl's setters return a negative number on failure.
fn taken(result: libc::c_int) -> Result<(), Rejected> {
    if result < 0 { Err(Rejected) } else { Ok(()) }
}
