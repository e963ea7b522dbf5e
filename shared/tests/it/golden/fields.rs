//! Every field of every stored message stands in some golden file: a tag that changes, or a field that is added, shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use skein_shared::format::envelope::{HEADER_BYTES, Kind};
use syn::{Attribute, Fields, GenericArgument, Item, ItemStruct, Meta, PathArguments, Type};

use super::{envelope_in, files_of, stored};

/// A message: for each tag the field's name, and the message that it holds, if it holds one.
type MessageFields = BTreeMap<u64, (String, Option<String>)>;

/// The message of a kind's body.
fn body_of(kind: Kind) -> &'static str {
    match kind {
        Kind::FlushManifest => "ManifestMessage",
        Kind::Genesis => "GenesisMessage",
        Kind::LedgerEntry => "EntryMessage",
        Kind::ShardMapVersion => "VersionMessage",
        Kind::SourceIdentity => "IdentityMessage",
        Kind::StateFooter => "FooterMessage",
        Kind::SegmentFooter => "FooterBody",
        Kind::ShardManifest => "ManifestBody",
        Kind::Quarantine => "ListBody",
        Kind::WorkerStatus => "StatusMessage",
        Kind::Retirement => "RetirementMessage",
        Kind::FillEntry => "FillMessage",
        Kind::ReplayJob => "JobMessage",
        Kind::ReplayStep => "StepMessage",
        Kind::ReplayCancel => "CancelMessage",
        Kind::CompactPlan => "PlanMessage",
        Kind::CompactResult => "ResultMessage",
        Kind::Seal => "SealBody",
        Kind::DeleteEntry => "DeleteMessage",
        Kind::DeleteReceipt => "ReceiptMessage",
        Kind::ManifestLeaf => "LeafBody",
        Kind::DeletePositions => "PositionsMessage",
        Kind::RunRecord => "RunBody",
        Kind::StateBound => "BoundMessage",
        Kind::Account => "AccountBody",
        Kind::CutoverVersion => "CutoverMessage",
        Kind::CutoverFleet => "FleetMessage",
        Kind::CutoverSeal => "CutoverSealMessage",
        Kind::CutoverAck => "AckMessage",
        Kind::OldFile => "OldFileMessage",
        Kind::OldProgress => "OldProgressMessage",
        Kind::DiffVerdict => "VerdictMessage",
    }
}

#[test]
fn every_field_of_every_stored_message_stands_in_a_golden_file() {
    let messages = messages();
    let mut seen = BTreeSet::new();
    for kind in Kind::ALL {
        for name in files_of(kind) {
            let file = stored(name);
            let body = &envelope_in(kind, &file)[HEADER_BYTES..];
            walk(&messages, body_of(kind), body, &mut seen);
        }
    }
    let unseen = messages.iter().flat_map(|(message, fields)| {
        let fields = fields
            .iter()
            .map(move |(tag, (field, _))| (message.clone(), *tag, field));
        fields.filter(|(message, tag, _)| !seen.contains(&(message.clone(), *tag)))
    });
    let unseen: Vec<String> = unseen
        .map(|(message, tag, field)| format!("{message}.{field} = {tag}"))
        .collect();
    assert!(
        unseen.is_empty(),
        "no golden file holds {unseen:?}: add one in which they are set, beside those that are there"
    );
}

/// Every message of the formats, by its name.
fn messages() -> BTreeMap<String, MessageFields> {
    let mut files = Vec::new();
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format");
    rust_files(&formats, &mut files);
    let mut messages = BTreeMap::new();
    for file in files {
        let source = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
        for item in source.items {
            let Item::Struct(item) = item else { continue };
            if tokens_of(&item.attrs, "derive").contains("Message") {
                let name = item.ident.to_string();
                let former = messages.insert(name.clone(), fields_of(&item));
                assert!(former.is_none(), "two messages are named {name}");
            }
        }
    }
    messages
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn fields_of(item: &ItemStruct) -> MessageFields {
    let Fields::Named(fields) = &item.fields else {
        panic!("{} has no named fields", item.ident);
    };
    let fields = fields.named.iter().map(|field| {
        let tokens = tokens_of(&field.attrs, "prost");
        let (_, tag) = tokens.split_once("tag = \"").expect("a field has a tag");
        let tag = tag.split('"').next().unwrap().parse().unwrap();
        let message = tokens.starts_with("message").then(|| innermost(&field.ty));
        (tag, (field.ident.as_ref().unwrap().to_string(), message))
    });
    fields.collect()
}

/// What stands in the attributes of that name.
fn tokens_of(attributes: &[Attribute], name: &str) -> String {
    let named = attributes.iter().filter(|it| it.path().is_ident(name));
    let lists = named.filter_map(|attribute| match &attribute.meta {
        Meta::List(list) => Some(list.tokens.to_string()),
        Meta::Path(_) | Meta::NameValue(_) => None,
    });
    lists.collect()
}

/// `Chain` of `Option<wire::Chain>`.
fn innermost(of: &Type) -> String {
    let Type::Path(path) = of else {
        panic!("a message is named by a path");
    };
    let last = path.path.segments.last().unwrap();
    let PathArguments::AngleBracketed(inner) = &last.arguments else {
        return last.ident.to_string();
    };
    let Some(GenericArgument::Type(inner)) = inner.args.first() else {
        panic!("{} holds no message", last.ident);
    };
    innermost(inner)
}

/// Notes every field of the message in `body`, and of those in it.
fn walk(
    messages: &BTreeMap<String, MessageFields>,
    name: &str,
    mut body: &[u8],
    seen: &mut BTreeSet<(String, u64)>,
) {
    let fields = messages
        .get(name)
        .unwrap_or_else(|| panic!("no message is named {name}"));
    while !body.is_empty() {
        let head = varint(&mut body);
        let (tag, wire_type) = (head >> 3, head & 7);
        let Some((_, message)) = fields.get(&tag) else {
            panic!("{name} has no field {tag}, but a golden file does");
        };
        seen.insert((name.to_owned(), tag));
        let bytes = match wire_type {
            0 => {
                varint(&mut body);
                0
            }
            1 => 8,
            5 => 4,
            _ => usize::try_from(varint(&mut body)).unwrap(),
        };
        let (inside, rest) = body.split_at(bytes);
        if let Some(message) = message {
            walk(messages, message, inside, seen);
        }
        body = rest;
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}
