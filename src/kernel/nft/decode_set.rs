//! Sets and elements out of netlink attributes, the reverse of [`super::encode_set`].

use super::view::{ElementView, SetView};
use super::wire::{elem, expr, set as attr};
use crate::kernel::netlink::{Attr, Message};
use crate::model::IpFamily;

/// A set out of `NFT_MSG_NEWSET`; names may be empty where the message has none.
pub(super) fn set<'a>(message: &Message<'a>, family: IpFamily) -> SetView<'a> {
    let mut view = SetView {
        family,
        table: "",
        name: "",
        handle: 0,
        flags: 0,
        key_type: 0,
        key_len: 0,
        data: None,
        size: None,
        userdata: &[],
        count: None,
    };
    let mut data_type = 0;
    let mut data_len = None;
    for attr in message.attrs() {
        let number = || attr.u32_be().unwrap_or_default();
        match attr.kind {
            attr::TABLE => view.table = attr.text().unwrap_or_default(),
            attr::NAME => view.name = attr.text().unwrap_or_default(),
            attr::HANDLE => view.handle = attr.u64_be().unwrap_or_default(),
            attr::FLAGS => view.flags = number(),
            attr::KEY_TYPE => view.key_type = number(),
            attr::KEY_LEN => view.key_len = number(),
            attr::DATA_TYPE => data_type = number(),
            attr::DATA_LEN => data_len = attr.u32_be(),
            attr::DESC => {
                let size = attr.nested().find(attr::DESC_SIZE);
                view.size = size.and_then(|size| size.u32_be());
            }
            attr::USERDATA => view.userdata = attr.payload,
            attr::COUNT => view.count = attr.u32_be(),
            _ => {}
        }
    }
    view.data = data_len.map(|len| (data_type, len));
    view
}

/// The elements of `NFT_MSG_NEWSETELEM`.
pub(super) fn elements<'a>(message: &Message<'a>) -> impl Iterator<Item = ElementView<'a>> {
    let list = message.attrs().find(elem::LIST_ELEMENTS);
    let elements = list.into_iter().flat_map(|list| list.nested());
    elements.map(|attr| element(&attr))
}

/// One element.
pub(super) fn element<'a>(element: &Attr<'a>) -> ElementView<'a> {
    let mut view = ElementView::default();
    for attr in element.nested() {
        let value = || attr.nested().find(expr::VALUE).map(|value| value.payload);
        match attr.kind {
            elem::KEY => view.key = value().unwrap_or_default(),
            elem::DATA => view.data = value(),
            elem::FLAGS => {
                view.interval_end = attr.u32_be().unwrap_or_default() & elem::INTERVAL_END != 0;
            }
            elem::TIMEOUT => view.timeout_ms = attr.u64_be(),
            elem::EXPIRATION => view.expires_ms = attr.u64_be(),
            elem::USERDATA => view.comment = comment(attr.payload, elem::UDATA_COMMENT),
            _ => {}
        }
    }
    view
}

/// The comment in user data, a list of type, length and value. Which type a comment has depends on
/// the object.
pub(super) fn comment(mut userdata: &[u8], comment: u8) -> Option<&str> {
    while let [kind, len, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        if *kind == comment {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return std::str::from_utf8(text).ok();
        }
        userdata = rest;
    }
    None
}
