//! Numbers of nf_tables' netlink interface that both the writer and the reader need.
//!
//! Source: `include/uapi/linux/netfilter/nf_tables.h` and `nfnetlink.h` of Linux 6.1. Names are
//! the kernel's without their prefix.

use crate::model::IpFamily;

/// `NFNL_SUBSYS_NFTABLES`, as the upper byte of a message type.
const SUBSYS: u16 = 10 << 8;

/// `NFNL_SUBSYS_NFTABLES` as the resource of a batch frame.
pub(super) const SUBSYS_ID: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN`.
pub(super) const BATCH_BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`.
pub(super) const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID`.
pub(super) const BATCH_GENID: u16 = 1;
/// `NFT_NAME_MAXLEN` without the closing NUL.
pub(super) const NAME_MAX: usize = 255;

/// `enum nf_tables_msg_types`.
pub(super) mod msg {
    use super::SUBSYS;

    /// Message number without the subsystem, as libnftnl takes it.
    pub(in crate::kernel::nft) const fn number(kind: u16) -> u16 {
        kind & 0xff
    }

    pub(in crate::kernel::nft) const NEWTABLE: u16 = SUBSYS;
    pub(in crate::kernel::nft) const GETTABLE: u16 = SUBSYS | 1;
    pub(in crate::kernel::nft) const DELTABLE: u16 = SUBSYS | 2;
    pub(in crate::kernel::nft) const NEWCHAIN: u16 = SUBSYS | 3;
    pub(in crate::kernel::nft) const GETCHAIN: u16 = SUBSYS | 4;
    pub(in crate::kernel::nft) const DELCHAIN: u16 = SUBSYS | 5;
    pub(in crate::kernel::nft) const NEWRULE: u16 = SUBSYS | 6;
    pub(in crate::kernel::nft) const GETRULE: u16 = SUBSYS | 7;
    pub(in crate::kernel::nft) const DELRULE: u16 = SUBSYS | 8;
    pub(in crate::kernel::nft) const NEWSET: u16 = SUBSYS | 9;
    pub(in crate::kernel::nft) const GETSET: u16 = SUBSYS | 10;
    pub(in crate::kernel::nft) const DELSET: u16 = SUBSYS | 11;
    pub(in crate::kernel::nft) const NEWSETELEM: u16 = SUBSYS | 12;
    pub(in crate::kernel::nft) const GETSETELEM: u16 = SUBSYS | 13;
    pub(in crate::kernel::nft) const DELSETELEM: u16 = SUBSYS | 14;
    pub(in crate::kernel::nft) const NEWGEN: u16 = SUBSYS | 15;
    pub(in crate::kernel::nft) const GETGEN: u16 = SUBSYS | 16;
    pub(in crate::kernel::nft) const NEWOBJ: u16 = SUBSYS | 18;
    pub(in crate::kernel::nft) const DELOBJ: u16 = SUBSYS | 20;
    pub(in crate::kernel::nft) const NEWFLOWTABLE: u16 = SUBSYS | 22;
    pub(in crate::kernel::nft) const DELFLOWTABLE: u16 = SUBSYS | 24;
    // Deletions that do not mind if there is nothing to delete, Linux 6.3.
    pub(in crate::kernel::nft) const DESTROYTABLE: u16 = SUBSYS | 26;
    pub(in crate::kernel::nft) const DESTROYCHAIN: u16 = SUBSYS | 27;
    pub(in crate::kernel::nft) const DESTROYRULE: u16 = SUBSYS | 28;
    pub(in crate::kernel::nft) const DESTROYSET: u16 = SUBSYS | 29;
    pub(in crate::kernel::nft) const DESTROYSETELEM: u16 = SUBSYS | 30;
    pub(in crate::kernel::nft) const DESTROYOBJ: u16 = SUBSYS | 31;
    pub(in crate::kernel::nft) const DESTROYFLOWTABLE: u16 = SUBSYS | 32;
}

/// `NFTA_TABLE_*`.
pub(super) mod table {
    pub(in crate::kernel::nft) const NAME: u16 = 1;
    pub(in crate::kernel::nft) const FLAGS: u16 = 2;
    pub(in crate::kernel::nft) const USE: u16 = 3;
    pub(in crate::kernel::nft) const HANDLE: u16 = 4;
    pub(in crate::kernel::nft) const USERDATA: u16 = 6;
    /// `NFT_TABLE_F_DORMANT`.
    pub(in crate::kernel::nft) const DORMANT: u32 = 1;
    /// `NFT_TABLE_F_OWNER`.
    pub(in crate::kernel::nft) const OWNER: u32 = 2;
    /// `NFTNL_UDATA_TABLE_COMMENT` (libnftnl's `udata.h`).
    pub(in crate::kernel::nft) const UDATA_COMMENT: u8 = 0;
}

/// `NFTA_CHAIN_*` and `NFTA_HOOK_*`.
pub(super) mod chain {
    pub(in crate::kernel::nft) const TABLE: u16 = 1;
    pub(in crate::kernel::nft) const HANDLE: u16 = 2;
    pub(in crate::kernel::nft) const NAME: u16 = 3;
    pub(in crate::kernel::nft) const HOOK: u16 = 4;
    pub(in crate::kernel::nft) const POLICY: u16 = 5;
    pub(in crate::kernel::nft) const USE: u16 = 6;
    pub(in crate::kernel::nft) const TYPE: u16 = 7;
    pub(in crate::kernel::nft) const HOOK_NUM: u16 = 1;
    pub(in crate::kernel::nft) const HOOK_PRIORITY: u16 = 2;
}

/// `NFTA_RULE_*`.
pub(super) mod rule {
    pub(in crate::kernel::nft) const TABLE: u16 = 1;
    pub(in crate::kernel::nft) const CHAIN: u16 = 2;
    pub(in crate::kernel::nft) const HANDLE: u16 = 3;
    pub(in crate::kernel::nft) const EXPRESSIONS: u16 = 4;
    pub(in crate::kernel::nft) const COMPAT: u16 = 5;
    pub(in crate::kernel::nft) const POSITION: u16 = 6;
    pub(in crate::kernel::nft) const USERDATA: u16 = 7;
    pub(in crate::kernel::nft) const COMPAT_PROTO: u16 = 1;
    pub(in crate::kernel::nft) const COMPAT_FLAGS: u16 = 2;
}

/// `NFTA_SET_*` and `NFTA_SET_DESC_*`.
pub(super) mod set {
    pub(in crate::kernel::nft) const TABLE: u16 = 1;
    pub(in crate::kernel::nft) const NAME: u16 = 2;
    pub(in crate::kernel::nft) const FLAGS: u16 = 3;
    pub(in crate::kernel::nft) const KEY_TYPE: u16 = 4;
    pub(in crate::kernel::nft) const KEY_LEN: u16 = 5;
    pub(in crate::kernel::nft) const DATA_TYPE: u16 = 6;
    pub(in crate::kernel::nft) const DATA_LEN: u16 = 7;
    pub(in crate::kernel::nft) const DESC: u16 = 9;
    pub(in crate::kernel::nft) const ID: u16 = 10;
    pub(in crate::kernel::nft) const USERDATA: u16 = 13;
    pub(in crate::kernel::nft) const HANDLE: u16 = 16;
    /// Number of elements, where the kernel reports it.
    pub(in crate::kernel::nft) const COUNT: u16 = 20;
    pub(in crate::kernel::nft) const DESC_SIZE: u16 = 1;
    /// `NFT_SET_MAP`.
    pub(in crate::kernel::nft) const MAP: u32 = 8;
}

/// `NFTA_SET_ELEM_LIST_*` and `NFTA_SET_ELEM_*`.
pub(super) mod elem {
    pub(in crate::kernel::nft) const LIST_TABLE: u16 = 1;
    pub(in crate::kernel::nft) const LIST_SET: u16 = 2;
    pub(in crate::kernel::nft) const LIST_ELEMENTS: u16 = 3;
    /// `NFTA_LIST_ELEM`.
    pub(in crate::kernel::nft) const ELEMENT: u16 = 1;
    pub(in crate::kernel::nft) const KEY: u16 = 1;
    pub(in crate::kernel::nft) const DATA: u16 = 2;
    pub(in crate::kernel::nft) const FLAGS: u16 = 3;
    pub(in crate::kernel::nft) const TIMEOUT: u16 = 4;
    pub(in crate::kernel::nft) const EXPIRATION: u16 = 5;
    pub(in crate::kernel::nft) const USERDATA: u16 = 6;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub(in crate::kernel::nft) const INTERVAL_END: u32 = 1;
    /// `NFTNL_UDATA_SET_ELEM_COMMENT` (libnftnl's `udata.h`).
    pub(in crate::kernel::nft) const UDATA_COMMENT: u8 = 0;
}

/// Attributes of expressions.
pub(super) mod expr {
    /// `NFTA_EXPR_NAME`.
    pub(in crate::kernel::nft) const NAME: u16 = 1;
    /// `NFTA_EXPR_DATA`.
    pub(in crate::kernel::nft) const DATA: u16 = 2;
    /// `NFTA_DATA_VALUE`.
    pub(in crate::kernel::nft) const VALUE: u16 = 1;
    /// `NFTA_DATA_VERDICT`.
    pub(in crate::kernel::nft) const VERDICT: u16 = 2;
    /// `NFTA_VERDICT_CODE`.
    pub(in crate::kernel::nft) const CODE: u16 = 1;
    /// `NFTA_VERDICT_CHAIN`.
    pub(in crate::kernel::nft) const CHAIN: u16 = 2;
    /// `NFTA_IMMEDIATE_DATA`.
    pub(in crate::kernel::nft) const IMMEDIATE_DATA: u16 = 2;
    /// `NFTA_MATCH_NAME` and `NFTA_TARGET_NAME`.
    pub(in crate::kernel::nft) const XT_NAME: u16 = 1;
    /// `NFTA_MATCH_REV` and `NFTA_TARGET_REV`.
    pub(in crate::kernel::nft) const XT_REV: u16 = 2;
    /// `NFTA_MATCH_INFO` and `NFTA_TARGET_INFO`.
    pub(in crate::kernel::nft) const XT_INFO: u16 = 3;
}

/// `NFTA_GEN_ID`.
pub(super) const GEN_ID: u16 = 1;
/// `NFTA_GEN_PROC_PID`.
pub(super) const GEN_PROC_PID: u16 = 2;
/// `NFTA_GEN_PROC_NAME`.
pub(super) const GEN_PROC_NAME: u16 = 3;
/// `NFTA_OBJ_NAME`, `NFTA_FLOWTABLE_NAME`; the table is attribute 1 as everywhere.
pub(super) const OBJ_NAME: u16 = 2;
/// `NFNLGRP_NFTABLES` (`nfnetlink.h`): the multicast group of all changes.
pub(super) const GROUP: u32 = 7;

/// Verdict codes, `enum nft_verdicts` and `NF_*`.
pub(super) mod verdict {
    pub(in crate::kernel::nft) const DROP: i32 = 0;
    pub(in crate::kernel::nft) const ACCEPT: i32 = 1;
    pub(in crate::kernel::nft) const JUMP: i32 = -3;
    pub(in crate::kernel::nft) const GOTO: i32 = -4;
    pub(in crate::kernel::nft) const RETURN: i32 = -5;
}

/// `NFPROTO_*` of a family.
pub(super) const fn nfproto(family: IpFamily) -> u8 {
    match family {
        IpFamily::V4 => 2,
        IpFamily::V6 => 10,
    }
}

/// The family of an `NFPROTO_*` number; other families' objects are none of ours.
pub(super) const fn family(nfproto: u8) -> Option<IpFamily> {
    match nfproto {
        2 => Some(IpFamily::V4),
        10 => Some(IpFamily::V6),
        _ => None,
    }
}
